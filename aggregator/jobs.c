#include "aggregator/jobs.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aggregator/jobs_internal.h"
#include "common/alloc.h"
#include "common/crash.h"
#include "common/files.h"
#include "common/log.h"
#include "common/meter.h"
#include "common/nolink.h"

/* ---- the set ---- */

struct jobs *jobs_new(void)
{
    struct jobs *jobs = xcalloc(1, sizeof *jobs);
    jobs->dir = jobs->lock = -1;
    return jobs;
}

bool jobs_is_broken(const struct jobs *jobs)
{
    bool is_broken = false;
    for (const struct open_job *job = jobs->first; job != NULL; job = job->next)
        is_broken |= store_is_broken(job->store);
    return is_broken;
}

struct open_job *jobs_first(struct jobs *jobs)
{
    return jobs->first;
}

struct open_job *jobs_find(struct jobs *jobs, const char *id)
{
    struct open_job *job = jobs->first;
    while (job != NULL && strcmp(job->job.id, id) != 0)
        job = job->next;
    return job;
}

struct open_job *jobs_add(struct jobs *jobs, const struct job *job, struct store *store, uint64_t total)
{
    struct open_job *open = xcalloc(1, sizeof *open);
    open->job = *job;
    open->job.text = (struct buffer){0}; /* the texts stay the caller's */
    open->store = store;
    open->total = total;
    open->opened_ms = meter_now_ms();
    open->next = jobs->first;
    jobs->first = open;
    return open;
}

static void free_job(struct open_job *job)
{
    job_clear(&job->job);
    free(job);
}

/* A store of our own is closed with the set; one that was added is its owner's. */
static void close_store(const struct jobs *jobs, struct open_job *job)
{
    struct error ignored;
    if (jobs->dir >= 0 && !store_close(job->store, &ignored))
        log_event(LOG_LEVEL_ERROR, "aggregator", "store_close_failed", "reason=%s", log_text(ignored.text));
    job->store = NULL;
}

void jobs_close(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    while (jobs->first != NULL) {
        struct open_job *job = jobs->first;
        jobs->first = job->next;
        close_store(jobs, job);
        free_job(job);
    }
    int descriptors[] = {jobs->lock, jobs->dir};
    for (size_t i = 0; i < 2; i++)
        if (descriptors[i] >= 0)
            (void)close(descriptors[i]);
    free(jobs->state_directory);
    free(jobs);
}

/* ---- facts of a job in its store ---- */

#define COUNTS "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
#define READ_COUNTS                                                                                \
    "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 \
    " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64

/* What is shown of a job, kept with its records so that counting them again is not needed. */
bool jobs_save_progress(struct open_job *job, struct error *err)
{
    const struct store_counts *c = &job->counts;
    const uint64_t *by = c->failed_by_category;
    char *text = xasprintf(COUNTS " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, c->converted, c->no_image,
                           c->ignored, c->failed, by[1], by[2], by[3], by[4], by[5], c->pictures,
                           job->duplicates, job->highest);
    bool ok = store_set(job->store, "progress", text, err);
    free(text);
    return ok;
}

static bool load_number(struct store *store, const char *name, uint64_t *number, struct error *err)
{
    char *text = NULL;
    if (!store_get(store, name, &text, err))
        return false;
    if (text != NULL)
        *number = strtoull(text, NULL, 10);
    free(text);
    return true;
}

bool jobs_save_number(struct store *store, const char *name, uint64_t number, struct error *err)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    return store_set(store, name, text, err);
}

bool jobs_load_facts(struct open_job *job, struct error *err)
{
    struct store_counts *c = &job->counts;
    uint64_t *by = c->failed_by_category, round = 0, sealed = 0, cancelled = 0;
    char *text = NULL;
    job->total = JOBS_TOTAL_UNKNOWN;
    if (!load_number(job->store, "total", &job->total, err) ||
        !load_number(job->store, "cancelled", &cancelled, err) ||
        !load_number(job->store, "round", &round, err) || !load_number(job->store, "sealed", &sealed, err) ||
        !store_get(job->store, "progress", &text, err))
        return false;
    *c = (struct store_counts){0};
    if (text != NULL)
        (void)sscanf(text, READ_COUNTS, &c->converted, &c->no_image, &c->ignored, &c->failed, &by[1], &by[2],
                     &by[3], &by[4], &by[5], &c->pictures, &job->duplicates, &job->highest);
    c->found = c->converted + c->no_image + c->ignored + c->failed;
    job->round = (uint32_t)round;
    job->sealed_s = (int64_t)sealed;
    job->is_cancelled = cancelled != 0;
    free(text);
    return true;
}

