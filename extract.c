#include "extract.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "aggregator/aggregate.h"
#include "aggregator/mail.h"
#include "common/alloc.h"
#include "common/files.h"
#include "common/log.h"
#include "common/meter.h"
#include "producer/journal.h"
#include "producer/produce.h"
#include "producer/scan.h"
#include "worker/naming.h"
#include "worker/work.h"

#define OWN_FOLDER ".niffler-png"
#define LOCK_FILE OWN_FOLDER "/lock"
#define JOURNAL_FILE OWN_FOLDER "/journal"
#define RESERVE_FILE OWN_FOLDER "/reserve"
#define LOG_FILE "ImageExtractor.out"
#define DATABASE "ImageExtractor"

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
    struct task pattern;
    struct meter meter;
    uint64_t found;
    /* What each thread ended with; read after it was joined. */
    struct error producer_error, aggregator_error;
    bool producer_ok, aggregator_ok;
};

/* ---- setting up ---- */

static char *real_folder(const char *setting, const char *path, struct error *err)
{
    struct stat status;
    char *real = realpath(path, NULL);
    if (real == NULL) {
        (void)error_errno(err, ERROR_FATAL, "%s: cannot find the folder '%s'", setting, path);
    } else if (stat(real, &status) == 0 && !S_ISDIR(status.st_mode)) {
        (void)error_set(err, ERROR_FATAL, "%s: '%s' is not a folder", setting, path);
        free(real);
        real = NULL;
    }
    return real;
}

/* Levels of `inner` below `outer`; 0 when they are the same; -1 when it does not lie below. */
static int levels_below(const char *outer, const char *inner)
{
    size_t length = strcmp(outer, "/") == 0 ? 0 : strlen(outer);
    if (strncmp(outer, inner, length) != 0 || (inner[length] != '/' && inner[length] != '\0'))
        return -1;
    int levels = 0;
    for (const char *c = inner + length; *c != '\0'; c++)
        levels += *c == '/' && c[1] != '\0';
    return levels;
}

/* Outputs must not be read as inputs. With a Depth that does not reach it, an OutputDirectory inside
 * DICOMHome is harmless: the config.json that Niffler ships has it so. */
static bool check_folders(const struct run *run, struct error *err)
{
    int depth = run->settings->depth;
    int levels = levels_below(run->input, run->output);
    if (levels >= 0 && (depth < 0 || depth >= levels))
        return error_set(err, ERROR_FATAL,
                         levels == 0
                             ? "OutputDirectory and DICOMHome are the same folder; choose another one"
                             : "OutputDirectory lies inside DICOMHome, where its files would be read as "
                               "inputs; choose another one, or a Depth that does not reach it");
    if (levels < 0 && levels_below(run->output, run->input) >= 0)
        return error_set(err, ERROR_FATAL,
                         "DICOMHome lies inside OutputDirectory; choose another OutputDirectory");
    return true;
}

static bool open_folders(struct run *run, struct error *err)
{
    const struct settings *settings = run->settings;
    run->input = real_folder("DICOMHome", settings->dicom_home, err);
    if (run->input == NULL)
        return false;
    if (!files_make_folders(AT_FDCWD, settings->output_directory, err))
        return error_prefix(err, "OutputDirectory");
    run->output = real_folder("OutputDirectory", settings->output_directory, err);
    return run->output != NULL && check_folders(run, err) &&
           files_open_folder(run->output, &run->output_dir, err);
}

/* What is left of a run that was killed: pictures and copies half written, tables half exported. */
static void sweep_drafts(const struct run *run)
{
    files_sweep(run->output_dir, NAMING_INCOMING_FOLDER, "");
    (void)unlinkat(run->output_dir, NAMING_INCOMING_FOLDER, AT_REMOVEDIR);
    files_sweep(run->output_dir, ".", FILES_DRAFT_PREFIX);
    for (int category = CATEGORY_NOT_USABLE; category <= CATEGORY_TOO_MANY; category++) {
        char folder[sizeof NAMING_FAILED_FOLDER + 12];
        (void)snprintf(folder, sizeof folder, NAMING_FAILED_FOLDER "/%d", category);
        files_sweep(run->output_dir, folder, FILES_DRAFT_PREFIX);
    }
}

