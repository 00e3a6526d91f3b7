/* Sound streams only: at the first thing that is not as it should be this decoder gives up, and DCMTK's
 * judges the stream from its beginning. What damage is, and what becomes of it, is thus decided in one place,
 * and here nothing of it slows down the rows. */
#include "worker/decoder/codec/codec.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "worker/decoder/codec/jpeg_bits.h"
#include "worker/decoder/codec/jpeg_header.h"
#include "worker/decoder/codec/jpeg_huffman.h"
#include "worker/decoder/codec/jpeg_predict.h"

#define TABLES 4u
#define COMPONENTS 4u
#define CODE_LENGTHS 16u
#define LOSSLESS_HUFFMAN 3u /* n of SOFn */
#define SAMPLED_WHOLE 0x11u /* both sampling factors are 1 */

/* A scan header (T.81 B.2.3), and the tables as they are at it. */
struct scan {
    struct jpeg_place place;
    const struct jpeg_huffman *tables[COMPONENTS];
    bool has_one_table; /* for all its components */
    uint32_t predictor;
};

struct decoder {
    const uint8_t *stream;
    size_t length;
    size_t at; /* behind the last segment read */
    const struct jpeg_header *header;
    struct codec_samples *out;
    const uint8_t *tables[TABLES];      /* counts and categories of the DHT segments, in the stream */
    struct jpeg_huffman *built[TABLES]; /* from them, owned; NULL: not yet                          */
    uint32_t interval;                  /* rows between two restarts; 0: none                       */
    uint32_t decoded;                   /* a bit for each component                                 */
    struct jpeg_coded coded;
    uint16_t *rows[2]; /* owned by the first: what is not decoded in place */
};

bool codec_jpeg_lossless_takes(const struct jpeg_header *header)
{
    if (header->is_ls || header->process != LOSSLESS_HUFFMAN)
        return false;
    /* Of a single component they mean nothing (A.2.2), but not to DCMTK where there are restarts. */
    for (uint32_t i = 0; i < header->components; i++)
        if (header->sampling[i] != SAMPLED_WHOLE)
            return false;
    return true;
}

/* ---- segments --------------------------------------------------------------------------------------- */

static bool read_tables(struct decoder *dec, const uint8_t *body, size_t length)
{
    while (length > 0) {
        if (length < 1 + CODE_LENGTHS)
            return false;
        const uint32_t is_ac = body[0] >> 4, id = body[0] & 15;
        size_t size = 1 + CODE_LENGTHS;
        for (uint32_t i = 1; i <= CODE_LENGTHS; i++)
            size += body[i];
        if (is_ac > 1 || id >= TABLES || size > length)
            return false;
        if (!is_ac) {
            dec->tables[id] = body + 1;
            free(dec->built[id]);
            dec->built[id] = NULL;
        }
        body += size;
        length -= size;
    }
    return true;
}

static bool read_interval(struct decoder *dec, const uint8_t *body, size_t length)
{
    if (length != 2)
        return false;
    /* It counts pixels, and is of whole rows (H.1.1). */
    const uint32_t pixels = (uint32_t)body[0] << 8 | body[1];
    dec->interval = pixels / dec->header->columns;
    return pixels % dec->header->columns == 0;
}

/* The segments up to a scan's header or the end of the image. Of those that say nothing of a lossless image
 * only the usual ones are passed over. */
static bool read_segments(struct decoder *dec, struct jpeg_segment *segment)
{
    for (;;) {
        if (jpeg_segment_next(dec->stream, dec->length, &dec->at, segment) != NULL || !segment->is_clean)
            return false;
        const uint8_t marker = segment->marker;
        bool ok = true;
        if (marker == MARKER_SOS || marker == MARKER_EOI)
            return true;
        if (marker == MARKER_DHT)
            ok = read_tables(dec, segment->body, segment->length);
        else if (marker == MARKER_DRI)
            ok = read_interval(dec, segment->body, segment->length);
        else
            ok = (marker == MARKER_SOF3 && dec->decoded == 0) || marker == MARKER_COM ||
                 (marker >= MARKER_APP0 && marker <= MARKER_APP15);
        if (!ok)
            return false;
    }
}

/* A table, built when first wanted; NULL when there is none, or no valid one. */
static const struct jpeg_huffman *table_of(struct decoder *dec, uint32_t id)
{
    if (id >= TABLES || dec->tables[id] == NULL)
        return NULL;
    if (dec->built[id] == NULL) {
        struct jpeg_huffman *table = xmalloc(sizeof *table);
        if (!jpeg_huffman_build(table, dec->tables[id], dec->tables[id] + CODE_LENGTHS)) {
            free(table);
            return NULL;
        }
        dec->built[id] = table;
    }
    return dec->built[id];
}

/* The place of a component in the pixel; COMPONENTS when there is none of that name. */
static uint32_t component_of(const struct jpeg_header *header, uint8_t id)
{
    for (uint32_t i = 0; i < header->components; i++)
        if (header->ids[i] == id)
            return i;
    return COMPONENTS;
}