/* ---- files of the state directory ---- */

char *jobs_file(const char *folder, const char *id)
{
    return xasprintf("%s/%s", folder, id);
}

bool jobs_move_file(const struct jobs *jobs, const char *from_folder, const char *to_folder, const char *id,
                    struct error *err)
{
    char *from = jobs_file(from_folder, id), *to = jobs_file(to_folder, id);
    bool ok = nolink_rename(jobs->dir, from, to) == 0 ||
              (errno == ENOENT && faccessat(jobs->dir, to, F_OK, 0) == 0) ||
              error_errno(err, ERROR_RETRY, "StateDirectory: cannot move a job's file");
    free(from);
    free(to);
    return ok;
}

bool jobs_open_store(const struct jobs *jobs, const char *output, struct store **store, struct error *err)
{
    char *path = store_path(jobs->state_directory, output);
    struct error ignored;
    bool ok = store_open(store, path, err);
    if (ok && !store_set_durable(*store, jobs->is_durable, err)) {
        ok = false;
        (void)!store_close(*store, &ignored);
        *store = NULL;
    }
    if (!ok)
        (void)error_prefix(err, "'%s'", path);
    free(path);
    return ok;
}

/* Read and parse a notice on file. ERROR_INPUT where there is none. */
bool jobs_read_notice(const struct jobs *jobs, const char *folder, const char *id, struct notice *notice,
                      struct error *err)
{
    char *path = jobs_file(folder, id);
    struct buffer text = {0};
    struct error cause;
    int file = nolink_open_file(jobs->dir, path, O_RDONLY, 0);
    ssize_t n = 0;
    bool ok = false;
    if (file < 0 && errno == ENOENT) {
        (void)error_set(err, ERROR_INPUT, "no such job");
        goto out;
    }
    while (file >= 0 && (n = read(file, buffer_reserve(&text, 65536), 65536)) > 0)
        text.length += (size_t)n;
    if (file < 0 || n < 0) {
        (void)error_errno(err, ERROR_RETRY, "cannot read a job's file in StateDirectory");
        goto out;
    }
    ok = notice_from_json(buffer_text(&text), text.length, notice, &cause) ||
         error_set(err, ERROR_FATAL, "a job's file in StateDirectory is damaged: %s", cause.text);
out:
    if (file >= 0)
        (void)close(file);
    buffer_clear(&text);
    free(path);
    return ok;
}

static bool write_notice(const struct jobs *jobs, const char *id, const char *json, size_t length,
                         struct error *err)
{
    struct files_draft draft = {0};
    char *path = jobs_file(JOBS_OPEN, id);
    bool ok = files_draft_begin(&draft, jobs->dir, path, true, err);
    if (ok) {
        (void)fwrite(json, 1, length, draft.stream); /* files_draft_finish() tells */
        ok = files_draft_finish(&draft, err);
    }
    free(path);
    return ok;
}

bool jobs_is_closed(struct jobs *jobs, const char *id)
{
    if (jobs->dir < 0)
        return false;
    if (strcmp(jobs->last_closed, id) == 0)
        return true;
    char *path = jobs_file(JOBS_CLOSED, id);
    bool is_closed = faccessat(jobs->dir, path, F_OK, 0) == 0;
    if (is_closed)
        (void)snprintf(jobs->last_closed, sizeof jobs->last_closed, "%s", id);
    free(path);
    return is_closed;
}

/* ---- opening ---- */

/* Put a job on the list whose notice is read: takes it. */
bool jobs_enlist(struct jobs *jobs, struct notice *notice, struct store *store, struct open_job **out,
                 struct error *err)
{
    struct open_job *job = jobs_add(jobs, &notice->job, store, JOBS_TOTAL_UNKNOWN);
    job->job.text = notice->job.text;
    *notice = (struct notice){0};
    *out = job;
    return jobs_load_facts(job, err);
}

