/* Text in every character set of PS3.3 C.12.1.1.2. The names are those of PS3.5 Annexes H to K, other
 * characters are those of the Unicode mapping tables of their sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/utf8.h"
#include "worker/decoder/dicom/charset.h"

#define MARK "\xef\xbf\xbd" /* U+FFFD */

struct sample {
    const char *set;
    bool is_person_name;
    const char *text;
    const char *want;
    bool has_unknown;
};

static int open_tables(void **state)
{
    *state = charset_tables_new();
    return 0;
}

static int close_tables(void **state)
{
    charset_tables_free(*state);
    return 0;
}

static void check(const struct charset_tables *tables, const struct sample *sample)
{
    struct buffer out = {0};
    struct charset set = charset_parse(sample->set, strlen(sample->set));
    bool known = charset_append(tables, set, sample->is_person_name, (const uint8_t *)sample->text,
                                strlen(sample->text), &out);
    assert_string_equal(buffer_text(&out), sample->want);
    assert_int_equal(known, !sample->has_unknown);
    buffer_clear(&out);
}

static void check_all(const struct charset_tables *tables, const struct sample *samples, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check(tables, &samples[i]);
}

#define CHECK_ALL(tables, samples) check_all(tables, samples, sizeof(samples) / sizeof *(samples))

/* A byte of each set that no other one of them reads the same. */
static void reads_single_byte_sets(void **state)
{
    static const struct sample samples[] = {
        {"", false, "\xc4neas", "Äneas", false},
        {"ISO_IR 6", false, "\xc4neas", "Äneas", false},
        {"ISO_IR 100", false, "Buc^J\xe9r\xf4me", "Buc^Jérôme", false},
        {"ISO_IR 101", false, "Wa\xb3\xeasa", "Wałęsa", false},
        {"ISO_IR 109", false, "anta\xfd", "antaŭ", false},
        {"ISO_IR 110", false, "R\xefga\xbf", "Rīgaŋ", false},
        {"ISO_IR 144", false, "\xbb\xee\xda\x63\x65\xdc\xd1\xe3\xe0\xd3", "Люкceмбург", false},
        {"ISO_IR 127", false, "\xe2\xc8\xc7\xe6\xea\x5e\xe4\xe6\xd2\xc7\xd1", "قباني^لنزار", false},
        {"ISO_IR 126", false, "\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", "Διονυσιος", false},
        {"ISO_IR 138", false, "\xf9\xf8\xe5\xef\x5e\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה", false},
        {"ISO_IR 148", false,
         "\xc7"
         "avu\xfeo\xf0lu",
         "Çavuşoğlu", false},
        {"ISO_IR 203", false, "\xa4 \xbcuvre", "€ Œuvre", false},
        {"ISO_IR 166", false, "\xb9\xd2\xc2", "นาย", false},
        {"ISO_IR 13", true, "\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ", false},
    };
    CHECK_ALL(*state, samples);
}

static void reads_stand_alone_sets(void **state)
{
    static const struct sample samples[] = {
        {"ISO_IR 192", true, "Wang^XiaoDong=王^小東", "Wang^XiaoDong=王^小東", false},
        {"GB18030", true, "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东", false},
        {"GBK", true, "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东", false},
        {"ISO 2022 GBK", true, "\xcd\xf5", "王", false},
        {"GB18030", false, "\x81\x30\x89\x38", "ß", false}, /* four bytes */
        /* A trail byte 5C or 5E is no delimiter. */
        {"GB18030", false, "\x81\x5c\\\x81\x5e", "乗\\乛", false},
        {"GBK", false, "\x81\x5c\\\x81\x5e", "乗\\乛", false},
    };
    CHECK_ALL(*state, samples);
}

#define YAMADA "\x1b$B;3ED"
#define TAROU "\x1b$BB@O:"
#define YAMADA_KANA "\x1b$B$d$^$@"
#define TAROU_KANA "\x1b$B$?$m$&"

static void follows_escape_sequences(void **state)
{
    static const struct sample samples[] = {
        /* H.3.1 */
        {"\\ISO 2022 IR 87", true,
         "Yamada^Tarou=" YAMADA "\x1b(B^" TAROU "\x1b(B=" YAMADA_KANA "\x1b(B^" TAROU_KANA "\x1b(B",
         "Yamada^Tarou=山田^太郎=やまだ^たろう", false},
        /* H.3.2 */
        {"ISO 2022 IR 13\\ISO 2022 IR 87", true,
         "\xd4\xcf\xc0\xde^\xc0\xdb\xb3=" YAMADA "\x1b(J^" TAROU "\x1b(J=" YAMADA_KANA "\x1b(J^" TAROU_KANA
         "\x1b(J",
         "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう", false},
        /* I.2 */
        {"\\ISO 2022 IR 149", true,
         "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
         "Hong^Gildong=洪^吉洞=홍^길동", false},
        /* K.2 */
        {"\\ISO 2022 IR 58", true,
         "Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东=", false},
        {"\\ISO 2022 IR 159", false, "\x1b$(D0!\x1b(B.", "丂.", false},
        {"ISO 2022 IR 100\\ISO 2022 IR 144", false, "\xe9 \x1b-L\xbb", "é Л", false},
        {"ISO 2022 IR 100\\ISO 2022 IR 126", false, "\x1b-F\xc4\x1b-A\xe4", "Δä", false},
        /* The kanji 3D 5C holds the bytes of '=' and '\'. */
        {"\\ISO 2022 IR 87", true, "\x1b$B=\\\x1b(B=x", "旬=x", false},
    };
    CHECK_ALL(*state, samples);
}

