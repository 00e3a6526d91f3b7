/* jpeg2000_tile.h: how a tile is cut: resolutions, subbands, precincts, code-blocks (ISO/IEC 15444-1 Annex
 * B.5 to B.9), and the memory for all of it. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG2000_TILE_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG2000_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/decoder/codec/jpeg2000_block.h"
#include "worker/decoder/codec/jpeg2000_stream.h"

/* What a packet holds of a code-block, and where the next packet's piece is found; 0: nowhere. */
struct jpeg2000_piece {
    uint32_t at; /* in the packets of the tile */
    uint32_t length;
    uint32_t next;
};

struct jpeg2000_code_block {
    uint32_t left, top; /* in its subband */
    uint16_t columns, rows;
    uint16_t passes;
    uint8_t missing_planes;
    uint8_t length_bits;     /* Lblock; 0: not included yet                */
    uint32_t length;         /* of all pieces                              */
    uint32_t cleanup_length; /* of high throughput: of its first segment   */
    uint32_t first, last;    /* pieces; 0: none                            */
};

/* A tag tree: of each level its nodes row by row, the leaves first. */
struct jpeg2000_node {
    uint16_t value; /* at least; exact when is_known */
    bool is_known;
};

/* The part of a precinct that lies in a subband. */
struct jpeg2000_cell {
    uint32_t first_block; /* across x down of them, row by row */
    uint32_t across, down;
    uint32_t inclusion; /* tag trees: the first node */
    uint32_t missing_planes;
};

struct jpeg2000_precinct {
    uint32_t x, y; /* by which packets are ordered: on the reference grid */
    uint8_t component, resolution;
    uint8_t cells_used; /* 1 or 3 */
    struct jpeg2000_cell cells[3];
};

struct jpeg2000_subband {
    struct jpeg2000_area area;
    enum subband orientation;
    uint32_t planes;
    uint32_t columns, rows;
    int32_t *samples; /* rows x columns, in `memory` of the tile */
};

struct jpeg2000_resolution {
    struct jpeg2000_area area;
    uint32_t precincts_across, precincts_down;
    uint32_t first_precinct;
    struct jpeg2000_subband bands[3]; /* one, LL, of resolution 0; else HL, LH and HH */
};

struct jpeg2000_tile {
    const struct jpeg2000_stream *stream;
    struct jpeg2000_area area;
    struct jpeg2000_resolution resolutions[JPEG2000_COMPONENTS][JPEG2000_LEVELS + 1];
    struct jpeg2000_precinct *precincts; /* owned, as all that follows; by component, resolution, place */
    struct jpeg2000_code_block *blocks;
    struct jpeg2000_node *nodes;
    int32_t *samples;
    size_t precinct_count, block_count, node_count;
};

/* Lay out a tile; all is zeroed but the samples. `tile` is zeroed at first; jpeg2000_tile_clear() frees,
 * after a failure too. False: it is cut in a way that needs more memory than its samples are worth, or there
 * is none. */
MUST_CHECK bool jpeg2000_tile_init(struct jpeg2000_tile *tile, const struct jpeg2000_stream *stream,
                                   uint32_t number);
void jpeg2000_tile_clear(struct jpeg2000_tile *tile);

/* The band of a cell. */
static inline const struct jpeg2000_subband *
jpeg2000_tile_band(const struct jpeg2000_tile *tile, const struct jpeg2000_precinct *precinct, uint32_t cell)
{
    return &tile->resolutions[precinct->component][precinct->resolution].bands[cell];
}

#endif
