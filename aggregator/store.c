#include "aggregator/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aggregator/store_internal.h"
#include "common/alloc.h"
#include "common/hash.h"
#include "common/nolink.h"
#include "schema_sql.h"

#define FILE_VALUES                                                                                    \
    "size, mtime, status, category, pictures, flags, shape, code, reason, transfer_syntax, modality, " \
    "claim, "                                                                                          \
    "frames, cells, failed_copy, path, seq"

#define FILE_PARAMETERS "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17"

static const char *const statement_sql[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_SET_FACT] = "INSERT INTO fact VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
    [SQL_GET_FACT] = "SELECT value FROM fact WHERE name = ?1",
    [SQL_FIND_FILE] = "SELECT settled, planned, failed_copy, frames, id FROM file WHERE path = ?1",
    [SQL_INSERT_FILE] = "INSERT INTO file(" FILE_VALUES ") VALUES (" FILE_PARAMETERS ")",
    [SQL_UPDATE_FILE] = "UPDATE file SET (" FILE_VALUES ", settled, planned) = (" FILE_PARAMETERS
                        ", NULL, NULL) WHERE path = ?16",
    [SQL_UPDATE_NAMED_FILE] = "UPDATE file SET (" FILE_VALUES ") = (" FILE_PARAMETERS ") WHERE path = ?16",
    [SQL_ALL_FILES] = "SELECT " FILE_VALUES " FROM file ORDER BY id",
    [SQL_ADD_MERGED] = "INSERT OR IGNORE INTO merged VALUES (?1)",
    [SQL_INSERT_COLUMN] = "INSERT INTO column_name VALUES (?1, ?2)",
    [SQL_FIND_SHAPE] = "SELECT id FROM shape WHERE digest = ?1",
    [SQL_INSERT_SHAPE] = "INSERT INTO shape(digest, columns) VALUES (?1, ?2)",
    [SQL_GET_SHAPE] = "SELECT columns FROM shape WHERE id = ?1",
    [SQL_KNOWN_FILES] = ("SELECT path, id, size, mtime, status, category, code, settled, planned, frames"
                         " FROM file ORDER BY path"),
    [SQL_ADD_GONE] = "INSERT INTO gone VALUES (?1)",
    [SQL_ADD_STALE] = "INSERT OR IGNORE INTO stale VALUES (?1)",
    [SQL_DROP_STALE] = "DELETE FROM stale WHERE path = ?1",
    [SQL_SET_ANSWERED] = "INSERT INTO answered VALUES (?1, ?2) ON CONFLICT (block) DO UPDATE SET bits = ?2",
    [SQL_SET_NAMES] = "UPDATE file SET settled = ?2, planned = ?3 WHERE id = ?1",
};

/* ---- errors and statements ---- */

