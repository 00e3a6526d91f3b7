/* What stands in a real Redis of a job and of a worker: every field, for how long, and nothing old over what
 * is newer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/contract/view_fixture.h"

static void every_field_is_written(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    server_start(server, NULL, NULL);
    open_view(fixture, "niffler:");
    show(fixture, 490, 3);
    await_converted(fixture, "490", 2000);
    static const char *const expected[][2] = {
        {"state", "running"}, {"total", "1000"},   {"found", "1000"},   {"done", "500"},
        {"ok", "490"},        {"no_image", "3"},   {"ignored", "2"},    {"skipped", "5"},
        {"failed", "5"},      {"failed_1", "1"},   {"failed_2", "1"},   {"failed_3", "1"},
        {"failed_4", "2"},    {"failed_5", "4"},   {"duplicates", "6"}, {"pictures", "77"},
        {"rate", "12.2"},     {"percent", "50.0"}, {"eta_s", "41"},     {"output", "ct/2024"},
        {"mail", "none"},     {"epoch", "7"},      {"rev", "3"},        {"schema", "1"},
        {"finished_at", ""},  {"error", ""},       {"bytes_out", ""},   {"mapping_csv", ""}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        if (strcmp(field(fixture, expected[i][0]), expected[i][1]) != 0)
            fail_msg("%s: '%s' and not '%s'", expected[i][0], field(fixture, expected[i][0]), expected[i][1]);
    assert_true(labs(atol(field(fixture, "updated_at")) - (long)time(NULL)) <= 5);
    assert_string_equal(server_ask(server, "HMGET", CLASSES_KEY, "not_usable", "contradiction", "undecodable",
                                   "decoder", "too_many", (char *)NULL),
                        "1 1 1 2 4");
    assert_string_equal(server_ask(server, "GET", "niffler:schema", (char *)NULL), "1");
    assert_string_equal(server_ask(server, "SMEMBERS", "niffler:jobs:active", (char *)NULL), JOB);
    assert_string_equal(server_ask(server, "ZRANGE", "niffler:jobs", "0", "-1", (char *)NULL), JOB);
    assert_in_range(server_number(server, "TTL", JOB_KEY), 1209600 - 10, 1209600);
    assert_in_range(server_number(server, "TTL", CLASSES_KEY), 1209600 - 10, 1209600);
    assert_in_range(server_number(server, "TTL", EVENTS_KEY), 1209600 - 10, 1209600);
    assert_true(view_is_up(fixture->view));
}

static void fields_that_are_gone_are_taken_away(void **state)
{
    struct fixture *fixture = *state;
    server_start(&fixture->server, NULL, NULL);
    open_view(fixture, "niffler:");
    struct progress progress = running(1, 1);
    progress.error = "the disk is full";
    progress.bytes_out = 12345;
    progress_show(fixture->view, &progress);
    await_converted(fixture, "1", 2000);
    assert_field(fixture, "error", "the disk is full");
    assert_field(fixture, "bytes_out", "12345");
    progress = running(2, 2);
    progress.total = PROGRESS_TOTAL_UNKNOWN;
    progress.rate = 0;
    progress_show(fixture->view, &progress);
    await_converted(fixture, "2", 2000);
    assert_field(fixture, "error", "");
    assert_field(fixture, "total", "");
    assert_field(fixture, "percent", "");
    assert_field(fixture, "eta_s", "");
}

static void the_end_is_written_once_and_kept_30_days(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    server_start(server, NULL, NULL);
    (void)server_ask(server, "ZADD", "niffler:jobs", "1000", "01AAAAAAAAAAAAAAAAAAAAAAAA", (char *)NULL);
    open_view(fixture, "niffler:");
    show(fixture, 1, 1);
    await_converted(fixture, "1", 2000);
    struct progress progress = running(990, 2);
    progress.state = "complete";
    progress.finished_s = progress.created_s + 60;
    progress_end(fixture->view, &progress);
    await_converted(fixture, "990", 2000);
    assert_field(fixture, "state", "complete");
    assert_field(fixture, "percent", "100.0");
    assert_field(fixture, "eta_s", "0");
    assert_field(fixture, "metadata_csv", "ct/2024/metadata.csv");
    assert_field(fixture, "mapping_csv", "ct/2024/mapping.csv");
    assert_in_range(server_number(server, "TTL", JOB_KEY), 2592000 - 10, 2592000);
    assert_string_equal(server_ask(server, "SMEMBERS", "niffler:jobs:active", (char *)NULL), "");
    /* The job of 1970 has left the list. */
    assert_string_equal(server_ask(server, "ZRANGE", "niffler:jobs", "0", "-1", (char *)NULL), JOB);
    (void)server_ask(server, "CONFIG", "RESETSTAT", (char *)NULL);
    test_sleep_ms(4500);
    assert_int_equal(server_calls(server, "hset"), 0);
}

