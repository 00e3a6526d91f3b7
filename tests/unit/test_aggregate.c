/* Records from the queue into the store, and what follows the last one. */
#include "tests/unit/store_fixture.h"

#include <pthread.h>
#include <signal.h>

#include "aggregator/aggregate.h"
#include "aggregator/complete.h"
#include "common/features.h"
#include "common/meter.h"
#include "common/queue.h"

#define JOB_ID "01JDQ3V5ZK8Y2M4N6P7R9S0TAB"

struct scene {
    struct fixture *fx;
    struct queue *q;
};

static void send_record(struct scene *scene, uint64_t seq, enum record_status status)
{
    char path[32];
    struct buffer json = {0};
    struct error err;
    (void)snprintf(path, sizeof path, "file%06llu", (unsigned long long)seq);
    struct record *rec = fixture_record(scene->fx, path);
    (void)snprintf(rec->job, sizeof rec->job, JOB_ID);
    rec->seq = seq;
    rec->status = status;
    add_cell(rec, "Modality", "CT");
    record_to_json(rec, &json);
    assert_ok(queue_send(scene->q, &(struct queue_address){.key = JOB_ID}, json.data, json.length, &err),
              err);
    buffer_clear(&json);
}

static struct scene open_scene(void **state, size_t capacity)
{
    struct scene scene = {.fx = *state};
    struct error err;
    assert_ok(queue_memory_open(&scene.q, capacity, &err), err);
    return scene;
}

/* Receive as `extract` does: one job, until its total or the end of the queue. */
static bool aggregate_all(struct store *store, struct queue *q, uint64_t total, struct error *err)
{
    struct jobs *jobs = jobs_new();
    const struct aggregate_options options = {.jobs = jobs, .results = q, .output_root = -1};
    struct aggregate *agg = aggregate_new(&options);
    struct job job = {.id = JOB_ID};
    bool ok = aggregate_job(agg, jobs_add(jobs, &job, store, total), NULL, 0, err);
    aggregate_free(agg);
    jobs_close(jobs);
    return ok;
}

static void every_record_is_stored_committed_and_acknowledged(void **state)
{
    struct scene scene = open_scene(state, 2000);
    struct error err;
    for (uint64_t seq = 0; seq < 1500; seq++) /* more than two batches */
        send_record(&scene, (seq * 7) % 1500, seq % 10 == 0 ? RECORD_FAILED : RECORD_CONVERTED);
    queue_finish(scene.q);
    assert_ok(aggregate_all(scene.fx->store, scene.q, 1500, &err), err);
    queue_close(scene.q);
    fixture_close(scene.fx); /* commits nothing */
    fixture_open(scene.fx);
    struct store_counts counts = fixture_counts(scene.fx);
    assert_int_equal(counts.found, 1500);
    assert_int_equal(counts.failed, 150);
}

static void a_record_that_comes_twice_counts_once(void **state)
{
    struct scene scene = open_scene(state, 100);
    struct error err;
    for (uint64_t seq = 0; seq < 5; seq++) {
        send_record(&scene, seq, RECORD_CONVERTED);
        send_record(&scene, seq / 2, RECORD_CONVERTED);
    }
    queue_finish(scene.q);
    assert_ok(aggregate_all(scene.fx->store, scene.q, 5, &err), err);
    assert_int_equal(fixture_counts(scene.fx).found, 5);
    queue_close(scene.q);
}

static void sequence_numbers_may_be_far_apart(void **state)
{
    struct scene scene = open_scene(state, 10);
    struct error err;
    const uint64_t seqs[] = {4294967295u, 0, 32768, 32767, 4294967295u, 70000};
    for (size_t i = 0; i < 6; i++)
        send_record(&scene, seqs[i], RECORD_CONVERTED);
    queue_finish(scene.q);
    assert_ok(aggregate_all(scene.fx->store, scene.q, UINT64_MAX, &err), err);
    assert_int_equal(store_answered_count(scene.fx->store), 5);
    assert_int_equal(fixture_counts(scene.fx).found, 5);
    queue_close(scene.q);
}

