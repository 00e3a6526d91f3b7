/* The tile is walked through twice: to count, and once there is memory, to fill it. */
#include "worker/decoder/codec/jpeg2000_tile.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define SAMPLES_PER_BLOCK 64u /* on the average, at least, or no more than FREE_BLOCKS */
#define FREE_BLOCKS 4096u

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* x / 2^n, rounded up. */
static uint32_t up(uint64_t x, uint32_t n)
{
    return (uint32_t)((x + ((uint64_t)1 << n) - 1) >> n);
}

static struct jpeg2000_area area_up(const struct jpeg2000_area *area, uint32_t n)
{
    return (struct jpeg2000_area){up(area->x0, n), up(area->y0, n), up(area->x1, n), up(area->y1, n)};
}

/* Equation B-15: `half` is 2^(n - 1) where the band is high-pass, else 0. */
static uint32_t band_edge(uint32_t x, uint32_t half, uint32_t n)
{
    return x > half ? up(x - half, n) : 0;
}

static void set_area(struct jpeg2000_tile *tile, uint32_t number)
{
    const struct jpeg2000_stream *stream = tile->stream;
    const uint32_t across = number % stream->tiles_across, down = number / stream->tiles_across;
    const uint64_t x0 = stream->tile_x0 + (uint64_t)across * stream->tile_columns;
    const uint64_t y0 = stream->tile_y0 + (uint64_t)down * stream->tile_rows;
    const uint64_t x1 = x0 + stream->tile_columns, y1 = y0 + stream->tile_rows;
    const struct jpeg2000_area *image = &stream->image;
    tile->area = (struct jpeg2000_area){most((uint32_t)x0, image->x0), most((uint32_t)y0, image->y0),
                                        x1 < image->x1 ? (uint32_t)x1 : image->x1,
                                        y1 < image->y1 ? (uint32_t)y1 : image->y1};
}

static void set_bands(struct jpeg2000_tile *tile, uint32_t component, uint32_t r)
{
    const struct jpeg2000_stream *stream = tile->stream;
    struct jpeg2000_resolution *resolution = &tile->resolutions[component][r];
    const uint32_t n = r == 0 ? stream->levels : stream->levels - r + 1;
    resolution->area = area_up(&tile->area, stream->levels - r);
    for (uint32_t i = 0; i < (r == 0 ? 1 : 3); i++) {
        struct jpeg2000_subband *band = &resolution->bands[i];
        band->orientation = r == 0 ? SUBBAND_LL : SUBBAND_HL + i;
        const uint32_t half = n == 0 ? 0 : 1u << (n - 1);
        const uint32_t half_x = (band->orientation & SUBBAND_HL) != 0 ? half : 0;
        const uint32_t half_y = (band->orientation & SUBBAND_LH) != 0 ? half : 0;
        band->area =
            (struct jpeg2000_area){band_edge(tile->area.x0, half_x, n), band_edge(tile->area.y0, half_y, n),
                                   band_edge(tile->area.x1, half_x, n), band_edge(tile->area.y1, half_y, n)};
        band->columns = band->area.x1 - band->area.x0;
        band->rows = band->area.y1 - band->area.y0;
        band->planes = stream->planes[component][r == 0 ? 0 : 3 * r - 2 + i];
    }
}

static void count_precincts(struct jpeg2000_tile *tile, uint32_t component, uint32_t r)
{
    struct jpeg2000_resolution *resolution = &tile->resolutions[component][r];
    const uint8_t *log2 = tile->stream->precinct_log2[r];
    const struct jpeg2000_area *area = &resolution->area;
    if (area->x0 == area->x1 || area->y0 == area->y1)
        return;
    resolution->precincts_across = up(area->x1, log2[0]) - (area->x0 >> log2[0]);
    resolution->precincts_down = up(area->y1, log2[1]) - (area->y0 >> log2[1]);
    resolution->first_precinct = (uint32_t)tile->precinct_count;
    tile->precinct_count += (size_t)resolution->precincts_across * resolution->precincts_down;
}

