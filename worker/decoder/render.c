/* Scaling is exact, and is integer arithmetic wherever the samples are of 8 or 16 bits: for all 0 <= v <= m
 * <= 65535 and white 255 or 65535, trunc((double)v / m * white) equals (v * k) >> 32 with k = floor(white *
 * 2^32 / m) + 1 (all pairs were tried). Float arithmetic would be wrong by one for some pixels of each
 * picture. */
#include "worker/decoder/render.h"

#include <math.h>
#include <string.h>

static double sample_at(const struct codec_samples *in, size_t i)
{
    if (in->is_float)
        return in->bytes == 4 ? (double)((const float *)in->data)[i] : ((const double *)in->data)[i];
    switch (in->bytes) {
    case 1:
        return in->is_signed ? ((const int8_t *)in->data)[i] : ((const uint8_t *)in->data)[i];
    case 2:
        return in->is_signed ? ((const int16_t *)in->data)[i] : ((const uint16_t *)in->data)[i];
    default:
        return in->is_signed ? (double)((const int32_t *)in->data)[i]
                             : (double)((const uint32_t *)in->data)[i];
    }
}

/* ---- extremes ---- */

#define DEFINE_EXTREMES(name, type)                                                   \
    static void name(const void *data, size_t count, double *lowest, double *highest) \
    {                                                                                 \
        const type *p = data;                                                         \
        type low = p[0], high = p[0];                                                 \
        for (size_t i = 1; i < count; i++) {                                          \
            low = p[i] < low ? p[i] : low;                                            \
            high = p[i] > high ? p[i] : high;                                         \
        }                                                                             \
        *lowest = (double)low;                                                        \
        *highest = (double)high;                                                      \
    }
DEFINE_EXTREMES(extremes_u8, uint8_t)
DEFINE_EXTREMES(extremes_s8, int8_t)
DEFINE_EXTREMES(extremes_u16, uint16_t)
DEFINE_EXTREMES(extremes_s16, int16_t)
DEFINE_EXTREMES(extremes_u32, uint32_t)
DEFINE_EXTREMES(extremes_s32, int32_t)

/* NaN and infinities are no values; where there is nothing else, all is 0. */
static void extremes_float(const struct codec_samples *in, size_t count, double *lowest, double *highest)
{
    bool any = false;
    *lowest = *highest = 0;
    for (size_t i = 0; i < count; i++) {
        double value = sample_at(in, i);
        if (!isfinite(value))
            continue;
        *lowest = !any || value < *lowest ? value : *lowest;
        *highest = !any || value > *highest ? value : *highest;
        any = true;
    }
}

static void find_extremes(const struct codec_samples *in, double *lowest, double *highest)
{
    static void (*const functions[3][2])(const void *, size_t, double *, double *) = {
        {extremes_u8, extremes_s8}, {extremes_u16, extremes_s16}, {extremes_u32, extremes_s32}};
    size_t count = (size_t)in->rows * in->columns * in->samples;
    if (in->is_float)
        extremes_float(in, count, lowest, highest);
    else
        functions[in->bytes == 1   ? 0
                  : in->bytes == 2 ? 1
                                   : 2][in->is_signed](in->data, count, lowest, highest);
}

/* ---- the plan ---- */

static bool plan_stored(const struct codec_samples *in, uint32_t stored_bits, struct render_plan *plan,
                        struct error *err)
{
    double lift = in->is_signed && stored_bits > 0 ? ldexp(1, (int)stored_bits - 1) : 0;
    double top = plan->highest + lift;
    if (in->is_float || plan->lowest + lift < 0 || top > 65535)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                           "no PNG can hold these samples as stored (PixelScaling); full can be used");
    plan->is_16_bit = stored_bits > 8 || top > 255;
    plan->invert = false;
    plan->offset = -lift;
    plan->maximum = (plan->is_16_bit ? 65535 : 255) - lift;
    return true;
}

bool render_plan(const struct codec_samples *in, uint32_t stored_bits, bool invert,
                 const struct options *options, struct render_plan *plan, struct error *err)
{
    *plan = (struct render_plan){
        .scaling = options->pixel_scaling, .is_16_bit = options->is_16_bit, .invert = invert};
    find_extremes(in, &plan->lowest, &plan->highest);
    if (options->pixel_scaling == PIXEL_SCALING_STORED)
        return plan_stored(in, stored_bits, plan, err);
    double low = options->pixel_scaling == PIXEL_SCALING_FULL && plan->lowest < 0 ? plan->lowest : 0;
    double high = plan->highest > low ? plan->highest : low;
    plan->offset = invert ? high : low;
    plan->maximum = invert ? low : high;
    return true;
}

/* ---- rows ---- */

