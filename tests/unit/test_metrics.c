/* Metrics: what is shown from the start and what only once it was set, buckets, classes, many threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/metrics_table.h"

/* Whether the text has this line, whole. */
static bool has_line(struct metrics *metrics, const char *line)
{
    struct buffer text = {0};
    struct buffer wanted = {0};
    buffer_append_char(&text, '\n');
    metrics_render(metrics, &text);
    buffer_append_format(&wanted, "\n%s\n", line);
    bool found = strstr(buffer_text(&text), buffer_text(&wanted)) != NULL;
    buffer_clear(&text);
    buffer_clear(&wanted);
    return found;
}

static bool has_text(struct metrics *metrics, const char *part)
{
    struct buffer text = {0};
    metrics_render(metrics, &text);
    bool found = strstr(buffer_text(&text), part) != NULL;
    buffer_clear(&text);
    return found;
}

/* The value behind "\nNAME ". */
static double value_of(struct metrics *metrics, const char *name)
{
    struct buffer text = {0};
    struct buffer wanted = {0};
    metrics_render(metrics, &text);
    buffer_append_format(&wanted, "\n%s ", name);
    const char *at = strstr(buffer_text(&text), buffer_text(&wanted));
    assert_non_null(at);
    double value = strtod(at + wanted.length, NULL);
    buffer_clear(&text);
    buffer_clear(&wanted);
    return value;
}

static void test_every_metric_is_named_by_the_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const struct metrics_row *row = &metrics_table[i];
        assert_non_null(row->name);
        assert_memory_equal(row->name, "niffler_", 8);
        size_t length = strlen(row->name);
        bool ends_total = length > 6 && strcmp(row->name + length - 6, "_total") == 0;
        assert_int_equal(ends_total, row->type == METRICS_COUNTER);
        assert_true(strlen(row->help) > 10);
        assert_null(strpbrk(row->help, "\\\n"));
        /* One name, one type, one help, and its rows stand together. */
        for (size_t j = i + 1; j < METRIC_COUNT; j++) {
            if (strcmp(metrics_table[j].name, row->name) != 0)
                continue;
            assert_string_equal(metrics_table[j].help, row->help);
            assert_int_equal(metrics_table[j].type, row->type);
            assert_string_equal(metrics_table[j - 1].name, row->name);
            assert_string_not_equal(metrics_table[j].labels, row->labels);
        }
    }
}

/* A code that is added to error.h and not here would be counted as "other". */
static void test_every_code_is_a_class(void **state)
{
    (void)state;
    FILE *header = fopen(NIFFLER_SOURCE_DIR "/common/error.h", "re");
    assert_non_null(header);
    char line[512], code[64];
    size_t codes = 0;
    while (fgets(line, sizeof line, header) != NULL) {
        if (sscanf(line, "#define CODE_%*[A-Z_] \"%63[a-z_0-9]\"", code) != 1)
            continue;
        codes++;
        size_t i = 1;
        while (i < METRICS_CLASSES - 1 && strcmp(metrics_classes[i], code) != 0)
            i++;
        if (i == METRICS_CLASSES - 1)
            fail_msg("'%s' is not among the classes", code);
    }
    (void)fclose(header);
    assert_int_equal(codes, METRICS_CLASSES - 2);
    assert_null(metrics_classes[METRICS_CLASSES]);
    assert_string_equal(metrics_classes[METRICS_CLASSES - 1], "other");
    assert_null(metrics_statuses[METRICS_STATUSES]);
}

static void test_counters_are_there_from_the_start(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new("1.2");
    assert_true(has_line(metrics, "niffler_tasks_consumed_total 0"));
    assert_true(has_line(metrics, "niffler_child_exits_total{reason=\"crash\"} 0"));
    assert_true(has_line(metrics, "niffler_files_total{status=\"converted\",class=\"none\"} 0"));
    assert_true(has_line(metrics, "niffler_files_total{status=\"failed\",class=\"none\"} 0"));
    assert_true(has_line(metrics, "niffler_files_total{status=\"failed\",class=\"crash_signal\"} 0"));
    assert_false(has_text(metrics, "status=\"converted\",class=\"crash_signal\"")); /* nothing to say */
    assert_true(has_line(metrics, "niffler_build_info{version=\"1.2\"} 1"));
    metrics_add(metrics, METRIC_TASKS_CONSUMED, 3);
    metrics_add(metrics, METRIC_TASKS_CONSUMED, 4);
    metrics_add(metrics, METRIC_BYTES_READ, UINT64_C(1) << 60);
    metrics_set(metrics, METRIC_REBALANCES, 12);
    assert_true(has_line(metrics, "niffler_tasks_consumed_total 7"));
    assert_true(has_line(metrics, "niffler_bytes_read_total 1152921504606846976"));
    assert_true(has_line(metrics, "niffler_rebalances_total 12"));
    metrics_set(metrics, METRIC_REBALANCES, -1);
    assert_true(has_line(metrics, "niffler_rebalances_total 0"));
    metrics_free(metrics);
}