bool store_fail(struct store *store, struct error *err, const char *what)
{
    int last = errno; /* when COMMIT fails, SQLite does not note the cause; store_run() cleared this before */
    int code = sqlite3_extended_errcode(store->db);
    int cause = sqlite3_system_errno(store->db) != 0 ? sqlite3_system_errno(store->db) : last;
    char words[160];
    (void)snprintf(words, sizeof words, "%s", sqlite3_errmsg(store->db));
    store->broken = true;
    store->in_transaction = false;
    if (!sqlite3_get_autocommit(store->db)) {
        for (size_t i = 0; i < SQL_COUNT; i++)
            (void)sqlite3_reset(store->statements[i]);
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    switch (code & 0xff) {
    case SQLITE_FULL:
        return error_set(err, ERROR_RETRY, "cannot %s: disk full", what);
    case SQLITE_IOERR:
        if (cause == ENOSPC || cause == EDQUOT || cause == EFBIG)
            return error_set(err, ERROR_RETRY, "cannot %s: disk full (%s)", what, strerror(cause));
        return error_set(err, ERROR_RETRY, "cannot %s: the state database: %s (%s)", what, words,
                         strerror(cause));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(err, ERROR_FATAL, "cannot %s: the state database is in use by another process",
                         what);
    case SQLITE_NOTADB:
        return error_set(err, ERROR_FATAL, "cannot %s: the state database is no database", what);
    case SQLITE_CORRUPT:
        return error_set(err, ERROR_FATAL, "cannot %s: the state database is damaged (%s)", what, words);
    case SQLITE_READONLY:
        return error_set(err, ERROR_RETRY, "cannot %s: the state database cannot be written (%s)", what,
                         words);
    case SQLITE_CANTOPEN:
        if (code == SQLITE_CANTOPEN_SYMLINK)
            return error_set(
                err, ERROR_FATAL,
                "cannot %s: the state database is a symbolic link; StateDirectory says where it is "
                "to lie",
                what);
        return error_set(err, ERROR_RETRY, "cannot %s: the state database cannot be opened (%s)", what,
                         cause != 0 ? strerror(cause) : words);
    default:
        return error_set(err, ERROR_FATAL, "cannot %s: the state database: %s", what, words);
    }
}

bool store_prepare(struct store *store, const char *sql, sqlite3_stmt **statement, struct error *err)
{
    if (sqlite3_prepare_v3(store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) != SQLITE_OK)
        return store_fail(store, err, "use the state database");
    return true;
}

sqlite3_stmt *store_statement(struct store *store, enum statement which, struct error *err)
{
    sqlite3_stmt **statement = &store->statements[which];
    if (*statement == NULL && !store_prepare(store, statement_sql[which], statement, err))
        return NULL;
    (void)sqlite3_reset(*statement);
    return *statement;
}

bool store_run(struct store *store, sqlite3_stmt *statement, const char *what, struct error *err)
{
    int code;
    errno = 0;
    do {
        code = sqlite3_step(statement);
    } while (code == SQLITE_ROW);
    if (code != SQLITE_DONE)
        return store_fail(store, err, what);
    (void)sqlite3_reset(statement);
    return true;
}

bool store_next(struct store *store, sqlite3_stmt *rows, bool *ok, struct error *err)
{
    int code = sqlite3_step(rows);
    *ok = code == SQLITE_DONE;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        (void)store_fail(store, err, "read the store");
    return code == SQLITE_ROW;
}

bool store_exec(struct store *store, const char *sql, const char *what, struct error *err)
{
    errno = 0;
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return store_fail(store, err, what);
    return true;
}

/* ---- opening ---- */

char *store_path(const char *folder, const char *output)
{
    return xasprintf("%s/" STORE_NAME "-%016llx.db", folder, (unsigned long long)hash_text(output));
}

/* SQLite opens its files by their paths, again and again. A folder in them that is exchanged for a link
 * meanwhile shall lead nowhere; nor may a file that it writes have another name. What it opens with O_EXCL
 * (its temporary files) it may look for where it likes. */
static int open_for_sqlite(const char *path, int flags, int mode)
{
    struct stat status;
    if ((flags & O_EXCL) != 0)
        return open(path, flags | O_CLOEXEC | O_NOFOLLOW, mode);
    int descriptor = nolink_open(AT_FDCWD, path, flags, (mode_t)mode);
    if (descriptor < 0 || fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink <= 1)
        return descriptor;
    (void)close(descriptor);
    errno = EMLINK;
    return -1;
}

static int unlink_for_sqlite(const char *path)
{
    return nolink_unlink(AT_FDCWD, path, 0);
}

static void guard_sqlite(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    if (vfs == NULL || vfs->iVersion < 3)
        return;
    (void)vfs->xSetSystemCall(vfs, "open", (sqlite3_syscall_ptr)open_for_sqlite);
    (void)vfs->xSetSystemCall(vfs, "unlink", (sqlite3_syscall_ptr)unlink_for_sqlite);
}

/* SQLite makes files that all may read; ours holds patient data. Closing a descriptor of a file drops all of
 * a process's locks on it (POSIX), hence O_EXCL: an existing file is not touched. */
static void make_private(const char *path)
{
    int descriptor = nolink_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (descriptor >= 0)
        (void)close(descriptor);
}

static bool query_number(struct store *store, const char *sql, int64_t *number, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    bool ok = false;
    if (!store_prepare(store, sql, &statement, err))
        goto out;
    if (sqlite3_step(statement) != SQLITE_ROW) {
        (void)store_fail(store, err, "open the store");
        goto out;
    }
    *number = sqlite3_column_int64(statement, 0);
    ok = true;
out:
    (void)sqlite3_finalize(statement);
    return ok;
}

/* Whose file it is, before anything in it is changed. */
static bool check_identity(struct store *store, bool *is_new, int64_t *version, struct error *err)
{
    int64_t application, objects;
    if (!query_number(store, "PRAGMA application_id", &application, err) ||
        !query_number(store, "PRAGMA user_version", version, err) ||
        !query_number(store, "SELECT count(*) FROM sqlite_schema", &objects, err))
        return false;
    *is_new = application == 0 && *version == 0 && objects == 0;
    if (*is_new)
        return true;
    if (application != STORE_APPLICATION_ID || *version < 1)
        return error_set(err, ERROR_FATAL, "the state database belongs to another program");
    if (*version > STORE_VERSION)
        return error_set(
            err, ERROR_FATAL,
            "the state database was written by a newer niffler-png (schema %lld, this one knows %d)",
            (long long)*version, STORE_VERSION);
    return true;
}

static bool create_schema(struct store *store, struct error *err)
{
    char sql[128];
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                   STORE_APPLICATION_ID, STORE_VERSION);
    return store_exec(store, SCHEMA_SQL, "create the store", err) &&
           store_exec(store, sql, "create the store", err);
}

/* From an older schema, in the transaction that opens the store. */
static bool migrate(struct store *store, int64_t version, struct error *err)
{
    return version >= STORE_VERSION ||
           store_exec(store,
                      "ALTER TABLE file ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;"
                      "CREATE TABLE answered(block INTEGER PRIMARY KEY, bits BLOB NOT NULL);"
                      "PRAGMA user_version = 2",
                      "open the store", err);
}

