#include "aggregator/aggregate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "aggregator/csv.h"
#include "aggregator/mail.h"
#include "common/alloc.h"
#include "common/log.h"
#include "common/record.h"

#define TICK_MS 500           /* how often to look around while nothing comes */
#define FEATURES_MAX 16777216 /* bytes of FeatureSetFile */

/* ---- which records came already ---- */

/* Sequence numbers, one bit each, in blocks that are made when needed: 12 bytes for each hundred files. */
#define BLOCK_BITS 32768
#define SEQ_LIMIT ((uint64_t)1 << 32)

struct seen {
    uint64_t **blocks;
    size_t block_count;
};

/* Note `seq`; returns whether it is new. */
static bool seen_add(struct seen *seen, uint64_t seq)
{
    size_t block = (size_t)(seq / BLOCK_BITS), bit = (size_t)(seq % BLOCK_BITS);
    if (block >= seen->block_count) {
        size_t count = block < seen->block_count * 2 ? seen->block_count * 2 : block + 1;
        seen->blocks = xrealloc_array(seen->blocks, count, sizeof *seen->blocks);
        for (size_t i = seen->block_count; i < count; i++)
            seen->blocks[i] = NULL;
        seen->block_count = count;
    }
    if (seen->blocks[block] == NULL)
        seen->blocks[block] = xcalloc(BLOCK_BITS / 64, sizeof(uint64_t));
    uint64_t *word = &seen->blocks[block][bit / 64], mask = (uint64_t)1 << (bit % 64);
    bool is_new = (*word & mask) == 0;
    *word |= mask;
    return is_new;
}

static void seen_clear(struct seen *seen)
{
    for (size_t i = 0; i < seen->block_count; i++)
        free(seen->blocks[i]);
    free(seen->blocks);
}

/* ---- records ---- */

struct aggregation {
    struct aggregate_run *run;
    struct record rec;
    struct seen seen;
    uint64_t stored, failed;
    struct queue_message batch[AGGREGATE_BATCH]; /* stored, not yet committed */
    size_t batch_count;
    int64_t deadline_ms; /* of the batch */
};

/* Commit, then acknowledge: what a crash loses between the two comes again and changes nothing. */
static bool commit_batch(struct aggregation *agg, struct error *err)
{
    if (!store_commit(agg->run->store, err))
        return false;
    for (size_t i = 0; i < agg->batch_count; i++)
        if (!queue_ack(agg->run->results, &agg->batch[i], err))
            return false;
    agg->batch_count = 0;
    return true;
}

static bool take_message(struct aggregation *agg, const struct queue_message *message, struct error *err)
{
    struct error cause;
    if (!record_from_json(message->bytes, message->length, &agg->rec, &cause))
        return error_set(err, ERROR_BUG, "a worker sent a message that is no record: %s", cause.text);
    if (agg->rec.seq >= SEQ_LIMIT)
        return error_set(err, ERROR_BUG, "a worker sent a record with an impossible sequence number");
    if (!store_add_record(agg->run->store, &agg->rec, err))
        return false;
    if (agg->batch_count == 0)
        agg->deadline_ms = meter_now_ms() + AGGREGATE_COMMIT_MS;
    agg->batch[agg->batch_count++] = *message;
    if (seen_add(&agg->seen, agg->rec.seq)) {
        agg->stored++;
        agg->failed += agg->rec.status == RECORD_FAILED;
    }
    return true;
}

static void show_progress(const struct aggregation *agg)
{
    const struct aggregate_run *run = agg->run;
    if (run->meter != NULL)
        meter_update(run->meter, run->done_before + agg->stored, run->failed_before + agg->failed);
}

/* How long to wait for the next record. A batch waits for more until its deadline, but not through a pause.
 */
static int patience_ms(const struct aggregation *agg)
{
    if (agg->batch_count == 0)
        return TICK_MS;
    int64_t left = agg->deadline_ms - meter_now_ms();
    return left <= 0 ? 0 : left < AGGREGATE_IDLE_MS ? (int)left : AGGREGATE_IDLE_MS;
}

static bool receive_all(struct aggregation *agg, struct error *err)
{
    while (agg->stored < agg->run->total) {
        struct queue_message message = {0};
        if (!queue_receive(agg->run->results, patience_ms(agg), &message, err))
            return false;
        if (message.bytes != NULL && !take_message(agg, &message, err))
            return false;
        show_progress(agg);
        bool due = message.bytes == NULL || agg->batch_count == AGGREGATE_BATCH ||
                   meter_now_ms() >= agg->deadline_ms;
        if (due && agg->batch_count > 0) {
            if (!commit_batch(agg, err))
                return false;
        } else if (message.bytes == NULL && queue_is_finished(agg->run->results)) {
            break;
        }
    }
    return commit_batch(agg, err);
}

bool aggregate_records(struct aggregate_run *run, struct error *err)
{
    struct aggregation *agg = xcalloc(1, sizeof *agg);
    struct error ignored;
    agg->run = run;
    bool ok = receive_all(agg, err);
    /* The good records before a bad message are worth keeping. After a failed write this fails at once. */
    if (!ok && agg->batch_count > 0 && !commit_batch(agg, &ignored))
        log_event(LOG_LEVEL_WARN, "aggregator", "batch_lost", "records=%zu", agg->batch_count);
    record_clear(&agg->rec);
    seen_clear(&agg->seen);
    free(agg);
    return ok;
}