static void test_a_gauge_is_shown_once_it_was_set(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new("1");
    assert_false(has_text(metrics, "niffler_redis_up"));
    assert_false(has_text(metrics, "niffler_children"));
    metrics_set(metrics, METRIC_REDIS_UP, 0);
    assert_true(has_line(metrics, "niffler_redis_up 0"));
    assert_true(has_line(metrics, "# TYPE niffler_redis_up gauge"));
    metrics_set(metrics, METRIC_DECODERS_IDLE, 3);
    assert_true(has_line(metrics, "# TYPE niffler_children gauge\nniffler_children{state=\"idle\"} 3"));
    metrics_set(metrics, METRIC_DECODERS_BUSY, 1);
    assert_true(has_line(metrics, "niffler_children{state=\"busy\"} 1\nniffler_children{state=\"idle\"} 3"));
    metrics_set(metrics, METRIC_LAST_PROGRESS, 1700000000.25);
    assert_true(has_line(metrics, "niffler_last_progress_timestamp_seconds 1700000000.25"));
    metrics_set(metrics, METRIC_CONSUMER_LAG, INFINITY);
    assert_true(has_line(metrics, "niffler_consumer_lag +Inf"));
    metrics_set(metrics, METRIC_CONSUMER_LAG, NAN);
    assert_false(has_text(metrics, "niffler_consumer_lag"));
    metrics_free(metrics);
}

static void test_files_by_status_and_class(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new("1");
    metrics_count_file(metrics, "converted", NULL);
    metrics_count_file(metrics, "converted", NULL);
    metrics_count_file(metrics, "converted", CODE_TOO_MANY_TAGS);
    metrics_count_file(metrics, "no_image", CODE_NO_PIXELS);
    metrics_count_file(metrics, "failed", "a code of \"tomorrow\"\n");
    metrics_count_file(metrics, "failed", "");
    assert_true(has_line(metrics, "niffler_files_total{status=\"converted\",class=\"none\"} 2"));
    assert_true(has_line(metrics, "niffler_files_total{status=\"converted\",class=\"too_many_tags\"} 1"));
    assert_true(has_line(metrics, "niffler_files_total{status=\"no_image\",class=\"no_pixels\"} 1"));
    assert_true(has_line(metrics, "niffler_files_total{status=\"failed\",class=\"other\"} 1"));
    assert_true(has_line(metrics, "niffler_files_total{status=\"failed\",class=\"none\"} 1"));
    assert_false(has_text(metrics, "tomorrow"));
    assert_false(has_text(metrics, "status=\"no_image\",class=\"malformed\""));
    metrics_free(metrics);
}

static void test_jobs_one_by_one(void **state)
{
    (void)state;
    const struct metrics_job jobs[] = {{"01HZX3K5T7Q9V1B2C4D6E8F0GH", 7, 112, 31},
                                       {"01HZX4M8N2P6R0S3T5V7W9X1YZ", 0, NAN, NAN}};
    struct metrics *metrics = metrics_new("1");
    assert_false(has_text(metrics, "niffler_job_files"));
    metrics_show_jobs(metrics, jobs, 2);
    assert_true(has_line(metrics, "# TYPE niffler_job_files gauge\n"
                                  "niffler_job_files{job_id=\"01HZX3K5T7Q9V1B2C4D6E8F0GH\"} 112"));
    assert_true(has_line(metrics, "niffler_job_files_done{job_id=\"01HZX3K5T7Q9V1B2C4D6E8F0GH\"} 7\n"
                                  "niffler_job_files_done{job_id=\"01HZX4M8N2P6R0S3T5V7W9X1YZ\"} 0"));
    assert_true(has_line(metrics, "niffler_job_left_seconds{job_id=\"01HZX3K5T7Q9V1B2C4D6E8F0GH\"} 31"));
    assert_false(has_text(metrics, "niffler_job_left_seconds{job_id=\"01HZX4M8N2P6R0S3T5V7W9X1YZ\"}"));
    metrics_show_jobs(metrics, jobs, 0); /* they are over */
    assert_false(has_text(metrics, "01HZX3K5T7Q9V1B2C4D6E8F0GH"));
    metrics_free(metrics);
}

