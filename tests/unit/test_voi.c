/* The two steps of voi.h, against values worked out by hand from the formulas of PS3.3 C.11.1 and C.11.2. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/decoder/render/voi.h"

static void expect(double found, double expected, double value)
{
    if (!(fabs(found - expected) < 1e-12))
        fail_msg("%g becomes %.15g, not %.15g", value, found, expected);
}

struct step {
    double value, share;
};

static void check(const struct voi *voi, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect(voi_apply(voi, steps[i].value), steps[i].share, steps[i].value);
}

#define CHECK(voi, steps) check(&(voi), steps, sizeof(steps) / sizeof(steps)[0])

/* The example of C.11.2.1.2.1: c = 2048, w = 4096 is y = x / 4095; and c = 2048, w = 1 is black up to 2047,
 * white from 2048 on. */
static void test_linear(void **state)
{
    (void)state;
    const struct step whole[] = {
        {-1, 0},   {0, 0},         {1, 1.0 / 4095}, {2047.5, 0.5}, {4094, 4094.0 / 4095},
        {4095, 1}, {4095.0001, 1}, {1e300, 1},      {-1e300, 0}};
    struct voi voi = voi_linear(2048, 4096);
    CHECK(voi, whole);
    const struct step threshold[] = {{2047, 0}, {2047.5, 0}, {2047.6, 1}, {2048, 1}};
    voi = voi_linear(2048, 1);
    CHECK(voi, threshold);
    /* c = 0, w = 100: black up to -50, white above 49. */
    const struct step hundred[] = {{-50, 0},        {-49, 1.0 / 99}, {0, 50.0 / 99},
                                   {48, 98.0 / 99}, {49, 1},         {50, 1}};
    voi = voi_linear(0, 100);
    CHECK(voi, hundred);
    expect(voi.low, -50, 0);
    expect(voi.high, 49, 0);
}

/* C.11.2.1.3.2: c = 2048, w = 4096 is y = x / 4096; c = 0, w = 100 black up to -50, white above 50. */
static void test_linear_exact(void **state)
{
    (void)state;
    const struct step whole[] = {{0, 0}, {2048, 0.5}, {4095, 4095.0 / 4096}, {4096, 1}, {4097, 1}, {-3, 0}};
    struct voi voi = voi_linear_exact(2048, 4096);
    CHECK(voi, whole);
    const struct step small[] = {{0.2, 0}, {0.25, 0}, {0.375, 0.25}, {0.5, 0.5}, {0.75, 1}};
    voi = voi_linear_exact(0.5, 0.5);
    CHECK(voi, small);
}

/* C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w)). */
static void test_sigmoid(void **state)
{
    (void)state;
    const struct step steps[] = {{40, 0.5},
                                 {140, 0.7310585786300049}, /* 1 / (1 + e^-1) */
                                 {-60, 0.2689414213699951},
                                 {440, 0.9820137900379085}, /* 1 / (1 + e^-4) */
                                 {-1e6, 0},
                                 {1e6, 1}};
    struct voi voi = voi_sigmoid(40, 400);
    CHECK(voi, steps);
    expect(voi.low, -160, 0);
    expect(voi.high, 240, 0);
}

static void test_range(void **state)
{
    (void)state;
    const struct step steps[] = {{-3, 0}, {-2, 0}, {0, 0.5}, {1, 0.75}, {2, 1}, {3, 1}};
    struct voi voi = voi_range(-2, 2);
    CHECK(voi, steps);
    voi = voi_range(7, 7);
    expect(voi_apply(&voi, 7), 0, 7);
    expect(voi_apply(&voi, NAN), 0, 0);
    expect(voi_apply(&voi, INFINITY), 1, 0);
    expect(voi_apply(&voi, -INFINITY), 0, 0);
    /* A window whose ends lie beyond what a double holds. */
    voi = voi_linear(-1e308, 1.7e308);
    assert_true(isfinite(voi.low) && voi_apply(&voi, -1e308) > 0 && voi_apply(&voi, -1e308) < 1);
    expect(voi_apply(&voi, INFINITY), 1, 0);
    voi = voi_range(-INFINITY, INFINITY);
    expect(voi_apply(&voi, 0), 0.5, 0);
}

static void test_table(void **state)
{
    (void)state;
    uint16_t entries[] = {0, 100, 1023, 2000};
    const struct lut lut = {.entries = entries, .count = 4, .first = -1, .bits = 10};
    const struct step steps[] = {
        {-100, 0}, {-1, 0},   {-0.5, 100.0 / 1023}, {0, 100.0 / 1023}, {0.49, 100.0 / 1023},
        {1, 1},    {2, 1}, /* more than 10 bits hold is white */
        {1e30, 1}, {-1e30, 0}};
    struct voi voi = voi_table(&lut);
    CHECK(voi, steps);
    expect(voi.low, -1, 0);
    expect(voi.high, 2, 0);
    /* A descriptor without bits means 16. */
    const struct lut vague = {.entries = entries, .count = 4, .first = 0, .bits = 0};
    voi = voi_table(&vague);
    expect(voi_apply(&voi, 3), 2000.0 / 65535, 3);
}

static void test_modality(void **state)
{
    (void)state;
    uint16_t entries[] = {500, 400, 300};
    const struct lut lut = {.entries = entries, .count = 3, .first = 10, .bits = 16};
    const struct modality hounsfield = {1, -1024, NULL}, falling = {-0.5, 3, NULL}, table = {2, 7, &lut};
    expect(modality_apply(&hounsfield, 0), -1024, 0);
    expect(modality_apply(&hounsfield, 4095), 3071, 4095);
    expect(modality_apply(&falling, -4), 5, -4);
    expect(modality_apply(&table, 9), 500, 9);
    expect(modality_apply(&table, 11), 400, 11);
    expect(modality_apply(&table, 13), 300, 13);
    expect(modality_apply(&MODALITY_IDENTITY, 5), 5, 5);
    assert_true(isnan(modality_apply(&table, NAN))); /* of float samples; so that it becomes black */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear), cmocka_unit_test(test_linear_exact), cmocka_unit_test(test_sigmoid),
        cmocka_unit_test(test_range),  cmocka_unit_test(test_table),        cmocka_unit_test(test_modality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
