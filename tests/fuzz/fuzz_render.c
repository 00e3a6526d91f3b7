/* Any samples, shown in any way, against the formulas of render.h and render_window.h in plain double
 * arithmetic.
 *
 *     16 bytes: rows, columns, kind of sample, scaling and flags, BitsStored, how a window is given, of which
 *     two numbers each 8 bytes, then slope and intercept (8 bytes each), then samples and tables, again and
 *     again */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "worker/decoder/render/render.h"
#include "worker/decoder/render/render_window.h"

#define HEADER_BYTES 40
#define SIDE_MAX 64

/* A number as a file may say it: finite (dicom_item_double()). */
static double number_at(const uint8_t *data)
{
    double value;
    int16_t small;
    memcpy(&value, data, sizeof value);
    memcpy(&small, data, sizeof small);
    if (isfinite(value) && (data[0] & 1) == 0)
        return value;
    return small;
}

static void fill(void *to, size_t length, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)to)[i] =
            size > HEADER_BYTES ? data[HEADER_BYTES + i % (size - HEADER_BYTES)] : (uint8_t)i;
}

static bool make_samples(struct codec_samples *samples, const uint8_t *data, size_t size)
{
    static const uint8_t widths[] = {1, 2, 4, 4, 8};
    uint32_t kind = data[2] % 5;
    struct error err;
    if (!codec_samples_reserve(samples, 1 + data[0] % SIDE_MAX, 1 + data[1] % SIDE_MAX,
                               (data[2] & 64) != 0 ? 3 : 1, widths[kind], &err))
        return false;
    samples->is_float = kind >= 3;
    samples->is_signed = !samples->is_float && (data[2] & 128) != 0;
    samples->precision = 1 + data[4] % (8 * samples->bytes);
    fill(samples->data, codec_samples_count(samples) * samples->bytes, data, size);
    return true;
}

static uint32_t value_at(const uint8_t *row, size_t index, bool is_16_bit)
{
    return is_16_bit ? (uint32_t)row[2 * index] << 8 | row[2 * index + 1] : row[index];
}

/* ---- scaled ---- */

/* What render.h says of a sample that lies within [offset, maximum], in the order in which Niffler does it.
 */
static uint32_t scaled(const struct render_plan *plan, double x)
{
    uint32_t white = plan->is_16_bit ? 65535 : 255;
    double range = plan->maximum - plan->offset, p = 0;
    if (!isnan(x) && range > 0 && x > plan->offset)
        p = x >= plan->maximum ? white
            : isfinite(range)
                ? trunc((x - plan->offset) / range * white)
                : trunc((x / 2 - plan->offset / 2) / (plan->maximum / 2 - plan->offset / 2) * white);
    return plan->invert ? white - (uint32_t)p : (uint32_t)p;
}

static void check_scaled(const struct codec_samples *samples, const uint8_t *data,
                         const struct options *options)
{
    struct render_plan plan;
    struct error err;
    if (!render_plan(samples, 1 + data[4] % 32u, (data[3] & 16) != 0, options, &plan, &err))
        return;
    size_t count = (size_t)samples->columns * samples->samples;
    uint8_t *row = xmalloc(count * (plan.is_16_bit ? 2 : 1));
    for (uint32_t y = 0; y < samples->rows; y++) {
        render_row(samples, &plan, y, row);
        for (size_t i = 0; i < count; i++) {
            double x = render_sample(samples, y * count + i);
            uint32_t expected =
                plan.scaling == PIXEL_SCALING_STORED ? (uint32_t)(x - plan.offset) : scaled(&plan, x);
            if (value_at(row, i, plan.is_16_bit) != expected)
                abort();
        }
    }
    free(row);
}

/* ---- through a window ---- */

