/* store.h: the truth about a job, in SQLite: one database per output folder.
 *
 * What it holds, and why so: schema.sql. Rows hold values only; which columns a row has is its *shape*,
 * shared by all files that have the same ones, so that column order and frequency are found without reading
 * the values. WAL with exclusive locking: no shared-memory file, so network storage works, and a second
 * process is refused. A handle belongs to one thread at a time. Errors: with SQLite's words,
 * ERROR_RETRY where the storage failed ("disk full" says so): the store is to be closed and opened anew then;
 * ERROR_FATAL else. */
#ifndef NIFFLER_AGGREGATOR_STORE_H
#define NIFFLER_AGGREGATOR_STORE_H

#include <stdint.h>

#include "common/error.h"
#include "common/record.h"

#define STORE_NAME "ImageExtractor"

struct store;

/* The database of the output folder `output` in a folder for several: named by its path (FNV-1a). Returns
 * new. */
char *store_path(const char *folder, const char *output);

/* Open or create the database, whose path goes through no link: realpath() of its folder, and its name. Fails
 * with ERROR_FATAL: not ours, a newer schema, damaged, or in use by another process (says so). */
MUST_CHECK bool store_open(struct store **store, const char *path, struct error *err);

/* Whether what is committed, and the outputs it speaks of, shall survive a crash of the machine, at one sync
 * of the log for each commit. Not so when the store is opened: then a crash of the machine may take the last
 * commits back, and leaves the store whole. */
MUST_CHECK bool store_set_durable(struct store *store, bool is_durable, struct error *err);
bool store_is_durable(const struct store *store);

MUST_CHECK bool store_close(struct store *store, struct error *err); /* accepts NULL; commits nothing */

/* After a write has failed, what is committed can still be read; every further write fails.
 */
bool store_is_broken(const struct store *store);

/* Small named facts ("fingerprint", "state", "mail"). store_get() returns new text or NULL when there is
 * none. store_set() joins a transaction that is open, else it commits by itself. */
MUST_CHECK bool store_set(struct store *store, const char *name, const char *value, struct error *err);
MUST_CHECK bool store_get(struct store *store, const char *name, char **value, struct error *err);

/* ---- reconciling with a scan: what is there, against what is known -------------------------------
 *
 * The scan's files are given in byte order of their paths. A known file counts as done when its size and time
 * are the same, it did not fail by an input error (which may have passed), and all its PNGs are there with
 * their length. Files that the scan does not name are forgotten by store_reconcile_end(), which commits;
 * before it nothing is, so a scan that fails half-way changes nothing once the store is closed. */
MUST_CHECK bool store_reconcile_begin(struct store *store, int output_dir, struct error *err);
MUST_CHECK bool store_reconcile_file(struct store *store, const char *path, uint64_t size_bytes,
                                     int64_t mtime_ns, bool *is_done, struct error *err);
MUST_CHECK bool store_reconcile_end(struct store *store, uint64_t *forgotten, struct error *err);

/* ---- records ------------------------------------------------------------------------------------- */

/* Put a record in place of what was known of its path. Begins a transaction if none is open. Doing the same
 * again changes nothing. */
MUST_CHECK bool store_add_record(struct store *store, const struct record *rec, struct error *err);
MUST_CHECK bool store_commit(struct store *store, struct error *err);

/* Commit, and put all on disk, whatever store_set_durable() says. */
MUST_CHECK bool store_sync(struct store *store, struct error *err);

/* ---- which tasks have been answered -----------------------------------------------------------------
 *
 * A bit for each seq of the job at hand, committed together with the records: what makes a record that comes
 * twice count once, in this life of the process or another. */

/* A new job: no task is answered. Joins the open transaction, or begins one. */
MUST_CHECK bool store_answered_begin(struct store *store, struct error *err);

/* Note that `seq` (below 2^32) is answered; returns whether it was not before. */
bool store_answered_add(struct store *store, uint64_t seq);

/* It is to be answered again. Returns whether it was answered before. */
bool store_answered_remove(struct store *store, uint64_t seq);

bool store_answered_has(const struct store *store, uint64_t seq);
uint64_t store_answered_count(const struct store *store);

