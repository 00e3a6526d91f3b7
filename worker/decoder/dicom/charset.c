#include "worker/decoder/dicom/charset.h"

#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define ESCAPE 0x1b

/* Code pages: the single-byte ones are tables of their upper half, the others iconv's. */
enum page {
    PAGE_LATIN1,
    PAGE_LATIN2,
    PAGE_LATIN3,
    PAGE_LATIN4,
    PAGE_CYRILLIC,
    PAGE_ARABIC,
    PAGE_GREEK,
    PAGE_HEBREW,
    PAGE_LATIN5,
    PAGE_LATIN9,
    PAGE_THAI,
    SINGLE_BYTE_PAGES,
    PAGE_JIS_X0201 = SINGLE_BYTE_PAGES, /* half-width katakana above 127 */
    PAGE_UTF8,
    PAGE_GB18030,
    PAGE_GBK,
    PAGE_EUC_KR, /* KS X 1001 in G1 */
    PAGE_EUC_CN, /* GB 2312 in G1   */
    PAGE_EUC_JP, /* JIS X 0208 and 0212, moved up from G0 */
    PAGE_COUNT,
};

static const char *const page_names[PAGE_COUNT] = {
    "ISO-8859-1", "ISO-8859-2", "ISO-8859-3", "ISO-8859-4",  "ISO-8859-5", "ISO-8859-6",
    "ISO-8859-7", "ISO-8859-8", "ISO-8859-9", "ISO-8859-15", "TIS-620",    NULL,
    NULL,         "GB18030",    "GBK",        "EUC-KR",      "EUC-CN",     "EUC-JP",
};

struct charset_tables {
    char upper[SINGLE_BYTE_PAGES][128][4]; /* UTF-8 of byte 128 + i, NUL-terminated; empty: unknown */
    iconv_t pages[PAGE_COUNT];             /* of the multi-byte ones */
};

#define NO_PAGE ((iconv_t)(-1))

static void load_table(char upper[128][4], iconv_t page)
{
    for (unsigned i = 0; i < 128; i++) {
        char byte = (char)(unsigned char)(128 + i), utf8[8] = "";
        char *from = &byte, *to = utf8;
        size_t from_left = 1, to_left = sizeof utf8;
        (void)iconv(page, NULL, NULL, NULL, NULL);
        size_t result = iconv(page, &from, &from_left, &to, &to_left);
        size_t length = sizeof utf8 - to_left;
        memset(upper[i], 0, 4);
        if (result != (size_t)-1 && length < 4)
            memcpy(upper[i], utf8, length);
    }
}

struct charset_tables *charset_tables_new(void)
{
    struct charset_tables *tables = xcalloc(1, sizeof *tables);
    for (unsigned i = 0; i < PAGE_COUNT; i++) {
        tables->pages[i] = page_names[i] != NULL ? iconv_open("UTF-8", page_names[i]) : NO_PAGE;
        if (i < SINGLE_BYTE_PAGES && tables->pages[i] != NO_PAGE) {
            load_table(tables->upper[i], tables->pages[i]);
            (void)iconv_close(tables->pages[i]);
            tables->pages[i] = NO_PAGE;
        }
    }
    return tables;
}

void charset_tables_free(struct charset_tables *tables)
{
    if (tables == NULL)
        return;
    for (unsigned i = 0; i < PAGE_COUNT; i++)
        if (tables->pages[i] != NO_PAGE)
            (void)iconv_close(tables->pages[i]);
    free(tables);
}

/* ---- SpecificCharacterSet ---- */

/* Registration numbers, of "ISO_IR n" and "ISO 2022 IR n" alike. */
static const struct {
    const char *number;
    enum page page;
} registrations[] = {
    {"6", PAGE_LATIN1},     {"100", PAGE_LATIN1},   {"101", PAGE_LATIN2}, {"109", PAGE_LATIN3},
    {"110", PAGE_LATIN4},   {"144", PAGE_CYRILLIC}, {"127", PAGE_ARABIC}, {"126", PAGE_GREEK},
    {"138", PAGE_HEBREW},   {"148", PAGE_LATIN5},   {"203", PAGE_LATIN9}, {"166", PAGE_THAI},
    {"13", PAGE_JIS_X0201}, {"14", PAGE_JIS_X0201}, {"192", PAGE_UTF8},   {"149", PAGE_EUC_KR},
    {"58", PAGE_EUC_CN},    {"87", PAGE_LATIN1},    {"159", PAGE_LATIN1},
};

