#include "worker/decoder/render/render_window.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/render/render_line.h"

#define VALUES 65536u /* of 16 bits; and as many bins for what has more */

/* How often a value occurs behind the Modality LUT. */
struct occurrence {
    double value;
    uint64_t count;
};

struct render_window {
    const struct display_frame *frame;
    struct modality modality;
    struct voi voi;
    bool has_table, has_line;
    struct render_line line;
    uint16_t table[3 * VALUES]; /* by sample less `lowest`; of 16 bits big endian, as in a PNG */
    uint64_t counts[VALUES];
    struct occurrence occurrences[VALUES];
};

struct render_window *render_window_new(void)
{
    return xcalloc(1, sizeof(struct render_window));
}

void render_window_free(struct render_window *window)
{
    free(window);
}

/* ---- values that are no padding --------------------------------------------------------------------- */

static bool counts(const struct display_frame *frame, double sample)
{
    return isfinite(sample) &&
           !(frame->has_padding && sample >= frame->padding_low && sample <= frame->padding_high);
}

/* Of samples of up to 16 bits: each value that occurs. */
static size_t collect_values(struct render_window *window, const struct codec_samples *in,
                             const struct render_plan *plan)
{
    size_t pixels = codec_samples_count(in), used = 0;
    int64_t lowest = (int64_t)plan->lowest;
    size_t range = (size_t)(plan->highest - plan->lowest) + 1;
    memset(window->counts, 0, range * sizeof window->counts[0]);
    for (size_t i = 0; i < pixels; i++)
        window->counts[codec_sample(in, i) - lowest]++;
    for (size_t i = 0; i < range; i++) {
        double sample = plan->lowest + (double)i, value = modality_apply(&window->modality, sample);
        if (window->counts[i] > 0 && counts(window->frame, sample) && isfinite(value))
            window->occurrences[used++] = (struct occurrence){value, window->counts[i]};
    }
    return used;
}

/* Of wider ones: bins between the extremes, the first and the last of them holding the extremes themselves.
 */
static size_t collect_bins(struct render_window *window, const struct codec_samples *in)
{
    size_t pixels = codec_samples_count(in), used = 0;
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < pixels; i++) {
        double sample = render_sample(in, i), value = modality_apply(&window->modality, sample);
        if (!counts(window->frame, sample) || !isfinite(value))
            continue;
        low = fmin(low, value);
        high = fmax(high, value);
    }
    if (!(low <= high))
        return 0;
    double step = high / (VALUES - 1) - low / (VALUES - 1); /* the difference may exceed a double */
    memset(window->counts, 0, sizeof window->counts);
    for (size_t i = 0; i < pixels; i++) {
        double sample = render_sample(in, i), value = modality_apply(&window->modality, sample);
        if (!counts(window->frame, sample) || !isfinite(value))
            continue;
        double bin = step > 0 ? value / step - low / step : 0;
        window->counts[bin >= VALUES - 1 ? VALUES - 1 : (size_t)bin]++;
    }
    for (size_t i = 0; i < VALUES; i++)
        if (window->counts[i] > 0)
            window->occurrences[used++] =
                (struct occurrence){i == VALUES - 1 ? high : low + (double)i * step, window->counts[i]};
    return used;
}

static int compare_values(const void *a, const void *b)
{
    double x = ((const struct occurrence *)a)->value, y = ((const struct occurrence *)b)->value;
    return (x > y) - (x < y);
}

/* The lowest value that at least `share` of all do not exceed. */
static double percentile(const struct occurrence *occurrences, size_t count, double share)
{
    uint64_t total = 0, sum = 0;
    for (size_t i = 0; i < count; i++)
        total += occurrences[i].count;
    double wanted = ceil(share * (double)total);
    for (size_t i = 0; i < count; i++) {
        sum += occurrences[i].count;
        if ((double)sum >= wanted)
            return occurrences[i].value;
    }
    return occurrences[count - 1].value;
}

static struct voi find_voi(struct render_window *window, const struct codec_samples *in,
                           const struct render_plan *plan)
{
    if (window->frame->choice == DISPLAY_VOI)
        return window->frame->voi;
    bool is_narrow = !in->is_float && in->bytes <= 2;
    size_t count = is_narrow ? collect_values(window, in, plan) : collect_bins(window, in);
    if (count == 0)
        return voi_range(0, 0);
    qsort(window->occurrences, count, sizeof window->occurrences[0], compare_values);
    double lowest = window->occurrences[0].value, highest = window->occurrences[count - 1].value;
    if (window->frame->choice == DISPLAY_ALL)
        return lowest < highest ? voi_range(lowest, highest) : voi_range(fmin(lowest, 0), fmax(highest, 0));
    return voi_range(percentile(window->occurrences, count, 0.01),
                     percentile(window->occurrences, count, 0.99));
}

/* ---- one sample to its display value ---------------------------------------------------------------- */

static uint16_t grey_of(const struct render_window *window, double sample, uint16_t white)
{
    double share = voi_apply(&window->voi, modality_apply(&window->modality, sample));
    uint16_t p = (uint16_t)(share * white + 0.5);
    return window->frame->invert ? (uint16_t)(white - p) : p;
}

