/* redis_server.h: a redis-server of the test's own, on a socket in a folder of its own. Failures fail the
 * test.
 */
#ifndef NIFFLER_TESTS_CONTRACT_REDIS_SERVER_H
#define NIFFLER_TESTS_CONTRACT_REDIS_SERVER_H

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/redis.h"
#include "tests/unit/folder.h"

struct server {
    char folder[64];
    int dir;
    char url[128];
    char password[32]; /* of the test's own connection; "": none */
    pid_t process;     /* 0: not running */
    struct redis *redis;
};

static inline int64_t test_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void test_sleep_ms(int ms)
{
    const struct timespec span = {ms / 1000, ms % 1000 * 1000000L};
    (void)nanosleep(&span, NULL);
}

static inline void server_init(struct server *server)
{
    *server = (struct server){0};
    server->dir = folder_new(server->folder);
    (void)snprintf(server->url, sizeof server->url, "unix://%s/redis.sock", server->folder);
    (void)signal(SIGPIPE, SIG_IGN);
}

static inline void server_connect(struct server *server)
{
    struct redis_place place;
    struct error err = {0};
    int64_t end_ms = test_now_ms() + 10000;
    redis_close(server->redis);
    server->redis = NULL;
    assert_true(redis_place_parse(&place, server->url, &err));
    if (server->password[0] != '\0') {
        make_file(server->dir, "own-password", server->password);
        assert_true(asprintf(&place.password_file, "%s/own-password", server->folder) > 0);
    }
    while (!redis_open(&server->redis, &place, &err)) {
        if (test_now_ms() > end_ms)
            fail_msg("redis-server does not come up: %s", err.text);
        test_sleep_ms(10);
    }
    redis_place_clear(&place);
}

/* `option`: two more words of the command line, or NULL. */
static inline void server_start(struct server *server, const char *option, const char *value)
{
    char socket[96];
    (void)snprintf(socket, sizeof socket, "%s/redis.sock", server->folder);
    server->process = fork();
    assert_true(server->process >= 0);
    if (server->process == 0) {
        /* Also when the test is killed. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int log = openat(server->dir, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        (void)dup2(log, 1);
        (void)dup2(log, 2);
        (void)execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket, "--save", "",
                     "--appendonly", "no", "--dir", server->folder, option, value, (char *)NULL);
        _exit(127);
    }
    server_connect(server);
}

static inline void server_kill(struct server *server)
{
    redis_close(server->redis);
    server->redis = NULL;
    if (server->process == 0)
        return;
    (void)kill(server->process, SIGKILL);
    assert_int_equal(waitpid(server->process, NULL, 0), server->process);
    server->process = 0;
}

static inline void server_clear(struct server *server)
{
    server_kill(server);
    folder_remove(server->folder, server->dir);
}

/* One command; the answer's items joined by blanks, nil as "-", in one of four rotating buffers. The words
 * end with NULL. */
static inline const char *server_ask(struct server *server, ...)
{
    static char answers[4][8192];
    static unsigned turn;
    char *answer = answers[turn++ % 4];
    const char *words[64];
    size_t count = 0;
    struct redisReply *reply;
    struct error err = {0};
    va_list list;
    va_start(list, server);
    while (count < 64 && (words[count] = va_arg(list, const char *)) != NULL)
        count++;
    va_end(list);
    if (!redis_ask(server->redis, count, words, &reply, &err))
        fail_msg("%s: %s", words[0], err.text);
    size_t used = 0;
    answer[0] = '\0';
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const char *text = redis_reply_text(reply, i, NULL);
        used += (size_t)snprintf(answer + used, sizeof answers[0] - used, "%s%s", i > 0 ? " " : "",
                                 text != NULL ? text : "-");
        assert_true(used < sizeof answers[0]);
    }
    redis_reply_free(reply);
    return answer;
}

/* A number; -1 where the answer is none. */
static inline long server_number(struct server *server, const char *command, const char *key)
{
    char script[128];
    /* Numbers come back as texts, so that one function reads all. */
    (void)snprintf(script, sizeof script, "return tostring(redis.call('%s', KEYS[1]))", command);
    return atol(server_ask(server, "EVAL", script, "1", key, (char *)NULL));
}

/* Calls of a command since the start, or CONFIG RESETSTAT. */
static inline long server_calls(struct server *server, const char *command)
{
    char name[64];
    (void)snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    const char *found = strstr(server_ask(server, "INFO", "commandstats", (char *)NULL), name);
    return found != NULL ? atol(found + strlen(name)) : 0;
}

#endif
