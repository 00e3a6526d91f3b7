/* features.h: FeatureSetFile, the names of the columns that metadata.csv shall have. */
#ifndef NIFFLER_COMMON_FEATURES_H
#define NIFFLER_COMMON_FEATURES_H

#include "common/buffer.h"
#include "common/settings.h"

/* The content of FeatureSetFile into `text`, with a NUL; *wanted is false where all columns are: not asked
 * for, or, as Niffler has it, no such file. Fails with ERROR_FATAL. */
MUST_CHECK bool features_read(const struct settings *settings, struct buffer *text, bool *wanted,
                              struct error *err);

/* Its names, one a line, into a list that ends with NULL; they stay in `text`, which is changed. Niffler
 * takes a line `as_it_is`; a trailing blank or CR there is a name that no column has. Returns new (the list
 * alone). */
const char **features_split(char *text, bool as_it_is);

#endif
