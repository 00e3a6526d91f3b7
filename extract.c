#include "extract.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/aggregate.h"
#include "aggregator/complete.h"
#include "common/alloc.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/job.h"
#include "common/log.h"
#include "common/meter.h"
#include "common/nolink.h"
#include "common/outputs.h"
#include "common/signals.h"
#include "local_run.h"
#include "producer/journal.h"
#include "producer/produce.h"
#include "producer/scan.h"
#include "producer/slice.h"
#include "slices.h"
#include "worker/find_decoder.h"
#include "worker/work.h"

const struct command_argument extract_arguments[] = {
    {"--slice", "SLICE", false,
     "Convert one slice of the files: 0/7 the first of seven, 6/7 the last. Each may run on a machine of its "
     "own; merge writes the tables."},
    {NULL, NULL, false, NULL},
};

#define RESERVE_FILE JOB_FOLDER "/reserve"

/* Space that is given back when the disk is full, so that the records of the pictures written so far can
 * still be committed: more than a batch of them takes. */
#define RESERVE_BYTES ((off_t)8 << 20)

/* Messages under way. A task is about 700 bytes, a record some 10 kB: a few megabytes at most, and enough
 * that nobody waits for anybody over one commit. */
#define TASKS_WAITING 256
#define RESULTS_WAITING 512

struct run {
    struct local_run local;
    struct slice slice;       /* count 0: all files are ours */
    char array[JOB_ID_SPACE]; /* which the slice is of */
    char *journal_path, *reserve_path;
    int slice_lock, signals;
    struct journal *journal;
    struct work *work;
    struct queue *tasks, *results;
    struct meter meter;
    uint64_t found;           /* files of ours */
    uint64_t scanned, digest; /* files of all slices */
    /* What each thread ended with; read after it was joined. */
    struct error producer_error, aggregator_error;
    bool producer_ok, aggregator_ok;
};

/* ---- setting up ---- */

/* The folder's lock, for ourselves; slices that were run there are of an older job now. */
static bool lock_whole(struct run *run, struct error *err)
{
    struct local_run *local = &run->local;
    run->journal_path = xstrdup(JOB_JOURNAL);
    run->reserve_path = xstrdup(RESERVE_FILE);
    return files_lock(local->output_dir, JOB_LOCK, &local->lock, err) &&
           local_run_check_no_fleet(local, err) && job_remove_mark(local->output_dir, JOB_ARRAY, err) &&
           local_run_open_log(local, LOCAL_RUN_LOG, 0666, err);
}

static bool lock_slice(struct run *run, struct error *err)
{
    struct local_run *local = &run->local;
    char *fingerprint = local_run_fingerprint(local), *lock = slices_path(&run->slice, ".lock"),
         *log = slices_path(&run->slice, ".out");
    struct slices_array array = {.count = run->slice.count, .settings = hash_text(fingerprint)};
    run->journal_path = slices_path(&run->slice, ".journal");
    run->reserve_path = slices_path(&run->slice, ".reserve");
    bool ok = files_make_folders(local->output_dir, JOB_SLICES, err) &&
              files_lock(local->output_dir, lock, &run->slice_lock, err) &&
              slices_join(local->output_dir, &array, &local->lock, err) &&
              local_run_check_no_fleet(local, err) && local_run_open_log(local, log, 0600, err);
    memcpy(run->array, array.id, sizeof run->array);
    free(fingerprint);
    free(lock);
    free(log);
    return ok;
}

static bool set_up(struct run *run, const char *slice, struct error *err)
{
    if (slice != NULL && !slice_parse(slice, &run->slice, err))
        return false;
    return local_run_open_folders(&run->local, err) &&
           (slice != NULL ? lock_slice(run, err) : lock_whole(run, err)) && signals_open(&run->signals, err);
}

/* What was done for another array does not count: others have written to the folder since. */
static bool join_array(struct run *run, struct error *err)
{
    struct store *store = run->local.store;
    char *known = NULL;
    if (run->slice.count == 0)
        return true;
    bool ok = store_get(store, "array", &known, err);
    if (ok && (known == NULL || strcmp(known, run->array) != 0))
        ok = store_forget_all(store, run->local.output_dir, err) && store_set(store, "named", "no", err) &&
             store_set(store, "array", run->array, err);
    free(known);
    return ok;
}

/* ---- the scan ---- */

/* Every slice lists all files, and asks the system about its own alone. */
static bool is_of_slice(void *context, const char *path)
{
    struct run *run = context;
    run->scanned++;
    run->digest = slice_scan_digest(run->digest, path);
    return slice_has(&run->slice, path);
}

static bool take_scanned(void *context, const struct scan_file *file, struct error *err)
{
    struct run *run = context;
    struct store *store = run->local.store;
    bool is_done;
    /* Of a folder that cannot be read nobody was asked. */
    if (file->path[strlen(file->path) - 1] == '/' && !is_of_slice(run, file->path))
        return true;
    uint64_t seq = run->found++;
    if (!store_reconcile_file(store, file->path, file->size_bytes, file->mtime_ns, &is_done, err))
        return false;
    if (is_done)
        (void)store_answered_add(store, seq);
    return is_done || journal_add(run->journal, seq, file->path, err);
}

/* What `merge` compares: slices whose scans found the same files are of one data set. */
static bool note_scan(struct run *run, struct error *err)
{
    char *scan = xasprintf("%llu %016llx", (unsigned long long)run->scanned, (unsigned long long)run->digest);
    bool ok = run->slice.count == 0 || store_set(run->local.store, "scan", scan, err);
    free(scan);
    return ok;
}