static bool load_job(struct jobs *jobs, const char *id, struct error *err)
{
    struct notice notice = {0};
    struct store *store = NULL;
    struct open_job *job;
    bool ok = jobs_read_notice(jobs, JOBS_OPEN, id, &notice, err) &&
              jobs_open_store(jobs, notice.job.output, &store, err) &&
              jobs_enlist(jobs, &notice, store, &job, err);
    job_clear(&notice.job);
    return ok;
}

static bool load_jobs(struct jobs *jobs, struct error *err)
{
    int descriptor = nolink_open(jobs->dir, JOBS_OPEN, O_RDONLY | O_DIRECTORY, 0);
    DIR *entries = descriptor >= 0 ? fdopendir(descriptor) : NULL;
    bool ok = true;
    if (entries == NULL)
        return error_errno(err, ERROR_FATAL, "StateDirectory: cannot read the folder of the jobs");
    for (const struct dirent *entry; ok && (entry = readdir(entries)) != NULL;)
        if (job_is_id(entry->d_name)) {
            ok = load_job(jobs, entry->d_name, err);
            CRASH_POINT("aggregator.job_loaded");
        }
    (void)closedir(entries);
    return ok;
}

bool jobs_open(struct jobs **out, const char *state_directory, bool is_durable, struct error *err)
{
    struct jobs *jobs = jobs_new();
    *out = NULL;
    jobs->is_durable = is_durable;
    if (!files_make_real_folder(state_directory, &jobs->state_directory, &jobs->dir, err) ||
        !files_make_folders(jobs->dir, JOBS_OPEN, err) || !files_make_folders(jobs->dir, JOBS_CLOSED, err) ||
        !files_lock(jobs->dir, JOBS_LOCK, &jobs->lock, err)) {
        (void)error_prefix(err, "StateDirectory");
        goto fail;
    }
    files_sweep(jobs->dir, JOBS_OPEN, FILES_DRAFT_PREFIX);
    if (!load_jobs(jobs, err))
        goto fail;
    *out = jobs;
    return true;
fail:
    jobs_close(jobs);
    return false;
}

/* ---- a job's life ---- */

/* As a producer writes it: "." or names with one '/' between, so that one folder has one name. */
static bool is_canonical(const char *path)
{
    size_t length = strlen(path);
    if (strcmp(path, ".") == 0)
        return true;
    return files_is_beneath(path) && length > 0 && path[length - 1] != '/' && strncmp(path, "./", 2) != 0 &&
           strstr(path, "//") == NULL && strstr(path, "/./") == NULL &&
           (length < 2 || strcmp(path + length - 2, "/.") != 0);
}

static bool check_folders(struct jobs *jobs, const struct job *job, struct error *err)
{
    if (!is_canonical(job->input) || !is_canonical(job->output))
        return error_set(err, ERROR_INPUT, "a job whose folders do not lie below the roots");
    for (const struct open_job *other = jobs->first; other != NULL; other = other->next)
        if (strcmp(other->job.output, job->output) == 0 && jobs_is_complete(other))
            return error_set(err, ERROR_RETRY, "job %s is being closed", other->job.id);
        else if (strcmp(other->job.output, job->output) == 0)
            return error_set(err, ERROR_INPUT, "job %s is still open on the output folder of job %s",
                             other->job.id, job->id);
    return true;
}

/* The store of an output folder that had another job before: its files are forgotten, and their outputs go
 * when the job is complete. Where a kill came between the store and the file, it is this job's already. */
static bool prepare_store(struct store *store, const struct job *job, struct error *err)
{
    char *known = NULL;
    bool ok = false;
    if (!store_get(store, "job", &known, err))
        goto out;
    ok = known != NULL && strcmp(known, job->id) == 0;
    if (!ok)
        ok = store_forget_all(store, -1, err) && store_answered_begin(store, err) &&
             store_set(store, "total", "18446744073709551615", err) && store_set(store, "round", "0", err) &&
             store_set(store, "sealed", "0", err) && store_set(store, "cancelled", "0", err) &&
             store_set(store, "progress", "", err) && store_set(store, "requests", "", err) &&
             store_set(store, "state", "running", err) && store_set(store, "job", job->id, err) &&
             store_commit(store, err);
out:
    free(known);
    return ok;
}

