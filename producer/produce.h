/* produce.h: a data set to tasks. */
#ifndef NIFFLER_PRODUCER_PRODUCE_H
#define NIFFLER_PRODUCER_PRODUCE_H

#include "common/error.h"
#include "common/queue.h"
#include "common/job.h"
#include "producer/journal.h"

/* Send tasks of `job` for the next files of the journal, at most `most` of them, then flush. *sent: how many;
 * 0 at the end of the journal. Fails as queue_send() and journal_next() do. */
MUST_CHECK bool produce_tasks(struct journal *journal, struct queue *tasks, const struct job *job,
                              uint64_t most, uint64_t *sent, struct error *err);

#endif
