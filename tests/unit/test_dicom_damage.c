/* Damaged DICOM files: truncated at every position, each byte changed, many at random. Nothing may crash, and
 * what the worker gets is well-formed. The seeds are fixed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/dicom_files.h"

typedef void build_fn(struct builder *b);

static void build_explicit(struct builder *b)
{
    build_meta(b, EXPLICIT_LITTLE);
    build_data_set(b);
}

static void build_implicit(struct builder *b)
{
    b->implicit_vr = true;
    build_meta(b, IMPLICIT_LITTLE);
    build_data_set(b);
}

static void build_big(struct builder *b)
{
    b->big_endian = true;
    build_meta(b, EXPLICIT_BIG);
    build_data_set(b);
}

static void build_encapsulated(struct builder *b)
{
    build_meta(b, JPEG_BASELINE);
    build_text(b, CHARACTER_SET, "CS", "\\ISO 2022 IR 87");
    build_text(b, NAME, "PN", "Yamada=\x1b$B;3ED\x1b(B");
    build_header(b, PIXELS, "OB", UNDEFINED);
    build_header(b, ITEM, "", 0);
    build_text(b, ITEM, "", "fragment");
    build_header(b, SEQUENCE_END, "", 0);
    build_text(b, PADDING, "OB", "xx");
}

static build_fn *const builders[] = {build_explicit, build_implicit,     build_big,
                                     build_deflated, build_encapsulated, build_data_set};

/* Read it in both characters of behaviour: whatever comes out is well-formed, and pixels lie within. */
static void try_damaged(struct dicom *dcm, const uint8_t *bytes, size_t length)
{
    struct options options = test_options;
    struct buffer out = {0};
    struct error err;
    for (int niffler = 0; niffler < 2; niffler++) {
        options.compatibility_niffler = niffler == 1;
        options.public_headers_only = length % 2 == 0;
        bool ok = dicom_read_memory(dcm, bytes, length, &options, &err);
        if (!ok)
            assert_int_equal(err.kind, ERROR_INPUT);
        buffer_truncate(&out, 0);
        dicom_append_elements(dcm, &options, &out);
        assert_true(wire_check_elements((const uint8_t *)out.data, out.length, &err));
        const struct dicom_pixels *pixels = dicom_pixels(dcm);
        uint8_t last;
        if (pixels->kind != DICOM_PIXELS_NONE && pixels->length > 0)
            assert_true(dicom_read_bytes(dcm, pixels->offset + pixels->length - 1, &last, 1, &err));
    }
    buffer_clear(&out);
}

static void survives_truncation(void **state)
{
    for (size_t i = 0; i < sizeof builders / sizeof *builders; i++) {
        struct builder b = {0};
        builders[i](&b);
        for (size_t length = 0; length < b.bytes.length; length++) {
            /* A copy of just that length, so that a byte too many is noticed. */
            uint8_t *copy = test_malloc(length + (length == 0));
            memcpy(copy, b.bytes.data, length);
            try_damaged(*state, copy, length);
            test_free(copy);
        }
        buffer_clear(&b.bytes);
    }
}

static void survives_changed_bytes(void **state)
{
    static const uint8_t values[] = {0x00, 0x01, 0x1b, 0x41, 0x55, 0x7f, 0x80, 0xfe, 0xff};
    for (size_t i = 0; i < sizeof builders / sizeof *builders; i++) {
        struct builder b = {0};
        builders[i](&b);
        uint8_t *bytes = (uint8_t *)b.bytes.data;
        for (size_t at = 0; at < b.bytes.length; at += at < 120 ? 40 : 1) {
            uint8_t before = bytes[at];
            for (size_t v = 0; v < sizeof values; v++) {
                bytes[at] = values[v];
                try_damaged(*state, bytes, b.bytes.length);
            }
            bytes[at] = before;
        }
        buffer_clear(&b.bytes);
    }
}

static void survives_random_damage(void **state)
{
    uint64_t seed = 20260114;
    for (unsigned round = 0; round < 6000; round++) {
        struct builder b = {0};
        builders[round % (sizeof builders / sizeof *builders)](&b);
        size_t first = b.bytes.length > 132 && round % 6 != 5 ? 132 : 0;
        for (unsigned i = 0; i <= round % 5; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t at = first + (size_t)(seed >> 33) % (b.bytes.length - first);
            b.bytes.data[at] = (char)(unsigned char)(seed >> 20);
            if (seed >> 60 == 0)
                buffer_truncate(&b.bytes, at + 1);
        }
        try_damaged(*state, (const uint8_t *)b.bytes.data, b.bytes.length);
        buffer_clear(&b.bytes);
    }
}

