#include "local_run.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aggregator/complete.h"
#include "aggregator/mail.h"
#include "common/alloc.h"
#include "common/command.h"
#include "common/features.h"
#include "common/files.h"
#include "common/log.h"
#include "common/nolink.h"
#include "producer/folders.h"
#include "slices.h"

/* Raised when the same settings and files give other outputs than before. */
#define OUTPUT_VERSION 1

void local_run_init(struct local_run *run, const struct settings *settings)
{
    *run = (struct local_run){.settings = settings, .output_dir = -1, .lock = -1, .log_file = -1};
}

void local_run_close(struct local_run *run)
{
    struct error ignored;
    if (!store_close(run->store, &ignored))
        log_event(LOG_LEVEL_ERROR, "extract", "store_close_failed", "reason=%s", log_text(ignored.text));
    log_open(STDERR_FILENO, -1, LOG_LEVEL_INFO);
    int descriptors[] = {run->log_file, run->lock, run->output_dir};
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        if (descriptors[i] >= 0)
            (void)close(descriptors[i]);
    buffer_clear(&run->features);
    free(run->input);
    free(run->output);
}

/* ---- setting up ---- */

bool local_run_open_folders(struct local_run *run, struct error *err)
{
    static const char *const needed[] = {"DICOMHome", "OutputDirectory", NULL};
    const struct settings *settings = run->settings;
    if (!settings_check_given(settings, needed, err) || !mail_check_settings(settings, err))
        return false;
    run->input = folders_real("DICOMHome", settings->dicom_home, err);
    if (run->input == NULL)
        return false;
    if (!files_make_folders(AT_FDCWD, settings->output_directory, err))
        return error_prefix(err, "OutputDirectory");
    run->output = folders_real("OutputDirectory", settings->output_directory, err);
    return run->output != NULL && folders_check(run->input, run->output, settings->depth, err) &&
           files_open_real_folder(run->output, &run->output_dir, err) &&
           files_make_folders(run->output_dir, JOB_FOLDER, err);
}

bool local_run_check_no_fleet(const struct local_run *run, struct error *err)
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

bool local_run_open_log(struct local_run *run, const char *path, mode_t mode, struct error *err)
{
    run->log_file = nolink_open_file(run->output_dir, path, O_WRONLY | O_CREAT | O_APPEND, mode);
    if (run->log_file < 0)
        return error_errno(err, ERROR_FATAL, "OutputDirectory: cannot write '%s'", path);
    log_open(run->log_file, -1, run->settings->log_level);
    return true;
}

char *local_run_state_path(const struct local_run *run, const struct slice *slice, struct error *err)
{
    const char *folder = run->settings->state_directory;
    char *real, *path;
    int descriptor;
    if (folder == NULL && slice->count > 0) {
        char *below = slices_path(slice, ".db");
        path = xasprintf("%s/%s", run->output, below);
        free(below);
        return path;
    }
    if (folder == NULL)
        return xasprintf("%s/" STORE_NAME ".db", run->output);
    if (!files_make_real_folder(folder, &real, &descriptor, err)) {
        (void)error_prefix(err, "StateDirectory");
        return NULL;
    }
    (void)close(descriptor);
    path = store_path(real, run->output);
    free(real);
    if (slice->count > 0) {
        char *whole = path;
        path = xasprintf("%.*s-%u-of-%u.db", (int)(strlen(whole) - strlen(".db")), whole, slice->index,
                         slice->count);
        free(whole);
    }
    return path;
}

bool local_run_open_store(struct local_run *run, const struct slice *slice, struct error *err)
{
    char *path = local_run_state_path(run, slice, err);
    bool ok = path != NULL && store_open(&run->store, path, err) &&
              store_set_durable(run->store, run->settings->durability != DURABILITY_NONE, err);
    free(path);
    return ok;
}

bool local_run_open_job(struct local_run *run, struct error *err)
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

char *local_run_fingerprint(const struct local_run *run)
{
    char *settings = settings_fingerprint(run->settings);
    char *fingerprint = xasprintf("%d\n%s\n%s", OUTPUT_VERSION, run->input, settings);
    free(settings);
    return fingerprint;
}

/* Rows made under other settings would not be what a fresh run makes. */
bool local_run_take_settings(struct local_run *run, struct error *err)
{
    char *wanted = local_run_fingerprint(run);
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
    return ok;
}

/* ---- the end ---- */

/* Nothing that goes wrong here is the job's failure. */
static void send_mail(struct local_run *run, const struct store_counts *counts)
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
        (void)fprintf(stderr, "niffler-png: the e-mail could not be sent; see %s\n", LOCAL_RUN_LOG);
}

void local_run_log_counts(const struct store_counts *counts)
{
    log_event(LOG_LEVEL_INFO, "extract", "done",
              "found=%llu converted=%llu no_image=%llu ignored=%llu failed=%llu",
              (unsigned long long)counts->found, (unsigned long long)counts->converted,
              (unsigned long long)counts->no_image, (unsigned long long)counts->ignored,
              (unsigned long long)counts->failed);
}

bool local_run_complete(struct local_run *run, int *exit_status, struct error *err)
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
    local_run_log_counts(&counts);
    return true;
}
