/* pngout_block.h: literals and repetitions as a block of deflate (RFC 1951 3.2.3) with its own codes. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_BLOCK_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_BLOCK_H

#include "worker/decoder/png/pngout_pairs.h"
#include "worker/decoder/png/pngout_sequences.h"
#include "worker/decoder/png/pngout_wide.h"

/* Work space. */
struct pngout_block {
    struct pngout_code codes[PNGOUT_SYMBOLS];
    struct pngout_code distance_codes[PNGOUT_DISTANCES];
    uint32_t length_codes[PNGOUT_LENGTH_MAX + 1]; /* with the extra bits */
    uint8_t length_bits[PNGOUT_LENGTH_MAX + 1];
    struct pngout_pairs pairs;
    struct pngout_wide wide;
};

/* Whether `room` suffices for `length` bytes whose literals are estimated (pngout_sequences_end()). */
bool pngout_block_may_estimate(size_t length, size_t room);

/* Write what `sequences` makes of `length` bytes from `in` on, or the bytes as they are where that is
 * shorter. False: it does not fit into `room` bytes. */
bool pngout_block_write(struct pngout_block *block, struct pngout_bits *out, size_t room,
                        const struct pngout_sequences *sequences, const uint8_t *in, size_t length,
                        bool is_last);

#endif
