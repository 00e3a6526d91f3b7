/* Rows of display values, of every type of sample, against the formula of render_window.h and values worked
 * out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/decoder/render/render_window.h"

#define COUNT 1000

static struct render_window *window;

static int set_up(void **state)
{
    *state = window = render_window_new();
    return 0;
}

static int tear_down(void **state)
{
    render_window_free(*state);
    return 0;
}

static struct codec_samples grey(void *data, uint32_t count, uint32_t bytes, bool is_signed)
{
    return (struct codec_samples){
        .data = data, .rows = 1, .columns = count, .samples = 1, .bytes = bytes, .is_signed = is_signed};
}

static struct display_frame shown(enum display_voi choice)
{
    return (struct display_frame){.modality = MODALITY_IDENTITY, .choice = choice};
}

static struct render_plan plan_of(const struct codec_samples *in, const struct display_frame *frame,
                                  bool is_16_bit, uint8_t *out)
{
    struct options options = {.pixel_scaling = PIXEL_SCALING_WINDOW, .is_16_bit = is_16_bit};
    struct render_plan plan;
    render_window_plan(window, in, frame, &options, &plan);
    render_row(in, &plan, 0, out);
    return plan;
}

static uint32_t at(const uint8_t *out, size_t index, bool is_16_bit)
{
    return is_16_bit ? (uint32_t)out[2 * index] << 8 | out[2 * index + 1] : out[index];
}

/* Each sample through the two functions of voi.h, whichever way the row took. */
static void check_row(const struct codec_samples *in, const struct display_frame *frame, bool is_16_bit)
{
    static uint8_t out[2 * COUNT];
    struct render_plan plan = plan_of(in, frame, is_16_bit, out);
    uint32_t white = is_16_bit ? 65535 : 255;
    assert_int_equal(plan.samples, 1);
    for (size_t i = 0; i < in->columns; i++) {
        double share = voi_apply(&frame->voi, modality_apply(&frame->modality, render_sample(in, i)));
        uint32_t expected = (uint32_t)floor(share * white + 0.5);
        if (frame->invert)
            expected = white - expected;
        if (at(out, i, is_16_bit) != expected)
            fail_msg("sample %g becomes %u, not %u", render_sample(in, i), at(out, i, is_16_bit), expected);
    }
}

static void test_every_type_of_sample(void **state)
{
    (void)state;
    static int8_t i8[COUNT];
    static uint8_t u8[COUNT];
    static int16_t i16[COUNT];
    static uint16_t u16[COUNT];
    static int32_t i32[COUNT];
    static uint32_t u32[COUNT];
    static float f32[COUNT];
    static double f64[COUNT];
    uint32_t noise = 1;
    for (int i = 0; i < COUNT; i++) {
        noise = noise * 1664525 + 1013904223;
        i8[i] = (int8_t)(noise >> 24);
        u8[i] = (uint8_t)(noise >> 24);
        i16[i] = (int16_t)(noise >> 16);
        u16[i] = (uint16_t)(noise >> 16);
        i32[i] = (int32_t)noise;
        u32[i] = noise;
        f32[i] = (float)i32[i] / 65536;
        f64[i] = (double)i32[i] / 3;
    }
    struct codec_samples rows[] = {
        grey(i8, COUNT, 1, true),   grey(u8, COUNT, 1, false), grey(i16, COUNT, 2, true),
        grey(u16, COUNT, 2, false), grey(i32, COUNT, 4, true), grey(u32, COUNT, 4, false),
        grey(f32, COUNT, 4, true),  grey(f64, COUNT, 8, true),
    };
    rows[6].is_float = rows[7].is_float = true;
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        double scale = row < 2 ? 1 : row < 4 || row == 6 ? 200 : 1e7;
        for (int variant = 0; variant < 8; variant++) {
            struct display_frame frame = shown(DISPLAY_VOI);
            frame.invert = (variant & 1) != 0;
            if ((variant & 2) != 0)
                frame.modality = (struct modality){-0.75, 12.5, NULL};
            frame.voi =
                (variant & 4) != 0 ? voi_sigmoid(10 * scale, 60 * scale) : voi_linear(10 * scale, 60 * scale);
            check_row(&rows[row], &frame, true);
            check_row(&rows[row], &frame, false);
        }
    }
}

