/* jobs_internal.h: what jobs.c (jobs that are open) and jobs_again.c (those that were) share. */
#ifndef NIFFLER_AGGREGATOR_JOBS_INTERNAL_H
#define NIFFLER_AGGREGATOR_JOBS_INTERNAL_H

#include "aggregator/jobs.h"

#define JOBS_OPEN "jobs"
#define JOBS_CLOSED "closed"

struct jobs {
    struct open_job *first;
    char *state_directory; /* NULL: none */
    int dir, lock;         /* -1: none */
    bool is_durable;
    char last_closed[JOB_ID_SPACE]; /* the late records of one job come in a row */
};

char *jobs_file(const char *folder, const char *id); /* below StateDirectory; returns new */

/* Move a job's notice between the folders above; one that has been moved is where it should be. Fails with
 * ERROR_RETRY. */
MUST_CHECK bool jobs_move_file(const struct jobs *jobs, const char *from_folder, const char *to_folder,
                               const char *id, struct error *err);
MUST_CHECK bool jobs_open_store(const struct jobs *jobs, const char *output, struct store **store,
                                struct error *err);

/* Fails with ERROR_INPUT where there is none; ERROR_FATAL. */
MUST_CHECK bool jobs_read_notice(const struct jobs *jobs, const char *folder, const char *id,
                                 struct notice *notice, struct error *err);

/* Facts in the store. They join the open transaction. */
MUST_CHECK bool jobs_save_progress(struct open_job *job, struct error *err);
MUST_CHECK bool jobs_save_number(struct store *store, const char *name, uint64_t number, struct error *err);
MUST_CHECK bool jobs_load_facts(struct open_job *job, struct error *err);

/* Put a job on the list; takes the notice and, in any case, the store. */
MUST_CHECK bool jobs_enlist(struct jobs *jobs, struct notice *notice, struct store *store,
                            struct open_job **job, struct error *err);

#endif
