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
#include "common/settings.h"

enum exit_status {
    EXIT_STATUS_DONE = 0,         /* everything was converted                        */
    EXIT_STATUS_SOME_FAILED = 1,  /* finished, some files failed                     */
    EXIT_STATUS_USAGE = 2,        /* wrong usage or settings, or nothing to convert  */
    EXIT_STATUS_WORLD_FAILED = 3, /* disk full, a decoder that cannot be started …   */
    EXIT_STATUS_BUG = 70,
};

/* Run the whole extraction. *exit_status is set in either case; on failure `err` has the sentence for the
 * user. */
MUST_CHECK bool extract_run(const struct settings *settings, int *exit_status, struct error *err);

#endif
