#include "aggregator/aggregate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/files.h"
#include "common/log.h"
#include "common/nolink.h"
#include "common/record.h"
#include "common/task.h"

#define TICK_MS 500                        /* how often to look around while nothing comes */
#define SPILLED_BYTES_MAX ((off_t)1 << 30) /* of a record that was too long to send */

/* The file of a record that was too long to send. */
struct spilled {
    char *output; /* the job's folder, below the root */
    char *path;   /* below that                       */
};

struct aggregate {
    struct aggregate_options options;
    struct record rec;
    struct notice notice;
    struct buffer json;
    struct queue_message batch[AGGREGATE_BATCH]; /* stored, not yet committed */
    size_t batch_count;
    int64_t deadline_ms;          /* of the batch */
    struct queue_message waiting; /* met a failing storage: comes first in the next step */
    struct spilled *spilled;      /* whose records are stored, not yet committed */
    size_t spilled_count;
};

struct aggregate *aggregate_new(const struct aggregate_options *options)
{
    struct aggregate *agg = xcalloc(1, sizeof *agg);
    agg->options = *options;
    return agg;
}

static void free_spilled(struct aggregate *agg)
{
    for (size_t i = 0; i < agg->spilled_count; i++) {
        free(agg->spilled[i].output);
        free(agg->spilled[i].path);
    }
    free(agg->spilled);
    agg->spilled = NULL;
    agg->spilled_count = 0;
}

void aggregate_free(struct aggregate *agg)
{
    if (agg == NULL)
        return;
    free_spilled(agg);
    record_clear(&agg->rec);
    job_clear(&agg->notice.job);
    buffer_clear(&agg->json);
    free(agg);
}

/* ---- records that were too long to send ---- */

/* Fails with ERROR_INPUT: it is not there; ERROR_RETRY. */
static bool read_spilled(int dir, const char *path, struct buffer *text, struct error *err)
{
    struct files_roots roots = {.root = dir};
    struct stat status;
    int file;
    ssize_t n = 1;
    if (!files_open_input(&roots, path, &file, &status, err)) {
        bool is_missing = err->kind == ERROR_INPUT && strcmp(err->code, CODE_INPUT_MISSING) == 0;
        return error_set(err, is_missing ? ERROR_INPUT : ERROR_RETRY,
                         "cannot open the file of a long record");
    }
    while (status.st_size <= SPILLED_BYTES_MAX && n > 0) {
        n = read(file, buffer_reserve(text, 1u << 20), 1u << 20);
        text->length += n > 0 ? (size_t)n : 0;
    }
    (void)close(file);
    if (n < 0)
        return error_set(err, ERROR_RETRY, "cannot read the file of a long record");
    return n == 0 || error_set(err, ERROR_INPUT, "a record of more than a gigabyte");
}

static void note_spilled(struct aggregate *agg, const char *output, const char *path)
{
    agg->spilled = xrealloc_array(agg->spilled, agg->spilled_count + 1, sizeof *agg->spilled);
    agg->spilled[agg->spilled_count++] = (struct spilled){xstrdup(output), xstrdup(path)};
}

/* Put the record that agg->rec only points to in its place. Fails with ERROR_INPUT: it is not there, or
 * another's; ERROR_RETRY. */
static bool fetch_spilled(struct aggregate *agg, const struct open_job *job, struct error *err)
{
    char job_id[JOB_ID_SPACE];
    uint64_t seq = agg->rec.seq;
    struct buffer text = {0};
    char *path = xstrdup(record_text(&agg->rec, agg->rec.spilled));
    int dir = -1;
    bool ok = false;
    memcpy(job_id, agg->rec.job, sizeof job_id);
    if (agg->options.output_root < 0 || strncmp(path, JOB_RECORDS "/", sizeof JOB_RECORDS) != 0) {
        (void)error_set(err, ERROR_INPUT, "a record whose file is in the wrong place");
        goto out;
    }
    if (!files_open_folder_beneath(agg->options.output_root, job->job.output, &dir, err) ||
        !read_spilled(dir, path, &text, err) || !record_from_json(text.data, text.length, &agg->rec, err))
        goto out;
    if (agg->rec.spilled != 0 || strcmp(agg->rec.job, job_id) != 0 || agg->rec.seq != seq) {
        (void)error_set(err, ERROR_INPUT, "a record whose file is another's");
        goto out;
    }
    note_spilled(agg, job->job.output, path);
    CRASH_POINT("aggregator.spilled_read");
    ok = true;
out:
    if (dir >= 0)
        (void)close(dir);
    buffer_clear(&text);
    free(path);
    return ok;
}

