/* sample_rle.c: plain PackBits, row by row as PS3.5 Section G.3.1 wants it. */
#include "tests/samples/sample_rle.h"

#include <assert.h>

/* PackBits of one segment's row (PS3.5 Section G.3.1). */
static void append_packed(struct buffer *out, const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        size_t run = 1;
        while (at + run < length && run < 128 && bytes[at + run] == bytes[at])
            run++;
        if (run > 2) {
            buffer_append_char(out, (char)(unsigned char)(257 - run));
            buffer_append_char(out, (char)bytes[at]);
            at += run;
            continue;
        }
        size_t literal = 0;
        while (at + literal < length && literal < 128 &&
               !(at + literal + 2 < length && bytes[at + literal] == bytes[at + literal + 1] &&
                 bytes[at + literal] == bytes[at + literal + 2]))
            literal++;
        buffer_append_char(out, (char)(unsigned char)(literal - 1));
        buffer_append(out, bytes + at, literal);
        at += literal;
    }
}

void sample_append_rle_frame(struct buffer *out, const uint8_t *interleaved, size_t rows, size_t columns,
                             size_t width, const size_t *order)
{
    assert(width <= 15 && columns <= 512);
    struct buffer segments = {0};
    uint8_t header[64] = {(uint8_t)width};
    uint8_t row[512];
    for (size_t segment = 0; segment < width; segment++) {
        size_t offset = sizeof(header) + segments.length;
        for (size_t i = 0; i < 4; i++)
            header[4 + 4 * segment + i] = (uint8_t)(offset >> (8 * i));
        for (size_t y = 0; y < rows; y++) {
            for (size_t x = 0; x < columns; x++)
                row[x] = interleaved[(y * columns + x) * width + order[segment]];
            append_packed(&segments, row, columns);
        }
        if (segments.length % 2 != 0)
            buffer_append_char(&segments, '\0');
    }
    buffer_append(out, header, sizeof(header));
    buffer_append(out, segments.data, segments.length);
    buffer_clear(&segments);
}
