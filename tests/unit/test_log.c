/* Log lines: their form, levels, escapes, and that lines of many threads do not mix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>
#include <pty.h>

#include "common/log.h"

/* What was written into the pipe, which is closed for writing; at most `size` - 1 bytes. */
static size_t read_all(int descriptor, char *out, size_t size)
{
    size_t length = 0;
    ssize_t count;
    while (length + 1 < size && (count = read(descriptor, out + length, size - 1 - length)) > 0)
        length += (size_t)count;
    out[length] = '\0';
    return length;
}

static void open_pipe(int ends[2])
{
    assert_int_equal(pipe(ends), 0);
}

static void test_form(void **state)
{
    (void)state;
    int ends[2];
    char line[256];
    open_pipe(ends);
    log_open(ends[1], -1, LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_WARN, "worker", "decoder_killed", "after_ms=%d job=%s", 30000, log_text("a b"));
    assert_int_equal(close(ends[1]), 0);
    (void)read_all(ends[0], line, sizeof line);
    int year, month, day, hour, minute, second, milliseconds, end = 0;
    assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour, &minute,
                            &second, &milliseconds, &end),
                     7);
    assert_int_equal(end, 24);
    assert_true(year >= 2024);
    assert_string_equal(line + end, " warn worker event=decoder_killed after_ms=30000 job=\"a b\"\n");
    assert_int_equal(close(ends[0]), 0);
}

static void test_levels_and_second_descriptor(void **state)
{
    (void)state;
    int first[2], second[2];
    char one[512], two[512];
    open_pipe(first);
    open_pipe(second);
    log_open(first[1], second[1], LOG_LEVEL_WARN);
    log_event(LOG_LEVEL_INFO, "common", "not_shown", NULL);
    log_event(LOG_LEVEL_ERROR, "common", "shown", NULL);
    log_event(LOG_LEVEL_WARN, "common", "shown_too", "%s", "");
    assert_int_equal(close(first[1]) + close(second[1]), 0);
    (void)read_all(first[0], one, sizeof one);
    (void)read_all(second[0], two, sizeof two);
    assert_string_equal(one, two);
    assert_null(strstr(one, "not_shown"));
    assert_non_null(strstr(one, " error common event=shown\n"));
    assert_non_null(strstr(one, " warn common event=shown_too"));
    assert_int_equal(close(first[0]) + close(second[0]), 0);
}

static void test_text(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"plain", "plain"},
        {"", "\"\""},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"a\"b", "\"a\\\"b\""},
        {"a\\b", "\"a\\\\b\""},
        {"a\nb\tc\r", "\"a\\nb\\tc\\r\""},
        {"\x1b[31m", "\"\\x1b[31m\""},
        {"\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9"},
        {"\xc2\x9b", "\"\\xc2\\x9b\""},
        {"\xff\xfe", "\"\\xff\\xfe\""},
        {"\x7f", "\"\\x7f\""},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        assert_string_equal(log_text(pairs[i][0]), pairs[i][1]);
}

static void test_text_rotates_and_is_cut(void **state)
{
    (void)state;
    char longest[3001];
    const char *a = log_text("a"), *b = log_text("b"), *c = log_text("c"), *d = log_text("d");
    assert_string_equal(a, "a");
    assert_string_equal(b, "b");
    assert_string_equal(c, "c");
    assert_string_equal(d, "d");
    memset(longest, '\x01', sizeof longest - 1); /* the worst: four bytes each */
    longest[sizeof longest - 1] = '\0';
    assert_in_range(strlen(log_text(longest)), 400, 420);
    memset(longest, 'x', sizeof longest - 1);
    const char *text = log_text(longest);
    assert_int_equal(strlen(text), 403);
    assert_string_equal(text + 400, "...");
}

static void test_line_cannot_be_broken_or_overrun(void **state)
{
    (void)state;
    int ends[2];
    char longest[5000], line[8192];
    memset(longest, 'y', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    open_pipe(ends);
    log_open(ends[1], -1, LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, "common", "long", "a=x\ny b=%s", longest);
    assert_int_equal(close(ends[1]), 0);
    size_t length = read_all(ends[0], line, sizeof line);
    assert_in_range(length, 1000, 2048);
    assert_ptr_equal(strchr(line, '\n'), line + length - 1);
    assert_non_null(strstr(line, "a=x?y b=yyy"));
    assert_int_equal(close(ends[0]), 0);
}

static void *log_many(void *context)
{
    for (int i = 0; i < 200; i++)
        log_event(LOG_LEVEL_INFO, "common", "many", "thread=%s text=%s", log_text(context),
                  log_text("0123456789"));
    return NULL;
}

static void test_threads_do_not_mix(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    char names[4][2] = {"a", "b", "c", "d"};
    pthread_t threads[4];
    log_open(fileno(file), -1, LOG_LEVEL_INFO);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    rewind(file);
    char line[256];
    size_t lines = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        lines++;
        assert_int_equal(line[23], 'Z');
        assert_string_equal(line + 24 + strlen(" info common event=many thread=x"), " text=0123456789\n");
    }
    assert_int_equal(lines, 800);
    assert_int_equal(fclose(file), 0);
}

static void test_terminal_line_is_cleared(void **state)
{
    (void)state;
    int master, slave;
    char text[256];
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    log_open(slave, -1, LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, "common", "seen", NULL);
    ssize_t count = read(master, text, sizeof text - 1);
    assert_true(count > 0);
    text[count] = '\0';
    assert_int_equal(strncmp(text, "\r\033[K2", 5), 0);
    log_open(STDERR_FILENO, -1, LOG_LEVEL_INFO);
    assert_int_equal(close(master) + close(slave), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_levels_and_second_descriptor),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_rotates_and_is_cut),
        cmocka_unit_test(test_line_cannot_be_broken_or_overrun),
        cmocka_unit_test(test_threads_do_not_mix),
        cmocka_unit_test(test_terminal_line_is_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
