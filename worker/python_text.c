#include "worker/python_text.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/utf8.h"

/* ---- text ---- */

static bool is_space(unsigned char c)
{
    return c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f);
}

/* NEL and NBSP, the white space of Latin-1 beyond ASCII, as UTF-8. */
static bool is_wide_space(const char *text)
{
    return (unsigned char)text[0] == 0xc2 &&
           ((unsigned char)text[1] == 0x85 || (unsigned char)text[1] == 0xa0);
}

struct slice python_strip_end(struct slice text)
{
    for (;;) {
        if (text.length > 0 && is_space((unsigned char)text.text[text.length - 1]))
            text.length--;
        else if (text.length > 1 && is_wide_space(text.text + text.length - 2))
            text.length -= 2;
        else
            return text;
    }
}

struct slice python_strip(struct slice text)
{
    for (;;) {
        size_t step = 0;
        if (text.length > 0 && is_space((unsigned char)text.text[0]))
            step = 1;
        else if (text.length > 1 && is_wide_space(text.text))
            step = 2;
        else
            return python_strip_end(text);
        text.text += step;
        text.length -= step;
    }
}

struct slice python_strip_padding(struct slice text)
{
    while (text.length > 0 && (text.text[text.length - 1] == ' ' || text.text[text.length - 1] == '\0'))
        text.length--;
    return text;
}

/* What str.isprintable() denies: control, format, private and surrogate characters and separators but the
 * blank. Unassigned characters, some 700 ranges that change with every Unicode, are left out: no character
 * set of DICOM but UTF-8 can even express them. */
static bool is_printable(uint32_t character)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0x0, 0x1f},         {0x7f, 0xa0},       {0xad, 0xad},       {0x600, 0x605},     {0x61c, 0x61c},
        {0x6dd, 0x6dd},      {0x70f, 0x70f},     {0x890, 0x891},     {0x8e2, 0x8e2},     {0x1680, 0x1680},
        {0x180e, 0x180e},    {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3000, 0x3000},
        {0xd800, 0xf8ff},    {0xfeff, 0xfeff},   {0xfff0, 0xfffb},   {0xfffe, 0xffff},   {0x110bd, 0x110bd},
        {0x110cd, 0x110cd},  {0x13430, 0x13438}, {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe00ff},
        {0xe01f0, 0x10ffff},
    };
    if (character >= 0x20 && character < 0x7f)
        return true;
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden && character >= hidden[i].first; i++)
        if (character <= hidden[i].last)
            return false;
    return true;
}

static char choose_quote(const char *text, size_t length)
{
    bool has_single = length > 0 && memchr(text, '\'', length) != NULL;
    return has_single && memchr(text, '"', length) == NULL ? '"' : '\'';
}

static void append_hex(struct buffer *out, const char *lead, uint32_t value, unsigned digits)
{
    buffer_append_text(out, lead);
    while (digits-- > 0)
        buffer_append_char(out, "0123456789abcdef"[value >> (4 * digits) & 0xf]);
}

/* The escapes that text and bytes share. Returns false where the character stands for itself. */
static bool append_common_escape(struct buffer *out, unsigned char c, char quote)
{
    if (c == (unsigned char)quote || c == '\\') {
        buffer_append_char(out, '\\');
        buffer_append_char(out, (char)c);
    } else if (c == '\n') {
        buffer_append_text(out, "\\n");
    } else if (c == '\r') {
        buffer_append_text(out, "\\r");
    } else if (c == '\t') {
        buffer_append_text(out, "\\t");
    } else if (c < 0x20 || c == 0x7f) {
        append_hex(out, "\\x", c, 2);
    } else {
        return false;
    }
    return true;
}

static uint32_t decode_character(const char *text, size_t step)
{
    uint32_t character = (unsigned char)text[0] & (0xffu >> (step + 1));
    for (size_t i = 1; i < step; i++)
        character = character << 6 | ((unsigned char)text[i] & 0x3fu);
    return character;
}