static bool set_up(struct store *store, struct error *err)
{
    bool is_new;
    int64_t version;
    /* Exclusive before WAL: then SQLite needs no shared memory. cache_size bounds what the parent holds;
     * temp_store=1 lets sorting spill to files. page_size 8 KB: a row of some hundred cells is 5 to 10 KB. */
    if (!store_exec(store,
                    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; PRAGMA page_size = 8192;"
                    "PRAGMA cache_size = -2048; PRAGMA temp_store = 1; PRAGMA mmap_size = 0",
                    "open the store", err) ||
        !check_identity(store, &is_new, &version, err))
        return false;
    /* BEGIN EXCLUSIVE takes the lock, and locking_mode keeps it. */
    if (!store_exec(store,
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 512;"
                    "BEGIN EXCLUSIVE",
                    "open the store", err))
        return false;
    if (is_new ? !create_schema(store, err) : !migrate(store, version, err))
        return false;
    return store_exec(store, "COMMIT; CREATE TEMP TABLE gone(id INTEGER PRIMARY KEY)", "open the store", err);
}

bool store_open(struct store **result, const char *path, struct error *err)
{
    struct store *store = xcalloc(1, sizeof *store);
    struct error ignored;
    bool ok = false;

    *result = NULL;
    guard_sqlite();
    make_private(path);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                SQLITE_OPEN_NOFOLLOW;
    if (sqlite3_open_v2(path, &store->db, flags, NULL) != SQLITE_OK) {
        (void)store_fail(store, err, "open the store");
        goto out;
    }
    if (!set_up(store, err) || !store_columns_load(store, err) || !store_answered_load(store, err))
        goto out;
    *result = store;
    ok = true;
out:
    if (!ok && !store_close(store, &ignored))
        return false;
    return ok;
}

bool store_set_durable(struct store *store, bool is_durable, struct error *err)
{
    store->is_durable = is_durable;
    return store_exec(store, is_durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
                      "open the store", err);
}

bool store_is_durable(const struct store *store)
{
    return store->is_durable;
}

bool store_close(struct store *store, struct error *err)
{
    if (store == NULL)
        return true;
    for (size_t i = 0; i < SQL_COUNT; i++)
        (void)sqlite3_finalize(store->statements[i]);
    if (store->in_transaction)
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    bool ok = sqlite3_close(store->db) == SQLITE_OK;
    store_columns_unload(store);
    store_answered_unload(store);
    for (size_t i = 0; i < SHAPE_CACHE_SIZE; i++)
        buffer_clear(&store->shapes[i].columns);
    free(store->picked);
    free(store->last);
    buffer_clear(&store->shape_bytes);
    buffer_clear(&store->cell_bytes);
    buffer_clear(&store->frame_bytes);
    buffer_clear(&store->claim);
    free(store);
    return ok || error_set(err, ERROR_BUG, "the state database was closed while a statement was running");
}

/* ---- transactions ---- */

bool store_is_broken(const struct store *store)
{
    return store->broken;
}

bool store_begin(struct store *store, struct error *err)
{
    if (store->broken)
        return error_set(err, ERROR_RETRY, "the state database failed before; nothing more is written");
    if (store->in_transaction)
        return true;
    sqlite3_stmt *statement = store_statement(store, SQL_BEGIN, err);
    if (statement == NULL || !store_run(store, statement, "write the store", err))
        return false;
    store->in_transaction = true;
    return true;
}

bool store_commit(struct store *store, struct error *err)
{
    if (!store->in_transaction)
        return true;
    if (!store_answered_write(store, err))
        return false;
    sqlite3_stmt *statement = store_statement(store, SQL_COMMIT, err);
    if (statement == NULL || !store_run(store, statement, "write the store", err))
        return false;
    store->in_transaction = false;
    return true;
}

bool store_sync(struct store *store, struct error *err)
{
    if (!store_commit(store, err))
        return false;
    errno = 0;
    if (sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
        return store_fail(store, err, "write the store");
    return true;
}

/* ---- facts ---- */

bool store_set(struct store *store, const char *name, const char *value, struct error *err)
{
    bool alone = !store->in_transaction;
    if (!store_begin(store, err))
        return false;
    sqlite3_stmt *statement = store_statement(store, SQL_SET_FACT, err);
    if (statement == NULL)
        return false;
    (void)sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 2, value, -1, SQLITE_STATIC);
    return store_run(store, statement, "write the store", err) && (!alone || store_commit(store, err));
}

bool store_get(struct store *store, const char *name, char **value, struct error *err)
{
    *value = NULL;
    sqlite3_stmt *statement = store_statement(store, SQL_GET_FACT, err);
    if (statement == NULL)
        return false;
    (void)sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return store_fail(store, err, "read the store");
    if (code == SQLITE_ROW)
        *value = xstrdup((const char *)sqlite3_column_text(statement, 0));
    (void)sqlite3_reset(statement);
    return true;
}
