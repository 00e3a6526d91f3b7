/* Which tasks have been answered, and which files are to be asked for again. */
#include <stdlib.h>
#include <string.h>

#include "aggregator/store_internal.h"
#include "common/alloc.h"

static struct answered_block *block_of(struct store *store, uint64_t seq)
{
    struct answered *answered = &store->answered;
    size_t block = (size_t)(seq / STORE_BLOCK_BITS);
    if (block >= answered->block_count) {
        size_t count = block < answered->block_count * 2 ? answered->block_count * 2 : block + 1;
        answered->blocks = xrealloc_array(answered->blocks, count, sizeof *answered->blocks);
        for (size_t i = answered->block_count; i < count; i++)
            answered->blocks[i] = NULL;
        answered->block_count = count;
    }
    if (answered->blocks[block] == NULL)
        answered->blocks[block] = xcalloc(1, sizeof *answered->blocks[block]);
    return answered->blocks[block];
}

bool store_answered_has(const struct store *store, uint64_t seq)
{
    size_t block = (size_t)(seq / STORE_BLOCK_BITS), bit = (size_t)(seq % STORE_BLOCK_BITS);
    const struct answered *answered = &store->answered;
    return block < answered->block_count && answered->blocks[block] != NULL &&
           (answered->blocks[block]->words[bit / 64] >> (bit % 64) & 1) != 0;
}

static void turn(struct store *store, uint64_t seq)
{
    struct answered_block *block = block_of(store, seq);
    size_t bit = (size_t)(seq % STORE_BLOCK_BITS);
    block->words[bit / 64] ^= (uint64_t)1 << (bit % 64);
    block->is_changed = true;
}

bool store_answered_add(struct store *store, uint64_t seq)
{
    bool is_new = !store_answered_has(store, seq);
    if (is_new) {
        turn(store, seq);
        store->answered.count++;
    }
    return is_new;
}

bool store_answered_remove(struct store *store, uint64_t seq)
{
    bool was_there = store_answered_has(store, seq);
    if (was_there) {
        turn(store, seq);
        store->answered.count--;
    }
    return was_there;
}

uint64_t store_answered_count(const struct store *store)
{
    return store->answered.count;
}

void store_answered_unload(struct store *store)
{
    for (size_t i = 0; i < store->answered.block_count; i++)
        free(store->answered.blocks[i]);
    free(store->answered.blocks);
    store->answered = (struct answered){0};
}

bool store_answered_begin(struct store *store, struct error *err)
{
    if (!store_begin(store, err) || !store_exec(store, "DELETE FROM answered", "write the store", err))
        return false;
    store_answered_unload(store);
    return true;
}

bool store_answered_write(struct store *store, struct error *err)
{
    for (size_t i = 0; i < store->answered.block_count; i++) {
        struct answered_block *block = store->answered.blocks[i];
        if (block == NULL || !block->is_changed)
            continue;
        sqlite3_stmt *statement = store_statement(store, SQL_SET_ANSWERED, err);
        if (statement == NULL)
            return false;
        (void)sqlite3_bind_int64(statement, 1, (int64_t)i);
        (void)sqlite3_bind_blob(statement, 2, block->words, sizeof block->words, SQLITE_STATIC);
        if (!store_run(store, statement, "write the store", err))
            return false;
        block->is_changed = false;
    }
    return true;
}

bool store_answered_load(struct store *store, struct error *err)
{
    sqlite3_stmt *rows = NULL;
    bool ok = false;
    if (!store_prepare(store, "SELECT block, bits FROM answered", &rows, err))
        goto out;
    while (store_next(store, rows, &ok, err)) {
        int64_t number = sqlite3_column_int64(rows, 0);
        const void *bits = sqlite3_column_blob(rows, 1);
        if (number < 0 || number >= ((int64_t)1 << 32) / STORE_BLOCK_BITS ||
            sqlite3_column_bytes(rows, 1) != STORE_BLOCK_BITS / 8) {
            (void)error_set(err, ERROR_FATAL, "the state database is damaged (answered tasks)");
            goto out;
        }
        struct answered_block *block = block_of(store, (uint64_t)number * STORE_BLOCK_BITS);
        memcpy(block->words, bits, sizeof block->words);
        for (size_t i = 0; i < STORE_BLOCK_WORDS; i++)
            store->answered.count += (uint64_t)__builtin_popcountll(block->words[i]);
    }
out:
    (void)sqlite3_finalize(rows);
    return ok;
}

/* ---- a job's files again ---- */

bool store_forget_all(struct store *store, int output_dir, struct error *err)
{
    uint64_t forgotten;
    return store_reconcile_begin(store, output_dir, err) && store_reconcile_end(store, &forgotten, err);
}

bool store_each_failed(struct store *store, unsigned category, store_failed_fn *each, void *context,
                       struct error *err)
{
    sqlite3_stmt *rows = NULL;
    struct buffer path = {0};
    bool ok = false;
    if (!store_prepare(
            store, "SELECT seq, path FROM file WHERE status = 3 AND (?1 = 0 OR category = ?1) ORDER BY path",
            &rows, err))
        goto out;
    (void)sqlite3_bind_int(rows, 1, (int)category);
    while (store_next(store, rows, &ok, err)) {
        const void *bytes = sqlite3_column_blob(rows, 1);
        buffer_truncate(&path, 0);
        buffer_append(&path, bytes, (size_t)sqlite3_column_bytes(rows, 1));
        if (!each(context, (uint64_t)sqlite3_column_int64(rows, 0), buffer_text(&path), err))
            goto out;
    }
out:
    (void)sqlite3_finalize(rows);
    buffer_clear(&path);
    return ok;
}

_Static_assert(RECORD_FAILED == 3, "the query above says status = 3");
