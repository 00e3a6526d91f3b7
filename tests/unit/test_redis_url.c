/* RedisUrl: what is a place of a Redis and what is none, and that no error repeats what may be a secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/redis.h"
#include "tests/unit/folder.h"

struct good {
    const char *url, *host, *path, *user;
    uint16_t port;
    uint32_t database;
    bool is_tls;
};

static void check_text(const char *url, const char *found, const char *expected)
{
    if (found == NULL && expected == NULL)
        return;
    if (found == NULL || expected == NULL || strcmp(found, expected) != 0)
        fail_msg("%s: '%s' and not '%s'", url, found != NULL ? found : "(none)",
                 expected != NULL ? expected : "(none)");
}

static void places_are_parsed(void **state)
{
    static const struct good table[] = {
        {"redis://h", "h", NULL, NULL, 6379, 0, false},
        {"redis://h/", "h", NULL, NULL, 6379, 0, false},
        {"redis://h:1", "h", NULL, NULL, 1, 0, false},
        {"redis://cache.example.org:65535/15", "cache.example.org", NULL, NULL, 65535, 15, false},
        {"redis://me@h/3", "h", NULL, "me", 6379, 3, false},
        {"redis://@h", "h", NULL, NULL, 6379, 0, false},
        {"redis://a%40b%3A%25@h", "h", NULL, "a@b:%", 6379, 0, false},
        {"redis://127.0.0.1:7000", "127.0.0.1", NULL, NULL, 7000, 0, false},
        {"redis://[::1]", "::1", NULL, NULL, 6379, 0, false},
        {"redis://u@[fe80::1%eth0]:77/2", "fe80::1%eth0", NULL, "u", 77, 2, false},
        {"rediss://h:6380/1", "h", NULL, NULL, 6380, 1, true},
        {"unix:///run/redis.sock", NULL, "/run/redis.sock", NULL, 0, 0, false},
        {"unix:///run/redis.sock?db=7", NULL, "/run/redis.sock", NULL, 0, 7, false},
        {"unix://me@/run/a%20b?db=0", NULL, "/run/a b", "me", 0, 0, false},
        {"unix:///run/a@b", NULL, "/run/a@b", NULL, 0, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct good *row = &table[i];
        struct redis_place place;
        struct error err = {0};
        if (!redis_place_parse(&place, row->url, &err))
            fail_msg("%s: %s", row->url, err.text);
        check_text(row->url, place.host, row->host);
        check_text(row->url, place.socket_path, row->path);
        check_text(row->url, place.user, row->user);
        assert_int_equal(place.port, row->port);
        assert_int_equal(place.database, row->database);
        assert_int_equal(place.is_tls, row->is_tls);
        redis_place_clear(&place);
        redis_place_clear(&place);
    }
}

static void others_are_refused(void **state)
{
    static const char *const table[] = {
        "",
        "h",
        "h:6379",
        "http://SECRET",
        "REDIS://SECRET",
        "redis:/SECRET",
        "redis://",
        "redis:///1",
        "redis://:6379",
        "redis://SECRET:",
        "redis://SECRET:0",
        "redis://SECRET:65536",
        "redis://SECRET:99999999999999999999",
        "redis://SECRET:-1",
        "redis://SECRET:6379x",
        "redis://SECRET/x",
        "redis://SECRET/-1",
        "redis://SECRET/1/2",
        "redis://SECRET/1000001",
        "redis://SECRET?db=1",
        "redis://SECRET#1",
        "redis://SECRET/1?x",
        "redis://me:SECRET@h",
        "redis://:SECRET@h",
        "redis://SECRET%@h",
        "redis://SECRET%4@h",
        "redis://SECRET%zz@h",
        "redis://SECRET%00@h",
        "redis://SECRET h",
        "redis://SECRET\r\nh",
        "redis://\xc3\xa4SECRET",
        "redis://[::1",
        "redis://[]",
        "redis://[::1]6379",
        "redis://[::1]:",
        "redis://SECRET::1",
        "unix://",
        "unix:///",
        "unix://SECRET",
        "unix://SECRET/SECRET",
        "unix://me:SECRET@/run/x",
        "unix:///run/SECRET?",
        "unix:///run/SECRET?db=",
        "unix:///run/SECRET?db=x",
        "unix:///run/SECRET?database=1",
        "unix:///run/SECRET%0",
        "unix:///"
        "SECRET8901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
        "678901234567890",
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct redis_place place;
        struct error err = {0};
        if (redis_place_parse(&place, table[i], &err))
            fail_msg("taken: %s", table[i]);
        assert_int_equal(err.kind, ERROR_FATAL);
        assert_non_null(strstr(err.text, "RedisUrl"));
        assert_null(strstr(err.text, "SECRET"));
        assert_null(strpbrk(err.text, "\r\n"));
        redis_place_clear(&place);
    }
}

static bool from_settings(const char *url, const char *password_file, struct error *err)
{
    char url_copy[128], file_copy[128] = "";
    struct settings settings = {.redis_url = url_copy};
    struct redis_place place;
    (void)snprintf(url_copy, sizeof url_copy, "%s", url);
    if (password_file != NULL) {
        (void)snprintf(file_copy, sizeof file_copy, "%s", password_file);
        settings.redis_password_file = file_copy;
    }
    bool ok = redis_place_from_settings(&place, &settings, err);
    redis_place_clear(&place);
    return ok;
}

static void a_password_file_is_looked_at(void **state)
{
    char folder[64], path[128], line[REDIS_PASSWORD_MAX + 2];
    struct error err = {0};
    int dir = folder_new(folder);
    (void)state;
    (void)snprintf(path, sizeof path, "%s/password", folder);
    assert_false(from_settings("redis://h", path, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_non_null(strstr(err.text, "RedisPasswordFile"));

    make_file(dir, "password", "open sesame\nnot this\n");
    assert_true(from_settings("redis://h", path, &err));
    make_file(dir, "password", "");
    assert_false(from_settings("redis://h", path, &err));
    make_file(dir, "password", "\r\nsecond");
    assert_false(from_settings("redis://h", path, &err));

    memset(line, 'x', sizeof line);
    line[REDIS_PASSWORD_MAX] = '\0';
    make_file(dir, "password", line);
    assert_true(from_settings("redis://h", path, &err));
    line[REDIS_PASSWORD_MAX] = 'x';
    line[REDIS_PASSWORD_MAX + 1] = '\0';
    make_file(dir, "password", line);
    assert_false(from_settings("redis://h", path, &err));
    assert_null(strstr(err.text, "xx"));
    assert_false(from_settings("redis://h", folder, &err)); /* a folder */
    assert_true(from_settings("redis://h", NULL, &err));
    assert_true(from_settings("redis://h", "", &err));
    folder_remove(folder, dir);
}

static void tls_is_refused_where_the_library_has_none(void **state)
{
    struct error err = {0};
    (void)state;
#ifdef NIFFLER_REDIS_TLS
    if (!from_settings("rediss://h", NULL, &err))
        fail_msg("%s", err.text);
#else
    assert_false(from_settings("rediss://h", NULL, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_non_null(strstr(err.text, "stunnel"));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_parsed),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(a_password_file_is_looked_at),
        cmocka_unit_test(tls_is_refused_where_the_library_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
