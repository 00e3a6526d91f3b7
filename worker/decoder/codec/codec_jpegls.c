/* JPEG-LS (ITU-T T.87): the headers, and which scans and intervals the samples come from. The coded data are
 * read in codec_jpegls_scan.c. */
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/codec/codec.h"
#include "worker/decoder/codec/codec_jpegls_scan.h"
#include "worker/decoder/codec/jpeg_header.h"

#define PRECISION_MIN 2u
#define PRECISION_MAX 16u

enum jpegls_marker { MARKER_APP8 = 0xE8, MARKER_LSE = 0xF8 }; /* besides those of jpeg_header.h */

/* Of an APP8 segment "mrfx", an extension by Hewlett-Packard: what was done to red, green and blue. */
enum transform { TRANSFORM_NONE, TRANSFORM_HP1, TRANSFORM_HP2, TRANSFORM_HP3 };

/* A scan's own header. */
struct scan_header {
    uint32_t components;
    uint32_t places[JPEGLS_COMPONENTS]; /* of its components in the pixel */
    uint32_t near;
    enum jpegls_interleave interleave;
};

struct reader {
    const uint8_t *stream;
    size_t length;
    size_t at;
    const struct codec_frame *frame;
    struct codec_samples *out;
    bool has_frame;
    uint32_t precision;
    uint8_t ids[JPEGLS_COMPONENTS];
    struct jpegls_preset preset;
    uint64_t interval; /* rows between two restart markers, 0: none */
    enum transform transform;
    uint32_t done; /* bit n: component n is decoded, as far as it goes */
    bool has_samples;
    bool has_ended; /* early */
    void *bits;     /* room for the coded data of any scan */
};

static uint32_t u16_big(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static bool refuse(struct error *err, const char *why)
{
    return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "the JPEG-LS codec refuses the stream: %s",
                       why);
}

/* ---- headers --------------------------------------------------------------------------------------- */

/* The stream's own word against the header's, before anything is allocated by it. */
static bool read_frame_header(struct reader *reader, const struct jpeg_segment *segment, struct error *err)
{
    const struct codec_frame *frame = reader->frame;
    const uint8_t *body = segment->body;
    if (reader->has_frame)
        return refuse(err, "two frame headers");
    if (segment->length < 6 || segment->length < 6 + 3 * (size_t)body[5])
        return refuse(err, "the frame header is cut");
    reader->precision = body[0];
    const uint32_t rows = u16_big(body + 1), columns = u16_big(body + 3), components = body[5];
    if (rows != frame->rows || columns != frame->columns || components != frame->samples)
        return error_input(
            err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
            "the JPEG-LS stream has %u x %u pixels of %u samples, the header says %u x %u of %u", columns,
            rows, components, frame->columns, frame->rows, frame->samples);
    if (reader->precision < PRECISION_MIN || reader->precision > PRECISION_MAX)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "a JPEG-LS stream of %u bits",
                           reader->precision);
    if (rows == 0 || columns == 0)
        return refuse(err, "no rows or no columns");
    for (uint32_t i = 0; i < components; i++) {
        reader->ids[i] = body[6 + 3 * i];
        if (body[7 + 3 * i] != 0x11)
            return refuse(err, "components of unequal size");
        for (uint32_t k = 0; k < i; k++)
            if (reader->ids[k] == reader->ids[i])
                return refuse(err, "two components of one name");
    }
    reader->has_frame = true;
    return true;
}

static bool read_preset(struct reader *reader, const struct jpeg_segment *segment, struct error *err)
{
    const uint8_t *body = segment->body;
    if (segment->length < 1)
        return refuse(err, "parameters are cut");
    if (body[0] == 2 || body[0] == 3)
        return refuse(err, "a mapping table");
    if (body[0] != 1)
        return refuse(err, "parameters of no known kind");
    if (segment->length != 11)
        return refuse(err, "parameters are cut");
    reader->preset = (struct jpegls_preset){u16_big(body + 1), u16_big(body + 3), u16_big(body + 5),
                                            u16_big(body + 7), u16_big(body + 9)};
    return true;
}

