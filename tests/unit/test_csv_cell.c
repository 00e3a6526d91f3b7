/* Cells of the tables: what a spreadsheet would run is marked where that is asked for, numbers never; what a
 * terminal would obey is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "aggregator/csv_cell.h"

struct expected {
    const char *in, *out;
};

static void expect_cells(const struct expected *cases, size_t count, unsigned rules)
{
    for (size_t i = 0; i < count; i++) {
        struct buffer out = {0};
        csv_append_cell_as(&out, cases[i].in, strlen(cases[i].in), rules);
        assert_string_equal(buffer_text(&out), cases[i].out);
        buffer_clear(&out);
    }
}
#define EXPECT_CELLS(cases, rules) expect_cells(cases, sizeof(cases) / sizeof *(cases), rules)

static const char *const formulas[] = {
    "=1+1",
    "=cmd|'/C calc'!A0",
    "+1+1",
    "-1-1",
    "@SUM(A1)",
    "\t=1",
    "=",
    "+",
    "-",
    "@",
    "-.",
    "+-1",
    "-inf",
    "-nan",
    "-0x10",
    "-1.2.3",
    "-1e",
    "-1e+",
    "-1,5",
    "-1 ",
    "- 1",
    "-1\\a",
    "-1\\2\\=1",
    "-1\\\\2",
    "+49 30 1234",
    "\xef\xbc\x9d"
    "1+1",
    "\xef\xbc\x8b"
    "1",
    "\xef\xbc\x8d"
    "1",
    "\xef\xbc\xa0x",
    "\r=1",
    "\n=1",
};

static void formulas_are_marked(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof formulas / sizeof *formulas; i++) {
        struct buffer plain = {0}, guarded = {0};
        csv_append_cell(&plain, formulas[i], strlen(formulas[i]));
        csv_append_cell_as(&guarded, formulas[i], strlen(formulas[i]), CSV_CELL_GUARDED);
        /* The same cell with one ' more, within the quotes if there are any; off, nothing is marked. */
        size_t at = plain.data[0] == '"' ? 1 : 0;
        assert_int_equal(guarded.length, plain.length + 1);
        assert_memory_equal(guarded.data, plain.data, at);
        assert_int_equal(guarded.data[at], '\'');
        assert_memory_equal(guarded.data + at + 1, plain.data + at, plain.length - at);
        assert_int_equal(plain.data[at], formulas[i][0]);
        buffer_clear(&plain);
        buffer_clear(&guarded);
    }
}

static void numbers_and_other_text_are_not_marked(void **state)
{
    (void)state;
    static const char *const cells[] = {
        "",
        "-1.5",
        "+3e4",
        "-0",
        "+12",
        "-.5",
        "-5.",
        "-1E-07",
        "+0100",
        "1",
        "plain",
        "'=1",
        "-1\\0\\0\\-1",
        "+1.5\\-2e3",
        "\\-1",
        "a=1",
        "1.2.3=",
        " =1",
        "\"=1\"",
        "\xef\xbc",
        "\xef\xbc\x9e",
        "M\xc3\xbc",
        "-20200101",
        "#N/A",
        "~",
        "[-1]",
        "(=1)",
        "\x1b=1",
        "\xef\xbc\x9c",
        "a\n=1",
        "a\t\xef\xbc\x9d",
    };
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        struct buffer plain = {0}, guarded = {0};
        csv_append_cell(&plain, cells[i], strlen(cells[i]));
        csv_append_cell_as(&guarded, cells[i], strlen(cells[i]), CSV_CELL_GUARDED);
        assert_string_equal(buffer_text(&guarded), buffer_text(&plain));
        buffer_clear(&plain);
        buffer_clear(&guarded);
    }
}

/* A cell is `length` bytes, whatever stands behind it in memory. */
static void nothing_behind_the_cell_is_looked_at(void **state)
{
    (void)state;
    static const char text[] = "-1abc";
    struct buffer out = {0};
    csv_append_cell_as(&out, text, 2, CSV_CELL_GUARDED);
    csv_append_cell_as(&out, text, 1, CSV_CELL_GUARDED);
    csv_append_cell_as(&out, text, 0, CSV_CELL_GUARDED);
    csv_append_cell_as(&out, "\xef\xbc\x9d", 2, CSV_CELL_GUARDED);
    assert_string_equal(buffer_text(&out), "-1'-\\xEF\\xBC");
    buffer_clear(&out);
}

static void control_characters_are_shown(void **state)
{
    (void)state;
    static const struct expected cases[] = {
        {"\x1b[31mred\a", "\\x1B[31mred\\x07"},
        {"a\x01\x1f\x7f", "a\\x01\\x1F\\x7F"},
        {"form\ffeed\vtab\b", "form\\x0Cfeed\\x0Btab\\x08"},
        {"\xc2\x9b"
         "31m",
         "\\xC2\\x9B31m"},
        {"\xc2\x80\xc2\x9f\xc2\xa0", "\\xC2\\x80\\xC2\\x9F\xc2\xa0"},
        {"\xe2\x82\x80", "\xe2\x82\x80"}, /* the bytes of a C1 character inside another are none */
        {"\xf0\x90\x82\x80", "\xf0\x90\x82\x80"},
        {"\xc3\x82\x80", "\xc3\x82\\x80"},
        {"tab\tstays", "tab\tstays"},
        {"line\r\nend\x1b", "\"line\r\nend\\x1B\""},
        {"\"\x1b\",", "\"\"\"\\x1B\"\",\""},
        {"\xef\xbb\xbf"
         "mark",
         "\xef\xbb\xbf"
         "mark"},
    };
    EXPECT_CELLS(cases, 0);
    static const struct expected kept[] = {
        {"\x1b[31m\a", "\x1b[31m\a"},
        {"\xc2\x9b,", "\"\xc2\x9b,\""},
        {"\x7f\xff", "\x7f\\xFF"},
    };
    EXPECT_CELLS(kept, CSV_CELL_CONTROLS_KEPT);
    struct buffer out = {0};
    csv_append_cell_as(&out, "=\0\x1b", 3, CSV_CELL_CONTROLS_KEPT | CSV_CELL_GUARDED);
    assert_string_equal(buffer_text(&out), "'=\\x00\x1b");
    buffer_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas_are_marked),
        cmocka_unit_test(numbers_and_other_text_are_not_marked),
        cmocka_unit_test(nothing_behind_the_cell_is_looked_at),
        cmocka_unit_test(control_characters_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