/* The records are committed: their files have done their duty. */
static void remove_spilled(struct aggregate *agg)
{
    for (size_t i = 0; i < agg->spilled_count; i++) {
        const struct spilled *spilled = &agg->spilled[i];
        struct error ignored; /* what stays is swept when the job is complete */
        int dir;
        if (files_open_folder_beneath(agg->options.output_root, spilled->output, &dir, &ignored)) {
            (void)nolink_unlink(dir, spilled->path, 0);
            (void)close(dir);
        }
        CRASH_POINT("aggregator.spilled_removed");
    }
    free_spilled(agg);
}

/* ---- messages ---- */

/* Out of the way, to where people look for such. */
static bool set_aside(struct aggregate *agg, const char *kind, const struct queue_message *message,
                      const struct error *cause, struct error *err)
{
    const struct queue_address anywhere = {0};
    if (agg->options.dead == NULL)
        return error_set(err, ERROR_BUG, "a worker sent a message that cannot be used: %s", cause->text);
    log_event(LOG_LEVEL_WARN, "aggregator", "dead_letter", "reason=%s", log_text(cause->text));
    metrics_add(agg->options.metrics, METRIC_DEAD_LETTERS, 1);
    buffer_truncate(&agg->json, 0);
    letter_to_json(kind, cause->text, message->bytes, message->length, &agg->json);
    bool ok = queue_send(agg->options.dead, &anywhere, agg->json.data, agg->json.length, err) &&
              queue_flush(agg->options.dead, err);
    CRASH_POINT("aggregator.dead_letter_sent");
    return ok;
}

static bool is_served(const struct aggregate *agg, const char *job)
{
    return agg->options.only_job == NULL || strcmp(agg->options.only_job, job) == 0;
}

/* Only a thread of this process sends such. */
static bool is_packed(const struct aggregate *agg, const struct queue_message *message)
{
    return !queue_is_durable(agg->options.results) && record_is_packed(message->bytes, message->length);
}

/* Fails with ERROR_INPUT where the record cannot be used. */
static bool take_record(struct aggregate *agg, const struct queue_message *message, struct error *err)
{
    bool is_new = false;
    if (is_packed(agg, message))
        record_unpack(message->bytes, &agg->rec);
    else if (!record_from_json(message->bytes, message->length, &agg->rec, err))
        return false;
    CRASH_POINT("aggregator.record_read");
    struct open_job *job = is_served(agg, agg->rec.job) ? jobs_find(agg->options.jobs, agg->rec.job) : NULL;
    if (job == NULL) { /* another's, or late: it changes nothing */
        metrics_add(agg->options.metrics, METRIC_DUPLICATES, 1);
        return true;
    }
    bool is_known = agg->rec.seq < JOB_FILES_MAX && store_answered_has(job->store, agg->rec.seq);
    if (agg->rec.spilled != 0 && !is_known && !fetch_spilled(agg, job, err))
        return false;
    if (!jobs_add_record(job, &agg->rec, &is_new, err))
        return false;
    CRASH_POINT("aggregator.record_stored");
    metrics_add(agg->options.metrics, is_new ? METRIC_RECORDS : METRIC_DUPLICATES, 1);
    return true;
}

/* Tasks for the files of a job's new round. */
struct publishing {
    struct aggregate *agg;
    const struct open_job *job;
    struct task task;
};

static bool publish(void *context, uint64_t seq, const char *path, struct error *err)
{
    struct publishing *out = context;
    if (store_answered_has(out->job->store, seq))
        return true;
    out->task.seq = seq;
    out->task.path = path;
    buffer_truncate(&out->agg->json, 0);
    task_to_json(&out->task, &out->agg->json);
    const struct queue_address to = {.lane = seq};
    bool ok = queue_send(out->agg->options.tasks, &to, out->agg->json.data, out->agg->json.length, err);
    CRASH_POINT("aggregator.requeue_sent");
    return ok;
}

static bool take_requeue(struct aggregate *agg, struct error *err)
{
    struct open_job *job;
    if (!jobs_reopen(agg->options.jobs, &agg->notice, agg->options.output_root, &job, err))
        return false;
    struct publishing out = {.agg = agg, .job = job};
    if (job == NULL)
        return true;
    (void)snprintf(out.task.job, sizeof out.task.job, "%s", job->job.id);
    out.task.round = job->round;
    out.task.input = job->job.input;
    out.task.output = job->job.output;
    out.task.options = job->job.options;
    bool ok = store_each_failed(job->store, agg->notice.category, publish, &out, err) &&
              queue_flush(agg->options.tasks, err);
    CRASH_POINT("aggregator.requeue_published");
    return ok;
}