/* Of two, three or four bytes (C.2.5). */
static bool read_interval(struct reader *reader, const struct jpeg_segment *segment, struct error *err)
{
    if (segment->length < 2 || segment->length > 4)
        return refuse(err, "a restart interval of no known size");
    reader->interval = 0;
    for (size_t i = 0; i < segment->length; i++)
        reader->interval = reader->interval << 8 | segment->body[i];
    return true;
}

static bool read_transform(struct reader *reader, const struct jpeg_segment *segment, struct error *err)
{
    if (segment->length != 5 || memcmp(segment->body, "mrfx", 4) != 0)
        return true;
    if (segment->body[4] > TRANSFORM_HP3)
        return refuse(err, "a colour transform that is none of HP1, HP2 and HP3");
    reader->transform = segment->body[4];
    return true;
}

static bool is_other_frame_header(uint8_t marker)
{
    return marker >= MARKER_SOF0 && marker <= MARKER_SOF15 && marker != MARKER_DHT && marker != MARKER_DAC;
}

static bool read_segment(struct reader *reader, const struct jpeg_segment *segment, struct error *err)
{
    if (is_other_frame_header(segment->marker))
        return refuse(err, "another kind of JPEG");
    switch (segment->marker) {
    case MARKER_SOF55:
        return read_frame_header(reader, segment, err);
    case MARKER_LSE:
        return read_preset(reader, segment, err);
    case MARKER_DRI:
        return read_interval(reader, segment, err);
    case MARKER_APP8:
        return read_transform(reader, segment, err);
    default:
        return true;
    }
}

/* The place in the pixel of a component: by its name; of a name that no component has the first one that is
 * missing, which is what decoders that do not look at names take. */
static bool find_place(const struct reader *reader, uint8_t id, uint32_t taken, uint32_t *place)
{
    for (uint32_t named = 2; named-- > 0;)
        for (*place = 0; *place < reader->frame->samples; (*place)++)
            if ((taken >> *place & 1) == 0 && (named == 0 || reader->ids[*place] == id))
                return true;
    return false;
}

static bool read_scan_header(struct reader *reader, const struct jpeg_segment *segment,
                             struct scan_header *scan, struct error *err)
{
    const uint8_t *body = segment->body;
    uint32_t taken = reader->done;
    if (!reader->has_frame)
        return refuse(err, "a scan without a frame header");
    if (segment->length < 1 || segment->length != 4 + 2 * (size_t)body[0])
        return refuse(err, "the scan header is cut");
    scan->components = body[0];
    if (scan->components < 1 || scan->components > reader->frame->samples)
        return refuse(err, "a scan of components that the frame has not");
    for (uint32_t i = 0; i < scan->components; i++) {
        if (!find_place(reader, body[1 + 2 * i], taken, &scan->places[i]))
            return refuse(err, "a component that comes twice");
        if (body[2 + 2 * i] != 0)
            return refuse(err, "a mapping table");
        taken |= 1u << scan->places[i];
    }
    const uint8_t *last = body + 1 + 2 * (size_t)scan->components;
    scan->near = last[0];
    if (last[1] > JPEGLS_BY_SAMPLE || (last[1] == JPEGLS_BY_PLANE && scan->components > 1))
        return refuse(err, "samples that are not interleaved in a known way");
    scan->interleave = last[1];
    if ((last[2] & 0x0F) != 0)
        return refuse(err, "a point transform");
    reader->done = taken;
    return true;
}

/* ---- rows to pixels ----------------------------------------------------------------------------------- */