static enum page parse_page(const char *value, size_t length)
{
    char number[8] = "";
    size_t digits = 0, at = length;
    if (length >= 7 && memcmp(value, "GB18030", 7) == 0)
        return PAGE_GB18030;
    if (length >= 3 && memcmp(value + length - 3, "GBK", 3) == 0)
        return PAGE_GBK;
    if (length < 3 || (value[0] != 'I' && value[0] != 'i'))
        return length >= 4 && strncasecmp(value, "utf", 3) == 0 && value[length - 1] == '8' ? PAGE_UTF8
                                                                                            : PAGE_LATIN1;
    while (at > 0 && value[at - 1] >= '0' && value[at - 1] <= '9')
        at--;
    digits = length - at;
    if (digits == 0 || digits >= sizeof number)
        return PAGE_LATIN1;
    memcpy(number, value + at, digits);
    for (size_t i = 0; i < sizeof registrations / sizeof *registrations; i++)
        if (strcmp(number, registrations[i].number) == 0)
            return registrations[i].page;
    return PAGE_LATIN1;
}

struct charset charset_parse(const char *value, size_t length)
{
    const char *slash = memchr(value, '\\', length);
    size_t first = slash != NULL ? (size_t)(slash - value) : length;
    while (first > 0 && (value[first - 1] == ' ' || value[first - 1] == '\0'))
        first--;
    while (first > 0 && *value == ' ')
        value++, first--;
    return (struct charset){(uint8_t)parse_page(value, first), slash != NULL};
}

/* ---- conversion ---- */

void charset_append_latin1(const uint8_t *text, size_t length, struct buffer *out)
{
    char *place = buffer_reserve(out, 2 * length);
    char *start = place;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x80) {
            *place++ = (char)text[i];
        } else {
            *place++ = (char)(unsigned char)(0xc0 | text[i] >> 6);
            *place++ = (char)(unsigned char)(0x80 | (text[i] & 0x3f));
        }
    }
    out->length += (size_t)(place - start);
}

static bool append_utf8(const uint8_t *text, size_t length, struct buffer *out)
{
    bool known = true;
    for (size_t at = 0; at < length;) {
        size_t step = utf8_step(text + at, length - at);
        if (step > 0)
            buffer_append(out, text + at, step);
        else
            buffer_append_text(out, REPLACEMENT);
        known &= step > 0;
        at += step > 0 ? step : 1;
    }
    return known;
}

/* A run in a multi-byte page; what it refuses becomes U+FFFD, a byte at a time. */
static bool append_iconv(iconv_t page, const uint8_t *text, size_t length, struct buffer *out)
{
    bool known = true;
    char *from;
    size_t from_left = length;
    memcpy(&from, &text, sizeof from); /* iconv() only reads it */
    if (page == NO_PAGE) {             /* a C library without this page */
        for (size_t i = 0; i < length; i++)
            buffer_append_text(out, REPLACEMENT);
        return length == 0;
    }
    (void)iconv(page, NULL, NULL, NULL, NULL);
    while (from_left > 0) {
        char *to = buffer_reserve(out, 4 * from_left + 8), *start = to;
        size_t to_left = 4 * from_left + 8;
        size_t result = iconv(page, &from, &from_left, &to, &to_left);
        out->length += (size_t)(to - start);
        if (result != (size_t)-1)
            break;
        buffer_append_text(out, REPLACEMENT);
        known = false;
        if (from_left > 0)
            from++, from_left--;
        (void)iconv(page, NULL, NULL, NULL, NULL);
    }
    return known;
}

static bool append_single(const struct charset_tables *tables, enum page page, uint8_t byte,
                          struct buffer *out)
{
    if (byte < 0x80) {
        buffer_append_char(out, (char)byte);
        return true;
    }
    if (page == PAGE_JIS_X0201) {
        if (byte < 0xa1 || byte > 0xdf) {
            buffer_append_text(out, REPLACEMENT);
            return false;
        }
        unsigned value = 0xff61u + byte - 0xa1u;
        char utf8[3] = {(char)(unsigned char)(0xe0 | value >> 12),
                        (char)(unsigned char)(0x80 | (value >> 6 & 0x3f)),
                        (char)(unsigned char)(0x80 | (value & 0x3f))};
        buffer_append(out, utf8, sizeof utf8);
        return true;
    }
    const char *utf8 = tables->upper[page < SINGLE_BYTE_PAGES ? page : PAGE_LATIN1][byte - 128];
    buffer_append_text(out, utf8[0] != '\0' ? utf8 : REPLACEMENT);
    return utf8[0] != '\0';
}

