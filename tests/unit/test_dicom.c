/* The reader of DICOM files: every encoding, broken structure, limits; files are made by dicom_builder.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/dicom_files.h"

/* What build_data_set() builds. */
static const char data_set_list[] = "00080005 CS ISO_IR 192\n"
                                    "00080060 CS CT\n"
                                    "00081115 SQ [1] undefined\n"
                                    "- \n"
                                    " 00081199 SQ [2]\n"
                                    " - \n"
                                    "  00081155 UI 1.2.3\n"
                                    " - \n"
                                    " 0020000E UI 1.2\n"
                                    "00100010 PN Wang^XiaoDong=王^小東\n"
                                    "00100020 LO a\\b \n"
                                    "00181063 DS \n"
                                    "00189073 FD 0000000000000940\n"
                                    "00209165 AT 18006310\n"
                                    "00280010 US 0201\n"
                                    "0018106E UL 0100000004030201\n"
                                    "0040A730 SQ [0]\n"
                                    "00420011 OB 01020304\n";

static void check_file(struct dicom *dcm, struct builder *b, const struct options *options, const char *want)
{
    assert_true(read_built(dcm, b, options));
    check_list(dcm, options, want);
    buffer_clear(&b->bytes);
}

/* ---- encodings ---- */

static void reads_every_encoding(void **state)
{
    static const struct {
        const char *uid; /* NULL: no meta header */
        bool implicit_vr, big_endian, looks_guessed;
    } cases[] = {
        {EXPLICIT_LITTLE, false, false, false},
        {IMPLICIT_LITTLE, true, false, false},
        {EXPLICIT_BIG, false, true, false},
        {JPEG_BASELINE, false, false, false},
        {NULL, false, false, true},
        {NULL, true, false, true},
        {NULL, false, true, true},
        /* The transfer syntax says one, the data set is the other. */
        {EXPLICIT_LITTLE, true, false, false},
        {IMPLICIT_LITTLE, false, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct builder b = {.implicit_vr = cases[i].implicit_vr, .big_endian = cases[i].big_endian};
        if (cases[i].uid != NULL)
            build_meta(&b, cases[i].uid);
        build_data_set(&b);
        check_file(*state, &b, &test_options, data_set_list);
        const struct dicom_syntax *syntax = dicom_syntax(*state);
        assert_string_equal(syntax->uid, cases[i].uid != NULL ? cases[i].uid : "");
        assert_int_equal(syntax->implicit_vr, cases[i].implicit_vr);
        assert_int_equal(syntax->big_endian, cases[i].big_endian);
        assert_int_equal(syntax->guessed, cases[i].looks_guessed);
        assert_int_equal(syntax->has_preamble, cases[i].uid != NULL);
        assert_false(syntax->deflated);
        assert_false(dicom_is_cut(*state));
        assert_int_equal(dicom_pixels(*state)->kind, DICOM_PIXELS_NONE);
    }
}

static void reads_deflated(void **state)
{
    struct builder b = {0};
    build_deflated(&b);
    check_file(*state, &b, &test_options, data_set_list);
    assert_true(dicom_syntax(*state)->deflated);
    assert_false(dicom_is_cut(*state));
}

static void refuses_bad_deflation(void **state)
{
    struct builder b = {0}, zeros = {0};
    struct error err;
    build_meta(&b, DEFLATED);
    build_number(&b, 0xffffffffffffffffu, 8);
    assert_false(
        dicom_read_memory(*state, (const uint8_t *)b.bytes.data, b.bytes.length, &test_options, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_string_equal(err.code, CODE_MALFORMED);
    buffer_truncate(&b.bytes, 0);

    /* A thousand times as large as the file: more than the limits allow. */
    struct options options = test_options;
    options.max_pixels = 1000;
    options.max_metadata_bytes = 100000;
    build_meta(&b, DEFLATED);
    build_header(&zeros, PIXELS, "OB", 1u << 24);
    memset(buffer_reserve(&zeros.bytes, 1u << 24), 0, 1u << 24);
    zeros.bytes.length += 1u << 24;
    deflate_into(&b.bytes, zeros.bytes.data, zeros.bytes.length);
    assert_false(dicom_read_memory(*state, (const uint8_t *)b.bytes.data, b.bytes.length, &options, &err));
    assert_string_equal(err.code, CODE_LIMIT_ATTRIBUTES);
    assert_non_null(strstr(err.text, "108000 bytes (MaxMetadataBytes, and 8 times MaxPixels)"));
    buffer_clear(&b.bytes);
    buffer_clear(&zeros.bytes);
}

/* Through a descriptor as from memory, also where values lie far behind each other. */
static void reads_files(void **state)
{
    struct builder b = {0};
    struct buffer large = {0};
    struct error err;
    memset(buffer_reserve(&large, 200000), 'x', 200000);
    build_meta(&b, EXPLICIT_LITTLE);
    build_text(&b, MODALITY, "CS", "MR");
    build_bytes(&b, PIXELS, "OW", large.data, 200000);
    build_bytes(&b, PADDING, "OB", large.data, 2);
    int descriptor = memfd_create("dicom", MFD_CLOEXEC);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, b.bytes.data, b.bytes.length), (ssize_t)b.bytes.length);
    assert_true(dicom_read(*state, descriptor, &test_options, &err));
    check_list(*state, &test_options, "00080060 CS MR\n7FE00010 OW (200000) unread\nFFFCFFFC OB 7878\n");
    assert_int_equal(close(descriptor), 0);
    assert_false(dicom_read(*state, -1, &test_options, &err));
    assert_string_equal(err.code, CODE_INPUT_IO);
    buffer_clear(&large);
    buffer_clear(&b.bytes);
}

/* Bytes that this process has read by system calls. */
static unsigned long long bytes_read(void)
{
    unsigned long long count = 0;
    FILE *file = fopen("/proc/self/io", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "rchar: %llu", &count), 1);
    assert_int_equal(fclose(file), 0);
    return count;
}

