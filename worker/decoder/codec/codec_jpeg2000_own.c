/* Sound streams of the common kind only: at the first thing that is not as it should be this decoder gives
 * up, and OpenJPEG judges the stream from its beginning. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/codec/codec.h"
#include "worker/decoder/codec/jpeg2000_block.h"
#include "worker/decoder/codec/jpeg2000_ht_codes.h"
#include "worker/decoder/codec/jpeg2000_packets.h"
#include "worker/decoder/codec/jpeg2000_stream.h"
#include "worker/decoder/codec/jpeg2000_tile.h"
#include "worker/decoder/codec/jpeg2000_wavelet.h"
#include "worker/decoder/vectors.h"

/* ---- code-blocks --------------------------------------------------------------------------------------- */

/* What all blocks of a tile need. */
struct block_reader {
    const struct jpeg2000_packets *packets;
    bool is_ht;
    struct ht_codes codes;
    uint8_t *room; /* for the longest, padded on both sides */
};

/* The bytes of a block, one piece behind the other, and the padding behind them. */
static void gather(const struct block_reader *reader, const struct jpeg2000_code_block *block)
{
    const struct jpeg2000_packets *packets = reader->packets;
    uint8_t *to = reader->room;
    for (uint32_t i = block->first; i != 0; i = packets->pieces[i].next) {
        memcpy(to, packets->bytes + packets->pieces[i].at, packets->pieces[i].length);
        to += packets->pieces[i].length;
    }
    memset(to, 0xFF, JPEG2000_BLOCK_PADDING);
}

static bool decode_block(const struct block_reader *reader, const struct jpeg2000_subband *band,
                         const struct jpeg2000_code_block *block)
{
    int32_t *out = band->samples + (size_t)block->top * band->columns + block->left;
    if (block->passes == 0) {
        for (uint32_t row = 0; row < block->rows; row++)
            memset(out + (size_t)row * band->columns, 0, block->columns * sizeof *out);
        return true;
    }
    if (block->length == 0)
        return false;
    gather(reader, block);
    const uint32_t cleanup = reader->is_ht ? block->cleanup_length : block->length;
    const struct jpeg2000_block coded = {.codes = &reader->codes,
                                         .bytes = reader->room,
                                         .cleanup_length = cleanup,
                                         .refinement_length = block->length - cleanup,
                                         .passes = block->passes,
                                         .missing_planes = block->missing_planes,
                                         .planes = band->planes,
                                         .columns = block->columns,
                                         .rows = block->rows};
    return reader->is_ht ? jpeg2000_block_ht(&coded, out, band->columns)
                         : jpeg2000_block_mq(&coded, band->orientation, out, band->columns);
}

static bool decode_cell(const struct block_reader *reader, const struct jpeg2000_tile *tile,
                        const struct jpeg2000_subband *band, const struct jpeg2000_cell *cell)
{
    for (uint32_t i = 0; i < cell->across * cell->down; i++)
        if (!decode_block(reader, band, &tile->blocks[cell->first_block + i]))
            return false;
    return true;
}

static bool decode_blocks(const struct jpeg2000_packets *packets, const struct jpeg2000_tile *tile)
{
    struct block_reader reader = {.packets = packets, .is_ht = tile->stream->is_ht};
    struct error no_memory;
    void *room;
    bool ok = true;
    if (!alloc_pixels(&room, (size_t)packets->longest + 2 * JPEG2000_BLOCK_PADDING, 1, 0, &no_memory))
        return false;
    memset(room, 0, JPEG2000_BLOCK_PADDING);
    reader.room = (uint8_t *)room + JPEG2000_BLOCK_PADDING;
    if (reader.is_ht)
        jpeg2000_ht_codes(&reader.codes);
    for (size_t i = 0; ok && i < tile->precinct_count; i++) {
        const struct jpeg2000_precinct *precinct = &tile->precincts[i];
        for (uint32_t k = 0; ok && k < precinct->cells_used; k++)
            ok = decode_cell(&reader, tile, jpeg2000_tile_band(tile, precinct, k), &precinct->cells[k]);
    }
    free(room);
    return ok;
}