static inline void put(uint8_t *out, size_t i, uint32_t value, bool is_16_bit)
{
    if (is_16_bit) {
        out[2 * i] = (uint8_t)(value >> 8);
        out[2 * i + 1] = (uint8_t)value;
    } else {
        out[i] = (uint8_t)value;
    }
}

/* `low` is what becomes 0; what lies below it becomes 0 too. */
#define DEFINE_SCALE(name, type, out_type, swap)                                                 \
    static void name(const void *data, size_t count, int32_t low, uint64_t factor, uint8_t *out, \
                     bool invert)                                                                \
    {                                                                                            \
        const type *p = data;                                                                    \
        out_type flip = (out_type)(invert ? ~(out_type)0 : 0);                                   \
        for (size_t i = 0; i < count; i++) {                                                     \
            int32_t value = (int32_t)p[i] - low;                                                 \
            uint64_t positive = (uint64_t)(value > 0 ? value : 0);                               \
            out_type scaled = swap((out_type)((out_type)(positive * factor >> 32) ^ flip));      \
            memcpy(out + sizeof scaled * i, &scaled, sizeof scaled);                             \
        }                                                                                        \
    }
#define AS_IT_IS(value) (value)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BIG_ENDIAN_16(value) __builtin_bswap16(value)
#else
#define BIG_ENDIAN_16(value) (value)
#endif
DEFINE_SCALE(scale_u8_to_8, uint8_t, uint8_t, AS_IT_IS)
DEFINE_SCALE(scale_s8_to_8, int8_t, uint8_t, AS_IT_IS)
DEFINE_SCALE(scale_u16_to_8, uint16_t, uint8_t, AS_IT_IS)
DEFINE_SCALE(scale_s16_to_8, int16_t, uint8_t, AS_IT_IS)
DEFINE_SCALE(scale_u8_to_16, uint8_t, uint16_t, BIG_ENDIAN_16)
DEFINE_SCALE(scale_s8_to_16, int8_t, uint16_t, BIG_ENDIAN_16)
DEFINE_SCALE(scale_u16_to_16, uint16_t, uint16_t, BIG_ENDIAN_16)
DEFINE_SCALE(scale_s16_to_16, int16_t, uint16_t, BIG_ENDIAN_16)

static void scale_by_integers(const struct codec_samples *in, const struct render_plan *plan, double low,
                              double range, size_t first, size_t count, uint8_t *out)
{
    static void (*const functions[2][2][2])(const void *, size_t, int32_t, uint64_t, uint8_t *, bool) = {
        {{scale_u8_to_8, scale_s8_to_8}, {scale_u16_to_8, scale_s16_to_8}},
        {{scale_u8_to_16, scale_s8_to_16}, {scale_u16_to_16, scale_s16_to_16}}};
    uint64_t white = plan->is_16_bit ? 65535 : 255;
    uint64_t factor = range > 0 ? (white << 32) / (uint64_t)range + 1 : 0;
    functions[plan->is_16_bit][in->bytes == 2][in->is_signed]((const uint8_t *)in->data + first * in->bytes,
                                                              count, (int32_t)low, factor, out, plan->invert);
}

/* Any samples, by the formula itself. */
static void scale_by_formula(const struct codec_samples *in, const struct render_plan *plan, double low,
                             double range, size_t first, size_t count, uint8_t *out)
{
    double white = plan->is_16_bit ? 65535 : 255;
    for (size_t i = 0; i < count; i++) {
        double value = sample_at(in, first + i) - low;
        double scaled = range > 0 && value > 0 ? (value >= range ? white : value / range * white) : 0;
        uint32_t result = isnan(value) ? 0 : (uint32_t)scaled;
        put(out, i, plan->invert ? (uint32_t)white - result : result, plan->is_16_bit);
    }
}

static void copy_stored(const struct codec_samples *in, const struct render_plan *plan, size_t first,
                        size_t count, uint8_t *out)
{
    int64_t lift = (int64_t)-plan->offset;
    for (size_t i = 0; i < count; i++)
        put(out, i, (uint32_t)((int64_t)sample_at(in, first + i) + lift), plan->is_16_bit);
}

void render_row(const struct codec_samples *in, const struct render_plan *plan, uint32_t row, uint8_t *out)
{
    size_t count = (size_t)in->columns * in->samples, first = row * count;
    double low = plan->invert ? plan->maximum : plan->offset;
    double high = plan->invert ? plan->offset : plan->maximum;
    if (plan->scaling == PIXEL_SCALING_STORED)
        copy_stored(in, plan, first, count, out);
    else if (!in->is_float && in->bytes <= 2 && high - low <= 65535)
        scale_by_integers(in, plan, low, high - low, first, count, out);
    else
        scale_by_formula(in, plan, low, high - low, first, count, out);
}