/* 64 MB of native pixel data, or three fragments of 16 MB, with an attribute behind. */
static int pixel_file(bool encapsulated)
{
    const uint32_t piece = 16u << 20;
    struct builder b = {0}, behind = {0};
    int descriptor = memfd_create("dicom", MFD_CLOEXEC);
    off_t at = 0;
    assert_true(descriptor >= 0);
    build_meta(&b, encapsulated ? JPEG_BASELINE : EXPLICIT_LITTLE);
    build_header(&b, PIXELS, encapsulated ? "OB" : "OW", encapsulated ? UNDEFINED : 4 * piece);
    for (int i = 0; i < 4; i++) {
        if (encapsulated) { /* an empty offset table, then the fragments */
            build_number(&b, 0xfffe, 2);
            build_number(&b, 0xe000, 2);
            build_number(&b, i == 0 ? 0 : piece, 4);
        }
        assert_int_equal(pwrite(descriptor, b.bytes.data, b.bytes.length, at), (ssize_t)b.bytes.length);
        at += (off_t)b.bytes.length + (encapsulated && i == 0 ? 0 : (off_t)piece);
        buffer_truncate(&b.bytes, 0);
    }
    if (encapsulated) {
        build_number(&behind, 0xfffe, 2);
        build_number(&behind, 0xe0dd, 2);
        build_number(&behind, 0, 4);
    }
    build_bytes(&behind, PADDING, "OB", "xx", 2);
    assert_int_equal(pwrite(descriptor, behind.bytes.data, behind.bytes.length, at),
                     (ssize_t)behind.bytes.length);
    buffer_clear(&b.bytes);
    buffer_clear(&behind.bytes);
    return descriptor;
}

static void does_not_read_pixel_data(void **state)
{
    for (int encapsulated = 0; encapsulated < 2; encapsulated++) {
        struct buffer list = {0};
        struct error err;
        int descriptor = pixel_file(encapsulated);
        unsigned long long before = bytes_read();
        assert_true(dicom_read(*state, descriptor, &test_options, &err));
        list_elements(*state, &test_options, &list);
        assert_true(bytes_read() - before < 300000);
        assert_non_null(strstr(buffer_text(&list), "unread"));
        assert_non_null(strstr(buffer_text(&list), "FFFCFFFC OB 7878\n")); /* it went on behind */
        buffer_clear(&list);
        assert_int_equal(close(descriptor), 0);
    }
}

