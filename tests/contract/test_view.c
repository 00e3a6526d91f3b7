/* What is shown in a real Redis is right within five seconds whatever Redis has been through, and nobody
 * waits for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/contract/view_fixture.h"

/* ---- how often, and how long it takes -------------------------------------------------------------- */

static void a_name_is_written_five_times_a_second_at_most(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    server_start(server, NULL, NULL);
    open_view(fixture, "niffler:");
    show(fixture, 1, 1);
    await_converted(fixture, "1", 2000);
    (void)server_ask(server, "CONFIG", "RESETSTAT", (char *)NULL);
    int64_t begin_ms = test_now_ms();
    uint64_t last = 1;
    while (test_now_ms() < begin_ms + 2000) {
        last++;
        show(fixture, last, last);
        test_sleep_ms(1);
    }
    long calls = server_calls(server, "hset") / 2; /* job and classes */
    assert_in_range(calls, 4, (test_now_ms() - begin_ms) / 200 + 1);
    char expected[24];
    (void)snprintf(expected, sizeof expected, "%lu", (unsigned long)last);
    await_converted(fixture, expected, 1000); /* and the last one is not lost */

    /* Values that are written once are no way around it. */
    (void)server_ask(server, "CONFIG", "RESETSTAT", (char *)NULL);
    begin_ms = test_now_ms();
    while (test_now_ms() < begin_ms + 2000) {
        static const char *const words[] = {"SET", "once", "x"};
        struct view_commands *commands = view_commands_new();
        view_commands_add(commands, 3, words, 1u << 1);
        view_put(fixture->view, "once", commands, false);
        test_sleep_ms(1);
    }
    /* `schema` is written with the job, which is written again every two seconds. */
    assert_in_range(server_calls(server, "set"), 4, (test_now_ms() - begin_ms) / 200 + 1 + 3);
}

static void nobody_waits_for_a_redis_that_hangs(void **state)
{
    struct fixture *fixture = *state;
    server_start(&fixture->server, NULL, NULL);
    open_view(fixture, "niffler:");
    show(fixture, 1, 1);
    await_converted(fixture, "1", 2000);
    assert_int_equal(kill(fixture->server.process, SIGSTOP), 0);
    int64_t begin_ms = test_now_ms();
    long puts = 0, slow = 0;
    while (test_now_ms() < begin_ms + 10000) {
        struct timespec before, after;
        struct progress progress = running((uint64_t)puts + 2, (uint64_t)puts + 2);
        (void)clock_gettime(CLOCK_MONOTONIC, &before);
        progress_show(fixture->view, &progress);
        (void)clock_gettime(CLOCK_MONOTONIC, &after);
        int64_t took_ns = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
        slow += took_ns > 1000000;
        assert_true(took_ns < 500000000);
        puts++;
        test_sleep_ms(1);
    }
    /* A machine that is busy elsewhere may hold up a few. */
    if (slow * 50 > puts)
        fail_msg("%ld of %ld puts took more than a millisecond", slow, puts);
    assert_false(view_is_up(fixture->view));
    assert_int_equal(kill(fixture->server.process, SIGCONT), 0);
    char expected[24];
    (void)snprintf(expected, sizeof expected, "%ld", puts + 1);
    await_converted(fixture, expected, HEAL_MS);
    assert_int_equal(count_in_log(fixture, "event=view_failed"), 1);
    test_sleep_ms(200);
    assert_int_equal(count_in_log(fixture, "event=view_restored"), 1);
}

static void closing_takes_no_longer_than_it_may(void **state)
{
    struct fixture *fixture = *state;
    server_start(&fixture->server, NULL, NULL);
    open_view(fixture, "niffler:");
    show(fixture, 1, 1);
    await_converted(fixture, "1", 2000);
    show(fixture, 2, 2);
    view_close(fixture->view, 3000);
    fixture->view = NULL;
    assert_string_equal(converted_in(fixture), "2");
    assert_int_equal(count_in_log(fixture, "event=view_failed"), 0);

    open_view(fixture, "niffler:");
    show(fixture, 3, 3);
    await_converted(fixture, "3", 2000);
    assert_int_equal(kill(fixture->server.process, SIGSTOP), 0);
    show(fixture, 4, 4);
    int64_t begin_ms = test_now_ms();
    view_close(fixture->view, 300);
    fixture->view = NULL;
    assert_in_range(test_now_ms() - begin_ms, 250, 1000);
    assert_int_equal(kill(fixture->server.process, SIGCONT), 0);
    /* Nothing to write and nothing to wait for. */
    open_view(fixture, "niffler:");
    begin_ms = test_now_ms();
    view_close(fixture->view, 5000);
    fixture->view = NULL;
    assert_true(test_now_ms() - begin_ms < 1500);
}

