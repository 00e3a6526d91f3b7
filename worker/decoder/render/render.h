/* render.h: from samples to display values.
 *
 * Pure functions: no I/O, no allocation, no globals, safe from any thread. The extremes are those of the
 * frame, all samples of all pixels together, as Niffler takes them. */
#ifndef NIFFLER_WORKER_DECODER_RENDER_RENDER_H
#define NIFFLER_WORKER_DECODER_RENDER_RENDER_H

#include "common/options.h"
#include "worker/decoder/codec/codec.h"

struct render_window; /* render_window.h */

/* How a frame is scaled. In every mode a PNG sample p stands for the value
 *     offset + p * (maximum - offset) / white
 * (white: 255 or 65535; 1 for stored 1-bit data). A frame that is all one value, or in Niffler's way nowhere
 * above 0, is all p = 0. Of float data NaN becomes p = 0 before inversion, and infinities the extremes. */
struct render_plan {
    enum pixel_scaling scaling;
    bool is_16_bit;   /* of the PNG */
    uint32_t samples; /* of the PNG: 1, or 3 for colour */
    bool invert;      /* MONOCHROME1 shown as it should look: p becomes white - p */
    double offset;
    double maximum;
    double lowest; /* of the frame; NaN and infinities aside */
    double highest;
    uint64_t multiplier;                /* of the integer form; 0: double arithmetic, or `stored` */
    bool is_unchanged;                  /* bytes that come out as they go in */
    const struct render_window *window; /* of grey in `window`, whose scale need not be a line; else NULL */
};

/* Find the extremes and decide the scaling. Colour in `window` keeps its values (a VOI LUT is for grey,
 * PS3.3 C.11.2): the depth of the samples becomes that of the PNG; grey has render_window_plan().
 *   stored_bits  BitsStored: `stored` takes 8-bit PNGs up to 8, and 16-bit ones up to 16; of signed samples
 * the offset is -2^(stored_bits-1). Samples that exceed it (a lossy codestream overshoots) get as many bits
 * as they need. invert       the frame is MONOCHROME1 and InvertMonochrome1 is on (ignored when `stored`)
 * Fails with ERROR_INPUT, category 3, CODE_UNSUPPORTED_PIXELS when `stored` and no PNG can hold the samples.
 */
MUST_CHECK bool render_plan(const struct codec_samples *in, uint32_t stored_bits, bool invert,
                            const struct options *options, struct render_plan *plan, struct error *err);

/* Display values of row `row`: columns * samples values of 1 byte, or of 2 bytes big endian (as PNG wants
 * them). Exact: trunc((x - offset) / (maximum - offset) * white) in double arithmetic, for which samples of
 * up to 16 bits use an integer form that gives the same for all pairs (tests/unit/test_render.c). */
void render_row(const struct codec_samples *in, const struct render_plan *plan, uint32_t row, uint8_t *out);

/* The extremes of all samples, NaN and infinities aside; 0 and 0 where nothing is finite. */
void render_extremes(const struct codec_samples *in, double *lowest, double *highest);

/* A sample of any type, wherever speed does not count. */
static inline double render_sample(const struct codec_samples *in, size_t index)
{
    if (in->is_float)
        return in->bytes == 8 ? ((const double *)in->data)[index] : (double)((const float *)in->data)[index];
    return (double)codec_sample(in, index);
}

static inline uint16_t render_big_endian(uint16_t value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (uint16_t)(value << 8 | value >> 8);
#else
    return value;
#endif
}

#endif