static void knows_what_is_no_dicom(void **state)
{
    static const char *const texts[] = {"", "x", "#!/bin/sh\necho hello, world; exit 0\n",
                                        "\x89PNG\r\n\x1a\n\0\0\0\rIHDR............................"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct error err;
        assert_false(
            dicom_read_memory(*state, (const uint8_t *)texts[i], strlen(texts[i]), &test_options, &err));
        assert_int_equal(err.category, CATEGORY_NOT_USABLE);
        assert_string_equal(err.code, CODE_NOT_DICOM);
    }
}

/* ---- structure ---- */

static void resolves_value_representations(void **state)
{
    struct builder b = {0}, implicit = {.implicit_vr = true};
    build_meta(&b, EXPLICIT_LITTLE);
    build_text(&b, DICOM_TAG(0x0008, 0x0050), "SH", "explicit");
    /* Implicit elements amid explicit ones, UN for what the dictionary knows, UN of undefined length
     * (PS3.5 6.2.2). */
    build_text(&implicit, MODALITY, "", "CT");
    buffer_append(&b.bytes, implicit.bytes.data, implicit.bytes.length);
    build_header(&b, SERIES, "UN", UNDEFINED);
    build_header(&b, ITEM, "", UNDEFINED);
    buffer_truncate(&implicit.bytes, 0);
    build_text(&implicit, SERIES_UID, "", "1.2");
    buffer_append(&b.bytes, implicit.bytes.data, implicit.bytes.length);
    build_header(&b, ITEM_END, "", 0);
    build_header(&b, SEQUENCE_END, "", 0);
    build_text(&b, PATIENT_ID, "UN", "id");
    build_text(&b, DICOM_TAG(0x0010, 0x0011), "UN", "no attribute");
    build_text(&b, DICOM_TAG(0x0011, 0x0010), "UN", "creator ");
    build_text(&b, DICOM_TAG(0x0011, 0x1001), "UN", "secret");
    build_u16(&b, ROWS, "US", 7);
    buffer_truncate(&implicit.bytes, 0); /* repeating groups (PS3.5 7.6) */
    build_text(&implicit, DICOM_TAG(0x6002, 0x0015), "", "2 ");
    build_header(&implicit, DICOM_TAG(0x6002, 0x0050), "", 4);
    build_number(&implicit, 0xffff0001u, 4);
    build_u16(&implicit, DICOM_TAG(0x6003, 0x0011), "", 1);
    buffer_append(&b.bytes, implicit.bytes.data, implicit.bytes.length);
    check_file(*state, &b, &test_options,
               "00080050 SH explicit\n00080060 CS CT\n00081115 SQ [1] undefined\n- \n 0020000E UI "
               "1.2\n00100020 LO id\n"
               "00100011 UN 6E6F20617474726962757465\n00110010 UN 63726561746F7220\n"
               "00111001 UN 736563726574\n00280010 US 0700\n60020015 IS 2 \n60020050 SS 0100FFFF\n"
               "60030011 LO \x01\x00\n");
    buffer_clear(&implicit.bytes);
}

static void chooses_by_pixel_representation(void **state)
{
    for (uint16_t sign = 0; sign < 2; sign++) {
        struct builder b = {.implicit_vr = true};
        build_meta(&b, IMPLICIT_LITTLE);
        build_u16(&b, DICOM_TAG(0x0028, 0x0103), "", sign);
        build_u16(&b, DICOM_TAG(0x0028, 0x0106), "", 0xffff);
        check_file(*state, &b, &test_options,
                   sign ? "00280103 US 0100\n00280106 SS FFFF chosen\n"
                        : "00280103 US 0000\n00280106 US FFFF chosen\n");
    }
}

static void uses_the_set_of_each_item(void **state)
{
    struct builder b = {0};
    build_meta(&b, EXPLICIT_LITTLE);
    build_text(&b, CHARACTER_SET, "CS", "ISO_IR 144");
    size_t sequence = build_begin(&b, CONTENT);
    size_t item = build_begin(&b, ITEM);
    build_text(&b, CHARACTER_SET, "CS", "ISO_IR 126");
    build_text(&b, PATIENT_ID, "LO", "\xc4");
    build_end(&b, item);
    item = build_begin(&b, ITEM);
    build_text(&b, PATIENT_ID, "LO", "\xbb");
    build_end(&b, item);
    build_end(&b, sequence);
    build_text(&b, NAME, "PN", "\xbb");
    build_text(&b, MODALITY, "CS", "\xbb");
    build_text(&b, DICOM_TAG(0x0040, 0xa731), "LO", "\x1b-G\xa1");
    check_file(*state, &b, &test_options,
               "00080005 CS ISO_IR 144\n0040A730 SQ [2]\n- \n 00080005 CS ISO_IR 126\n 00100020 LO Δ\n"
               "- \n 00100020 LO Л\n00100010 PN Л\n00080060 CS »\n0040A731 LO \xef\xbf\xbd marked\n");
}