void python_append_text_repr(struct buffer *out, struct slice text)
{
    char quote = choose_quote(text.text, text.length);
    buffer_append_char(out, quote);
    for (size_t at = 0; at < text.length;) {
        unsigned char c = (unsigned char)text.text[at];
        if (c < 0x80) {
            if (!append_common_escape(out, c, quote))
                buffer_append_char(out, (char)c);
            at++;
            continue;
        }
        size_t step = utf8_step(text.text + at, text.length - at);
        uint32_t character = step > 0 ? decode_character(text.text + at, step) : c;
        if (step > 0 && is_printable(character))
            buffer_append(out, text.text + at, step);
        else if (character <= 0xff)
            append_hex(out, "\\x", character, 2);
        else if (character <= 0xffff)
            append_hex(out, "\\u", character, 4);
        else
            append_hex(out, "\\U", character, 8);
        at += step > 0 ? step : 1;
    }
    buffer_append_char(out, quote);
}

void python_append_bytes_repr(struct buffer *out, const void *bytes, size_t length)
{
    const unsigned char *p = bytes;
    char quote = choose_quote(bytes, length);
    buffer_append_char(out, 'b');
    buffer_append_char(out, quote);
    for (size_t i = 0; i < length; i++) {
        if (p[i] >= 0x80)
            append_hex(out, "\\x", p[i], 2);
        else if (!append_common_escape(out, p[i], quote))
            buffer_append_char(out, (char)p[i]);
    }
    buffer_append_char(out, quote);
}

/* ---- numbers ---- */

/* A decimal number: 0.d1d2d3… times ten to the `point`, without zeros at either end. */
struct decimal {
    bool is_negative;
    char digits[20];
    int count;
    int point;
};

static void append_zeros(struct buffer *out, int count)
{
    while (count-- > 0)
        buffer_append_char(out, '0');
}

/* Python's layout: an exponent below 1e-4 and from 1e16 on. */
static void append_decimal(struct buffer *out, const struct decimal *number, bool keeps_point)
{
    int count = number->count;
    int point = count == 0 ? 1 : number->point;
    if (number->is_negative)
        buffer_append_char(out, '-');
    if (count == 0) {
        buffer_append_char(out, '0');
    } else if (point > 16 || point < -3) {
        buffer_append_char(out, number->digits[0]);
        if (count > 1)
            buffer_append_char(out, '.');
        buffer_append(out, number->digits + 1, (size_t)count - 1);
        buffer_append_format(out, "e%c%02d", point > 0 ? '+' : '-', abs(point - 1));
        return;
    } else if (point <= 0) {
        buffer_append_text(out, "0.");
        append_zeros(out, -point);
        buffer_append(out, number->digits, (size_t)count);
        return;
    } else if (point < count) {
        buffer_append(out, number->digits, (size_t)point);
        buffer_append_char(out, '.');
        buffer_append(out, number->digits + point, (size_t)(count - point));
        return;
    } else {
        buffer_append(out, number->digits, (size_t)count);
        append_zeros(out, point - count);
    }
    if (keeps_point)
        buffer_append_text(out, ".0");
}

static void drop_trailing_zeros(struct decimal *number)
{
    while (number->count > 0 && number->digits[number->count - 1] == '0')
        number->count--;
}

static bool reads_back(const char *text, double value, bool is_single)
{
    return is_single ? (double)strtof(text, NULL) == value : strtod(text, NULL) == value;
}

static void take_digits(const char *text, struct decimal *number)
{
    const char *exponent = strchr(text, 'e');
    number->count = 0;
    for (const char *c = text; c < exponent; c++)
        if (*c != '.')
            number->digits[number->count++] = *c;
    number->point = (int)strtol(exponent + 1, NULL, 10) + 1;
}

/* Below a power of two numbers lie closer than above it. There the nearest text of so many digits can fail to
 * read back while the next one above does, and Python writes that. `text` is the nearest one; it is replaced
 * where so. */
