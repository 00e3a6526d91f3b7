/* What display.h reads of files that are built element by element. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/dicom_builder.h"
#include "worker/decoder/render/display.h"

#define CENTER DICOM_TAG(0x0028, 0x1050)
#define WIDTH DICOM_TAG(0x0028, 0x1051)
#define INTERCEPT DICOM_TAG(0x0028, 0x1052)
#define SLOPE DICOM_TAG(0x0028, 0x1053)
#define FUNCTION DICOM_TAG(0x0028, 0x1056)
#define MODALITY_LUTS DICOM_TAG(0x0028, 0x3000)
#define DESCRIPTOR DICOM_TAG(0x0028, 0x3002)
#define DATA DICOM_TAG(0x0028, 0x3006)
#define VOI_LUTS DICOM_TAG(0x0028, 0x3010)
#define FRAME_VOI DICOM_TAG(0x0028, 0x9132)
#define TRANSFORMATION DICOM_TAG(0x0028, 0x9145)
#define SHARED_GROUPS DICOM_TAG(0x5200, 0x9229)
#define FRAME_GROUPS DICOM_TAG(0x5200, 0x9230)

static const struct options limits = {.max_attributes = 1000,
                                      .max_nesting = 16,
                                      .max_items = 100000,
                                      .max_metadata_bytes = 1000000,
                                      .max_pixels = 1000,
                                      .max_frames = 100};

struct fixture {
    struct builder file;
    struct dicom *dcm;
    struct functional_groups groups;
    struct display *display;
    struct image_facts facts;
    struct options options;
    char notes[128];
};

static int set_up(void **state)
{
    struct fixture *fx = calloc(1, sizeof *fx);
    if (fx == NULL)
        return -1;
    fx->dcm = dicom_new();
    fx->display = display_new();
    fx->facts.photometric = PHOTOMETRIC_MONOCHROME2;
    fx->options = limits;
    fx->options.window_index = 1;
    build_meta(&fx->file, EXPLICIT_LITTLE);
    build_text(&fx->file, DICOM_TAG(0x0008, 0x0060), "CS", "CT");
    *state = fx;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fx = *state;
    display_free(fx->display);
    functional_groups_clear(&fx->groups);
    dicom_free(fx->dcm);
    buffer_clear(&fx->file.bytes);
    free(fx);
    return 0;
}

static void read_file(struct fixture *fx)
{
    struct error err;
    const uint8_t *bytes = (const uint8_t *)fx->file.bytes.data;
    assert_true(dicom_read_memory(fx->dcm, bytes, fx->file.bytes.length, &limits, &err));
    functional_groups_read(&fx->groups, fx->dcm, fx->options.max_frames);
    display_inspect(fx->display, fx->dcm, &fx->facts, &fx->groups);
}

static struct display_frame frame_of(struct fixture *fx, uint32_t index)
{
    struct display_frame frame;
    fx->notes[0] = '\0';
    display_frame(fx->display, index, &fx->options, &frame, &(struct notes){fx->notes, sizeof fx->notes});
    return frame;
}

static void expect_range(struct fixture *fx, uint32_t index, double low, double high)
{
    struct display_frame frame = frame_of(fx, index);
    assert_int_equal(frame.choice, DISPLAY_VOI);
    assert_int_equal(frame.voi.kind, VOI_RANGE);
    assert_true(frame.voi.low == low);
    assert_true(frame.voi.high == high);
}

static void build_lut(struct builder *b, int first, unsigned bits, uint16_t e0, uint16_t e1, uint16_t e2)
{
    size_t item = build_begin(b, ITEM);
    build_header(b, DESCRIPTOR, first < 0 ? "SS" : "US", 6);
    build_number(b, 3, 2);
    build_number(b, (uint16_t)first, 2);
    build_number(b, bits, 2);
    build_header(b, DATA, "OW", 6);
    build_number(b, e0, 2);
    build_number(b, e1, 2);
    build_number(b, e2, 2);
    build_end(b, item);
}

static void test_windows_are_counted_from_one(void **state)
{
    struct fixture *fx = *state;
    build_text(&fx->file, CENTER, "DS", "40\\-600.5 \\10 ");
    build_text(&fx->file, WIDTH, "DS", "401\\1501\\0 ");
    build_text(&fx->file, INTERCEPT, "DS", "-1024 ");
    build_text(&fx->file, SLOPE, "DS", "2 ");
    read_file(fx);
    expect_range(fx, 0, -160.5, 239.5);
    struct display_frame frame = frame_of(fx, 0);
    assert_true(frame.modality.slope == 2 && frame.modality.intercept == -1024);
    assert_null(frame.modality.lut);
    assert_false(frame.invert);
    assert_string_equal(fx->notes, "");
    fx->options.window_index = 2;
    expect_range(fx, 0, -1351, 149);
    fx->options.window_index = 3; /* its width means nothing */
    assert_int_equal(frame_of(fx, 0).choice, DISPLAY_ALL);
    assert_string_equal(fx->notes, "no window 3 in the file");
    fx->options.window_index = 4;
    assert_int_equal(frame_of(fx, 0).choice, DISPLAY_ALL);
    fx->options.window = WINDOW_AUTO;
    assert_int_equal(frame_of(fx, 0).choice, DISPLAY_AUTO);
    fx->options.window = WINDOW_VALUES;
    fx->options.window_center = 0;
    fx->options.window_width = 11;
    expect_range(fx, 0, -5.5, 4.5);
    assert_string_equal(fx->notes, "");
}