static void read_table(struct lut *lut, const uint8_t *data, size_t size)
{
    if (lut->entries == NULL)
        lut->entries = xcalloc(LUT_ENTRIES_MAX, sizeof lut->entries[0]);
    lut->count = 1 + ((uint32_t)data[6] | (uint32_t)data[7] << 8);
    lut->first = (int16_t)((uint16_t)data[8] | (uint16_t)data[9] << 8);
    lut->bits = data[10] % 17u;
    fill(lut->entries, lut->count * sizeof lut->entries[0], data, size);
}

static void read_frame(struct display_frame *frame, const uint8_t *data, size_t size)
{
    static struct lut tables[2];
    static struct palette palette;
    double center = number_at(data + 8), width = number_at(data + 16);
    *frame = (struct display_frame){.modality = {number_at(data + 24), number_at(data + 32), NULL},
                                    .choice = (enum display_voi)(data[5] % 3),
                                    .invert = (data[3] & 16) != 0,
                                    .has_padding = (data[3] & 32) != 0,
                                    .padding_low = fmin(center, width),
                                    .padding_high = fmax(center, width)};
    if ((data[5] & 64) != 0) {
        read_table(&tables[0], data, size);
        frame->modality.lut = &tables[0];
    }
    switch (data[5] / 4 % 4) {
    case 0:
        frame->voi = voi_linear(center, fmax(width, 1));
        break;
    case 1:
        frame->voi = voi_linear_exact(center, width > 0 ? width : 1);
        break;
    case 2:
        frame->voi = voi_sigmoid(center, width > 0 ? width : 1);
        break;
    default:
        read_table(&tables[1], data + 1, size - 1);
        frame->voi = voi_table(&tables[1]);
    }
    if ((data[5] & 128) == 0)
        return;
    palette.bits = (data[10] & 32) != 0 ? 16 : 8;
    for (size_t i = 0; i < 3; i++) {
        read_table(&palette.tables[i], data, size);
        for (uint32_t k = 0; k < palette.tables[i].count && palette.bits == 8; k++)
            palette.tables[i].entries[k] &= 255;
    }
    frame->supplemental = &palette;
}

static void check_window(const struct codec_samples *samples, const uint8_t *data, size_t size,
                         const struct options *options)
{
    static struct render_window *window;
    struct display_frame frame;
    struct render_plan plan;
    if (window == NULL)
        window = render_window_new();
    read_frame(&frame, data, size);
    render_window_plan(window, samples, &frame, options, &plan);
    struct voi voi = frame.choice == DISPLAY_VOI ? frame.voi : voi_range(plan.offset, plan.maximum);
    uint32_t white = plan.is_16_bit ? 65535 : 255;
    size_t count = samples->columns;
    uint8_t *row = xmalloc(count * plan.samples * (plan.is_16_bit ? 2 : 1));
    for (uint32_t y = 0; y < samples->rows; y++) {
        render_row(samples, &plan, y, row);
        for (size_t i = 0; i < count; i++) {
            double x = render_sample(samples, y * count + i);
            bool is_looked_up = frame.supplemental != NULL && x >= frame.supplemental->tables[0].first;
            if (is_looked_up)
                continue;
            double share = voi_apply(&voi, modality_apply(&frame.modality, x));
            if (!(share >= 0 && share <= 1))
                abort();
            uint32_t expected = (uint32_t)floor(share * white + 0.5);
            if (frame.invert)
                expected = white - expected;
            for (uint32_t sample = 0; sample < plan.samples; sample++)
                if (value_at(row, i * plan.samples + sample, plan.is_16_bit) != expected)
                    abort();
        }
    }
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct codec_samples samples;
    if (size < HEADER_BYTES || !make_samples(&samples, data, size))
        return 0;
    const struct options options = {.pixel_scaling = (enum pixel_scaling)(data[3] % 4),
                                    .is_16_bit = (data[3] & 8) != 0};
    if (options.pixel_scaling == PIXEL_SCALING_WINDOW && samples.samples == 1)
        check_window(&samples, data, size, &options);
    else
        check_scaled(&samples, data, &options);
    codec_samples_clear(&samples);
    return 0;
}