static bool takes_next_above(char *text, size_t size, double value, bool is_single)
{
    struct decimal number;
    uint64_t digits = 0;
    char above[40];
    int ignored;
    if (frexp(value, &ignored) != 0.5)
        return false;
    take_digits(text, &number);
    for (int i = 0; i < number.count; i++)
        digits = digits * 10 + (uint64_t)(number.digits[i] - '0');
    (void)snprintf(above, sizeof above, "%llue%d", (unsigned long long)digits + 1,
                   number.point - number.count);
    if (!reads_back(above, value, is_single))
        return false;
    (void)snprintf(text, size, "%llu", (unsigned long long)digits + 1);
    memmove(text + 2, text + 1, strlen(text));
    text[1] = '.';
    (void)snprintf(text + strlen(text), size - strlen(text), "e%d", number.point - 1);
    return true;
}

/* Most numbers of a header have few digits. Where n / 10^k is the value, n below 10^15 and both exact, the
 * division rounds as reading "n e-k" does; and no other text of as few digits reads as the same number, of
 * single precision where they are at most 6. */
static bool find_short(double value, bool is_single, struct decimal *number)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    const double limit = is_single ? 1e6 : 1e15;
    for (int k = 1; k < 10 && value * powers[k] < limit - 1; k++) {
        uint64_t n = (uint64_t)(value * powers[k] + 0.5);
        if (n == 0 || (double)n / powers[k] != value)
            continue;
        for (uint64_t rest = n; rest > 0; rest /= 10)
            number->count++;
        for (int i = number->count; i-- > 0; n /= 10)
            number->digits[i] = (char)('0' + n % 10);
        number->point = number->count - k;
        return true;
    }
    return false;
}

/* The nearest number of `count` digits to what `full`, of more digits, is the nearest to. False: what is cut
 * off looks like a half, and may have been rounded to that. */
static bool round_to(const struct decimal *full, int count, struct decimal *number)
{
    const char *rest = full->digits + count;
    int left = full->count - count;
    bool is_half = rest[0] == '5';
    for (int i = 1; i < left; i++)
        is_half &= rest[i] == '0';
    *number = *full;
    number->count = count;
    if (is_half || rest[0] < '5')
        return !is_half;
    int at = count;
    while (at > 0 && number->digits[at - 1] == '9')
        number->digits[--at] = '0';
    if (at > 0) {
        number->digits[at - 1]++;
    } else {
        number->digits[0] = '1';
        number->point++;
    }
    return true;
}

/* The fewest digits that read back, `least` or more, from the `most` that always do. False where they are not
 * certain by that. */
static bool shorten(struct decimal *number, int least, double value, bool is_single)
{
    const struct decimal full = *number;
    for (int count = least; count < full.count; count++) {
        char text[40];
        if (!round_to(&full, count, number))
            return false;
        memcpy(text, number->digits, (size_t)count);
        (void)snprintf(text + count, sizeof text - (size_t)count, "e%d", number->point - count);
        if (reads_back(text, value, is_single))
            return true;
    }
    *number = full;
    return true;
}

/* Fewest digits that read back: a few conversions by the C library, which rounds correctly. */
static void shortest(double value, bool is_single, struct decimal *number)
{
    bool is_subnormal = fabs(value) < (is_single ? (double)FLT_MIN : DBL_MIN);
    int precision = is_subnormal ? 1 : is_single ? 6 : 15;
    int most = is_single ? 9 : 17;
    char text[40];

    *number = (struct decimal){.is_negative = signbit(value) != 0};
    if (value == 0 || find_short(fabs(value), is_single, number))
        return;
    (void)snprintf(text, sizeof text, "%.*e", most - 1, fabs(value));
    take_digits(text, number);
    int ignored;
    if (!is_subnormal && frexp(value, &ignored) != 0.5 &&
        shorten(number, precision, fabs(value), is_single)) {
        drop_trailing_zeros(number);
        return;
    }
    for (; precision <= most; precision++) {
        (void)snprintf(text, sizeof text, "%.*e", precision - 1, fabs(value));
        if (reads_back(text, fabs(value), is_single) ||
            takes_next_above(text, sizeof text, fabs(value), is_single))
            break;
    }
    take_digits(text, number);
    drop_trailing_zeros(number);
}