/* ISO 2022: what the two halves of the code table hold at the moment. */
struct state {
    uint8_t g0_pair; /* 0: single bytes; 2: JIS X 0208; 3: JIS X 0212 */
    enum page g1;
};

static const struct {
    const char *code; /* behind ESC */
    int g0_pair;      /* -1: G0 stays */
    int g1;           /* -1: G1 stays */
} escapes[] = {
    {"(B", 0, -1},
    {"(J", 0, -1},
    {")I", -1, PAGE_JIS_X0201},
    {"$B", 2, -1},
    {"$@", 2, -1},
    {"$(D", 3, -1},
    {"-A", -1, PAGE_LATIN1},
    {"-B", -1, PAGE_LATIN2},
    {"-C", -1, PAGE_LATIN3},
    {"-D", -1, PAGE_LATIN4},
    {"-F", -1, PAGE_GREEK},
    {"-G", -1, PAGE_ARABIC},
    {"-H", -1, PAGE_HEBREW},
    {"-L", -1, PAGE_CYRILLIC},
    {"-M", -1, PAGE_LATIN5},
    {"-T", -1, PAGE_THAI},
    {"-b", -1, PAGE_LATIN9},
    {"$)C", -1, PAGE_EUC_KR},
    {"$)A", -1, PAGE_EUC_CN},
};

/* Length of the known escape sequence at `text` (an ESC), 0 for none. */
static size_t follow_escape(const uint8_t *text, size_t left, struct state *state)
{
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        size_t length = strlen(escapes[i].code);
        if (left < length + 1 || memcmp(text + 1, escapes[i].code, length) != 0)
            continue;
        if (escapes[i].g0_pair >= 0)
            state->g0_pair = (uint8_t)escapes[i].g0_pair;
        if (escapes[i].g1 >= 0)
            state->g1 = (enum page)escapes[i].g1;
        return length + 1;
    }
    return 0;
}

/* PS3.5 6.1.2.5.3: what ends the reach of an escape sequence. */
static bool is_reset(uint8_t byte, bool is_person_name)
{
    return byte == '\r' || byte == '\n' || byte == '\f' || byte == '\t' || byte == '\\' ||
           (is_person_name && (byte == '^' || byte == '='));
}

static bool append_2022(const struct charset_tables *tables, struct charset set, bool is_person_name,
                        const uint8_t *text, size_t length, struct buffer *out)
{
    const struct state initial = {0, set.first};
    struct state state = initial;
    bool known = true;
    for (size_t at = 0; at < length;) {
        uint8_t byte = text[at];
        size_t escape = byte == ESCAPE ? follow_escape(text + at, length - at, &state) : 0;
        bool has_pair = at + 1 < length && ((text[at + 1] ^ byte) & 0x80) == 0;
        uint8_t pair[3] = {0x8f, (uint8_t)(byte | 0x80), has_pair ? (uint8_t)(text[at + 1] | 0x80) : 0};
        bool is_graphic = byte > 0x20 && byte < 0x7f;
        if (escape > 0) {
            at += escape;
        } else if (state.g0_pair > 0 && is_graphic &&
                   !(has_pair && text[at + 1] > 0x20 && text[at + 1] < 0x7f)) {
            buffer_append_text(out, REPLACEMENT); /* half a character; what follows may be an escape */
            known = false;
            at++;
        } else if (state.g0_pair > 0 && is_graphic) {
            bool is_0212 = state.g0_pair == 3;
            known &= append_iconv(tables->pages[PAGE_EUC_JP], pair + !is_0212, is_0212 ? 3 : 2, out);
            at += 2;
        } else if (byte >= 0x80 && state.g1 > PAGE_UTF8 && has_pair) {
            known &= append_iconv(tables->pages[state.g1], pair + 1, 2, out);
            at += 2;
        } else {
            if (is_reset(byte, is_person_name))
                state = initial;
            known &= append_single(tables, state.g1, byte, out);
            at++;
        }
    }
    return known;
}

bool charset_append(const struct charset_tables *tables, struct charset set, bool is_person_name,
                    const uint8_t *text, size_t length, struct buffer *out)
{
    if (set.first == PAGE_UTF8)
        return append_utf8(text, length, out);
    if (set.first == PAGE_GB18030 || set.first == PAGE_GBK)
        return append_iconv(tables->pages[set.first], text, length, out);
    if (set.first == PAGE_LATIN1 && memchr(text, ESCAPE, length) == NULL) {
        charset_append_latin1(text, length, out);
        return true;
    }
    return append_2022(tables, set, is_person_name, text, length, out);
}