static void test_buckets(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new("1");
    metrics_observe(metrics, METRICS_DECODE, 0.005); /* a bound belongs to its bucket */
    metrics_observe(metrics, METRICS_DECODE, 0.0051);
    metrics_observe(metrics, METRICS_DECODE, 300);
    metrics_observe(metrics, METRICS_DECODE, 300.5);
    metrics_observe(metrics, METRICS_DECODE, -1); /* a clock that went back, and one that is broken */
    metrics_observe(metrics, METRICS_DECODE, NAN);
    metrics_observe(metrics, METRICS_DECODE, INFINITY);
#define DECODE(bound) "niffler_file_duration_seconds_bucket{stage=\"decode\",le=\"" bound "\"} "
    assert_true(has_line(metrics, DECODE("0.005") "3"));
    assert_true(has_line(metrics, DECODE("0.01") "4"));
    assert_true(has_line(metrics, DECODE("120") "4"));
    assert_true(has_line(metrics, DECODE("300") "5"));
    assert_true(has_line(metrics, DECODE("+Inf") "7"));
    assert_true(has_line(metrics, "niffler_file_duration_seconds_count{stage=\"decode\"} 7"));
    assert_true(has_line(metrics, "niffler_file_duration_seconds_count{stage=\"publish\"} 0"));
    double sum = value_of(metrics, "niffler_file_duration_seconds_sum{stage=\"decode\"}");
    assert_true(fabs(sum - 1e6 - 600.5101) < 1e-3);
    for (size_t i = 1; i < METRICS_BOUNDS; i++)
        assert_true(metrics_bounds[i] > metrics_bounds[i - 1]);
    metrics_free(metrics);
}

static void test_the_version_is_escaped(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new("1\"\\\n2");
    assert_true(has_line(metrics, "niffler_build_info{version=\"1\\\"\\\\\\n2\"} 1"));
    metrics_free(metrics);
}

static void test_the_process(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new("1");
    double now_s = (double)time(NULL);
    double started_s = value_of(metrics, "process_start_time_seconds");
    assert_true(started_s > now_s - 60 && started_s < now_s + 2);
    double memory = value_of(metrics, "process_resident_memory_bytes");
    assert_true(memory > 500e3 && memory < 4e9);
    double descriptors = value_of(metrics, "process_open_fds");
    int more = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(more >= 0);
    assert_true(value_of(metrics, "process_open_fds") == descriptors + 1);
    (void)close(more);
    assert_true(value_of(metrics, "process_open_fds") == descriptors);
    double before_s = value_of(metrics, "process_cpu_seconds_total");
    for (volatile unsigned i = 0; i < 20000000; i++)
        ;
    assert_true(value_of(metrics, "process_cpu_seconds_total") > before_s);
    metrics_free(metrics);
}

#define THREADS 4
#define ROUNDS 100000

static void *count(void *context)
{
    struct metrics *metrics = context;
    for (int i = 0; i < ROUNDS; i++) {
        metrics_add(metrics, METRIC_TASKS_CONSUMED, 1);
        metrics_count_file(metrics, "failed", CODE_CODEC);
        metrics_observe(metrics, METRICS_OPEN, 0.25);
        metrics_set(metrics, METRIC_INFLIGHT, i);
        if (i % 1000 == 0)
            metrics_show_jobs(metrics, &(struct metrics_job){.id = "J"}, 1);
    }
    return NULL;
}

static void test_threads_lose_nothing(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_new("1");
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, metrics), 0);
    while (value_of(metrics, "niffler_tasks_consumed_total") < THREADS * (double)ROUNDS)
        ; /* read while they count */
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_true(has_line(metrics, "niffler_tasks_consumed_total 400000"));
    assert_true(has_line(metrics, "niffler_files_total{status=\"failed\",class=\"codec\"} 400000"));
    assert_true(has_line(metrics, "niffler_file_duration_seconds_sum{stage=\"open\"} 100000"));
    assert_true(has_line(metrics, "niffler_file_duration_seconds_count{stage=\"open\"} 400000"));
    assert_true(has_line(metrics, "niffler_inflight 99999"));
    metrics_free(metrics);
}

static void test_nothing_to_count_in(void **state)
{
    (void)state;
    struct buffer out = {0};
    metrics_add(NULL, METRIC_RECORDS, 1);
    metrics_set(NULL, METRIC_JOBS_OPEN, 1);
    metrics_show_jobs(NULL, NULL, 0);
    metrics_observe(NULL, METRICS_OPEN, 1);
    metrics_count_file(NULL, "failed", NULL);
    metrics_render(NULL, &out);
    assert_int_equal(out.length, 0);
    metrics_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_metric_is_named_by_the_rules),
        cmocka_unit_test(test_every_code_is_a_class),
        cmocka_unit_test(test_counters_are_there_from_the_start),
        cmocka_unit_test(test_a_gauge_is_shown_once_it_was_set),
        cmocka_unit_test(test_files_by_status_and_class),
        cmocka_unit_test(test_jobs_one_by_one),
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_the_version_is_escaped),
        cmocka_unit_test(test_the_process),
        cmocka_unit_test(test_threads_lose_nothing),
        cmocka_unit_test(test_nothing_to_count_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