/* w = 256, c = 128: y = x * 65535 / 255, and in 8 bits y = x. */
static void test_values_by_hand(void **state)
{
    (void)state;
    uint16_t values[] = {0, 1, 127, 128, 254, 255, 256, 65535};
    const uint32_t wide[] = {0, 257, 32639, 32896, 65278, 65535, 65535, 65535};
    const uint32_t narrow[] = {0, 1, 127, 128, 254, 255, 255, 255};
    uint8_t out[16];
    struct codec_samples in = grey(values, 8, 2, false);
    struct display_frame frame = shown(DISPLAY_VOI);
    frame.voi = voi_linear(128, 256);
    struct render_plan plan = plan_of(&in, &frame, true, out);
    assert_true(plan.offset == 0 && plan.maximum == 255);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(at(out, i, true), wide[i]);
    (void)plan_of(&in, &frame, false, out);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(at(out, i, false), narrow[i]);
    frame.invert = true;
    (void)plan_of(&in, &frame, false, out);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(at(out, i, false), 255 - narrow[i]);
}

static void test_all_values_but_the_padding(void **state)
{
    (void)state;
    int16_t values[] = {-2000, -1000, 0, 1000, -2000, -1950};
    uint8_t out[6];
    struct codec_samples in = grey(values, 6, 2, true);
    struct display_frame frame = shown(DISPLAY_ALL);
    struct render_plan plan = plan_of(&in, &frame, false, out);
    assert_true(plan.offset == -2000 && plan.maximum == 1000);
    frame.has_padding = true;
    frame.padding_low = -2000;
    frame.padding_high = -1950;
    plan = plan_of(&in, &frame, false, out);
    assert_true(plan.offset == -1000 && plan.maximum == 1000);
    const uint8_t expected[] = {0, 0, 128, 255, 0, 0};
    assert_memory_equal(out, expected, sizeof expected);
    /* One beyond either end of the padding counts. */
    frame.padding_low = -1999;
    assert_true(plan_of(&in, &frame, false, out).offset == -2000);
    frame.padding_low = -2000;
    frame.padding_high = -1951;
    assert_true(plan_of(&in, &frame, false, out).offset == -1950);
    /* Values behind the Modality LUT, which turns them round. */
    frame.padding_high = -1950;
    frame.modality = (struct modality){-1, 0, NULL};
    plan = plan_of(&in, &frame, false, out);
    assert_true(plan.offset == -1000 && plan.maximum == 1000);
    assert_int_equal(out[1], 255);
    /* Nothing but padding: all black. */
    frame.padding_high = 1000;
    (void)plan_of(&in, &frame, false, out);
    assert_int_equal(out[3], 0);
}

/* Of the values 1 to 1000, once each, 1 % do not exceed 10, 99 % not 990. */
static void test_percentiles(void **state)
{
    (void)state;
    static uint16_t values[COUNT];
    static float floats[COUNT];
    static uint8_t out[COUNT];
    for (uint16_t i = 0; i < COUNT; i++) {
        values[i] = (uint16_t)((i * 7) % COUNT + 1);
        floats[i] = (float)values[i];
    }
    struct codec_samples in = grey(values, COUNT, 2, false);
    struct display_frame frame = shown(DISPLAY_AUTO);
    struct render_plan plan = plan_of(&in, &frame, false, out);
    assert_true(plan.offset == 10 && plan.maximum == 990);
    frame.has_padding = true; /* 500 values are left, 501 to 1000: 5 and 495 of them */
    frame.padding_low = 0;
    frame.padding_high = 500;
    plan = plan_of(&in, &frame, false, out);
    assert_true(plan.offset == 505 && plan.maximum == 995);
    /* Floats by bins of 1/65536 of their range. */
    in = grey(floats, COUNT, 4, true);
    in.is_float = true;
    frame.has_padding = false;
    floats[0] = NAN;
    floats[1] = INFINITY;
    plan = plan_of(&in, &frame, false, out);
    assert_true(fabs(plan.offset - 11) <= 1.02 && fabs(plan.maximum - 990) <= 1.02);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 255);
}

