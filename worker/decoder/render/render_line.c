#include "worker/decoder/render/render_line.h"

#include <math.h>
#include <string.h>

#include "worker/decoder/vectors.h"

#define PIECE 512u /* entries that are compared at a time */

static inline uint16_t value_of(const struct render_line *line, uint16_t sample, uint16_t white)
{
    uint16_t v = (uint16_t)(sample - line->lowest);
    uint16_t above = (uint16_t)(v - line->first);
    uint16_t p = (uint16_t)(line->base + render_scale(above, line->factor, line->fraction));
    p = v < line->first ? 0 : p;
    p = v > line->last ? white : p;
    return p ^ line->flip;
}

FOR_EACH_VECTOR_WIDTH static void row_16(struct render_line line, const uint16_t *restrict in, size_t count,
                                         uint8_t *restrict out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t p = render_big_endian(value_of(&line, in[i], UINT16_MAX));
        memcpy(out + 2 * i, &p, sizeof p);
    }
}

FOR_EACH_VECTOR_WIDTH static void row_8(struct render_line line, const uint16_t *restrict in, size_t count,
                                        uint8_t *restrict out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)value_of(&line, in[i], UINT8_MAX);
}

void render_line_row(const struct render_line *line, const void *in, size_t count, uint8_t *out)
{
    if (line->is_16_bit)
        row_16(*line, in, count, out);
    else
        row_8(*line, in, count, out);
}

/* By the function that makes the rows. */
static bool gives_every_entry(const struct render_line *line, const uint16_t *table, size_t count)
{
    uint16_t samples[PIECE];
    uint8_t made[2 * PIECE];
    for (size_t from = 0; from < count; from += PIECE) {
        size_t length = count - from < PIECE ? count - from : PIECE;
        for (size_t i = 0; i < length; i++)
            samples[i] = (uint16_t)(line->lowest + from + i);
        render_line_row(line, samples, length, made);
        if (line->is_16_bit && memcmp(made, table + from, 2 * length) != 0)
            return false;
        for (size_t i = 0; i < length && !line->is_16_bit; i++)
            if (made[i] != table[from + i])
                return false;
    }
    return true;
}

bool render_line_fit(struct render_line *line, const struct modality *modality, const struct voi *voi,
                     const struct render_plan *plan, const uint16_t *table)
{
    double slope = modality->slope, top = plan->highest - plan->lowest;
    if (voi->kind != VOI_RANGE || modality->lut != NULL || !(slope > 0))
        return false;
    uint16_t white = plan->is_16_bit ? UINT16_MAX : UINT8_MAX;
    double step = white * slope / (voi->high - voi->low); /* from one sample to the next */
    double start = modality_apply(modality, plan->lowest);
    double first = start > voi->low ? 0 : floor((voi->low - start) / slope) + 1;
    double last = floor((voi->high - start) / slope);
    if (!(step > 0 && step <= white && first <= last && first <= top))
        return false;
    double at_first = (start - voi->low + first * slope) / slope * step + 0.5;
    if (!(at_first >= 0 && at_first < white + 1))
        return false;
    *line = (struct render_line){
        .lowest = (uint16_t)(int32_t)plan->lowest,
        .first = (uint16_t)first,
        .last = (uint16_t)fmin(last, top),
        .flip = plan->invert ? white : 0,
        .is_16_bit = plan->is_16_bit,
    };
    /* What lies half between two numbers is rounded up, unless double arithmetic has come to a little less,
     * as it has where slopes are no binary fractions. All other gaps are wider than what is added here. */
    for (uint64_t less = 0; less <= 1; less++) {
        uint64_t begin = (uint64_t)ceil(at_first * (1 << 16)) - less;
        line->base = (uint16_t)(begin >> 16);
        line->fraction = (uint16_t)begin;
        line->factor = render_factor((uint64_t)ceil(step * (double)(UINT64_C(1) << 32)) - less);
        if (gives_every_entry(line, table, (size_t)top + 1))
            return true;
    }
    return false;
}