static void forgives_lost_delimiters(void **state)
{
    struct builder b = {0};
    build_meta(&b, EXPLICIT_LITTLE);
    build_header(&b, CONTENT, "SQ", UNDEFINED);
    build_header(&b, ITEM, "", UNDEFINED);
    build_text(&b, PATIENT_ID, "LO", "1 ");
    build_header(&b, ITEM, "", UNDEFINED); /* the first item's end is missing */
    build_text(&b, PATIENT_ID, "LO", "2 ");
    build_header(&b, SEQUENCE_END, "", 0); /* and the second one's */
    build_header(&b, SEQUENCE_END, "", 0); /* one too many */
    build_u16(&b, ROWS, "US", 7);
    check_file(*state, &b, &test_options,
               "0040A730 SQ [2] undefined\n- \n 00100020 LO 1 \n- \n 00100020 LO 2 \n00280010 US 0700\n");
}

static void keeps_what_precedes_a_cut(void **state)
{
    struct builder b = {0};
    build_meta(&b, EXPLICIT_LITTLE);
    build_text(&b, MODALITY, "CS", "CT");
    build_header(&b, PATIENT_ID, "LO", 64);
    buffer_append_text(&b.bytes, "abc");
    check_file(*state, &b, &test_options, "00080060 CS CT\n00100020 LO abc (64)\n");
    assert_true(dicom_is_cut(*state));

    build_meta(&b, EXPLICIT_LITTLE);
    build_header(&b, CONTENT, "SQ", UNDEFINED);
    build_header(&b, ITEM, "", UNDEFINED);
    build_text(&b, PATIENT_ID, "LO", "1 ");
    check_file(*state, &b, &test_options, "0040A730 SQ [1] undefined\n- \n 00100020 LO 1 \n");
    assert_true(dicom_is_cut(*state));
}

/* ---- what is left out ---- */

static void leaves_out_what_is_not_asked_for(void **state)
{
    struct options options = test_options;
    for (int public_only = 0; public_only < 2; public_only++) {
        struct builder b = {0};
        options.public_headers_only = public_only == 1;
        build_meta(&b, EXPLICIT_LITTLE);
        build_u16(&b, DICOM_TAG(0x0008, 0x0000), "UL", 0);
        build_text(&b, DICOM_TAG(0x0009, 0x0010), "LO", "ACME");
        size_t sequence = build_begin(&b, DICOM_TAG(0x0009, 0x1001));
        size_t item = build_begin(&b, ITEM);
        build_text(&b, PATIENT_ID, "LO", "in private");
        build_end(&b, item);
        build_end(&b, sequence);
        build_text(&b, PATIENT_ID, "LO", "in public");
        check_file(*state, &b, &options,
                   public_only ? "00100020 LO in public\n"
                               : "00090010 LO ACME\n00091001 SQ [1]\n- \n 00100020 LO in private\n"
                                 "00100020 LO in public\n");
    }
}

static void cuts_long_values(void **state)
{
    struct options options = test_options;
    struct builder b = {0};
    options.max_value_bytes = 4;
    build_meta(&b, EXPLICIT_LITTLE);
    build_text(&b, PATIENT_ID, "LO", "0123456789abcdefghi");
    build_text(&b, DICOM_TAG(0x0010, 0x4000), "LT", "0123456789abcdef");
    build_bytes(&b, DICOM_TAG(0x0042, 0x0011), "OB", "abcdef", 6);
    build_bytes(&b, DICOM_TAG(0x0042, 0x0012), "UN", "abcd", 4);
    check_file(*state, &b, &options,
               "00100020 LO 0123456789abcdef (19) cut\n00104000 LT 0123456789abcdef\n"
               "00420011 OB 61626364 (6) cut\n00420012 LO abcd\n");
}