static void test_functions(void **state)
{
    struct fixture *fx = *state;
    build_text(&fx->file, CENTER, "DS", "10");
    build_text(&fx->file, WIDTH, "DS", "20");
    build_text(&fx->file, FUNCTION, "CS", "SIGMOID ");
    read_file(fx);
    struct display_frame frame = frame_of(fx, 0);
    assert_int_equal(frame.voi.kind, VOI_SIGMOID);
    assert_true(frame.voi.center == 10 && frame.voi.width == 20);
    fx->options.window = WINDOW_VALUES; /* the function belongs to the file's windows */
    fx->options.window_width = 5;
    assert_int_equal(frame_of(fx, 0).voi.kind, VOI_RANGE);
}

static void test_an_exact_window_may_be_narrow_and_a_linear_one_may_not(void **state)
{
    struct fixture *fx = *state;
    size_t length = fx->file.bytes.length;
    build_text(&fx->file, CENTER, "DS", "1 ");
    build_text(&fx->file, WIDTH, "DS", "0.5 ");
    build_text(&fx->file, FUNCTION, "CS", "LINEAR_EXACT");
    read_file(fx);
    expect_range(fx, 0, 0.75, 1.25);
    buffer_truncate(&fx->file.bytes, length);
    build_text(&fx->file, CENTER, "DS", "1 ");
    build_text(&fx->file, WIDTH, "DS", "0.5 ");
    read_file(fx);
    assert_int_equal(frame_of(fx, 0).choice, DISPLAY_ALL);
}

static void test_tables(void **state)
{
    struct fixture *fx = *state;
    build_text(&fx->file, CENTER, "DS", "10");
    build_text(&fx->file, WIDTH, "DS", "20");
    size_t sequence = build_begin(&fx->file, MODALITY_LUTS);
    build_lut(&fx->file, 5, 16, 10, 20, 30);
    build_end(&fx->file, sequence);
    sequence = build_begin(&fx->file, VOI_LUTS);
    build_lut(&fx->file, 7, 8, 1, 2, 3);
    build_lut(&fx->file, -2, 12, 4, 5, 4095);
    build_end(&fx->file, sequence);
    read_file(fx);
    expect_range(fx, 0, 0, 19);
    fx->options.window_index = 3; /* windows first, then tables */
    struct display_frame frame = frame_of(fx, 0);
    assert_non_null(frame.modality.lut);
    assert_int_equal(frame.modality.lut->first, 5);
    assert_true(modality_apply(&frame.modality, 6) == 20);
    assert_int_equal(frame.voi.kind, VOI_TABLE);
    assert_int_equal(frame.voi.lut->first, -2);
    assert_int_equal(frame.voi.lut->bits, 12);
    assert_true(voi_apply(&frame.voi, 0) == 1);
    fx->options.window_index = 2;
    assert_int_equal(frame_of(fx, 0).voi.lut->first, 7);
    fx->options.window_index = 4;
    assert_int_equal(frame_of(fx, 0).choice, DISPLAY_ALL);
}

