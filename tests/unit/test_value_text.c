/* Values as the text of a cell. What stands under `niffler` is what pydicom 2.3.1 and pandas 1.5.3 give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/value_text.h"

static struct wire_element make(const char *vr, const void *bytes, size_t length)
{
    struct wire_element element = {.kind = WIRE_VALUE, .tag = 0x00100010, .bytes = bytes};
    memcpy(element.vr, vr, 2);
    element.length = (uint32_t)length;
    element.full_length = length;
    return element;
}

static const struct {
    const char *vr;
    const char *bytes;
    size_t length;
    const char *niffler, *dicom;
} cases[] = {
#define ROW(vr, bytes, niffler, dicom)              \
    {                                               \
        vr, bytes, sizeof bytes - 1, niffler, dicom \
    }
    ROW("LO", "abc ", "abc", "abc"),
    ROW("LO", "  abc \0", "  abc", "  abc"),
    ROW("LO", "a \\b", "('a', 'b')", "a\\b"),
    ROW("LO", "a\\", "('a', '')", "a\\"),
    ROW("CS", "A \\B ", "('A ', 'B')", "A\\B"),
    ROW("CS", "O'X\\B", "(\"O'X\", 'B')", "O'X\\B"),
    ROW("AE", " PACS ", "PACS", "PACS"),
    ROW("UI", "1.2.3\0", "1.2.3", "1.2.3"),
    ROW("UI", "1.2\\1.3\0", "('1.2', '1.3')", "1.2\\1.3"),
    ROW("LT", "a\\b\r\nc ", "a\\b\r\nc", "a\\b\r\nc"),
    ROW("ST", "", "", ""),
    ROW("PN", "A^B=I=P", "A^B=I=P", "A^B=I=P"),
    ROW("PN", "A^B== ", "A^B", "A^B"),
    ROW("PN", "A^B==\\C= ", "('A^B', 'C')", "A^B\\C"),
    ROW("DS", "5 ", "5.0", "5"),
    ROW("DS", "0.00001", "1e-05", "0.00001"),
    ROW("DS", "1.80", "1.8", "1.80"),
    ROW("DS", "0.5\\.25 ", "('0.5', '0.25')", "0.5\\.25"),
    ROW("DS", "1\\\\2", "('1.0', '', '2.0')", "1\\\\2"),
    ROW("DS", "5,0", "5,0", "5,0"),
    ROW("DS", "1.5\\xx", "('1.5', 'xx')", "1.5\\xx"),
    ROW("DS", "nan ", "", "nan"),
    ROW("DS", "  ", "", ""),
    ROW("IS", "007 ", "007", "007"),
    ROW("IS", "1\\02", "('1', '2')", "1\\02"),
    ROW("IS", "abc ", "abc", "abc"),
    ROW("IS", "1\\x", "('1', 'x')", "1\\x"),
    ROW("US", "\x10\x00", "16", "16"),
    ROW("US", "\0\0\0\1\0\1\0\0", "[0, 256, 256, 0]", "0\\256\\256\\0"),
    ROW("SS", "\xff\xff", "-1", "-1"),
    ROW("SL", "\0\0\0\x80", "-2147483648", "-2147483648"),
    ROW("UL", "\xff\xff\xff\xff", "4294967295", "4294967295"),
    ROW("SV", "\0\0\0\0\0\0\0\x80", "-9223372036854775808", "-9223372036854775808"),
    ROW("UV", "\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615", "18446744073709551615"),
    ROW("FL", "\xcd\xcc\xcc\x3d", "0.10000000149011612", "0.1"),
    ROW("FD", "\0\0\0\0\0\0\x14\x40", "5.0", "5"),
    ROW("FD", "\0\0\0\0\0\0\xf8\x7f", "", "nan"),
    ROW("FD", "\0\0\0\0\0\0\xf0\x7f", "inf", "inf"),
    ROW("AT", "\x18\0\x63\x10", "1577059", "(0018,1063)"),
    ROW("AT", "\x18\0\x63\x10\x18\0\x6a\x10", "((0018, 1063), (0018, 106a))", "(0018,1063)\\(0018,106A)"),
    ROW("OB", "\0\1", "b'\\x00\\x01'", "<OB 2 bytes>"),
    ROW("UN", "a", "b'a'", "<UN 1 byte>"),
    ROW("OW", "", "", ""),
    ROW("US", "\1\2\3", "b'\\x01\\x02\\x03'", "<US 3 bytes>"),
    ROW("LO",
        "a\x1b\x7f"
        "b",
        "a\x1b\x7f"
        "b",
        "a\xe2\x90\x9b\xe2\x90\xa1"
        "b"),
    ROW("LO", "a\0b", "a",
        "a\xe2\x90\x80"
        "b"),
    ROW("LO", "a\0\\b\x10", "('a', 'b\\x10')", "a\\b\xe2\x90\x90"),
    ROW("LO", "\xef\xbf\xbd", "\xef\xbf\xbd", "\xef\xbf\xbd"),
#undef ROW
};

static void writes_both_formats(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire_element element = make(cases[i].vr, cases[i].bytes, cases[i].length);
        struct buffer out = {0};
        value_text_append(&out, &element, VALUE_FORMAT_NIFFLER, 0);
        assert_string_equal(buffer_text(&out), cases[i].niffler);
        assert_int_equal(out.length, strlen(cases[i].niffler));
        buffer_truncate(&out, 0);
        value_text_append(&out, &element, VALUE_FORMAT_DICOM, 0);
        assert_string_equal(buffer_text(&out), cases[i].dicom);
        assert_int_equal(out.length, strlen(cases[i].dicom));
        buffer_clear(&out);
    }
}

static void check_repr(const char *vr, const char *bytes, size_t length, const char *want)
{
    struct wire_element element = make(vr, bytes, length);
    struct buffer out = {0};
    value_text_append_repr(&out, &element);
    assert_string_equal(buffer_text(&out), want);
    buffer_clear(&out);
}

static void writes_repr(void **state)
{
    (void)state;
    check_repr("LO", "a", 1, "'a'");
    check_repr("LO", "", 0, "''");
    check_repr("DS", "", 0, "None");
    check_repr("DS", "5", 1, "5.0");
    check_repr("DS", "nan", 3, "nan");
    check_repr("IS", "05", 2, "'05'");
    check_repr("US", "\1\0", 2, "1");
    check_repr("US", "\1\0\2\0", 4, "[1, 2]");
    check_repr("AT", "\x18\0\x63\x10", 4, "(0018, 1063)");
    check_repr("OB", "\1", 1, "b'\\x01'");
}

/* The first number of a lookup table's descriptor is unsigned, whatever its VR; a VR that pydicom chose makes
 * a tuple. */
