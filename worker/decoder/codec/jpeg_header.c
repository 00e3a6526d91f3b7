#include "worker/decoder/codec/jpeg_header.h"

#include <string.h>

static uint32_t u16_big(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static bool refuse(struct error *err, const char *why)
{
    return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "no valid JPEG stream: %s", why);
}

static bool is_frame_header(uint8_t marker)
{
    if (marker == MARKER_SOF55)
        return true;
    return marker >= MARKER_SOF0 && marker <= MARKER_SOF15 && marker != MARKER_DHT && marker != MARKER_JPG &&
           marker != MARKER_DAC;
}

static bool read_frame_header(struct jpeg_header *header, uint8_t marker, const uint8_t *body, size_t length,
                              struct error *err)
{
    if (header->rows != 0)
        return refuse(err, "two frame headers");
    if (length < 6)
        return refuse(err, "the frame header is cut");
    header->is_ls = marker == MARKER_SOF55;
    header->process = header->is_ls ? 0 : (uint32_t)(marker - MARKER_SOF0);
    header->is_lossless =
        header->is_ls || (marker - MARKER_SOF0) % 4 == MARKER_SOF3 - MARKER_SOF0; /* SOF3, 7, 11, 15 */
    header->precision = body[0];
    header->rows = u16_big(body + 1);
    header->columns = u16_big(body + 3);
    header->components = body[5];
    if (header->precision < 2 || header->precision > 16)
        return refuse(err, "a precision that is not allowed");
    if (header->rows == 0 || header->columns == 0)
        return refuse(err, "no rows or no columns");
    if (header->components < 1 || header->components > 4)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS, "%u JPEG components",
                           header->components);
    if (length < 6 + 3 * (size_t)header->components)
        return refuse(err, "the frame header is cut");
    for (uint32_t i = 0; i < header->components; i++) {
        header->ids[i] = body[6 + 3 * i];
        header->sampling[i] = body[7 + 3 * i];
    }
    return true;
}

/* One segment: the marker's own, without the two bytes of its length. */
static bool read_segment(struct jpeg_header *header, uint8_t marker, const uint8_t *body, size_t length,
                         struct error *err)
{
    if (is_frame_header(marker))
        return read_frame_header(header, marker, body, length, err);
    if (marker == MARKER_APP0 && length >= 5 && memcmp(body, "JFIF", 5) == 0)
        header->has_jfif = true;
    if (marker == MARKER_APP14 && length >= 12 && memcmp(body, "Adobe", 5) == 0)
        header->adobe_transform = body[11];
    return true;
}

const char *jpeg_segment_next(const uint8_t *stream, size_t length, size_t *at, struct jpeg_segment *segment)
{
    size_t place = *at;
    *segment = (struct jpeg_segment){.is_clean = true};
    while (place + 1 < length &&
           (stream[place] != 0xFF || stream[place + 1] == 0xFF || stream[place + 1] == 0)) {
        if (stream[place] != 0xFF || stream[place + 1] == 0)
            segment->is_clean = false;
        place++;
    }
    if (place + 1 >= length)
        return "it ends in its header";
    segment->marker = stream[place + 1];
    place += 2;
    segment->body = stream + place;
    *at = place;
    if (segment->marker == MARKER_TEM || (segment->marker >= MARKER_RST0 && segment->marker <= MARKER_EOI))
        return NULL;
    if (length - place < 2)
        return "it ends in its header";
    size_t size = u16_big(stream + place);
    if (size < 2 || size > length - place)
        return "a segment is cut";
    segment->body += 2;
    segment->length = size - 2;
    *at = place + size;
    return NULL;
}

bool jpeg_header_read(const uint8_t *stream, size_t length, struct jpeg_header *header, struct error *err)
{
    *header = (struct jpeg_header){.adobe_transform = -1};
    if (length < 4 || stream[0] != 0xFF || stream[1] != MARKER_SOI)
        return refuse(err, "no start of image");
    struct jpeg_segment segment;
    size_t at = 2;
    do {
        const char *wrong = jpeg_segment_next(stream, length, &at, &segment);
        if (wrong != NULL)
            return refuse(err, wrong);
        if (segment.marker == MARKER_EOI)
            return refuse(err, "no image in it");
        if (!read_segment(header, segment.marker, segment.body, segment.length, err))
            return false;
    } while (segment.marker != MARKER_SOS);
    header->scan = at;
    if (header->rows == 0)
        return refuse(err, "a scan without a frame header");
    return true;
}

int jpeg_header_is_ycbcr(const struct jpeg_header *header)
{
    if (header->components != 3 || header->is_ls)
        return -1;
    /* Lossless JPEG is not transformed by any writer seen, JFIF marker or not: there only Adobe's word
     * counts. */
    if (header->has_jfif && !header->is_lossless)
        return 1;
    if (header->adobe_transform == 0)
        return 0;
    if (header->adobe_transform == 1)
        return 1;
    if (memcmp(header->ids, "RGB", 3) == 0)
        return 0;
    return -1;
}
