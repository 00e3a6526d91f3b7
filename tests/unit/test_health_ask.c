/* What a probe makes of what is answered: by health.h, and by servers that are not ours, slow or gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/health.h"
#include "common/health_ask.h"
#include "common/log.h"
#include "common/meter.h"

/* One connection: hears the request, says `answer` (NULL: nothing), `times` times, a tenth of a second apart,
 * and closes when the other side has. */
struct server {
    const char *answer;
    int times;
    int listening;
    char address[32];
    char request[256];
    pthread_t thread;
};

static void *serve(void *context)
{
    struct server *server = context;
    int descriptor = accept(server->listening, NULL, NULL);
    char ignored[64];
    if (descriptor < 0)
        return NULL;
    (void)recv(descriptor, server->request, sizeof server->request - 1, 0);
    for (int i = 0; i < server->times; i++) {
        if (send(descriptor, server->answer, strlen(server->answer), MSG_NOSIGNAL) < 0)
            break;
        if (server->times > 1)
            (void)usleep(100000);
    }
    if (server->times == 1)
        (void)shutdown(descriptor, SHUT_WR);
    (void)recv(descriptor, ignored, sizeof ignored, 0);
    (void)close(descriptor);
    return NULL;
}

static void start(struct server *server, const char *answer, int times)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    *server = (struct server){.answer = answer, .times = times};
    server->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listening, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->listening, 1), 0);
    assert_int_equal(getsockname(server->listening, (struct sockaddr *)&address, &length), 0);
    (void)snprintf(server->address, sizeof server->address, "0.0.0.0:%u", (unsigned)ntohs(address.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(descriptor, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(descriptor, (struct sockaddr *)&address, &length), 0);
    (void)close(descriptor);
    return ntohs(address.sin_port);
}

static void end(struct server *server)
{
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    (void)close(server->listening);
}

static void check_answer(const char *answer, bool wanted, const char *wanted_words)
{
    struct server server;
    struct buffer words = {0};
    struct error err = {0};
    bool is_good = !wanted;
    start(&server, answer, 1);
    if (!health_ask(server.address, "/readyz", &is_good, &words, &err))
        fail_msg("%s", err.text);
    end(&server);
    assert_int_equal(is_good, wanted);
    assert_string_equal(buffer_text(&words), wanted_words);
    assert_string_equal(server.request, "GET /readyz HTTP/1.0\r\n\r\n");
    buffer_clear(&words);
}

static void check_refused(const char *answer, int times, const char *says)
{
    struct server server;
    struct buffer words = {0};
    struct error err = {0};
    bool is_good = false;
    start(&server, answer, times);
    int64_t start_ms = meter_now_ms();
    assert_false(health_ask(server.address, "/livez", &is_good, &words, &err));
    int64_t took_ms = meter_now_ms() - start_ms;
    end(&server);
    assert_int_equal(err.kind, ERROR_RETRY);
    if (strstr(err.text, says) == NULL)
        fail_msg("'%s' does not say '%s'", err.text, says);
    assert_true(took_ms < HEALTH_ASK_MS + 2000);
    assert_false(is_good);
    assert_int_equal(words.length, 0);
}

static void test_good_and_not(void **state)
{
    (void)state;
    check_answer("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nready\n", true, "ready");
    check_answer("HTTP/1.0 503 Service Unavailable\r\n\r\nno broker answers\n", false, "no broker answers");
    check_answer("HTTP/1.0 200 OK\r\n\r\n", true, "");
}

static void test_others_than_ours(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "",
        "220 mail.example ESMTP\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.0 404 Not Found\r\n\r\nready\n",
        "HTTP/1.0 302 Found\r\nLocation: /200 \r\n\r\n",
        "HTTP/1.0 2000 OK\r\n\r\nready\n",
        "HTTP/1.0\r\n\r\n200 ready\n",
        "XTTP/1.0 200 OK\r\n\r\nready\n",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        check_refused(answers[i], 1, "does not answer /livez");
}

static void test_one_that_answers_too_slowly(void **state)
{
    (void)state;
    check_refused(NULL, 0, "nobody answers");      /* silent */
    check_refused("H", 1000000, "nobody answers"); /* never silent for long, and never done */
}

static void test_nobody_there(void **state)
{
    (void)state;
    char address[64];
    struct buffer words = {0};
    struct error err = {0};
    bool is_good;
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", free_port());
    assert_false(health_ask(address, "/livez", &is_good, &words, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_non_null(strstr(err.text, "refused"));
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "9090", "host", "127.0.0.1:x", "::1:9090", "127.0.0.1:0"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct error err = {0};
        struct buffer words = {0};
        bool is_good;
        assert_false(health_ask(wrong[i], "/livez", &is_good, &words, &err));
        assert_int_equal(err.kind, ERROR_FATAL);
    }
}

/* The two sides of ours, over both versions of the protocol and all interfaces. */
static void test_ours(void **state)
{
    (void)state;
    static const char *const hosts[] = {"0.0.0.0", "127.0.0.1", "[::1]", "[::]"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct health *health = NULL;
        struct buffer words = {0};
        struct error err = {0};
        char address[64];
        bool is_good = true;
        (void)snprintf(address, sizeof address, "%s:%u", hosts[i], free_port());
        if (!health_open(&health, address, NULL, &err) ||
            !health_ask(address, "/readyz", &is_good, &words, &err))
            fail_msg("%s: %s", address, err.text);
        assert_false(is_good);
        assert_string_equal(buffer_text(&words), "starting");
        health_set_ready(health, NULL);
        assert_true(health_ask(address, "/livez", &is_good, &words, &err));
        assert_true(is_good);
        assert_string_equal(buffer_text(&words), "startinglive");
        health_close(health);
        buffer_clear(&words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_and_not),
        cmocka_unit_test(test_others_than_ours),
        cmocka_unit_test(test_one_that_answers_too_slowly),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_ours),
    };
    log_open(STDERR_FILENO, -1, LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
