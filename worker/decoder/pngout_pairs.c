#include "worker/decoder/pngout_pairs.h"

#include "worker/decoder/vectors.h"

#define LENGTH_BITS 6
#define LENGTH_MASK 63u

/* One row of the table: all first bytes before one second. */
FOR_EACH_VECTOR_WIDTH static void make_row(uint32_t *restrict row, const uint32_t *restrict bits,
                                           const uint32_t *restrict lengths, uint32_t second_bits,
                                           uint32_t second_length)
{
    for (size_t first = 0; first < 256; first++)
        row[first] =
            (bits[first] | second_bits << lengths[first]) << LENGTH_BITS | (lengths[first] + second_length);
}

void pngout_pairs_make(struct pngout_pairs *pairs, const struct pngout_code *codes)
{
    uint32_t bits[256], lengths[256];
    for (size_t i = 0; i < 256; i++) {
        bits[i] = codes[i].bits;
        lengths[i] = codes[i].length;
    }
    for (size_t second = 0; second < 256; second++)
        if (lengths[second] > 0)
            make_row(pairs->of + 256 * second, bits, lengths, bits[second], lengths[second]);
}

static inline uint32_t entry(const struct pngout_pairs *pairs, const uint8_t *in)
{
    return pairs->of[in[0] | (uint32_t)in[1] << 8];
}

/* Two pairs, of at most 52 bits. */
static inline uint64_t join(uint32_t a, uint32_t b)
{
    return a >> LENGTH_BITS | (uint64_t)(b >> LENGTH_BITS) << (a & LENGTH_MASK);
}

/* Pairs are joined before they go to the others, so that what comes next waits for as few steps as can be. */
FOR_EACH_SHIFT void pngout_pairs_write(struct pngout_bits *writer, const struct pngout_pairs *pairs,
                                       const struct pngout_code *codes, const uint8_t *in, size_t length)
{
    struct pngout_bits out = *writer; /* in registers */
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint32_t a = entry(pairs, in + i), b = entry(pairs, in + i + 2);
        uint32_t c = entry(pairs, in + i + 4), d = entry(pairs, in + i + 6);
        uint32_t first = (a + b) & LENGTH_MASK, second = (c + d) & LENGTH_MASK;
        if (first + second <= PNGOUT_BITS_MAX) { /* nearly always */
            pngout_bits_put(&out, join(a, b) | join(c, d) << first, first + second);
        } else {
            pngout_bits_put(&out, join(a, b), first);
            pngout_bits_flush(&out);
            pngout_bits_put(&out, join(c, d), second);
        }
        pngout_bits_flush(&out);
    }
    for (; i + 2 <= length; i += 2) {
        uint32_t a = entry(pairs, in + i);
        pngout_bits_put(&out, a >> LENGTH_BITS, a & LENGTH_MASK);
        pngout_bits_flush(&out);
    }
    for (; i < length; i++)
        pngout_bits_put(&out, codes[in[i]].bits, codes[in[i]].length);
    pngout_bits_flush(&out);
    *writer = out;
}
