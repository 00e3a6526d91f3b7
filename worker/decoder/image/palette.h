/* palette.h: colour look-up tables (PS3.3 C.7.6.3.1.5, C.7.6.3.1.6 and, segmented, C.7.9.2). */
#ifndef NIFFLER_WORKER_DECODER_IMAGE_PALETTE_H
#define NIFFLER_WORKER_DECODER_IMAGE_PALETTE_H

#include "common/error.h"
#include "worker/decoder/codec/codec.h"
#include "worker/decoder/image/lut.h"

struct palette {
    struct lut tables[3]; /* red, green, blue */
    uint32_t bits;        /* of an entry: 8 or 16 */
};

void palette_clear(struct palette *palette);

/* Read the three tables of the file. `is_signed`: PixelRepresentation, which decides the sign of the
 * descriptor's second value where the file does not say it. Fails with ERROR_INPUT: category 1,
 * CODE_MISSING_ATTRIBUTE; category 2, CODE_MALFORMED or CODE_TOO_SHORT. */
MUST_CHECK bool palette_read(struct palette *palette, struct dicom *dcm, bool is_signed, struct error *err);

/* Look `in` (one sample per pixel) up, to three of 1 or 2 bytes. Samples below the first entry's get it,
 * those beyond the last get that one. Fails with category 4, CODE_LIMIT_MEMORY. */
MUST_CHECK bool palette_apply(const struct palette *palette, const struct codec_samples *in,
                              struct codec_samples *out, struct error *err);

#endif
