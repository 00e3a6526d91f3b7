/* One record to one row. This runs once for each file while decoders wait for nothing else, so it makes one
 * pass over the cells, allocates nothing once warm, and asks the database as little as it can. */
#include <stdlib.h>
#include <string.h>

#include "aggregator/store_internal.h"
#include "common/alloc.h"

/* ---- frames ---- */

void store_frames_encode(struct buffer *out, const struct record *rec)
{
    buffer_append_char(out, '\0');
    for (size_t i = 0; i < rec->frame_count; i++) {
        const struct record_frame *frame = &rec->frames[i];
        varint_append(out, frame->frame);
        varint_append(out, frame->png_bytes);
        buffer_append(out, &frame->offset, sizeof frame->offset);
        buffer_append(out, &frame->maximum, sizeof frame->maximum);
        const char *texts[] = {record_text(rec, frame->png), record_text(rec, frame->scaling),
                               record_text(rec, frame->notes)};
        for (size_t t = 0; t < 3; t++)
            buffer_append(out, texts[t], strlen(texts[t]) + 1);
    }
}

bool store_frames_next(const char *blob, size_t length, size_t *at, struct record_frame *frame)
{
    if (blob == NULL || length == 0)
        return false;
    const unsigned char *start = (const unsigned char *)blob, *end = start + length;
    const unsigned char *p = start + (*at == 0 ? 1 : *at);
    uint64_t number;
    size_t *texts[] = {&frame->png, &frame->scaling, &frame->notes};

    if (p >= end || (p = varint_read(p, end, &number)) == NULL ||
        (p = varint_read(p, end, &frame->png_bytes)) == NULL ||
        (size_t)(end - p) < sizeof frame->offset + sizeof frame->maximum)
        return false;
    frame->frame = (uint32_t)number;
    memcpy(&frame->offset, p, sizeof frame->offset);
    p += sizeof frame->offset;
    memcpy(&frame->maximum, p, sizeof frame->maximum);
    p += sizeof frame->maximum;
    for (size_t t = 0; t < 3; t++) {
        const unsigned char *nul = memchr(p, '\0', (size_t)(end - p));
        if (nul == NULL)
            return false;
        *texts[t] = (size_t)(p - start);
        p = nul + 1;
    }
    *at = (size_t)(p - start);
    return true;
}

static uint64_t count_pictures(const struct record *rec)
{
    uint64_t count = 0;
    for (size_t i = 0; i < rec->frame_count; i++)
        count += record_text(rec, rec->frames[i].png)[0] != '\0';
    return count;
}

/* Under compatibility a worker calls the picture "<name>~<8 hex digits>.png"; then "<name>.png" is what the
 * file would like (store_settle_names). Returns the length of "<name>", 0 where the picture is not named so.
 */
static size_t claimed_length(const char *png)
{
    static const char hex[] = "0123456789abcdef";
    size_t length = strlen(png);
    if (length < 14 || strcmp(png + length - 4, ".png") != 0 || png[length - 13] != '~')
        return 0;
    for (size_t i = length - 12; i < length - 4; i++)
        if (strchr(hex, png[i]) == NULL)
            return 0;
    return length - 13;
}

/* ---- cells ---- */

static void pick(struct store *store, size_t position, uint32_t column, size_t cell)
{
    if (position == store->picked_capacity) {
        store->picked_capacity = store->picked_capacity == 0 ? 512 : store->picked_capacity * 2;
        store->picked = xrealloc_array(store->picked, store->picked_capacity, sizeof *store->picked);
    }
    store->picked[position] = (struct picked_cell){column, cell};
}

/* The column of a cell. Records that come one after another have the same columns: what the last one had in
 * this place is looked at first. */
static bool find_column(struct store *store, const struct record *rec, size_t cell, uint32_t *id,
                        struct error *err)
{
    const struct column_table *table = &store->columns;
    const char *name = record_text(rec, rec->cells[cell].column);
    size_t length = rec->cells[cell].column_length;
    if (cell < store->last_capacity) {
        const struct column_entry *entry = &table->entries[store->last[cell]];
        if (entry->length == length && memcmp(table->names.data + entry->name, name, length) == 0) {
            *id = store->last[cell];
            return true;
        }
    } else {
        size_t capacity = store->last_capacity == 0 ? 512 : store->last_capacity * 2;
        store->last = xrealloc_array(store->last, capacity, sizeof *store->last);
        for (size_t i = store->last_capacity; i < capacity; i++)
            store->last[i] = COLUMN_FILE;
        store->last_capacity = capacity;
    }
    if (!store_column_id(store, name, length, id, err))
        return false;
    store->last[cell] = *id;
    return true;
}