/* PS3.5 6.1.2.5.3: delimiters end the reach of an escape sequence. */
static void resets_at_delimiters(void **state)
{
    static const struct sample samples[] = {
        {"ISO 2022 IR 100\\ISO 2022 IR 144", false, "\x1b-L\xbb\r\n\xbb", "Л\r\n»", false},
        {"ISO 2022 IR 100\\ISO 2022 IR 144", false, "\x1b-L\xbb\\\xbb", "Л\\»", false},
        {"ISO 2022 IR 100\\ISO 2022 IR 144", true, "\x1b-L\xbb^\xbb", "Л^»", false},
        {"ISO 2022 IR 100\\ISO 2022 IR 144", true, "\x1b-L\xbb=\xbb", "Л=»", false},
        {"ISO 2022 IR 100\\ISO 2022 IR 144", false, "\x1b-L\xbb^=\xbb", "Л^=Л", false},
    };
    CHECK_ALL(*state, samples);
}

static void marks_what_is_unknown(void **state)
{
    static const struct sample samples[] = {
        {"ISO_IR 192", false, "a\xff\x62", "a" MARK "b", true},
        {"ISO_IR 192", false, "\xed\xa0\x80", MARK MARK MARK, true}, /* a surrogate */
        {"ISO_IR 192", false, "ab\xc3", "ab" MARK, true},
        {"ISO_IR 127", false, "a\xa1z", "a" MARK "z", true},
        {"ISO_IR 13", false, "a\xf0z", "a" MARK "z", true},
        {"GB18030", false, "a\xff", "a" MARK, true},
        {"GB18030", false, "ab\xcd", "ab" MARK, true},
    };
    CHECK_ALL(*state, samples);
}

static void understands_misspellings(void **state)
{
    static const struct sample samples[] = {
        {"ISO-IR 144", false, "\xbb", "Л", false},
        {"ISO IR 144", false, "\xbb", "Л", false},
        {"ISO_IR_144", false, "\xbb", "Л", false},
        {"ISO 2022-IR 144", false, "\xbb", "Л", false},
        {" ISO_IR 144 ", false, "\xbb", "Л", false},
        {"utf8", false, "Л", "Л", false},
        {"UTF-8", false, "Л", "Л", false},
        {"ISO_IR 999", false, "\xbb", "»", false},
        {"NOTHING KNOWN", false, "\xbb", "»", false},
        {"ISO_IR 12345678901", false, "\xbb", "»", false},
        {"ISO 2022 IR 144", false, "\xbb", "Л", false},
    };
    CHECK_ALL(*state, samples);
}

static void reads_latin1_as_such(void **state)
{
    struct buffer out = {0};
    uint8_t all[256];
    (void)state;
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)i;
    charset_append_latin1(all, sizeof all, &out);
    assert_int_equal(out.length, 128 + 2 * 128);
    assert_memory_equal(out.data, all, 128);
    for (size_t i = 0; i < 128; i++) {
        unsigned char high = (unsigned char)out.data[128 + 2 * i], low = (unsigned char)out.data[129 + 2 * i];
        assert_int_equal((high & 0x1f) << 6 | (low & 0x3f), 128 + i);
    }
    assert_true(utf8_is_valid(out.data, out.length));
    buffer_clear(&out);
}

/* Whatever stands in a value, UTF-8 comes out; and the same value gives the same text again, though
 * converters have a memory. */
static void gives_utf8_for_any_bytes(void **state)
{
    static const char *const sets[] = {"",
                                       "ISO_IR 109",
                                       "ISO_IR 13",
                                       "ISO_IR 166",
                                       "ISO_IR 192",
                                       "GB18030",
                                       "GBK",
                                       "ISO 2022 IR 149",
                                       "ISO 2022 IR 58",
                                       "\\ISO 2022 IR 87\\ISO 2022 IR 159",
                                       "ISO 2022 IR 13\\ISO 2022 IR 87"};
    static const char *const starts[] = {"",       "\x1b(B",  "\x1b(J",  "\x1b)I", "\x1b$B", "\x1b$(D",
                                         "\x1b-L", "\x1b$)C", "\x1b$)A", "\x1b$",  "\x1b"};
    uint64_t seed = 20260113;
    struct buffer text = {0}, once = {0}, again = {0};
    for (unsigned round = 0; round < 20000; round++) {
        struct charset set = charset_parse(sets[round % 11], strlen(sets[round % 11]));
        buffer_truncate(&text, 0);
        buffer_truncate(&once, 0);
        buffer_truncate(&again, 0);
        for (unsigned part = 0; part < 3; part++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            buffer_append_text(&text, starts[(seed >> 33) % 11]);
            for (unsigned i = 0; i < (seed >> 40) % 9; i++)
                buffer_append_char(&text, (char)(unsigned char)(seed >> (5 * i)));
        }
        bool known =
            charset_append(*state, set, round % 2 == 0, (const uint8_t *)text.data, text.length, &once);
        assert_true(utf8_is_valid(once.data, once.length));
        if (!known)
            assert_non_null(memmem(once.data, once.length, MARK, 3));
        assert_int_equal(
            charset_append(*state, set, round % 2 == 0, (const uint8_t *)text.data, text.length, &again),
            known);
        assert_int_equal(once.length, again.length);
        assert_memory_equal(once.data, again.data, once.length);
    }
    buffer_clear(&text);
    buffer_clear(&once);
    buffer_clear(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_single_byte_sets),   cmocka_unit_test(reads_stand_alone_sets),
        cmocka_unit_test(follows_escape_sequences), cmocka_unit_test(resets_at_delimiters),
        cmocka_unit_test(marks_what_is_unknown),    cmocka_unit_test(understands_misspellings),
        cmocka_unit_test(reads_latin1_as_such),     cmocka_unit_test(gives_utf8_for_any_bytes),
    };
    return cmocka_run_group_tests(tests, open_tables, close_tables);
}