static void a_finished_queue_ends_it_before_the_total(void **state)
{
    struct scene scene = open_scene(state, 10);
    struct error err;
    send_record(&scene, 0, RECORD_CONVERTED);
    queue_finish(scene.q);
    assert_ok(aggregate_all(scene.fx->store, scene.q, UINT64_MAX, &err), err);
    fixture_close(scene.fx);
    fixture_open(scene.fx);
    assert_int_equal(fixture_counts(scene.fx).found, 1);
    queue_close(scene.q);
}

static void nonsense_is_a_bug_and_costs_nothing_that_came_before(void **state)
{
    const char *messages[] = {"", "{", "null", "{\"v\":999}", "\xff\xff"};
    for (size_t i = 0; i < 5; i++) {
        struct scene scene = open_scene(state, 10);
        struct error err;
        send_record(&scene, i, RECORD_CONVERTED);
        assert_ok(queue_send(scene.q, &(struct queue_address){.key = JOB_ID}, messages[i],
                             strlen(messages[i]), &err),
                  err);
        assert_false(aggregate_all(scene.fx->store, scene.q, 100, &err));
        assert_int_equal(err.kind, ERROR_BUG);
        queue_close(scene.q);
        fixture_close(scene.fx);
        fixture_open(scene.fx);
        assert_int_equal(fixture_counts(scene.fx).found, i + 1);
    }
}

static void an_impossible_sequence_number_is_a_bug(void **state)
{
    struct scene scene = open_scene(state, 10);
    struct error err;
    send_record(&scene, (uint64_t)1 << 32, RECORD_CONVERTED);
    assert_false(aggregate_all(scene.fx->store, scene.q, 1, &err));
    assert_int_equal(err.kind, ERROR_BUG);
    queue_close(scene.q);
}

/* Sends a record, and long before the next one would come, dies. What was sent must be committed by then,
 * with a sender that pauses and with one that never does. */
struct sender {
    struct scene *scene;
    unsigned pause_us, count;
};

static void *send_and_kill(void *context)
{
    struct sender *sender = context;
    for (unsigned i = 0; i < sender->count; i++) {
        send_record(sender->scene, i, RECORD_CONVERTED);
        (void)usleep(sender->pause_us);
    }
    (void)raise(SIGKILL);
    return NULL;
}

static uint64_t found_after_kill(struct fixture *fx, unsigned pause_us, unsigned count)
{
    fixture_close(fx);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct scene scene = {.fx = fx};
        struct sender sender = {.scene = &scene, .pause_us = pause_us, .count = count};
        struct error err;
        pthread_t thread;
        if (!store_open(&fx->store, fx->path, &err) || !queue_memory_open(&scene.q, 100, &err) ||
            pthread_create(&thread, NULL, send_and_kill, &sender) != 0)
            _exit(1);
        _exit(aggregate_all(fx->store, scene.q, UINT64_MAX, &err) ? 2 : 3);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    fixture_open(fx);
    return fixture_counts(fx).found;
}

static void a_kill_costs_no_more_than_the_deadline(void **state)
{
    /* A pause of a second is ten deadlines: all is committed. */
    assert_int_equal(found_after_kill(*state, 1000000, 1), 1);
    /* A record every 2 ms for a second: never idle, so the deadline alone commits. The last 100 ms may be
     * lost; half of all is far on the safe side, also where the machine is slow. */
    assert_true(found_after_kill(*state, 2000, 500) >= 250);
}

/* ---- completion ---- */

static struct settings settings_for(struct fixture *fx)
{
    return (struct settings){.dicom_home = "/in",
                             .output_directory = fx->folder,
                             .send_email = true,
                             .options = {.print_images = true}};
}