static void test_a_malformed_table_is_noted(void **state)
{
    struct fixture *fx = *state;
    uint32_t sequences[] = {MODALITY_LUTS, VOI_LUTS};
    build_text(&fx->file, SLOPE, "DS", "3 ");
    for (int i = 0; i < 2; i++) {
        size_t sequence = build_begin(&fx->file, sequences[i]), item = build_begin(&fx->file, ITEM);
        build_u16(&fx->file, DESCRIPTOR, "US", 3);
        build_end(&fx->file, item);
        build_end(&fx->file, sequence);
    }
    read_file(fx);
    struct display_frame frame = frame_of(fx, 0);
    assert_null(frame.modality.lut);
    assert_true(frame.modality.slope == 3);
    assert_int_equal(frame.choice, DISPLAY_ALL);
    assert_string_equal(fx->notes, "malformed Modality LUT;malformed VOI LUT;no window 1 in the file");
}

static void build_macro(struct builder *b, uint32_t tag, uint32_t first, const char *first_value,
                        uint32_t second, const char *second_value)
{
    size_t macro = build_begin(b, tag), item = build_begin(b, ITEM);
    build_text(b, first, "DS", first_value);
    build_text(b, second, "DS", second_value);
    build_end(b, item);
    build_end(b, macro);
}

static void test_functional_groups_win_frame_by_frame(void **state)
{
    struct fixture *fx = *state;
    struct builder *b = &fx->file;
    build_text(b, CENTER, "DS", "1 ");
    build_text(b, WIDTH, "DS", "3 ");
    size_t shared = build_begin(b, SHARED_GROUPS), item = build_begin(b, ITEM);
    build_macro(b, TRANSFORMATION, INTERCEPT, "-7", SLOPE, "2 ");
    build_end(b, item);
    build_end(b, shared);
    size_t frames = build_begin(b, FRAME_GROUPS);
    item = build_begin(b, ITEM);
    build_macro(b, FRAME_VOI, CENTER, "100 ", WIDTH, "51");
    build_end(b, item);
    item = build_begin(b, ITEM);
    build_macro(b, FRAME_VOI, CENTER, "200 ", WIDTH, "51");
    build_macro(b, TRANSFORMATION, INTERCEPT, "5 ", SLOPE, "0 "); /* a slope of nothing counts as 1 */
    build_end(b, item);
    build_end(b, frames);
    read_file(fx);
    expect_range(fx, 0, 74.5, 124.5);
    assert_true(frame_of(fx, 0).modality.slope == 2 && frame_of(fx, 0).modality.intercept == -7);
    expect_range(fx, 1, 174.5, 224.5);
    assert_true(frame_of(fx, 1).modality.slope == 1 && frame_of(fx, 1).modality.intercept == 5);
    expect_range(fx, 2, -0.5, 1.5); /* there is no third item: the file's own window */
    assert_true(frame_of(fx, 2).modality.slope == 2);
}

static void test_padding(void **state)
{
    static const struct {
        bool is_signed;
        int value, limit;
        double low, high;
    } cases[] = {
        {true, -2000, -2000, -2000, -2000},  {true, 63536, 63536, -2000, -2000},
        {false, 63536, 63536, 63536, 63536}, {false, -1, -1, 65535, 65535},
        {true, -2000, -1900, -2000, -1900},  {true, -1900, -2000, -2000, -1900},
    };
    struct fixture *fx = *state;
    size_t length = fx->file.bytes.length;
    read_file(fx);
    assert_false(frame_of(fx, 0).has_padding);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fx->facts.is_signed = cases[i].is_signed;
        buffer_truncate(&fx->file.bytes, length);
        build_u16(&fx->file, DICOM_TAG(0x0028, 0x0120), cases[i].value < 0 ? "SS" : "US",
                  (uint16_t)cases[i].value);
        if (cases[i].limit != cases[i].value)
            build_u16(&fx->file, DICOM_TAG(0x0028, 0x0121), "SS", (uint16_t)cases[i].limit);
        read_file(fx);
        struct display_frame frame = frame_of(fx, 0);
        assert_true(frame.has_padding);
        assert_true(frame.padding_low == cases[i].low);
        assert_true(frame.padding_high == cases[i].high);
    }
}

