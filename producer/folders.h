/* folders.h: DICOMHome and OutputDirectory: what they are, and whether they go together. */
#ifndef NIFFLER_PRODUCER_FOLDERS_H
#define NIFFLER_PRODUCER_FOLDERS_H

#include "common/error.h"

/* The real path of a folder; `setting` names it in the sentence. Returns new; NULL and ERROR_FATAL. */
char *folders_real(const char *setting, const char *path, struct error *err);

/* Outputs must not be read as inputs: with real paths, and the Depth of the scan. Fails with ERROR_FATAL. */
MUST_CHECK bool folders_check(const char *input, const char *output, int depth, struct error *err);

/* Make the folder `path` where it is missing, after seeing that it will lie below the real path `root`. Fails
 * with ERROR_FATAL, which names both settings, or ERROR_RETRY. */
MUST_CHECK bool folders_make_below(const char *root_setting, const char *root, const char *setting,
                                   const char *path, struct error *err);

/* Where a real path lies below a real root: borrowed from `path`, "." for the root itself. NULL and
 * ERROR_FATAL, which names both settings, where it does not. */
const char *folders_below(const char *root_setting, const char *root, const char *setting, const char *path,
                          struct error *err);

#endif
