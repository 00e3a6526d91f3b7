/* Putting file systems on disk by a thread of its own. syncfs() is wrapped: it notes what it is asked, waits
 * until it may answer, and fails where it is told to. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/syncer.h"

#define LONG_MS 10000 /* longer than anything here takes */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int asked[8];
    size_t count, allowed;
    int failing; /* the descriptor for which it fails; -1: none */
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __wrap_syncfs(int descriptor);
int __wrap_syncfs(int descriptor)
{
    (void)pthread_mutex_lock(&disk.mutex);
    assert_true(disk.count < 8);
    disk.asked[disk.count++] = descriptor;
    while (disk.allowed < disk.count)
        (void)pthread_cond_wait(&disk.changed, &disk.mutex);
    bool fails = descriptor == disk.failing;
    (void)pthread_mutex_unlock(&disk.mutex);
    errno = EIO;
    return fails ? -1 : 0;
}

static void allow(size_t count)
{
    (void)pthread_mutex_lock(&disk.mutex);
    disk.allowed = count;
    (void)pthread_cond_broadcast(&disk.changed);
    (void)pthread_mutex_unlock(&disk.mutex);
}

static struct syncer *open_syncer(int failing)
{
    struct syncer *syncer;
    struct error err;
    disk.count = disk.allowed = 0;
    disk.failing = failing;
    assert_true(syncer_open(&syncer, &err));
    return syncer;
}

static bool is_readable(struct syncer *syncer, int timeout_ms)
{
    struct pollfd fd = {.fd = syncer_descriptor(syncer), .events = POLLIN};
    return poll(&fd, 1, timeout_ms) == 1;
}

static void an_order_is_taken_back_when_all_is_on_disk(void **state)
{
    (void)state;
    struct syncer *syncer = open_syncer(-1);
    struct error err;
    bool is_done = true;
    assert_true(syncer_take(syncer, &is_done, &err));
    assert_false(is_done); /* nothing was begun */
    for (size_t round = 0; round < 2; round++) {
        int folders[] = {7, 9};
        syncer_begin(syncer, folders, 2);
        folders[0] = folders[1] = 100; /* borrowed are the descriptors, not the array */
        allow(2 * round + 1);
        assert_false(is_readable(syncer, 50));
        assert_true(syncer_take(syncer, &is_done, &err));
        assert_false(is_done);
        allow(2 * (round + 1));
        assert_true(is_readable(syncer, LONG_MS));
        assert_true(syncer_take(syncer, &is_done, &err));
        assert_true(is_done);
        assert_false(is_readable(syncer, 0));
        assert_int_equal(disk.count, 2 * (round + 1));
        assert_int_equal(disk.asked[2 * round], 7);
        assert_int_equal(disk.asked[2 * round + 1], 9);
    }
    syncer_close(syncer);
    syncer_close(NULL);
}

static void one_that_fails_is_told_and_the_others_are_tried(void **state)
{
    (void)state;
    struct syncer *syncer = open_syncer(7);
    struct error err;
    bool is_done = false;
    allow(8);
    syncer_begin(syncer, (int[]){7, 9}, 2);
    assert_true(is_readable(syncer, LONG_MS));
    assert_false(syncer_take(syncer, &is_done, &err));
    assert_true(is_done);
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_int_equal(disk.count, 2);
    syncer_begin(syncer, (int[]){9}, 1); /* the failure is not carried on */
    assert_true(is_readable(syncer, LONG_MS));
    assert_true(syncer_take(syncer, &is_done, &err));
    assert_true(is_done);
    syncer_close(syncer);
}

static void closing_waits_for_what_is_under_way(void **state)
{
    (void)state;
    struct syncer *syncer = open_syncer(-1);
    syncer_begin(syncer, (int[]){7}, 1);
    allow(1);
    syncer_close(syncer);
    assert_true(disk.count <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_taken_back_when_all_is_on_disk),
        cmocka_unit_test(one_that_fails_is_told_and_the_others_are_tried),
        cmocka_unit_test(closing_waits_for_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
