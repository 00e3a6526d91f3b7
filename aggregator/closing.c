#include "aggregator/closing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aggregator/complete.h"
#include "aggregator/mail_files.h"
#include "aggregator/progress.h"
#include "common/alloc.h"
#include "common/crash.h"
#include "common/files.h"
#include "common/log.h"
#include "common/meter.h"
#include "common/nolink.h"
#include "common/outputs.h"

#define STALLED_MS 600000   /* without a record, when some are due */
#define SWEEP_AFTER_MS 2000 /* workers look for the end of a job once a second */
#define EPOCH_FILE "epoch"
#define EPOCH_MAX ((uint64_t)1 << 53) /* Redis compares doubles */
#define PACE_MS 1000                  /* the rate is that of some such spans */
#define VIEW_CLOSE_MS 1000

/* A job that is over, for what is still to be shown of its mail. */
struct ended_job {
    struct ended_job *next;
    char id[JOB_ID_SPACE];
    char *output;
    unsigned round;
    struct progress progress; /* its texts are the two above, and constants */
};

struct late_sweep {
    struct late_sweep *next;
    char *output; /* below OutputRoot */
    int64_t due_ms;
};

/* ---- drafts of those who had not seen the end ---- */

static void sweep_later(struct closing *closing, const char *output)
{
    struct late_sweep *sweep = xcalloc(1, sizeof *sweep);
    sweep->output = xstrdup(output);
    sweep->due_ms = meter_now_ms() + SWEEP_AFTER_MS;
    sweep->next = closing->sweeps;
    closing->sweeps = sweep;
}

/* Not where another job has begun since: its drafts are alive. Who still works on the old one does it in
 * vain, and finds that the job is over. */
static void sweep_once_more(const struct closing *closing, const char *output)
{
    struct error ignored;
    char job[64];
    bool is_open;
    int dir;
    if (!files_open_folder_beneath(closing->output_root, output, &dir, &ignored))
        return;
    if (job_read_mark(dir, JOB_OPEN, job, sizeof job, &is_open, &ignored) && !is_open)
        outputs_sweep_drafts(dir);
    (void)close(dir);
}

static void sweep_due(struct closing *closing, int64_t until_ms)
{
    struct late_sweep **link = &closing->sweeps;
    while (*link != NULL) {
        struct late_sweep *sweep = *link;
        if (sweep->due_ms > until_ms) {
            link = &sweep->next;
            continue;
        }
        *link = sweep->next;
        sweep_once_more(closing, sweep->output);
        free(sweep->output);
        free(sweep);
    }
}

void closing_sweep(struct closing *closing)
{
    sweep_due(closing, meter_now_ms());
}

/* ---- opening ---- */

void closing_clear(struct closing *closing)
{
    *closing = (struct closing){.output_root = -1, .state_dir = -1};
}

static void remember(struct closing *closing, const struct progress *progress, unsigned round)
{
    struct ended_job *ended = xcalloc(1, sizeof *ended);
    (void)snprintf(ended->id, sizeof ended->id, "%s", progress->job);
    ended->output = xstrdup(progress->output);
    ended->round = round;
    ended->progress = *progress;
    ended->progress.job = ended->id;
    ended->progress.output = ended->output;
    ended->next = closing->ended;
    closing->ended = ended;
}

/* A mail of an earlier life. One of a job that is open waits for the job to end again. */
static void send_again(void *context, const struct mail *mail)
{
    struct closing *closing = context;
    if (jobs_find(closing->options.jobs, mail->job) != NULL)
        return;
    struct progress progress = {.job = mail->job,
                                .state = mail->is_cancelled ? "cancelled" : "complete",
                                .output = "",
                                .mail = "pending",
                                .total = mail->counts.found,
                                .found = mail->counts.found,
                                .counts = mail->counts,
                                .finished_s = mail->time_s,
                                .epoch = closing->epoch};
    remember(closing, &progress, mail->round);
    outbox_put(closing->outbox, mail);
}

/* Each life's is larger than the one before, also where the clock was set back: Redis takes no numbers of an
 * older one. */
static bool begin_epoch(struct closing *closing, struct error *err)
{
    char text[32];
    bool found;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    closing->epoch = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (!job_read_mark(closing->state_dir, EPOCH_FILE, text, sizeof text, &found, err))
        return false;
    uint64_t before = found ? strtoull(text, NULL, 10) : 0;
    if (before >= closing->epoch && before < EPOCH_MAX)
        closing->epoch = before + 1;
    (void)snprintf(text, sizeof text, "%llu\n", (unsigned long long)closing->epoch);
    return job_write_mark(closing->state_dir, EPOCH_FILE, text, err);
}

