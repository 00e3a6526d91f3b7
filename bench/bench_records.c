/* bench_records: synthetic records, through the aggregator or straight into a store.
 *
 *     send COUNT ATTRIBUTES JOB FLAGS...      a whole job into the topic of results (FLAGS: settings)
 *     memory COUNT ATTRIBUTES DATABASE        from a queue in memory into a store: records and seconds
 *     fill COUNT ATTRIBUTES DATABASE          into a store, without a queue: records and seconds
 *     export DATABASE OUTPUT_FOLDER           the tables of a store: seconds, peak of memory in kB, CPU
 * seconds */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "aggregator/aggregate.h"
#include "aggregator/csv.h"
#include "bench/bench_memory.h"
#include "common/alloc.h"
#include "common/queue_kafka.h"

#define AT_ONCE 100000 /* records that wait in memory */
#define PATIENCE_MS 30000

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The seq-th record: about 33 bytes of JSON for each attribute; paths in byte order, as a scan gives them. */
static void make_record(struct record *rec, const char *job, uint64_t seq, unsigned attributes)
{
    char text[64], name[32];
    record_reset(rec);
    (void)snprintf(rec->job, sizeof rec->job, "%s", job);
    rec->seq = seq;
    rec->size_bytes = 1000 + seq;
    int length = snprintf(text, sizeof text, "P%05" PRIu64 "/S%" PRIu64 "/IM%08" PRIu64 ".dcm", seq / 1000,
                          seq / 100 % 10, seq);
    rec->path = record_add_text(rec, text, (size_t)length);
    for (unsigned i = 0; i < attributes; i++) {
        int name_length = snprintf(name, sizeof name, "Attribute%03u", i);
        length = snprintf(text, sizeof text, "value-%08" PRIu64, seq * (i + 1) % 100000000);
        record_add_cell(rec, name, (size_t)name_length, text, (size_t)length);
    }
}

/* ---- through Kafka ---- */

static bool send_notice(struct queue *q, struct notice *notice, struct error *err)
{
    const struct queue_address to = {.key = notice->job.id};
    struct buffer json = {0};
    notice_to_json(notice, &json);
    bool ok = queue_send(q, &to, json.data, json.length, err) && queue_flush(q, err);
    buffer_clear(&json);
    return ok;
}

static bool send_job(struct queue *q, const struct settings *settings, const char *id, uint64_t count,
                     unsigned attributes, struct error *err)
{
    struct notice open = {.type = NOTICE_OPEN}, sealed = {.type = NOTICE_SEALED, .total = count};
    const struct queue_address to = {.key = id};
    struct record rec = {0};
    struct buffer json = {0};
    job_from_settings(&open.job, settings);
    (void)snprintf(open.job.id, sizeof open.job.id, "%s", id);
    (void)snprintf(sealed.job.id, sizeof sealed.job.id, "%s", id);
    open.job.input = ".";
    open.job.output = "job";
    open.job.dicom_home = "/dicom";
    open.job.output_directory = "/output";
    open.job.created_s = 1;
    bool ok = send_notice(q, &open, err);
    for (uint64_t seq = 0; ok && seq < count; seq++) {
        make_record(&rec, id, seq, attributes);
        buffer_truncate(&json, 0);
        record_to_json(&rec, &json);
        ok = queue_send(q, &to, json.data, json.length, err);
    }
    ok = ok && queue_flush(q, err) && send_notice(q, &sealed, err);
    printf("%zu bytes each\n", json.length);
    record_clear(&rec);
    buffer_clear(&json);
    return ok;
}

static bool run_send(uint64_t count, unsigned attributes, int argc, char **argv, struct error *err)
{
    struct settings settings = {0};
    struct queue *q = NULL;
    bool ok = false;
    if (!settings_load(&settings, NULL, argc - 5, argv + 5, err))
        goto out;
    const struct queue_kafka_options options = {.settings = &settings, .topic = settings.kafka_results_topic};
    ok = queue_kafka_open(&q, &options, PATIENCE_MS, err) &&
         send_job(q, &settings, argv[4], count, attributes, err);
out:
    queue_close(q);
    settings_clear(&settings);
    return ok;
}

/* ---- from memory ---- */

