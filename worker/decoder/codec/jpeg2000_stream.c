/* Everything that is unusual is declined, above all what OpenJPEG warns of or refuses. */
#include "worker/decoder/codec/jpeg2000_stream.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define LAYERS_MOST 900u /* OpenJPEG's tag trees end at 999 */
#define TILES_MOST 65535u
#define PLANES_MOST 30u
#define STYLE_PRECINCTS 1u
#define STYLE_SOP 2u
#define STYLE_EPH 4u
#define BLOCK_STYLE_HT 0x40u
#define REVERSIBLE 1u
#define SOT_LENGTH 10u
#define SOT_BYTES 12u
#define CAP_PART_15 0x00020000u
#define CCAP_KIND 0xC000u /* 0: all blocks are of high throughput */
#define TLM_TILE(style) ((style) >> 4 & 3)
#define TLM_LENGTH(style) ((style) >> 6 & 1 ? 4u : 2u)

enum marker {
    MARKER_SOC = 0xFF4F,
    MARKER_CAP = 0xFF50,
    MARKER_SIZ = 0xFF51,
    MARKER_COD = 0xFF52,
    MARKER_TLM = 0xFF55,
    MARKER_PLT = 0xFF58,
    MARKER_QCD = 0xFF5C,
    MARKER_QCC = 0xFF5D,
    MARKER_COM = 0xFF64,
    MARKER_SOT = 0xFF90,
    MARKER_SOD = 0xFF93,
    MARKER_EOC = 0xFFD9
};

/* A marker segment without its marker and its length. */
struct segment {
    uint32_t marker;
    const uint8_t *body;
    uint32_t length;
};

struct reader {
    struct jpeg2000_stream *stream;
    size_t at;
    bool has_coding;
    bool has_planes[1 + JPEG2000_COMPONENTS]; /* by QCD, and by QCC for a component */
    struct segment planes[1 + JPEG2000_COMPONENTS];
};

