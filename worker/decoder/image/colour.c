#include "worker/decoder/image/colour.h"

#define MILLION 1000000

static uint8_t clip_byte(int32_t value)
{
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

/* floor(sum / 10^6) of a sum that is not below -512 * 10^6. Unsigned, since a division by a constant is then
 * one multiplication. */
static int32_t millions(int32_t sum)
{
    return (int32_t)((uint32_t)(sum + 512 * MILLION) / MILLION) - 512;
}

/* The formula in whole millionths: exact, so that nothing hangs on how a double rounds. Y is a whole number,
 * so that only the chroma's part is rounded, which for red and blue hangs on one sample. */
static void full_bytes(uint8_t *at, size_t pixels)
{
    int16_t red[256], blue[256];
    for (int32_t i = 0; i < 256; i++) {
        red[i] = (int16_t)millions(1402000 * (i - 128) + MILLION / 2);
        blue[i] = (int16_t)millions(1772000 * (i - 128) + MILLION / 2);
    }
    for (size_t i = 0; i < pixels; i++, at += 3) {
        if (at[1] == 128 && at[2] == 128) { /* grey, as most of a colour ultrasound is */
            at[1] = at[2] = at[0];
            continue;
        }
        int32_t y = at[0], cb = at[1], cr = at[2];
        at[0] = clip_byte(y + red[cr]);
        at[1] = clip_byte(y + millions(MILLION / 2 - 344136 * (cb - 128) - 714136 * (cr - 128)));
        at[2] = clip_byte(y + blue[cb]);
    }
}

struct matrix {
    double y_offset, half, top;
    double y, r_cr, g_cb, g_cr, b_cb;
};

static struct matrix matrix_of(enum colour_range range, uint32_t precision)
{
    double half = (double)((uint64_t)1 << (precision - 1)), top = 2 * half - 1;
    if (range == COLOUR_FULL)
        return (struct matrix){0, half, top, 1, 1.402, 0.344136, 0.714136, 1.772};
    /* Y spans 219 of 256 steps, chroma 224, of which half lie on either side (PS3.3 C.7.6.3.1.2). */
    double luma = 255.0 / 219, chroma = 255.0 / 224;
    return (struct matrix){half / 8,          half,          top, luma, 1.402 * chroma, 0.344136 * chroma,
                           0.714136 * chroma, 1.772 * chroma};
}

static double clip(double value, double top)
{
    value += 0.5;
    return value < 0 ? 0 : value > top ? top : value;
}

#define CONVERT(type)                                                                   \
    do {                                                                                \
        type *at = samples->data;                                                       \
        for (size_t i = 0; i < pixels; i++, at += 3) {                                  \
            double y = ((double)at[0] - m.y_offset) * m.y, cb = (double)at[1] - m.half, \
                   cr = (double)at[2] - m.half;                                         \
            at[0] = (type)clip(y + m.r_cr * cr, m.top);                                 \
            at[1] = (type)clip(y - m.g_cb * cb - m.g_cr * cr, m.top);                   \
            at[2] = (type)clip(y + m.b_cb * cb, m.top);                                 \
        }                                                                               \
    } while (0)

void colour_ycbcr_to_rgb(struct codec_samples *samples, enum colour_range range)
{
    size_t pixels = (size_t)samples->rows * samples->columns;
    uint32_t width = samples->bytes * 8;
    uint32_t precision = samples->precision >= 1 && samples->precision <= width ? samples->precision : width;
    if (range == COLOUR_FULL && samples->bytes == 1 && precision == 8) {
        full_bytes(samples->data, pixels);
        return;
    }
    struct matrix m = matrix_of(range, precision);
    if (samples->bytes == 1)
        CONVERT(uint8_t);
    else
        CONVERT(uint16_t);
}