static bool fill_queue(struct queue *q, const char *id, uint64_t from, uint64_t until, unsigned attributes,
                       struct error *err)
{
    const struct queue_address to = {.key = id};
    struct record rec = {0};
    struct buffer json = {0};
    bool ok = true;
    for (uint64_t seq = from; ok && seq < until; seq++) {
        make_record(&rec, id, seq, attributes);
        buffer_truncate(&json, 0);
        record_to_json(&rec, &json);
        ok = queue_send(q, &to, json.data, json.length, err);
    }
    record_clear(&rec);
    buffer_clear(&json);
    return ok;
}

static bool run_memory(uint64_t count, unsigned attributes, const char *database, struct error *err)
{
    struct job job = {0};
    struct jobs *jobs = jobs_new();
    struct store *store = NULL;
    struct queue *q = NULL;
    double seconds = 0;
    struct error ignored;
    job_new_id(job.id);
    bool ok = store_open(&store, database, err) && queue_memory_open(&q, AT_ONCE, err);
    struct aggregate *agg = NULL;
    if (ok) {
        (void)jobs_add(jobs, &job, store, count);
        agg = aggregate_new(&(struct aggregate_options){.jobs = jobs, .results = q, .output_root = -1});
    }
    for (uint64_t done = 0; ok && done < count;) {
        uint64_t until = done + AT_ONCE < count ? done + AT_ONCE : count;
        ok = fill_queue(q, job.id, done, until, attributes, err);
        double began = seconds_now();
        for (bool received; ok && done < until; done++)
            ok = aggregate_step(agg, 0, &received, err);
        ok = ok && aggregate_commit(agg, err);
        seconds += seconds_now() - began;
    }
    if (ok)
        printf("%" PRIu64 " %.3f\n", store_answered_count(store), seconds);
    aggregate_free(agg);
    jobs_close(jobs);
    queue_close(q);
    return store_close(store, ok ? err : &ignored) && ok;
}

/* ---- a store alone ---- */

static bool run_fill(uint64_t count, unsigned attributes, const char *database, struct error *err)
{
    struct store *store = NULL;
    struct record rec = {0};
    struct error ignored;
    double began = seconds_now();
    bool ok = store_open(&store, database, err);
    for (uint64_t seq = 0; ok && seq < count; seq++) {
        make_record(&rec, "", seq, attributes);
        ok = store_add_record(store, &rec, err) && (seq % AGGREGATE_BATCH != 0 || store_commit(store, err));
    }
    ok = ok && store_sync(store, err);
    if (ok)
        printf("%" PRIu64 " %.3f\n", count, seconds_now() - began);
    record_clear(&rec);
    return store_close(store, ok ? err : &ignored) && ok;
}

static bool run_export(const char *database, const char *output, struct error *err)
{
    const struct csv_options options = {.dicom_home = "/dicom", .output_directory = output};
    struct store *store = NULL;
    struct rusage usage;
    struct error ignored;
    double began = seconds_now();
    int dir = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = dir >= 0 || error_errno(err, ERROR_FATAL, "cannot open '%s'", output);
    ok = ok && store_open(&store, database, err) && csv_export(store, dir, &options, err);
    (void)getrusage(RUSAGE_SELF, &usage);
    if (ok)
        printf("%.3f %ld %.3f\n", seconds_now() - began, bench_peak_memory_kb(),
               (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    if (dir >= 0)
        (void)close(dir);
    return store_close(store, ok ? err : &ignored) && ok;
}

int main(int argc, char **argv)
{
    struct error err;
    const char *what = argc > 1 ? argv[1] : "";
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    unsigned attributes = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    bool ok;
    if (strcmp(what, "send") == 0 && argc > 5)
        ok = run_send(count, attributes, argc, argv, &err);
    else if (strcmp(what, "memory") == 0 && argc == 5)
        ok = run_memory(count, attributes, argv[4], &err);
    else if (strcmp(what, "fill") == 0 && argc == 5)
        ok = run_fill(count, attributes, argv[4], &err);
    else if (strcmp(what, "export") == 0 && argc == 4)
        ok = run_export(argv[2], argv[3], &err);
    else {
        (void)fprintf(stderr,
                      "usage: bench_records send|memory|fill|export ...; see the top of its source\n");
        return 2;
    }
    if (!ok)
        (void)fprintf(stderr, "bench_records: %s\n", err.text);
    return ok ? 0 : 1;
}
