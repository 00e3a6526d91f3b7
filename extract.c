#include "extract.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aggregator/aggregate.h"
#include "aggregator/complete.h"
#include "aggregator/mail.h"
#include "common/alloc.h"
#include "common/features.h"
#include "common/files.h"
#include "common/job.h"
#include "common/log.h"
#include "common/meter.h"
#include "common/nolink.h"
#include "common/outputs.h"
#include "common/signals.h"
#include "producer/folders.h"
#include "producer/journal.h"
#include "producer/produce.h"
#include "producer/scan.h"
#include "worker/find_decoder.h"
#include "worker/work.h"

#define RESERVE_FILE JOB_FOLDER "/reserve"
#define LOG_FILE "ImageExtractor.out"

/* Raised when the same settings and files give other outputs than before. */
#define OUTPUT_VERSION 1

/* Space that is given back when the disk is full, so that the records of the pictures written so far can
 * still be committed: more than a batch of them takes. */
#define RESERVE_BYTES ((off_t)8 << 20)

/* Messages under way. A task is about 700 bytes, a record some 10 kB: a few megabytes at most, and enough
 * that nobody waits for anybody over one commit. */
#define TASKS_WAITING 256
#define RESULTS_WAITING 512

struct run {
    const struct settings *settings;
    char *input;  /* real path of DICOMHome       */
    char *output; /* real path of OutputDirectory */
    int output_dir, lock, log_file, signals;
    struct store *store;
    struct journal *journal;
    struct work *work;
    struct queue *tasks, *results;
    struct job job;
    struct buffer features; /* the text of FeatureSetFile */
    struct meter meter;
    uint64_t found;
    /* What each thread ended with; read after it was joined. */
    struct error producer_error, aggregator_error;
    bool producer_ok, aggregator_ok;
};

/* ---- setting up ---- */

static bool open_folders(struct run *run, struct error *err)
{
    const struct settings *settings = run->settings;
    run->input = folders_real("DICOMHome", settings->dicom_home, err);
    if (run->input == NULL)
        return false;
    if (!files_make_folders(AT_FDCWD, settings->output_directory, err))
        return error_prefix(err, "OutputDirectory");
    run->output = folders_real("OutputDirectory", settings->output_directory, err);
    return run->output != NULL && folders_check(run->input, run->output, settings->depth, err) &&
           files_open_real_folder(run->output, &run->output_dir, err);
}

/* The fleet's workers may be writing here. */
static bool check_no_fleet(const struct run *run, struct error *err)
{
    char job[64];
    bool found;
    if (!job_read_mark(run->output_dir, JOB_OPEN, job, sizeof job, &found, err))
        return false;
    return !found ||
           error_set(
               err, ERROR_FATAL,
               "OutputDirectory: job %s of the fleet is open there: wait until it is complete, or cancel "
               "it",
               job);
}

