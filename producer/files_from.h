/* files_from.h: --FilesFrom: a list of files in place of a scan.
 *
 * A path a line, relative to DICOMHome or absolute below it, in any order and with repetitions; they come out
 * as a scan gives them: sorted by byte, each once. Empty lines are passed over. What lies over
 * SCAN_SORT_BYTES is sorted on disk. */
#ifndef NIFFLER_PRODUCER_FILES_FROM_H
#define NIFFLER_PRODUCER_FILES_FROM_H

#include "common/error.h"

typedef bool files_from_fn(void *context, const char *path, struct error *err);

/* Call `each` for every file of the list `path` ("-": the standard input). `homes` (NULL-terminated) are the
 * names of DICOMHome that absolute paths may begin with; `scratch` is a folder for sorting. Fails with
 * ERROR_FATAL (a line that leads out of DICOMHome is named by its number) or as `each` fails. */
MUST_CHECK bool files_from_each(const char *path, const char *const *homes, const char *scratch,
                                files_from_fn *each, void *context, struct error *err);

#endif
