#include "worker/decoder/png/pngout_pairs.h"

#include "worker/decoder/vectors.h"

/* One row of the table: all first bytes before one second. */
FOR_EACH_VECTOR_WIDTH static void make_row(uint32_t *restrict row, const uint32_t *restrict bits,
                                           const uint32_t *restrict lengths, uint32_t second_bits,
                                           uint32_t second_length)
{
    for (size_t first = 0; first < 256; first++)
        row[first] = (bits[first] | second_bits << lengths[first]) << PNGOUT_PAIRS_LENGTH_BITS |
                     (lengths[first] + second_length);
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