static void meets_limits(void **state)
{
    struct builder b = {0};
    build_meta(&b, EXPLICIT_LITTLE);
    build_data_set(&b);
    static const char *const told[] = {"5 data elements (MaxA", "1 deep (MaxN",
                                       "40 bytes of attribute values (MaxM"};
    for (int which = 0; which < 3; which++) {
        struct options options = test_options;
        struct buffer list = {0};
        struct error err;
        options.max_attributes = which == 0 ? 5 : options.max_attributes;
        options.max_nesting = which == 1 ? 1 : options.max_nesting;
        options.max_metadata_bytes = which == 2 ? 40 : options.max_metadata_bytes;
        assert_false(
            dicom_read_memory(*state, (const uint8_t *)b.bytes.data, b.bytes.length, &options, &err));
        assert_int_equal(err.category, CATEGORY_DECODER);
        assert_string_equal(err.code, CODE_LIMIT_ATTRIBUTES);
        assert_non_null(strstr(err.text, told[which]));
        /* What came before can still be used. */
        list_elements(*state, &options, &list);
        assert_int_equal(strncmp(buffer_text(&list), data_set_list, strlen("00080005 CS ISO_IR 192\n")), 0);
        buffer_clear(&list);
    }
    struct options enough = test_options;
    enough.max_nesting = 2;
    check_file(*state, &b, &enough, data_set_list);
}

/* ---- pixel data ---- */

static void finds_native_pixels(void **state)
{
    struct builder b = {0};
    static const uint8_t pixels[] = {1, 2, 3, 4, 5, 6};
    build_meta(&b, EXPLICIT_LITTLE);
    size_t sequence =
        build_begin(&b, DICOM_TAG(0x0088, 0x0200)); /* an icon's pixel data is not the image's */
    size_t item = build_begin(&b, ITEM);
    build_bytes(&b, PIXELS, "OB", pixels, 2);
    build_end(&b, item);
    build_end(&b, sequence);
    build_bytes(&b, PIXELS, "OW", pixels, 6);
    size_t end = b.bytes.length;
    build_bytes(&b, PADDING, "OB", pixels, 2);
    check_file(*state, &b, &test_options,
               "00880200 SQ [1]\n- \n 7FE00010 OB (2) unread\n7FE00010 OW (6) unread\nFFFCFFFC OB 0102\n");
    const struct dicom_pixels *found = dicom_pixels(*state);
    assert_int_equal(found->kind, DICOM_PIXELS_INTEGER);
    assert_false(found->encapsulated);
    assert_memory_equal(found->vr, "OW", 2);
    assert_int_equal(found->offset, end - 6);
    assert_int_equal(found->length, 6);
    assert_int_equal(found->promised, 6);
}

static void clamps_pixels_to_the_file(void **state)
{
    struct builder b = {0};
    build_meta(&b, EXPLICIT_LITTLE);
    build_header(&b, DICOM_TAG(0x7fe0, 0x0008), "OF", 4000);
    build_number(&b, 0, 8);
    assert_true(read_built(*state, &b, &test_options));
    assert_int_equal(dicom_pixels(*state)->kind, DICOM_PIXELS_FLOAT);
    assert_int_equal(dicom_pixels(*state)->length, 8);
    assert_int_equal(dicom_pixels(*state)->promised, 4000);
    buffer_clear(&b.bytes);
}

