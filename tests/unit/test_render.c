/* Scaling: against the formula written out, in every mode and for every type of sample. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/decoder/render/render.h"

static struct codec_samples grey(void *data, uint32_t count, uint32_t bytes, bool is_signed)
{
    return (struct codec_samples){
        .data = data, .rows = 1, .columns = count, .samples = 1, .bytes = bytes, .is_signed = is_signed};
}

static struct render_plan plan_of(const struct codec_samples *in, enum pixel_scaling scaling, bool is_16_bit,
                                  bool invert, uint32_t stored_bits)
{
    struct options options = {.pixel_scaling = scaling, .is_16_bit = is_16_bit};
    struct render_plan plan;
    struct error err;
    assert_true(render_plan(in, stored_bits, invert, &options, &plan, &err));
    return plan;
}

static uint32_t at(const uint8_t *out, size_t index, bool is_16_bit)
{
    return is_16_bit ? (uint32_t)out[2 * index] << 8 | out[2 * index + 1] : out[index];
}

/* trunc((v / max) * white) in double arithmetic, for v = 0..max in one row of unsigned 16-bit samples. */
static void check_range(uint32_t max, bool is_16_bit)
{
    static uint16_t values[65536];
    static uint8_t out[2 * 65536];
    double white = is_16_bit ? 65535.0 : 255.0;
    for (uint32_t v = 0; v <= max; v++)
        values[v] = (uint16_t)v;
    struct codec_samples in = grey(values, max + 1, 2, false);
    struct render_plan plan = plan_of(&in, PIXEL_SCALING_NIFFLER, is_16_bit, false, 16);
    assert_true(max == 0 || plan.multiplier != 0);
    render_row(&in, &plan, 0, out);
    for (uint32_t v = 0; v <= max; v++) {
        uint32_t expected = max == 0 ? 0 : (uint32_t)((double)v / (double)max * white);
        if (at(out, v, is_16_bit) != expected)
            fail_msg("%u of %u gives %u, not %u", v, max, at(out, v, is_16_bit), expected);
    }
}

static void test_integer_form_equals_double_arithmetic(void **state)
{
    (void)state;
    for (int is_16_bit = 0; is_16_bit <= 1; is_16_bit++) {
        for (uint32_t max = 0; max <= 520; max++)
            check_range(max, is_16_bit != 0);
        for (uint32_t max = 521; max <= 65535; max += 331)
            check_range(max, is_16_bit != 0);
        for (uint32_t bits = 10; bits <= 16; bits++) {
            check_range((1u << bits) - 2, is_16_bit != 0);
            check_range((1u << bits) - 1, is_16_bit != 0);
            if (bits < 16)
                check_range(1u << bits, is_16_bit != 0);
        }
    }
}

static void test_niffler_reference_values(void **state)
{
    (void)state;
    static const uint32_t wide[] = {0, 5957, 11915, 17873}, narrow[] = {0, 23, 46, 69};
    int16_t values[12];
    uint8_t out[24];
    for (int i = 0; i < 12; i++)
        values[i] = (int16_t)(i * 100);
    struct codec_samples in = grey(values, 12, 2, true);
    struct render_plan plan = plan_of(&in, PIXEL_SCALING_NIFFLER, true, false, 16);
    render_row(&in, &plan, 0, out);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(at(out, i, true), wide[i]);
    assert_int_equal(at(out, 11, true), 65535);
    plan = plan_of(&in, PIXEL_SCALING_NIFFLER, false, false, 16);
    render_row(&in, &plan, 0, out);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(at(out, i, false), narrow[i]);
}

static double sample(const struct codec_samples *in, size_t i)
{
    if (in->is_float)
        return in->bytes == 8 ? ((double *)in->data)[i] : (double)((float *)in->data)[i];
    int64_t value = 0;
    if (in->bytes == 1)
        value = in->is_signed ? ((int8_t *)in->data)[i] : ((uint8_t *)in->data)[i];
    else if (in->bytes == 2)
        value = in->is_signed ? ((int16_t *)in->data)[i] : ((uint16_t *)in->data)[i];
    else
        value = in->is_signed ? (int64_t)((int32_t *)in->data)[i] : (int64_t)((uint32_t *)in->data)[i];
    return (double)value;
}

/* Random samples of one type, in both scaled modes, both depths, inverted or not, against the formulas of
 * render.h. */
