/* Python's repr() of text, bytes and numbers. The expected texts are what Python 3.11 prints. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/python_text.h"

#define SLICE(literal) ((struct slice){literal, sizeof literal - 1})

static void check_text(struct slice text, const char *want)
{
    struct buffer out = {0};
    python_append_text_repr(&out, text);
    assert_string_equal(buffer_text(&out), want);
    buffer_clear(&out);
}

static void writes_text(void **state)
{
    (void)state;
    check_text(SLICE(""), "''");
    check_text(SLICE("abc"), "'abc'");
    check_text(SLICE("it's"), "\"it's\"");
    check_text(SLICE("say \"a\""), "'say \"a\"'");
    check_text(SLICE("it's \"a\""), "'it\\'s \"a\"'");
    check_text(SLICE("a\\b"), "'a\\\\b'");
    check_text(SLICE("\t\n\r\0\x1b\x7f"), "'\\t\\n\\r\\x00\\x1b\\x7f'");
    check_text(SLICE("\xc3\xa9"), "'\xc3\xa9'");
    check_text(SLICE("\xc2\x85\xc2\xa0\xc2\xad"), "'\\x85\\xa0\\xad'");
    check_text(SLICE("\xe2\x80\x8b\xef\xbb\xbf"), "'\\u200b\\ufeff'");
    check_text(SLICE("\xe5\xb1\xb1"), "'\xe5\xb1\xb1'");
    check_text(SLICE("\xf0\x9f\x98\x80"), "'\xf0\x9f\x98\x80'");
    check_text(SLICE("\xf3\xa0\x80\x81"), "'\\U000e0001'");
}

static void writes_bytes(void **state)
{
    struct buffer out = {0};
    (void)state;
    python_append_bytes_repr(&out,
                             "\x00"
                             "a'\xff\n\\",
                             6);
    assert_string_equal(buffer_text(&out), "b\"\\x00a'\\xff\\n\\\\\"");
    buffer_truncate(&out, 0);
    python_append_bytes_repr(&out, "'\"", 2);
    assert_string_equal(buffer_text(&out), "b'\\'\"'");
    buffer_truncate(&out, 0);
    python_append_bytes_repr(&out, NULL, 0);
    assert_string_equal(buffer_text(&out), "b''");
    buffer_clear(&out);
}

static void strips_as_python_does(void **state)
{
    struct slice text = python_strip(SLICE(" \t\x1c\xc2\xa0 a b\xc2\x85\r\n "));
    (void)state;
    assert_int_equal(text.length, 3);
    assert_memory_equal(text.text, "a b", 3);
    assert_int_equal(python_strip(SLICE("   ")).length, 0);
    assert_int_equal(python_strip_end(SLICE(" a ")).length, 2);
    assert_int_equal(python_strip_padding(SLICE(" a \0 \0")).length, 2);
    assert_int_equal(python_strip(SLICE("a\0")).length, 2);
}

/* NULL: ValueError. */
static const struct {
    const char *text, *want;
} floats[] = {
    {"5", "5.0"},
    {"1.80", "1.8"},
    {"0.00001", "1e-05"},
    {"0.0001", "0.0001"},
    {"-0", "-0.0"},
    {"+.5", "0.5"},
    {"5.", "5.0"},
    {"00012.500", "12.5"},
    {"123456789012345678", "1.2345678901234568e+17"},
    {"1e15", "1000000000000000.0"},
    {"1e16", "1e+16"},
    {"9999999999999998", "9999999999999998.0"},
    {"12345E-3", "12.345"},
    {"1e400", "inf"},
    {"-1e400", "-inf"},
    {"1e-400", "0.0"},
    {"4.9e-324", "5e-324"},
    {"2.2250738585072011e-308", "2.225073858507201e-308"},
    {"0.1000000000000000055511151231257827", "0.1"},
    {"0.30000000000000004", "0.30000000000000004"},
    {"-157.50000000000", "-157.5"},
    {"  7 ", "7.0"},
    {"1_000.5", "1000.5"},
    {"1e1_0", "10000000000.0"},
    {"inf", "inf"},
    {"-Infinity", "-inf"},
    {"NaN", "nan"},
    {"0x10", NULL},
    {"1__0", NULL},
    {"_1", NULL},
    {"1_", NULL},
    {"1e", NULL},
    {"1e_5", NULL},
    {".", NULL},
    {"", NULL},
    {"5,0", NULL},
    {"1 2", NULL},
    {"--1", NULL},
    {"infi", NULL},
};

static void writes_floats_of_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        struct buffer out = {0};
        bool ok = python_append_float_of_text(&out, (struct slice){floats[i].text, strlen(floats[i].text)});
        assert_int_equal(ok, floats[i].want != NULL);
        assert_string_equal(buffer_text(&out), ok ? floats[i].want : "");
        buffer_clear(&out);
    }
}

