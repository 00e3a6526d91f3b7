/* jpeg2000_packets.h: the packets of a tile (ISO/IEC 15444-1 Annex B.10 to B.12): what each code-block is
 * made of. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG2000_PACKETS_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG2000_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/decoder/codec/jpeg2000_tile.h"

struct jpeg2000_packets {
    const uint8_t *bytes; /* all of a tile; fewer than 2^32 */
    size_t length;
    struct jpeg2000_piece *pieces; /* owned; the first is none */
    size_t piece_count, pieces_allocated;
    uint32_t longest; /* code-block, in bytes */
};

/* Read the headers of all packets of `tile` from `packets`, whose bytes and length are set and whose other
 * members are zero. jpeg2000_packets_clear() frees, after a failure too. False: not all of the packets are
 * there, or something is behind them, or they hold what is not decoded here. */
MUST_CHECK bool jpeg2000_packets_read(struct jpeg2000_packets *packets, struct jpeg2000_tile *tile);
void jpeg2000_packets_clear(struct jpeg2000_packets *packets);

#endif
