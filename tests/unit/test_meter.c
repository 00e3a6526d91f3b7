/* The meter: its words, its bar, its rate, and how often it speaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pty.h>

#include "common/meter.h"

/* A meter that began at 0 ms, with nothing drawn. */
static struct meter meter_at_zero(uint64_t total, uint64_t resumed)
{
    struct meter meter = {.stream = stdout, .total = total, .resumed = resumed, .sample_count = 1};
    meter.samples[0].done = resumed;
    return meter;
}

static void test_words(void **state)
{
    (void)state;
    char line[METER_LINE_MAX];
    struct meter meter = meter_at_zero(1000, 0);
    meter_line(&meter, 1000, 812, 3, 0, line);
    assert_string_equal(line, "812/1000 files  3 failed  812/s  0:00:01 left");
    meter_line(&meter, 100000, 20, 0, 0, line);
    assert_string_equal(line, "20/1000 files  0 failed  0.2/s  1:21:40 left");
    meter_line(&meter, 1000, 0, 0, 0, line);
    assert_string_equal(line, "0/1000 files  0 failed  0/s  -:--:-- left");
    meter_line(&meter, 1000, 1000, 0, 0, line);
    assert_string_equal(line, "1000/1000 files  0 failed  1000/s  0:00:00 left");
    meter.total = 0;
    meter_line(&meter, 1000, 50, 1, 80, line);
    assert_string_equal(line, "50 files  1 failed  50/s");
}

static void test_resumed_files_are_not_in_the_rate(void **state)
{
    (void)state;
    char line[METER_LINE_MAX];
    struct meter meter = meter_at_zero(1000, 500);
    meter_line(&meter, 10000, 600, 0, 0, line);
    assert_string_equal(line, "600/1000 files  0 failed  10/s  0:00:40 left");
}

static void test_bar_fits_the_terminal(void **state)
{
    (void)state;
    char line[METER_LINE_MAX];
    struct meter meter = meter_at_zero(1000, 0);
    static const char words[] = "]  500/1000 files  3 failed  500/s  0:00:01 left";
    for (unsigned columns = 1; columns < 300; columns++) {
        meter_line(&meter, 1000, 500, 3, columns, line);
        assert_in_range(strlen(line), columns > 1 ? 1 : 0, columns - 1);
    }
    meter_line(&meter, 1000, 500, 3, 80, line);
    assert_int_equal(line[0], '[');
    assert_string_equal(strchr(line, ']'), words);
    assert_int_equal(strspn(line + 1, "#"), (strcspn(line, "]") - 1) / 2);
    meter_line(&meter, 1000, 500, 3, 40, line); /* no room for a bar */
    assert_int_equal(line[0], '5');
    meter_line(&meter, 1000, 2000, 3, 80, line); /* more than promised: full, not beyond */
    assert_int_equal(strcspn(line, "]") - 1, strspn(line + 1, "#"));
}

static void test_rate_is_that_of_the_last_seconds(void **state)
{
    (void)state;
    char path[] = "/tmp/niffler-meter-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    FILE *stream = fdopen(descriptor, "w+");
    assert_non_null(stream);
    struct meter meter;
    char line[METER_LINE_MAX];
    meter_init(&meter, stream, 100000, 0);
    assert_false(meter.is_terminal);
    /* A minute at 10/s, then a halt of twenty seconds at the samples' pace. */
    int64_t now_ms = meter_now_ms();
    for (size_t i = 0; i < 80; i++) {
        meter.samples[meter.sample_count % METER_SAMPLES] =
            (struct meter_sample){.time_ms = now_ms + (int64_t)i * 1000, .done = i < 60 ? i * 10 : 600};
        meter.sample_count++;
    }
    meter_line(&meter, now_ms + 80000, 600, 0, 0, line);
    assert_non_null(strstr(line, "  0/s  -:--:-- left"));
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(unlink(path), 0);
}

static void test_a_line_a_minute_without_terminal(void **state)
{
    (void)state;
    char text[1024];
    FILE *stream = tmpfile();
    assert_non_null(stream);
    struct meter meter;
    meter_init(&meter, stream, 10, 0);
    for (uint64_t i = 1; i <= 5; i++)
        meter_update(&meter, i, 0);
    assert_int_equal(ftell(stream), 0);
    meter.shown_ms -= 60000; /* a minute ago */
    meter_update(&meter, 6, 1);
    meter_update(&meter, 7, 1);
    meter_finish(&meter, 10, 2);
    rewind(stream);
    size_t length = fread(text, 1, sizeof text - 1, stream);
    text[length] = '\0';
    assert_int_equal(strncmp(text, "6/10 files  1 failed", 20), 0);
    char *second = strchr(text, '\n') + 1;
    assert_int_equal(strncmp(second, "10/10 files  2 failed", 21), 0);
    assert_ptr_equal(strchr(second, '\n'), text + length - 1);
    assert_null(strpbrk(text, "\r\033["));
    assert_int_equal(fclose(stream), 0);
}

static void test_ten_times_a_second_on_a_terminal(void **state)
{
    (void)state;
    int master, slave;
    char text[4096];
    struct winsize size = {.ws_row = 24, .ws_col = 100};
    assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
    FILE *stream = fdopen(slave, "w");
    assert_non_null(stream);
    struct meter meter;
    meter_init(&meter, stream, 1000, 0);
    assert_true(meter.is_terminal);
    int64_t begun_ms = meter_now_ms();
    for (uint64_t i = 1; i <= 500; i++)
        meter_update(&meter, i, 0);
    int64_t most = 2 + (meter_now_ms() - begun_ms) / 100;
    meter_finish(&meter, 500, 0);
    size_t length = 0;
    do {
        ssize_t count = read(master, text + length, sizeof text - 1 - length);
        assert_true(count > 0);
        length += (size_t)count;
        text[length] = '\0';
    } while (text[length - 1] != '\n');
    int64_t draws = 0;
    for (const char *at = text; (at = strstr(at, "\r[")) != NULL; at++)
        draws++;
    assert_in_range(draws, 2, most + 1);
    assert_non_null(strstr(text, "]  500/1000 files  0 failed"));
    assert_int_equal(fclose(stream) + close(master), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_resumed_files_are_not_in_the_rate),
        cmocka_unit_test(test_bar_fits_the_terminal),
        cmocka_unit_test(test_rate_is_that_of_the_last_seconds),
        cmocka_unit_test(test_a_line_a_minute_without_terminal),
        cmocka_unit_test(test_ten_times_a_second_on_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