bool closing_open(struct closing *closing, const struct closing_options *options, struct error *err)
{
    static const struct outbox_limits patient = OUTBOX_LIMITS, brief = {2000, 8000, 14000};
    closing->options = *options;
    metrics_set(options->metrics, METRIC_STORAGE_BREAKER, 0);
    return (files_open_folder(options->settings->output_root, &closing->output_root, err) ||
            error_prefix(err, "OutputRoot")) &&
           files_open_folder(options->state_directory, &closing->state_dir, err) &&
           begin_epoch(closing, err) && view_open(&closing->view, options->settings, err) &&
           outbox_open(&closing->outbox, options->settings, options->is_patient ? &patient : &brief, err) &&
           mail_files_each(closing->state_dir, send_again, closing, err);
}

void closing_close(struct closing *closing)
{
    if (closing->outbox != NULL) {
        outbox_stop(closing->outbox);
        closing_take_mails(closing); /* what was settled last */
    }
    sweep_due(closing, INT64_MAX);
    outbox_close(closing->outbox);
    view_close(closing->view, VIEW_CLOSE_MS);
    while (closing->ended != NULL) {
        struct ended_job *ended = closing->ended;
        closing->ended = ended->next;
        free(ended->output);
        free(ended);
    }
    if (closing->output_root >= 0)
        (void)close(closing->output_root);
    if (closing->state_dir >= 0)
        (void)close(closing->state_dir);
    closing_clear(closing);
}

/* ---- what is shown ---- */

static const char *state_of(const struct open_job *job, int64_t now_ms)
{
    int64_t since = job->record_ms > job->opened_ms ? job->record_ms : job->opened_ms;
    if (jobs_is_complete(job))
        return "running"; /* tables are being written */
    if (job->counts.found == 0 && now_ms - since < STALLED_MS)
        return job->total == JOBS_TOTAL_UNKNOWN ? "open" : "sealed";
    return now_ms - since < STALLED_MS ? "running" : "stalled";
}

static struct progress progress_of(const struct closing *closing, struct open_job *job)
{
    int64_t now_ms = meter_now_ms();
    if (now_ms - job->pace_ms >= PACE_MS) {
        double seconds = (double)(now_ms - job->pace_ms) / 1000;
        double rate = (double)(job->counts.found - job->pace_found) / seconds;
        job->pace = job->pace_ms == 0 ? 0 : job->pace == 0 ? rate : 0.7 * job->pace + 0.3 * rate;
        job->pace_ms = now_ms;
        job->pace_found = job->counts.found;
    }
    return (struct progress){
        .job = job->job.id,
        .state = state_of(job, now_ms),
        .output = job->job.output,
        .mail = "none",
        .total = job->total == JOBS_TOTAL_UNKNOWN ? PROGRESS_TOTAL_UNKNOWN : job->total,
        .found = job->total == JOBS_TOTAL_UNKNOWN ? job->highest : job->total,
        .counts = job->counts,
        .duplicates = job->duplicates,
        .rate = job->pace,
        .created_s = job->job.created_s,
        .sealed_s = job->sealed_s,
        .started_s = job->job.created_s,
        .epoch = closing->epoch,
        .revision = ++job->revision,
    };
}

/* What the metrics say of the jobs that are not over. */
struct tally {
    unsigned by_state[METRIC_JOBS_STALLED - METRIC_JOBS_OPEN + 1];
    uint64_t left;
    struct metrics_job *jobs; /* as many as MetricsJobs allows */
    size_t count;
};

static void tally_add(struct tally *tally, const struct progress *progress, size_t room)
{
    static const char *const states[] = {"open", "sealed", "running"};
    size_t state = 0;
    while (state < sizeof states / sizeof *states && strcmp(states[state], progress->state) != 0)
        state++; /* the last one is stalled */
    tally->by_state[state]++;
    uint64_t done = progress->counts.found;
    tally->left += progress->found > done ? progress->found - done : 0;
    if (tally->count == room)
        return;
    struct metrics_job *job = &tally->jobs[tally->count++];
    *job = (struct metrics_job){.done = done, .left_s = progress_left_s(progress)};
    job->files = progress->total == PROGRESS_TOTAL_UNKNOWN ? __builtin_nan("") : (double)progress->total;
    (void)snprintf(job->id, sizeof job->id, "%s", progress->job);
}