/* One component's line to its place in a row of pixels. */
static void put_line(const uint16_t *line, const struct codec_samples *out, uint32_t row, uint32_t place)
{
    const size_t columns = out->columns, samples = out->samples, start = row * columns * samples + place;
    if (out->bytes == 2 && samples == 1) {
        memcpy((uint16_t *)out->data + start, line, columns * sizeof *line);
    } else if (out->bytes == 2) {
        uint16_t *to = (uint16_t *)out->data + start;
        for (size_t x = 0; x < columns; x++)
            to[x * samples] = line[x];
    } else if (samples == 1) {
        uint8_t *to = (uint8_t *)out->data + start;
        for (size_t x = 0; x < columns; x++)
            to[x] = (uint8_t)line[x];
    } else {
        uint8_t *to = (uint8_t *)out->data + start;
        for (size_t x = 0; x < columns; x++)
            to[x * samples] = (uint8_t)line[x];
    }
}

/* Red, green and blue again, in a row of pixels. All is modulo the number of values of a sample. */
static void undo_transform(enum transform transform, const struct codec_samples *out, uint32_t row,
                           uint32_t columns)
{
    const uint32_t range = 1u << out->precision;
    for (uint32_t x = 0; x < columns; x++) {
        const size_t place = ((size_t)row * out->columns + x) * 3;
        const uint32_t a = (uint32_t)codec_sample(out, place), b = (uint32_t)codec_sample(out, place + 1),
                       c = (uint32_t)codec_sample(out, place + 2);
        uint32_t colours[3] = {a + b + range / 2, b, c + b + range / 2};
        if (transform == TRANSFORM_HP2)
            colours[2] = c + (((colours[0] & (range - 1)) + b) >> 1) + range / 2;
        if (transform == TRANSFORM_HP3) {
            colours[1] = (a + range / 4 - ((b + c) >> 2)) & (range - 1);
            colours[0] = c + colours[1] + range / 2;
            colours[2] = b + colours[1] + range / 2;
        }
        for (size_t i = 0; i < 3; i++) {
            const uint32_t value = colours[i] & (range - 1);
            if (out->bytes == 1)
                ((uint8_t *)out->data)[place + i] = (uint8_t)value;
            else
                ((uint16_t *)out->data)[place + i] = (uint16_t)value;
        }
    }
}

static void put_row(const struct reader *reader, const struct scan_header *header,
                    const struct jpegls_scan *scan, uint32_t row, uint32_t columns)
{
    for (uint32_t i = 0; i < header->components; i++)
        put_line(scan->line[i], reader->out, row, header->places[i]);
    if (reader->transform != TRANSFORM_NONE && header->components == 3)
        undo_transform(reader->transform, reader->out, row, columns);
}

/* ---- scans -------------------------------------------------------------------------------------------- */

/* Make ready for the scan whose header was read. */
static bool begin_scan(struct reader *reader, const struct scan_header *header, struct jpegls_scan *scan,
                       struct error *err)
{
    const struct codec_frame *frame = reader->frame;
    const struct jpegls_setup setup = {.preset = reader->preset,
                                       .precision = reader->precision,
                                       .columns = frame->columns,
                                       .components = header->components,
                                       .near = header->near,
                                       .interleave = header->interleave};
    if (reader->transform != TRANSFORM_NONE && (frame->samples != 3 || reader->precision % 8 != 0))
        return refuse(err, "a colour transform HP1, HP2 or HP3 of what it is not made for");
    if (!jpegls_scan_init(scan, &setup, err))
        return false;
    if (reader->bits != NULL)
        return true;
    const uint32_t bytes = reader->precision > 8 ? 2 : 1;
    if (!codec_samples_reserve(reader->out, frame->rows, frame->columns, frame->samples, bytes, err) ||
        !alloc_pixels(&reader->bits, reader->length + JPEGLS_PADDING, 1, 0, err))
        return false;
    reader->out->precision = reader->precision;
    if (frame->allow_truncated)
        memset(reader->out->data, 0, codec_samples_count(reader->out) * bytes);
    return true;
}

