/* view_fixture.h: a view, the redis-server that it writes to, and a job to show. */
#ifndef NIFFLER_TESTS_CONTRACT_VIEW_FIXTURE_H
#define NIFFLER_TESTS_CONTRACT_VIEW_FIXTURE_H

#include <stdlib.h>

#include "aggregator/progress.h"
#include "common/log.h"
#include "tests/contract/redis_server.h"
#include "worker/heartbeat.h"

#define JOB "01HZX3K5T7Q9V1B2C4D6E8F0GH"
#define JOB_KEY "niffler:{" JOB "}:job"
#define CLASSES_KEY "niffler:{" JOB "}:classes"
#define EVENTS_KEY "niffler:{" JOB "}:events"
#define HEAL_MS 5000

struct fixture {
    struct server server;
    struct view *view;
    int log;
    char password_file[96];
};

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    server_init(&fixture->server);
    fixture->log = openat(fixture->server.dir, "view.log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fixture->log >= 0);
    log_open(fixture->log, -1, LOG_LEVEL_DEBUG);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    view_close(fixture->view, 0);
    log_open(STDERR_FILENO, -1, LOG_LEVEL_INFO);
    (void)close(fixture->log);
    server_clear(&fixture->server);
    free(fixture);
    return 0;
}

static inline void open_view(struct fixture *fixture, const char *prefix)
{
    char prefix_copy[64];
    struct settings settings = {.redis_url = fixture->server.url, .redis_prefix = prefix_copy};
    struct error err = {0};
    (void)snprintf(prefix_copy, sizeof prefix_copy, "%s", prefix);
    if (fixture->password_file[0] != '\0')
        settings.redis_password_file = fixture->password_file;
    if (!view_open(&fixture->view, &settings, &err))
        fail_msg("%s", err.text);
    assert_non_null(fixture->view);
}

static inline size_t count_in_log(const struct fixture *fixture, const char *text)
{
    static char content[65536];
    size_t count = 0;
    ssize_t length = pread(fixture->log, content, sizeof content - 1, 0);
    assert_true(length >= 0);
    content[length] = '\0';
    for (const char *at = content; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static inline struct progress running(uint64_t converted, uint64_t revision)
{
    return (struct progress){
        .job = JOB,
        .state = "running",
        .output = "ct/2024",
        .mail = "none",
        .total = 1000,
        .found = 1000,
        .counts = {.found = converted + 10,
                   .converted = converted,
                   .no_image = 3,
                   .ignored = 2,
                   .failed = 5,
                   .failed_by_category = {0, 1, 1, 1, 2, 4},
                   .pictures = 77},
        .duplicates = 6,
        .rate = 12.25,
        .created_s = (int64_t)time(NULL) - 100,
        .sealed_s = (int64_t)time(NULL) - 50,
        .started_s = (int64_t)time(NULL) - 90,
        .epoch = 7,
        .revision = revision,
    };
}

static inline const char *field(struct fixture *fixture, const char *name)
{
    return server_ask(&fixture->server, "HGET", JOB_KEY, name, (char *)NULL);
}

/* "" while the key is not there, or holds something else. */
static inline const char *converted_in(struct fixture *fixture)
{
    const char *kind = server_ask(&fixture->server, "TYPE", JOB_KEY, (char *)NULL);
    return strcmp(kind, "hash") == 0 ? field(fixture, "converted") : "";
}

static inline void await_converted(struct fixture *fixture, const char *expected, int within_ms)
{
    int64_t end_ms = test_now_ms() + within_ms;
    const char *found;
    while (strcmp(found = converted_in(fixture), expected) != 0) {
        if (test_now_ms() > end_ms)
            fail_msg("converted is '%s' and not '%s' after %d ms", found, expected, within_ms);
        test_sleep_ms(20);
    }
}

static inline void show(struct fixture *fixture, uint64_t converted, uint64_t revision)
{
    struct progress progress = running(converted, revision);
    progress_show(fixture->view, &progress);
}

static inline void assert_field(struct fixture *fixture, const char *name, const char *expected)
{
    const char *found = field(fixture, name);
    if (strcmp(found, expected) != 0)
        fail_msg("%s is '%s' and not '%s'", name, found, expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