/* All samples of one pixel: one, or three where there is a supplemental palette. */
static void display_values(const struct render_window *window, double sample, uint16_t white,
                           uint16_t values[3])
{
    const struct palette *palette = window->frame->supplemental;
    values[0] = values[1] = values[2] = grey_of(window, sample, white);
    if (palette == NULL || !(sample >= palette->tables[0].first))
        return;
    uint32_t top = palette->bits > 8 ? 65535 : 255;
    for (int colour = 0; colour < 3; colour++) {
        uint32_t entry = lut_look_up(&palette->tables[colour], sample < 1e9 ? (int64_t)sample : 1000000000);
        values[colour] = (uint16_t)((entry * white + top / 2) / top);
    }
}

static void make_table(struct render_window *window, const struct render_plan *plan)
{
    uint16_t white = plan->is_16_bit ? 65535 : 255;
    uint16_t *to = window->table;
    for (double sample = plan->lowest; sample <= plan->highest; sample++, to += plan->samples) {
        uint16_t values[3];
        display_values(window, sample, white, values);
        for (uint32_t i = 0; i < plan->samples; i++)
            to[i] = plan->is_16_bit ? render_big_endian(values[i]) : values[i];
    }
}

void render_window_plan(struct render_window *window, const struct codec_samples *in,
                        const struct display_frame *frame, const struct options *options,
                        struct render_plan *plan)
{
    *plan = (struct render_plan){.scaling = PIXEL_SCALING_WINDOW,
                                 .is_16_bit = options->is_16_bit,
                                 .invert = frame->invert,
                                 .samples = frame->supplemental != NULL ? 3 : 1,
                                 .window = window};
    render_extremes(in, &plan->lowest, &plan->highest);
    window->frame = frame;
    window->modality = frame->modality;
    window->voi = find_voi(window, in, plan);
    plan->offset = window->voi.low;
    plan->maximum = window->voi.high;
    window->has_table = !in->is_float && in->bytes <= 2;
    if (window->has_table)
        make_table(window, plan);
    window->has_line = window->has_table && in->bytes == 2 && plan->samples == 1 &&
                       render_line_fit(&window->line, &window->modality, &window->voi, plan, window->table);
}

/* ---- rows ------------------------------------------------------------------------------------------- */

/* One loop for each type of sample and each width of the output. */
#define UNROLLED _Pragma("GCC unroll 8")
#define DEFINE_ROWS(suffix, type)                                                                        \
    static void row_16_##suffix(const type *restrict in, size_t count, type lowest,                      \
                                const uint16_t *restrict table, uint8_t *restrict out)                   \
    {                                                                                                    \
        UNROLLED for (size_t i = 0; i < count; i++)                                                      \
            memcpy(out + 2 * i, &table[(uint16_t)(in[i] - lowest)], 2);                                  \
    }                                                                                                    \
    static void row_8_##suffix(const type *restrict in, size_t count, type lowest,                       \
                               const uint16_t *restrict table, uint8_t *restrict out)                    \
    {                                                                                                    \
        UNROLLED for (size_t i = 0; i < count; i++) out[i] = (uint8_t)table[(uint16_t)(in[i] - lowest)]; \
    }                                                                                                    \
    static void row_##suffix(const void *in, size_t count, const struct render_plan *plan,               \
                             const uint16_t *table, uint8_t *out)                                        \
    {                                                                                                    \
        if (plan->is_16_bit)                                                                             \
            row_16_##suffix(in, count, (type)plan->lowest, table, out);                                  \
        else                                                                                             \
            row_8_##suffix(in, count, (type)plan->lowest, table, out);                                   \
    }

DEFINE_ROWS(u8, uint8_t)
DEFINE_ROWS(i8, int8_t)
DEFINE_ROWS(u16, uint16_t)
DEFINE_ROWS(i16, int16_t)

static void row_of_table(const struct render_window *window, const struct codec_samples *in,
                         const struct render_plan *plan, size_t first, uint8_t *out)
{
    const uint8_t *at = (const uint8_t *)in->data + first * in->bytes;
    if (in->bytes == 1 && in->is_signed)
        row_i8(at, in->columns, plan, window->table, out);
    else if (in->bytes == 1)
        row_u8(at, in->columns, plan, window->table, out);
    else if (in->is_signed)
        row_i16(at, in->columns, plan, window->table, out);
    else
        row_u16(at, in->columns, plan, window->table, out);
}

/* Pixel by pixel: colour, and samples that no table has room for. */
static void row_of_pixels(const struct render_window *window, const struct codec_samples *in,
                          const struct render_plan *plan, size_t first, uint8_t *out)
{
    uint16_t white = plan->is_16_bit ? 65535 : 255, computed[3];
    for (size_t i = 0; i < in->columns; i++) {
        const uint16_t *values = computed;
        if (window->has_table)
            values =
                window->table + (size_t)(codec_sample(in, first + i) - (int64_t)plan->lowest) * plan->samples;
        else
            display_values(window, render_sample(in, first + i), white, computed);
        for (uint32_t sample = 0; sample < plan->samples; sample++) {
            uint16_t value = values[sample];
            if (plan->is_16_bit) {
                value = window->has_table ? value : render_big_endian(value);
                memcpy(out, &value, 2);
                out += 2;
            } else {
                *out++ = (uint8_t)value;
            }
        }
    }
}

void render_window_row(const struct render_window *window, const struct codec_samples *in,
                       const struct render_plan *plan, uint32_t row, uint8_t *out)
{
    size_t first = (size_t)row * in->columns;
    if (window->has_line)
        render_line_row(&window->line, (const uint16_t *)in->data + first, in->columns, out);
    else if (window->has_table && plan->samples == 1)
        row_of_table(window, in, plan, first, out);
    else
        row_of_pixels(window, in, plan, first, out);
}
