/* Rows of one store into another: values as they are, columns by their names, since each store numbers its
 * own. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "aggregator/store_internal.h"
#include "common/alloc.h"
#include "common/crash.h"
#include "common/nolink.h"

/* Rows of a transaction. Their cells are some 10 kB each, and all of them pass through the log. */
#define MERGE_BATCH 4096

/* Columns of SQL_ALL_FILES; its parameters in SQL_INSERT_FILE count from 1. */
enum { M_SHAPE = 6, M_FRAMES = 12, M_FAILED_COPY = 14, M_PATH = 15, M_COUNT = 17 };

struct merging {
    struct store *store, *slice;
    int output_dir;
    uint32_t *columns;        /* [id in the slice]: id in the store */
    int64_t shape, new_shape; /* of the row before */
};

/* ---- columns and shapes ---- */

static bool map_columns(struct merging *in, struct error *err)
{
    const struct column_table *table = &in->slice->columns;
    in->columns = xcalloc(table->count, sizeof *in->columns);
    for (size_t id = 1; id < table->count; id++) {
        const struct column_entry *entry = &table->entries[id];
        if (!store_column_id(in->store, table->names.data + entry->name, entry->length, &in->columns[id],
                             err))
            return false;
    }
    return true;
}

static bool translate_shape(struct merging *in, const unsigned char *at, const unsigned char *end)
{
    struct buffer *shape = &in->store->shape_bytes;
    uint64_t value;
    buffer_truncate(shape, 0);
    while (at != NULL && at < end) {
        at = varint_read(at, end, &value);
        if (at == NULL || value / 2 == 0 || value / 2 >= in->slice->columns.count)
            return false;
        varint_append(shape, (uint64_t)in->columns[value / 2] * 2 + value % 2);
    }
    return at != NULL;
}

/* Neighbours mostly share a shape. */
static bool find_shape(struct merging *in, int64_t shape, struct error *err)
{
    if (shape == in->shape)
        return true;
    sqlite3_stmt *get = store_statement(in->slice, SQL_GET_SHAPE, err);
    if (get == NULL)
        return false;
    (void)sqlite3_bind_int64(get, 1, shape);
    int code = sqlite3_step(get);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return store_fail(in->slice, err, "read the store");
    const unsigned char *bytes = code == SQLITE_ROW ? sqlite3_column_blob(get, 0) : NULL;
    bool ok = bytes != NULL && translate_shape(in, bytes, bytes + sqlite3_column_bytes(get, 0));
    (void)sqlite3_reset(get);
    if (!ok)
        return error_set(err, ERROR_FATAL, "the state database of a slice is damaged (shapes)");
    in->shape = shape;
    return store_shape_id(in->store, &in->new_shape, err);
}

/* ---- rows ---- */

static bool lies_there(int dir, const char *path)
{
    struct stat status;
    return nolink_stat(dir, path, &status) == 0;
}

static struct row_outputs outputs_of(sqlite3_stmt *row, int failed_copy, int frames)
{
    return (struct row_outputs){
        .failed_copy = (const char *)sqlite3_column_text(row, failed_copy),
        .frames = sqlite3_column_blob(row, frames),
        .frames_length = (size_t)sqlite3_column_bytes(row, frames),
    };
}

/* Whether the picture has the name that it was settled by, or is about to: it has been moved there, and the
 * slice has not made it again since. */
static bool keeps_name(const struct merging *in, const struct row_outputs *before,
                       const struct row_outputs *after)
{
    struct record_frame old, new;
    size_t at_old = 0, at_new = 0;
    return (before->settled != NULL || before->planned != NULL) &&
           store_frames_next(before->frames, before->frames_length, &at_old, &old) &&
           store_frames_next(after->frames, after->frames_length, &at_new, &new) &&
           strcmp(before->frames + old.png, after->frames + new.png) == 0 &&
           !lies_there(in->output_dir, after->frames + new.png);
}

/* What the store knows of the path: *id is 0 where it knows nothing. */
static bool replace_old(struct merging *in, sqlite3_stmt *row, int64_t *id, bool *is_named, struct error *err)
{
    sqlite3_stmt *find = store_statement(in->store, SQL_FIND_FILE, err);
    *id = 0;
    *is_named = false;
    if (find == NULL)
        return false;
    (void)sqlite3_bind_value(find, 1, sqlite3_column_value(row, M_PATH));
    int code = sqlite3_step(find);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return store_fail(in->store, err, "read the store");
    if (code == SQLITE_ROW) {
        struct row_outputs before = outputs_of(find, 2, 3), after = outputs_of(row, M_FAILED_COPY, M_FRAMES);
        before.settled = (const char *)sqlite3_column_text(find, 0);
        before.planned = (const char *)sqlite3_column_text(find, 1);
        *id = sqlite3_column_int64(find, 4);
        *is_named = keeps_name(in, &before, &after);
        if (*is_named)
            before.settled = before.planned = NULL;
        if (!store_replace_outputs(in->store, &before, &after, err))
            return false;
    }
    (void)sqlite3_reset(find);
    return true;
}

static bool note_merged(struct store *store, int64_t id, struct error *err)
{
    sqlite3_stmt *note = store_statement(store, SQL_ADD_MERGED, err);
    if (note == NULL)
        return false;
    (void)sqlite3_bind_int64(note, 1, id);
    return store_run(store, note, "write the store", err);
}

