/* store_internal.h: what the store_*.c share, and the bytes inside the BLOBs.
 *
 *   frames   a NUL; then for each frame: varint frame number, varint PNG bytes, double offset, double maximum
 *            (8 bytes each, this machine's order: the database stays on its machine's kind), and the texts
 *            png, scaling, notes, each with its NUL. Offsets of texts count from the first byte, which is the
 *            empty text. NULL: no frames.
 *   columns, cells: schema.sql.
 *   varint   seven bits a byte, lowest first, 0x80 set on all but the last */
#ifndef NIFFLER_AGGREGATOR_STORE_INTERNAL_H
#define NIFFLER_AGGREGATOR_STORE_INTERNAL_H

#include <sqlite3.h>

#include "aggregator/store.h"
#include "common/buffer.h"

#define STORE_APPLICATION_ID 0x4e504e47 /* "NPNG" */
#define STORE_VERSION 2

/* The columns behind the cells of each row; schema.sql inserts them. */
enum { COLUMN_FILE = 1, COLUMN_HAS_PIX_ARRAY = 2, COLUMN_CATEGORY = 3 };

enum { FLAG_HAS_PIX_ARRAY = 1, FLAG_UNCATEGORIZED = 2 };

/* Statements, prepared when first used; texts in store.c. */
enum statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_SET_FACT,
    SQL_GET_FACT,
    SQL_FIND_FILE,
    SQL_INSERT_FILE,
    SQL_UPDATE_FILE,
    SQL_UPDATE_NAMED_FILE, /* keeps settled and planned */
    SQL_ALL_FILES,
    SQL_ADD_MERGED,
    SQL_INSERT_COLUMN,
    SQL_FIND_SHAPE,
    SQL_INSERT_SHAPE,
    SQL_GET_SHAPE,
    SQL_KNOWN_FILES,
    SQL_ADD_GONE,
    SQL_ADD_STALE,
    SQL_DROP_STALE,
    SQL_SET_NAMES,
    SQL_SET_ANSWERED,
    SQL_COUNT
};

/* Column names <-> ids. One entry for each distinct column, so bounded by the job's table width. */
struct column_entry {
    size_t name; /* offset into `names` */
    size_t length;
    uint64_t hash;
    uint64_t seen_in;  /* serial of the record that named it last */
    uint32_t position; /* among that record's cells               */
};

struct column_table {
    struct column_entry *entries; /* [id]; [0] is unused */
    size_t count, capacity;       /* of entries, [0] included */
    uint32_t *slots;              /* open addressing; 0: free, else an id */
    size_t slot_count;            /* a power of two */
    struct buffer names;
    uint64_t seed; /* column names come from strangers: no one shall aim at one slot */
};

/* Recent shapes, by the hash of their bytes. */
#define SHAPE_CACHE_SIZE 64
#define SHAPE_CACHE_BYTES 16384 /* longer ones are looked up in the database each time */

struct cached_shape {
    struct buffer columns;
    int64_t id; /* 0: free */
};

/* The bits of schema.sql's `answered`, all in memory; blocks are made when needed. */
#define STORE_BLOCK_BITS 32768
#define STORE_BLOCK_WORDS (STORE_BLOCK_BITS / 64)

struct answered_block {
    bool is_changed; /* since the last commit */
    uint64_t words[STORE_BLOCK_WORDS];
};

struct answered {
    struct answered_block **blocks; /* NULL: no bit of it is set */
    size_t block_count;
    uint64_t count; /* bits set */
};

struct picked_cell {
    uint32_t column;
    size_t cell; /* index in the record */
};

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT];
    bool in_transaction, is_durable;
    bool broken; /* a write failed: what is committed can be read, nothing more is written */
    struct column_table columns;
    struct cached_shape shapes[SHAPE_CACHE_SIZE];
    uint64_t serial; /* of the record being added */
    struct picked_cell *picked;
    size_t picked_capacity;
    uint32_t *last; /* the column of each cell of the last record that had as many, by its place */
    size_t last_capacity;
    struct buffer shape_bytes, cell_bytes, frame_bytes, claim;

    struct answered answered;

    /* reconciling */
    sqlite3_stmt *known; /* the cursor, on a row not yet asked for; NULL: at its end */
    int output_dir;
    uint64_t gone;
};