static void expect_fact(struct fixture *fx, const char *name, const char *expected)
{
    struct error err;
    char *value;
    assert_ok(store_get(fx->store, name, &value, &err), err);
    if (expected == NULL) {
        assert_null(value);
    } else {
        assert_non_null(value);
        assert_string_equal(value, expected);
    }
    free(value);
}

static void a_complete_job_has_tables_and_a_mark(void **state)
{
    struct fixture *fx = *state;
    struct settings settings = settings_for(fx);
    struct store_counts counts;
    struct job job = {0};
    struct error err;
    write_file(fx, "extracted-images/n~00000001.png", "a");
    add_picture(fixture_record(fx, "a"), "extracted-images/n~00000001.png", 1);
    fixture_add(fx);
    settings.options.compatibility_niffler = true;
    job_from_settings(&job, &settings);
    assert_ok(complete_outputs(fx->store, &job, fx->dir, &counts, &err), err);
    assert_ok(complete_state(fx->store, "complete", &err), err);
    assert_int_equal(counts.found, 1);
    assert_int_equal(counts.converted, 1);
    expect_fact(fx, "state", "complete");
    char *text = read_file(fx, "mapping.csv", NULL);
    assert_non_null(strstr(text, "\n/in/a, "));
    assert_non_null(strstr(text, "/extracted-images/n.png\n"));
    free(text);
    assert_true(file_exists(fx, "extracted-images/n.png"));
    assert_true(file_exists(fx, "failures.csv"));
    /* On disk, not in the log of changes only. */
    struct stat status;
    assert_int_equal(fstatat(fx->dir, "state.db-wal", &status, 0), 0);
    assert_int_equal(status.st_size, 0);
}

static char *metadata_with_features(struct fixture *fx, const char *list, bool compatibility)
{
    struct settings settings = settings_for(fx);
    struct store_counts counts;
    struct job job = {0};
    struct error err;
    struct buffer text = {0};
    bool wanted;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/features", fx->folder);
    if (list != NULL)
        write_file(fx, "features", list);
    else
        (void)unlink(path);
    settings.specific_headers_only = true;
    settings.feature_set_file = path;
    settings.options.compatibility_niffler = compatibility;
    assert_ok(features_read(&settings, &text, &wanted, &err), err);
    job_from_settings(&job, &settings);
    job.features = wanted ? text.data : NULL;
    assert_ok(complete_outputs(fx->store, &job, fx->dir, &counts, &err), err);
    buffer_clear(&text);
    return read_file(fx, "metadata.csv", NULL);
}

static void features_come_from_a_file(void **state)
{
    struct fixture *fx = *state;
    const struct {
        const char *list;
        bool compatibility;
        const char *header;
    } cases[] = {{"B\nA\n", false, "B,A,file\n"},
                 {" B \r\n\n\tA", false, "B,A,file\n"},
                 {"B \nA\n", true, "A\n"}, /* Niffler takes the blank as part of the name */
                 {"file\nB", true, "file,B\n"},
                 {"", false, "file\n"},
                 {NULL, false, "A,B,file,has_pix_array,category\n"}};
    add_cell(fixture_record(fx, "a"), "A", "1");
    add_cell(&fx->rec, "B", "2");
    fixture_add(fx);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = metadata_with_features(fx, cases[i].list, cases[i].compatibility);
        if (strncmp(text, cases[i].header, strlen(cases[i].header)) != 0)
            fail_msg("case %zu: %s", i, text);
        free(text);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_record_is_stored_committed_and_acknowledged),
        TEST(a_record_that_comes_twice_counts_once),
        TEST(sequence_numbers_may_be_far_apart),
        TEST(a_finished_queue_ends_it_before_the_total),
        TEST(nonsense_is_a_bug_and_costs_nothing_that_came_before),
        TEST(an_impossible_sequence_number_is_a_bug),
        TEST(a_kill_costs_no_more_than_the_deadline),
        TEST(a_complete_job_has_tables_and_a_mark),
        TEST(features_come_from_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
