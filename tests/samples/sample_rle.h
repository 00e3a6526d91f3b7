/* sample_rle.h: frames of RLE Lossless (PS3.5 Annex G). */
#ifndef NIFFLER_TESTS_SAMPLES_SAMPLE_RLE_H
#define NIFFLER_TESTS_SAMPLES_SAMPLE_RLE_H

#include "common/buffer.h"

/* Append one frame: a header of 16 longs, then a segment for each byte of each sample, the most significant
 * first (PS3.5 Section G.2).
 *   interleaved  rows x columns pixels of `width` bytes; at most 512 columns
 *   order        for each of the `width` segments (at most 15) the place of its byte in a pixel */
void sample_append_rle_frame(struct buffer *out, const uint8_t *interleaved, size_t rows, size_t columns,
                             size_t width, const size_t *order);

#endif
