/* Whoever counts must never wait for whoever reads: each number is an atomic of its own, and a scrape is not
 * one moment. Where numbers must agree (a histogram's buckets and its count) one is derived from the other.
 */
#include "common/metrics.h"

#include <assert.h>
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/json.h"
#include "common/metrics_table.h"

#define NS 1e9
#define LONGEST_S 1e6 /* what a clock gone wrong may add to a sum */

struct histogram {
    _Atomic uint64_t buckets[METRICS_BOUNDS + 1]; /* not cumulative */
    _Atomic uint64_t sum_ns;                      /* a sum of doubles would take a loop to add to */
};

struct metrics {
    char *version;
    double started_s;                      /* since 1970; NAN: not known */
    _Atomic uint64_t values[METRIC_COUNT]; /* counters: the number; gauges: the bits of a double */
    _Atomic uint64_t files[METRICS_STATUSES][METRICS_CLASSES];
    struct histogram durations[METRICS_STAGES];
    pthread_mutex_t jobs_mutex; /* held to copy the list, no longer */
    struct metrics_job *jobs;
    size_t job_count;
};

static uint64_t to_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double seconds_of(clockid_t clock)
{
    struct timespec now = {0};
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / NS;
}

/* The kernel says how long after the machine's start; NAN where there is no /proc. */
static double process_started(void)
{
    char text[1024];
    FILE *stream = fopen("/proc/self/stat", "re");
    if (stream == NULL)
        return NAN;
    size_t length = fread(text, 1, sizeof text - 1, stream);
    (void)fclose(stream);
    text[length] = '\0';
    /* The program's name, in brackets, may hold anything; the start is the 20th field behind it. */
    const char *at = strrchr(text, ')');
    for (int field = 0; at != NULL && field < 20; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return NAN;
    double ticks = (double)strtoull(at, NULL, 10);
    return seconds_of(CLOCK_REALTIME) - seconds_of(CLOCK_BOOTTIME) + ticks / (double)sysconf(_SC_CLK_TCK);
}

struct metrics *metrics_new(const char *version)
{
    struct metrics *metrics = xcalloc(1, sizeof *metrics);
    metrics->version = xstrdup(version);
    metrics->started_s = process_started();
    (void)pthread_mutex_init(&metrics->jobs_mutex, NULL);
    for (size_t i = 0; i < METRIC_COUNT; i++)
        atomic_init(&metrics->values[i], metrics_table[i].type == METRICS_GAUGE ? to_bits(NAN) : 0);
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    free(metrics->version);
    free(metrics->jobs);
    (void)pthread_mutex_destroy(&metrics->jobs_mutex);
    free(metrics);
}

/* ---- counting ---- */

void metrics_add(struct metrics *metrics, enum metric metric, uint64_t n)
{
    assert(metric < METRIC_COUNT && metric != METRIC_FILES && metrics_table[metric].type == METRICS_COUNTER);
    if (metrics != NULL)
        (void)atomic_fetch_add_explicit(&metrics->values[metric], n, memory_order_relaxed);
}

void metrics_set(struct metrics *metrics, enum metric metric, double value)
{
    assert(metric < METRIC_COUNT && metric != METRIC_FILES && metric != METRIC_FILE_DURATION);
    if (metrics == NULL)
        return;
    uint64_t bits = to_bits(value);
    if (metrics_table[metric].type == METRICS_COUNTER)
        bits = value > 0 && value < 0x1p63 ? (uint64_t)value : 0;
    atomic_store_explicit(&metrics->values[metric], bits, memory_order_relaxed);
}

void metrics_observe(struct metrics *metrics, enum metrics_stage stage, double seconds)
{
    assert(stage < METRICS_STAGES);
    if (metrics == NULL)
        return;
    double sane = seconds > 0 ? fmin(seconds, LONGEST_S) : 0; /* NaN is 0, too */
    size_t bucket = 0;
    while (bucket < METRICS_BOUNDS && sane > metrics_bounds[bucket])
        bucket++;
    struct histogram *histogram = &metrics->durations[stage];
    (void)atomic_fetch_add_explicit(&histogram->buckets[bucket], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&histogram->sum_ns, (uint64_t)(sane * NS), memory_order_relaxed);
}

void metrics_count_file(struct metrics *metrics, const char *status, const char *code)
{
    if (metrics == NULL)
        return;
    size_t row = 0;
    while (row < METRICS_STATUSES && strcmp(metrics_statuses[row], status) != 0)
        row++;
    assert(row < METRICS_STATUSES);
    /* A code comes with a record, perhaps of a newer worker: what is not known here is "other". */
    size_t column = 0;
    const char *wanted = code != NULL && code[0] != '\0' ? code : metrics_classes[0];
    while (column < METRICS_CLASSES - 1 && strcmp(metrics_classes[column], wanted) != 0)
        column++;
    (void)atomic_fetch_add_explicit(&metrics->files[row][column], 1, memory_order_relaxed);
}

void metrics_show_jobs(struct metrics *metrics, const struct metrics_job *jobs, size_t count)
{
    assert(count <= METRICS_JOBS_MAX);
    if (metrics == NULL)
        return;
    struct metrics_job *shown = xcalloc(count + 1, sizeof *shown);
    if (count > 0)
        memcpy(shown, jobs, count * sizeof *shown);
    (void)pthread_mutex_lock(&metrics->jobs_mutex);
    struct metrics_job *before = metrics->jobs;
    metrics->jobs = shown;
    metrics->job_count = count;
    (void)pthread_mutex_unlock(&metrics->jobs_mutex);
    free(before);
}

/* ---- the text ---- */

static void append_head(struct buffer *out, const struct metrics_row *row)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    buffer_append_format(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
                         types[row->type]);
}

