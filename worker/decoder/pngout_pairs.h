/* pngout_pairs.h: two literals at a time, from a table of all pairs of bytes. */
#ifndef NIFFLER_WORKER_DECODER_PNGOUT_PAIRS_H
#define NIFFLER_WORKER_DECODER_PNGOUT_PAIRS_H

#include <stddef.h>

#include "worker/decoder/pngout_bits.h"
#include "worker/decoder/pngout_huffman.h"

#define PNGOUT_PAIRS_CODE_BITS_MAX 13u /* so that a pair and its length fit into 32 bits */

struct pngout_pairs {
    uint32_t of[65536]; /* by the two bytes, the first lowest: the bits << 6 | their number */
};

/* Of the codes of 256 bytes, none longer than CODE_BITS_MAX. A byte without a code must not be written. It
 * costs about as much as writing 20,000 pairs saves. */
void pngout_pairs_make(struct pngout_pairs *pairs, const struct pngout_code *codes);

/* Write `length` bytes, and flush. `codes` are those of which `pairs` was made. */
void pngout_pairs_write(struct pngout_bits *out, const struct pngout_pairs *pairs,
                        const struct pngout_code *codes, const uint8_t *in, size_t length);
#endif
