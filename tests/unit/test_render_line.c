/* A window as a line gives what its table holds, for windows of all kinds; what is no line is declined. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/decoder/render/render_line.h"

#define VALUES 65536u

static uint16_t table[VALUES];
static uint32_t noise = 1;

static double random_up_to(double most)
{
    noise = noise * 1664525 + 1013904223;
    return (double)(noise >> 8) / (1 << 24) * most;
}

/* By the formula of render_window.h. */
static void fill_table(const struct modality *modality, const struct voi *voi, const struct render_plan *plan)
{
    uint32_t white = plan->is_16_bit ? 65535 : 255;
    for (double sample = plan->lowest; sample <= plan->highest; sample++) {
        uint16_t p = (uint16_t)(voi_apply(voi, modality_apply(modality, sample)) * white + 0.5);
        p = plan->invert ? (uint16_t)(white - p) : p;
        table[(size_t)(sample - plan->lowest)] = plan->is_16_bit ? render_big_endian(p) : p;
    }
}

static bool fits(struct render_line *line, const struct modality *modality, const struct voi *voi,
                 const struct render_plan *plan)
{
    fill_table(modality, voi, plan);
    return render_line_fit(line, modality, voi, plan, table);
}

/* All samples from the lowest to the highest, as a row of odd length. */
static void check_row(const struct render_line *line, const struct render_plan *plan)
{
    static uint16_t samples[VALUES];
    static uint8_t out[2 * VALUES + 2];
    size_t count = (size_t)(plan->highest - plan->lowest) + 1, bytes = plan->is_16_bit ? 2 : 1;
    for (size_t i = 0; i < count; i++)
        samples[i] = (uint16_t)((int64_t)plan->lowest + (int64_t)i);
    for (size_t length = count; length + 2 > count; length--) { /* and one less */
        memset(out, 0xA5, sizeof out);
        render_line_row(line, samples, length, out);
        for (size_t i = 0; i < length; i++)
            assert_int_equal(plan->is_16_bit ? memcmp(out + 2 * i, &table[i], 2) : out[i] - table[i], 0);
        assert_int_equal(out[length * bytes], 0xA5);
        if (length == 1)
            break;
    }
}

/* Windows as scanners and viewers write them: whole numbers, Hounsfield units. */
static void test_usual_windows_are_lines(void **state)
{
    (void)state;
    static const double windows[][2] = {{40, 400},    {-600, 1500}, {300, 1500}, {40, 80},     {128, 256},
                                        {127.5, 255}, {2048, 4096}, {50, 350},   {1000, 2001}, {0, 3}};
    static const struct {
        double lowest, highest, slope, intercept;
    } frames[] = {{0, 4095, 1, -1024},   {-1024, 3071, 1, 0}, {-2000, 3000, 1, 0}, {0, 65535, 1, -32768},
                  {-32768, 32767, 1, 0}, {0, 4095, 0.5, 0},   {0, 1500, 2, -1000}};
    struct render_line line;
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        struct voi voi = voi_linear(windows[i][0], windows[i][1]);
        for (size_t k = 0; k < 4 * sizeof frames / sizeof frames[0]; k++) {
            struct modality modality = {frames[k / 4].slope, frames[k / 4].intercept, NULL};
            struct render_plan plan = {.lowest = frames[k / 4].lowest,
                                       .highest = frames[k / 4].highest,
                                       .is_16_bit = (k & 1) != 0,
                                       .invert = (k & 2) != 0};
            assert_true(fits(&line, &modality, &voi, &plan));
            check_row(&line, &plan);
        }
    }
}

/* Any other. Declined are only some of those that reach from the lowest sample to the highest: where numbers
 * lie half between two, and double arithmetic comes now to a little less and now not. */
static void test_any_window(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct render_line line;
    unsigned declined[2] = {0, 0};
    for (unsigned i = 0; i < COUNT; i++) {
        bool is_range = i % 2 == 1;
        struct modality modality = {0.01 + random_up_to(3), random_up_to(4000) - 2000, NULL};
        struct render_plan plan = {
            .lowest = floor(random_up_to(2000)) - 1000, .is_16_bit = (i & 2) != 0, .invert = (i & 4) != 0};
        plan.highest = plan.lowest + 1 + floor(random_up_to(6000));
        double start = modality_apply(&modality, plan.lowest), end = modality_apply(&modality, plan.highest);
        struct voi voi = is_range
                             ? voi_range(start, end)
                             : voi_linear_exact(start + random_up_to(end - start), 1 + random_up_to(3000));
        if (fits(&line, &modality, &voi, &plan))
            check_row(&line, &plan);
        else
            declined[is_range]++;
    }
    assert_int_equal(declined[false], 0);
    assert_in_range(declined[true], 0, COUNT / 2 / 5);
}

static void test_what_is_no_line_is_declined(void **state)
{
    (void)state;
    struct render_line line;
    struct modality modality = MODALITY_IDENTITY;
    struct render_plan plan = {.lowest = 0, .highest = 4095, .is_16_bit = true};
    uint16_t entries[] = {0, 65535};
    const struct lut lut = {.entries = entries, .count = 2, .bits = 16};
    struct voi voi = voi_sigmoid(2048, 4096);
    assert_false(fits(&line, &modality, &voi, &plan));
    voi = voi_table(&lut);
    assert_false(fits(&line, &modality, &voi, &plan));
    voi = voi_linear(2048, 1); /* a threshold */
    assert_false(fits(&line, &modality, &voi, &plan));
    voi = voi_range(-INFINITY, INFINITY);
    assert_false(fits(&line, &modality, &voi, &plan));
    voi = voi_linear(9000, 100); /* all is black */
    assert_false(fits(&line, &modality, &voi, &plan));
    voi = voi_linear(-9000, 100);
    assert_false(fits(&line, &modality, &voi, &plan));
    voi = voi_linear(2048, 4096);
    modality.lut = &lut;
    assert_false(fits(&line, &modality, &voi, &plan));
    modality = (struct modality){-1, 4095, NULL};
    assert_false(fits(&line, &modality, &voi, &plan));
    modality = (struct modality){0, 0, NULL};
    assert_false(fits(&line, &modality, &voi, &plan));
    modality = (struct modality){NAN, 0, NULL};
    assert_false(fits(&line, &modality, &voi, &plan));
    modality = (struct modality){1e300, 0, NULL};
    assert_false(fits(&line, &modality, &voi, &plan));
}

/* One entry that is another one is enough. */
static void test_every_entry_is_compared(void **state)
{
    (void)state;
    static const size_t entries[] = {0, 1, 511, 512, 2048, 4094, 4095};
    const struct modality modality = MODALITY_IDENTITY;
    const struct voi voi = voi_linear(2048, 4096);
    struct render_line line;
    for (unsigned depth = 0; depth < 2; depth++) {
        struct render_plan plan = {.lowest = 0, .highest = 4095, .is_16_bit = depth == 1};
        assert_true(fits(&line, &modality, &voi, &plan));
        for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
            table[entries[i]] ^= 1;
            assert_false(render_line_fit(&line, &modality, &voi, &plan, table));
            table[entries[i]] ^= 1;
        }
        assert_true(render_line_fit(&line, &modality, &voi, &plan, table));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual_windows_are_lines),
        cmocka_unit_test(test_any_window),
        cmocka_unit_test(test_what_is_no_line_is_declined),
        cmocka_unit_test(test_every_entry_is_compared),
    };
    return cmocka_run_group_tests_name("a window as a line", tests, NULL, NULL);
}