/* ---- what Redis may go through --------------------------------------------------------------------- */

static void it_heals_after_flushall(void **state)
{
    struct fixture *fixture = *state;
    server_start(&fixture->server, NULL, NULL);
    open_view(fixture, "niffler:");
    show(fixture, 5, 5);
    heartbeat_show(fixture->view, "w", 1, 1, 1, 1);
    await_converted(fixture, "5", 2000);
    (void)server_ask(&fixture->server, "FLUSHALL", (char *)NULL);
    assert_string_equal(converted_in(fixture), "");
    await_converted(fixture, "5", HEAL_MS);
    test_sleep_ms(2200);
    assert_int_equal(server_number(&fixture->server, "EXISTS", "niffler:worker:w"), 1);
    assert_string_equal(server_ask(&fixture->server, "GET", "niffler:schema", (char *)NULL), "1");
}

static void it_may_be_absent_at_the_start(void **state)
{
    struct fixture *fixture = *state;
    open_view(fixture, "niffler:");
    show(fixture, 1, 1);
    struct progress progress = running(3, 1);
    progress.job = "01AAAAAAAAAAAAAAAAAAAAAAAA";
    progress.state = "complete";
    progress_end(fixture->view, &progress);
    test_sleep_ms(3000);
    assert_false(view_is_up(fixture->view));
    assert_int_equal(count_in_log(fixture, "event=view_failed"), 1);
    server_start(&fixture->server, NULL, NULL);
    await_converted(fixture, "1", HEAL_MS);
    test_sleep_ms(100);
    assert_string_equal(server_ask(&fixture->server, "HGET", "niffler:{01AAAAAAAAAAAAAAAAAAAAAAAA}:job",
                                   "state", (char *)NULL),
                        "complete");
}

static void it_may_be_killed_and_started_again(void **state)
{
    struct fixture *fixture = *state;
    server_start(&fixture->server, NULL, NULL);
    open_view(fixture, "niffler:");
    show(fixture, 1, 1);
    await_converted(fixture, "1", 2000);
    server_kill(&fixture->server);
    test_sleep_ms(2500);
    show(fixture, 2, 2);
    assert_false(view_is_up(fixture->view));
    server_start(&fixture->server, NULL, NULL);
    await_converted(fixture, "2", HEAL_MS);
}

static void it_may_be_a_replica_for_a_while(void **state)
{
    struct fixture *fixture = *state;
    server_start(&fixture->server, "--replicaof", "127.0.0.1 1");
    open_view(fixture, "niffler:");
    show(fixture, 1, 1);
    test_sleep_ms(2500);
    assert_false(view_is_up(fixture->view));
    assert_int_equal(count_in_log(fixture, "READONLY"), 1);
    (void)server_ask(&fixture->server, "REPLICAOF", "NO", "ONE", (char *)NULL);
    await_converted(fixture, "1", HEAL_MS);
}

static void it_may_be_full(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    server_start(server, "--maxmemory-policy", "noeviction");
    open_view(fixture, "niffler:");
    show(fixture, 1, 1);
    await_converted(fixture, "1", 2000);
    (void)server_ask(server, "CONFIG", "SET", "maxmemory", "1", (char *)NULL);
    show(fixture, 2, 2);
    test_sleep_ms(3000);
    /* What was there is there still. */
    assert_string_equal(converted_in(fixture), "1");
    assert_int_equal(count_in_log(fixture, "event=view_failed"), 1);
    assert_int_equal(count_in_log(fixture, "OOM"), 1);
    assert_int_equal(count_in_log(fixture, "ct/2024"), 0);
    (void)server_ask(server, "CONFIG", "SET", "maxmemory", "0", (char *)NULL);
    await_converted(fixture, "2", HEAL_MS);
}

static void a_password_may_be_set_right_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    (void)snprintf(fixture->password_file, sizeof fixture->password_file, "%s/password", server->folder);
    (void)snprintf(server->password, sizeof server->password, "right");
    make_file(server->dir, "password", "wrong-word\n");
    server_start(server, "--requirepass", "right");
    open_view(fixture, "niffler:");
    show(fixture, 1, 1);
    test_sleep_ms(1500);
    assert_false(view_is_up(fixture->view));
    assert_int_equal(count_in_log(fixture, "WRONGPASS"), 1);
    assert_int_equal(count_in_log(fixture, "wrong-word"), 0);
    make_file(server->dir, "password", "right\n");
    await_converted(fixture, "1", HEAL_MS);
}

