/* colour.h: from stored colour to RGB. Pure functions: no I/O, no allocation, no globals. */
#ifndef NIFFLER_WORKER_DECODER_IMAGE_COLOUR_H
#define NIFFLER_WORKER_DECODER_IMAGE_COLOUR_H

#include "worker/decoder/codec/codec.h"

enum colour_range {
    COLOUR_FULL,    /* YBR_FULL, YBR_FULL_422: all values of all three         */
    COLOUR_PARTIAL, /* YBR_PARTIAL_420: Y 16 to 235 of 256, chroma 16 to 240   */
};

/* Turn the YCbCr of three unsigned samples of 1 or 2 bytes into RGB (PS3.3 C.7.6.3.1.2, inverted), in place:
 *     R = Y + 1.402 Cr',  G = Y - 0.344136 Cb' - 0.714136 Cr',  B = Y + 1.772 Cb',
 * Cb' and Cr' being the chroma less half of 2^precision; rounded to the nearest, half up, and clipped to the
 * precision. */
void colour_ycbcr_to_rgb(struct codec_samples *samples, enum colour_range range);

#endif
