/* Which file gets which picture name under compatibility, and removing outputs that no file has.
 *
 * Two files may want one name; who comes first by path gets it. Who that is can change when files are added
 * or go away, and the process may die between any two system calls. So a name passes through the row before
 * it changes on disk, and on disk a picture only moves between its own name, which no other file can have,
 * and settled names:
 *
 *     recover    where a kill came between, look which of the two names is there, and say so in the row
 *     plan       planned = the name it shall have, for each row whose name is another
 *     move out   settled -> own, for each row with a plan: now every settled name that is planned is free
 *     sweep      delete what is left under names that no row has (a changed or removed file's old picture)
 *     move in    own -> planned
 *
 * Between any two steps the rows are committed and synced, so each step finds a state that only its
 * predecessors and itself can have made: while moving out nothing moves in, so a picture under a settled name
 * is that row's; once swept, a picture under a planned name has moved in. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aggregator/store_internal.h"
#include "common/crash.h"
#include "common/nolink.h"
#include "common/outputs.h"

#define IMAGES_FOLDER OUTPUTS_IMAGES "/"
#define FAILED_FOLDER OUTPUTS_FAILED "/"

/* A row with a plan. */
struct move {
    int64_t id;
    const char *own, *settled, *planned; /* borrowed from the statement; settled may be NULL */
};
typedef bool move_fn(struct store *store, int dir, const struct move *move, struct error *err);

static bool is_there(int dir, const char *png)
{
    struct stat status;
    return nolink_stat(dir, png, &status) == 0;
}

static bool set_names(struct store *store, int64_t id, const char *settled, const char *planned,
                      struct error *err)
{
    sqlite3_stmt *statement = store_statement(store, SQL_SET_NAMES, err);
    if (statement == NULL)
        return false;
    (void)sqlite3_bind_int64(statement, 1, id);
    (void)sqlite3_bind_text(statement, 2, settled, -1, SQLITE_TRANSIENT); /* NULL binds NULL */
    (void)sqlite3_bind_text(statement, 3, planned, -1, SQLITE_TRANSIENT);
    return store_run(store, statement, "write the store", err);
}

/* Names come from the database, so look before touching the disk. Returns the length of the folder's name
 * that the path begins with, 0 where it is none of the output folders' files. */
static size_t output_folder(const char *path)
{
    size_t length = strncmp(path, IMAGES_FOLDER, strlen(IMAGES_FOLDER)) == 0   ? strlen(IMAGES_FOLDER)
                    : strncmp(path, FAILED_FOLDER, strlen(FAILED_FOLDER)) == 0 ? strlen(FAILED_FOLDER)
                                                                               : 0;
    return strstr(path, "/../") == NULL && path[strlen(path) - 1] != '/' ? length : 0;
}

static bool move_file(int dir, const char *from, const char *to, struct error *err)
{
    if (output_folder(from) == 0 || output_folder(to) == 0)
        return error_set(err, ERROR_FATAL, "the state database is damaged (picture names)");
    if (nolink_rename(dir, from, to) == 0)
        return true;
    if (errno == ENOENT)
        return error_set(err, ERROR_INPUT, "a picture disappeared while pictures were named; start again");
    return error_errno(err, ERROR_RETRY, "cannot rename a picture");
}

/* ---- the steps ---- */

static bool recover(struct store *store, int dir, const struct move *move, struct error *err)
{
    if (move->settled != NULL) /* moving out may have begun */
        return is_there(dir, move->settled) ? set_names(store, move->id, move->settled, NULL, err)
                                            : set_names(store, move->id, NULL, NULL, err);
    if (!is_there(dir, move->own) && is_there(dir, move->planned)) /* moved in */
        return set_names(store, move->id, move->planned, NULL, err);
    return set_names(store, move->id, NULL, NULL, err);
}

static bool move_out(struct store *store, int dir, const struct move *move, struct error *err)
{
    if (move->settled == NULL)
        return true;
    return move_file(dir, move->settled, move->own, err) &&
           set_names(store, move->id, NULL, move->planned, err);
}

static bool move_in(struct store *store, int dir, const struct move *move, struct error *err)
{
    return move_file(dir, move->own, move->planned, err) &&
           set_names(store, move->id, move->planned, NULL, err);
}

/* `step` for every row with a plan, then commit and sync. The list is made first: a cursor that looked for
 * plans while the steps change them could miss some. */
static bool each_move(struct store *store, int dir, move_fn *step, struct error *err)
{
    sqlite3_stmt *rows = NULL;
    bool ok = false;
    if (!store_begin(store, err) ||
        !store_exec(store,
                    "DELETE FROM moving; INSERT INTO moving SELECT id FROM file WHERE planned IS NOT NULL",
                    "write the store", err) ||
        !store_prepare(store,
                       "SELECT id, frames, settled, planned FROM moving JOIN file USING (id) ORDER BY id",
                       &rows, err))
        goto out;
    while (store_next(store, rows, &ok, err)) {
        struct record_frame frame;
        size_t at = 0;
        const char *frames = sqlite3_column_blob(rows, 1);
        struct move move = {.id = sqlite3_column_int64(rows, 0)};
        if (!store_frames_next(frames, (size_t)sqlite3_column_bytes(rows, 1), &at, &frame)) {
            (void)error_set(err, ERROR_FATAL, "the state database is damaged (a plan without a picture)");
            goto out;
        }
        move.own = frames + frame.png;
        move.settled = (const char *)sqlite3_column_text(rows, 2);
        move.planned = (const char *)sqlite3_column_text(rows, 3);
        if (!step(store, dir, &move, err))
            goto out;
    }
out:
    (void)sqlite3_finalize(rows);
    return ok && store_sync(store, err);
}

/* ---- planning ---- */