void closing_show(struct closing *closing)
{
    struct metrics *metrics = closing->options.metrics;
    size_t room = closing->options.settings->metrics_jobs;
    struct tally tally = {.jobs = xcalloc(room + 1, sizeof *tally.jobs)};
    int64_t last_ms = closing->record_ms;
    for (struct open_job *job = jobs_first(closing->options.jobs); job != NULL; job = job->next) {
        struct progress progress = progress_of(closing, job);
        progress_show(closing->view, &progress);
        tally_add(&tally, &progress, room);
        last_ms = job->record_ms > last_ms ? job->record_ms : last_ms;
    }
    if (last_ms > closing->record_ms)
        metrics_set(metrics, METRIC_LAST_PROGRESS, (double)time(NULL));
    closing->record_ms = last_ms;
    for (size_t i = 0; i < sizeof tally.by_state / sizeof *tally.by_state; i++)
        metrics_set(metrics, METRIC_JOBS_OPEN + i, tally.by_state[i]);
    metrics_set(metrics, METRIC_FILES_LEFT, (double)tally.left);
    metrics_show_jobs(metrics, tally.jobs, tally.count);
    free(tally.jobs);
    if (closing->view != NULL)
        metrics_set(metrics, METRIC_REDIS_UP, view_is_up(closing->view));
}

/* ---- mails ---- */

static bool is_mail_wanted(const struct closing *closing, const struct open_job *job)
{
    struct error cause;
    if (job->job.your_email == NULL || closing->options.settings->smtp_url == NULL)
        return false;
    if (mail_check_address("YourEmail", job->job.your_email, &cause))
        return true;
    log_event(LOG_LEVEL_ERROR, "aggregator", "mail_failed", "job=%s reason=%s", log_text(job->job.id),
              log_text(cause.text));
    return false;
}

static struct mail mail_of(const struct open_job *job, const struct store_counts *counts)
{
    return (struct mail){
        .job = job->job.id,
        .to = job->job.your_email,
        .output_directory = job->job.output_directory,
        .counts = *counts,
        .time_s = (int64_t)time(NULL),
        .round = job->round,
        .is_cancelled = job->is_cancelled,
    };
}

void closing_take_mails(struct closing *closing)
{
    struct outbox_result result;
    while (outbox_take(closing->outbox, &result)) {
        metrics_add(closing->options.metrics, result.is_sent ? METRIC_MAILS_SENT : METRIC_MAILS_FAILED, 1);
        struct ended_job **link = &closing->ended;
        while (*link != NULL && strcmp((*link)->id, result.job) != 0)
            link = &(*link)->next;
        struct ended_job *ended = *link;
        if (ended == NULL)
            continue;
        *link = ended->next;
        CRASH_POINT("aggregator.mail_settled");
        mail_file_remove(closing->state_dir, ended->id, ended->round);
        CRASH_POINT("aggregator.mail_off_file");
        ended->progress.mail = result.is_sent ? "sent" : "failed";
        ended->progress.error = result.is_sent ? NULL : result.reason;
        ended->progress.revision++;
        if (ended->output[0] != '\0') /* of an earlier life only this much is known: what Redis has stays */
            progress_end(closing->view, &ended->progress);
        free(ended->output);
        free(ended);
    }
}

/* ---- the end of a job ---- */

static bool mark_closed(int dir, const struct open_job *job, struct error *err)
{
    char path[sizeof JOB_CLOSED + JOB_ID_SPACE + 1], round[16];
    (void)snprintf(path, sizeof path, JOB_CLOSED "/%s", job->job.id);
    (void)snprintf(round, sizeof round, "%u\n", (unsigned)job->round);
    return files_make_folders(dir, JOB_CLOSED, err) && job_write_mark(dir, path, round, err);
}

/* Only our own: another job may have opened since a life that ended between here and jobs_end(). */
static bool unmark_open(int dir, const struct open_job *job, struct error *err)
{
    char text[64];
    bool found;
    if (!job_read_mark(dir, JOB_OPEN, text, sizeof text, &found, err))
        return false;
    if (found && strcmp(text, job->job.id) == 0)
        (void)nolink_unlink(dir, JOB_OPEN, 0);
    return true;
}

/* A job that failed holds its folder no longer, if the folder can be had. */
static void release_folder(const struct closing *closing, const struct open_job *job)
{
    struct error ignored;
    int dir = -1;
    if (!files_open_folder_beneath(closing->output_root, job->job.output, &dir, &ignored))
        return;
    (void)!unmark_open(dir, job, &ignored);
    (void)close(dir);
}

/* All that needs the output folder. */
static bool write_outputs(struct closing *closing, struct open_job *job, struct store_counts *counts,
                          bool wants_mail, struct error *err)
{
    int dir = -1;
    bool ok = false;
    if (!files_open_folder_beneath(closing->output_root, job->job.output, &dir, err) ||
        !mark_closed(dir, job, err))
        goto out;
    CRASH_POINT("aggregator.closed_marked");
    outputs_sweep_drafts(dir);
    if (!complete_outputs(job->store, &job->job, dir, counts, err))
        goto out;
    files_sweep(dir, JOB_RECORDS, job->job.id);
    CRASH_POINT("aggregator.records_swept");
    struct mail mail = mail_of(job, counts);
    if (wants_mail && !mail_file_write(closing->state_dir, &mail, err))
        goto out;
    CRASH_POINT("aggregator.mail_on_file");
    if (!complete_state(job->store, job->is_cancelled ? "cancelled" : "complete", err))
        goto out;
    CRASH_POINT("aggregator.state_complete");
    ok = unmark_open(dir, job, err);
    CRASH_POINT("aggregator.open_unmarked");
out:
    if (dir >= 0)
        (void)close(dir);
    return ok;
}