/* `count` rows, from `row` on. */
static enum jpegls_outcome decode_rows(struct reader *reader, const struct scan_header *header,
                                       struct jpegls_scan *scan, uint32_t row, uint32_t count)
{
    for (uint32_t end = row + count; row < end; row++) {
        uint32_t columns;
        const enum jpegls_outcome outcome = jpegls_scan_row(scan, &columns);
        reader->has_samples |= scan->has_samples;
        put_row(reader, header, scan, row, columns);
        if (outcome != JPEGLS_DECODED)
            return outcome;
    }
    /* The last byte is filled up; zeros behind it are a disk's. */
    return scan->bits.end < scan->bits.at + 8 || jpegls_bits_rest_is_zero(&scan->bits, scan->bits.at)
               ? JPEGLS_DECODED
               : JPEGLS_INVALID;
}

static enum jpegls_outcome decode_intervals(struct reader *reader, const struct scan_header *header,
                                            struct jpegls_scan *scan)
{
    const uint32_t rows = reader->frame->rows;
    enum jpegls_outcome outcome = JPEGLS_DECODED;
    for (uint32_t row = 0, restarts = 0; row < rows && outcome == JPEGLS_DECODED; restarts++) {
        if (row > 0) {
            struct jpeg_segment segment;
            if (jpeg_segment_next(reader->stream, reader->length, &reader->at, &segment) != NULL ||
                segment.marker == MARKER_EOI)
                return JPEGLS_ENDS_EARLY;
            if (segment.marker != MARKER_RST0 + (restarts + 7) % 8)
                return JPEGLS_INVALID;
        }
        struct jpegls_bits bits;
        const uint32_t left = rows - row;
        const uint32_t count =
            reader->interval > 0 && reader->interval < left ? (uint32_t)reader->interval : left;
        reader->at = jpegls_unstuff(reader->stream, reader->at, reader->length, reader->bits, &bits);
        jpegls_scan_restart(scan, &bits);
        outcome = decode_rows(reader, header, scan, row, count);
        row += count;
    }
    return outcome;
}

static bool ends_early(struct reader *reader, struct error *err)
{
    if (!reader->frame->allow_truncated || !reader->has_samples)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "the JPEG-LS stream ends early");
    reader->has_ended = true;
    reader->out->ends_early = true;
    return true;
}

static bool decode_scan(struct reader *reader, const struct jpeg_segment *segment, struct error *err)
{
    struct scan_header header = {.components = 0};
    struct jpegls_scan scan = {.table = NULL};
    bool ok = false;
    if (!read_scan_header(reader, segment, &header, err) || !begin_scan(reader, &header, &scan, err))
        goto out;
    switch (decode_intervals(reader, &header, &scan)) {
    case JPEGLS_DECODED:
        ok = true;
        break;
    case JPEGLS_ENDS_EARLY:
        reader->at = reader->length;
        ok = ends_early(reader, err);
        break;
    case JPEGLS_INVALID:
        (void)refuse(err, "coded data that no picture gives");
        break;
    }
out:
    jpegls_scan_clear(&scan);
    return ok;
}

/* All scans, until every component is there. The end-of-image marker may be missing. */
static bool decode(struct reader *reader, struct error *err)
{
    const uint32_t all = (1u << reader->frame->samples) - 1;
    if (reader->length < 2 || reader->stream[0] != 0xFF || reader->stream[1] != MARKER_SOI)
        return refuse(err, "no start of image");
    if (reader->frame->samples < 1 || reader->frame->samples > JPEGLS_COMPONENTS)
        return refuse(err, "no component, or more than four");
    reader->at = 2;
    while (reader->done != all && !reader->has_ended) {
        struct jpeg_segment segment;
        const char *wrong = jpeg_segment_next(reader->stream, reader->length, &reader->at, &segment);
        if (wrong == NULL && segment.marker == MARKER_EOI)
            wrong = "components are missing";
        if (wrong != NULL)
            return reader->has_samples ? ends_early(reader, err) : refuse(err, wrong);
        if (segment.marker == MARKER_SOS ? !decode_scan(reader, &segment, err)
                                         : !read_segment(reader, &segment, err))
            return false;
    }
    return true;
}

bool codec_jpegls(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                  struct codec_samples *out, struct error *err)
{
    struct reader reader = {.stream = stream, .length = length, .frame = frame, .out = out};
    bool ok = decode(&reader, err);
    free(reader.bits);
    return ok;
}
