/* pngout_pairs.h: two literals at a time, from a table of all pairs of bytes. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_PAIRS_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_PAIRS_H

#include <stddef.h>

#include "worker/decoder/png/pngout_bits.h"
#include "worker/decoder/png/pngout_huffman.h"

#define PNGOUT_PAIRS_LENGTH_BITS 6
#define PNGOUT_PAIRS_CODE_BITS_MAX 13u /* so that a pair and its length fit into 32 bits */

struct pngout_pairs {
    uint32_t of[65536]; /* by the two bytes, the first lowest: the bits << 6 | their number */
};

/* Of the codes of 256 bytes, none longer than CODE_BITS_MAX. A byte without a code must not be written. It
 * costs about as much as writing 20,000 pairs saves. */
void pngout_pairs_make(struct pngout_pairs *pairs, const struct pngout_code *codes);

static inline uint32_t pngout_pair(const struct pngout_pairs *pairs, const uint8_t *in)
{
    return pairs->of[in[0] | (uint32_t)in[1] << 8];
}

static inline uint32_t pngout_pair_length(uint32_t pair)
{
    return pair & ((1u << PNGOUT_PAIRS_LENGTH_BITS) - 1);
}

/* Two pairs, of at most 52 bits. */
static inline uint64_t pngout_pairs_join(uint32_t a, uint32_t b)
{
    return a >> PNGOUT_PAIRS_LENGTH_BITS | (uint64_t)(b >> PNGOUT_PAIRS_LENGTH_BITS) << pngout_pair_length(a);
}

/* Write as many of `length` bytes as make eights, and flush. Returns how many. Pairs are joined before they
 * go to the others, so that what comes next waits for as few steps as can be. */
static inline size_t pngout_pairs_write(struct pngout_bits *out, const struct pngout_pairs *pairs,
                                        const uint8_t *in, size_t length)
{
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint32_t a = pngout_pair(pairs, in + i), b = pngout_pair(pairs, in + i + 2);
        uint32_t c = pngout_pair(pairs, in + i + 4), d = pngout_pair(pairs, in + i + 6);
        uint32_t first = pngout_pair_length(a + b), second = pngout_pair_length(c + d);
        if (first + second <= PNGOUT_BITS_MAX) { /* nearly always */
            pngout_bits_put(out, pngout_pairs_join(a, b) | pngout_pairs_join(c, d) << first, first + second);
        } else {
            pngout_bits_put(out, pngout_pairs_join(a, b), first);
            pngout_bits_flush(out);
            pngout_bits_put(out, pngout_pairs_join(c, d), second);
        }
        pngout_bits_flush(out);
    }
    return i;
}
#endif
