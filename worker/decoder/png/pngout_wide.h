/* pngout_wide.h: 64 literals at a time, on processors that look up 64 bytes in a table of 256 at once
 * (AVX-512 VBMI). The bits are the same as one by one. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_WIDE_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_WIDE_H

#include <stddef.h>

#include "worker/decoder/png/pngout_bits.h"
#include "worker/decoder/png/pngout_huffman.h"

#define PNGOUT_WIDE_CODE_BITS_MAX                                             \
    15u /* the longest that deflate has: eight, behind seven bits, fit in 128 \
         */

struct pngout_wide {
    uint8_t low[256];     /* of each byte's code the first eight bits, */
    uint8_t high[256];    /* the others,                               */
    uint8_t lengths[256]; /* and how many there are                 */
};

/* Of the codes of 256 bytes, none longer than CODE_BITS_MAX. A byte without a code must not be written. */
void pngout_wide_make(struct pngout_wide *wide, const struct pngout_code *codes);

/* Write `length` bytes, at least one, where vectors_are_512(). Room as for pngout_bits_flush(), which has
 * been called and is called at the end. */
void pngout_wide_write(struct pngout_bits *out, const struct pngout_wide *wide, const uint8_t *in,
                       size_t length);
#endif