static const struct {
    const char *text;
    enum python_integer kind;
    const char *want;
} integers[] = {
    {"007", PYTHON_INTEGER, "7"},
    {"-0", PYTHON_INTEGER, "0"},
    {"+12 ", PYTHON_INTEGER, "12"},
    {"1.0", PYTHON_INTEGER, "1"},
    {"1e3", PYTHON_INTEGER, "1000"},
    {"1_0", PYTHON_INTEGER, "10"},
    {"1.5", PYTHON_INTEGER_LOSS, ""},
    {"0.1", PYTHON_INTEGER_LOSS, ""},
    {"inf", PYTHON_INTEGER_LOSS, ""},
    {"nan", PYTHON_NO_INTEGER, ""},
    {"abc", PYTHON_NO_INTEGER, ""},
    {"", PYTHON_NO_INTEGER, ""},
    {"9007199254740992", PYTHON_INTEGER, "9007199254740992"},
    {"9007199254740993", PYTHON_INTEGER_LOSS, ""},
    {"-123456789012345680", PYTHON_INTEGER, "-123456789012345680"},
};

static void writes_integers_of_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        struct buffer out = {0};
        struct slice text = {integers[i].text, strlen(integers[i].text)};
        assert_int_equal(python_append_integer_of_text(&out, text), integers[i].kind);
        assert_string_equal(buffer_text(&out), integers[i].want);
        assert_int_equal(python_append_integer_of_text(NULL, text), integers[i].kind);
        buffer_clear(&out);
    }
}

/* Whatever the bits, the text reads back as the same number. */
static void floats_read_back(void **state)
{
    uint64_t bits = 0x9e3779b97f4a7c15;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        double value;
        struct buffer out = {0};
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memcpy(&value, &bits, sizeof value);
        if (value == value) {
            python_append_float(&out, value);
            assert_true(strtod(buffer_text(&out), NULL) == value);
            buffer_truncate(&out, 0);
            python_append_float_of_text(&out, (struct slice){"1", 1});
            assert_string_equal(buffer_text(&out), "1.0");
        }
        buffer_clear(&out);
    }
}

static void check_number(double value, bool is_single, const char *want)
{
    struct buffer out = {0};
    python_append_number(&out, value, is_single);
    assert_string_equal(buffer_text(&out), want);
    buffer_clear(&out);
}

/* The fewest digits that read back, found the slow way. */
static void slow_number(char *out, size_t size, double value, bool is_single)
{
    for (int precision = 1; precision <= 17; precision++) {
        (void)snprintf(out, size, "%.*g", precision, value);
        if (is_single ? (double)strtof(out, NULL) == value : strtod(out, NULL) == value)
            return;
    }
}

/* What headers hold: few digits, where the quick way is taken, and some more, where it must not be. */
static void short_numbers_are_the_shortest(void **state)
{
    uint64_t bits = 0x2545f4914f6cdd1d;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        char text[40], slow[40];
        struct buffer out = {0};
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        uint64_t digits = (bits >> 8) >> (i % 56);
        (void)snprintf(text, sizeof text, "%s%llue-%d", i % 2 == 0 ? "" : "-", (unsigned long long)digits,
                       (int)(bits % 13));
        for (int is_single = 0; is_single < 2; is_single++) {
            double value = is_single ? (double)strtof(text, NULL) : strtod(text, NULL);
            slow_number(slow, sizeof slow, value, is_single);
            if (value == trunc(value) || fabs(value) < 1e-4)
                continue; /* whole numbers, and other forms */
            buffer_truncate(&out, 0);
            python_append_number(&out, value, is_single);
            if (strtod(slow, NULL) != strtod(buffer_text(&out), NULL) ||
                (strchr(slow, 'e') == NULL && strcmp(slow, buffer_text(&out)) != 0))
                fail_msg("%s: '%s', not '%s'", text, buffer_text(&out), slow);
        }
        buffer_clear(&out);
    }
}

static void writes_numbers(void **state)
{
    (void)state;
    check_number((double)0.1f, true, "0.1");
    check_number((double)0.1f, false, "0.10000000149011612");
    check_number(5, true, "5");
    check_number(-0.0, false, "-0");
    check_number((double)16777216.0f, true, "16777216");
    check_number((double)3.4028235e38f, true, "3.4028235e+38");
    check_number(1e22, false, "1e+22");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_text),
        cmocka_unit_test(writes_bytes),
        cmocka_unit_test(strips_as_python_does),
        cmocka_unit_test(writes_floats_of_text),
        cmocka_unit_test(writes_integers_of_text),
        cmocka_unit_test(floats_read_back),
        cmocka_unit_test(writes_numbers),
        cmocka_unit_test(short_numbers_are_the_shortest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
