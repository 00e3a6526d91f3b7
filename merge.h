/* merge.h: `niffler-png merge`: the tables of a data set whose slices were extracted apart.
 *
 *     state of slice 0/n ┐
 *     state of slice 1/n ├─► one state, as extract's ─► names, tables, e-mail
 *     ...                ┘
 *
 * What comes out is what one `extract` over the same files writes, byte for byte. */
#ifndef NIFFLER_MERGE_H
#define NIFFLER_MERGE_H

#include "common/command.h"
#include "common/error.h"

extern const struct command_argument merge_arguments[];

/* Refuses, before anything is changed, unless all slices of the array are complete, were run under these
 * settings, and found the same files in their scans. *exit_status is set in either case; on failure `err` has
 * the sentence for the user. */
MUST_CHECK bool merge_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                          struct error *err);

#endif