static void check_type(uint32_t bytes, bool is_signed, bool is_float)
{
    enum { COUNT = 1001 };
    static uint64_t data[COUNT];
    static uint8_t out[2 * COUNT];
    for (unsigned variant = 0; variant < 8; variant++) {
        unsigned seed = 7 * variant + bytes;
        for (size_t i = 0; i < COUNT; i++) {
            uint32_t r = (uint32_t)rand_r(&seed) << 16 ^ (uint32_t)rand_r(&seed);
            if (is_float && bytes == 8)
                ((double *)data)[i] = ((double)r - 2e9) / 1e3;
            else if (is_float)
                ((float *)data)[i] = (float)(((double)r - 2e9) / 1e3);
            else
                memcpy((uint8_t *)data + i * bytes, &r, bytes);
        }
        struct codec_samples in = grey(data, COUNT, bytes, is_signed);
        in.is_float = is_float;
        bool is_16_bit = variant & 1, invert = variant & 2, is_full = variant & 4;
        double white = is_16_bit ? 65535 : 255, low = 0, high = sample(&in, 0);
        for (size_t i = 0; i < COUNT; i++) {
            low = fmin(low, sample(&in, i));
            high = fmax(high, sample(&in, i));
        }
        if (!is_full)
            low = 0;
        struct render_plan plan =
            plan_of(&in, is_full ? PIXEL_SCALING_FULL : PIXEL_SCALING_NIFFLER, is_16_bit, invert, 8 * bytes);
        assert_true(plan.offset == low && plan.maximum == high && plan.highest == high);
        render_row(&in, &plan, 0, out);
        for (size_t i = 0; i < COUNT; i++) {
            uint32_t p = (uint32_t)((fmax(sample(&in, i), low) - low) / (high - low) * white);
            assert_int_equal(at(out, i, is_16_bit), invert ? (uint32_t)white - p : p);
        }
    }
}

static void test_every_type_of_sample(void **state)
{
    (void)state;
    for (uint32_t bytes = 1; bytes <= 4; bytes *= 2) {
        check_type(bytes, false, false);
        check_type(bytes, true, false);
    }
    check_type(4, false, true);
    check_type(8, false, true);
}

static void test_full_keeps_what_lies_below_zero(void **state)
{
    (void)state;
    int16_t values[] = {-1024, 0, 3071};
    uint8_t out[6];
    struct codec_samples in = grey(values, 3, 2, true);
    struct render_plan plan = plan_of(&in, PIXEL_SCALING_FULL, true, false, 12);
    render_row(&in, &plan, 0, out);
    assert_int_equal(at(out, 0, true), 0);
    assert_int_equal(at(out, 1, true), (uint32_t)(1024.0 / 4095 * 65535));
    assert_int_equal(at(out, 2, true), 65535);
    assert_true(plan.offset == -1024 && plan.maximum == 3071 && plan.lowest == -1024);
}

static void test_frames_without_a_range_are_zero(void **state)
{
    (void)state;
    static const struct {
        int16_t value;
        enum pixel_scaling scaling;
        uint32_t expected;
    } cases[] = {{0, PIXEL_SCALING_NIFFLER, 0},     {-5, PIXEL_SCALING_NIFFLER, 0},
                 {0, PIXEL_SCALING_FULL, 0},        {-1000, PIXEL_SCALING_FULL, 0},
                 {5, PIXEL_SCALING_NIFFLER, 65535}, {5, PIXEL_SCALING_FULL, 65535}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int16_t values[] = {cases[i].value, cases[i].value};
        uint8_t out[4];
        struct codec_samples in = grey(values, 2, 2, true);
        struct render_plan plan = plan_of(&in, cases[i].scaling, true, false, 16);
        render_row(&in, &plan, 0, out);
        assert_int_equal(at(out, 0, true), cases[i].expected);
        assert_int_equal(at(out, 1, true), cases[i].expected);
    }
}

static void test_extremes_of_16_bits(void **state)
{
    (void)state;
    int16_t values[] = {INT16_MIN, -1, 0, INT16_MAX};
    uint8_t out[8];
    struct codec_samples in = grey(values, 4, 2, true);
    struct render_plan plan = plan_of(&in, PIXEL_SCALING_FULL, true, false, 16);
    render_row(&in, &plan, 0, out);
    assert_int_equal(at(out, 0, true), 0);
    assert_int_equal(at(out, 1, true), 32767);
    assert_int_equal(at(out, 2, true), 32768);
    assert_int_equal(at(out, 3, true), 65535);
}

static void test_float_with_nan_and_infinities(void **state)
{
    (void)state;
    float values[] = {NAN, -INFINITY, -1, 1, INFINITY};
    static const uint32_t expected[] = {0, 0, 0, 65535, 65535};
    uint8_t out[10];
    struct codec_samples in = grey(values, 5, 4, false);
    in.is_float = true;
    struct render_plan plan = plan_of(&in, PIXEL_SCALING_FULL, true, false, 32);
    assert_true(plan.lowest == -1 && plan.highest == 1);
    render_row(&in, &plan, 0, out);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(at(out, i, true), expected[i]);

    float nothing[] = {NAN, INFINITY};
    in = grey(nothing, 2, 4, false);
    in.is_float = true;
    plan = plan_of(&in, PIXEL_SCALING_NIFFLER, true, false, 32);
    render_row(&in, &plan, 0, out);
    assert_int_equal(at(out, 0, true), 0);
}

