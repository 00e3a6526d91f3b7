/* aggregate.h: records to the store, the store to tables. */
#ifndef NIFFLER_AGGREGATOR_AGGREGATE_H
#define NIFFLER_AGGREGATOR_AGGREGATE_H

#include <stdint.h>

#include "aggregator/store.h"
#include "common/meter.h"
#include "common/queue.h"
#include "common/settings.h"

/* Longest time between a record's arrival and its commit. What SIGKILL costs: this much work. */
#define AGGREGATE_COMMIT_MS 100

/* A batch is committed earlier when no record came for so long, or when it holds so many. */
#define AGGREGATE_IDLE_MS 10
#define AGGREGATE_BATCH 512

struct aggregate_run {
    struct store *store;
    struct queue *results;
    struct meter *meter;  /* NULL: none */
    uint64_t total;       /* records to come; UINT64_MAX: as many as do until the queue is finished */
    uint64_t done_before; /* files that were done before this run, for the meter */
    uint64_t failed_before;
};

/* Receive records until `total` distinct ones are stored, or the queue is finished and empty. Each batch is
 * committed before its messages are acknowledged. Fails with ERROR_FATAL (what was committed stays) or
 * ERROR_BUG. */
MUST_CHECK bool aggregate_records(struct aggregate_run *run, struct error *err);

/* Picture names (compatibility), deletion of what no file has any more, tables, the fact "state" = "complete"
 * in the store and on disk, e-mail; in that order. A mail that cannot be sent is reported and spoils nothing:
 * *mail_failed says so, and the fact "mail" is "sent" or "failed". `job` gives the mail its Message-ID. Fails
 * with ERROR_FATAL. */
MUST_CHECK bool aggregate_complete(struct store *store, const struct settings *settings, int output_dir,
                                   const char *job, struct store_counts *counts, bool *mail_failed,
                                   struct error *err);

#endif
