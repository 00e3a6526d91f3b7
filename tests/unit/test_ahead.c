/* How many files go ahead: by the pace of those before, and by the descriptors there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "worker/ahead.h"
#include "worker/wire.h"

/* The pace after `ms` in which files were done in bursts of `burst`, each `burst_ms` after the one before. */
static unsigned after(struct ahead *ahead, int64_t *now, int64_t ms, unsigned burst, int64_t burst_ms)
{
    unsigned most = 0;
    for (int64_t end = *now + ms; *now < end;) {
        *now += burst_ms;
        for (unsigned i = 0; i < burst; i++) {
            ahead->done++;
            most = ahead_most(ahead, WIRE_AHEAD_MOST, *now);
        }
    }
    return most;
}

static void quick_files_go_ahead_many_at_a_time(void **state)
{
    (void)state;
    struct ahead ahead = {0};
    int64_t now = 1000;
    assert_int_equal(ahead_most(&ahead, WIRE_AHEAD_MOST, now), 1);
    assert_int_equal(after(&ahead, &now, 2 * AHEAD_MS, 1, 1), WIRE_AHEAD_MOST);
    assert_int_equal(after(&ahead, &now, 1000, 1, 4), AHEAD_MS / 4);
    assert_int_equal(after(&ahead, &now, 1000, 1, AHEAD_MS), 1);
    assert_int_equal(after(&ahead, &now, 1000, 1, 500), 1);
}

/* A worker that is not woken for each file sees many end at once, and then none for a while. */
static void bursts_are_no_other_pace(void **state)
{
    (void)state;
    struct ahead ahead = {0};
    int64_t now = 1000;
    (void)after(&ahead, &now, 1000, WIRE_AHEAD_MOST - 2, AHEAD_MS - 2);
    for (int i = 0; i < 100; i++) {
        now += AHEAD_MS - 2;
        for (unsigned n = 0; n < WIRE_AHEAD_MOST - 2; n++) {
            ahead.done++;
            assert_true(ahead_most(&ahead, WIRE_AHEAD_MOST, now) >= WIRE_AHEAD_MOST * 3 / 4);
        }
    }
}

static void no_more_go_ahead_than_there_are_descriptors_for(void **state)
{
    (void)state;
    struct rlimit before, limit;
    struct ahead ahead = {.most = WIRE_AHEAD_MOST};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(before.rlim_max >= 1024);
    limit = (struct rlimit){.rlim_cur = 512, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);

    assert_int_equal(ahead_limit(4), WIRE_AHEAD_MOST); /* there are enough */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(limit.rlim_cur, 512);

    assert_int_equal(ahead_limit(16), WIRE_AHEAD_MOST); /* the hard limit allows them */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(limit.rlim_cur >= 256 + 16 * (2 + 2 * (1 + WIRE_AHEAD_MOST)));

    /* 256 for all else, and (1024 - 256) / 64 for each: its two, and those of five files */
    limit = (struct rlimit){.rlim_cur = 512, .rlim_max = 1024};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(ahead_limit(64), 4);
    assert_int_equal(ahead_limit(1000), 0);
    assert_int_equal(ahead_most(&ahead, 4, 0), 4);
    assert_int_equal(ahead_most(&ahead, 0, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quick_files_go_ahead_many_at_a_time),
        cmocka_unit_test(bursts_are_no_other_pace),
        cmocka_unit_test(no_more_go_ahead_than_there_are_descriptors_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
