/* jpeg2000_stream.h: the headers of a JPEG 2000 codestream and its tile-parts (ISO/IEC 15444-1 Annex A), of
 * the kind that is decoded here: reversible, without a quantisation, whose coding is the same everywhere. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG2000_STREAM_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG2000_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define JPEG2000_COMPONENTS 3u
#define JPEG2000_LEVELS 10u /* of decomposition, at most */

enum jpeg2000_order { ORDER_LRCP, ORDER_RLCP, ORDER_RPCL, ORDER_PCRL, ORDER_CPRL };

/* From x0, y0 up to x1, y1, which are not part of it. */
struct jpeg2000_area {
    uint32_t x0, y0, x1, y1;
};

/* The tile-parts of a tile, one behind the other; their headers lie between. */
struct jpeg2000_tile_parts {
    size_t at;      /* of the first SOT                    */
    uint32_t count; /* 0: none yet                         */
    uint32_t bytes; /* of the packets, of all of its parts */
};

struct jpeg2000_stream {
    const uint8_t *bytes;
    size_t length;
    /* SIZ */
    struct jpeg2000_area image;
    uint32_t tile_x0, tile_y0, tile_columns, tile_rows; /* of the first tile, and the size of all   */
    uint32_t tiles_across, tiles_down;
    uint32_t components;
    uint32_t precision;
    bool is_signed;
    /* COD */
    bool has_sop, has_eph;
    enum jpeg2000_order order;
    uint32_t layers;
    bool has_transform; /* of colours */
    uint32_t levels;
    uint32_t block_columns_log2, block_rows_log2;
    bool is_ht;                                                   /* code-blocks of high throughput */
    uint8_t precinct_log2[JPEG2000_LEVELS + 1][2];                /* columns, rows; by resolution */
    uint8_t planes[JPEG2000_COMPONENTS][3 * JPEG2000_LEVELS + 1]; /* QCD, QCC: Mb of each subband */
    struct jpeg2000_tile_parts *tiles;                            /* owned; tiles_across x tiles_down */
};

/* Read a raw codestream. `stream` is zeroed at first; jpeg2000_stream_clear() frees, after a failure too.
 * Returns whether it is one to be decoded here, with all of its tiles and its end. */
MUST_CHECK bool jpeg2000_stream_read(struct jpeg2000_stream *stream, const uint8_t *bytes, size_t length);
void jpeg2000_stream_clear(struct jpeg2000_stream *stream);

/* The packets of a tile, of tile_parts.bytes, to `out`. */
void jpeg2000_stream_copy(const struct jpeg2000_stream *stream, const struct jpeg2000_tile_parts *parts,
                          uint8_t *out);

/* Where the packets of a tile of one tile-part are. */
const uint8_t *jpeg2000_stream_packets(const struct jpeg2000_stream *stream,
                                       const struct jpeg2000_tile_parts *parts);

#endif