/* Choose the cells to keep: of two that name one column, the first's place and the last's value. The three
 * columns behind the cells are the row's own; a cell of such a name is dropped. */
static bool pick_cells(struct store *store, const struct record *rec, size_t *count, struct error *err)
{
    *count = 0;
    store->serial++;
    for (size_t i = 0; i < rec->cell_count; i++) {
        uint32_t id;
        if (!find_column(store, rec, i, &id, err))
            return false;
        struct column_entry *entry = &store->columns.entries[id];
        if (id <= COLUMN_CATEGORY)
            continue;
        if (entry->seen_in == store->serial) {
            store->picked[entry->position].cell = i;
            continue;
        }
        entry->seen_in = store->serial;
        entry->position = (uint32_t)*count;
        pick(store, *count, id, i);
        ++*count;
    }
    return true;
}

static bool encode_cells(struct store *store, const struct record *rec, struct error *err)
{
    size_t count;
    if (!pick_cells(store, rec, &count, err))
        return false;
    struct buffer *shape = &store->shape_bytes, *cells = &store->cell_bytes;
    buffer_truncate(shape, 0);
    buffer_truncate(cells, 0);
    for (size_t i = 0; i < count; i++) {
        const struct record_cell *cell = &rec->cells[store->picked[i].cell];
        varint_append(shape, (uint64_t)store->picked[i].column * 2 + (cell->value_length == 0));
        if (cell->value_length == 0)
            continue;
        varint_append(cells, cell->value_length);
        buffer_append(cells, record_text(rec, cell->value), cell->value_length);
    }
    varint_append(shape, COLUMN_FILE * 2);
    varint_append(shape, COLUMN_HAS_PIX_ARRAY * 2);
    varint_append(shape, COLUMN_CATEGORY * 2);
    return true;
}

/* ---- outputs that a new record leaves behind ---- */

static bool change_one(struct store *store, enum statement which, const char *path, struct error *err)
{
    if (path == NULL || path[0] == '\0')
        return true;
    sqlite3_stmt *statement = store_statement(store, which, err);
    if (statement == NULL)
        return false;
    (void)sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
    return store_run(store, statement, "write the store", err);
}

bool store_change_stale(struct store *store, enum statement which, const struct row_outputs *outputs,
                        struct error *err)
{
    struct record_frame frame;
    size_t at = 0;
    while (store_frames_next(outputs->frames, outputs->frames_length, &at, &frame))
        if (!change_one(store, which, outputs->frames + frame.png, err))
            return false;
    return change_one(store, which, outputs->settled, err) &&
           change_one(store, which, outputs->planned, err) &&
           change_one(store, which, outputs->failed_copy, err);
}

bool store_change_stale_of(struct store *store, enum statement which, const char *sql, struct error *err)
{
    sqlite3_stmt *rows = NULL;
    bool ok = false;
    if (!store_prepare(store, sql, &rows, err))
        goto out;
    while (store_next(store, rows, &ok, err)) {
        struct row_outputs outputs = {
            .settled = (const char *)sqlite3_column_text(rows, 0),
            .planned = (const char *)sqlite3_column_text(rows, 1),
            .failed_copy = (const char *)sqlite3_column_text(rows, 2),
            .frames = sqlite3_column_blob(rows, 3),
            .frames_length = (size_t)sqlite3_column_bytes(rows, 3),
        };
        if (!store_change_stale(store, which, &outputs, err))
            goto out;
    }
out:
    (void)sqlite3_finalize(rows);
    return ok;
}

bool store_replace_outputs(struct store *store, const struct row_outputs *before,
                           const struct row_outputs *after, struct error *err)
{
    return store_change_stale(store, SQL_ADD_STALE, before, err) &&
           store_change_stale(store, SQL_DROP_STALE, after, err);
}

