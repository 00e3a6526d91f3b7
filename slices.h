/* slices.h: what the slices of one scan have in their output folder, for each other and for `merge`.
 *
 * In JOB_SLICES lie, for the slice 3/7, 3-of-7.lock, 3-of-7.out (its log) and, unless StateDirectory is set,
 * 3-of-7.db. JOB_ARRAY says which array they are of: its id, the number of its slices, and under which
 * settings. The first slice writes it. Slices that have worked for another array are begun anew: somebody
 * else may have written to the folder since, under other settings. So `extract` without --slice and `produce`
 * remove it.
 *
 * Slices hold JOB_LOCK shared, all others exclusively. */
#ifndef NIFFLER_SLICES_H
#define NIFFLER_SLICES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "common/job.h"
#include "producer/slice.h"

/* How long a slice waits for others that look at JOB_ARRAY at the same time. */
#define SLICES_JOIN_MS 30000

struct slices_array {
    char id[JOB_ID_SPACE];
    uint32_t count;
    uint64_t settings; /* hash_text() of the fingerprint */
};

/* The file of a slice, below OutputDirectory. Returns new. */
char *slices_path(const struct slice *slice, const char *ending);

/* Which array the folder has; *found. Fails with ERROR_RETRY. */
MUST_CHECK bool slices_read_array(int output_dir, struct slices_array *array, bool *found, struct error *err);

/* Take JOB_LOCK, shared, as a slice of the array with that number of slices and settings; array->id becomes
 * known. One that is there and is another is replaced, unless slices of it are at work. Fails with
 * ERROR_RETRY: they are, or somebody else is, or the folder cannot be written. */
MUST_CHECK bool slices_join(int output_dir, struct slices_array *array, int *lock, struct error *err);

#endif
