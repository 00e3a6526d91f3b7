#include "aggregator/csv_cell.h"

#include <stdbool.h>
#include <string.h>

#include "common/eight.h"
#include "common/shown.h"
#include "common/utf8.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_digits(const char *text, size_t length, size_t at)
{
    while (at < length && is_digit(text[at]))
        at++;
    return at;
}

/* The end of the number that begins at `at`, as DICOM's DS and IS are written; `at` where none does. Not
 * strtod(): "-inf" and "-0x1" are names and formulas to a spreadsheet. */
static size_t skip_number(const char *text, size_t length, size_t at)
{
    size_t start = at;
    if (at < length && (text[at] == '+' || text[at] == '-'))
        at++;
    size_t whole = at;
    at = skip_digits(text, length, at);
    size_t digits = at - whole;
    if (at < length && text[at] == '.') {
        size_t fraction = at + 1;
        at = skip_digits(text, length, fraction);
        digits += at - fraction;
    }
    if (digits == 0)
        return start;
    if (at < length && (text[at] == 'e' || text[at] == 'E')) {
        size_t exponent = at + 1;
        if (exponent < length && (text[exponent] == '+' || text[exponent] == '-'))
            exponent++;
        size_t end = skip_digits(text, length, exponent);
        at = end > exponent ? end : at;
    }
    return at;
}

static bool is_all_numbers(const char *text, size_t length)
{
    for (size_t at = 0;;) {
        size_t end = skip_number(text, length, at);
        if (end == length)
            return end > at;
        if (end == at || text[end] != '\\')
            return false;
        at = end + 1;
    }
}

static bool is_formula(const char *text, size_t length)
{
    /* U+FF1D, U+FF0B, U+FF0D, U+FF20: programs in East Asia take them for the narrow ones. */
    static const char wide[][4] = {"\xef\xbc\x9d", "\xef\xbc\x8b", "\xef\xbc\x8d", "\xef\xbc\xa0"};
    if (length == 0)
        return false;
    if (text[0] != '\0' && strchr("=+-@\t\r\n", text[0]) != NULL)
        return !is_all_numbers(text, length);
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (length >= 3 && memcmp(text, wide[i], 3) == 0)
            return true;
    return false;
}

/* Whether the character, valid UTF-8, is one that is shown as \xNN. */
static bool is_control(const unsigned char *c, size_t step, unsigned rules)
{
    if (c[0] == 0)
        return true;
    if ((rules & CSV_CELL_CONTROLS_KEPT) != 0)
        return false;
    return shown_is_control(c, step) && c[0] != '\t' && c[0] != '\n' && c[0] != '\r';
}

static void append_escaped(struct buffer *out, const char *text, size_t length, unsigned rules)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t at = 0; at < length;) {
        size_t step = utf8_step(text + at, length - at);
        if (step == 0 || is_control(bytes + at, step, rules)) {
            for (size_t end = at + (step == 0 ? 1 : step); at < end; at++)
                buffer_append_format(out, "\\x%02X", (unsigned)bytes[at]);
            continue;
        }
        if (text[at] == '"')
            buffer_append_char(out, '"');
        buffer_append(out, text + at, step);
        at += step;
    }
}

/* Whether append_escaped() would give the same bytes back, for text without quotes. */
static bool is_plain(const char *text, size_t length, unsigned rules)
{
    if (!utf8_is_valid(text, length))
        return false;
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t at = 0; at < length; at++) /* the second bytes of longer characters are none of these */
        if (is_control(bytes + at, bytes[at] == 0xc2 ? 2 : 1, rules))
            return false;
    return true;
}

/* Flag what is quoted or looked at one by one. */
static uint64_t is_special(uint64_t bytes)
{
    return eight_not_printable(bytes) | eight_is(bytes, '"') | eight_is(bytes, ',');
}

void csv_append_cell_as(struct buffer *out, const char *text, size_t length, unsigned rules)
{
    bool is_guarded = (rules & CSV_CELL_GUARDED) != 0 && is_formula(text, length);
    bool is_quoted = false, is_odd = false;
    if (eight_any(text, length, is_special)) { /* most cells are plain ASCII */
        for (size_t i = 0; i < length; i++) {
            unsigned char c = (unsigned char)text[i];
            is_quoted |= c == ',' || c == '"' || c == '\n' || c == '\r';
            is_odd |= c < 0x20 || c >= 0x7f;
        }
    }
    if (is_quoted)
        buffer_append_char(out, '"');
    if (is_guarded)
        buffer_append_char(out, '\'');
    if (!is_quoted && (!is_odd || is_plain(text, length, rules)))
        buffer_append(out, text, length);
    else
        append_escaped(out, text, length, rules);
    if (is_quoted)
        buffer_append_char(out, '"');
}

void csv_append_cell(struct buffer *out, const char *text, size_t length)
{
    csv_append_cell_as(out, text, length, 0);
}