static bool open_log(struct run *run, struct error *err)
{
    run->log_file =
        openat(run->output_dir, LOG_FILE, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (run->log_file < 0)
        return error_errno(err, ERROR_FATAL, "OutputDirectory: cannot write '%s'", LOG_FILE);
    log_open(run->log_file, -1, run->settings->log_level);
    return true;
}

/* A StateDirectory may serve several output folders: there each database is named by its folder's path
 * (FNV-1a). */
static char *database_path(const struct run *run)
{
    uint64_t hash = 14695981039346656037u;
    if (run->settings->state_directory == NULL)
        return xasprintf("%s/" DATABASE ".db", run->output);
    for (const char *c = run->output; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return xasprintf("%s/" DATABASE "-%016llx.db", run->settings->state_directory, (unsigned long long)hash);
}

static bool open_store(struct run *run, struct error *err)
{
    if (run->settings->state_directory != NULL &&
        !files_make_folders(AT_FDCWD, run->settings->state_directory, err))
        return error_prefix(err, "StateDirectory");
    char *path = database_path(run);
    bool ok = store_open(&run->store, path, err);
    free(path);
    return ok;
}

/* A scan that finds nothing: the files' rows go, and with them, once the job is complete, their pictures. */
static bool forget_everything(struct run *run, struct error *err)
{
    uint64_t forgotten;
    return store_reconcile_begin(run->store, run->output_dir, err) &&
           store_reconcile_end(run->store, &forgotten, err);
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
        if (!forget_everything(run, err))
            goto out;
    }
    ok = store_set(run->store, "fingerprint", wanted, err) && store_set(run->store, "state", "running", err);
out:
    free(known);
    free(wanted);
    free(settings);
    return ok;
}

/* Signals that ask us to stop become readable bytes; set before any thread exists, which inherit the mask. */
static bool open_signals(struct run *run, struct error *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    /* A limit on file sizes is to be an error of the write, not a death. */
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
        signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
        return error_set(err, ERROR_FATAL, "cannot set up signals");
    run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return run->signals >= 0 || error_errno(err, ERROR_FATAL, "cannot set up signals");
}

/* Beside this program where it was built, in ../libexec where it was installed. Returns new; NULL and an
 * error. */
static char *find_decoder(const struct settings *settings, struct error *err)
{
    char self[PATH_MAX];
    if (settings->decoder_program != NULL)
        return xstrdup(settings->decoder_program);
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash != NULL)
        *slash = '\0';
    char *places[] = {xasprintf("%s/niffler-png-decoder", self),
                      xasprintf("%s/../libexec/niffler-png-decoder", self),
                      xstrdup(NIFFLER_DECODER_INSTALLED)};
    char *found = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (found == NULL && access(places[i], X_OK) == 0)
            found = places[i];
        else
            free(places[i]);
    }
    if (found == NULL)
        (void)error_set(err, ERROR_FATAL,
                        "cannot find niffler-png-decoder beside this program, nor in ../libexec, "
                        "nor at " NIFFLER_DECODER_INSTALLED "; name it by DecoderProgram");
    return found;
}

static bool set_up(struct run *run, struct error *err)
{
    static const char *const needed[] = {"DICOMHome", "OutputDirectory", NULL};
    return settings_check_given(run->settings, needed, err) && mail_check_settings(run->settings, err) &&
           open_folders(run, err) && files_make_folders(run->output_dir, OWN_FOLDER, err) &&
           files_lock(run->output_dir, LOCK_FILE, &run->lock, err) && open_log(run, err) &&
           open_signals(run, err);
}

/* ---- the scan ---- */