static uint32_t u16_big(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static uint32_t u32_big(const uint8_t *bytes)
{
    return u16_big(bytes) << 16 | u16_big(bytes + 2);
}

static bool read_marker(struct reader *reader, uint32_t *marker)
{
    if (reader->stream->length - reader->at < 2)
        return false;
    *marker = u16_big(reader->stream->bytes + reader->at);
    reader->at += 2;
    return true;
}

/* The body of the segment whose marker was read. */
static bool read_segment(struct reader *reader, struct segment *segment)
{
    const size_t left = reader->stream->length - reader->at;
    const uint8_t *start = reader->stream->bytes + reader->at;
    if (left < 2 || u16_big(start) < 2 || u16_big(start) > left)
        return false;
    segment->body = start + 2;
    segment->length = u16_big(start) - 2;
    reader->at += segment->length + 2;
    return true;
}

/* ---- the main header ----------------------------------------------------------------------------------- */

static uint32_t count_along(uint32_t end, uint32_t start, uint32_t size)
{
    return (uint32_t)(((uint64_t)end - start + size - 1) / size);
}

/* A.5.1 */
static bool read_size(struct jpeg2000_stream *stream, const struct segment *siz)
{
    const uint8_t *body = siz->body;
    uint32_t numbers[8]; /* Xsiz, Ysiz, XOsiz, YOsiz, and the same of the tiles */
    if (siz->length < 36 + 3)
        return false;
    stream->components = u16_big(body + 34);
    if ((stream->components != 1 && stream->components != JPEG2000_COMPONENTS) ||
        siz->length != 36 + 3 * stream->components)
        return false;
    for (uint32_t i = 0; i < 8; i++) {
        numbers[i] = u32_big(body + 2 + 4 * (size_t)i);
        if (numbers[i] > INT32_MAX)
            return false;
    }
    stream->image = (struct jpeg2000_area){numbers[2], numbers[3], numbers[0], numbers[1]};
    stream->tile_columns = numbers[4];
    stream->tile_rows = numbers[5];
    stream->tile_x0 = numbers[6];
    stream->tile_y0 = numbers[7];
    const struct jpeg2000_area *image = &stream->image;
    if (image->x0 >= image->x1 || image->y0 >= image->y1 || stream->tile_columns == 0 ||
        stream->tile_rows == 0 || stream->tile_x0 > image->x0 || stream->tile_y0 > image->y0 ||
        stream->tile_x0 + stream->tile_columns <= image->x0 ||
        stream->tile_y0 + stream->tile_rows <= image->y0)
        return false;
    stream->tiles_across = count_along(image->x1, stream->tile_x0, stream->tile_columns);
    stream->tiles_down = count_along(image->y1, stream->tile_y0, stream->tile_rows);
    stream->is_signed = body[36] >> 7 != 0;
    stream->precision = (body[36] & 0x7Fu) + 1;
    for (uint32_t i = 0; i < stream->components; i++)
        if (body[36 + 3 * i] != body[36] || body[37 + 3 * i] != 1 || body[38 + 3 * i] != 1)
            return false;
    return stream->precision <= 16 && (uint64_t)stream->tiles_across * stream->tiles_down <= TILES_MOST;
}

/* A.6.1 */
static bool read_coding(struct reader *reader, const struct segment *cod)
{
    struct jpeg2000_stream *stream = reader->stream;
    const uint8_t *body = cod->body;
    if (reader->has_coding || cod->length < 10)
        return false;
    reader->has_coding = true;
    const uint32_t style = body[0], transform = body[4], block_style = body[8];
    stream->has_sop = (style & STYLE_SOP) != 0;
    stream->has_eph = (style & STYLE_EPH) != 0;
    stream->order = body[1];
    stream->layers = u16_big(body + 2);
    stream->has_transform = transform == 1;
    stream->levels = body[5];
    stream->block_columns_log2 = body[6] + 2u;
    stream->block_rows_log2 = body[7] + 2u;
    stream->is_ht = block_style == BLOCK_STYLE_HT;
    if ((style & ~(STYLE_PRECINCTS | STYLE_SOP | STYLE_EPH)) != 0 || body[1] > ORDER_CPRL ||
        stream->layers < 1 || stream->layers > LAYERS_MOST || transform > (stream->components == 3) ||
        stream->levels > JPEG2000_LEVELS || stream->block_columns_log2 > 10 || stream->block_rows_log2 > 10 ||
        stream->block_columns_log2 + stream->block_rows_log2 > 12 ||
        (block_style != 0 && block_style != BLOCK_STYLE_HT) || body[9] != REVERSIBLE)
        return false;
    const bool has_precincts = (style & STYLE_PRECINCTS) != 0;
    if (cod->length != 10 + (has_precincts ? stream->levels + 1 : 0))
        return false;
    for (uint32_t i = 0; i <= stream->levels; i++) {
        uint8_t *log2 = stream->precinct_log2[i];
        log2[0] = has_precincts ? body[10 + i] & 15 : 15;
        log2[1] = has_precincts ? body[10 + i] >> 4 : 15;
        if (i > 0 && (log2[0] == 0 || log2[1] == 0))
            return false;
    }
    return true;
}

/* A.6.4, A.6.5: kept until the number of levels is known. */
static bool keep_planes(struct reader *reader, const struct segment *segment)
{
    uint32_t place = 0;
    struct segment rest = *segment;
    if (segment->marker == MARKER_QCC) {
        if (segment->length < 1 || segment->body[0] >= reader->stream->components)
            return false;
        place = 1 + segment->body[0];
        rest.body++;
        rest.length--;
    }
    if (reader->has_planes[place])
        return false;
    reader->has_planes[place] = true;
    reader->planes[place] = rest;
    return true;
}

static bool set_planes(struct reader *reader)
{
    struct jpeg2000_stream *stream = reader->stream;
    const uint32_t bands = 3 * stream->levels + 1;
    for (uint32_t component = 0; component < stream->components; component++) {
        const struct segment *from = &reader->planes[reader->has_planes[1 + component] ? 1 + component : 0];
        if (!reader->has_planes[0] || from->length != 1 + bands || (from->body[0] & 0x1F) != 0)
            return false;
        for (uint32_t i = 0; i < bands; i++) {
            const uint32_t planes = (from->body[0] >> 5) + (from->body[1 + i] >> 3);
            if (planes < 2 || planes > PLANES_MOST + 1)
                return false;
            stream->planes[component][i] = (uint8_t)(planes - 1);
        }
    }
    return true;
}

/* ISO/IEC 15444-15 A.3: blocks of high throughput, and of nothing else. */
static bool is_usual_capability(const struct segment *cap)
{
    return cap->length == 6 && u32_big(cap->body) == CAP_PART_15 && (u16_big(cap->body + 4) & CCAP_KIND) == 0;
}

/* A.7.1: not used, but OpenJPEG refuses a list that is cut. */
static bool is_whole_list(const struct segment *tlm)
{
    return tlm->length >= 2 && TLM_TILE(tlm->body[1]) != 3 &&
           (tlm->length - 2) % (TLM_TILE(tlm->body[1]) + TLM_LENGTH(tlm->body[1])) == 0;
}

static bool read_main_segment(struct reader *reader, const struct segment *segment)
{
    switch (segment->marker) {
    case MARKER_COD:
        return read_coding(reader, segment);
    case MARKER_QCD:
    case MARKER_QCC:
        return keep_planes(reader, segment);
    case MARKER_CAP:
        return is_usual_capability(segment);
    case MARKER_TLM:
        return is_whole_list(segment);
    case MARKER_COM:
        return segment->length >= 2;
    default:
        return false;
    }
}

/* Up to the first SOT and its marker. */
static bool read_main_header(struct reader *reader)
{
    struct segment segment;
    if (!read_marker(reader, &segment.marker) || segment.marker != MARKER_SOC ||
        !read_marker(reader, &segment.marker) || segment.marker != MARKER_SIZ ||
        !read_segment(reader, &segment) || !read_size(reader->stream, &segment))
        return false;
    while (read_marker(reader, &segment.marker)) {
        if (segment.marker == MARKER_SOT)
            return reader->has_coding && set_planes(reader);
        if (!read_segment(reader, &segment) || !read_main_segment(reader, &segment))
            return false;
    }
    return false;
}

/* ---- tile-parts ---------------------------------------------------------------------------------------- */

/* The segments between SOT and SOD: none that says how to decode. */
static bool read_part_header(struct reader *reader)
{
    struct segment segment;
    while (read_marker(reader, &segment.marker)) {
        if (segment.marker == MARKER_SOD)
            return true;
        if (!read_segment(reader, &segment))
            return false;
        const bool is_usual = segment.marker == MARKER_PLT
                                  ? segment.length >= 2 && segment.body[segment.length - 1] < 0x80
                                  : segment.marker == MARKER_COM && segment.length >= 2;
        if (!is_usual)
            return false;
    }
    return false;
}

/* A tile-part, whose SOT was read, and of the next one its SOT, or EOC. Those of a tile stand together, and
 * say how many they are. */
static bool read_part(struct reader *reader, uint32_t *last_tile, uint32_t *marker)
{
    struct jpeg2000_stream *stream = reader->stream;
    const size_t start = reader->at - 2;
    struct segment sot;
    if (!read_segment(reader, &sot) || sot.length != SOT_LENGTH - 2)
        return false;
    const uint32_t tile = u16_big(sot.body), bytes = u32_big(sot.body + 2), number = sot.body[6],
                   count = sot.body[7];
    if (tile >= stream->tiles_across * stream->tiles_down || bytes > stream->length - start ||
        number >= count)
        return false;
    struct jpeg2000_tile_parts *parts = &stream->tiles[tile];
    if (number == 0 && parts->count == 0)
        parts->at = start;
    if (parts->count != number || (number > 0 && tile != *last_tile) ||
        count != stream->bytes[parts->at + SOT_BYTES - 1] || !read_part_header(reader) ||
        reader->at - start > bytes)
        return false;
    parts->count++;
    const uint64_t packets = (uint64_t)parts->bytes + bytes - (reader->at - start);
    if (packets > UINT32_MAX)
        return false;
    parts->bytes = (uint32_t)packets;
    *last_tile = tile;
    reader->at = start + bytes;
    return read_marker(reader, marker) && (*marker == MARKER_SOT || *marker == MARKER_EOC);
}

static bool read_parts(struct reader *reader)
{
    struct jpeg2000_stream *stream = reader->stream;
    const uint32_t tiles = stream->tiles_across * stream->tiles_down;
    uint32_t last_tile = 0, marker = MARKER_SOT;
    while (marker == MARKER_SOT)
        if (!read_part(reader, &last_tile, &marker))
            return false;
    for (uint32_t i = 0; i < tiles; i++)
        if (stream->tiles[i].count == 0 ||
            stream->bytes[stream->tiles[i].at + SOT_BYTES - 1] != stream->tiles[i].count)
            return false;
    return true;
}

bool jpeg2000_stream_read(struct jpeg2000_stream *stream, const uint8_t *bytes, size_t length)
{
    struct reader reader = {.stream = stream};
    struct error no_memory;
    void *tiles;
    stream->bytes = bytes;
    stream->length = length;
    if (!read_main_header(&reader))
        return false;
    const size_t count = (size_t)stream->tiles_across * stream->tiles_down;
    if (!alloc_pixels(&tiles, count, sizeof *stream->tiles, 0, &no_memory))
        return false;
    stream->tiles = memset(tiles, 0, count * sizeof *stream->tiles);
    return read_parts(&reader);
}

void jpeg2000_stream_clear(struct jpeg2000_stream *stream)
{
    free(stream->tiles);
    stream->tiles = NULL;
}

/* Behind a tile-part's header, which was read before. */
static const uint8_t *behind_header(const uint8_t *sot)
{
    const uint8_t *at = sot + SOT_BYTES;
    while (u16_big(at) != MARKER_SOD)
        at += 2 + u16_big(at + 2);
    return at + 2;
}

const uint8_t *jpeg2000_stream_packets(const struct jpeg2000_stream *stream,
                                       const struct jpeg2000_tile_parts *parts)
{
    return behind_header(stream->bytes + parts->at);
}

void jpeg2000_stream_copy(const struct jpeg2000_stream *stream, const struct jpeg2000_tile_parts *parts,
                          uint8_t *out)
{
    const uint8_t *sot = stream->bytes + parts->at;
    for (uint32_t i = 0; i < parts->count; i++) {
        const uint8_t *next = sot + u32_big(sot + 6), *packets = behind_header(sot);
        memcpy(out, packets, (size_t)(next - packets));
        out += next - packets;
        sot = next;
    }
}
