#include "worker/decoder/codec/jpeg2000_header.h"

#include <string.h>

#include "worker/decoder/codec/jpeg2000_extensions.h"

#define TILES_MOST 65535u /* they are numbered in 16 bits */
#define MARKER_BYTES 2u
#define TILE_PART_BYTES 12u /* SOT and its segment */
#define SOT 0xFF90u
#define EOC 0xFFD9u
#define CODESTREAM "\xFF\x4F\xFF\x51" /* SOC, SIZ */

/* Places in a raw codestream, SOC and SIZ being its first markers. */
enum {
    CAPABILITIES = 6,
    IMAGE_COLUMNS = 8,
    IMAGE_ROWS = 12,
    IMAGE_OFFSETS = 16,
    TILE_COLUMNS = 24,
    TILE_ROWS = 28,
    TILE_OFFSETS = 32,
    SIZE_END = 40
};

static uint32_t u32_big(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t u16_big(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

/* Tiles along one axis: from the tiles' offset on to the end of the image. */
static uint64_t count_along(uint32_t image, uint32_t tile, uint32_t offset)
{
    if (tile == 0 || image <= offset)
        return 0;
    return ((uint64_t)image - offset + tile - 1) / tile;
}

static uint64_t count_tiles(const uint8_t *stream)
{
    return count_along(u32_big(stream + IMAGE_COLUMNS), u32_big(stream + TILE_COLUMNS),
                       u32_big(stream + TILE_OFFSETS)) *
           count_along(u32_big(stream + IMAGE_ROWS), u32_big(stream + TILE_ROWS),
                       u32_big(stream + TILE_OFFSETS + 4));
}

bool jpeg2000_header_read(const uint8_t *stream, size_t length, struct jpeg2000_size *size)
{
    size_t at = jpeg2000_codestream_at(stream, length);
    const uint8_t *siz = stream + at;
    if (length - at < SIZE_END + 2 || memcmp(siz, CODESTREAM, 4) != 0)
        return false;
    const uint32_t columns = u32_big(siz + IMAGE_COLUMNS), rows = u32_big(siz + IMAGE_ROWS);
    const uint32_t left = u32_big(siz + IMAGE_OFFSETS), top = u32_big(siz + IMAGE_OFFSETS + 4);
    uint64_t tiles = count_tiles(siz);
    *size = (struct jpeg2000_size){.rows = rows > top ? rows - top : 0,
                                   .columns = columns > left ? columns - left : 0,
                                   .components = u16_big(siz + SIZE_END),
                                   .has_too_many_tiles = tiles == 0 || tiles > TILES_MOST};
    return true;
}

bool jpeg2000_header_mend(uint8_t *stream, size_t length, uint32_t rows, uint32_t columns)
{
    static const uint8_t zeros[8];
    if (length < SIZE_END || memcmp(stream, CODESTREAM, 4) != 0 ||
        memcmp(stream + IMAGE_OFFSETS, zeros, sizeof zeros) != 0 ||
        memcmp(stream + TILE_OFFSETS, zeros, sizeof zeros) != 0)
        return false;
    uint64_t tile_columns = u32_big(stream + TILE_COLUMNS), tile_rows = u32_big(stream + TILE_ROWS);
    if (tile_columns != columns || tile_rows != rows)
        return false;
    if (count_tiles(stream) <= TILES_MOST)
        return false;
    memcpy(stream + IMAGE_COLUMNS, stream + TILE_COLUMNS, 4);
    memcpy(stream + IMAGE_ROWS, stream + TILE_ROWS, 4);
    /* What was overwritten began before the size, with what a decoder must be capable of: Part 1. */
    memset(stream + CAPABILITIES, 0, 2);
    return true;
}

bool jpeg2000_header_has_all_tiles(const uint8_t *stream, size_t length)
{
    uint8_t seen[(TILES_MOST + 1) / 8] = {0};
    const uint8_t *start = memmem(stream, length, CODESTREAM, 4);
    if (start == NULL || (length -= (size_t)(start - stream)) < SIZE_END)
        return false;
    const uint64_t tiles = count_tiles(start);
    uint64_t missing = tiles, at = MARKER_BYTES, step;
    /* The main header's segments, then the tile-parts, each of which says how long it is. */
    for (; missing > 0 && at + TILE_PART_BYTES <= length; at += step) {
        const uint8_t *p = start + at;
        step = MARKER_BYTES + (uint64_t)u16_big(p + 2);
        if (u16_big(p) == EOC)
            break;
        if (u16_big(p) != SOT)
            continue;
        uint32_t tile = u16_big(p + 4);
        uint8_t bit = (uint8_t)(1u << tile % 8);
        missing -= tile < tiles && (seen[tile / 8] & bit) == 0;
        seen[tile / 8] |= bit;
        step = u32_big(p + 6);
        if (step < TILE_PART_BYTES)
            break; /* 0: the last, up to the end */
    }
    return missing == 0;
}