bool jobs_begin(struct jobs *jobs, const struct notice *notice, const char *json, size_t length,
                struct error *err)
{
    struct notice own = {0}; /* a copy that the job keeps */
    struct store *store = NULL;
    struct open_job *job;
    bool ok = false;
    if (jobs_find(jobs, notice->job.id) != NULL || jobs_is_closed(jobs, notice->job.id))
        return true;
    if (!check_folders(jobs, &notice->job, err) || !notice_from_json(json, length, &own, err) ||
        !jobs_open_store(jobs, own.job.output, &store, err))
        goto out;
    CRASH_POINT("aggregator.store_opened");
    if (!prepare_store(store, &own.job, err))
        goto out;
    CRASH_POINT("aggregator.job_prepared");
    if (!write_notice(jobs, own.job.id, json, length, err))
        goto out;
    CRASH_POINT("aggregator.job_noted");
    ok = jobs_enlist(jobs, &own, store, &job, err);
    store = NULL; /* the job's */
    if (ok)
        log_event(LOG_LEVEL_INFO, "aggregator", "job_open", "job=%s", log_text(job->job.id));
out:
    if (!ok && store != NULL) {
        struct error ignored;
        (void)!store_close(store, &ignored);
    }
    job_clear(&own.job);
    return ok;
}

bool jobs_seal(struct open_job *job, uint64_t total, struct error *err)
{
    if (job->total == total)
        return true;
    if (job->total != JOBS_TOTAL_UNKNOWN || job->highest > total)
        return error_set(err, ERROR_INPUT, "a total that contradicts what is known of job %s", job->job.id);
    job->total = total;
    job->sealed_s = (int64_t)time(NULL);
    job->is_changed = true;
    CRASH_POINT("aggregator.job_sealed");
    return jobs_save_number(job->store, "total", total, err) &&
           jobs_save_number(job->store, "sealed", (uint64_t)job->sealed_s, err);
}

bool jobs_cancel(struct open_job *job, struct error *err)
{
    job->is_cancelled = true;
    job->is_changed = true;
    return jobs_save_number(job->store, "cancelled", 1, err);
}

static void count_record(struct store_counts *counts, const struct record *rec)
{
    counts->found++;
    counts->converted += rec->status == RECORD_CONVERTED;
    counts->no_image += rec->status == RECORD_NO_IMAGE;
    counts->ignored += rec->status == RECORD_IGNORED;
    counts->failed += rec->status == RECORD_FAILED;
    if (rec->category != CATEGORY_NONE &&
        (rec->status == RECORD_FAILED || rec->category == CATEGORY_TOO_MANY))
        counts->failed_by_category[rec->category]++;
    for (size_t i = 0; i < rec->frame_count; i++)
        counts->pictures += rec->frames[i].png != 0;
}

bool jobs_add_record(struct open_job *job, const struct record *rec, bool *is_new, struct error *err)
{
    *is_new = false;
    if (rec->seq >= JOB_FILES_MAX || rec->seq >= job->total)
        return error_set(err, ERROR_INPUT, "a record whose number is beyond the total of its job");
    if (job->is_cancelled || rec->round != job->round || store_answered_has(job->store, rec->seq)) {
        job->duplicates++;
        return true;
    }
    if (!store_add_record(job->store, rec, err))
        return false;
    *is_new = store_answered_add(job->store, rec->seq);
    count_record(&job->counts, rec);
    job->highest = rec->seq >= job->highest ? rec->seq + 1 : job->highest;
    job->record_ms = meter_now_ms();
    job->is_changed = true;
    return true;
}

bool jobs_commit(struct jobs *jobs, struct error *err)
{
    for (struct open_job *job = jobs->first; job != NULL; job = job->next) {
        if (!job->is_changed)
            continue;
        if ((jobs->dir >= 0 && !jobs_save_progress(job, err)) || !store_commit(job->store, err))
            return false;
        job->is_changed = false;
        CRASH_POINT("aggregator.store_committed");
    }
    return true;
}

bool jobs_is_complete(const struct open_job *job)
{
    return job->is_cancelled ||
           (job->total != JOBS_TOTAL_UNKNOWN && store_answered_count(job->store) == job->total);
}

bool jobs_end(struct jobs *jobs, struct open_job *job, struct error *err)
{
    if (!jobs_move_file(jobs, JOBS_OPEN, JOBS_CLOSED, job->job.id, err))
        return false;
    CRASH_POINT("aggregator.job_ended");
    struct open_job **link = &jobs->first;
    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    close_store(jobs, job);
    free_job(job);
    return true;
}