static bool take_row(struct merging *in, sqlite3_stmt *row, struct error *err)
{
    struct store *store = in->store;
    int64_t id;
    bool is_named;
    if (!store_begin(store, err) || !find_shape(in, sqlite3_column_int64(row, M_SHAPE), err) ||
        !replace_old(in, row, &id, &is_named, err))
        return false;
    sqlite3_stmt *write = store_statement(store,
                                          id == 0    ? SQL_INSERT_FILE
                                          : is_named ? SQL_UPDATE_NAMED_FILE
                                                     : SQL_UPDATE_FILE,
                                          err);
    if (write == NULL)
        return false;
    for (int i = 0; i < M_COUNT; i++)
        (void)sqlite3_bind_value(write, i + 1, sqlite3_column_value(row, i));
    (void)sqlite3_bind_int64(write, M_SHAPE + 1, in->new_shape);
    return store_run(store, write, "write the store", err) &&
           note_merged(store, id == 0 ? sqlite3_last_insert_rowid(store->db) : id, err);
}

static bool take_rows(struct merging *in, struct error *err)
{
    sqlite3_stmt *rows = store_statement(in->slice, SQL_ALL_FILES, err);
    size_t count = 0;
    bool ok = false;
    if (rows == NULL)
        return false;
    while (store_next(in->slice, rows, &ok, err))
        if (!take_row(in, rows, err) || (++count % MERGE_BATCH == 0 && !store_commit(in->store, err)))
            return false;
    (void)sqlite3_reset(rows);
    return ok;
}

/* ---- outputs that the slice left behind ---- */

static bool take_stale(struct merging *in, struct error *err)
{
    sqlite3_stmt *rows = NULL;
    bool ok = false;
    if (!store_begin(in->store, err) || !store_prepare(in->slice, "SELECT path FROM stale", &rows, err))
        goto out;
    while (store_next(in->slice, rows, &ok, err)) {
        sqlite3_stmt *add = store_statement(in->store, SQL_ADD_STALE, err);
        if (add == NULL)
            goto out;
        (void)sqlite3_bind_value(add, 1, sqlite3_column_value(rows, 0));
        if (!store_run(in->store, add, "write the store", err))
            goto out;
    }
out:
    (void)sqlite3_finalize(rows);
    return ok;
}

/* ---- the whole ---- */

bool store_merge_begin(struct store *store, struct error *err)
{
    return store_exec(store,
                      "CREATE TEMP TABLE IF NOT EXISTS merged(id INTEGER PRIMARY KEY); DELETE FROM merged",
                      "use the store", err);
}

bool store_merge(struct store *store, struct store *slice, int output_dir, struct error *err)
{
    struct merging in = {.store = store, .slice = slice, .output_dir = output_dir};
    bool ok = store_begin(store, err) && map_columns(&in, err) && take_rows(&in, err) && take_stale(&in, err);
    free(in.columns);
    CRASH_POINT("merge.slice_read");
    /* The store first, on disk: the slice's list may be lost only when it is there. */
    if (!ok || !store_sync(store, err))
        return false;
    CRASH_POINT("merge.slice_taken");
    return store_exec(slice, "DELETE FROM stale", "write the store", err);
}

bool store_merge_end(struct store *store, uint64_t *forgotten, struct error *err)
{
    *forgotten = 0;
    if (!store_begin(store, err) ||
        !store_exec(store,
                    "DELETE FROM gone;"
                    "INSERT INTO gone SELECT id FROM file WHERE id NOT IN (SELECT id FROM merged)",
                    "write the store", err))
        return false;
    *forgotten = (uint64_t)sqlite3_changes(store->db);
    return (*forgotten == 0 || store_drop_gone(store, err)) && store_commit(store, err);
}

/* ---- the way back ---- */

static bool tell_name(struct store *store, struct store *slice, sqlite3_stmt *row, struct error *err)
{
    sqlite3_stmt *find = store_statement(store, SQL_FIND_FILE, err);
    if (find == NULL)
        return false;
    (void)sqlite3_bind_value(find, 1, sqlite3_column_value(row, 1));
    int code = sqlite3_step(find);
    if (code == SQLITE_DONE)
        return true;
    if (code != SQLITE_ROW)
        return store_fail(store, err, "read the store");
    sqlite3_stmt *set = store_statement(slice, SQL_SET_NAMES, err);
    if (set == NULL)
        return false;
    (void)sqlite3_bind_int64(set, 1, sqlite3_column_int64(row, 0));
    (void)sqlite3_bind_value(set, 2, sqlite3_column_value(find, 0));
    (void)sqlite3_bind_null(set, 3);
    (void)sqlite3_reset(find);
    return store_run(slice, set, "write the store", err);
}

bool store_merge_names(struct store *store, struct store *slice, struct error *err)
{
    sqlite3_stmt *rows = NULL;
    bool ok = false;
    /* The list is made first: rows are changed below. */
    if (!store_begin(slice, err) ||
        !store_exec(slice,
                    "CREATE TEMP TABLE IF NOT EXISTS told(id INTEGER PRIMARY KEY); DELETE FROM told;"
                    "INSERT INTO told SELECT id FROM file WHERE claim IS NOT NULL",
                    "write the store", err) ||
        !store_prepare(slice, "SELECT id, path FROM told JOIN file USING (id) ORDER BY id", &rows, err))
        goto out;
    while (store_next(slice, rows, &ok, err))
        if (!tell_name(store, slice, rows, err)) {
            ok = false;
            goto out;
        }
out:
    (void)sqlite3_finalize(rows);
    return ok && store_commit(slice, err);
}