static void test_double_of_the_widest_range(void **state)
{
    (void)state;
    double values[] = {-1.7e308, 0, 1.7e308};
    uint8_t out[6];
    struct codec_samples in = grey(values, 3, 8, false);
    in.is_float = true;
    struct render_plan plan = plan_of(&in, PIXEL_SCALING_FULL, true, false, 64);
    render_row(&in, &plan, 0, out);
    assert_int_equal(at(out, 0, true), 0);
    assert_int_equal(at(out, 1, true), 32767);
    assert_int_equal(at(out, 2, true), 65535);
}

static void test_colour_rows_and_their_common_maximum(void **state)
{
    (void)state;
    uint8_t pixels[] = {0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110}; /* 2 x 2 RGB */
    uint8_t out[6];
    struct codec_samples in = {.data = pixels, .rows = 2, .columns = 2, .samples = 3, .bytes = 1};
    struct render_plan plan = plan_of(&in, PIXEL_SCALING_NIFFLER, false, false, 8);
    assert_true(plan.highest == 110);
    render_row(&in, &plan, 1, out);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(out[i], (uint32_t)(pixels[6 + i] / 110.0 * 255));
}

static void test_stored_is_reversible(void **state)
{
    (void)state;
    static const struct {
        bool is_signed;
        uint32_t stored_bits;
        int16_t values[3];
        double offset;
        bool is_16_bit;
    } cases[] = {
        {true, 12, {-2048, 0, 2047}, -2048, true},
        {true, 8, {-128, 0, 127}, -128, false},
        {false, 8, {0, 7, 255}, 0, false},
        {false, 12, {0, 7, 4095}, 0, true},
        {false, 8, {0, 7, 256}, 0, true},          /* overshoots */
        {true, 8, {-129, 0, 127}, -256, true},     /* undershoots */
        {true, 12, {-3000, 0, 2500}, -4096, true}, /* both */
        {true, 16, {-32768, 0, 32767}, -32768, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int16_t values[3];
        uint8_t out[6];
        memcpy(values, cases[i].values, sizeof values);
        struct codec_samples in = grey(values, 3, 2, cases[i].is_signed);
        struct render_plan plan =
            plan_of(&in, PIXEL_SCALING_STORED, !cases[i].is_16_bit, true, cases[i].stored_bits);
        assert_int_equal(plan.is_16_bit, cases[i].is_16_bit);
        assert_false(plan.invert);
        assert_true(plan.offset == cases[i].offset);
        double white = plan.is_16_bit ? 65535 : 255;
        render_row(&in, &plan, 0, out);
        for (size_t j = 0; j < 3; j++)
            assert_true(plan.offset + at(out, j, plan.is_16_bit) * (plan.maximum - plan.offset) / white ==
                        values[j]);
    }
}

static void test_stored_single_bits(void **state)
{
    (void)state;
    uint8_t values[] = {0, 1, 1}, out[3];
    struct codec_samples in = grey(values, 3, 1, false);
    struct render_plan plan = plan_of(&in, PIXEL_SCALING_STORED, true, false, 1);
    assert_true(!plan.is_16_bit && plan.offset == 0 && plan.maximum == 1);
    render_row(&in, &plan, 0, out);
    assert_memory_equal(out, values, 3);
}

static void test_stored_refuses_what_no_png_holds(void **state)
{
    (void)state;
    uint32_t wide[] = {0, 65536};
    float real[] = {0.0f, 1.0f};
    struct options options = {.pixel_scaling = PIXEL_SCALING_STORED};
    struct render_plan plan;
    struct error err;
    struct codec_samples in = grey(wide, 2, 4, false);
    assert_false(render_plan(&in, 32, false, &options, &plan, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_int_equal(err.category, CATEGORY_UNDECODABLE);
    assert_string_equal(err.code, CODE_UNSUPPORTED_PIXELS);
    in = grey(real, 2, 4, false);
    in.is_float = true;
    assert_false(render_plan(&in, 32, false, &options, &plan, &err));
    assert_string_equal(err.code, CODE_UNSUPPORTED_PIXELS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integer_form_equals_double_arithmetic),
        cmocka_unit_test(test_niffler_reference_values),
        cmocka_unit_test(test_every_type_of_sample),
        cmocka_unit_test(test_full_keeps_what_lies_below_zero),
        cmocka_unit_test(test_frames_without_a_range_are_zero),
        cmocka_unit_test(test_extremes_of_16_bits),
        cmocka_unit_test(test_float_with_nan_and_infinities),
        cmocka_unit_test(test_double_of_the_widest_range),
        cmocka_unit_test(test_colour_rows_and_their_common_maximum),
        cmocka_unit_test(test_stored_is_reversible),
        cmocka_unit_test(test_stored_single_bits),
        cmocka_unit_test(test_stored_refuses_what_no_png_holds),
    };
    return cmocka_run_group_tests_name("render", tests, NULL, NULL);
}
