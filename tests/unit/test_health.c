/* The HTTP side over real sockets: what is answered, when a loop counts as stuck, and clients that misbehave.
 *
 * The clock is wrapped (tests/health.cmake), so that a minute passes at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/health.h"
#include "common/log.h"
#include "common/meter.h"

static _Atomic int64_t skipped_ms;

int64_t __real_meter_now_ms(void);
int64_t __wrap_meter_now_ms(void);
int64_t __wrap_meter_now_ms(void)
{
    return __real_meter_now_ms() + atomic_load(&skipped_ms);
}

struct fixture {
    struct metrics *metrics;
    struct health *health;
    uint16_t port;
};

/* The port is what the log says: nobody else knows it when it was 0. */
static struct health *open_logged(const char *listen, struct metrics *metrics, uint16_t *port)
{
    struct error err = {0};
    struct health *health = NULL;
    char line[512] = "";
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    log_open(pipes[1], -1, LOG_LEVEL_INFO);
    bool ok = health_open(&health, listen, metrics, &err);
    log_open(STDERR_FILENO, -1, LOG_LEVEL_ERROR);
    if (!ok)
        fail_msg("%s", err.text);
    assert_true(read(pipes[0], line, sizeof line - 1) > 0);
    const char *at = strstr(line, "event=health_listening port=");
    assert_non_null(at);
    *port = (uint16_t)strtoul(strrchr(at, '=') + 1, NULL, 10);
    assert_true(*port > 0);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    return health;
}

static int setup(void **state)
{
    static struct fixture fixture;
    atomic_store(&skipped_ms, 0);
    fixture.metrics = metrics_new("1");
    fixture.health = open_logged("127.0.0.1:0", fixture.metrics, &fixture.port);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    health_close(fixture->health);
    metrics_free(fixture->metrics);
    return 0;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(descriptor >= 0);
    assert_int_equal(connect(descriptor, (const struct sockaddr *)&address, sizeof address), 0);
    return descriptor;
}

