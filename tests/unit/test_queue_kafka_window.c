/* The window of a partition in any order of acknowledgements, and what commits remember of deaths, over lives
 * of receivers that end in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/queue_kafka_window.h"

static void test_position_is_the_first_that_is_not_done(void **state)
{
    (void)state;
    struct window window = {0};
    uint64_t a, b, c, again;
    assert_true(window_take(&window, 10, &a));
    assert_true(window_take(&window, 12, &b)); /* 11 does not exist */
    assert_true(window_take(&window, 13, &c));
    assert_false(window_take(&window, 12, &again));
    assert_false(window_take(&window, 3, &again));
    assert_int_equal(window_position(&window), 10);
    window_done(&window, b);
    assert_int_equal(window_position(&window), 10);
    window_done(&window, a);
    assert_int_equal(window_position(&window), 13);
    window_done(&window, c);
    assert_int_equal(window_position(&window), 14);
    window_clear(&window);
}

static void test_many_in_odd_orders(void **state)
{
    (void)state;
    enum { COUNT = 1000, STRIDE = 7 };
    struct window window = {0};
    for (int64_t round = 0; round < 3; round++) {
        uint64_t numbers[COUNT];
        bool done[COUNT] = {false};
        for (int64_t i = 0; i < COUNT; i++)
            assert_true(window_take(&window, round * COUNT + i, &numbers[i]));
        for (size_t i = 0; i < COUNT; i++) {
            size_t which = i * STRIDE % COUNT, first = 0;
            window_done(&window, numbers[which]);
            done[which] = true;
            while (first < COUNT && done[first])
                first++;
            assert_int_equal(window_position(&window), round * COUNT + (int64_t)first);
        }
    }
    window_clear(&window);
}

static void check_peace(const struct suspects *suspects, const char *expected)
{
    char text[SUSPECTS_TEXT];
    suspects_format_peace(suspects, text);
    assert_string_equal(text, expected);
}

static void check_open(const struct suspects *suspects, int64_t until, bool is_alone, const char *expected)
{
    char text[SUSPECTS_TEXT];
    suspects_format_open(suspects, until, is_alone, text);
    assert_string_equal(text, expected);
}

static void test_peace_remembers_nothing_new(void **state)
{
    (void)state;
    struct suspects s;
    static const char *const texts[] = {NULL,
                                        "",
                                        "c",
                                        "x",
                                        "o",
                                        "o 1",
                                        "o 1 x",
                                        "o 1 5 6",
                                        "o 1 5 6 7 z",
                                        "c 1 5 6 7 w",
                                        "o  1 5",
                                        "o 1 5 ",
                                        "o -1 5",
                                        "o 99999999999999999999 5",
                                        "{\"version\":1}",
                                        "o 1 99999999999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_false(suspects_inherit(&s, texts[i], 0));
        assert_int_equal(s.deaths, 0);
        assert_int_equal(s.offset, -1);
        check_peace(&s, "c");
    }
}

/* A message that kills: two deaths among others, then alone, and set aside after three more. */
static void test_a_message_that_kills(void **state)
{
    (void)state;
    struct suspects s;
    assert_true(suspects_inherit(&s, "o 0 4196", 100));
    assert_int_equal(s.deaths, 1);
    assert_false(suspects_include(&s, 100)); /* once may have been anything */
    check_open(&s, 4200, false, "o 1 4200");
    assert_true(suspects_inherit(&s, "o 1 4200", 103));
    assert_true(suspects_include(&s, 103));
    assert_true(suspects_include(&s, 4199));
    assert_false(suspects_include(&s, 4200));
    s.offset = 103;
    check_open(&s, 103, true, "o 2 4200 103 0");
    for (unsigned alone = 1; alone <= 3; alone++) {
        char text[SUSPECTS_TEXT];
        suspects_format_open(&s, 103, true, text);
        assert_true(suspects_inherit(&s, text, 103));
        assert_int_equal(suspects_deaths(&s, 103), alone);
        assert_int_equal(suspects_deaths(&s, 104), 0);
        assert_int_equal(s.until, 4200); /* alone, nothing behind was given out */
    }
    suspects_advance(&s, 104); /* set aside */
    assert_int_equal(suspects_deaths(&s, 103), 0);
    check_peace(&s, "c 5 4200");
    suspects_advance(&s, 4200);
    check_peace(&s, "c");
}

/* A revocation in peace, as every death of another member brings, forgets nothing. */
static void test_peace_keeps_what_is_remembered(void **state)
{
    (void)state;
    struct suspects s;
    assert_true(suspects_inherit(&s, "o 2 500 103 1", 103));
    check_peace(&s, "c 3 500 103 2");
    assert_false(suspects_inherit(&s, "c 3 500 103 2", 103));
    assert_int_equal(s.deaths, 3);
    assert_int_equal(suspects_deaths(&s, 103), 2);
    /* Not in flight when its receiver died: not its death. */
    check_open(&s, 0, false, "o 3 500 103 2 w");
    assert_true(suspects_inherit(&s, "o 3 500 103 2 w", 103));
    assert_int_equal(s.deaths, 4);
    assert_int_equal(suspects_deaths(&s, 103), 2);
    /* Done since. */
    assert_true(suspects_inherit(&s, "o 3 500 103 2", 104));
    assert_int_equal(s.offset, -1);
    assert_true(suspects_inherit(&s, "o 3 500 103 2", 500));
    assert_int_equal(s.deaths, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_position_is_the_first_that_is_not_done),
        cmocka_unit_test(test_many_in_odd_orders),
        cmocka_unit_test(test_peace_remembers_nothing_new),
        cmocka_unit_test(test_a_message_that_kills),
        cmocka_unit_test(test_peace_keeps_what_is_remembered),
    };
    return cmocka_run_group_tests_name("queue_kafka_window", tests, NULL, NULL);
}