static void test_constant_and_extreme_floats(void **state)
{
    (void)state;
    double values[] = {5, 5, 5}, extremes[] = {-1.7e308, 0, 1.7e308};
    uint8_t out[3];
    struct display_frame frame = shown(DISPLAY_ALL);
    struct codec_samples in = grey(values, 3, 8, true);
    in.is_float = true;
    struct render_plan constant = plan_of(&in, &frame, false, out);
    assert_true(constant.offset == 0 && constant.maximum == 5); /* as a mask that is all 1 */
    assert_int_equal(out[0] & out[1] & out[2], 255);
    values[0] = values[1] = values[2] = -5;
    (void)plan_of(&in, &frame, false, out);
    assert_int_equal(out[0] | out[1] | out[2], 0);
    in.data = extremes;
    struct render_plan plan = plan_of(&in, &frame, false, out);
    assert_true(plan.offset == -1.7e308 && plan.maximum == 1.7e308);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[2], 255);
}

/* A slope that leads beyond what a double holds: what has no value does not count, and is white or black. */
static void test_values_beyond_a_double(void **state)
{
    (void)state;
    int16_t values[] = {-1000, 0, 1, 2, 1000};
    uint8_t out[5];
    struct display_frame frame = shown(DISPLAY_ALL);
    struct codec_samples in = grey(values, 5, 2, true);
    frame.modality.slope = 5e307;
    struct render_plan plan = plan_of(&in, &frame, false, out);
    assert_true(plan.offset == 0 && plan.maximum == 1e308);
    const uint8_t expected[] = {0, 0, 128, 255, 255};
    assert_memory_equal(out, expected, sizeof out);
}

/* Grey below the palette's first value, its colours from there on; beyond its end the last. */
static void test_supplemental_palette(void **state)
{
    (void)state;
    uint16_t red[] = {0, 65535}, green[] = {1000, 2000}, blue[] = {32768, 257},
             values[] = {50, 99, 100, 101, 300};
    const struct palette palette = {.tables = {{.entries = red, .count = 2, .first = 100, .bits = 16},
                                               {.entries = green, .count = 2, .first = 100, .bits = 16},
                                               {.entries = blue, .count = 2, .first = 100, .bits = 16}},
                                    .bits = 16};
    const uint32_t wide[] = {33098, 33098, 33098, 65535, 65535, 65535, 0,  1000,
                             32768, 65535, 2000,  257,   65535, 2000,  257};
    uint8_t out[30];
    struct codec_samples in = grey(values, 5, 2, false);
    struct display_frame frame = shown(DISPLAY_VOI);
    frame.voi = voi_range(0, 99);
    frame.supplemental = &palette;
    struct render_plan plan = plan_of(&in, &frame, true, out);
    assert_int_equal(plan.samples, 3);
    for (size_t i = 0; i < 15; i++)
        assert_int_equal(at(out, i, true), wide[i]);
    (void)plan_of(&in, &frame, false, out);
    const uint8_t narrow[] = {129, 129, 129, 255, 255, 255, 0, 4, 128, 255, 8, 1, 255, 8, 1};
    assert_memory_equal(out, narrow, sizeof narrow);
}

/* Colour keeps its values, in a PNG of its own depth. */
static void test_colour_is_not_windowed(void **state)
{
    (void)state;
    uint8_t bytes[] = {0, 1, 200}, out[6];
    uint16_t words[] = {0, 2048, 4095};
    struct options options = {.pixel_scaling = PIXEL_SCALING_WINDOW, .is_16_bit = true};
    struct render_plan plan;
    struct error err;
    struct codec_samples in = grey(bytes, 1, 1, false);
    in.samples = 3;
    in.precision = 8;
    assert_true(render_plan(&in, 8, false, &options, &plan, &err));
    assert_false(plan.is_16_bit);
    assert_true(plan.offset == 0 && plan.maximum == 255);
    render_row(&in, &plan, 0, out);
    assert_memory_equal(out, bytes, 3);
    in.data = words;
    in.bytes = 2;
    in.precision = 12;
    assert_true(render_plan(&in, 12, false, &options, &plan, &err));
    assert_true(plan.is_16_bit);
    render_row(&in, &plan, 0, out);
    assert_int_equal(at(out, 1, true), 32775); /* 2048 * 65535 / 4095 = 32775.5 */
    assert_int_equal(at(out, 2, true), 65535);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_type_of_sample),        TEST(test_values_by_hand),
        TEST(test_all_values_but_the_padding),  TEST(test_percentiles),
        TEST(test_constant_and_extreme_floats), TEST(test_supplemental_palette),
        TEST(test_colour_is_not_windowed),      TEST(test_values_beyond_a_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
