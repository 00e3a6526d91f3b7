#include <stdlib.h>
#include <string.h>

#include "aggregator/store_internal.h"
#include "common/alloc.h"

/* ---- counts ---- */

bool store_counts(struct store *store, struct store_counts *counts, struct error *err)
{
    sqlite3_stmt *rows = NULL;
    bool ok = false;
    *counts = (struct store_counts){0};
    if (!store_prepare(store,
                       "SELECT status, category, count(*), sum(pictures) FROM file GROUP BY status, category",
                       &rows, err))
        goto out;
    while (store_next(store, rows, &ok, err)) {
        int status = sqlite3_column_int(rows, 0), category = sqlite3_column_int(rows, 1);
        uint64_t files = (uint64_t)sqlite3_column_int64(rows, 2);
        counts->found += files;
        counts->converted += status == RECORD_CONVERTED ? files : 0;
        counts->no_image += status == RECORD_NO_IMAGE ? files : 0;
        counts->ignored += status == RECORD_IGNORED ? files : 0;
        counts->failed += status == RECORD_FAILED ? files : 0;
        counts->pictures += (uint64_t)sqlite3_column_int64(rows, 3);
        if ((status == RECORD_FAILED && category >= CATEGORY_NOT_USABLE && category <= CATEGORY_TOO_MANY) ||
            category == CATEGORY_TOO_MANY)
            counts->failed_by_category[category] += files;
    }
out:
    (void)sqlite3_finalize(rows);
    return ok;
}

/* ---- columns ---- */

/* The columns of the table being gathered, found by id. */
struct gathering {
    struct store_column *columns;
    size_t count, capacity;
    size_t *place; /* [column id]: index + 1 in `columns`; 0: not seen yet */
};

static struct store_column *gather(struct gathering *all, const struct column_table *table, uint64_t id)
{
    if (all->place[id] == 0) {
        if (all->count == all->capacity) {
            all->capacity = all->capacity == 0 ? 256 : all->capacity * 2;
            all->columns = xrealloc_array(all->columns, all->capacity, sizeof *all->columns);
        }
        const struct column_entry *entry = &table->entries[id];
        all->columns[all->count] = (struct store_column){
            .id = (int64_t)id, .name = xmemdup_text(table->names.data + entry->name, entry->length)};
        all->place[id] = ++all->count;
    }
    return &all->columns[all->place[id] - 1];
}

static bool gather_shape(struct gathering *all, const struct column_table *table, const void *bytes,
                         size_t length, uint64_t files)
{
    const unsigned char *at = bytes, *end = at + length;
    uint64_t value;
    while (at < end) {
        at = varint_read(at, end, &value);
        if (at == NULL || value / 2 == 0 || value / 2 >= table->count)
            return false;
        struct store_column *column = gather(all, table, value / 2);
        column->populated += value % 2 == 0 ? files : 0;
    }
    return true;
}

/* Within one shape the columns have one order, and only a shape's first file can bring a column that is new.
 * So the shapes, by the first path each, give the order of the table. */
bool store_columns(struct store *store, struct store_column **columns, size_t *count, uint64_t *rows,
                   struct error *err)
{
    struct gathering all = {0};
    sqlite3_stmt *shapes = NULL;
    bool ok = false;

    *columns = NULL;
    *count = 0;
    *rows = 0;
    all.place = xcalloc(store->columns.count, sizeof *all.place);
    if (!store_prepare(
            store,
            "SELECT files, columns FROM (SELECT shape, count(*) AS files, min(path) AS first FROM file"
            " WHERE status <> 2 GROUP BY shape) JOIN shape ON shape.id = shape ORDER BY first",
            &shapes, err))
        goto out;
    while (store_next(store, shapes, &ok, err)) {
        uint64_t files = (uint64_t)sqlite3_column_int64(shapes, 0);
        const void *bytes = sqlite3_column_blob(shapes, 1);
        *rows += files;
        if (!gather_shape(&all, &store->columns, bytes, (size_t)sqlite3_column_bytes(shapes, 1), files)) {
            (void)error_set(err, ERROR_FATAL, "the state database is damaged (shapes)");
            goto out;
        }
    }
    if (!ok)
        goto out;
    *columns = all.columns;
    *count = all.count;
out:
    (void)sqlite3_finalize(shapes);
    free(all.place);
    if (!ok)
        store_columns_free(all.columns, all.count);
    return ok;
}

void store_columns_free(struct store_column *columns, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(columns[i].name);
    free(columns);
}

/* ---- rows ---- */

_Static_assert(RECORD_IGNORED == 2, "the queries below and above say status <> 2");

enum {
    R_PATH,
    R_STATUS,
    R_CATEGORY,
    R_FLAGS,
    R_SHAPE,
    R_CODE,
    R_REASON,
    R_TRANSFER_SYNTAX,
    R_MODALITY,
    R_SETTLED,
    R_FRAMES,
    R_CELLS
};

/* What a row is decoded into; kept from row to row. */
struct reading {
    struct buffer path, text;
    struct record_frame *frames;
    size_t frame_count, frame_capacity;
    int64_t shape; /* whose columns are below; 0: none */
    int64_t *columns;
    const char **values;
    size_t *lengths;
    size_t column_count, column_capacity; /* of columns that are filled */
};

static void reading_clear(struct reading *in)
{
    buffer_clear(&in->path);
    buffer_clear(&in->text);
    free(in->frames);
    free(in->columns);
    free(in->values);
    free(in->lengths);
}