/* Wait for storage that fails. A job whose outputs can never be written (its folder leads out of the root)
 * comes to an end without them. */
static bool cope(struct closing *closing, struct open_job *job, const struct error *cause, bool *is_over,
                 struct error *err)
{
    *is_over = cause->kind == ERROR_INPUT;
    if (*is_over) {
        log_event(LOG_LEVEL_ERROR, "aggregator", "job_failed", "job=%s reason=%s", log_text(job->job.id),
                  log_text(cause->text));
        release_folder(closing, job);
        return complete_state(job->store, "failed", err);
    }
    if (cause->kind != ERROR_RETRY || store_is_broken(job->store)) {
        *err = *cause;
        return false;
    }
    if (!closing->waits_for_storage)
        log_event(LOG_LEVEL_WARN, "aggregator", "storage_unavailable", "reason=%s", log_text(cause->text));
    closing->waits_for_storage = true;
    metrics_set(closing->options.metrics, METRIC_STORAGE_BREAKER, 1);
    job->try_ms = meter_now_ms() + (int64_t)closing->options.settings->storage_probe_seconds * 1000;
    return true;
}

static void tell(struct closing *closing, const struct open_job *job, const struct store_counts *counts)
{
    metrics_add(closing->options.metrics, job->is_cancelled ? METRIC_JOBS_CANCELLED : METRIC_JOBS_COMPLETED,
                1);
    if (job->is_cancelled)
        log_event(LOG_LEVEL_INFO, "aggregator", "job_cancelled", "job=%s found=%llu", log_text(job->job.id),
                  (unsigned long long)counts->found);
    else
        log_event(LOG_LEVEL_INFO, "aggregator", "job_complete",
                  "job=%s found=%llu converted=%llu no_image=%llu ignored=%llu failed=%llu",
                  log_text(job->job.id), (unsigned long long)counts->found,
                  (unsigned long long)counts->converted, (unsigned long long)counts->no_image,
                  (unsigned long long)counts->ignored, (unsigned long long)counts->failed);
}

bool closing_end_job(struct closing *closing, struct open_job *job, struct error *err)
{
    struct store_counts counts = job->counts;
    struct error cause;
    bool wants_mail = is_mail_wanted(closing, job), is_over = true;
    health_excuse(closing->options.health, true); /* millions of rows take their time */
    bool written = write_outputs(closing, job, &counts, wants_mail, &cause);
    health_excuse(closing->options.health, false);
    if (!written && !cope(closing, job, &cause, &is_over, err))
        return false;
    if (!is_over)
        return true;
    if (written && closing->waits_for_storage) {
        closing->waits_for_storage = false;
        metrics_set(closing->options.metrics, METRIC_STORAGE_BREAKER, 0);
        log_event(LOG_LEVEL_INFO, "aggregator", "storage_back", "held=0");
    }
    wants_mail &= written;
    struct progress progress = progress_of(closing, job);
    progress.state = !written ? "failed" : job->is_cancelled ? "cancelled" : "complete";
    progress.error = written ? NULL : cause.text;
    progress.mail = wants_mail ? "pending" : "none";
    progress.counts = counts;
    progress.finished_s = (int64_t)time(NULL);
    progress_end(closing->view, &progress);
    tell(closing, job, &counts);
    CRASH_POINT("aggregator.end_told");
    struct mail mail = mail_of(job, &counts);
    char id[JOB_ID_SPACE];
    char *to = wants_mail ? xstrdup(mail.to) : NULL,
         *folder = wants_mail ? xstrdup(mail.output_directory) : NULL;
    (void)snprintf(id, sizeof id, "%s", job->job.id);
    if (wants_mail)
        remember(closing, &progress, job->round);
    if (written)
        sweep_later(closing, job->job.output);
    bool ok = jobs_end(closing->options.jobs, job, err);
    if (ok && wants_mail) { /* it is on file: where we end here, the next life sends it */
        mail.job = id;
        mail.to = to;
        mail.output_directory = folder;
        outbox_put(closing->outbox, &mail);
        CRASH_POINT("aggregator.mail_put");
    }
    free(to);
    free(folder);
    return ok;
}
