/* aggregate.h: records to the store, the store to tables. */
#ifndef NIFFLER_AGGREGATOR_AGGREGATE_H
#define NIFFLER_AGGREGATOR_AGGREGATE_H

#include <stdatomic.h>
#include <stdint.h>

#include "aggregator/store.h"
#include "common/meter.h"
#include "common/queue.h"
#include "common/settings.h"

/* Longest time between a record's arrival and its commit. What SIGKILL costs: this much work. */
#define AGGREGATE_COMMIT_MS 100

struct aggregate_run {
    struct store *store;
    struct queue *results;
    struct meter *meter; /* NULL: none */
    uint64_t total;      /* records to come */
    uint64_t done_before; /* files that were done before this run, for the meter */
    uint64_t failed_before;
};

/* Receive records until `total` distinct ones are stored, or the queue is finished and empty. Each batch is committed
 * before its messages are acknowledged. Fails with ERROR_FATAL (what was committed stays) or ERROR_BUG. */
MUST_CHECK bool aggregate_records(struct aggregate_run *run, struct error *err);

/* Tables, marker in the store, e-mail, in that order. A mail that cannot be sent is reported and spoils nothing:
 * *mail_failed says so. */
MUST_CHECK bool aggregate_complete(struct store *store, const struct settings *settings, int output_dir, const char *job,
                                   struct store_counts *counts, bool *mail_failed, struct error *err);

#endif
