/* aggregate.h: records to the stores of their jobs.
 *
 *     receive ─► record ─► its job's store ┐
 *                notice ─► jobs.h          ├─► commit of all stores ─► acknowledge
 *                nonsense ─► dead letters  ┘
 *
 * A batch is committed before its messages are acknowledged: what a crash loses between the two comes again
 * and changes nothing. */
#ifndef NIFFLER_AGGREGATOR_AGGREGATE_H
#define NIFFLER_AGGREGATOR_AGGREGATE_H

#include <stdint.h>

#include "aggregator/jobs.h"
#include "common/meter.h"
#include "common/metrics.h"
#include "common/queue.h"

/* Longest time between a record's arrival and its commit. What SIGKILL costs: this much work. */
#define AGGREGATE_COMMIT_MS 100

/* A batch is committed earlier when no record came for so long, or when it holds so many. */
#define AGGREGATE_IDLE_MS 10
#define AGGREGATE_BATCH 512

struct aggregate_options {
    struct jobs *jobs;     /* borrowed */
    struct queue *results; /* borrowed */
    struct queue
        *dead; /* dead letters; NULL: nobody but us writes records, and one that cannot be used is a bug */
    struct queue *tasks;     /* for files that are queued again; NULL: notices are refused */
    int output_root;         /* beneath which output folders lie; -1: none, as in `extract` */
    const char *only_job;    /* what is about other jobs is passed over; NULL: all are served */
    struct metrics *metrics; /* NULL: none */
};

struct aggregate;
struct aggregate *aggregate_new(const struct aggregate_options *options);
void aggregate_free(struct aggregate *agg); /* accepts NULL; commits nothing */

/* Receive at most one message, waiting at most timeout_ms, and commit when it is time to. *received: there
 * was one. Fails with ERROR_RETRY: storage that a message needs is gone, and the next step tries it again;
 * ERROR_FATAL (what was committed stays) or ERROR_BUG. */
MUST_CHECK bool aggregate_step(struct aggregate *agg, int timeout_ms, bool *received, struct error *err);

/* Commit and acknowledge what there is. */
MUST_CHECK bool aggregate_commit(struct aggregate *agg, struct error *err);

/* For `extract`: receive until `job` has its total, or the queue is finished and empty. `done_before` and
 * `failed_before` count files of earlier runs, for the meter (NULL: none). */
MUST_CHECK bool aggregate_job(struct aggregate *agg, const struct open_job *job, struct meter *meter,
                              uint64_t done_before, struct error *err);

#endif