static void finds_encapsulated_pixels(void **state)
{
    /* The fragment holds the bytes of a sequence delimiter, which is none. */
    static const uint8_t fragment[] = {0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0};
    struct builder b = {0};
    struct error err;
    build_meta(&b, JPEG_BASELINE);
    build_header(&b, PIXELS, "OB", UNDEFINED);
    size_t start = b.bytes.length;
    build_header(&b, ITEM, "", 0);
    build_bytes(&b, ITEM, "", fragment, 8);
    build_header(&b, SEQUENCE_END, "", 0);
    build_bytes(&b, PADDING, "OB", fragment, 2);
    assert_true(read_built(*state, &b, &test_options));
    check_list(*state, &test_options, "7FE00010 OB (24) undefined unread\nFFFCFFFC OB FEFF\n");
    assert_int_equal(dicom_pixels(*state)->kind, DICOM_PIXELS_INTEGER);
    assert_true(dicom_pixels(*state)->encapsulated);
    assert_int_equal(dicom_pixels(*state)->offset, start);

    uint8_t bytes[8];
    assert_true(dicom_read_bytes(*state, start + 16, bytes, 8, &err));
    assert_memory_equal(bytes, fragment, 8);
    assert_false(dicom_read_bytes(*state, b.bytes.length - 7, bytes, 8, &err));
    assert_string_equal(err.code, CODE_TOO_SHORT);
    assert_false(dicom_read_bytes(*state, UINT64_MAX - 3, bytes, 8, &err));
    assert_string_equal(err.code, CODE_TOO_SHORT);
    buffer_clear(&b.bytes);
}

/* ---- single values ---- */

static void finds_values(void **state)
{
    for (int big = 0; big < 2; big++) {
        struct builder b = {.big_endian = big == 1};
        uint32_t number = 99;
        char text[8], vr[2];
        size_t length;
        build_meta(&b, big ? EXPLICIT_BIG : EXPLICIT_LITTLE);
        build_text(&b, MODALITY, "CS", "CT\\MR ");
        build_text(&b, PATIENT_ID, "LO", "a long value");
        build_text(&b, DICOM_TAG(0x0028, 0x0008), "IS", "12\\ +34 ");
        build_u16(&b, ROWS, "US", 512);
        build_u16(&b, ROWS, "US", 513); /* the last one counts */
        build_header(&b, TRIGGERS, "UL", 8);
        build_number(&b, 1, 4);
        build_number(&b, 0x01020304, 4);
        assert_true(read_built(*state, &b, &test_options));
        assert_true(dicom_find_u32(*state, ROWS, 0, &number));
        assert_int_equal(number, 513);
        assert_false(dicom_find_u32(*state, ROWS, 1, &number));
        assert_true(dicom_find_u32(*state, TRIGGERS, 1, &number));
        assert_int_equal(number, 0x01020304);
        assert_true(dicom_find_u32(*state, DICOM_TAG(0x0028, 0x0008), 0, &number));
        assert_int_equal(number, 12);
        assert_true(dicom_find_u32(*state, DICOM_TAG(0x0028, 0x0008), 1, &number));
        assert_int_equal(number, 34);
        assert_false(dicom_find_u32(*state, DICOM_TAG(0x0028, 0x0008), 2, &number));
        assert_false(dicom_find_u32(*state, DICOM_TAG(0x0028, 0x0011), 0, &number));
        assert_int_equal(number, 34); /* what is absent leaves the output alone */
        assert_true(dicom_find_text(*state, MODALITY, text, sizeof text));
        assert_string_equal(text, "CT");
        assert_true(dicom_find_text(*state, PATIENT_ID, text, sizeof text));
        assert_string_equal(text, "a long ");
        assert_false(dicom_find_text(*state, NAME, text, sizeof text));
        const uint8_t *bytes = dicom_find_bytes(*state, ROWS, &length, vr);
        assert_int_equal(length, 2);
        assert_memory_equal(vr, "US", 2);
        assert_memory_equal(bytes, big ? "\x02\x01" : "\x01\x02", 2);
        assert_null(dicom_find_bytes(*state, NAME, &length, vr));
        assert_true(dicom_has(*state, MODALITY));
        assert_false(dicom_has(*state, NAME));
        buffer_clear(&b.bytes);
    }
}

/* Words of binary values are exchanged, but not where they shall come out as they stand in the file. */
static void exchanges_words_of_big_endian(void **state)
{
    struct options options = test_options;
    for (int niffler = 0; niffler < 2; niffler++) {
        struct builder b = {.big_endian = true};
        options.compatibility_niffler = niffler == 1;
        build_meta(&b, EXPLICIT_BIG);
        build_bytes(&b, DICOM_TAG(0x0028, 0x1201), "OW", "\x01\x02\x03\x04", 4);
        build_bytes(&b, DICOM_TAG(0x0028, 0x3002), "US", "\x01\x02\x03", 3); /* no whole values */
        check_file(*state, &b, &options,
                   niffler ? "00281201 OW 01020304\n00283002 US 020103\n"
                           : "00281201 OW 02010403\n00283002 US 020103\n");
    }
}

