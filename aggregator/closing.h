/* closing.h: how a job ends, and what is shown of jobs until then.
 *
 *     mark for workers ─► drafts swept ─► names, tables ─► mail on file ─► state ─► mark for producers gone
 *     ─► job's file to closed/ ─► e-mail sent
 *
 * Each step may be the last one of this process; the next one begins at the first and comes to the same end.
 * Storage that fails is waited for, by this job alone. */
#ifndef NIFFLER_AGGREGATOR_CLOSING_H
#define NIFFLER_AGGREGATOR_CLOSING_H

#include "aggregator/jobs.h"
#include "aggregator/outbox.h"
#include "common/health.h"
#include "common/metrics.h"
#include "common/view.h"

struct closing_options {
    const struct settings *settings; /* all borrowed until closing_close() */
    struct jobs *jobs;
    const char *state_directory;
    bool is_patient; /* mails are tried for a day; else as long as `extract` does */
    struct metrics *metrics;
    struct health *health;
};

struct ended_job;
struct late_sweep;
struct closing {
    struct closing_options options;
    int output_root, state_dir;
    struct view *view;
    struct outbox *outbox;
    struct ended_job *ended;   /* whose mail is not settled */
    struct late_sweep *sweeps; /* output folders to be swept once more */
    uint64_t epoch;
    int64_t record_ms; /* the last record that was shown */
    bool waits_for_storage;
};

void closing_clear(struct closing *closing); /* to nothing open */

/* Open OutputRoot, the view and the outbox; mails on file are on their way again. Fails with ERROR_FATAL. */
MUST_CHECK bool closing_open(struct closing *closing, const struct closing_options *options,
                             struct error *err);
void closing_close(struct closing *closing); /* accepts a cleared one */

/* End a job that is complete or cancelled, whose records are committed: `job` is freed, or its try_ms says
 * when to call again. Fails with ERROR_RETRY (the state), ERROR_FATAL. */
MUST_CHECK bool closing_end_job(struct closing *closing, struct open_job *job, struct error *err);

/* Sweep the folders of jobs that ended a while ago once more: a worker that had not seen the end yet, and was
 * killed, leaves a draft behind. */
void closing_sweep(struct closing *closing);

/* Note what has become of mails. */
void closing_take_mails(struct closing *closing);

/* Show all open jobs in Redis; their states, the files left and MetricsJobs of them in the metrics. */
void closing_show(struct closing *closing);

#endif
