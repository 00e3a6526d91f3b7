#include "worker/decoder/codec/jpeg2000_packets.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define SOP 0xFF91u
#define EPH 0xFF92u
#define SOP_BYTES 6u
#define FIRST_LENGTH_BITS 3u
#define PASSES_HT 3u
#define TREE_LEVELS 14u /* above the leaves: precincts of 2^15 samples, blocks of 2^2 */

/* The bits of a packet's header: behind a byte 0xFF only seven count (B.10.1). */
struct bits {
    const uint8_t *at;
    const uint8_t *end;
    uint32_t byte;
    uint32_t left; /* bits of `byte` */
    bool is_cut;   /* more were wanted than there are */
};

static uint32_t next_bit(struct bits *bits)
{
    if (bits->left == 0) {
        bits->left = bits->byte == 0xFF ? 7 : 8;
        bits->is_cut |= bits->at == bits->end;
        bits->byte = bits->is_cut ? 0 : *bits->at++;
    }
    bits->left--;
    return bits->byte >> bits->left & 1;
}

static uint32_t next_bits(struct bits *bits, uint32_t count)
{
    uint32_t value = 0;
    while (count-- > 0)
        value = value << 1 | next_bit(bits);
    return value;
}

/* The header ends with a whole byte, and not with 0xFF. */
static void end_bits(struct bits *bits)
{
    if (bits->byte != 0xFF)
        return;
    bits->is_cut |= bits->at == bits->end;
    bits->at += !bits->is_cut;
}

/* ---- a packet's header --------------------------------------------------------------------------------- */

/* Whether a leaf's value is below `threshold` (B.10.2), by as many bits as that takes. */
static bool is_below(struct bits *bits, struct jpeg2000_node *nodes, uint32_t across, uint32_t down,
                     uint32_t leaf, uint32_t threshold)
{
    struct jpeg2000_node *path[TREE_LEVELS + 1];
    uint32_t depth = 0, x = leaf % across, y = leaf / across, low = 0;
    for (;;) {
        path[depth++] = &nodes[(size_t)y * across + x];
        if (across == 1 && down == 1)
            break;
        nodes += (size_t)across * down;
        across = (across + 1) / 2;
        down = (down + 1) / 2;
        x /= 2;
        y /= 2;
    }
    while (depth-- > 0) {
        struct jpeg2000_node *node = path[depth];
        if (node->value < low)
            node->value = (uint16_t)low;
        while (!node->is_known && node->value < threshold) {
            if (next_bit(bits) != 0)
                node->is_known = true;
            else
                node->value++;
        }
        low = node->value;
    }
    return path[0]->is_known && path[0]->value < threshold;
}

/* Table B.4. */
static uint32_t next_passes(struct bits *bits)
{
    if (next_bit(bits) == 0)
        return 1;
    if (next_bit(bits) == 0)
        return 2;
    uint32_t more = next_bits(bits, 2);
    if (more < 3)
        return 3 + more;
    more = next_bits(bits, 5);
    return more < 31 ? 6 + more : 37 + next_bits(bits, 7);
}

static uint32_t log2_of(uint32_t value)
{
    return 31 - (uint32_t)__builtin_clz(value);
}

/* A length of B.10.7; of two segments of high throughput the second has its own. */
static bool read_length(struct bits *bits, const struct jpeg2000_code_block *block, uint32_t passes,
                        uint32_t *length)
{
    const uint32_t count = block->length_bits + log2_of(passes);
    if (count > 32)
        return false;
    *length = next_bits(bits, count);
    return true;
}

/* What the header says of a block for this packet: the bytes of it that follow. */
static bool read_contribution(struct bits *bits, struct jpeg2000_code_block *block, bool is_ht,
                              uint32_t *length)
{
    const uint32_t passes = next_passes(bits);
    uint32_t rest = 0;
    while (next_bit(bits) != 0)
        if (++block->length_bits > 32)
            return false;
    if (is_ht) {
        if (block->passes > 0 || passes > PASSES_HT || !read_length(bits, block, 1, length) ||
            (passes > 1 && !read_length(bits, block, passes - 1, &rest)))
            return false;
        block->cleanup_length = *length;
    } else if (!read_length(bits, block, passes, length)) {
        return false;
    }
    block->passes = (uint16_t)(block->passes + passes);
    return !__builtin_add_overflow(*length, rest, length) && !bits->is_cut;
}