/* "<name>.png" for the first, "<name>_2.png" for the second … */
static void wanted_name(struct buffer *out, const char *claim, uint64_t rank)
{
    buffer_truncate(out, 0);
    buffer_append_text(out, claim);
    if (rank > 1) {
        buffer_append_char(out, '_');
        buffer_append_u64(out, rank);
    }
    buffer_append_text(out, ".png");
}

/* Rows that claim a name, grouped by it, in path order within: sorted by SQLite, in files if need be. */
static bool plan_names(struct store *store, struct error *err)
{
    sqlite3_stmt *rows = NULL, *insert = NULL;
    struct buffer claim = {0}, wanted = {0};
    uint64_t rank = 0;
    bool ok = false;

    if (!store_begin(store, err) || !store_exec(store, "DELETE FROM plan", "write the store", err) ||
        !store_prepare(store,
                       "SELECT id, claim, settled FROM file WHERE claim IS NOT NULL ORDER BY claim, path",
                       &rows, err) ||
        !store_prepare(store, "INSERT INTO plan VALUES (?1, ?2)", &insert, err))
        goto out;
    while (store_next(store, rows, &ok, err)) {
        const char *name = (const char *)sqlite3_column_text(rows, 1);
        const char *settled = (const char *)sqlite3_column_text(rows, 2);
        rank = claim.length > 0 && strcmp(buffer_text(&claim), name) == 0 ? rank + 1 : 1;
        buffer_truncate(&claim, 0);
        buffer_append_text(&claim, name);
        wanted_name(&wanted, name, rank);
        if (settled != NULL && strcmp(settled, buffer_text(&wanted)) == 0)
            continue;
        (void)sqlite3_reset(insert);
        (void)sqlite3_bind_int64(insert, 1, sqlite3_column_int64(rows, 0));
        (void)sqlite3_bind_text(insert, 2, wanted.data, (int)wanted.length, SQLITE_STATIC);
        if (!store_run(store, insert, "write the store", err))
            goto out;
    }
out:
    (void)sqlite3_finalize(rows);
    (void)sqlite3_finalize(insert);
    buffer_clear(&claim);
    buffer_clear(&wanted);
    return ok &&
           store_exec(
               store,
               "UPDATE file SET planned = plan.name FROM plan WHERE file.id = plan.id; DELETE FROM plan",
               "write the store", err) &&
           store_sync(store, err);
}

/* ---- sweeping ---- */

/* Take from `stale` every name that a row has. */
static bool spare_used(struct store *store, struct error *err)
{
    /* Not what is only planned: no file may have that name yet. */
    return store_change_stale_of(store, SQL_DROP_STALE,
                                 "SELECT settled, NULL, failed_copy, frames FROM file"
                                 " WHERE pictures > 0 OR failed_copy <> ''",
                                 err);
}

/* The folders above a deleted file, as far as they are empty; the output folder itself stays. */
static void remove_empty_folders(int dir, char *path, size_t keep)
{
    for (char *slash = strrchr(path, '/'); slash != NULL && slash > path + keep; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (nolink_unlink(dir, path, AT_REMOVEDIR) != 0)
            return;
    }
}

static bool delete_stale(struct store *store, int dir, struct error *err)
{
    sqlite3_stmt *rows = NULL;
    struct buffer path = {0};
    bool ok = false;
    if (!store_prepare(store, "SELECT path FROM stale", &rows, err))
        goto out;
    while (store_next(store, rows, &ok, err)) {
        const char *name = (const char *)sqlite3_column_text(rows, 0);
        size_t folder = output_folder(name);
        if (folder == 0)
            continue;
        if (nolink_unlink(dir, name, 0) != 0 && errno != ENOENT && errno != ENOTDIR) {
            (void)error_errno(err, ERROR_RETRY, "cannot delete an old output of a changed or removed file");
            goto out;
        }
        buffer_truncate(&path, 0);
        buffer_append(&path, name, strlen(name) + 1);
        /* A run without failures has no failed-dicom; extracted-images is there in any case. */
        bool is_copy = strncmp(name, FAILED_FOLDER, strlen(FAILED_FOLDER)) == 0;
        remove_empty_folders(dir, path.data, is_copy ? 0 : folder);
        CRASH_POINT("aggregator.stale_removed");
    }
out:
    (void)sqlite3_finalize(rows);
    buffer_clear(&path);
    return ok;
}

static bool has_stale(struct store *store, bool *has, struct error *err)
{
    sqlite3_stmt *row = NULL;
    if (!store_prepare(store, "SELECT 1 FROM stale LIMIT 1", &row, err))
        return false;
    int code = sqlite3_step(row);
    *has = code == SQLITE_ROW;
    bool ok = code == SQLITE_ROW || code == SQLITE_DONE || store_fail(store, err, "read the store");
    (void)sqlite3_finalize(row);
    return ok;
}

bool store_sweep(struct store *store, int output_dir, struct error *err)
{
    bool has;
    if (!has_stale(store, &has, err))
        return false;
    if (!has)
        return true;
    return store_begin(store, err) && spare_used(store, err) && delete_stale(store, output_dir, err) &&
           store_exec(store, "DELETE FROM stale", "write the store", err) && store_sync(store, err);
}

bool store_settle_names(struct store *store, int output_dir, struct error *err)
{
    return store_exec(store,
                      "CREATE TEMP TABLE IF NOT EXISTS moving(id INTEGER PRIMARY KEY);"
                      "CREATE TEMP TABLE IF NOT EXISTS plan(id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
                      "use the store", err) &&
           each_move(store, output_dir, recover, err) && plan_names(store, err) &&
           each_move(store, output_dir, move_out, err) && store_sweep(store, output_dir, err) &&
           each_move(store, output_dir, move_in, err);
}
