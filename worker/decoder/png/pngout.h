/* pngout.h: rows of display values to a PNG (ISO/IEC 15948) in a descriptor.
 *
 * libpng writes what stands before the image. The deflate stream is our own (pngout_deflate.h), or
 * libdeflate's for what repeats itself most: libpng's own default takes 20 to 100 times longer for the same
 * size on medical images. Filter and compressor are chosen for each image by trying on a sample of the rows
 * (pngout_choice.h). The same image gives the same bytes on every machine. Ancillary chunks are those of
 * struct pngout_extras, all before IDAT; not interlaced. Memory: the picture twice, the second time only as
 * far as the stream reaches. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_H

#include <stdint.h>

#include "common/error.h"
#include "common/options.h"
#include "worker/decoder/png/pngout_profile.h"

struct pngout; /* buffers and compressors, reused from picture to picture; for one thread */

struct pngout *pngout_new(void);
void pngout_free(struct pngout *png);

struct pngout_shape {
    uint32_t width;
    uint32_t height;
    uint32_t samples;   /* 1: grey (colour type 0), 3: RGB (colour type 2) */
    uint32_t bit_depth; /* 8 or 16                                          */
};

/* What a PNG says besides its samples. Zeroed: nothing. */
struct pngout_extras {
    /* pHYs (11.3.4.3): pixels per metre, or, of a ratio, only how they relate. Left out unless both are 1 to
     * 2^31 - 1. */
    uint32_t pixels_per_unit_x;
    uint32_t pixels_per_unit_y;
    bool is_per_metre;
    /* sBIT (11.3.2.7): the bits that the samples had before they were scaled to the whole depth. Left out
     * unless it is 1 to bit_depth - 1. Never set it for samples that lie in the low bits (PixelScaling:
     * stored): the standard takes them for scaled, so that a reader which honours the chunk (libpng's
     * png_set_shift()) shifts them down and destroys them. */
    uint32_t significant_bits;
    /* iCCP (11.3.2.3); borrowed. NULL or empty, and for grey pictures: left out. */
    const struct pngout_profile *profile;
};

/* Where the rows come from: called for any row, in any order and for some more than once, and must give the
 * same each time; `out` holds a row's bytes (16-bit samples big endian). */
typedef void pngout_row_fn(void *context, uint32_t row, uint8_t *out);

/* Write a whole PNG at the descriptor's position; *written says how many bytes it has. `extras` may be NULL.
 * Fails with ERROR_INPUT, category 4, CODE_OUTPUT_FULL or CODE_OUTPUT_IO (the worker stops then),
 * CODE_LIMIT_MEMORY, CODE_LIMIT_OUTPUT (nothing is written then, unless the system's own limit is lower). */
MUST_CHECK bool pngout_write(struct pngout *png, int descriptor, const struct pngout_shape *shape,
                             const struct pngout_extras *extras, pngout_row_fn *row, void *context,
                             uint64_t *written, struct error *err);

/* How to compress from now on; at first PNG_COMPRESSION_FAST. */
void pngout_set_compression(struct pngout *png, enum png_compression compression);

/* The longest compressed image that is written from now on; at first, any. */
void pngout_set_limit(struct pngout *png, uint64_t bytes);

/* For tests and benchmarks: compress with `deflate` (pngout_deflate.h; NULL: choose) and filter by `filter`
 * (0 to 4; -1: choose) from now on. */
struct pngout_deflate;
void pngout_force(struct pngout *png, const struct pngout_deflate *deflate, int filter);

#endif