static bool take_scanned(void *context, const struct scan_file *file, struct error *err)
{
    struct run *run = context;
    bool is_done;
    uint64_t seq = run->found++;
    if (!store_reconcile_file(run->store, file->path, file->size_bytes, file->mtime_ns, &is_done, err))
        return false;
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
    if (!journal_create(&run->journal, run->output_dir, JOURNAL_FILE, err) ||
        !store_reconcile_begin(run->store, run->output_dir, err) ||
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
    int file = openat(run->output_dir, RESERVE_FILE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
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

static void *produce_thread(void *context)
{
    struct run *run = context;
    run->producer_ok = produce_tasks(run->journal, run->tasks, &run->pattern, &run->producer_error);
    queue_finish(run->tasks);
    return NULL;
}

static void *aggregate_thread(void *context)
{
    struct run *run = context;
    struct aggregate_run aggregate = {.store = run->store,
                                      .results = run->results,
                                      .meter = &run->meter,
                                      .total = journal_count(run->journal),
                                      .done_before = run->found - journal_count(run->journal)};
    run->aggregator_ok = aggregate_records(&aggregate, &run->aggregator_error);
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
                 .reply_bytes = settings->options.max_metadata_bytes + POOL_REPLY_OVERHEAD_BYTES},
        .links_anywhere = settings->links_anywhere,
        .link_roots = (const char *const *)settings->link_roots,
        .stop_descriptor = run->signals,
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

static void print_summary(const struct run *run, const struct store_counts *counts)
{
    printf("%llu files found = %llu converted + %llu without image + %llu ignored + %llu failed; %llu "
           "pictures\n",
           (unsigned long long)counts->found, (unsigned long long)counts->converted,
           (unsigned long long)counts->no_image, (unsigned long long)counts->ignored,
           (unsigned long long)counts->failed, (unsigned long long)counts->pictures);
    for (int category = CATEGORY_NOT_USABLE; category <= CATEGORY_TOO_MANY; category++)
        if (counts->failed_by_category[category] > 0)
            printf("  failed-dicom/%d: %llu\n", category,
                   (unsigned long long)counts->failed_by_category[category]);
    printf("tables: %s/metadata.csv, mapping.csv, failures.csv\n", run->settings->output_directory);
}

static bool complete(struct run *run, int *exit_status, struct error *err)
{
    struct store_counts counts;
    bool mail_failed = false;
    if (!aggregate_complete(run->store, run->settings, run->output_dir, run->pattern.job, &counts,
                            &mail_failed, err))
        return false;
    if (counts.found == counts.ignored) {
        *exit_status = EXIT_STATUS_USAGE;
        return error_set(err, ERROR_FATAL,
                         "nothing to convert: %llu files below DICOMHome '%s' (FilePattern %s), "
                         "none of them DICOM",
                         (unsigned long long)counts.found, run->settings->dicom_home,
                         run->settings->file_pattern);
    }
    print_summary(run, &counts);
    log_event(LOG_LEVEL_INFO, "extract", "done",
              "found=%llu converted=%llu no_image=%llu ignored=%llu failed=%llu",
              (unsigned long long)counts.found, (unsigned long long)counts.converted,
              (unsigned long long)counts.no_image, (unsigned long long)counts.ignored,
              (unsigned long long)counts.failed);
    if (mail_failed)
        (void)fprintf(stderr, "niffler-png: the e-mail could not be sent; see %s\n", LOG_FILE);
    *exit_status = counts.failed > 0 ? EXIT_STATUS_SOME_FAILED : EXIT_STATUS_DONE;
    return true;
}

static bool open_job(struct run *run, struct error *err)
{
    char *job = NULL;
    /* A run that goes on where another one was killed is the same job: its e-mail has the same Message-ID. */
    char *state = NULL;
    bool ok = false;
    if (!store_get(run->store, "job", &job, err) || !store_get(run->store, "state", &state, err))
        goto out;
    if (job == NULL || state == NULL || strcmp(state, "running") != 0)
        produce_job_id(run->pattern.job);
    else
        (void)snprintf(run->pattern.job, sizeof run->pattern.job, "%s", job);
    run->pattern.input = run->input;
    run->pattern.output = run->output;
    run->pattern.options = run->settings->options;
    ok = store_set(run->store, "job", run->pattern.job, err);
out:
    free(job);
    free(state);
    return ok;
}

static bool convert(struct run *run, int *exit_status, struct error *err)
{
    bool stopped = false;
    sweep_drafts(run);
    if (!open_store(run, err) || !open_job(run, err) || !check_fingerprint(run, err) || !scan(run, err))
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
    sweep_drafts(run);
    queue_close(run->tasks);
    queue_close(run->results);
    journal_close(run->journal);
    if (run->lock >= 0)
        (void)unlinkat(run->output_dir, JOURNAL_FILE, 0);
    if (!store_close(run->store, &ignored))
        log_event(LOG_LEVEL_ERROR, "extract", "store_close_failed", "reason=%s", log_text(ignored.text));
    log_open(STDERR_FILENO, -1, LOG_LEVEL_INFO);
    int descriptors[] = {run->signals, run->log_file, run->lock, run->output_dir};
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        if (descriptors[i] >= 0)
            (void)close(descriptors[i]);
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