static bool replace_outputs(struct store *store, sqlite3_stmt *old, const struct record *rec,
                            struct error *err)
{
    struct row_outputs before = {
        .settled = (const char *)sqlite3_column_text(old, 0),
        .planned = (const char *)sqlite3_column_text(old, 1),
        .failed_copy = (const char *)sqlite3_column_text(old, 2),
        .frames = sqlite3_column_blob(old, 3),
        .frames_length = (size_t)sqlite3_column_bytes(old, 3),
    };
    struct row_outputs after = {
        .failed_copy = record_text(rec, rec->failed_copy),
        .frames = store->frame_bytes.data,
        .frames_length = store->frame_bytes.length,
    };
    return store_replace_outputs(store, &before, &after, err);
}

/* ---- the row ---- */

static bool find_old(struct store *store, const struct record *rec, bool *exists, struct error *err)
{
    sqlite3_stmt *find = store_statement(store, SQL_FIND_FILE, err);
    if (find == NULL)
        return false;
    const char *path = record_text(rec, rec->path);
    (void)sqlite3_bind_blob64(find, 1, path, strlen(path), SQLITE_STATIC);
    int code = sqlite3_step(find);
    *exists = code == SQLITE_ROW;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return store_fail(store, err, "read the store");
    if (*exists && !replace_outputs(store, find, rec, err))
        return false;
    (void)sqlite3_reset(find);
    return true;
}

static void bind_record(struct store *store, sqlite3_stmt *row, const struct record *rec, int64_t shape)
{
    const size_t texts[] = {rec->code, rec->reason, rec->transfer_syntax, rec->modality};
    (void)sqlite3_bind_int64(row, 1, (int64_t)rec->size_bytes);
    (void)sqlite3_bind_int64(row, 2, rec->mtime_ns);
    (void)sqlite3_bind_int(row, 3, (int)rec->status);
    (void)sqlite3_bind_int(row, 4, (int)rec->category);
    (void)sqlite3_bind_int64(row, 5, (int64_t)count_pictures(rec));
    (void)sqlite3_bind_int(row, 6,
                           (rec->has_pix_array ? FLAG_HAS_PIX_ARRAY : 0) |
                               (rec->is_uncategorized ? FLAG_UNCATEGORIZED : 0));
    (void)sqlite3_bind_int64(row, 7, shape);
    for (int i = 0; i < 4; i++)
        (void)sqlite3_bind_text(row, 8 + i, record_text(rec, texts[i]), -1, SQLITE_STATIC);
    if (store->claim.length > 0)
        (void)sqlite3_bind_text(row, 12, store->claim.data, (int)store->claim.length, SQLITE_STATIC);
    else
        (void)sqlite3_bind_null(row, 12);
    if (rec->frame_count > 0)
        (void)sqlite3_bind_blob64(row, 13, store->frame_bytes.data, store->frame_bytes.length, SQLITE_STATIC);
    else
        (void)sqlite3_bind_null(row, 13);
    (void)sqlite3_bind_blob64(row, 14, store->cell_bytes.data, store->cell_bytes.length, SQLITE_STATIC);
    (void)sqlite3_bind_text(row, 15, record_text(rec, rec->failed_copy), -1, SQLITE_STATIC);
    const char *path = record_text(rec, rec->path);
    (void)sqlite3_bind_blob64(row, 16, path, strlen(path), SQLITE_STATIC);
    (void)sqlite3_bind_int64(row, 17, (int64_t)rec->seq);
}

bool store_add_record(struct store *store, const struct record *rec, struct error *err)
{
    int64_t shape;
    bool exists;

    buffer_truncate(&store->frame_bytes, 0);
    buffer_truncate(&store->claim, 0);
    store_frames_encode(&store->frame_bytes, rec);
    if (rec->frame_count == 1) {
        const char *png = record_text(rec, rec->frames[0].png);
        buffer_append(&store->claim, png, claimed_length(png));
    }
    if (!store_begin(store, err) || !encode_cells(store, rec, err) || !store_shape_id(store, &shape, err) ||
        !find_old(store, rec, &exists, err))
        return false;
    sqlite3_stmt *row = store_statement(store, exists ? SQL_UPDATE_FILE : SQL_INSERT_FILE, err);
    if (row == NULL)
        return false;
    bind_record(store, row, rec, shape);
    return store_run(store, row, "write the store", err);
}
