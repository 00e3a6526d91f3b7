/* pngout_matches.h: repetitions of pixels in what stood up to 32 KB before.
 *
 * Pixels, not bytes, are looked up: what an image repeats are its values, the pixels' and their neighbours'
 * differences. So one look is enough for each pixel, and none is wasted on half a value. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_MATCHES_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_MATCHES_H

#include "worker/decoder/png/pngout_sequences.h"

/* What compressors may know of the bytes. */
struct pngout_layout {
    size_t row_bytes; /* with the byte of the filter, which stands before the pixels */
    size_t step;      /* of a pixel: 1, 2, 3 or 6 bytes */
};

#define PNGOUT_MATCHES_HASH_BITS 14

struct pngout_matches {
    /* The lower 16 bits of where something of this hash stood; only a hint. Together they fit into a
     * processor's nearest cache, with what is looked at in the image. */
    uint16_t last[1u << PNGOUT_MATCHES_HASH_BITS];
    uint16_t last_long[1u << PNGOUT_MATCHES_HASH_BITS];
};

/* Before the first block of a stream. */
void pngout_matches_begin(struct pngout_matches *matches);

/* As pngout_runs_find(); blocks one after the other. Literals are counted, never estimated. */
void pngout_matches_find(struct pngout_matches *matches, struct pngout_sequences *sequences,
                         const struct pngout_layout *layout, const uint8_t *in, size_t begin, size_t end);

#endif