static void say(int descriptor, const char *text)
{
    assert_int_equal(send(descriptor, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All until the server closes; how many milliseconds that may take. Returns false if it did not. */
static bool hear(int descriptor, struct buffer *text, int patience_ms)
{
    int64_t until_ms = __real_meter_now_ms() + patience_ms;
    buffer_truncate(text, 0);
    for (;;) {
        struct pollfd wait = {.fd = descriptor, .events = POLLIN};
        int64_t left_ms = until_ms - __real_meter_now_ms();
        if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) == 0)
            return false;
        ssize_t count = recv(descriptor, buffer_reserve(text, 4096), 4096, 0);
        if (count <= 0)
            return true;
        text->length += (size_t)count;
    }
}

static const char *ask(uint16_t port, const char *request, struct buffer *text)
{
    int descriptor = connect_to(port);
    say(descriptor, request);
    assert_true(hear(descriptor, text, 3000));
    (void)close(descriptor);
    return buffer_text(text);
}

#define GET(page) "GET " page " HTTP/1.1\r\nHost: x\r\n\r\n"

static void check_answer(uint16_t port, const char *request, const char *status, const char *end)
{
    struct buffer text = {0};
    struct buffer start = {0};
    const char *answer = ask(port, request, &text);
    buffer_append_format(&start, "HTTP/1.1 %s", status);
    if (strncmp(answer, buffer_text(&start), start.length) != 0)
        fail_msg("'%s' was answered: %s", request, answer);
    assert_true(text.length >= strlen(end));
    assert_string_equal(answer + text.length - strlen(end), end);
    buffer_clear(&text);
    buffer_clear(&start);
}

static void test_pages(void **state)
{
    const struct fixture *fixture = *state;
    check_answer(fixture->port, GET("/livez"), "200", "\r\n\r\nlive\n");
    check_answer(fixture->port, GET("/healthz"), "200", "\r\n\r\nlive\n");
    check_answer(fixture->port, GET("/livez?verbose"), "200", "\r\n\r\nlive\n");
    check_answer(fixture->port, "HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n", "200", "\r\n\r\n");
    check_answer(fixture->port, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200", "\r\n\r\n");
    check_answer(fixture->port, "GET /livez HTTP/1.0\r\n\r\n", "200", "live\n");
    check_answer(fixture->port, GET("/"), "404", "no such page: /livez, /readyz or /metrics\n");
    check_answer(fixture->port, GET("/livez/../metrics"), "404", "\n");
    check_answer(fixture->port, GET("/metrics/"), "404", "\n");
}

static void test_other_methods(void **state)
{
    const struct fixture *fixture = *state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW", "get"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char request[128];
        (void)snprintf(request, sizeof request, "%s /livez HTTP/1.1\r\nHost: x\r\n\r\n", methods[i]);
        check_answer(fixture->port, request, "405", "GET and HEAD only\n");
    }
    struct buffer text = {0};
    check_answer(fixture->port, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde", "405",
                 "GET and HEAD only\n");
    const char *answer = ask(fixture->port, "POST /livez HTTP/1.1\r\nHost: x\r\n\r\n", &text);
    assert_non_null(strstr(answer, "Allow: GET, HEAD\r\n"));
    buffer_clear(&text);
}

static void test_metrics_page(void **state)
{
    const struct fixture *fixture = *state;
    struct buffer text = {0};
    metrics_add(fixture->metrics, METRIC_DEAD_LETTERS, 5);
    const char *answer = ask(fixture->port, GET("/metrics"), &text);
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4\r\n"));
    assert_non_null(strstr(answer, "\nniffler_dlq_total 5\n"));
    assert_non_null(strstr(answer, "\nprocess_open_fds "));
    buffer_clear(&text);
}

static void test_ready_and_not(void **state)
{
    const struct fixture *fixture = *state;
    check_answer(fixture->port, GET("/readyz"), "503", "\r\n\r\nstarting\n");
    health_set_ready(fixture->health, NULL);
    check_answer(fixture->port, GET("/readyz"), "200", "\r\n\r\nready\n");
    health_set_ready(fixture->health, "the storage fails");
    check_answer(fixture->port, GET("/readyz"), "503", "\r\n\r\nthe storage fails\n");
    check_answer(fixture->port, "HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n", "503", "\r\n\r\n");
    check_answer(fixture->port, GET("/livez"), "200", "live\n"); /* a world that fails is no reason to die */
    health_set_ready(fixture->health, NULL);
    check_answer(fixture->port, GET("/readyz"), "200", "ready\n");
}

static void test_a_loop_that_is_stuck(void **state)
{
    const struct fixture *fixture = *state;
    atomic_fetch_add(&skipped_ms, HEALTH_STUCK_MS - 10000);
    check_answer(fixture->port, GET("/livez"), "200", "live\n"); /* starting: no beat yet */
    atomic_fetch_add(&skipped_ms, 10000);
    check_answer(fixture->port, GET("/livez"), "503", "\r\n\r\nstuck\n");
    check_answer(fixture->port, GET("/healthz"), "503", "\r\n\r\nstuck\n");
    health_beat(fixture->health);
    check_answer(fixture->port, GET("/livez"), "200", "live\n");
    atomic_fetch_add(&skipped_ms, HEALTH_STUCK_MS - 10000);
    check_answer(fixture->port, GET("/livez"), "200", "live\n");
    atomic_fetch_add(&skipped_ms, 10000);
    check_answer(fixture->port, GET("/livez"), "503", "stuck\n");
}

/* One that sends a byte now and then is never silent, and must go nevertheless. */
static void test_a_slow_client_is_ended(void **state)
{
    const struct fixture *fixture = *state;
    struct buffer text = {0};
    int slow = connect_to(fixture->port);
    say(slow, "GET /livez HTTP/1.1\r\n");
    for (int i = 0; i < 4; i++) {
        assert_false(hear(slow, &text, 150));
        say(slow, "X");
        check_answer(fixture->port, GET("/livez"), "200", "live\n"); /* others do not wait for it */
    }
    atomic_fetch_add(&skipped_ms, 5000);
    assert_true(hear(slow, &text, 2000));
    (void)close(slow);
    buffer_clear(&text);
}

/* The limit by the real clock, of libmicrohttpd and of ours. */
static void test_a_silent_client_is_ended(void **state)
{
    const struct fixture *fixture = *state;
    struct buffer text = {0};
    int64_t start_ms = __real_meter_now_ms();
    int silent = connect_to(fixture->port);
    assert_true(hear(silent, &text, 8000));
    assert_int_equal(text.length, 0);
    assert_true(__real_meter_now_ms() - start_ms >= 4000);
    (void)close(silent);
    buffer_clear(&text);
}

#define CLIENTS 70

/* 64 are served; the others wait for a place, and get one when the first ones are ended. */
static void test_seventy_connections(void **state)
{
    const struct fixture *fixture = *state;
    struct buffer text = {0};
    int clients[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i] = connect_to(fixture->port);
    for (size_t i = 0; i < CLIENTS - 1; i++)
        say(clients[i], "GET /livez HTT");
    say(clients[CLIENTS - 1], GET("/livez"));
    assert_false(hear(clients[CLIENTS - 1], &text, 800));
    atomic_fetch_add(&skipped_ms, 5000);
    assert_true(hear(clients[CLIENTS - 1], &text, 3000));
    assert_non_null(strstr(buffer_text(&text), "\r\n\r\nlive\n"));
    for (size_t i = 0; i < CLIENTS; i++)
        (void)close(clients[i]);
    for (int i = 0; i < 2 * CLIENTS; i++) /* no place was lost */
        check_answer(fixture->port, GET("/livez"), "200", "live\n");
    buffer_clear(&text);
}

static void test_nonsense(void **state)
{
    const struct fixture *fixture = *state;
    struct buffer text = {0};
    struct buffer request = {0};
    int descriptor = connect_to(fixture->port);
    say(descriptor, "\x16\x03\x01\x02\r\n\r\n"); /* somebody who expects TLS */
    (void)hear(descriptor, &text, 500);
    assert_null(strstr(text.length > 0 ? buffer_text(&text) : "", " 200 "));
    (void)close(descriptor);
    buffer_append_text(&request, "GET /livez HTTP/1.1\r\nHost: x\r\nX: ");
    for (int i = 0; i < 100000; i++)
        buffer_append_char(&request, 'x');
    descriptor = connect_to(fixture->port);
    (void)send(descriptor, request.data, request.length, MSG_NOSIGNAL);
    assert_true(hear(descriptor, &text, 3000));
    assert_null(strstr(text.length > 0 ? buffer_text(&text) : "", " 200 "));
    (void)close(descriptor);
    check_answer(fixture->port, GET("/livez"), "200", "live\n");
    buffer_clear(&text);
    buffer_clear(&request);
}

/* A decoder that is started again later may not inherit our sockets. */
static void test_descriptors_are_close_on_exec(void **state)
{
    const struct fixture *fixture = *state;
    int client = connect_to(fixture->port);
    say(client, "GET /livez HTT");
    (void)usleep(300000);
    for (int descriptor = 3; descriptor < 256; descriptor++) {
        struct stat status;
        int flags = fcntl(descriptor, F_GETFD);
        if (flags < 0 || fstat(descriptor, &status) != 0 || !S_ISSOCK(status.st_mode))
            continue;
        if ((flags & FD_CLOEXEC) == 0)
            fail_msg("socket %d is inherited", descriptor);
    }
    (void)close(client);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "9090",
                                        ":9090",
                                        "localhost",
                                        "127.0.0.1:",
                                        "[::1]",
                                        "::1:9090",
                                        "[]:9090",
                                        "127.0.0.1:x",
                                        "127.0.0.1:-1",
                                        "[::1:9090",
                                        "1.2.3.4:0x1",
                                        "h:65536",
                                        "h:123456",
                                        "h:9090 ",
                                        "256.256.256.256:9090",
                                        "[127.0.0.1:9090"};
    struct error err = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct health *health = NULL;
        if (health_open(&health, wrong[i], NULL, &err))
            fail_msg("'%s' was taken", wrong[i]);
        assert_null(health);
        assert_int_equal(err.kind, ERROR_FATAL);
        assert_non_null(strstr(err.text, "MetricsListen"));
    }
    static const char *const right[] = {"127.0.0.1:0", "0.0.0.0:0", "localhost:0"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        uint16_t port;
        struct health *health = open_logged(right[i], NULL, &port);
        check_answer(port, GET("/livez"), "200", "live\n");
        check_answer(port, GET("/metrics"), "200", "\r\n\r\n"); /* nothing is counted */
        health_close(health);
    }
}