static bool open_log(struct run *run, struct error *err)
{
    run->log_file = nolink_open_file(run->output_dir, LOG_FILE, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (run->log_file < 0)
        return error_errno(err, ERROR_FATAL, "OutputDirectory: cannot write '%s'", LOG_FILE);
    log_open(run->log_file, -1, run->settings->log_level);
    return true;
}

/* The path of the database, new; its folder is there, and no link leads to it. */
static char *database_path(const struct run *run, struct error *err)
{
    const char *folder = run->settings->state_directory;
    char *real, *path;
    int descriptor;
    if (folder == NULL)
        return xasprintf("%s/" STORE_NAME ".db", run->output);
    if (!files_make_real_folder(folder, &real, &descriptor, err)) {
        (void)error_prefix(err, "StateDirectory");
        return NULL;
    }
    (void)close(descriptor);
    path = store_path(real, run->output);
    free(real);
    return path;
}

static bool open_store(struct run *run, struct error *err)
{
    char *path = database_path(run, err);
    bool ok = path != NULL && store_open(&run->store, path, err) &&
              store_set_durable(run->store, run->settings->durability != DURABILITY_NONE, err);
    free(path);
    return ok;
}

/* Rows made under other settings would not be what a fresh run makes. */
static bool check_fingerprint(struct run *run, struct error *err)
{
    char *settings = settings_fingerprint(run->settings);
    char *wanted = xasprintf("%d\n%s\n%s", OUTPUT_VERSION, run->input, settings);
    char *known = NULL;
    bool ok = false;
    if (!store_get(run->store, "fingerprint", &known, err))
        goto out;
    if (known != NULL && strcmp(known, wanted) != 0) {
        (void)fprintf(
            stderr, "niffler-png: settings that alter the outputs have changed: all files are done again\n");
        log_event(LOG_LEVEL_WARN, "extract", "settings_changed", "to_do=all");
        if (!store_forget_all(run->store, run->output_dir, err))
            goto out;
    }
    ok = store_set(run->store, "fingerprint", wanted, err) && store_set(run->store, "state", "running", err);
out:
    free(known);
    free(wanted);
    free(settings);
    return ok;
}

static bool set_up(struct run *run, struct error *err)
{
    static const char *const needed[] = {"DICOMHome", "OutputDirectory", NULL};
    return settings_check_given(run->settings, needed, err) && mail_check_settings(run->settings, err) &&
           open_folders(run, err) && files_make_folders(run->output_dir, JOB_FOLDER, err) &&
           files_lock(run->output_dir, JOB_LOCK, &run->lock, err) && check_no_fleet(run, err) &&
           open_log(run, err) && signals_open(&run->signals, err);
}

/* ---- the scan ---- */

static bool take_scanned(void *context, const struct scan_file *file, struct error *err)
{
    struct run *run = context;
    bool is_done;
    uint64_t seq = run->found++;
    if (!store_reconcile_file(run->store, file->path, file->size_bytes, file->mtime_ns, &is_done, err))
        return false;
    if (is_done)
        (void)store_answered_add(run->store, seq);
    return is_done || journal_add(run->journal, seq, file->path, err);
}

static bool scan(struct run *run, struct error *err)
{
    const struct settings *settings = run->settings;
    struct scan_options options = {.root = run->input,
                                   .depth = settings->depth,
                                   .pattern = settings->file_pattern,
                                   .links_anywhere = settings->links_anywhere,
                                   .link_roots = (const char *const *)settings->link_roots,
                                   .scratch = run->output};
    uint64_t forgotten;
    if (!journal_create(&run->journal, run->output_dir, JOB_JOURNAL, err) ||
        !store_reconcile_begin(run->store, run->output_dir, err) || !store_answered_begin(run->store, err) ||
        !scan_tree(&options, take_scanned, run, err) || !store_reconcile_end(run->store, &forgotten, err))
        return false;
    log_event(LOG_LEVEL_INFO, "extract", "scanned", "files=%llu to_do=%llu gone=%llu",
              (unsigned long long)run->found, (unsigned long long)journal_count(run->journal),
              (unsigned long long)forgotten);
    return true;
}

/* ---- the three roles ---- */

/* Nothing depends on it: where there is no room for it, or no fallocate(), a full disk costs the last batch.
 */
static void reserve_space(const struct run *run)
{
    (void)unlinkat(run->output_dir, RESERVE_FILE, 0); /* of a run that was killed */
    int file = nolink_open(run->output_dir, RESERVE_FILE, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file < 0)
        return;
    if (fallocate(file, 0, 0, RESERVE_BYTES) != 0)
        (void)unlinkat(run->output_dir, RESERVE_FILE, 0);
    (void)close(file);
}

static void release_space(const struct run *run)
{
    (void)unlinkat(run->output_dir, RESERVE_FILE, 0);
}

static bool produce(struct run *run, struct error *err)
{
    uint64_t sent = 1;
    if (!journal_rewind(run->journal, err))
        return false;
    while (sent > 0)
        if (!produce_tasks(run->journal, run->tasks, &run->job, UINT64_MAX, &sent, err))
            return false;
    return true;
}

static void *produce_thread(void *context)
{
    struct run *run = context;
    run->producer_ok = produce(run, &run->producer_error);
    queue_finish(run->tasks);
    return NULL;
}

static bool aggregate(struct run *run, struct error *err)
{
    struct jobs *jobs = jobs_new();
    const struct aggregate_options options = {.jobs = jobs, .results = run->results, .output_root = -1};
    struct aggregate *agg = aggregate_new(&options);
    const struct open_job *job = jobs_add(jobs, &run->job, run->store, run->found);
    bool ok = aggregate_job(agg, job, &run->meter, run->found - journal_count(run->journal), err);
    aggregate_free(agg);
    jobs_close(jobs);
    return ok;
}

static void *aggregate_thread(void *context)
{
    struct run *run = context;
    run->aggregator_ok = aggregate(run, &run->aggregator_error);
    queue_finish(run->results); /* if it failed: nobody may wait for it */
    return NULL;
}

static bool start_decoders(struct run *run, struct error *err)
{
    const struct settings *settings = run->settings;
    char *program = find_decoder(settings, err);
    if (program == NULL)
        return false;
    uint64_t to_do = journal_count(run->journal);
    unsigned count = settings_decoder_count(settings);
    struct work_options options = {
        .tasks = run->tasks,
        .results = run->results,
        .pool = {.program = program,
                 .count = to_do < count ? (unsigned)to_do : count,
                 .memory_bytes = settings->decoder_memory_bytes,
                 .seconds = settings->decoder_seconds,
                 .file_seconds = settings->file_seconds,
                 .reply_bytes = settings->options.max_metadata_bytes + POOL_REPLY_OVERHEAD_BYTES,
                 .file_bytes = settings->options.max_picture_bytes,
                 .is_confined = settings->sandbox == SANDBOX_REQUIRED},
        .links_anywhere = settings->links_anywhere,
        .link_roots = (const char *const *)settings->link_roots,
        .input_root = run->input,
        .output_root = run->output,
        .stop_descriptor = run->signals,
        .drain_seconds = WORK_DRAIN_FOREVER,
        .durability = settings->durability,
    };
    bool ok = work_open(&run->work, &options, err);
    free(program);
    return ok;
}

/* Decoders first, then threads. An error of the aggregator comes before the worker's, which then only says
 * that its queue is closed; so with the producer's. */
static bool run_roles(struct run *run, bool *stopped, struct error *err)
{
    pthread_t producer, aggregator;
    struct error work_error;
    if (!queue_memory_open(&run->tasks, TASKS_WAITING, err) ||
        !queue_memory_open(&run->results, RESULTS_WAITING, err) || !start_decoders(run, err))
        return false;
    reserve_space(run);
    meter_init(&run->meter, stderr, run->found, run->found - journal_count(run->journal));
    if (pthread_create(&aggregator, NULL, aggregate_thread, run) != 0)
        return error_set(err, ERROR_FATAL, "cannot start a thread");
    bool has_producer = pthread_create(&producer, NULL, produce_thread, run) == 0;
    bool worked = has_producer && work_run(run->work, stopped, &work_error);
    if (!has_producer)
        (void)error_set(&work_error, ERROR_FATAL, "cannot start a thread");
    release_space(run);
    queue_finish(run->tasks);
    queue_finish(run->results);
    (void)pthread_join(aggregator, NULL);
    if (has_producer)
        (void)pthread_join(producer, NULL);
    if (!run->aggregator_ok)
        *err = run->aggregator_error;
    else if (!worked)
        *err = work_error;
    else if (!run->producer_ok && !*stopped)
        *err = run->producer_error;
    return run->aggregator_ok && worked && (run->producer_ok || *stopped);
}

/* ---- the end ---- */

/* Nothing that goes wrong here is the job's failure. */
static void send_mail(struct run *run, const struct store_counts *counts)
{
    struct error err, ignored;
    struct mail mail = {.job = run->job.id,
                        .to = run->settings->your_email,
                        .output_directory = run->settings->output_directory,
                        .counts = *counts,
                        .time_s = (int64_t)time(NULL)};
    bool sent = mail_send(run->settings, &mail, MAIL_ATTEMPTS, MAIL_BACKOFF_MS, &err);
    if (sent)
        log_event(LOG_LEVEL_INFO, "extract", "mail_sent", "job=%s", log_text(run->job.id));
    else
        log_event(LOG_LEVEL_ERROR, "extract", "mail_failed", "job=%s reason=%s", log_text(run->job.id),
                  log_text(err.text));
    if (!store_set(run->store, "mail", sent ? "sent" : "failed", &ignored))
        log_event(LOG_LEVEL_WARN, "extract", "mail_state_lost", "reason=%s", log_text(ignored.text));
    if (!sent)
        (void)fprintf(stderr, "niffler-png: the e-mail could not be sent; see %s\n", LOG_FILE);
}

static bool complete(struct run *run, int *exit_status, struct error *err)
{
    struct store_counts counts;
    if (!complete_outputs(run->store, &run->job, run->output_dir, &counts, err) ||
        !complete_state(run->store, "complete", err))
        return false;
    if (mail_is_wanted(run->settings))
        send_mail(run, &counts);
    *exit_status = complete_exit_status(&counts, &run->job, err);
    if (*exit_status == EXIT_STATUS_USAGE)
        return false;
    complete_print(&counts, run->settings->output_directory);
    log_event(LOG_LEVEL_INFO, "extract", "done",
              "found=%llu converted=%llu no_image=%llu ignored=%llu failed=%llu",
              (unsigned long long)counts.found, (unsigned long long)counts.converted,
              (unsigned long long)counts.no_image, (unsigned long long)counts.ignored,
              (unsigned long long)counts.failed);
    return true;
}

static bool open_job(struct run *run, struct error *err)
{
    char *job = NULL;
    /* A run that goes on where another one was killed is the same job: its e-mail has the same Message-ID. */
    char *state = NULL;
    bool ok = false, wants_features;
    if (!features_read(run->settings, &run->features, &wants_features, err) ||
        !store_get(run->store, "job", &job, err) || !store_get(run->store, "state", &state, err))
        goto out;
    if (job == NULL || state == NULL || strcmp(state, "running") != 0)
        job_new_id(run->job.id);
    else
        (void)snprintf(run->job.id, sizeof run->job.id, "%s", job);
    job_from_settings(&run->job, run->settings);
    run->job.input = run->job.output = "."; /* the roots themselves */
    if (wants_features)
        run->job.features = run->features.data;
    ok = store_set(run->store, "job", run->job.id, err);
out:
    free(job);
    free(state);
    return ok;
}

static bool convert(struct run *run, int *exit_status, struct error *err)
{
    bool stopped = false;
    outputs_sweep_drafts(run->output_dir);
    if (!open_store(run, err) || !complete_finish_tables(run->store, run->output_dir, err) ||
        !open_job(run, err) || !check_fingerprint(run, err) || !scan(run, err))
        return false;
    if (run->found == 0) {
        *exit_status = EXIT_STATUS_USAGE;
        return error_set(err, ERROR_FATAL,
                         "nothing to convert: no file below DICOMHome '%s' at Depth %d fits "
                         "FilePattern '%s'",
                         run->settings->dicom_home, run->settings->depth, run->settings->file_pattern);
    }
    if (journal_count(run->journal) > 0 && !run_roles(run, &stopped, err))
        return false;
    if (stopped)
        return error_set(err, ERROR_FATAL,
                         "stopped by a signal; what is done is kept: run it again to go on");
    return complete(run, exit_status, err);
}

static void close_run(struct run *run)
{
    struct error ignored;
    work_close(run->work);
    outputs_sweep_drafts(run->output_dir);
    queue_close(run->tasks);
    queue_close(run->results);
    journal_close(run->journal);
    if (run->lock >= 0)
        (void)nolink_unlink(run->output_dir, JOB_JOURNAL, 0);
    if (!store_close(run->store, &ignored))
        log_event(LOG_LEVEL_ERROR, "extract", "store_close_failed", "reason=%s", log_text(ignored.text));
    log_open(STDERR_FILENO, -1, LOG_LEVEL_INFO);
    int descriptors[] = {run->signals, run->log_file, run->lock, run->output_dir};
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        if (descriptors[i] >= 0)
            (void)close(descriptors[i]);
    buffer_clear(&run->features);
    free(run->input);
    free(run->output);
}

bool extract_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                 struct error *err)
{
    (void)line;
    struct run run = {.settings = settings, .output_dir = -1, .lock = -1, .log_file = -1, .signals = -1};
    *exit_status = EXIT_STATUS_USAGE;
    bool ok = set_up(&run, err);
    if (ok) {
        *exit_status = EXIT_STATUS_WORLD_FAILED;
        ok = convert(&run, exit_status, err);
        if (!ok && err->kind == ERROR_BUG)
            *exit_status = EXIT_STATUS_BUG;
        if (!ok)
            log_event(LOG_LEVEL_ERROR, "extract", "failed", "exit_status=%d", *exit_status);
    }
    close_run(&run);
    return ok;
}