/* Zero bit-planes of a block that comes for the first time. */
static bool read_missing_planes(struct bits *bits, struct jpeg2000_tile *tile,
                                const struct jpeg2000_cell *cell, uint32_t number, uint32_t planes,
                                struct jpeg2000_code_block *block)
{
    uint32_t threshold = 1;
    while (!is_below(bits, tile->nodes + cell->missing_planes, cell->across, cell->down, number, threshold))
        if (++threshold > planes)
            return false;
    block->missing_planes = (uint8_t)(threshold - 1);
    block->length_bits = FIRST_LENGTH_BITS;
    return true;
}

/* ---- packets ------------------------------------------------------------------------------------------- */

struct packet_reader {
    struct jpeg2000_packets *packets;
    struct jpeg2000_tile *tile;
    size_t at;
    uint32_t number;   /* of the next packet */
    uint32_t *lengths; /* of the blocks of a packet, in their order */
};

static bool is_marker(const struct packet_reader *reader, uint32_t marker, uint32_t bytes)
{
    const uint8_t *at = reader->packets->bytes + reader->at;
    return reader->packets->length - reader->at >= bytes && ((uint32_t)at[0] << 8 | at[1]) == marker;
}

static bool read_sop(struct packet_reader *reader)
{
    const uint8_t *at = reader->packets->bytes + reader->at;
    if (!is_marker(reader, SOP, SOP_BYTES) || at[2] != 0 || at[3] != 4 ||
        ((uint32_t)at[4] << 8 | at[5]) != (reader->number & 0xFFFF))
        return false;
    reader->at += SOP_BYTES;
    return true;
}

static bool read_cell(struct packet_reader *reader, struct bits *bits, const struct jpeg2000_cell *cell,
                      uint32_t planes, uint32_t layer, uint32_t *lengths)
{
    struct jpeg2000_tile *tile = reader->tile;
    for (uint32_t i = 0; i < cell->across * cell->down; i++) {
        struct jpeg2000_code_block *block = &tile->blocks[cell->first_block + i];
        const bool is_first = block->length_bits == 0;
        const bool is_included =
            is_first ? is_below(bits, tile->nodes + cell->inclusion, cell->across, cell->down, i, layer + 1)
                     : next_bit(bits) != 0;
        lengths[i] = 0;
        if (bits->is_cut)
            return false;
        if (!is_included)
            continue;
        if ((is_first && !read_missing_planes(bits, tile, cell, i, planes, block)) ||
            !read_contribution(bits, block, tile->stream->is_ht, &lengths[i]))
            return false;
    }
    return true;
}

static bool new_piece(struct jpeg2000_packets *packets)
{
    if (packets->piece_count < packets->pieces_allocated)
        return true;
    struct error no_memory;
    void *memory;
    const size_t allocated = packets->pieces_allocated * 2 + 64;
    if (!alloc_pixels(&memory, allocated, sizeof *packets->pieces, 0, &no_memory))
        return false;
    if (packets->pieces != NULL)
        memcpy(memory, packets->pieces, packets->piece_count * sizeof *packets->pieces);
    free(packets->pieces);
    packets->pieces = memory;
    packets->pieces_allocated = allocated;
    return true;
}

/* The bytes of a cell's blocks, behind the header. There are as many pieces as bytes at most. */
static bool take_bytes(struct packet_reader *reader, const struct jpeg2000_cell *cell,
                       const uint32_t *lengths)
{
    struct jpeg2000_packets *packets = reader->packets;
    for (uint32_t i = 0; i < cell->across * cell->down; i++) {
        struct jpeg2000_code_block *block = &reader->tile->blocks[cell->first_block + i];
        if (lengths[i] == 0)
            continue;
        if (lengths[i] > packets->length - reader->at || !new_piece(packets))
            return false;
        const uint32_t piece = (uint32_t)packets->piece_count++;
        packets->pieces[piece] = (struct jpeg2000_piece){(uint32_t)reader->at, lengths[i], 0};
        if (block->last == 0)
            block->first = piece;
        else
            packets->pieces[block->last].next = piece;
        block->last = piece;
        block->length += lengths[i];
        if (block->length > packets->longest)
            packets->longest = block->length;
        reader->at += lengths[i];
    }
    return true;
}

