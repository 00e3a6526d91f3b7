/* Eight bytes at a time, against one at a time: every byte at every place of texts of every short length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/eight.h"

#define LENGTHS 27

static uint64_t is_comma(uint64_t bytes)
{
    return eight_is(bytes, ',');
}

static void one_byte_is_found_wherever_it_stands(void **state)
{
    (void)state;
    char text[LENGTHS];
    for (size_t length = 0; length < LENGTHS; length++) {
        memset(text, 'a', sizeof text);
        assert_false(eight_any(text, length, eight_not_printable));
        assert_false(eight_any(text, length, is_comma));
        for (size_t at = 0; at < length; at++)
            for (int byte = 0; byte < 256; byte++) {
                text[at] = (char)byte;
                assert_int_equal(eight_any(text, length, eight_not_printable), byte < 0x20 || byte > 0x7e);
                assert_int_equal(eight_any(text, length, is_comma), byte == ',' || byte > 0x7f);
                text[at] = 'a';
            }
    }
}

/* What is subtracted from a byte borrows from the next. */
static void neighbours_do_not_matter(void **state)
{
    (void)state;
    static const char plain[] = " ~!}-+.-~  ~~!! \x7e\x20\x7e\x20";
    for (size_t from = 0; from < sizeof plain - 1; from++)
        for (size_t length = 0; from + length < sizeof plain; length++) {
            assert_false(eight_any(plain + from, length, eight_not_printable));
            assert_false(eight_any(plain + from, length, is_comma));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_byte_is_found_wherever_it_stands),
        cmocka_unit_test(neighbours_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
