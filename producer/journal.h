/* journal.h: the list of files a job has still to do, on disk: written once by the scan, then read in order.
 *
 * A line per file: its number in scan order, a blank, its path as a JSON string. Memory does not depend on
 * its length. */
#ifndef NIFFLER_PRODUCER_JOURNAL_H
#define NIFFLER_PRODUCER_JOURNAL_H

#include <stdint.h>

#include "common/error.h"

struct journal;

/* Begin an empty journal in the file `path` below the folder `dir`, replacing an older one. The caller
 * closes. Fails with ERROR_RETRY. */
MUST_CHECK bool journal_create(struct journal **journal, int dir, const char *path, struct error *err);

/* Put what was added on disk, and give the file its final name. Fails with ERROR_RETRY. */
MUST_CHECK bool journal_keep(struct journal *journal, int dir, const char *path, const char *final,
                             struct error *err);

/* Open one that was kept, to read it from its beginning. Fails with ERROR_RETRY. */
MUST_CHECK bool journal_open(struct journal **journal, int dir, const char *path, struct error *err);
void journal_close(struct journal *journal); /* accepts NULL; the file stays */

/* Add a file. Fails with ERROR_RETRY (disk full). */
MUST_CHECK bool journal_add(struct journal *journal, uint64_t seq, const char *path, struct error *err);
uint64_t journal_count(const struct journal *journal);

/* Go to the beginning, then read one file after the other: *path is borrowed until the next call, NULL at the
 * end. Fail with ERROR_RETRY; journal_next() with ERROR_FATAL where it is damaged. */
MUST_CHECK bool journal_rewind(struct journal *journal, struct error *err);
MUST_CHECK bool journal_next(struct journal *journal, uint64_t *seq, const char **path, struct error *err);

#endif
