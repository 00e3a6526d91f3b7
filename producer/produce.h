/* produce.h: a data set to tasks. */
#ifndef NIFFLER_PRODUCER_PRODUCE_H
#define NIFFLER_PRODUCER_PRODUCE_H

#include "common/error.h"
#include "common/queue.h"
#include "common/task.h"
#include "producer/journal.h"

/* Send a task for each file of the journal, in its order, then flush. `pattern` holds what all tasks share:
 * job, input, output, options. Fails as queue_send() and journal_next() do. */
MUST_CHECK bool produce_tasks(struct journal *journal, struct queue *tasks, const struct task *pattern,
                              struct error *err);

/* A new job id: 26 characters of Crockford's base 32, 48 bits of time, then 80 random ones, so that ids sort
 * by age. */
#define PRODUCE_JOB_ID_SIZE 27
void produce_job_id(char id[PRODUCE_JOB_ID_SIZE]);

#endif
