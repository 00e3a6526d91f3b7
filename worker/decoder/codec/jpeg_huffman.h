/* jpeg_huffman.h: Huffman tables of lossless JPEG (ITU-T T.81 Annex C, H.1.2.2), and rows of differences
 * decoded with them.
 *
 * A symbol is a code that gives a category, and as many bits behind it that give the difference. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG_HUFFMAN_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "worker/decoder/codec/jpeg_bits.h"

#define JPEG_HUFFMAN_INDEX_BITS 11u
#define JPEG_HUFFMAN_CODES 17 /* categories 0 to 16 */
#define JPEG_HUFFMAN_LENGTHS 16

struct jpeg_huffman {
    /* By the next bits of the stream: the first symbol, and the first one or two. 0: a long code, or none.
     * jpeg_huffman.c says what an entry holds. */
    uint64_t one[1u << JPEG_HUFFMAN_INDEX_BITS];
    uint64_t two[1u << JPEG_HUFFMAN_INDEX_BITS];
    /* By the length of a code less 1: the first 16 bits that no code of that length begins, and what is added
     * to the number of a code to get its place among the categories. */
    uint32_t limits[JPEG_HUFFMAN_LENGTHS];
    int32_t places[JPEG_HUFFMAN_LENGTHS];
    uint8_t categories[JPEG_HUFFMAN_CODES];
};

/* Build a table from what stands in a DHT segment: `counts` of codes of 1 to 16 bits, and their categories.
 * Returns false when the codes do not fit their lengths, one is all ones, or there are more than
 * JPEG_HUFFMAN_CODES. */
MUST_CHECK bool jpeg_huffman_build(struct jpeg_huffman *table, const uint8_t *counts,
                                   const uint8_t *categories);

/* Decode `count` differences, modulo 2^16; jpeg_coded_fill() has been called for as many. All but the first
 * return false at bits that are no code.
 *   differences  all by one table, as they are
 *   sums         all by one table, each added to the ones before it and to `start`
 *   woven        by `step` tables, which take turns */
MUST_CHECK bool jpeg_huffman_differences(const struct jpeg_huffman *table, struct jpeg_bits *bits,
                                         uint16_t *out, size_t count);
MUST_CHECK bool jpeg_huffman_sums(const struct jpeg_huffman *table, struct jpeg_bits *bits, uint32_t start,
                                  uint16_t *out, size_t count);
MUST_CHECK bool jpeg_huffman_woven(const struct jpeg_huffman *const *tables, size_t step,
                                   struct jpeg_bits *bits, uint16_t *out, size_t count);

#endif