static bool read_scan(struct decoder *dec, const uint8_t *body, size_t length, struct scan *scan)
{
    const struct jpeg_header *header = dec->header;
    const uint32_t count = length > 0 ? body[0] : 0;
    if (count < 1 || count > header->components || length != 4 + 2 * (size_t)count)
        return false;
    *scan = (struct scan){.place = {.samples = dec->out->samples, .bytes = dec->out->bytes, .step = count},
                          .has_one_table = true};
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t component = component_of(header, body[1 + 2 * i]);
        if (component == COMPONENTS || (dec->decoded >> component & 1) != 0)
            return false;
        dec->decoded |= 1u << component;
        scan->place.components[i] = (uint8_t)component;
        scan->tables[i] = table_of(dec, body[2 + 2 * i] >> 4);
        if (scan->tables[i] == NULL)
            return false;
        scan->has_one_table = scan->has_one_table && scan->tables[i] == scan->tables[0];
    }
    const uint8_t *rest = body + 1 + 2 * (size_t)count;
    scan->predictor = rest[0];
    scan->place.shift = rest[2];
    return scan->predictor >= 1 && scan->predictor <= JPEG_PREDICTOR_MOST && rest[1] == 0 &&
           scan->place.shift < header->precision && rest[2] <= 15;
}

/* ---- rows ------------------------------------------------------------------------------------------- */

/* Decode a row; `above` is NULL at the beginning of the scan and of a restart interval. */
static bool decode_row(struct decoder *dec, const struct scan *scan, uint16_t *row, const uint16_t *above)
{
    const size_t step = scan->place.step, count = step * dec->header->columns;
    const uint32_t start = 1u << (dec->header->precision - scan->place.shift - 1);
    struct jpeg_bits *bits = &dec->coded.bits;
    if (!jpeg_coded_fill(&dec->coded))
        return false;
    /* The commonest of all rows, in one pass: each sample is the one before it and a difference. */
    if (step == 1 && (scan->predictor == 1 || above == NULL))
        return jpeg_huffman_sums(scan->tables[0], bits, above != NULL ? above[0] : start, row, count);
    bool ok = scan->has_one_table ? jpeg_huffman_differences(scan->tables[0], bits, row, count)
                                  : jpeg_huffman_woven(scan->tables, step, bits, row, count);
    if (!ok)
        return false;
    if (above == NULL)
        jpeg_predict_first_row(row, count, step, start);
    else
        jpeg_predict_row(row, above, count, step, scan->predictor);
    return true;
}

/* End a segment of coded data; dec->at is behind it then. */
static bool end_segment(struct decoder *dec)
{
    const uint8_t *end;
    if (!jpeg_coded_end(&dec->coded, &end))
        return false;
    dec->at = (size_t)(end - dec->stream);
    return true;
}

static bool restart(struct decoder *dec, uint32_t number)
{
    struct jpeg_segment marker;
    if (!end_segment(dec) || jpeg_segment_next(dec->stream, dec->length, &dec->at, &marker) != NULL ||
        !marker.is_clean || marker.marker != MARKER_RST0 + number % 8)
        return false;
    jpeg_coded_begin(&dec->coded, dec->stream + dec->at, dec->length - dec->at);
    return true;
}

static bool decode_scan(struct decoder *dec, const struct scan *scan)
{
    const size_t columns = dec->header->columns;
    const size_t row_bytes = columns * dec->out->samples * dec->out->bytes;
    const bool in_place = jpeg_place_is_plain(&scan->place);
    const uint16_t *above = NULL;
    uint8_t *out = dec->out->data;
    jpeg_coded_begin(&dec->coded, dec->stream + dec->at, dec->length - dec->at);
    for (uint32_t y = 0; y < dec->header->rows; y++, out += row_bytes) {
        if (dec->interval != 0 && y != 0 && y % dec->interval == 0) {
            above = NULL;
            if (!restart(dec, y / dec->interval - 1))
                return false;
        }
        uint16_t *row = in_place ? (uint16_t *)(void *)out : dec->rows[y % 2];
        if (!decode_row(dec, scan, row, above))
            return false;
        if (!in_place)
            jpeg_place_row(&scan->place, row, columns, out);
        above = row;
    }
    return end_segment(dec);
}

static bool decode(struct decoder *dec)
{
    const uint32_t all = (1u << dec->header->components) - 1;
    struct jpeg_segment segment;
    struct scan scan;
    while (dec->decoded != all)
        if (!read_segments(dec, &segment) || segment.marker != MARKER_SOS ||
            !read_scan(dec, segment.body, segment.length, &scan) || !decode_scan(dec, &scan))
            return false;
    /* Nothing but the marker of the end is wanted, and it may be missing. */
    return dec->at == dec->length || (read_segments(dec, &segment) && segment.marker == MARKER_EOI);
}

bool codec_jpeg_lossless(const uint8_t *stream, size_t length, const struct jpeg_header *header,
                         struct codec_samples *out)
{
    struct decoder dec = {.stream = stream, .length = length, .at = 2, .header = header, .out = out};
    const size_t width = (size_t)header->columns * header->components;
    struct error no_memory;
    void *rows = NULL;
    bool ok = false;
    if (!jpeg_coded_init(&dec.coded, width, &no_memory) ||
        !alloc_pixels(&rows, 2 * width, sizeof *dec.rows[0], 0, &no_memory))
        goto out;
    dec.rows[0] = rows;
    dec.rows[1] = dec.rows[0] + width;
    ok = decode(&dec);
out:
    jpeg_coded_clear(&dec.coded);
    free(rows);
    for (uint32_t i = 0; i < TABLES; i++)
        free(dec.built[i]);
    return ok;
}
