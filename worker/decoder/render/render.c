#include "worker/decoder/render/render.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "worker/decoder/vectors.h"
#include "worker/decoder/render/render_scale.h"
#include "worker/decoder/render/render_window.h"

/* ---- extremes -------------------------------------------------------------------------------------- */

/* One loop for each type of sample, so that the compiler makes vectors of each. */
#define DEFINE_EXTREMES(name, type)                                                          \
    FOR_EACH_VECTOR_WIDTH static void name(const type *values, size_t count, double *lowest, \
                                           double *highest)                                  \
    {                                                                                        \
        type low = values[0], high = values[0];                                              \
        for (size_t i = 1; i < count; i++) {                                                 \
            low = values[i] < low ? values[i] : low;                                         \
            high = values[i] > high ? values[i] : high;                                      \
        }                                                                                    \
        *lowest = (double)low;                                                               \
        *highest = (double)high;                                                             \
    }

DEFINE_EXTREMES(extremes_u8, uint8_t)
DEFINE_EXTREMES(extremes_i8, int8_t)
DEFINE_EXTREMES(extremes_u16, uint16_t)
DEFINE_EXTREMES(extremes_i16, int16_t)
DEFINE_EXTREMES(extremes_u32, uint32_t)
DEFINE_EXTREMES(extremes_i32, int32_t)

/* Of what is finite; 0 and 0 where nothing is. */
static void extremes_float(const struct codec_samples *in, size_t count, double *lowest, double *highest)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        double value = render_sample(in, i);
        if (!isfinite(value))
            continue;
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    *lowest = low <= high ? low : 0;
    *highest = low <= high ? high : 0;
}

void render_extremes(const struct codec_samples *in, double *lowest, double *highest)
{
    size_t count = (size_t)in->rows * in->columns * in->samples;
    *lowest = *highest = 0;
    if (count == 0)
        return;
    if (in->is_float) {
        extremes_float(in, count, lowest, highest);
        return;
    }
    switch (in->bytes) {
    case 1:
        if (in->is_signed)
            extremes_i8(in->data, count, lowest, highest);
        else
            extremes_u8(in->data, count, lowest, highest);
        break;
    case 2:
        if (in->is_signed)
            extremes_i16(in->data, count, lowest, highest);
        else
            extremes_u16(in->data, count, lowest, highest);
        break;
    default:
        assert(in->bytes == 4);
        if (in->is_signed)
            extremes_i32(in->data, count, lowest, highest);
        else
            extremes_u32(in->data, count, lowest, highest);
    }
}

/* ---- the plan -------------------------------------------------------------------------------------- */

static bool plan_stored(const struct codec_samples *in, uint32_t stored_bits, struct render_plan *plan,
                        struct error *err)
{
    if (in->is_float)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                           "no PNG holds floating-point samples as stored");
    uint32_t bits = stored_bits < 1 ? 1 : stored_bits;
    for (; bits <= 16; bits++) {
        double offset = in->is_signed ? -(double)(1u << (bits - 1)) : 0;
        if (plan->lowest >= offset && plan->highest <= offset + (double)((1u << bits) - 1))
            break;
    }
    if (bits > 16)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                           "no PNG holds samples of more than 16 bits as stored");
    plan->invert = false;
    plan->is_16_bit = bits > 8;
    plan->offset = in->is_signed ? -(double)(1u << (bits - 1)) : 0;
    plan->maximum = plan->offset + (bits == 1 ? 1 : plan->is_16_bit ? 65535 : 255);
    return true;
}

/* Colour keeps its values. Signed and float samples, which no standard colour has, are scaled as in `full`.
 */
static void plan_depth(const struct codec_samples *in, struct render_plan *plan)
{
    uint32_t bits = in->precision > 0 ? in->precision : in->bytes * 8;
    if (in->is_float || in->is_signed || bits > 16)
        return;
    plan->is_16_bit &= bits > 8;
    plan->maximum = (double)((1u << bits) - 1);
    if (plan->highest > plan->maximum) /* a lossy codestream overshoots */
        plan->maximum = plan->highest;
}

bool render_plan(const struct codec_samples *in, uint32_t stored_bits, bool invert,
                 const struct options *options, struct render_plan *plan, struct error *err)
{
    *plan = (struct render_plan){
        .scaling = options->pixel_scaling, .is_16_bit = options->is_16_bit, .invert = invert};
    plan->samples = in->samples;
    render_extremes(in, &plan->lowest, &plan->highest);
    if (plan->scaling == PIXEL_SCALING_STORED)
        return plan_stored(in, stored_bits, plan, err);
    plan->offset = plan->scaling != PIXEL_SCALING_NIFFLER && plan->lowest < 0 ? plan->lowest : 0;
    plan->maximum = plan->highest;
    if (plan->scaling == PIXEL_SCALING_WINDOW)
        plan_depth(in, plan);
    double range = plan->maximum - plan->offset;
    if (!in->is_float && in->bytes <= 2 && range >= 1) {
        assert(range <= 65535);
        uint64_t white = plan->is_16_bit ? 65535 : 255;
        plan->multiplier = (white << 32) / (uint64_t)range + 1;
        plan->is_unchanged =
            in->bytes == 1 && !in->is_signed && range == (double)white && plan->offset == 0 && !invert;
    }
    return true;
}