/* Nodes of a tag tree. */
static size_t count_nodes(uint32_t across, uint32_t down)
{
    size_t count = (size_t)across * down;
    while (across > 1 || down > 1) {
        across = (across + 1) / 2;
        down = (down + 1) / 2;
        count += (size_t)across * down;
    }
    return count;
}

/* The cell of a band in the precinct whose place is `x`, `y` in numbers of precincts. Counts its blocks and
 * nodes, and where there is memory for them, fills it. */
static void cut_cell(struct jpeg2000_tile *tile, const struct jpeg2000_subband *band, uint32_t r, uint32_t x,
                     uint32_t y, struct jpeg2000_cell *cell)
{
    const struct jpeg2000_stream *stream = tile->stream;
    const uint32_t less = r > 0 ? 1 : 0; /* subbands are half as wide and high */
    const uint32_t log2_x = stream->precinct_log2[r][0] - less, log2_y = stream->precinct_log2[r][1] - less;
    const uint32_t block_x = least(stream->block_columns_log2, log2_x);
    const uint32_t block_y = least(stream->block_rows_log2, log2_y);
    const uint64_t end_x = ((uint64_t)x + 1) << log2_x, end_y = ((uint64_t)y + 1) << log2_y;
    const uint32_t x0 = most(band->area.x0, (uint32_t)((uint64_t)x << log2_x));
    const uint32_t y0 = most(band->area.y0, (uint32_t)((uint64_t)y << log2_y));
    const uint32_t x1 = end_x < band->area.x1 ? (uint32_t)end_x : band->area.x1;
    const uint32_t y1 = end_y < band->area.y1 ? (uint32_t)end_y : band->area.y1;
    *cell = (struct jpeg2000_cell){.first_block = (uint32_t)tile->block_count};
    if (x0 >= x1 || y0 >= y1)
        return;
    const uint32_t first_x = x0 >> block_x, first_y = y0 >> block_y;
    cell->across = up(x1, block_x) - first_x;
    cell->down = up(y1, block_y) - first_y;
    const size_t nodes = count_nodes(cell->across, cell->down);
    cell->inclusion = (uint32_t)tile->node_count;
    cell->missing_planes = (uint32_t)(tile->node_count + nodes);
    for (uint32_t i = 0; tile->blocks != NULL && i < cell->across * cell->down; i++) {
        struct jpeg2000_code_block *block = &tile->blocks[cell->first_block + i];
        const uint32_t column = first_x + i % cell->across, row = first_y + i / cell->across;
        const uint32_t left = most(x0, column << block_x), top = most(y0, row << block_y);
        block->left = left - band->area.x0;
        block->top = top - band->area.y0;
        block->columns = (uint16_t)(least(x1, (column + 1) << block_x) - left);
        block->rows = (uint16_t)(least(y1, (row + 1) << block_y) - top);
    }
    tile->node_count += 2 * nodes;
    tile->block_count += (size_t)cell->across * cell->down;
}

/* Where on the reference grid a precinct has its turn (B.12.1.3): at its corner, or where that lies outside
 * of the tile, at the tile's. */
static uint32_t turn_of(uint32_t number, uint32_t log2, uint32_t resolution_start, uint32_t tile_start,
                        uint32_t levels)
{
    const uint64_t start = (uint64_t)number << log2;
    return start < resolution_start ? tile_start : (uint32_t)(start << levels);
}

