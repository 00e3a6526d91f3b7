/* jpeg2000_header.h: what a JPEG 2000 codestream says of its size and its tiles (ISO/IEC 15444-1 Annex A),
 * where the codec does not look closely enough. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG2000_HEADER_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG2000_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

/* Image size, components and tiles, of a raw codestream or one in a JP2 file. */
struct jpeg2000_size {
    uint64_t rows;
    uint64_t columns;
    uint32_t components;
    bool has_too_many_tiles; /* more than can be numbered, or none */
};

/* Read before the codec does, which asks for memory by these numbers. False where they are not where they
 * should be. */
MUST_CHECK bool jpeg2000_header_read(const uint8_t *stream, size_t length, struct jpeg2000_size *size);

/* Mend an image size that was overwritten: one that means more tiles than can be numbered, where the size of
 * a tile is that of the header, and so the image's. A codestream that only contradicts the header is left to
 * its codec to refuse. True where the size of the tile was put in its place. */
bool jpeg2000_header_mend(uint8_t *stream, size_t length, uint32_t rows, uint32_t columns);

/* Whether each tile begins somewhere in the stream, raw or in a JP2 file. */
bool jpeg2000_header_has_all_tiles(const uint8_t *stream, size_t length);

#endif