static void test_version_6(void **state)
{
    (void)state;
    uint16_t port;
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct health *health = open_logged("[::1]:0", NULL, &port);
    int descriptor = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct buffer text = {0};
    address.sin6_port = htons(port);
    assert_int_equal(connect(descriptor, (const struct sockaddr *)&address, sizeof address), 0);
    say(descriptor, GET("/livez"));
    assert_true(hear(descriptor, &text, 3000));
    assert_non_null(strstr(buffer_text(&text), " 200 "));
    (void)close(descriptor);
    buffer_clear(&text);
    health_close(health);
}

static void test_a_port_that_is_taken(void **state)
{
    const struct fixture *fixture = *state;
    struct health *second = NULL;
    struct error err = {0};
    char listen_text[32];
    (void)snprintf(listen_text, sizeof listen_text, "127.0.0.1:%u", (unsigned)fixture->port);
    assert_false(health_open(&second, listen_text, NULL, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_non_null(strstr(err.text, "already in use"));
}

/* The next process may take the port at once, though connections of the last one linger. */
static void test_the_port_is_free_again(void **state)
{
    (void)state;
    uint16_t port, again;
    char listen_text[32];
    struct health *health = open_logged("127.0.0.1:0", NULL, &port);
    check_answer(port, GET("/livez"), "200", "live\n");
    int64_t start_ms = __real_meter_now_ms();
    health_close(health);
    assert_true(__real_meter_now_ms() - start_ms < 1500);
    (void)snprintf(listen_text, sizeof listen_text, "127.0.0.1:%u", (unsigned)port);
    health = open_logged(listen_text, NULL, &again);
    assert_int_equal(again, port);
    health_close(health);
}

static void test_none(void **state)
{
    (void)state;
    struct error err = {0};
    struct health *health = (struct health *)&err;
    assert_true(health_open(&health, NULL, NULL, &err));
    assert_null(health);
    health_beat(NULL);
    health_set_ready(NULL, NULL);
    health_close(NULL);
}

#define OPENED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPENED(test_pages),
        OPENED(test_other_methods),
        OPENED(test_metrics_page),
        OPENED(test_ready_and_not),
        OPENED(test_a_loop_that_is_stuck),
        OPENED(test_a_slow_client_is_ended),
        OPENED(test_a_silent_client_is_ended),
        OPENED(test_seventy_connections),
        OPENED(test_nonsense),
        OPENED(test_descriptors_are_close_on_exec),
        OPENED(test_a_port_that_is_taken),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_version_6),
        cmocka_unit_test(test_the_port_is_free_again),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