/* ---- samples ------------------------------------------------------------------------------------------- */

/* The range of samples, and what is added to them before they are cut to it (Annex G.1). */
struct range {
    int32_t level, least, most;
};

static inline int32_t in_range(int32_t value, const struct range *range)
{
    const int32_t lifted = (int32_t)((uint32_t)value + (uint32_t)range->level);
    const int32_t above = lifted < range->least ? range->least : lifted;
    return above > range->most ? range->most : above;
}

#define PUT_ROW(name, type)                                                                                \
    FOR_EACH_VECTOR_WIDTH                                                                                  \
    static void name(const int32_t *from, size_t count, const struct range *range, size_t step, void *out) \
    {                                                                                                      \
        const struct range own = *range;                                                                   \
        type *to = out;                                                                                    \
        if (step == 1)                                                                                     \
            for (size_t i = 0; i < count; i++)                                                             \
                to[i] = (type)in_range(from[i], &own);                                                     \
        else                                                                                               \
            for (size_t i = 0; i < count; i++)                                                             \
                to[i * step] = (type)in_range(from[i], &own);                                              \
    }
PUT_ROW(put_row_8, uint8_t)
PUT_ROW(put_row_16, uint16_t)

/* Green, and what red and blue are more than it (Annex G.2): y, u and v to red, green and blue. */
FOR_EACH_VECTOR_WIDTH
static void undo_transform(const int32_t *restrict y, const int32_t *restrict u, const int32_t *restrict v,
                           size_t count, int32_t *restrict rgb)
{
    int32_t *restrict red = rgb, *restrict green = rgb + count, *restrict blue = rgb + 2 * count;
    for (size_t i = 0; i < count; i++) {
        const int32_t quarter = (int32_t)((uint32_t)u[i] + (uint32_t)v[i]) >> 2;
        const uint32_t g = (uint32_t)y[i] - (uint32_t)quarter;
        green[i] = (int32_t)g;
        red[i] = (int32_t)((uint32_t)v[i] + g);
        blue[i] = (int32_t)((uint32_t)u[i] + g);
    }
}

static void set_wavelet(const struct jpeg2000_tile *tile, uint32_t component, struct wavelet *wavelet)
{
    const struct jpeg2000_resolution *resolutions = tile->resolutions[component];
    const struct jpeg2000_subband *ll = &resolutions[0].bands[0];
    wavelet->ll = (struct wavelet_band){ll->samples, ll->columns, ll->rows};
    wavelet->levels = tile->stream->levels;
    for (uint32_t i = 0; i < wavelet->levels; i++) {
        const struct jpeg2000_resolution *resolution = &resolutions[i + 1];
        const struct jpeg2000_subband *bands = resolution->bands;
        struct wavelet_level *level = &wavelet->level[i];
        *level = (struct wavelet_level){.hl = {bands[0].samples, bands[0].columns, bands[0].rows},
                                        .lh = {bands[1].samples, bands[1].columns, bands[1].rows},
                                        .hh = {bands[2].samples, bands[2].columns, bands[2].rows},
                                        .columns = resolution->area.x1 - resolution->area.x0,
                                        .rows = resolution->area.y1 - resolution->area.y0,
                                        .is_odd_x = (resolution->area.x0 & 1) != 0,
                                        .is_odd_y = (resolution->area.y0 & 1) != 0};
    }
}

/* A row of the tile, of all components, to its place in the picture. */
static void put_row(const struct jpeg2000_tile *tile, const int32_t *const rows[JPEG2000_COMPONENTS],
                    uint32_t row, struct codec_samples *out)
{
    const struct jpeg2000_stream *stream = tile->stream;
    const int32_t half = 1 << (stream->precision - 1);
    const struct range range = {.level = stream->is_signed ? 0 : half,
                                .least = stream->is_signed ? -half : 0,
                                .most = stream->is_signed ? half - 1 : 2 * half - 1};
    const size_t start =
        (size_t)(tile->area.y0 - stream->image.y0 + row) * out->columns + (tile->area.x0 - stream->image.x0);
    for (uint32_t i = 0; i < stream->components; i++) {
        uint8_t *to = (uint8_t *)out->data + (start * out->samples + i) * out->bytes;
        if (out->bytes == 1)
            put_row_8(rows[i], tile->area.x1 - tile->area.x0, &range, out->samples, to);
        else
            put_row_16(rows[i], tile->area.x1 - tile->area.x0, &range, out->samples, to);
    }
}

