/* jobs.h: the jobs that are open, each with its store.
 *
 *     open ──► running ──► complete | cancelled ──► closed
 *                 ▲                                    │
 *                 └────────────── requeue ─────────────┘
 *
 * What an aggregator must know to go on after its end lies in StateDirectory:
 *
 *     jobs/ID      the notice "open" of a job that is not closed, as it came
 *     closed/ID    the same of one that is
 *     outbox/ID-N  a completion e-mail that is not settled (outbox_files.h)
 *     NAME.db      the store of an output folder
 *     epoch        the number of the last life of an aggregator
 *     lock         held by the one aggregator
 *
 * A job's output folder is opened only when it is needed, beneath OutputRoot: storage that is gone holds up
 * nobody's records. `extract` has one job, which is never on file (jobs_add()). */
#ifndef NIFFLER_AGGREGATOR_JOBS_H
#define NIFFLER_AGGREGATOR_JOBS_H

#include "aggregator/store.h"
#include "common/job.h"

/* StateDirectory, where it is not set: below OutputRoot. Not JOB_FOLDER: OutputRoot may itself be a job's
 * output folder. */
#define JOBS_STATE ".niffler-state"
#define JOBS_LOCK "lock" /* in StateDirectory */
#define JOBS_TOTAL_UNKNOWN UINT64_MAX

struct open_job {
    struct open_job *next;
    struct job job;
    struct store *store;
    uint64_t total;   /* JOBS_TOTAL_UNKNOWN: not sealed */
    uint64_t highest; /* seq seen so far, + 1 */
    uint32_t round;   /* how often its failed files were queued again */
    struct store_counts counts;
    uint64_t duplicates;
    bool is_cancelled;
    bool is_changed;   /* records since the last commit */
    int64_t opened_ms; /* of this life of the process; meter_now_ms() */
    int64_t record_ms; /* the last record; 0: none */
    int64_t sealed_s;  /* since 1970; 0: not yet */
    int64_t try_ms;    /* when to try again to complete it; 0: at once */
    uint64_t revision; /* of what is shown */
    double pace;       /* files per second lately */
    int64_t pace_ms;   /* when it was measured; 0: not yet */
    uint64_t pace_found;
};

struct jobs;

/* Take the lock of `state_directory` (made where it is missing) and open the jobs on file; their stores are
 * as `is_durable` says (store_set_durable()). Fails with ERROR_RETRY: another aggregator holds the lock, or
 * the folder cannot be written; ERROR_FATAL. All functions below fail with these two when the state cannot be
 * read or written, beside what they name. */
MUST_CHECK bool jobs_open(struct jobs **jobs, const char *state_directory, bool is_durable,
                          struct error *err);

/* A set without a folder, for jobs_add() alone. */
struct jobs *jobs_new(void);
void jobs_close(struct jobs *jobs); /* accepts NULL; commits nothing */

/* Whether the storage of a store has failed: the set is to be closed and opened anew. */
bool jobs_is_broken(const struct jobs *jobs);

/* The first open job; the others follow by `next`. */
struct open_job *jobs_first(struct jobs *jobs);
struct open_job *jobs_find(struct jobs *jobs, const char *id);
bool jobs_is_closed(struct jobs *jobs, const char *id);

/* Add a job whose store is open (borrowed then: jobs_close() leaves it open). */
struct open_job *jobs_add(struct jobs *jobs, const struct job *job, struct store *store, uint64_t total);

/* A notice "open", `json` as it came. Known already, or closed: nothing happens. Fails with ERROR_INPUT: its
 * folders are not below the roots, or another job is open on its output folder (named); ERROR_RETRY: that one
 * is complete, and about to be closed; ERROR_FATAL. */
MUST_CHECK bool jobs_begin(struct jobs *jobs, const struct notice *notice, const char *json, size_t length,
                           struct error *err);

/* Note the total. Fails with ERROR_INPUT: there is another already, or more files have been seen;
 * ERROR_FATAL. */
MUST_CHECK bool jobs_seal(struct open_job *job, uint64_t total, struct error *err);

/* Note that no more is to be done. Fails with ERROR_FATAL. */
MUST_CHECK bool jobs_cancel(struct open_job *job, struct error *err);

/* A record. *is_new: it was not known. Fails with ERROR_INPUT: a seq beyond the total; ERROR_FATAL. */
MUST_CHECK bool jobs_add_record(struct open_job *job, const struct record *rec, bool *is_new,
                                struct error *err);

/* Commit what the jobs' stores hold. Fails with ERROR_FATAL. */
MUST_CHECK bool jobs_commit(struct jobs *jobs, struct error *err);

/* Whether all is there: sealed, and as many distinct seq as files; or cancelled. */
bool jobs_is_complete(const struct open_job *job);

/* Close a job that is complete or cancelled: its file moves to closed/, its store is closed, `job` is freed.
 * Fails with ERROR_FATAL. */
MUST_CHECK bool jobs_end(struct jobs *jobs, struct open_job *job, struct error *err);

/* A notice "requeue" of a closed job: open it again, so that the failed files of the category are unanswered
 * in a new round; its output folder (beneath output_root) is marked as having an open job first. *job is NULL
 * when there is nothing to do. Fails with ERROR_INPUT (unknown, open, cancelled, its folder has another job
 * now) or ERROR_FATAL. */
MUST_CHECK bool jobs_reopen(struct jobs *jobs, const struct notice *notice, int output_root,
                            struct open_job **job, struct error *err);

/* A closed or open job for reading: its notice and its store (the caller clears and closes). Fails with
 * ERROR_INPUT: unknown; ERROR_FATAL. */
MUST_CHECK bool jobs_look_up(struct jobs *jobs, const char *id, struct notice *notice, struct store **store,
                             struct error *err);

#endif