static void events_are_changes_of_state_and_come_once(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    server_start(server, NULL, NULL);
    open_view(fixture, "niffler:");
    struct progress progress = running(1, 1);
    progress.state = "open";
    progress_show(fixture->view, &progress);
    await_converted(fixture, "1", 2000);
    show(fixture, 2, 2);
    await_converted(fixture, "2", 2000);
    show(fixture, 3, 3);
    await_converted(fixture, "3", 2000);
    test_sleep_ms(4500); /* written again, twice */
    assert_int_equal(server_number(server, "XLEN", EVENTS_KEY), 2);
    const char *second = server_ask(server, "EVAL", "return redis.call('XRANGE', KEYS[1], '-', '+')[2][2]",
                                    "1", EVENTS_KEY, (char *)NULL);
    if (strncmp(second, "state running before open at 1", 30) != 0)
        fail_msg("the second event: %s", second);
}

static void any_bytes_pass(void **state)
{
    static const char odd[] = "a b\r\n$5\r\nx%s\"'\\\xff\xc3\x28{}";
    struct fixture *fixture = *state;
    server_start(&fixture->server, NULL, NULL);
    open_view(fixture, "odd \r\n%s prefix:");
    struct progress progress = running(1, 1);
    progress.output = odd;
    progress_show(fixture->view, &progress);
    view_close(fixture->view, 3000);
    fixture->view = NULL;
    assert_string_equal(
        server_ask(&fixture->server, "HGET", "odd \r\n%s prefix:{" JOB "}:job", "output", (char *)NULL), odd);
}

static void a_worker_shows_itself(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    char pid[16];
    server_start(server, NULL, NULL);
    (void)server_ask(server, "ZADD", "niffler:workers", "1000", "old", (char *)NULL);
    open_view(fixture, "niffler:");
    heartbeat_show(fixture->view, "host-1", 1700000000, 4, 5, 6);
    view_close(fixture->view, 3000);
    fixture->view = NULL;
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_string_equal(server_ask(server, "HMGET", "niffler:worker:host-1", "started", "assigned",
                                   "inflight", "files", "ver", (char *)NULL),
                        "1700000000 4 5 6 " NIFFLER_VERSION);
    assert_string_equal(server_ask(server, "HGET", "niffler:worker:host-1", "pid", (char *)NULL), pid);
    assert_true(strlen(server_ask(server, "HGET", "niffler:worker:host-1", "host", (char *)NULL)) > 1);
    assert_true(atol(server_ask(server, "HGET", "niffler:worker:host-1", "rss", (char *)NULL)) > 100000);
    assert_in_range(server_number(server, "TTL", "niffler:worker:host-1"), 50, 60);
    assert_string_equal(server_ask(server, "ZRANGE", "niffler:workers", "0", "-1", (char *)NULL), "host-1");
    assert_in_range(server_number(server, "TTL", "niffler:workers"), 110, 120);
}

static void what_is_older_writes_nothing(void **state)
{
    struct fixture *fixture = *state;
    server_start(&fixture->server, NULL, NULL);
    open_view(fixture, "niffler:");
    show(fixture, 100, 10); /* epoch 7 */
    await_converted(fixture, "100", 2000);

    struct progress progress = running(1, 99);
    progress.epoch = 6;
    progress_show(fixture->view, &progress);
    test_sleep_ms(1000);
    assert_field(fixture, "converted", "100");
    show(fixture, 2, 9);
    test_sleep_ms(1000);
    assert_field(fixture, "converted", "100");
    assert_field(fixture, "rev", "10");
    show(fixture, 3, 10); /* the same change: mends */
    await_converted(fixture, "3", 2000);
    show(fixture, 4, 11);
    await_converted(fixture, "4", 2000);
    progress = running(5, 1);
    progress.epoch = 8;
    progress_show(fixture->view, &progress);
    await_converted(fixture, "5", 2000);
    assert_int_equal(count_in_log(fixture, "event=view_failed"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_field_is_written),
        TEST(fields_that_are_gone_are_taken_away),
        TEST(the_end_is_written_once_and_kept_30_days),
        TEST(events_are_changes_of_state_and_come_once),
        TEST(any_bytes_pass),
        TEST(a_worker_shows_itself),
        TEST(what_is_older_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