static void cut(struct jpeg2000_tile *tile, uint32_t component, uint32_t r)
{
    const struct jpeg2000_stream *stream = tile->stream;
    const struct jpeg2000_resolution *resolution = &tile->resolutions[component][r];
    const uint8_t *log2 = stream->precinct_log2[r];
    const uint32_t count = resolution->precincts_across * resolution->precincts_down;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t x = (resolution->area.x0 >> log2[0]) + i % resolution->precincts_across;
        const uint32_t y = (resolution->area.y0 >> log2[1]) + i / resolution->precincts_across;
        struct jpeg2000_precinct precinct = {
            .x = turn_of(x, log2[0], resolution->area.x0, tile->area.x0, stream->levels - r),
            .y = turn_of(y, log2[1], resolution->area.y0, tile->area.y0, stream->levels - r),
            .component = (uint8_t)component,
            .resolution = (uint8_t)r,
            .cells_used = r == 0 ? 1 : 3};
        for (uint32_t band = 0; band < precinct.cells_used; band++)
            cut_cell(tile, &resolution->bands[band], r, x, y, &precinct.cells[band]);
        if (tile->precincts != NULL)
            tile->precincts[resolution->first_precinct + i] = precinct;
    }
}

static void cut_all(struct jpeg2000_tile *tile)
{
    tile->block_count = 0;
    tile->node_count = 0;
    for (uint32_t component = 0; component < tile->stream->components; component++)
        for (uint32_t r = 0; r <= tile->stream->levels; r++)
            cut(tile, component, r);
}

static bool new_zeroed(void **memory, size_t count, size_t size)
{
    struct error no_memory;
    if (!alloc_pixels(memory, count > 0 ? count : 1, size, 0, &no_memory))
        return false;
    memset(*memory, 0, count * size);
    return true;
}

static bool allocate(struct jpeg2000_tile *tile, size_t samples)
{
    struct error no_memory;
    void *memory;
    if (!new_zeroed(&memory, tile->precinct_count, sizeof *tile->precincts))
        return false;
    tile->precincts = memory;
    if (!new_zeroed(&memory, tile->block_count, sizeof *tile->blocks))
        return false;
    tile->blocks = memory;
    if (!new_zeroed(&memory, tile->node_count, sizeof *tile->nodes))
        return false;
    tile->nodes = memory;
    if (!alloc_pixels(&memory, samples, sizeof *tile->samples, 0, &no_memory))
        return false;
    tile->samples = memory;
    return true;
}

static void place_bands(struct jpeg2000_tile *tile)
{
    int32_t *samples = tile->samples;
    for (uint32_t component = 0; component < tile->stream->components; component++)
        for (uint32_t r = 0; r <= tile->stream->levels; r++)
            for (uint32_t i = 0; i < (r == 0 ? 1 : 3); i++) {
                struct jpeg2000_subband *band = &tile->resolutions[component][r].bands[i];
                band->samples = samples;
                samples += (size_t)band->columns * band->rows;
            }
}

bool jpeg2000_tile_init(struct jpeg2000_tile *tile, const struct jpeg2000_stream *stream, uint32_t number)
{
    tile->stream = stream;
    set_area(tile, number);
    const struct jpeg2000_area *area = &tile->area;
    const uint64_t samples = (uint64_t)(area->x1 - area->x0) * (area->y1 - area->y0) * stream->components;
    const uint64_t blocks_most = samples / SAMPLES_PER_BLOCK + FREE_BLOCKS;
    for (uint32_t component = 0; component < stream->components; component++)
        for (uint32_t r = 0; r <= stream->levels; r++) {
            set_bands(tile, component, r);
            count_precincts(tile, component, r);
        }
    if (samples > UINT32_MAX || tile->precinct_count > blocks_most)
        return false;
    cut_all(tile);
    if (tile->block_count > blocks_most || !allocate(tile, (size_t)samples))
        return false;
    place_bands(tile);
    cut_all(tile);
    return true;
}

void jpeg2000_tile_clear(struct jpeg2000_tile *tile)
{
    free(tile->precincts);
    free(tile->blocks);
    free(tile->nodes);
    free(tile->samples);
    *tile = (struct jpeg2000_tile){.stream = NULL};
}
