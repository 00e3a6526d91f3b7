/* progress.h: a job's progress in Redis, absolute values, never the truth. The keys: common/MESSAGES.md. */
#ifndef NIFFLER_AGGREGATOR_PROGRESS_H
#define NIFFLER_AGGREGATOR_PROGRESS_H

#include "aggregator/store.h"
#include "common/view.h"

#define PROGRESS_TOTAL_UNKNOWN UINT64_MAX

struct progress {
    const char *job;
    const char *state;  /* open, sealed, running, stalled, complete, cancelled, failed */
    const char *output; /* relative to OutputRoot */
    const char *mail;   /* none, pending, sent, failed */
    const char *error;  /* NULL: none */
    uint64_t total;     /* PROGRESS_TOTAL_UNKNOWN: not sealed yet */
    uint64_t found;     /* tasks published so far, as far as is known: the highest seq seen + 1 */
    struct store_counts counts;
    uint64_t duplicates;
    uint64_t bytes_out;                                 /* of the pictures; 0: not known */
    double rate;                                        /* files per second lately; 0: none */
    int64_t created_s, sealed_s, started_s, finished_s; /* since 1970; 0: not yet */
    uint64_t epoch;                                     /* of this aggregator's life */
    uint64_t revision;                                  /* rises with every change of the job */
};

/* Seconds until the job is done at its present rate; NAN: not known. */
double progress_left_s(const struct progress *progress);

/* Show it, in place of what was shown of the job. Cheap: call it for every batch. What Redis has of a later
 * epoch, or of this epoch and a later revision, is left alone. Accepts a view of NULL, as does the other. */
void progress_show(struct view *view, const struct progress *progress);

/* The job is over and nothing of it changes any more: its keys get 30 days and are left alone. Written once,
 * however long that takes, unless view_drop() or another progress_show() comes first. */
void progress_end(struct view *view, const struct progress *progress);

#endif