static void knows_lookup_tables(void **state)
{
    struct wire_element element = make("SS", "\xff\xff\xff\xff\x10\0", 6);
    struct buffer out = {0};
    (void)state;
    element.tag = 0x00281101;
    element.flags = WIRE_VALUE_CHOSEN_VR;
    value_text_append(&out, &element, VALUE_FORMAT_NIFFLER, 0);
    assert_string_equal(buffer_text(&out), "(65535, -1, 16)");
    buffer_clear(&out);
}

static void check_cut(struct wire_element element, enum value_format format, uint64_t max, const char *want)
{
    struct buffer out = {0};
    buffer_append_text(&out, "x");
    value_text_append(&out, &element, format, max);
    assert_string_equal(buffer_text(&out) + 1, want);
    buffer_clear(&out);
}

static void cuts_long_values(void **state)
{
    (void)state;
    struct wire_element element = make("LT",
                                       "abc\xc3\xa9"
                                       "defgh",
                                       10);
    check_cut(element, VALUE_FORMAT_DICOM, 10,
              "abc\xc3\xa9"
              "defgh");
    check_cut(element, VALUE_FORMAT_DICOM, 9,
              "abc\xc3\xa9"
              "defg\xe2\x80\xa6[cut, 10 bytes]");
    check_cut(element, VALUE_FORMAT_DICOM, 4, "abc\xe2\x80\xa6[cut, 10 bytes]");
    check_cut(element, VALUE_FORMAT_NIFFLER, 4, "abc\xe2\x80\xa6[cut, 10 bytes]");

    /* The decoder has already left something out. */
    element.flags = WIRE_VALUE_CUT;
    element.full_length = 9000;
    check_cut(element, VALUE_FORMAT_DICOM, 4096,
              "abc\xc3\xa9"
              "defgh\xe2\x80\xa6[cut, 9000 bytes]");

    /* A summary says how long the value is and is never cut itself. */
    element = make("OW", "\0\1", 2);
    element.flags = WIRE_VALUE_CUT;
    element.full_length = 524288;
    check_cut(element, VALUE_FORMAT_DICOM, 4, "<OW 524288 bytes>");

    /* Half a number at the cut is left out. */
    element = make("US", "\1\0\2\0\3", 5);
    element.flags = WIRE_VALUE_CUT;
    element.full_length = 8;
    check_cut(element, VALUE_FORMAT_DICOM, 0, "1\\2\xe2\x80\xa6[cut, 8 bytes]");
}

static void tells_what_niffler_drops(void **state)
{
    (void)state;
    struct wire_element element = make("IS", "1.5 ", 4);
    assert_true(value_text_is_dropped(&element));
    element = make("IS", "1\\1.5", 5);
    assert_true(value_text_is_dropped(&element));
    element = make("IS", "1\\abc", 5);
    assert_false(value_text_is_dropped(&element));
    element = make("IS", "1.0", 3);
    assert_false(value_text_is_dropped(&element));
    element = make("DS", "1.5", 3);
    assert_false(value_text_is_dropped(&element));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_both_formats),      cmocka_unit_test(writes_repr),
        cmocka_unit_test(knows_lookup_tables),      cmocka_unit_test(cuts_long_values),
        cmocka_unit_test(tells_what_niffler_drops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