static void append_number(struct buffer *out, double value)
{
    if (isinf(value))
        buffer_append_text(out, value > 0 ? "+Inf" : "-Inf");
    else
        json_append_double(out, value);
}

static void append_files(struct buffer *out, struct metrics *metrics)
{
    for (size_t row = 0; row < METRICS_STATUSES; row++) {
        for (size_t column = 0; column < METRICS_CLASSES; column++) {
            uint64_t count = atomic_load_explicit(&metrics->files[row][column], memory_order_relaxed);
            /* A hundred series would say nothing. Those of failures are there from the start: of one that
             * begins with its first failure Prometheus would see no rise. */
            if (count == 0 && column > 0 && strcmp(metrics_statuses[row], "failed") != 0)
                continue;
            buffer_append_format(out, "%s{status=\"%s\",class=\"%s\"} ", metrics_table[METRIC_FILES].name,
                                 metrics_statuses[row], metrics_classes[column]);
            buffer_append_u64(out, count);
            buffer_append_char(out, '\n');
        }
    }
}

static void append_durations(struct buffer *out, struct metrics *metrics)
{
    const char *name = metrics_table[METRIC_FILE_DURATION].name;
    for (size_t stage = 0; stage < METRICS_STAGES; stage++) {
        struct histogram *histogram = &metrics->durations[stage];
        const char *label = metrics_stages[stage];
        uint64_t count = 0;
        for (size_t i = 0; i <= METRICS_BOUNDS; i++) {
            count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
            buffer_append_format(out, "%s_bucket{stage=\"%s\",le=\"", name, label);
            if (i < METRICS_BOUNDS)
                buffer_append_format(out, "%g\"} ", metrics_bounds[i]);
            else
                buffer_append_text(out, "+Inf\"} ");
            buffer_append_u64(out, count);
            buffer_append_char(out, '\n');
        }
        uint64_t sum_ns = atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed);
        buffer_append_format(out, "%s_sum{stage=\"%s\"} ", name, label);
        append_number(out, (double)sum_ns / NS);
        buffer_append_format(out, "\n%s_count{stage=\"%s\"} ", name, label);
        buffer_append_u64(out, count);
        buffer_append_char(out, '\n');
    }
}

