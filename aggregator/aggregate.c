#include "aggregator/aggregate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aggregator/csv.h"
#include "aggregator/mail.h"
#include "common/alloc.h"
#include "common/log.h"

/* Messages that wait for one commit. Each holds on to its bytes in the queue. */
#define BATCH_MAX 256
#define MAIL_ATTEMPTS 4

/* ---- records ---- */

struct batch {
    struct queue_message messages[BATCH_MAX];
    size_t count;
    int64_t began_ms; /* when its first record came */
};

/* In this order: the records are committed, then their messages acknowledged. */
static bool commit_batch(struct aggregate_run *run, struct batch *batch, struct error *err)
{
    if (batch->count == 0)
        return true;
    if (!store_commit(run->store, err))
        return false;
    for (size_t i = 0; i < batch->count; i++)
        if (!queue_ack(run->results, &batch->messages[i], err))
            return false;
    batch->count = 0;
    return true;
}

static bool take_record(struct aggregate_run *run, struct batch *batch, struct record *rec,
                        const struct queue_message *message, struct error *err)
{
    if (!record_from_json(message->bytes, message->length, rec, err)) {
        err->kind = ERROR_BUG; /* a worker of ours wrote it */
        return false;
    }
    if (!store_add_record(run->store, rec, err))
        return false;
    if (batch->count == 0)
        batch->began_ms = meter_now_ms();
    batch->messages[batch->count++] = *message;
    return true;
}

bool aggregate_records(struct aggregate_run *run, struct error *err)
{
    struct batch batch = {.count = 0};
    struct record rec = {0};
    uint64_t done = 0, failed = 0;
    bool ok = false;
    while (done < run->total) {
        struct queue_message message;
        int64_t left =
            batch.count > 0 ? batch.began_ms + AGGREGATE_COMMIT_MS - meter_now_ms() : AGGREGATE_COMMIT_MS;
        if (batch.count == BATCH_MAX || left <= 0) {
            if (!commit_batch(run, &batch, err))
                goto out;
            continue;
        }
        if (!queue_receive(run->results, (int)left, &message, err))
            goto out;
        if (message.bytes != NULL) {
            if (!take_record(run, &batch, &rec, &message, err))
                goto out;
            done++;
            failed += rec.status == RECORD_FAILED;
        } else if (queue_is_finished(run->results)) {
            break;
        }
        if (run->meter != NULL)
            meter_update(run->meter, run->done_before + done, run->failed_before + failed);
    }
    ok = commit_batch(run, &batch, err);
out:
    if (run->meter != NULL)
        meter_finish(run->meter, run->done_before + done, run->failed_before + failed);
    record_clear(&rec);
    return ok;
}

/* ---- completion ---- */

/* The names of FeatureSetFile, a line each, as they stand there: Niffler strips nothing either. Returns new.
 */
static bool read_features(const char *path, char ***features, struct error *err)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0, count = 0;
    ssize_t length;
    *features = NULL;
    if (file == NULL && errno == ENOENT) { /* as in Niffler: then all columns are kept */
        log_event(LOG_LEVEL_WARN, "aggregator", "feature_set_missing", "all columns are kept");
        return true;
    }
    if (file == NULL)
        return error_errno(err, ERROR_FATAL, "FeatureSetFile: cannot read '%s'", path);
    while ((length = getline(&line, &size, file)) >= 0) {
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            line[--length] = '\0';
        *features = xrealloc_array(*features, count + 2, sizeof **features);
        (*features)[count++] = xstrdup(line);
        (*features)[count] = NULL;
    }
    if (*features == NULL)
        *features = xcalloc(1, sizeof **features);
    free(line);
    (void)fclose(file);
    return true;
}

static void free_features(char **features)
{
    for (char **feature = features; feature != NULL && *feature != NULL; feature++)
        free(*feature);
    free(features);
}

static bool write_tables(struct store *store, const struct settings *settings, int output_dir,
                         struct error *err)
{
    char **features = NULL;
    if (settings->specific_headers_only &&
        !read_features(settings->feature_set_file != NULL ? settings->feature_set_file : "featureset.txt",
                       &features, err))
        return false;
    struct csv_options options = {.compatibility_niffler = settings->options.compatibility_niffler,
                                  .common_headers_only = settings->common_headers_only,
                                  .features = (const char *const *)features,
                                  .dicom_home = settings->dicom_home,
                                  .output_directory = settings->output_directory};
    bool ok = csv_export(store, output_dir, &options, err);
    free_features(features);
    return ok;
}

static bool send_mail(struct store *store, const struct settings *settings, const char *job,
                      const struct store_counts *counts, bool *mail_failed, struct error *err)
{
    struct error reason;
    struct mail mail = {.job = job,
                        .output_directory = settings->output_directory,
                        .counts = *counts,
                        .time_s = (int64_t)time(NULL)};
    *mail_failed = false;
    if (!settings->send_email || settings->your_email == NULL || settings->smtp_url == NULL)
        return true;
    if (!store_set(store, "mail", "sending", err))
        return false;
    *mail_failed = !mail_send(settings, &mail, MAIL_ATTEMPTS, &reason);
    if (*mail_failed)
        log_event(LOG_LEVEL_ERROR, "aggregator", "mail_failed", "reason=%s", log_text(reason.text));
    return store_set(store, "mail", *mail_failed ? "failed" : "sent", err);
}

bool aggregate_complete(struct store *store, const struct settings *settings, int output_dir, const char *job,
                        struct store_counts *counts, bool *mail_failed, struct error *err)
{
    *mail_failed = false;
    if (settings->options.compatibility_niffler && !store_settle_names(store, output_dir, err))
        return false;
    if (!store_sweep(store, output_dir, err) || !store_counts(store, counts, err) ||
        !write_tables(store, settings, output_dir, err))
        return false;
    /* The pictures, too, are to be there after a power failure once the job is called complete. */
    if (syncfs(output_dir) != 0)
        return error_errno(err, ERROR_FATAL, "cannot write to the output folder");
    return store_set(store, "state", "complete", err) &&
           send_mail(store, settings, job, counts, mail_failed, err);
}