/* ---- a job's files again ------------------------------------------------------------------------------ */

/* Forget all files; their outputs go once the job is complete. */
MUST_CHECK bool store_forget_all(struct store *store, int output_dir, struct error *err);

typedef bool store_failed_fn(void *context, uint64_t seq, const char *path, struct error *err);

/* Call `each` for the files that failed, of the category (0: of all), in byte order of the paths; `path` is
 * borrowed until it returns. A file of category 5 has not failed. */
MUST_CHECK bool store_each_failed(struct store *store, unsigned category, store_failed_fn *each,
                                  void *context, struct error *err);

/* ---- one store out of several ------------------------------------------------------------------------
 *
 * Slices of a scan have a store each. store_merge() takes over a slice's files, one transaction for many, and
 * what it noted to be deleted; store_merge_end() forgets the files that no slice has. Killed in between, all
 * of it is done again. Names of pictures (compatibility) stay as they were settled, unless the slice has made
 * the picture anew: then it lies, below output_dir, under the name it was made by. */
MUST_CHECK bool store_merge_begin(struct store *store, struct error *err);
MUST_CHECK bool store_merge(struct store *store, struct store *slice, int output_dir, struct error *err);
MUST_CHECK bool store_merge_end(struct store *store, uint64_t *forgotten, struct error *err);

/* Tell a slice which names its pictures have been given, so that it finds them when it is run again. */
MUST_CHECK bool store_merge_names(struct store *store, struct store *slice, struct error *err);

/* ---- what lies on disk, when all records are in ----------------------------------------------------- */

/* Delete pictures and failed-dicom copies of files that are gone, or that a changed file has no more; then
 * folders that became empty. Fails with ERROR_RETRY, too: the output folder cannot be written. */
MUST_CHECK bool store_sweep(struct store *store, int output_dir, struct error *err);

/* Compatibility: two files may want one picture name. A worker writes each as "<name>~<8 hex digits>.png";
 * here, in path order, the first that wants "<name>.png" gets it, the k-th gets "<name>_<k>.png". Files that
 * came or went since the last time are taken into account, and pictures renamed; the result depends on the
 * rows alone. May be killed at any moment and called again. Sweeps, too. Fails with ERROR_RETRY, too,
 * and ERROR_INPUT: somebody took pictures away. */
MUST_CHECK bool store_settle_names(struct store *store, int output_dir, struct error *err);

struct store_counts {
    uint64_t found; /* = converted + no_image + ignored + failed */
    uint64_t converted;
    uint64_t no_image;
    uint64_t ignored;
    uint64_t failed;
    uint64_t failed_by_category[6]; /* [1] to [5]; [5] counts files that are converted too */
    uint64_t pictures;
};
MUST_CHECK bool store_counts(struct store *store, struct store_counts *counts, struct error *err);

/* ---- reading, for the tables (csv.h) and for whoever asks ------------------------------------------- */

struct store_column {
    int64_t id;
    char *name;
    uint64_t populated; /* rows in which it is not empty */
};

/* The columns in order of first appearance by path; `file`, `has_pix_array`, `category` among them. Returns
 * new array. */
MUST_CHECK bool store_columns(struct store *store, struct store_column **columns, size_t *count,
                              uint64_t *rows, struct error *err);
void store_columns_free(struct store_column *columns, size_t count);

/* One file as it comes back. Everything borrowed until the next call. */
struct store_row {
    const char *path;
    enum record_status status;
    enum category category;
    const char *code, *reason, *transfer_syntax, *modality;
    const struct record_frame *frames; /* texts are offsets into `text` */
    size_t frame_count;
    const char *text;
    size_t cell_count; /* non-empty cells */
    const int64_t *cell_columns;
    const char *const *cell_values;
    const size_t *cell_lengths;
    bool has_pix_array, is_uncategorized;
};
typedef bool store_row_fn(void *context, const struct store_row *row, struct error *err);

/* Call `each` for every file in byte order of the paths, ignored ones left out. Stops when it returns false.
 */
MUST_CHECK bool store_each(struct store *store, store_row_fn *each, void *context, struct error *err);

#endif