/* ---- FeatureSetFile ---- */

/* Names, one a line, into a list that ends with NULL; the names stay in `text`. Niffler takes a line as it
 * is; a trailing blank or CR there is a name that no column has. */
static const char **split_features(struct buffer *text, bool as_it_is)
{
    size_t count = 0, capacity = 64;
    const char **names = xcalloc(capacity, sizeof *names);
    char *line = text->data, *end = line + text->length - 1; /* the NUL */
    while (line < end) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        char *stop = newline != NULL ? newline : end;
        char *next = newline != NULL ? newline + 1 : end;
        while (!as_it_is && stop > line && strchr(" \t\r", stop[-1]) != NULL)
            stop--;
        while (!as_it_is && line < stop && strchr(" \t", *line) != NULL)
            line++;
        *stop = '\0';
        if (*line != '\0') {
            if (count + 2 > capacity) {
                capacity *= 2;
                names = xrealloc_array(names, capacity, sizeof *names);
            }
            names[count++] = line;
        }
        line = next;
    }
    names[count] = NULL;
    return names;
}

/* *names is NULL where all columns are wanted: not asked for, or, as Niffler has it, no such file. */
static bool read_features(const struct settings *settings, struct buffer *text, const char ***names,
                          struct error *err)
{
    FILE *in = NULL;
    bool ok = false;
    *names = NULL;
    if (!settings->specific_headers_only)
        return true;
    const char *path = settings->feature_set_file != NULL ? settings->feature_set_file : "featureset.txt";
    in = fopen(path, "re");
    if (in == NULL && errno == ENOENT) {
        log_event(LOG_LEVEL_WARN, "aggregator", "features_not_found", "reason=%s",
                  log_text("FeatureSetFile is missing; all columns are kept"));
        return true;
    }
    if (in == NULL)
        return error_errno(err, ERROR_FATAL, "FeatureSetFile: cannot open the file");
    while (text->length < FEATURES_MAX) {
        size_t n = fread(buffer_reserve(text, 65536), 1, 65536, in);
        if (n == 0)
            break;
        text->length += n;
    }
    if (ferror(in) != 0) {
        (void)error_errno(err, ERROR_FATAL, "FeatureSetFile: cannot read the file");
        goto out;
    }
    if (text->length >= FEATURES_MAX || memchr(text->data, '\0', text->length) != NULL) {
        (void)error_set(err, ERROR_FATAL, "FeatureSetFile: not a list of attribute names");
        goto out;
    }
    buffer_append_char(text, '\0');
    *names = split_features(text, settings->options.compatibility_niffler);
    ok = true;
out:
    (void)fclose(in);
    return ok;
}

/* ---- completion ---- */

static bool export_tables(struct store *store, const struct settings *settings, int output_dir,
                          struct error *err)
{
    struct buffer text = {0};
    const char **features = NULL;
    bool ok = false;
    if (!read_features(settings, &text, &features, err))
        goto out;
    struct csv_options options = {
        .compatibility_niffler = settings->options.compatibility_niffler,
        .common_headers_only = settings->common_headers_only,
        .features = features,
        .dicom_home = settings->dicom_home,
        .output_directory = settings->output_directory,
    };
    ok = csv_export(store, output_dir, &options, err);
out:
    free(features);
    buffer_clear(&text);
    return ok;
}

/* Nothing that goes wrong here is the job's failure. */
static bool send_mail(struct store *store, const struct settings *settings, const char *job,
                      const struct store_counts *counts)
{
    struct error err, ignored;
    struct mail mail = {.job = job,
                        .output_directory = settings->output_directory,
                        .counts = *counts,
                        .time_s = (int64_t)time(NULL)};
    bool sent = mail_send(settings, &mail, MAIL_ATTEMPTS, MAIL_BACKOFF_MS, &err);
    if (sent)
        log_event(LOG_LEVEL_INFO, "aggregator", "mail_sent", "job=%s", log_text(job));
    else
        log_event(LOG_LEVEL_ERROR, "aggregator", "mail_failed", "reason=%s", log_text(err.text));
    if (!store_set(store, "mail", sent ? "sent" : "failed", &ignored))
        log_event(LOG_LEVEL_WARN, "aggregator", "mail_state_lost", "reason=%s", log_text(ignored.text));
    return sent;
}

bool aggregate_complete(struct store *store, const struct settings *settings, int output_dir, const char *job,
                        struct store_counts *counts, bool *mail_failed, struct error *err)
{
    *mail_failed = false;
    /* A run for the tables alone leaves the pictures of earlier ones where they are. */
    bool named = !settings->options.print_images           ? true
                 : settings->options.compatibility_niffler ? store_settle_names(store, output_dir, err)
                                                           : store_sweep(store, output_dir, err);
    if (!named || !store_counts(store, counts, err) || !export_tables(store, settings, output_dir, err) ||
        !store_set(store, "state", "complete", err) || !store_sync(store, err))
        return false;
    if (mail_is_wanted(settings))
        *mail_failed = !send_mail(store, settings, job, counts);
    return true;
}