/* One line; a gauge that was not set has none. *name is the family whose head stands already. */
static void append_value(struct buffer *out, const struct metrics_row *row, uint64_t value, const char **name)
{
    if (row->type == METRICS_GAUGE && isnan(from_bits(value)))
        return;
    if (*name == NULL || strcmp(*name, row->name) != 0)
        append_head(out, row);
    *name = row->name;
    buffer_append_text(out, row->name);
    if (row->labels != NULL)
        buffer_append_format(out, "{%s}", row->labels);
    buffer_append_char(out, ' ');
    if (row->type == METRICS_GAUGE)
        append_number(out, from_bits(value));
    else
        buffer_append_u64(out, value);
    buffer_append_char(out, '\n');
}

static double value_of_job(const struct metrics_job *job, size_t which)
{
    return which == METRICS_JOB_FILES  ? job->files
           : which == METRICS_JOB_DONE ? (double)job->done
                                       : job->left_s;
}

static void append_jobs(struct buffer *out, struct metrics *metrics)
{
    (void)pthread_mutex_lock(&metrics->jobs_mutex);
    size_t count = metrics->job_count;
    struct metrics_job *jobs = xcalloc(count + 1, sizeof *jobs);
    if (count > 0)
        memcpy(jobs, metrics->jobs, count * sizeof *jobs);
    (void)pthread_mutex_unlock(&metrics->jobs_mutex);
    for (size_t which = 0; which < METRICS_OF_JOB_COUNT; which++) {
        bool has_head = false;
        for (size_t i = 0; i < count; i++) {
            double value = value_of_job(&jobs[i], which);
            if (isnan(value))
                continue;
            if (!has_head)
                append_head(out, &metrics_of_job_table[which]);
            has_head = true;
            buffer_append_format(out, "%s{job_id=\"%.32s\"} ", metrics_of_job_table[which].name, jobs[i].id);
            append_number(out, value);
            buffer_append_char(out, '\n');
        }
    }
    free(jobs);
}

static void append_process_value(struct buffer *out, enum metrics_process which, double value)
{
    if (isnan(value))
        return;
    append_head(out, &metrics_process_table[which]);
    buffer_append_format(out, "%s ", metrics_process_table[which].name);
    append_number(out, value);
    buffer_append_char(out, '\n');
}

static void append_build_info(struct buffer *out, const char *version)
{
    append_head(out, &metrics_process_table[METRICS_BUILD_INFO]);
    buffer_append_format(out, "%s{version=\"", metrics_process_table[METRICS_BUILD_INFO].name);
    for (const char *c = version; *c != '\0'; c++) {
        if (*c == '\\' || *c == '"' || *c == '\n')
            buffer_append_char(out, '\\');
        buffer_append_char(out, *c == '\n' ? 'n' : *c);
    }
    buffer_append_text(out, "\"} 1\n");
}

static double resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *stream = fopen("/proc/self/statm", "re");
    if (stream == NULL)
        return NAN;
    int fields = fscanf(stream, "%*u %llu", &pages);
    (void)fclose(stream);
    return fields == 1 ? (double)pages * (double)sysconf(_SC_PAGESIZE) : NAN;
}

static double open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return NAN;
    double count = -1; /* without the one that this takes */
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.' ? 1 : 0;
    (void)closedir(folder);
    return count;
}

void metrics_render(struct metrics *metrics, struct buffer *out)
{
    if (metrics == NULL)
        return;
    const char *name = NULL;
    append_build_info(out, metrics->version);
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const struct metrics_row *row = &metrics_table[i];
        if (i == METRIC_FILES || i == METRIC_FILE_DURATION) {
            append_head(out, row);
            if (i == METRIC_FILES)
                append_files(out, metrics);
            else
                append_durations(out, metrics);
            continue;
        }
        append_value(out, row, atomic_load_explicit(&metrics->values[i], memory_order_relaxed), &name);
    }
    append_jobs(out, metrics);
    append_process_value(out, METRICS_PROCESS_CPU, seconds_of(CLOCK_PROCESS_CPUTIME_ID));
    append_process_value(out, METRICS_PROCESS_MEMORY, resident_bytes());
    append_process_value(out, METRICS_PROCESS_START, metrics->started_s);
    append_process_value(out, METRICS_PROCESS_DESCRIPTORS, open_descriptors());
}
