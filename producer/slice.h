/* slice.h: which files of a scan are whose, where several processes share it.
 *
 * A file's slice follows from its path alone. So a file is in one slice, whoever scans when, and stays there
 * when other files come and go: nothing of what a slice has done is another's later. The files of one folder
 * fall into all slices, and slices are of about one size (of a thousand files each, within a tenth). */
#ifndef NIFFLER_PRODUCER_SLICE_H
#define NIFFLER_PRODUCER_SLICE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

#define SLICE_COUNT_MAX 100000

struct slice {
    uint32_t index; /* from 0 */
    uint32_t count; /* 0: there are no slices, and all files are ours */
};

/* "3/7": the fourth of seven. Fails with ERROR_FATAL. */
MUST_CHECK bool slice_parse(const char *text, struct slice *slice, struct error *err);

/* "7". Fails with ERROR_FATAL. */
MUST_CHECK bool slice_parse_count(const char *text, uint32_t *count, struct error *err);

/* Whether the file of that path, relative to DICOMHome, is of the slice. */
bool slice_has(const struct slice *slice, const char *path);

/* What a scan found, as one number: begins with 0, and takes the paths in their order. */
uint64_t slice_scan_digest(uint64_t digest, const char *path);

#endif
