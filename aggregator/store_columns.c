/* Column names and shapes: the two dictionaries of the store. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "aggregator/store_internal.h"
#include "common/alloc.h"

/* Eight bytes a step: names are short and there are hundreds in each record. */
static uint64_t hash_bytes(const void *bytes, size_t length, uint64_t seed)
{
    const unsigned char *at = bytes;
    uint64_t hash = seed ^ (length * 0x9e3779b97f4a7c15u);
    while (length > 0) {
        uint64_t word = 0;
        size_t step = length < 8 ? length : 8;
        memcpy(&word, at, step);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
        at += step;
        length -= step;
    }
    return hash ^ (hash >> 29);
}

/* ---- columns ---- */

static size_t free_slot(const struct column_table *table, uint64_t hash)
{
    size_t slot = hash & (table->slot_count - 1);
    while (table->slots[slot] != 0)
        slot = (slot + 1) & (table->slot_count - 1);
    return slot;
}

static void grow_slots(struct column_table *table)
{
    free(table->slots);
    table->slot_count = table->slot_count == 0 ? 1024 : table->slot_count * 2;
    table->slots = xcalloc(table->slot_count, sizeof *table->slots);
    for (size_t id = 1; id < table->count; id++)
        table->slots[free_slot(table, table->entries[id].hash)] = (uint32_t)id;
}

static uint32_t remember_column(struct column_table *table, const char *name, size_t length, uint64_t hash)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 1024 : table->capacity * 2;
        table->entries = xrealloc_array(table->entries, table->capacity, sizeof *table->entries);
    }
    if (table->count == 0) /* no column has the id 0 */
        table->entries[table->count++] = (struct column_entry){0};
    if ((table->count + 1) * 2 > table->slot_count)
        grow_slots(table);
    uint32_t id = (uint32_t)table->count++;
    table->entries[id] = (struct column_entry){.name = table->names.length, .length = length, .hash = hash};
    buffer_append(&table->names, name, length);
    table->slots[free_slot(table, hash)] = id;
    return id;
}

bool store_columns_load(struct store *store, struct error *err)
{
    struct column_table *table = &store->columns;
    sqlite3_stmt *statement = NULL;
    bool ok = false;

    if (getrandom(&table->seed, sizeof table->seed, GRND_NONBLOCK) != (ssize_t)sizeof table->seed)
        table->seed = (uint64_t)(uintptr_t)store; /* early at boot; an address is hard to guess, too */
    if (!store_prepare(store, "SELECT id, name FROM column_name ORDER BY id", &statement, err))
        goto out;
    while (store_next(store, statement, &ok, err)) {
        const char *name = sqlite3_column_blob(statement, 1);
        size_t length = (size_t)sqlite3_column_bytes(statement, 1);
        uint32_t id = remember_column(table, name, length, hash_bytes(name, length, table->seed));
        if (sqlite3_column_int64(statement, 0) != id) {
            (void)error_set(err, ERROR_FATAL, "the state database is damaged (column ids)");
            goto out;
        }
    }
    if (!ok)
        goto out;
    if (table->count <= COLUMN_CATEGORY) {
        (void)error_set(err, ERROR_FATAL, "the state database is damaged (columns missing)");
        goto out;
    }
out:
    (void)sqlite3_finalize(statement);
    return ok;
}

void store_columns_unload(struct store *store)
{
    free(store->columns.entries);
    free(store->columns.slots);
    buffer_clear(&store->columns.names);
    store->columns = (struct column_table){0};
}

bool store_column_id(struct store *store, const char *name, size_t length, uint32_t *id, struct error *err)
{
    struct column_table *table = &store->columns;
    uint64_t hash = hash_bytes(name, length, table->seed);
    for (size_t slot = hash & (table->slot_count - 1); table->slots[slot] != 0;
         slot = (slot + 1) & (table->slot_count - 1)) {
        const struct column_entry *entry = &table->entries[table->slots[slot]];
        if (entry->hash == hash && entry->length == length &&
            memcmp(table->names.data + entry->name, name, length) == 0) {
            *id = table->slots[slot];
            return true;
        }
    }
    sqlite3_stmt *statement = store_statement(store, SQL_INSERT_COLUMN, err);
    if (statement == NULL)
        return false;
    (void)sqlite3_bind_int64(statement, 1, (int64_t)table->count);
    (void)sqlite3_bind_blob64(statement, 2, name, length, SQLITE_STATIC);
    if (!store_run(store, statement, "write the store", err))
        return false;
    *id = remember_column(table, name, length, hash);
    return true;
}

/* ---- shapes ---- */

static bool find_shape(struct store *store, const unsigned char *digest, unsigned digest_length, int64_t *id,
                       struct error *err)
{
    sqlite3_stmt *statement = store_statement(store, SQL_FIND_SHAPE, err);
    if (statement == NULL)
        return false;
    (void)sqlite3_bind_blob(statement, 1, digest, (int)digest_length, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return store_fail(store, err, "read the store");
    *id = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_reset(statement);
    return true;
}

static bool find_or_insert_shape(struct store *store, int64_t *id, struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_length = 0;
    const struct buffer *columns = &store->shape_bytes;
    if (EVP_Digest(columns->data, columns->length, digest, &digest_length, EVP_sha256(), NULL) != 1)
        return error_set(err, ERROR_FATAL, "cannot compute SHA-256");
    if (!find_shape(store, digest, digest_length, id, err))
        return false;
    if (*id != 0)
        return true;
    sqlite3_stmt *statement = store_statement(store, SQL_INSERT_SHAPE, err);
    if (statement == NULL)
        return false;
    (void)sqlite3_bind_blob(statement, 1, digest, (int)digest_length, SQLITE_STATIC);
    (void)sqlite3_bind_blob64(statement, 2, columns->data, columns->length, SQLITE_STATIC);
    if (!store_run(store, statement, "write the store", err))
        return false;
    *id = sqlite3_last_insert_rowid(store->db);
    return true;
}

bool store_shape_id(struct store *store, int64_t *id, struct error *err)
{
    const struct buffer *columns = &store->shape_bytes;
    struct cached_shape *cached =
        &store->shapes[hash_bytes(columns->data, columns->length, store->columns.seed) % SHAPE_CACHE_SIZE];
    if (cached->id != 0 && cached->columns.length == columns->length &&
        memcmp(cached->columns.data, columns->data, columns->length) == 0) {
        *id = cached->id;
        return true;
    }
    if (!find_or_insert_shape(store, id, err))
        return false;
    if (columns->length <= SHAPE_CACHE_BYTES) {
        buffer_truncate(&cached->columns, 0);
        buffer_append(&cached->columns, columns->data, columns->length);
        cached->id = *id;
    }
    return true;
}