/* Turn SQLite's last answer into an error: "cannot <what>: …". Writes are refused from then on. Returns
 * false. */
bool store_fail(struct store *store, struct error *err, const char *what);

/* The statement, reset and ready to bind; NULL and an error otherwise. Borrowed. */
sqlite3_stmt *store_statement(struct store *store, enum statement which, struct error *err);

/* Prepare a statement of one's own; the caller finalizes. */
MUST_CHECK bool store_prepare(struct store *store, const char *sql, sqlite3_stmt **statement,
                              struct error *err);

/* Run a statement that answers no rows, and reset it. `what` as in store_fail(). */
MUST_CHECK bool store_run(struct store *store, sqlite3_stmt *statement, const char *what, struct error *err);

/* Step to the next row of a query: false behind the last one, or where reading fails. *ok tells which; it is
 * false while rows come, so that whoever leaves the loop early has failed. */
bool store_next(struct store *store, sqlite3_stmt *rows, bool *ok, struct error *err);

/* Run SQL text without parameters or answers. */
MUST_CHECK bool store_exec(struct store *store, const char *sql, const char *what, struct error *err);

/* Open a transaction if none is open; refuse if an earlier write failed. */
MUST_CHECK bool store_begin(struct store *store, struct error *err);

/* Columns (store_columns.c). The id of a name, made when new. */
MUST_CHECK bool store_columns_load(struct store *store, struct error *err);
void store_columns_unload(struct store *store);
MUST_CHECK bool store_column_id(struct store *store, const char *name, size_t length, uint32_t *id,
                                struct error *err);

/* The id of the shape in store->shape_bytes, made when new. */
MUST_CHECK bool store_shape_id(struct store *store, int64_t *id, struct error *err);

/* The bits (store_answered.c): read when the store is opened, written with each commit. */
MUST_CHECK bool store_answered_load(struct store *store, struct error *err);
MUST_CHECK bool store_answered_write(struct store *store, struct error *err);
void store_answered_unload(struct store *store);

/* Append texts of `count` frames in the form above. */
void store_frames_encode(struct buffer *out, const struct record *rec);

/* One step through a frames BLOB: *at is 0 at first. False at its end or where it is damaged. */
bool store_frames_next(const char *blob, size_t length, size_t *at, struct record_frame *frame);

/* What a row has on disk, or may have; borrowed. NULL or empty: none. */
struct row_outputs {
    const char *settled, *planned; /* schema.sql */
    const char *failed_copy;
    const char *frames; /* BLOB */
    size_t frames_length;
};

/* SQL_ADD_STALE or SQL_DROP_STALE for each of them. */
MUST_CHECK bool store_change_stale(struct store *store, enum statement which,
                                   const struct row_outputs *outputs, struct error *err);

/* The same for every row of a query that answers settled, planned, failed_copy, frames. */
MUST_CHECK bool store_change_stale_of(struct store *store, enum statement which, const char *sql,
                                      struct error *err);

/* Note as stale all that the old row has, less what the new one has. */
MUST_CHECK bool store_replace_outputs(struct store *store, const struct row_outputs *before,
                                      const struct row_outputs *after, struct error *err);

/* Forget the files whose ids are in the table `gone`, and empty it; their outputs are stale. */
MUST_CHECK bool store_drop_gone(struct store *store, struct error *err);

/* Varints. */
static inline void varint_append(struct buffer *out, uint64_t value)
{
    while (value >= 0x80) {
        buffer_append_char(out, (char)(unsigned char)(value | 0x80));
        value >>= 7;
    }
    buffer_append_char(out, (char)value);
}

/* Returns the byte behind, or NULL where the bytes end too early. */
static inline const unsigned char *varint_read(const unsigned char *at, const unsigned char *end,
                                               uint64_t *value)
{
    uint64_t sum = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        unsigned char byte = *at++;
        sum |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = sum;
            return at;
        }
    }
    return NULL;
}

#endif