/* Ten thousand sequences within each other end at the limit, not at the end of the stack. */
static void survives_depth(void **state)
{
    struct builder b = {0};
    struct error err;
    build_meta(&b, EXPLICIT_LITTLE);
    for (int i = 0; i < 10000; i++) {
        build_header(&b, CONTENT, "SQ", UNDEFINED);
        build_header(&b, ITEM, "", UNDEFINED);
    }
    try_damaged(*state, (const uint8_t *)b.bytes.data, b.bytes.length);
    assert_false(
        dicom_read_memory(*state, (const uint8_t *)b.bytes.data, b.bytes.length, &test_options, &err));
    assert_string_equal(err.code, CODE_LIMIT_ATTRIBUTES);
    buffer_clear(&b.bytes);
}

static void meets_the_limit_of_items(void **state)
{
    struct options options = test_options;
    options.max_items = 3;
    for (int count = 3; count <= 4; count++) {
        struct builder b = {0};
        struct error err;
        build_meta(&b, EXPLICIT_LITTLE);
        size_t sequence = build_begin(&b, CONTENT);
        for (int i = 0; i < count; i++)
            build_header(&b, ITEM, "", 0);
        build_end(&b, sequence);
        bool ok = dicom_read_memory(*state, (const uint8_t *)b.bytes.data, b.bytes.length, &options, &err);
        assert_int_equal(ok, count <= 3);
        if (!ok) {
            assert_int_equal(err.category, CATEGORY_DECODER);
            assert_string_equal(err.code, CODE_LIMIT_ATTRIBUTES);
            assert_non_null(strstr(err.text, "3 items in a sequence (MaxItems)"));
        }
        buffer_clear(&b.bytes);
    }
}

/* They look like elements of group 0000 without values, as many as the limit allows, and are no DICOM. */
static void takes_zeros_for_no_dicom(void **state)
{
    static const uint8_t zeros[65536];
    struct options options = test_options;
    struct error err;
    options.max_attributes = 100;
    for (size_t length = 1; length <= sizeof zeros; length *= 4) {
        assert_false(dicom_read_memory(*state, zeros, length, &options, &err));
        assert_string_equal(err.code, CODE_NOT_DICOM);
    }
}

/* A sequence in the place of a group length is left out with all that is in it. */
static void leaves_out_group_lengths_that_are_sequences(void **state)
{
    struct builder b = {0};
    struct buffer out = {0};
    struct error err;
    build_meta(&b, EXPLICIT_LITTLE);
    size_t sequence = build_begin(&b, DICOM_TAG(0x0010, 0x0000));
    size_t item = build_begin(&b, ITEM);
    build_text(&b, PATIENT_ID, "LO", "id");
    build_end(&b, item);
    build_end(&b, sequence);
    build_u16(&b, ROWS, "US", 7);
    assert_true(
        dicom_read_memory(*state, (const uint8_t *)b.bytes.data, b.bytes.length, &test_options, &err));
    dicom_append_elements(*state, &test_options, &out);
    size_t at = 0;
    struct wire_element element;
    assert_true(wire_check_elements((const uint8_t *)out.data, out.length, &err));
    assert_true(wire_next_element((const uint8_t *)out.data, out.length, &at, &element));
    assert_int_equal(element.tag, ROWS);
    assert_int_equal(at, out.length);
    buffer_clear(&out);
    buffer_clear(&b.bytes);
}

/* A meta header with one element that is not what it should be, between the transfer syntax's neighbours: it
 * costs itself, and neither the transfer syntax nor the data set. */
static void gets_past_broken_meta_headers(void **state)
{
    static const struct {
        const char *bytes;
        size_t length;
    } elements[] = {
        {"\2\0\0\0\0\0\6\0"
         "1.2.3\0",
         14}, /* tag and VR overwritten by a group length of 0  */
        {"\2\0\x7f\x96\x98\0\6\0"
         "1.2.3\0",
         14}, /* and by one beyond the file                     */
        {"\2\0\3\0sq\6\0"
         "1.2.3\0",
         14}, /* a VR in small letters                          */
        {"\2\0\3\0ZZ\6\0"
         "1.2.3\0",
         14},                               /* one that does not exist, with a short length   */
        {"\2\0\1\0ZZ\0\0\2\0\0\0\0\1", 14}, /* and with a long one, as new VRs have (PS3.5 6.2) */
        {"\2\0\3\0\6\0\0\0"
         "1.2.3\0",
         14}, /* in implicit VR                                 */
        {"\2\0\3\0UI\6\0"
         "1.2.3\0",
         14},                                   /* in order                                       */
        {"\2\0\0\0UL\4\0\xff\xff\xff\x7f", 12}, /* a group length that is wrong                   */
    };
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        struct builder b = {0};
        struct error err;
        uint32_t rows = 0;
        build_meta(&b, EXPLICIT_LITTLE);
        buffer_truncate(&b.bytes, 132);
        buffer_append(&b.bytes, elements[i].bytes, elements[i].length);
        build_bytes(&b, DICOM_TAG(0x0002, 0x0010), "UI", EXPLICIT_LITTLE "\0", 20);
        buffer_append(&b.bytes, elements[i].bytes, elements[i].length);
        build_text(&b, MODALITY, "CS", "CT");
        build_u16(&b, ROWS, "US", 7);
        assert_true(
            dicom_read_memory(*state, (const uint8_t *)b.bytes.data, b.bytes.length, &test_options, &err));
        assert_string_equal(dicom_syntax(*state)->uid, EXPLICIT_LITTLE);
        assert_true(dicom_find_u32(*state, ROWS, 0, &rows));
        assert_int_equal(rows, 7);
        buffer_clear(&b.bytes);
    }
}