static void test_inversion(void **state)
{
    static const struct {
        enum photometric photometric;
        bool inverse, setting, expected;
    } cases[] = {
        {PHOTOMETRIC_MONOCHROME2, false, true, false}, {PHOTOMETRIC_MONOCHROME2, true, true, true},
        {PHOTOMETRIC_MONOCHROME2, true, false, true},  {PHOTOMETRIC_MONOCHROME1, false, true, true},
        {PHOTOMETRIC_MONOCHROME1, true, true, true},   {PHOTOMETRIC_MONOCHROME1, true, false, false},
    };
    struct fixture *fx = *state;
    size_t length = fx->file.bytes.length;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buffer_truncate(&fx->file.bytes, length);
        build_text(&fx->file, DICOM_TAG(0x2050, 0x0020), "CS", cases[i].inverse ? "INVERSE " : "IDENTITY");
        fx->facts.photometric = cases[i].photometric;
        fx->options.invert_monochrome1 = cases[i].setting;
        read_file(fx);
        assert_int_equal(frame_of(fx, 0).invert, cases[i].expected);
    }
}

/* Red, green and blue of three entries from 100 on. */
static void build_palette(struct builder *b, bool is_whole)
{
    for (uint32_t colour = 0; colour < (is_whole ? 3 : 2); colour++) {
        build_header(b, DICOM_TAG(0x0028, 0x1101 + colour), "US", 6);
        build_number(b, 3, 2);
        build_number(b, 100, 2);
        build_number(b, 16, 2);
    }
    for (uint32_t colour = 0; colour < 3; colour++) {
        build_header(b, DICOM_TAG(0x0028, 0x1201 + colour), "OW", 6);
        for (uint32_t i = 0; i < 3; i++)
            build_number(b, 1000 * (colour + 1) + i, 2);
    }
}

static void test_supplemental_palette(void **state)
{
    static const struct {
        const char *presentation;
        bool is_whole, expected, is_noted;
    } cases[] = {{"COLOR ", true, true, false},
                 {"MIXED ", true, true, false},
                 {"MONOCHROME", true, false, false},
                 {"COLOR ", false, false, true}};
    struct fixture *fx = *state;
    size_t length = fx->file.bytes.length;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        buffer_truncate(&fx->file.bytes, length);
        build_text(&fx->file, DICOM_TAG(0x0008, 0x9205), "CS", cases[i].presentation);
        build_palette(&fx->file, cases[i].is_whole);
        read_file(fx);
        struct display_frame frame = frame_of(fx, 0);
        assert_int_equal(frame.supplemental != NULL, cases[i].expected);
        assert_int_equal(strstr(fx->notes, "malformed supplemental palette") != NULL, cases[i].is_noted);
        if (cases[i].expected)
            assert_int_equal(lut_look_up(&frame.supplemental->tables[2], 101), 3001);
    }
}

static void test_a_grey_frame_of_a_mixed_object_has_no_palette(void **state)
{
    struct fixture *fx = *state;
    struct builder *b = &fx->file;
    build_text(b, DICOM_TAG(0x0008, 0x9205), "CS", "MIXED ");
    build_palette(b, true);
    size_t frames = build_begin(b, FRAME_GROUPS);
    for (int i = 0; i < 2; i++) {
        size_t item = build_begin(b, ITEM), macro = build_begin(b, DICOM_TAG(0x0018, 0x9226));
        size_t inner = build_begin(b, ITEM);
        build_text(b, DICOM_TAG(0x0008, 0x9205), "CS", i == 0 ? "MONOCHROME" : "COLOR ");
        build_end(b, inner);
        build_end(b, macro);
        build_end(b, item);
    }
    build_end(b, frames);
    read_file(fx);
    assert_null(frame_of(fx, 0).supplemental);
    assert_non_null(frame_of(fx, 1).supplemental);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_windows_are_counted_from_one),
        TEST(test_functions),
        TEST(test_an_exact_window_may_be_narrow_and_a_linear_one_may_not),
        TEST(test_tables),
        TEST(test_a_malformed_table_is_noted),
        TEST(test_functional_groups_win_frame_by_frame),
        TEST(test_padding),
        TEST(test_inversion),
        TEST(test_supplemental_palette),
        TEST(test_a_grey_frame_of_a_mixed_object_has_no_palette),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