static void append_double(struct buffer *out, double value, bool is_single, bool keeps_point)
{
    struct decimal number;
    if (isnan(value)) {
        buffer_append_text(out, "nan");
    } else if (isinf(value)) {
        buffer_append_text(out, value < 0 ? "-inf" : "inf");
    } else if (value != 0 && fabs(value) < 1e15 && value == trunc(value)) {
        buffer_append_i64(out, (int64_t)value);
        if (keeps_point)
            buffer_append_text(out, ".0");
    } else {
        shortest(value, is_single, &number);
        append_decimal(out, &number, keeps_point);
    }
}

void python_append_float(struct buffer *out, double value)
{
    append_double(out, value, false, true);
}

void python_append_number(struct buffer *out, double value, bool is_single)
{
    append_double(out, value, is_single, false);
}

/* What float() reads, taken apart. */
struct numeral {
    enum { NUMERAL_NONE, NUMERAL_FINITE, NUMERAL_INFINITE, NUMERAL_NAN } kind;
    bool is_whole; /* digits only: int() reads it too */
    bool is_long;  /* more significant digits than `number` holds, or a wild exponent */
    struct decimal number;
};

static bool equals_word(struct slice text, const char *word)
{
    size_t i = 0;
    for (; i < text.length && word[i] != '\0'; i++)
        if ((text.text[i] | 0x20) != word[i])
            return false;
    return i == text.length && word[i] == '\0';
}

