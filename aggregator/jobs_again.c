/* Jobs that are closed: looked up, and opened again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/jobs_internal.h"
#include "common/alloc.h"
#include "common/crash.h"
#include "common/files.h"
#include "common/log.h"

static bool has_another_job(const char *id, struct error *err)
{
    return error_set(err, ERROR_INPUT, "the output folder of job %s has had another job since", id);
}

/* The output folder, and with it the store, may have had another job since. */
static bool check_owner(struct store *store, const char *id, struct error *err)
{
    char *job = NULL;
    if (!store_get(store, "job", &job, err))
        return false;
    bool ok = job != NULL && strcmp(job, id) == 0;
    free(job);
    return ok || has_another_job(id, err);
}

/* That other job may be open: then its store is, and cannot be opened to ask it. */
static bool check_folder(struct jobs *jobs, const struct job *job, struct error *err)
{
    for (const struct open_job *other = jobs_first(jobs); other != NULL; other = other->next)
        if (strcmp(other->job.output, job->output) == 0)
            return has_another_job(job->id, err);
    return true;
}

bool jobs_look_up(struct jobs *jobs, const char *id, struct notice *notice, struct store **store,
                  struct error *err)
{
    *store = NULL;
    if (!jobs_read_notice(jobs, JOBS_CLOSED, id, notice, err) &&
        (err->kind != ERROR_INPUT || !jobs_read_notice(jobs, JOBS_OPEN, id, notice, err)))
        return false;
    return jobs_open_store(jobs, notice->job.output, store, err) && check_owner(*store, notice->job.id, err);
}

/* The store must still be this job's, and the job not be cancelled. *is_known: this request has come before;
 * *is_over: what it asked for is done. Whoever reads the topic from its beginning, meets requests of long
 * ago. */
static bool check_store(struct store *store, const struct notice *notice, bool *is_known, bool *is_over,
                        struct error *err)
{
    char *state = NULL, *requests = NULL;
    bool ok = false;
    if (!check_owner(store, notice->job.id, err) || !store_get(store, "state", &state, err) ||
        !store_get(store, "requests", &requests, err))
        goto out;
    *is_known = requests != NULL && strstr(requests, notice->request) != NULL;
    *is_over = state != NULL && strcmp(state, "running") != 0;
    ok = state == NULL || strcmp(state, "cancelled") != 0 ||
         error_set(err, ERROR_INPUT, "job %s was cancelled", notice->job.id);
out:
    free(state);
    free(requests);
    return ok;
}

static bool note_request(struct store *store, const char *request, struct error *err)
{
    char *known = NULL;
    if (!store_get(store, "requests", &known, err))
        return false;
    char *all = xasprintf("%s%s ", known != NULL ? known : "", request);
    bool ok = store_set(store, "requests", all, err);
    free(all);
    free(known);
    return ok;
}

static bool unanswer(void *context, uint64_t seq, const char *path, struct error *err)
{
    struct open_job *job = context;
    (void)path;
    (void)err;
    (void)store_answered_remove(job->store, seq);
    return true;
}

/* The counts as they are without the rows that are asked for again. */
static bool uncount(struct open_job *job, unsigned category, struct error *err)
{
    struct store_counts *counts = &job->counts;
    if (!store_counts(job->store, counts, err))
        return false;
    for (unsigned c = CATEGORY_NOT_USABLE; c <= CATEGORY_DECODER; c++) {
        if (category != 0 && category != c)
            continue;
        counts->failed -= counts->failed_by_category[c];
        counts->found -= counts->failed_by_category[c];
        counts->failed_by_category[c] = 0;
    }
    return true;
}

/* One transaction: a kill leaves the job as it was, or in its new round, where the same request finds it. */
static bool begin_round(struct open_job *job, const struct notice *notice, struct error *err)
{
    struct store *store = job->store;
    job->round++;
    return note_request(store, notice->request, err) &&
           store_each_failed(store, notice->category, unanswer, job, err) &&
           uncount(job, notice->category, err) && jobs_save_progress(job, err) &&
           jobs_save_number(store, "round", job->round, err) && store_set(store, "state", "running", err) &&
           store_commit(store, err);
}

/* The mark for producers: the folder has an open job again. Fails with ERROR_RETRY. */
static bool mark_open(int output_root, const struct job *job, struct error *err)
{
    int dir = -1;
    char *text = xasprintf("%s\n", job->id);
    bool ok = files_open_folder_beneath(output_root, job->output, &dir, err) &&
              files_make_folders(dir, JOB_FOLDER, err) && job_write_mark(dir, JOB_OPEN, text, err);
    if (dir >= 0)
        (void)close(dir);
    free(text);
    return ok;
}

bool jobs_reopen(struct jobs *jobs, const struct notice *notice, int output_root, struct open_job **out,
                 struct error *err)
{
    struct notice known = {0};
    struct store *store = NULL;
    struct open_job *job = jobs_find(jobs, notice->job.id);
    bool is_known = false, is_over = false, ok = false;
    *out = NULL;
    if (job != NULL) { /* a request that comes twice goes on where it was */
        if (!check_store(job->store, notice, &is_known, &is_over, err))
            return false;
        if (!is_known)
            return error_set(err, ERROR_INPUT, "job %s is not complete", notice->job.id);
        if (!jobs_move_file(jobs, JOBS_CLOSED, JOBS_OPEN, job->job.id, err))
            return false;
        *out = job;
        return true;
    }
    if (!jobs_read_notice(jobs, JOBS_CLOSED, notice->job.id, &known, err) ||
        !check_folder(jobs, &known.job, err) || !jobs_open_store(jobs, known.job.output, &store, err) ||
        !check_store(store, notice, &is_known, &is_over, err))
        goto out;
    if (is_known && is_over) {
        ok = true;
        goto out;
    }
    /* First of all: a producer that came between would begin a job that the folder has no room for. */
    if (!mark_open(output_root, &known.job, err))
        goto out;
    CRASH_POINT("aggregator.requeue_marked");
    ok = jobs_enlist(jobs, &known, store, &job, err);
    store = NULL;
    if (!ok || (!is_known && !begin_round(job, notice, err)))
        return false;
    CRASH_POINT("aggregator.round_begun");
    ok = jobs_move_file(jobs, JOBS_CLOSED, JOBS_OPEN, job->job.id, err);
    jobs->last_closed[0] = '\0';
    CRASH_POINT("aggregator.job_reopened");
    *out = ok ? job : NULL;
    log_event(LOG_LEVEL_INFO, "aggregator", "job_again", "job=%s round=%u", log_text(job->job.id),
              job->round);
    return ok;
out:
    if (store != NULL) {
        struct error ignored;
        (void)!store_close(store, &ignored);
    }
    job_clear(&known.job);
    return ok;
}