/* Fails with ERROR_INPUT where the notice cannot be used. */
static bool take_notice(struct aggregate *agg, const struct queue_message *message, struct error *err)
{
    struct jobs *jobs = agg->options.jobs;
    struct notice *notice = &agg->notice;
    if (agg->options.tasks == NULL)
        return error_set(err, ERROR_INPUT, "a notice where only records are expected");
    if (!notice_from_json(message->bytes, message->length, notice, err))
        return false;
    CRASH_POINT("aggregator.notice_read");
    if (!is_served(agg, notice->job.id))
        return true;
    if (notice->type == NOTICE_OPEN)
        return jobs_begin(jobs, notice, message->bytes, message->length, err);
    if (notice->type == NOTICE_REQUEUE)
        return take_requeue(agg, err);
    struct open_job *job = jobs_find(jobs, notice->job.id);
    if (job == NULL && jobs_is_closed(jobs, notice->job.id))
        return true;
    if (job == NULL)
        return error_set(err, ERROR_INPUT, "a notice about a job that is not known");
    if (notice->type == NOTICE_SEALED)
        return jobs_seal(job, notice->total, err);
    bool ok = jobs_cancel(job, err);
    CRASH_POINT("aggregator.cancelled");
    return ok;
}

static bool take_message(struct aggregate *agg, const struct queue_message *message, struct error *err)
{
    struct error cause;
    bool is_notice = !is_packed(agg, message) && notice_is_one(message->bytes, message->length);
    bool ok = is_notice ? take_notice(agg, message, &cause) : take_record(agg, message, &cause);
    if (!ok && cause.kind != ERROR_INPUT) {
        *err = cause;
        return false;
    }
    if (!ok && !set_aside(agg, is_notice ? "notice" : "record", message, &cause, err))
        return false;
    if (agg->batch_count == 0)
        agg->deadline_ms = meter_now_ms() + AGGREGATE_COMMIT_MS;
    agg->batch[agg->batch_count++] = *message;
    return true;
}

/* ---- batches ---- */

bool aggregate_commit(struct aggregate *agg, struct error *err)
{
    CRASH_POINT("aggregator.batch_full");
    if (!jobs_commit(agg->options.jobs, err))
        return false;
    CRASH_POINT("aggregator.batch_committed");
    for (size_t i = 0; i < agg->batch_count; i++) {
        if (!queue_ack(agg->options.results, &agg->batch[i], err))
            return false;
        CRASH_POINT("aggregator.acknowledged");
    }
    agg->batch_count = 0;
    remove_spilled(agg);
    return true;
}

/* How long to wait for the next record. A batch waits for more until its deadline, but not through a pause.
 */
static int patience_ms(const struct aggregate *agg, int timeout_ms)
{
    if (agg->batch_count == 0)
        return timeout_ms;
    int64_t left = agg->deadline_ms - meter_now_ms();
    int patience = left <= 0 ? 0 : left < AGGREGATE_IDLE_MS ? (int)left : AGGREGATE_IDLE_MS;
    return patience < timeout_ms ? patience : timeout_ms;
}

bool aggregate_step(struct aggregate *agg, int timeout_ms, bool *received, struct error *err)
{
    struct queue_message message = {0};
    *received = false;
    if (agg->waiting.bytes != NULL)
        message = agg->waiting;
    else if (!queue_receive(agg->options.results, patience_ms(agg, timeout_ms), &message, err))
        return false;
    *received = message.bytes != NULL;
    CRASH_POINT("aggregator.received");
    if (*received && !take_message(agg, &message, err)) {
        agg->waiting = message;
        return false;
    }
    agg->waiting = (struct queue_message){0};
    bool is_due = !*received || agg->batch_count == AGGREGATE_BATCH || meter_now_ms() >= agg->deadline_ms;
    return !is_due || agg->batch_count == 0 || aggregate_commit(agg, err);
}

static bool receive_all(struct aggregate *agg, const struct open_job *job, struct meter *meter,
                        uint64_t done_before, struct error *err)
{
    while (!jobs_is_complete(job)) {
        bool received;
        if (!aggregate_step(agg, TICK_MS, &received, err))
            return false;
        if (meter != NULL)
            meter_update(meter, done_before + job->counts.found, job->counts.failed);
        if (!received && queue_is_finished(agg->options.results))
            break;
    }
    return aggregate_commit(agg, err);
}

bool aggregate_job(struct aggregate *agg, const struct open_job *job, struct meter *meter,
                   uint64_t done_before, struct error *err)
{
    struct error ignored;
    bool ok = receive_all(agg, job, meter, done_before, err);
    /* The good records before a bad message are worth keeping. After a failed write this fails at once. */
    if (!ok && agg->batch_count > 0 && !aggregate_commit(agg, &ignored))
        log_event(LOG_LEVEL_WARN, "aggregator", "batch_lost", "records=%zu", agg->batch_count);
    return ok;
}
