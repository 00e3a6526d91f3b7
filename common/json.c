#include "common/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"

#define NESTING_MAX 64

/* ---- runs of plain bytes ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The high bit of a byte of `word` that is zero; of others only above one that is. */
static uint64_t zero_bytes(uint64_t word)
{
    return (word - EACH(0x01)) & ~word & EACH(0x80);
}

/* How many bytes from `text` on, in steps of eight, are neither quote nor backslash, nor below a blank; and,
 * with `only_ascii`, below 0x80. Nearly all of a message is such. */
static size_t plain_length(const char *text, size_t length, bool only_ascii)
{
    size_t at = 0;
    for (uint64_t word; length - at >= sizeof word; at += sizeof word) {
        memcpy(&word, text + at, sizeof word);
        uint64_t controls = (word - EACH(0x20)) & ~word & EACH(0x80);
        uint64_t others = only_ascii ? word & EACH(0x80) : 0;
        if ((controls | others | zero_bytes(word ^ EACH('"')) | zero_bytes(word ^ EACH('\\'))) != 0)
            break;
    }
    return at;
}

/* ---- writing ---- */

static void append_escaped(struct buffer *out, unsigned char c)
{
    switch (c) {
    case '"':
        buffer_append(out, "\\\"", 2);
        return;
    case '\\':
        buffer_append(out, "\\\\", 2);
        return;
    case '\n':
        buffer_append(out, "\\n", 2);
        return;
    default:
        buffer_append_format(out, "\\u%s%02x", c < 0x80 ? "00" : "dc", c);
    }
}

void json_append_string(struct buffer *out, const char *text, size_t length)
{
    const unsigned char *p = (const unsigned char *)text;
    buffer_append_char(out, '"');
    size_t plain = 0; /* start of the run that needs no change */
    for (size_t i = 0; i < length;) {
        size_t step = 1;
        size_t run = plain_length(text + i, length - i, true);
        i += run;
        if (run > 0)
            continue;
        if (p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' && p[i] != '\\') {
            i++;
            continue;
        }
        if (p[i] >= 0x80 && (step = utf8_step(p + i, length - i)) > 0) {
            i += step;
            continue;
        }
        buffer_append(out, text + plain, i - plain);
        append_escaped(out, p[i]);
        plain = ++i;
    }
    buffer_append(out, text + plain, length - plain);
    buffer_append_char(out, '"');
}

void json_append_double(struct buffer *out, double value)
{
    if (!isfinite(value))
        buffer_append_text(out, "null");
    else if (value == floor(value) && fabs(value) < 1e15)
        buffer_append_i64(out, (int64_t)value);
    else
        buffer_append_format(out, "%.17g", value);
}

/* ---- reading ---- */

static void fail(struct json_reader *in)
{
    in->failed = true;
    in->at = in->end;
}

static void skip_blanks(struct json_reader *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\n' || *in->at == '\t' || *in->at == '\r'))
        in->at++;
}

/* The next byte that is no blank, not consumed; 0 at the end. */
static char peek(struct json_reader *in)
{
    skip_blanks(in);
    return in->at < in->end ? *in->at : '\0';
}

static bool expect(struct json_reader *in, char c)
{
    if (peek(in) != c || in->failed) {
        fail(in);
        return false;
    }
    in->at++;
    return true;
}

void json_enter(struct json_reader *in, char open)
{
    if (expect(in, open))
        in->first = true;
}

bool json_more(struct json_reader *in, char close)
{
    if (in->failed)
        return false;
    if (peek(in) == close) {
        in->at++;
        in->first = false;
        return false;
    }
    if (!in->first && !expect(in, ','))
        return false;
    in->first = false;
    if (peek(in) == '\0')
        fail(in);
    return !in->failed;
}

static unsigned hex4(struct json_reader *in)
{
    unsigned value = 0;
    if (in->end - in->at < 4) {
        fail(in);
        return 0;
    }
    for (int i = 0; i < 4; i++) {
        char c = *in->at++;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;
        if (digit > 15) {
            fail(in);
            return 0;
        }
        value = value * 16 + digit;
    }
    return value;
}

static void append_utf8(struct buffer *out, unsigned value)
{
    char bytes[4];
    size_t count = value < 0x80 ? 1 : value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = count - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (value & 0x3f));
        value >>= 6;
    }
    bytes[0] = (char)(lead[count] | value);
    buffer_append(out, bytes, count);
}

/* Behind "\u". */
static void read_unicode_escape(struct json_reader *in, struct buffer *out)
{
    unsigned value = hex4(in);
    if (value >= 0xdc80 && value <= 0xdcff) { /* a byte of a path, see json.h */
        buffer_append_char(out, (char)(value & 0xff));
        return;
    }
    if (value >= 0xd800 && value < 0xdc00 && in->end - in->at >= 6 && in->at[0] == '\\' && in->at[1] == 'u') {
        in->at += 2;
        unsigned low = hex4(in);
        if (low < 0xdc00 || low > 0xdfff)
            fail(in);
        value = 0x10000 + ((value - 0xd800) << 10) + (low - 0xdc00);
    } else if (value == 0 || (value >= 0xd800 && value < 0xe000)) {
        fail(in);
    }
    if (!in->failed)
        append_utf8(out, value);
}

