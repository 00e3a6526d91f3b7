/* More than half of the last hundred files, and of no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/storm.h"

static void add(struct storm *storm, unsigned count, bool has_crashed)
{
    for (unsigned i = 0; i < count; i++)
        storm_add(storm, has_crashed);
}

static void half_is_no_storm(void **state)
{
    (void)state;
    struct storm storm = {0};
    assert_false(storm_is_on(&storm));
    for (int i = 0; i < 1000; i++) {
        storm_add(&storm, i % 2 == 0);
        assert_false(storm_is_on(&storm));
    }
    add(&storm, 2, true);
    assert_true(storm_is_on(&storm));
}

static void a_few_files_are_no_storm(void **state)
{
    (void)state;
    struct storm storm = {0};
    add(&storm, 50, true);
    assert_false(storm_is_on(&storm));
    storm_add(&storm, true);
    assert_true(storm_is_on(&storm));
}

static void old_crashes_are_forgotten(void **state)
{
    (void)state;
    struct storm storm = {0};
    add(&storm, 100, true);
    add(&storm, 49, false);
    assert_true(storm_is_on(&storm));
    storm_add(&storm, false);
    assert_false(storm_is_on(&storm));
    add(&storm, 100, false);
    assert_int_equal(storm.crashes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_is_no_storm),
        cmocka_unit_test(a_few_files_are_no_storm),
        cmocka_unit_test(old_crashes_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
