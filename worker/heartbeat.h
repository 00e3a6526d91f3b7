/* heartbeat.h: a worker's own entry in Redis. The keys: common/MESSAGES.md.
 *
 * It ends by itself a minute after the last call, even if this process lives on, so that a worker whose loop
 * hangs is not shown as one that works. That moment is a time of the clock, not a span: the clocks of workers
 * and of Redis are to agree within half a minute. */
#ifndef NIFFLER_WORKER_HEARTBEAT_H
#define NIFFLER_WORKER_HEARTBEAT_H

#include <stdint.h>

#include "common/view.h"

#define HEARTBEAT_EVERY_S 15

/* Show it; called by the worker's loop every HEARTBEAT_EVERY_S. Cheap. Accepts a view of NULL.
 *   id         of this worker, one for each process of the fleet
 *   started_s  when it was started, since 1970
 *   assigned   partitions
 *   inflight   files taken and not yet finished
 *   files      finished since the start */
void heartbeat_show(struct view *view, const char *id, int64_t started_s, uint64_t assigned,
                    uint64_t inflight, uint64_t files);

#endif