static void read_escape(struct json_reader *in, struct buffer *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (in->at >= in->end) {
        fail(in);
        return;
    }
    char c = *in->at++;
    const char *place = c != '\0' ? strchr(from, c) : NULL;
    if (c == 'u')
        read_unicode_escape(in, out);
    else if (place != NULL)
        buffer_append_char(out, to[place - from]);
    else
        fail(in);
}

void json_string(struct json_reader *in, struct buffer *out)
{
    if (!expect(in, '"'))
        return;
    while (!in->failed) {
        const char *start = in->at;
        in->at += plain_length(in->at, (size_t)(in->end - in->at), false);
        while (in->at < in->end && *in->at != '"' && *in->at != '\\' && (unsigned char)*in->at >= 0x20)
            in->at++;
        buffer_append(out, start, (size_t)(in->at - start));
        if (in->at >= in->end || (unsigned char)*in->at < 0x20) {
            fail(in);
        } else if (*in->at++ == '"') {
            return;
        } else {
            read_escape(in, out);
        }
    }
}

void json_key(struct json_reader *in, char *key, size_t size)
{
    key[0] = '\0';
    if (peek(in) != '"') {
        fail(in);
        return;
    }
    const char *start = in->at + 1;
    const char *quote = memchr(start, '"', (size_t)(in->end - start));
    size_t length = quote != NULL ? (size_t)(quote - start) : 0;
    if (quote != NULL && memchr(start, '\\', length) == NULL) { /* every key of ours */
        if (length < size) {
            memcpy(key, start, length);
            key[length] = '\0';
        }
        in->at = quote + 1;
    } else {
        struct buffer other = {0};
        json_string(in, &other);
        buffer_clear(&other);
    }
    (void)expect(in, ':');
}

/* The text of a number or word. */
static size_t scalar(struct json_reader *in, char text[40])
{
    size_t length = 0;
    (void)peek(in);
    while (in->at < in->end && length < 39 &&
           ((*in->at >= '0' && *in->at <= '9') || (*in->at >= 'a' && *in->at <= 'z') || *in->at == 'E' ||
            *in->at == '+' || *in->at == '-' || *in->at == '.'))
        text[length++] = *in->at++;
    text[length] = '\0';
    if (length == 0 || length == 39)
        fail(in);
    return length;
}

static bool digits_only(const char *text)
{
    return text[0] != '\0' && strspn(text, "0123456789") == strlen(text) && strlen(text) <= 20;
}

uint64_t json_u64(struct json_reader *in)
{
    char text[40];
    (void)scalar(in, text);
    uint64_t value = 0;
    bool overflow = !digits_only(text);
    for (const char *c = text; !overflow && *c != '\0'; c++)
        overflow = __builtin_mul_overflow(value, (uint64_t)10, &value) ||
                   __builtin_add_overflow(value, (uint64_t)(*c - '0'), &value);
    if (overflow)
        fail(in);
    return in->failed ? 0 : value;
}

size_t json_string_nul(struct json_reader *in, struct buffer *out)
{
    size_t offset = out->length;
    json_string(in, out);
    buffer_append_char(out, '\0');
    return offset;
}

uint64_t json_u64_max(struct json_reader *in, uint64_t maximum)
{
    uint64_t value = json_u64(in);
    if (value > maximum)
        in->failed = true;
    return in->failed ? 0 : value;
}

int64_t json_i64(struct json_reader *in)
{
    bool negative = peek(in) == '-';
    if (negative)
        in->at++;
    uint64_t value = json_u64(in);
    if (value > (uint64_t)INT64_MAX)
        fail(in);
    return in->failed ? 0 : negative ? -(int64_t)value : (int64_t)value;
}

double json_double(struct json_reader *in)
{
    char text[40], *end;
    (void)scalar(in, text);
    if (strcmp(text, "null") == 0)
        return 0;
    double value = strtod(text, &end);
    if (*end != '\0' || !isfinite(value) || strpbrk(text, "xXn") != NULL)
        fail(in);
    return in->failed ? 0 : value;
}

bool json_bool(struct json_reader *in)
{
    char text[40];
    (void)scalar(in, text);
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        fail(in);
    return !in->failed && text[0] == 't';
}

/* Step over one token of a value: a whole string or scalar, or one bracket, which changes *depth. */
static void skip_token(struct json_reader *in, unsigned *depth, struct buffer *scratch)
{
    char text[40];
    switch (peek(in)) {
    case '"':
        json_string(in, scratch);
        buffer_truncate(scratch, 0);
        break;
    case '{':
    case '[':
        if (++*depth > NESTING_MAX)
            fail(in);
        else
            in->at++;
        break;
    case '}':
    case ']':
        if (*depth == 0)
            fail(in);
        else
            --*depth, in->at++;
        break;
    case ',':
    case ':':
        if (*depth == 0)
            fail(in);
        else
            in->at++;
        break;
    default:
        (void)scalar(in, text);
    }
}

/* Members of a newer version are passed over: their brackets are counted, their grammar is not checked. */
void json_skip(struct json_reader *in)
{
    struct buffer scratch = {0};
    unsigned depth = 0;
    do
        skip_token(in, &depth, &scratch);
    while (depth > 0 && !in->failed);
    buffer_clear(&scratch);
}

bool json_end(struct json_reader *in)
{
    skip_blanks(in);
    return !in->failed && in->at == in->end;
}