static bool read_frames(struct reading *in, sqlite3_stmt *rows)
{
    const char *blob = sqlite3_column_blob(rows, R_FRAMES);
    size_t length = (size_t)sqlite3_column_bytes(rows, R_FRAMES);
    const char *settled = (const char *)sqlite3_column_text(rows, R_SETTLED);
    size_t at = 0;

    in->frame_count = 0;
    buffer_truncate(&in->text, 0);
    buffer_append(&in->text, "", 1);
    if (blob == NULL)
        return true;
    buffer_truncate(&in->text, 0);
    buffer_append(&in->text, blob, length);
    for (;;) {
        if (in->frame_count == in->frame_capacity) {
            in->frame_capacity = in->frame_capacity == 0 ? 4 : in->frame_capacity * 2;
            in->frames = xrealloc_array(in->frames, in->frame_capacity, sizeof *in->frames);
        }
        if (!store_frames_next(in->text.data, length, &at, &in->frames[in->frame_count]))
            break;
        in->frame_count++;
    }
    if (settled != NULL && in->frame_count == 1) {
        in->frames[0].png = in->text.length;
        buffer_append(&in->text, settled, strlen(settled) + 1);
    }
    return at == length;
}

/* The filled columns of the row's shape. Neighbours by path mostly share one. */
static bool read_shape(struct store *store, struct reading *in, int64_t shape, struct error *err)
{
    if (in->shape == shape)
        return true;
    sqlite3_stmt *get = store_statement(store, SQL_GET_SHAPE, err);
    if (get == NULL)
        return false;
    (void)sqlite3_bind_int64(get, 1, shape);
    int code = sqlite3_step(get);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return store_fail(store, err, "read the store");
    const unsigned char *at = code == SQLITE_ROW ? sqlite3_column_blob(get, 0) : NULL;
    const unsigned char *end = at == NULL ? NULL : at + sqlite3_column_bytes(get, 0);
    in->column_count = 0;
    while (at != NULL && at < end) {
        uint64_t value;
        at = varint_read(at, end, &value);
        if (at == NULL || value / 2 == 0 || value / 2 >= store->columns.count)
            break;
        if (value % 2 == 1 || value / 2 <= COLUMN_CATEGORY)
            continue;
        if (in->column_count == in->column_capacity) {
            in->column_capacity = in->column_capacity == 0 ? 512 : in->column_capacity * 2;
            in->columns = xrealloc_array(in->columns, in->column_capacity, sizeof *in->columns);
            in->values = xrealloc_array(in->values, in->column_capacity, sizeof *in->values);
            in->lengths = xrealloc_array(in->lengths, in->column_capacity, sizeof *in->lengths);
        }
        in->columns[in->column_count++] = (int64_t)(value / 2);
    }
    bool ok = at != NULL && at == end;
    (void)sqlite3_reset(get);
    in->shape = shape;
    return ok || error_set(err, ERROR_FATAL, "the state database is damaged (shapes)");
}

static bool read_cells(struct reading *in, sqlite3_stmt *rows)
{
    const unsigned char *at = sqlite3_column_blob(rows, R_CELLS);
    const unsigned char *end = at == NULL ? NULL : at + sqlite3_column_bytes(rows, R_CELLS);
    for (size_t i = 0; i < in->column_count; i++) {
        uint64_t length;
        if (at == NULL || (at = varint_read(at, end, &length)) == NULL || length > (uint64_t)(end - at))
            return false;
        in->values[i] = (const char *)at;
        in->lengths[i] = (size_t)length;
        at += length;
    }
    return at == end;
}

static bool read_row(struct store *store, struct reading *in, sqlite3_stmt *rows, struct store_row *row,
                     struct error *err)
{
    if (!read_shape(store, in, sqlite3_column_int64(rows, R_SHAPE), err))
        return false;
    if (!read_frames(in, rows) || !read_cells(in, rows))
        return error_set(err, ERROR_FATAL, "the state database is damaged (a row)");
    buffer_truncate(&in->path, 0);
    const void *path = sqlite3_column_blob(rows, R_PATH);
    buffer_append(&in->path, path, (size_t)sqlite3_column_bytes(rows, R_PATH));
    int flags = sqlite3_column_int(rows, R_FLAGS);
    *row = (struct store_row){
        .path = buffer_text(&in->path),
        .status = (enum record_status)sqlite3_column_int(rows, R_STATUS),
        .category = (enum category)sqlite3_column_int(rows, R_CATEGORY),
        .code = (const char *)sqlite3_column_text(rows, R_CODE),
        .reason = (const char *)sqlite3_column_text(rows, R_REASON),
        .transfer_syntax = (const char *)sqlite3_column_text(rows, R_TRANSFER_SYNTAX),
        .modality = (const char *)sqlite3_column_text(rows, R_MODALITY),
        .frames = in->frames,
        .frame_count = in->frame_count,
        .text = in->text.data,
        .cell_count = in->column_count,
        .cell_columns = in->columns,
        .cell_values = in->values,
        .cell_lengths = in->lengths,
        .has_pix_array = (flags & FLAG_HAS_PIX_ARRAY) != 0,
        .is_uncategorized = (flags & FLAG_UNCATEGORIZED) != 0,
    };
    return true;
}

bool store_each(struct store *store, store_row_fn *each, void *context, struct error *err)
{
    struct reading in = {0};
    sqlite3_stmt *rows = NULL;
    bool ok = false;
    if (!store_prepare(
            store,
            "SELECT path, status, category, flags, shape, code, reason, transfer_syntax, modality, settled,"
            " frames, cells FROM file WHERE status <> 2 ORDER BY path",
            &rows, err))
        goto out;
    while (store_next(store, rows, &ok, err)) {
        struct store_row row;
        if (!read_row(store, &in, rows, &row, err) || !each(context, &row, err))
            goto out;
    }
out:
    (void)sqlite3_finalize(rows);
    reading_clear(&in);
    return ok;
}