/* The subbands to samples. */
static bool put_tile(const struct jpeg2000_tile *tile, struct codec_samples *out)
{
    const struct jpeg2000_stream *stream = tile->stream;
    const uint32_t columns = tile->area.x1 - tile->area.x0, rows = tile->area.y1 - tile->area.y0;
    struct wavelet wavelets[JPEG2000_COMPONENTS] = {{.rows = NULL}};
    const int32_t *row[JPEG2000_COMPONENTS] = {NULL};
    struct error no_memory;
    void *colours = NULL;
    bool ok = false;
    for (uint32_t i = 0; i < stream->components; i++) {
        set_wavelet(tile, i, &wavelets[i]);
        if (!wavelet_begin(&wavelets[i], &no_memory))
            goto out;
    }
    if (stream->has_transform && !alloc_pixels(&colours, 3 * (size_t)columns, sizeof(int32_t), 0, &no_memory))
        goto out;
    for (uint32_t y = 0; y < rows; y++) {
        for (uint32_t i = 0; i < stream->components; i++)
            row[i] = wavelet_next_row(&wavelets[i]);
        if (stream->has_transform) {
            assert(stream->components == JPEG2000_COMPONENTS); /* else read_coding() declines */
            undo_transform(row[0], row[1], row[2], columns, colours);
            for (uint32_t i = 0; i < stream->components; i++)
                row[i] = (const int32_t *)colours + (size_t)i * columns;
        }
        put_row(tile, row, y, out);
    }
    ok = true;
out:
    for (uint32_t i = 0; i < stream->components; i++)
        wavelet_clear(&wavelets[i]);
    free(colours);
    return ok;
}

/* ---- the frame ----------------------------------------------------------------------------------------- */

static bool decode_tile(const struct jpeg2000_stream *stream, uint32_t number, struct codec_samples *out)
{
    const struct jpeg2000_tile_parts *parts = &stream->tiles[number];
    struct jpeg2000_tile tile = {.stream = NULL};
    struct jpeg2000_packets packets = {.length = parts->bytes};
    struct error no_memory;
    void *copy = NULL;
    bool ok = false;
    if (parts->count > 1) {
        if (!alloc_pixels(&copy, packets.length + 1, 1, 0, &no_memory))
            goto out;
        jpeg2000_stream_copy(stream, parts, copy);
        packets.bytes = copy;
    } else {
        packets.bytes = jpeg2000_stream_packets(stream, parts);
    }
    ok = jpeg2000_tile_init(&tile, stream, number) && jpeg2000_packets_read(&packets, &tile) &&
         decode_blocks(&packets, &tile) && put_tile(&tile, out);
out:
    jpeg2000_packets_clear(&packets);
    jpeg2000_tile_clear(&tile);
    free(copy);
    return ok;
}

bool codec_jpeg2000_own(const uint8_t *bytes, size_t length, const struct codec_frame *frame,
                        struct codec_samples *out)
{
    struct jpeg2000_stream stream = {.bytes = NULL};
    struct error no_memory;
    bool ok = jpeg2000_stream_read(&stream, bytes, length) &&
              stream.image.x1 - stream.image.x0 == frame->columns &&
              stream.image.y1 - stream.image.y0 == frame->rows && stream.components == frame->samples &&
              codec_samples_reserve(out, frame->rows, frame->columns, frame->samples,
                                    stream.precision <= 8 ? 1 : 2, &no_memory);
    for (uint32_t i = 0; ok && i < stream.tiles_across * stream.tiles_down; i++)
        ok = decode_tile(&stream, i, out);
    if (ok) {
        out->precision = stream.precision;
        out->is_signed = stream.is_signed;
        if (stream.has_transform)
            out->colour = CODEC_COLOUR_RGB;
    }
    jpeg2000_stream_clear(&stream);
    return ok;
}