/* Digits with single underscores between them. Returns the count of digits, -1 for a misplaced underscore. */
static int scan_digits(struct slice text, size_t *at, struct numeral *out, bool is_fraction)
{
    struct decimal *number = &out->number;
    int count = 0;
    for (; *at < text.length; (*at)++) {
        char c = text.text[*at];
        if (c == '_') {
            if (count == 0 || *at + 1 == text.length || text.text[*at + 1] < '0' || text.text[*at + 1] > '9')
                return -1;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        count++;
        bool leads = number->count == 0 && c == '0';
        if (!leads && number->count < (int)sizeof number->digits)
            number->digits[number->count++] = c;
        else if (!leads)
            out->is_long = true;
        if (is_fraction ? leads : !leads)
            number->point += is_fraction ? -1 : 1;
    }
    return count;
}

static bool scan_exponent(struct slice text, size_t *at, struct numeral *out)
{
    bool is_negative = false;
    int exponent = 0, count = 0;
    if (*at == text.length || (text.text[*at] | 0x20) != 'e')
        return true;
    (*at)++;
    if (*at < text.length && (text.text[*at] == '-' || text.text[*at] == '+'))
        is_negative = text.text[(*at)++] == '-';
    for (; *at < text.length; (*at)++, count++) {
        char c = text.text[*at];
        if (c == '_' && count > 0 && *at + 1 < text.length && text.text[*at + 1] != '_')
            continue;
        if (c < '0' || c > '9')
            break;
        if (exponent < 100000)
            exponent = exponent * 10 + (c - '0');
    }
    out->is_whole = false;
    out->number.point += is_negative ? -exponent : exponent;
    return count > 0 && text.text[*at - 1] != '_';
}

static struct numeral read_numeral(struct slice text)
{
    struct numeral out = {.kind = NUMERAL_NONE, .is_whole = true};
    size_t at = 0;
    if (text.length > 0 && (text.text[0] == '-' || text.text[0] == '+')) {
        out.number.is_negative = text.text[0] == '-';
        text.text++;
        text.length--;
    }
    if (equals_word(text, "inf") || equals_word(text, "infinity"))
        out.kind = NUMERAL_INFINITE;
    else if (equals_word(text, "nan"))
        out.kind = NUMERAL_NAN;
    if (out.kind != NUMERAL_NONE)
        return out;
    int whole = scan_digits(text, &at, &out, false), fraction = 0;
    if (whole >= 0 && at < text.length && text.text[at] == '.') {
        at++;
        out.is_whole = false;
        fraction = scan_digits(text, &at, &out, true);
    }
    if (whole < 0 || fraction < 0 || whole + fraction == 0 || !scan_exponent(text, &at, &out) ||
        at != text.length)
        return out;
    out.kind = NUMERAL_FINITE;
    drop_trailing_zeros(&out.number);
    return out;
}

/* The double that a numeral of any length stands for: by the C library, from a copy without underscores. */
static double numeral_value(struct slice text)
{
    struct buffer copy = {0};
    for (size_t i = 0; i < text.length; i++)
        if (text.text[i] != '_')
            buffer_append_char(&copy, text.text[i]);
    double value = strtod(buffer_text(&copy), NULL);
    buffer_clear(&copy);
    return value;
}

/* Up to 15 significant digits survive the way to a double and back (DBL_DIG), so they are repr()'s digits
 * already and no floating-point conversion is needed. Nearly all values of DS are so. */
static bool survives_double(const struct numeral *numeral)
{
    return !numeral->is_long && numeral->number.count <= 15 && numeral->number.point > -290 &&
           numeral->number.point < 290;
}

bool python_append_float_of_text(struct buffer *out, struct slice text)
{
    text = python_strip(text);
    struct numeral numeral = read_numeral(text);
    switch (numeral.kind) {
    case NUMERAL_NONE:
        return false;
    case NUMERAL_NAN:
        buffer_append_text(out, "nan");
        break;
    case NUMERAL_INFINITE:
        buffer_append_text(out, numeral.number.is_negative ? "-inf" : "inf");
        break;
    case NUMERAL_FINITE:
        if (survives_double(&numeral))
            append_decimal(out, &numeral.number, true);
        else
            python_append_float(out, numeral_value(text));
        break;
    }
    return true;
}

/* pydicom lets a whole number pass only if float() of the same text is equal to it. */
static enum python_integer long_integer(struct buffer *out, struct slice text, bool is_whole)
{
    double value = numeral_value(text);
    char exact[400];
    struct buffer plain = {0};
    bool is_same = true;

    if (isinf(value) || value != trunc(value))
        return PYTHON_INTEGER_LOSS;
    int length = snprintf(exact, sizeof exact, "%.0f", value);
    if (is_whole) {
        bool has_begun = false;
        if (text.text[0] == '-')
            buffer_append_char(&plain, '-');
        for (size_t i = 0; i < text.length; i++) {
            char c = text.text[i];
            has_begun |= c > '0' && c <= '9';
            if (has_begun && c != '_')
                buffer_append_char(&plain, c);
        }
        is_same = plain.length == (size_t)length && memcmp(plain.data, exact, plain.length) == 0;
        buffer_clear(&plain);
    }
    if (is_same && out != NULL)
        buffer_append(out, exact, (size_t)length);
    return is_same ? PYTHON_INTEGER : PYTHON_INTEGER_LOSS;
}

enum python_integer python_append_integer_of_text(struct buffer *out, struct slice text)
{
    text = python_strip(text);
    struct numeral numeral = read_numeral(text);
    struct decimal *number = &numeral.number;
    if (numeral.kind == NUMERAL_NONE || numeral.kind == NUMERAL_NAN)
        return PYTHON_NO_INTEGER;
    if (numeral.kind == NUMERAL_INFINITE)
        return PYTHON_INTEGER_LOSS;
    if (number->count == 0) {
        number->is_negative = false;
        number->point = 1;
    } else if (!survives_double(&numeral) || number->point > 15) {
        return long_integer(out, text, numeral.is_whole);
    } else if (number->point < number->count) {
        return PYTHON_INTEGER_LOSS;
    }
    if (out != NULL)
        append_decimal(out, number, false);
    return PYTHON_INTEGER;
}