/* What lies over a limit is not delivered either, with a preamble or without. */
static void meets_limits_before_it_delivers(void **state)
{
    struct options few = test_options, little = test_options;
    struct builder bare = {0}, large = {0};
    struct buffer list = {0};
    struct error err = {0};
    static const char kilobyte[1024];
    few.max_attributes = 10;
    little.max_value_bytes = 0;
    little.max_metadata_bytes = 500;
    build_text(&bare, MODALITY, "CS", "CT");
    for (int i = 0; i < 50; i++)
        build_u16(&bare, ROWS, "US", 1);
    assert_false(dicom_read_memory(*state, (const uint8_t *)bare.bytes.data, bare.bytes.length, &few, &err));
    assert_string_equal(err.code, CODE_LIMIT_ATTRIBUTES);
    build_meta(&large, EXPLICIT_LITTLE);
    build_text(&large, MODALITY, "CS", "CT");
    build_bytes(&large, DICOM_TAG(0x0042, 0x0011), "OB", kilobyte, sizeof kilobyte);
    assert_false(read_built(*state, &large, &little));
    list_elements(*state, &little, &list);
    assert_string_equal(buffer_text(&list), "00080060 CS CT\n");
    /* Private values that nobody asked for do not count. */
    little.public_headers_only = true;
    buffer_truncate(&large.bytes, 0);
    build_meta(&large, EXPLICIT_LITTLE);
    build_bytes(&large, DICOM_TAG(0x0009, 0x1001), "OB", kilobyte, sizeof kilobyte);
    build_u16(&large, ROWS, "US", 1);
    assert_true(read_built(*state, &large, &little));
    buffer_clear(&bare.bytes);
    buffer_clear(&large.bytes);
    buffer_clear(&list);
}

/* Half a character: lost in the file it is marked, and what follows is read; cut off by us it is no damage.
 */
static void marks_half_characters_once(void **state)
{
    struct options options = test_options;
    struct builder broken = {0}, cut = {0};
    build_meta(&broken, EXPLICIT_LITTLE);
    build_text(&broken, CHARACTER_SET, "CS", "\\ISO 2022 IR 87");
    build_text(&broken, NAME, "PN", "\x1b$B;3E\x1b(Bab=cd");
    check_file(*state, &broken, &options,
               "00080005 CS \\ISO 2022 IR 87\n00100010 PN \xe5\xb1\xb1\xef\xbf\xbd"
               "ab=cd marked\n");
    options.max_value_bytes = 2;
    build_meta(&cut, EXPLICIT_LITTLE);
    build_text(&cut, CHARACTER_SET, "CS", "ISO_IR 192");
    build_text(&cut, PATIENT_ID, "LO", "abcdefg\xc3\xa9xyz");
    check_file(*state, &cut, &options, "00080005 CS ISO_IR 1 (10) cut\n00100020 LO abcdefg (12) cut\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_encoding),
        cmocka_unit_test(reads_deflated),
        cmocka_unit_test(refuses_bad_deflation),
        cmocka_unit_test(reads_files),
        cmocka_unit_test(does_not_read_pixel_data),
        cmocka_unit_test(knows_what_is_no_dicom),
        cmocka_unit_test(resolves_value_representations),
        cmocka_unit_test(chooses_by_pixel_representation),
        cmocka_unit_test(uses_the_set_of_each_item),
        cmocka_unit_test(forgives_lost_delimiters),
        cmocka_unit_test(keeps_what_precedes_a_cut),
        cmocka_unit_test(leaves_out_what_is_not_asked_for),
        cmocka_unit_test(cuts_long_values),
        cmocka_unit_test(meets_limits),
        cmocka_unit_test(meets_limits_before_it_delivers),
        cmocka_unit_test(marks_half_characters_once),
        cmocka_unit_test(finds_native_pixels),
        cmocka_unit_test(clamps_pixels_to_the_file),
        cmocka_unit_test(finds_encapsulated_pixels),
        cmocka_unit_test(finds_values),
        cmocka_unit_test(exchanges_words_of_big_endian),
    };
    return cmocka_run_group_tests(tests, open_reader, close_reader);
}