/* An element whose length leads out of the file, or beside the next one, before the pixel data. */
static void finds_pixel_data_behind_wrong_lengths(void **state)
{
    static const struct {
        uint16_t length;
        const char *vr;
        bool has_pixels, is_found;
    } cases[] = {
        {10, "PN", true, true}, /* the right one; nothing to mend */
        {0xffff, "PN", true, true},   {0x1000, "PN", true, true}, {7, "PN", true, true},
        {0xffff, "PN", false, false}, {7, "PN", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct builder b = {0};
        struct options options = test_options;
        struct error err;
        uint32_t rows = 0;
        char name[16] = "";
        build_meta(&b, EXPLICIT_LITTLE);
        build_text(&b, MODALITY, "CS", "CT");
        build_header(&b, NAME, cases[i].vr, cases[i].length);
        buffer_append_text(&b.bytes, "Wang^Xiao ");
        build_text(&b, PATIENT_ID, "LO", "id");
        build_u16(&b, ROWS, "US", 7);
        if (cases[i].has_pixels)
            build_bytes(&b, PIXELS, "OW", "\1\2\3\4", 4);
        for (int niffler = 0; niffler < 2; niffler++) {
            options.compatibility_niffler = niffler == 1;
            bool is_found = cases[i].is_found && (niffler == 0 || cases[i].length == 10);
            assert_true(
                dicom_read_memory(*state, (const uint8_t *)b.bytes.data, b.bytes.length, &options, &err));
            assert_int_equal(dicom_is_mended(*state), is_found && cases[i].length != 10);
            assert_int_equal(dicom_pixels(*state)->kind, is_found ? DICOM_PIXELS_INTEGER : DICOM_PIXELS_NONE);
            assert_int_equal(dicom_pixels(*state)->length, is_found ? 4 : 0);
            assert_int_equal(dicom_find_u32(*state, ROWS, 0, &rows), is_found);
            assert_true(dicom_find_text(*state, NAME, name, sizeof name));
            if (is_found)
                assert_string_equal(name, cases[i].length == 7 ? "Wang^Xi" : "Wang^Xiao");
        }
        buffer_clear(&b.bytes);
    }
}

/* A character set behind texts, and before an element whose length leads out of the file: it holds for both.
 * Of two the first one holds for what stands before it. */
static void keeps_the_character_set(void **state)
{
    struct builder b = {0};
    build_meta(&b, EXPLICIT_LITTLE);
    build_text(&b, MODALITY, "LO", "\xb3");
    build_header(&b, SERIES, "SQ", UNDEFINED);
    build_header(&b, ITEM, "", UNDEFINED);
    build_text(&b, NAME, "PN", "\xb3");
    build_header(&b, ITEM_END, "", 0);
    build_header(&b, ITEM, "", UNDEFINED);
    build_text(&b, NAME, "PN", "\xb3");
    build_text(&b, CHARACTER_SET, "CS", "ISO_IR 126");
    build_header(&b, ITEM_END, "", 0);
    build_header(&b, SEQUENCE_END, "", 0);
    build_text(&b, CHARACTER_SET, "CS", "ISO_IR 144");
    build_header(&b, DICOM_TAG(0x0010, 0x0001), "ZZ", 0xffff);
    build_text(&b, PATIENT_ID, "LO", "\xb3");
    build_text(&b, CHARACTER_SET, "CS", "ISO_IR 100");
    build_text(&b, DICOM_TAG(0x0010, 0x1000), "LO", "\xb3");
    build_bytes(&b, PIXELS, "OW", "\1\2", 2);
    assert_true(read_built(*state, &b, &test_options));
    assert_true(dicom_is_mended(*state));
    check_list(*state, &test_options,
               "00080060 LO Г\n00081115 SQ [2] undefined\n- \n 00100010 PN Г\n- \n 00100010 PN ³\n"
               " 00080005 CS ISO_IR 126\n00080005 CS ISO_IR 144\n00100020 LO Г\n00080005 CS ISO_IR 100\n"
               "00101000 LO ³\n7FE00010 OW (2) unread\n");
    buffer_clear(&b.bytes);
}

/* A sequence of defined length with one item, which is not yet ended. Returns what build_end() wants. */
static size_t begin_series(struct builder *b)
{
    build_meta(b, EXPLICIT_LITTLE);
    size_t sequence = build_begin(b, SERIES);
    build_header(b, ITEM, "", UNDEFINED);
    build_text(b, PATIENT_ID, "LO", "id");
    return sequence;
}

/* As it is read, and as it is read to give what pydicom gives. */
static void check_both(struct dicom *dcm, struct builder *b, const char *list, const char *niffler_list)
{
    struct options options = test_options;
    for (int niffler = 0; niffler < 2; niffler++) {
        options.compatibility_niffler = niffler == 1;
        assert_true(read_built(dcm, b, &options));
        check_list(dcm, &options, niffler == 1 ? niffler_list : list);
    }
    buffer_clear(&b->bytes);
}

/* A stray delimiter of an item, as one that an item of wrong length leaves behind: pydicom ends there. */
static void passes_over_stray_delimiters(void **state)
{
    struct builder b = {0};
    build_end(&b, begin_series(&b));
    build_header(&b, ITEM_END, "", 0);
    build_header(&b, SEQUENCE_END, "", 0);
    build_u16(&b, ROWS, "US", 7);
    check_both(*state, &b, "00081115 SQ [1]\n- \n 00100020 LO id\n00280010 US 0700\n",
               "00081115 SQ [1]\n- \n 00100020 LO id\n");
}

/* An empty data set, deflated: as empty as one that is not. */
static void reads_empty_deflated_data_sets(void **state)
{
    struct builder b = {0};
    char nothing[1] = "";
    build_meta(&b, DEFLATED);
    deflate_into(&b.bytes, nothing, 0);
    assert_true(read_built(*state, &b, &test_options));
    check_list(*state, &test_options, "");
    buffer_clear(&b.bytes);
}

/* A sequence that its delimiter ends before its length does: pydicom loses what is between. */
static void believes_delimiters(void **state)
{
    struct builder b = {0};
    size_t sequence = begin_series(&b);
    build_header(&b, ITEM_END, "", 0);
    build_header(&b, SEQUENCE_END, "", 0);
    build_text(&b, NAME, "PN", "A^B ");
    build_end(&b, sequence);
    build_u16(&b, ROWS, "US", 7);
    check_both(*state, &b, "00081115 SQ [1]\n- \n 00100020 LO id\n00100010 PN A^B \n00280010 US 0700\n",
               "00081115 SQ [1]\n- \n 00100020 LO id\n00280010 US 0700\n");
}

/* A sequence in a command group, whose items hold other groups: none of them ends it. */
static void reads_sequences_of_command_groups(void **state)
{
    struct builder b = {.implicit_vr = true};
    build_meta(&b, IMPLICIT_LITTLE);
    build_header(&b, DICOM_TAG(0x0000, 0xffff), "", UNDEFINED);
    build_header(&b, ITEM, "", UNDEFINED);
    build_text(&b, PATIENT_ID, "", "id");
    build_header(&b, ITEM_END, "", 0);
    build_header(&b, SEQUENCE_END, "", 0);
    build_u16(&b, ROWS, "", 7);
    assert_true(read_built(*state, &b, &test_options));
    check_list(*state, &test_options, "0000FFFF SQ [1] undefined\n- \n 00100020 LO id\n00280010 US 0700\n");
    buffer_clear(&b.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_truncation),
        cmocka_unit_test(survives_changed_bytes),
        cmocka_unit_test(survives_random_damage),
        cmocka_unit_test(survives_depth),
        cmocka_unit_test(meets_the_limit_of_items),
        cmocka_unit_test(takes_zeros_for_no_dicom),
        cmocka_unit_test(leaves_out_group_lengths_that_are_sequences),
        cmocka_unit_test(gets_past_broken_meta_headers),
        cmocka_unit_test(finds_pixel_data_behind_wrong_lengths),
        cmocka_unit_test(keeps_the_character_set),
        cmocka_unit_test(passes_over_stray_delimiters),
        cmocka_unit_test(reads_empty_deflated_data_sets),
        cmocka_unit_test(believes_delimiters),
        cmocka_unit_test(reads_sequences_of_command_groups),
    };
    return cmocka_run_group_tests(tests, open_reader, close_reader);
}