static void a_user_of_the_access_list_and_a_database_are_enough(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    server_start(server, NULL, NULL);
    /* As common/MESSAGES.md recommends. */
    (void)server_ask(server, "ACL", "SETUSER", "niffler", "on", ">secret", "~niffler:*", "+@hash",
                     "+@sortedset", "+@set", "+@stream", "+@connection", "+eval", "+set", "+type", "+del",
                     "+expire", "+expireat", (char *)NULL);
    (void)snprintf(fixture->password_file, sizeof fixture->password_file, "%s/password", server->folder);
    make_file(server->dir, "password", "secret\n");
    (void)snprintf(server->url, sizeof server->url, "unix://niffler@%s/redis.sock?db=3", server->folder);
    open_view(fixture, "niffler:");
    show(fixture, 4, 1);
    heartbeat_show(fixture->view, "w", 1, 1, 1, 1);
    (void)server_ask(server, "SELECT", "3", (char *)NULL);
    await_converted(fixture, "4", 2000);
    test_sleep_ms(300);
    assert_int_equal(server_number(server, "EXISTS", "niffler:worker:w"), 1);
    assert_int_equal(count_in_log(fixture, "event=view_failed"), 0);
}

static void it_may_be_reached_over_tcp(void **state)
{
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    char port[8];
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(probe, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(probe, (struct sockaddr *)&address, &length), 0);
    (void)close(probe);
    (void)snprintf(port, sizeof port, "%u", ntohs(address.sin_port));
    server_start(server, "--port", port);
    (void)snprintf(server->url, sizeof server->url, "redis://localhost:%s/2", port);
    open_view(fixture, "niffler:");
    show(fixture, 6, 1);
    (void)server_ask(server, "SELECT", "2", (char *)NULL);
    await_converted(fixture, "6", 2000);
    /* A connection that is cut is not a Redis that is gone. */
    (void)server_ask(server, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes", (char *)NULL);
    show(fixture, 7, 2);
    await_converted(fixture, "7", HEAL_MS);
}

static void keys_of_another_type_are_replaced_or_said(void **state)
{
    static const char *const keys[] = {JOB_KEY,        CLASSES_KEY,           EVENTS_KEY,
                                       "niffler:jobs", "niffler:jobs:active", "niffler:worker:w"};
    struct fixture *fixture = *state;
    struct server *server = &fixture->server;
    server_start(server, NULL, NULL);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        (void)server_ask(server, "SET", keys[i], "taken", (char *)NULL);
    open_view(fixture, "niffler:");
    show(fixture, 1, 1);
    await_converted(fixture, "1", 2000);
    assert_string_equal(server_ask(server, "SMEMBERS", "niffler:jobs:active", (char *)NULL), JOB);
    assert_int_equal(count_in_log(fixture, "event=view_failed"), 0);

    (void)server_ask(server, "CONFIG", "RESETSTAT", (char *)NULL);
    heartbeat_show(fixture->view, "w", 1, 1, 1, 1);
    test_sleep_ms(4500);
    assert_in_range(server_calls(server, "zadd"), 2, 10); /* no hot loop */
    assert_int_equal(count_in_log(fixture, "event=view_failed"), 1);
    assert_int_equal(count_in_log(fixture, "WRONGTYPE"), 1);
}

static void without_a_redis_nothing_happens(void **state)
{
    struct fixture *fixture = *state;
    struct settings settings = {0};
    struct error err = {0};
    struct progress progress = running(1, 1);
    char junk[] = "redis//h", tls[] = "rediss://h", url[] = "redis://h", missing[] = "/nonexistent/password";
    assert_true(view_open(&fixture->view, &settings, &err));
    assert_null(fixture->view);
    progress_show(NULL, &progress);
    progress_end(NULL, &progress);
    heartbeat_show(NULL, "w", 1, 1, 1, 1);
    view_put(NULL, "x", view_commands_new(), true);
    view_drop(NULL, "x");
    assert_false(view_is_up(NULL));
    view_close(NULL, 1000);

    settings.redis_url = junk;
    assert_false(view_open(&fixture->view, &settings, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
#ifndef NIFFLER_REDIS_TLS
    settings.redis_url = tls;
    assert_false(view_open(&fixture->view, &settings, &err));
#endif
    (void)tls;
    settings.redis_url = url;
    settings.redis_password_file = missing;
    assert_false(view_open(&fixture->view, &settings, &err));
    assert_null(fixture->view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_is_written_five_times_a_second_at_most),
        TEST(nobody_waits_for_a_redis_that_hangs),
        TEST(closing_takes_no_longer_than_it_may),
        TEST(it_heals_after_flushall),
        TEST(it_may_be_absent_at_the_start),
        TEST(it_may_be_killed_and_started_again),
        TEST(it_may_be_a_replica_for_a_while),
        TEST(it_may_be_full),
        TEST(a_password_may_be_set_right_meanwhile),
        TEST(a_user_of_the_access_list_and_a_database_are_enough),
        TEST(it_may_be_reached_over_tcp),
        TEST(keys_of_another_type_are_replaced_or_said),
        TEST(without_a_redis_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