static bool read_packet(struct packet_reader *reader, const struct jpeg2000_precinct *precinct,
                        uint32_t layer)
{
    const struct jpeg2000_packets *packets = reader->packets;
    const struct jpeg2000_stream *stream = reader->tile->stream;
    uint32_t *lengths = reader->lengths;
    if (stream->has_sop && !read_sop(reader))
        return false;
    struct bits bits = {.at = packets->bytes + reader->at, .end = packets->bytes + packets->length};
    const bool has_any = next_bit(&bits) != 0;
    for (uint32_t i = 0; has_any && i < precinct->cells_used; i++) {
        const struct jpeg2000_cell *cell = &precinct->cells[i];
        const struct jpeg2000_subband *band = jpeg2000_tile_band(reader->tile, precinct, i);
        if (!read_cell(reader, &bits, cell, band->planes, layer, lengths))
            return false;
        lengths += cell->across * cell->down;
    }
    end_bits(&bits);
    if (bits.is_cut)
        return false;
    reader->at = (size_t)(bits.at - packets->bytes);
    if (stream->has_eph) {
        if (!is_marker(reader, EPH, 2))
            return false;
        reader->at += 2;
    }
    lengths = reader->lengths;
    for (uint32_t i = 0; has_any && i < precinct->cells_used; i++) {
        const struct jpeg2000_cell *cell = &precinct->cells[i];
        if (!take_bytes(reader, cell, lengths))
            return false;
        lengths += cell->across * cell->down;
    }
    reader->number++;
    return true;
}

/* ---- their order --------------------------------------------------------------------------------------- */

/* A precinct and what it is sorted by. */
struct turn {
    uint32_t keys[4];
    uint32_t precinct;
};

static int compare_turns(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;
    for (uint32_t i = 0; i < 4; i++)
        if (x->keys[i] != y->keys[i])
            return x->keys[i] < y->keys[i] ? -1 : 1;
    return (x->precinct > y->precinct) - (x->precinct < y->precinct);
}

/* B.12.1: layers come innermost, but for LRCP and RLCP. */
static struct turn turn_of(enum jpeg2000_order order, const struct jpeg2000_precinct *precinct,
                           uint32_t number)
{
    const uint32_t r = precinct->resolution, c = precinct->component, x = precinct->x, y = precinct->y;
    switch (order) {
    case ORDER_RPCL:
        return (struct turn){{r, y, x, c}, number};
    case ORDER_PCRL:
        return (struct turn){{y, x, c, r}, number};
    case ORDER_CPRL:
        return (struct turn){{c, y, x, r}, number};
    default:
        return (struct turn){{r, c, 0, 0}, number};
    }
}

/* The end of the precincts from `start` on whose packets of one layer come together. */
static size_t end_of_round(const struct turn *turns, size_t start, size_t count, enum jpeg2000_order order)
{
    if (order == ORDER_LRCP)
        return count;
    size_t end = start + 1;
    while (order == ORDER_RLCP && end < count && turns[end].keys[0] == turns[start].keys[0])
        end++;
    return end;
}

static bool read_in_order(struct packet_reader *reader, const struct turn *turns)
{
    const struct jpeg2000_stream *stream = reader->tile->stream;
    const size_t count = reader->tile->precinct_count;
    for (size_t start = 0, end; start < count; start = end) {
        end = end_of_round(turns, start, count, stream->order);
        for (uint32_t layer = 0; layer < stream->layers; layer++)
            for (size_t i = start; i < end; i++)
                if (!read_packet(reader, &reader->tile->precincts[turns[i].precinct], layer))
                    return false;
    }
    return reader->at == reader->packets->length;
}

bool jpeg2000_packets_read(struct jpeg2000_packets *packets, struct jpeg2000_tile *tile)
{
    struct packet_reader reader = {.packets = packets, .tile = tile};
    const size_t count = tile->precinct_count;
    struct error no_memory;
    void *turns = NULL, *lengths = NULL;
    bool ok = false;
    packets->piece_count = 1;
    if (!alloc_pixels(&turns, count, sizeof(struct turn), 0, &no_memory) ||
        !alloc_pixels(&lengths, tile->block_count + 1, sizeof *reader.lengths, 0, &no_memory))
        goto out;
    reader.lengths = lengths;
    struct turn *turn = turns;
    for (size_t i = 0; i < count; i++)
        turn[i] = turn_of(tile->stream->order, &tile->precincts[i], (uint32_t)i);
    qsort(turns, count, sizeof *turn, compare_turns);
    ok = read_in_order(&reader, turns);
out:
    free(turns);
    free(lengths);
    return ok;
}

void jpeg2000_packets_clear(struct jpeg2000_packets *packets)
{
    free(packets->pieces);
    *packets = (struct jpeg2000_packets){.bytes = NULL};
}
