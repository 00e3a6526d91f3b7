/* Known files against a scan, as a merge of two sorted lists: where they agree no query is made for a file.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "aggregator/store_internal.h"
#include "common/nolink.h"

/* Columns of SQL_KNOWN_FILES. */
enum { K_PATH, K_ID, K_SIZE, K_MTIME, K_STATUS, K_CATEGORY, K_CODE, K_SETTLED, K_PLANNED, K_FRAMES };

/* Step to the next known file; store->known is NULL behind the last. */
static bool next_known(struct store *store, struct error *err)
{
    int code = sqlite3_step(store->known);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        return store_fail(store, err, "read the store");
    (void)sqlite3_reset(store->known);
    store->known = NULL;
    return true;
}

bool store_reconcile_begin(struct store *store, int output_dir, struct error *err)
{
    store->output_dir = output_dir;
    store->gone = 0;
    if (!store_begin(store, err) || !store_exec(store, "DELETE FROM gone", "write the store", err))
        return false;
    store->known = store_statement(store, SQL_KNOWN_FILES, err);
    return store->known != NULL && next_known(store, err);
}

/* The known file is not in the scan. It is only noted here: deleting below a cursor is not well defined, and
 * a scan that fails half-way must forget nothing. */
static bool forget_known(struct store *store, struct error *err)
{
    sqlite3_stmt *statement = store_statement(store, SQL_ADD_GONE, err);
    if (statement == NULL)
        return false;
    (void)sqlite3_bind_int64(statement, 1, sqlite3_column_int64(store->known, K_ID));
    store->gone++;
    return store_run(store, statement, "write the store", err) && next_known(store, err);
}

static int compare_known(struct store *store, const char *path, size_t length)
{
    const void *known = sqlite3_column_blob(store->known, K_PATH);
    size_t known_length = (size_t)sqlite3_column_bytes(store->known, K_PATH);
    int order = memcmp(known, path, known_length < length ? known_length : length);
    return order != 0 ? order : (known_length > length) - (known_length < length);
}

static bool picture_is_there(int dir, const char *png, uint64_t bytes)
{
    struct stat status;
    return png != NULL && nolink_stat(dir, png, &status) == 0 && S_ISREG(status.st_mode) &&
           (uint64_t)status.st_size == bytes;
}

/* A settled picture lies under that name, or, where a kill came between, still or again under its own or
 * under the planned one (store_names.c, which sorts that out before the job is completed). */
static bool pictures_are_there(struct store *store)
{
    const char *frames = sqlite3_column_blob(store->known, K_FRAMES);
    size_t length = (size_t)sqlite3_column_bytes(store->known, K_FRAMES);
    const char *settled = (const char *)sqlite3_column_text(store->known, K_SETTLED);
    const char *planned = (const char *)sqlite3_column_text(store->known, K_PLANNED);
    struct record_frame frame;
    size_t at = 0;
    while (store_frames_next(frames, length, &at, &frame)) {
        const char *own = frames + frame.png;
        if (own[0] == '\0')
            continue;
        if (settled != NULL && picture_is_there(store->output_dir, settled, frame.png_bytes))
            continue;
        if ((settled == NULL || planned != NULL) && picture_is_there(store->output_dir, own, frame.png_bytes))
            continue;
        if (settled == NULL && picture_is_there(store->output_dir, planned, frame.png_bytes))
            continue;
        return false;
    }
    return true;
}

/* Failures whose cause may have passed: reading the file, writing the picture, a decoder that was broken. The
 * rest lies in the file's bytes, which are the same. */
static bool may_pass(const char *code)
{
    static const char *const passing[] = {CODE_INPUT_MISSING, CODE_INPUT_DENIED,    CODE_INPUT_IO,
                                          CODE_INPUT_CHANGED, CODE_OUTPUT_IO,       CODE_OUTPUT_FULL,
                                          CODE_CRASH_SIGNAL,  CODE_DECODER_PROTOCOL};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (strcmp(code, passing[i]) == 0)
            return true;
    return false;
}

bool store_reconcile_file(struct store *store, const char *path, uint64_t size_bytes, int64_t mtime_ns,
                          bool *is_done, struct error *err)
{
    size_t length = strlen(path);
    int order = 1;
    *is_done = false;
    if (store->broken || !store->in_transaction)
        return error_set(err, ERROR_BUG, "reconciling was not begun");
    while (store->known != NULL && (order = compare_known(store, path, length)) < 0)
        if (!forget_known(store, err))
            return false;
    if (store->known == NULL || order > 0)
        return true;
    *is_done = (uint64_t)sqlite3_column_int64(store->known, K_SIZE) == size_bytes &&
               sqlite3_column_int64(store->known, K_MTIME) == mtime_ns &&
               !may_pass((const char *)sqlite3_column_text(store->known, K_CODE)) &&
               pictures_are_there(store);
    return next_known(store, err);
}

bool store_drop_gone(struct store *store, struct error *err)
{
    return store_change_stale_of(
               store, SQL_ADD_STALE,
               "SELECT settled, planned, failed_copy, frames FROM gone JOIN file USING (id)", err) &&
           store_exec(store, "DELETE FROM file WHERE id IN (SELECT id FROM gone); DELETE FROM gone",
                      "write the store", err);
}

bool store_reconcile_end(struct store *store, uint64_t *forgotten, struct error *err)
{
    *forgotten = 0;
    if (store->broken || !store->in_transaction)
        return error_set(err, ERROR_BUG, "reconciling was not begun");
    while (store->known != NULL)
        if (!forget_known(store, err))
            return false;
    if (store->gone > 0 && !store_drop_gone(store, err))
        return false;
    *forgotten = store->gone;
    return store_commit(store, err);
}
