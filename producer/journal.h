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
 * closes. Fails with ERROR_FATAL. */
MUST_CHECK bool journal_create(struct journal **journal, int dir, const char *path, struct error *err);
void journal_close(struct journal *journal); /* accepts NULL; the file stays */

/* Add a file. Fails with ERROR_FATAL (disk full). */
MUST_CHECK bool journal_add(struct journal *journal, uint64_t seq, const char *path, struct error *err);
uint64_t journal_count(const struct journal *journal);

/* Go to the beginning, then read one file after the other: *path is borrowed until the next call, NULL at the
 * end. Fail with ERROR_FATAL. */
MUST_CHECK bool journal_rewind(struct journal *journal, struct error *err);
MUST_CHECK bool journal_next(struct journal *journal, uint64_t *seq, const char **path, struct error *err);

#endif
