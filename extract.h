/* extract.h: `niffler-png extract`: producer, worker and aggregator on this machine, over queue_memory.
 *
 *     scan ─► journal ─► tasks ─► work (this thread, N decoders) ─► results ─► aggregate ─► store ─► tables,
 * e-mail
 *
 * The scan comes first, in full: it is reconciled with the store, so that a run that was killed goes on where
 * it was, and the total is known. Then the three roles run as threads of one process. */
#ifndef NIFFLER_EXTRACT_H
#define NIFFLER_EXTRACT_H

#include "common/error.h"
#include "common/command.h"

extern const struct command_argument extract_arguments[];

/* Run the whole extraction, or one slice of it, which ends before names are settled and tables written.
 * *exit_status is set in either case; on failure `err` has the sentence for the user. */
MUST_CHECK bool extract_run(const struct settings *settings, const struct command_line *line,
                            int *exit_status, struct error *err);

#endif