static bool scan(struct run *run, struct error *err)
{
    struct local_run *local = &run->local;
    const struct settings *settings = local->settings;
    struct scan_options options = {.root = local->input,
                                   .depth = settings->depth,
                                   .pattern = settings->file_pattern,
                                   .links_anywhere = settings->links_anywhere,
                                   .link_roots = (const char *const *)settings->link_roots,
                                   .wants = is_of_slice,
                                   .scratch = local->output};
    uint64_t forgotten;
    if (!journal_create(&run->journal, local->output_dir, run->journal_path, err) ||
        !store_reconcile_begin(local->store, local->output_dir, err) ||
        !store_answered_begin(local->store, err) || !scan_tree(&options, take_scanned, run, err) ||
        !store_reconcile_end(local->store, &forgotten, err) || !note_scan(run, err))
        return false;
    log_event(LOG_LEVEL_INFO, "extract", "scanned", "files=%llu to_do=%llu gone=%llu",
              (unsigned long long)run->found, (unsigned long long)journal_count(run->journal),
              (unsigned long long)forgotten);
    return true;
}

/* ---- the three roles ---- */

/* Room for the records of what was done before the disk was full. Nothing depends on it: where there is none,
 * or no fallocate(), that is done again. */
static void reserve_space(const struct run *run)
{
    int dir = run->local.output_dir;
    (void)nolink_unlink(dir, run->reserve_path, 0); /* of a run that was killed */
    int file = nolink_open(dir, run->reserve_path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file < 0)
        return;
    if (fallocate(file, 0, 0, RESERVE_BYTES) != 0)
        (void)nolink_unlink(dir, run->reserve_path, 0);
    (void)close(file);
}

static void release_space(const struct run *run)
{
    (void)nolink_unlink(run->local.output_dir, run->reserve_path, 0);
}

static bool produce(struct run *run, struct error *err)
{
    uint64_t sent = 1;
    if (!journal_rewind(run->journal, err))
        return false;
    while (sent > 0)
        if (!produce_tasks(run->journal, run->tasks, &run->local.job, UINT64_MAX, &sent, err))
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
    const struct open_job *job = jobs_add(jobs, &run->local.job, run->local.store, run->found);
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
    const struct settings *settings = run->local.settings;
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
                 .files = settings->files_per_decoder,
                 .reply_bytes = settings->options.max_metadata_bytes + POOL_REPLY_OVERHEAD_BYTES,
                 .file_bytes = settings->options.max_picture_bytes,
                 .is_confined = settings->sandbox == SANDBOX_REQUIRED},
        .links_anywhere = settings->links_anywhere,
        .link_roots = (const char *const *)settings->link_roots,
        .input_root = run->local.input,
        .output_root = run->local.output,
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
    if (has_producer && !worked)
        work_settle(run->work);
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

/* What a slice has made waits for `merge`: names that files of other slices may want, old outputs, tables. */
static bool complete_slice(struct run *run, int *exit_status, struct error *err)
{
    struct store_counts counts;
    if (!store_counts(run->local.store, &counts, err) || !complete_state(run->local.store, "complete", err))
        return false;
    *exit_status = counts.failed > 0 ? EXIT_STATUS_SOME_FAILED : EXIT_STATUS_DONE;
    printf("slice %u/%u: ", run->slice.index, run->slice.count);
    complete_print_counts(&counts);
    printf("tables: none yet; niffler-png merge --slices %u writes them\n", run->slice.count);
    local_run_log_counts(&counts);
    return true;
}

static bool convert(struct run *run, int *exit_status, struct error *err)
{
    struct local_run *local = &run->local;
    bool stopped = false, is_whole = run->slice.count == 0;
    if (is_whole)
        outputs_sweep_drafts(local->output_dir); /* else they may be another slice's */
    if (!local_run_open_store(local, &run->slice, err) ||
        (is_whole && !complete_finish_tables(local->store, local->output_dir, err)) ||
        !join_array(run, err) || !local_run_open_job(local, err) || !local_run_take_settings(local, err) ||
        !scan(run, err))
        return false;
    if (run->scanned == 0) {
        *exit_status = EXIT_STATUS_USAGE;
        return error_set(err, ERROR_FATAL,
                         "nothing to convert: no file below DICOMHome '%s' at Depth %d fits "
                         "FilePattern '%s'",
                         local->settings->dicom_home, local->settings->depth, local->settings->file_pattern);
    }
    if (journal_count(run->journal) > 0 && !run_roles(run, &stopped, err))
        return false;
    if (stopped)
        return error_set(err, ERROR_FATAL,
                         "stopped by a signal; what is done is kept: run it again to go on");
    return is_whole ? local_run_complete(local, exit_status, err) : complete_slice(run, exit_status, err);
}

static void close_run(struct run *run)
{
    struct local_run *local = &run->local;
    bool is_locked = local->lock >= 0;
    work_close(run->work);
    if (is_locked && run->slice.count == 0)
        outputs_sweep_drafts(local->output_dir);
    queue_close(run->tasks);
    queue_close(run->results);
    journal_close(run->journal);
    if (is_locked)
        (void)nolink_unlink(local->output_dir, run->journal_path, 0);
    local_run_close(local);
    int descriptors[] = {run->signals, run->slice_lock};
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        if (descriptors[i] >= 0)
            (void)close(descriptors[i]);
    free(run->journal_path);
    free(run->reserve_path);
}

bool extract_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                 struct error *err)
{
    const char *slice = command_value(line, "--slice");
    struct run run = {.slice_lock = -1, .signals = -1};
    local_run_init(&run.local, settings);
    *exit_status = EXIT_STATUS_USAGE;
    bool ok = set_up(&run, slice, err);
    if (!ok && slice != NULL && err->kind == ERROR_RETRY)
        *exit_status = EXIT_STATUS_WORLD_FAILED; /* others are there: a scheduler is to try again */
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
