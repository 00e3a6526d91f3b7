/* Buffers: a place for nothing is a place too, and what grows keeps what it held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buffer.h"

static void test_a_place_for_nothing(void **state)
{
    (void)state;
    struct buffer empty = {0};
    assert_non_null(buffer_reserve(&empty, 0));
    assert_int_equal(empty.length, 0);
    buffer_clear(&empty);
    buffer_append(&empty, NULL, 0);
    assert_string_equal(buffer_text(&empty), "");
    buffer_clear(&empty);
}

static void test_growth_keeps_the_content(void **state)
{
    (void)state;
    struct buffer text = {0};
    for (int i = 0; i < 1000; i++)
        buffer_append_format(&text, "%d,", i);
    assert_memory_equal(text.data, "0,1,2,3,", 8);
    assert_memory_equal(text.data + text.length - 8, "998,999,", 8);
    assert_true(text.capacity >= text.length);
    buffer_truncate(&text, 3);
    assert_string_equal(buffer_text(&text), "0,1");
    buffer_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_place_for_nothing),
        cmocka_unit_test(test_growth_keeps_the_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