/* ---- rows ------------------------------------------------------------------------------------------ */

/* `floor` cuts what Niffler takes for 0; in `full` nothing lies below it. `flip` is 0 or all ones: white - p
 * is p ^ white. `out` is written in 16-bit units through memcpy(), which compiles to a plain store and needs
 * no alignment. */
#define DEFINE_INTEGER_ROWS(suffix, type)                                                                 \
    FOR_EACH_VECTOR_WIDTH static void row_16_##suffix(const type *restrict in, size_t count, type lowest, \
                                                      struct render_factor f, uint16_t flip,              \
                                                      uint8_t *restrict out)                              \
    {                                                                                                     \
        for (size_t i = 0; i < count; i++) {                                                              \
            type x = in[i] > lowest ? in[i] : lowest;                                                     \
            uint16_t p = render_big_endian(render_scale((uint16_t)(x - lowest), f, 0) ^ flip);            \
            memcpy(out + 2 * i, &p, sizeof p);                                                            \
        }                                                                                                 \
    }                                                                                                     \
    FOR_EACH_VECTOR_WIDTH static void row_8_##suffix(const type *restrict in, size_t count, type lowest,  \
                                                     struct render_factor f, uint16_t flip,               \
                                                     uint8_t *restrict out)                               \
    {                                                                                                     \
        for (size_t i = 0; i < count; i++) {                                                              \
            type x = in[i] > lowest ? in[i] : lowest;                                                     \
            out[i] = (uint8_t)(render_scale((uint16_t)(x - lowest), f, 0) ^ flip);                        \
        }                                                                                                 \
    }                                                                                                     \
    static void row_##suffix(const void *in, size_t count, const struct render_plan *plan,                \
                             struct render_factor f, uint16_t flip, uint8_t *out)                         \
    {                                                                                                     \
        if (plan->is_16_bit)                                                                              \
            row_16_##suffix(in, count, (type)plan->offset, f, flip, out);                                 \
        else                                                                                              \
            row_8_##suffix(in, count, (type)plan->offset, f, flip, out);                                  \
    }

DEFINE_INTEGER_ROWS(u8, uint8_t)
DEFINE_INTEGER_ROWS(i8, int8_t)
DEFINE_INTEGER_ROWS(u16, uint16_t)
DEFINE_INTEGER_ROWS(i16, int16_t)

static void store(uint8_t *out, size_t index, bool is_16_bit, uint16_t value)
{
    if (is_16_bit) {
        value = render_big_endian(value);
        memcpy(out + 2 * index, &value, sizeof value);
    } else {
        out[index] = (uint8_t)value;
    }
}

static void row_integer(const struct codec_samples *in, const struct render_plan *plan, size_t first,
                        size_t count, uint8_t *out)
{
    struct render_factor f = render_factor(plan->multiplier);
    uint16_t flip = plan->invert ? 0xffff : 0;
    const uint8_t *at = (const uint8_t *)in->data + first * in->bytes;
    if (plan->is_unchanged)
        memcpy(out, at, count);
    else if (in->bytes == 1 && in->is_signed)
        row_i8(at, count, plan, f, flip, out);
    else if (in->bytes == 1)
        row_u8(at, count, plan, f, flip, out);
    else if (in->is_signed)
        row_i16(at, count, plan, f, flip, out);
    else
        row_u16(at, count, plan, f, flip, out);
}

static void row_stored(const struct codec_samples *in, const struct render_plan *plan, size_t first,
                       size_t count, uint8_t *out)
{
    int64_t offset = (int64_t)plan->offset;
    for (size_t i = 0; i < count; i++)
        store(out, i, plan->is_16_bit, (uint16_t)((int64_t)render_sample(in, first + i) - offset));
}

/* As written in render.h and in Niffler: the quotient first, then times white, then the integer part. Where
 * the range exceeds what a double holds, both are halved. */
static uint16_t scale_double(double x, const struct render_plan *plan, double white)
{
    double range = plan->maximum - plan->offset;
    if (isnan(x) || !(range > 0))
        return 0;
    if (x <= plan->offset)
        return 0;
    if (x >= plan->maximum)
        return (uint16_t)white;
    double quotient = isfinite(range) ? (x - plan->offset) / range
                                      : (x / 2 - plan->offset / 2) / (plan->maximum / 2 - plan->offset / 2);
    return (uint16_t)(quotient * white);
}

static void row_double(const struct codec_samples *in, const struct render_plan *plan, size_t first,
                       size_t count, uint8_t *out)
{
    uint16_t white = plan->is_16_bit ? 65535 : 255;
    uint16_t flip = plan->invert ? white : 0;
    for (size_t i = 0; i < count; i++)
        store(out, i, plan->is_16_bit, scale_double(render_sample(in, first + i), plan, white) ^ flip);
}

void render_row(const struct codec_samples *in, const struct render_plan *plan, uint32_t row, uint8_t *out)
{
    size_t count = (size_t)in->columns * in->samples;
    size_t first = count * row;
    if (plan->window != NULL)
        render_window_row(plan->window, in, plan, row, out);
    else if (plan->scaling == PIXEL_SCALING_STORED)
        row_stored(in, plan, first, count, out);
    else if (plan->multiplier != 0)
        row_integer(in, plan, first, count, out);
    else
        row_double(in, plan, first, count, out);
}
