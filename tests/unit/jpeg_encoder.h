/* jpeg_encoder.h: lossless JPEG streams (ITU-T T.81, process 14), written as they are told; for tests.
 *
 * The codes are no good ones: three tables with short, long and the longest codes for the commonest
 * differences, so that a decoder meets all lengths. */
#ifndef NIFFLER_TESTS_UNIT_JPEG_ENCODER_H
#define NIFFLER_TESTS_UNIT_JPEG_ENCODER_H

#include <stdint.h>
#include <string.h>

#include "common/buffer.h"

#define JPEG_TABLES 3u

struct jpeg_encoding {
    uint32_t rows, columns, components, precision;
    uint32_t predictor;
    uint32_t shift;     /* the point transform                                            */
    uint32_t interval;  /* rows between two restarts, 0: none                             */
    const char *scans;  /* the components of each: "012", or "0,1,2" one by one           */
    const char *tables; /* of each component, "012"                                       */
    bool is_terse;      /* no segment but those that must be; else comments and the like  */
};

struct jpeg_encoder {
    struct buffer stream;
    uint64_t bits;
    uint32_t count;
};

/* How many codes of each length: 17 of 5 bits; six of 3 and then one of each length; three of 2 bits and then
 * one of each length up to 16. */
static inline const uint8_t *jpeg_counts(uint32_t table)
{
    static const uint8_t counts[JPEG_TABLES][16] = {
        {0, 0, 0, 0, 17},
        {0, 0, 7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
        {0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
    };
    return counts[table];
}

/* The category of the n-th code: the second table has them in order, the others from the largest down. */
static inline uint32_t jpeg_category(uint32_t table, uint32_t n)
{
    return table == 1 ? n : 16 - n;
}

static inline void jpeg_put(struct jpeg_encoder *encoder, uint32_t value, uint32_t size)
{
    for (uint32_t i = size; i-- > 0;)
        buffer_append_char(&encoder->stream, (char)(unsigned char)(value >> (8 * i)));
}

static inline void jpeg_put_bits(struct jpeg_encoder *encoder, uint32_t value, uint32_t count)
{
    encoder->bits = encoder->bits << count | value;
    encoder->count += count;
    for (; encoder->count >= 8; encoder->count -= 8) {
        uint32_t byte = (uint32_t)(encoder->bits >> (encoder->count - 8)) & 0xFF;
        jpeg_put(encoder, byte, 1);
        if (byte == 0xFF)
            jpeg_put(encoder, 0, 1);
    }
}

/* Fill the last byte with ones (F.1.2.3). */
static inline void jpeg_end_bits(struct jpeg_encoder *encoder)
{
    if (encoder->count > 0)
        jpeg_put_bits(encoder, (1u << (8 - encoder->count)) - 1, 8 - encoder->count);
}

static inline void jpeg_put_difference(struct jpeg_encoder *encoder, uint32_t table, uint32_t difference)
{
    const uint8_t *counts = jpeg_counts(table);
    int32_t value = (int16_t)(uint16_t)difference;
    uint32_t category = 0, code = 0, place = 0;
    for (uint32_t magnitude = (uint32_t)(value < 0 ? -value : value); magnitude > 0; magnitude >>= 1)
        category++;
    for (uint32_t length = 1; length <= 16; length++, code <<= 1) {
        for (uint32_t i = 0; i < counts[length - 1]; i++, code++, place++) {
            if (jpeg_category(table, place) != category)
                continue;
            jpeg_put_bits(encoder, code, length);
            if (category < 16)
                jpeg_put_bits(encoder, (uint32_t)(value < 0 ? value - 1 : value) & ((1u << category) - 1),
                              category);
            return;
        }
    }
}

static inline void jpeg_put_table(struct jpeg_encoder *encoder, uint32_t table, uint32_t id)
{
    jpeg_put(encoder, 0xFFC4, 2);
    jpeg_put(encoder, 2 + 1 + 16 + 17, 2);
    jpeg_put(encoder, id, 1);
    buffer_append(&encoder->stream, jpeg_counts(table), 16);
    for (uint32_t i = 0; i < 17; i++)
        jpeg_put(encoder, jpeg_category(table, i), 1);
}

/* Table H.1, and what stands for it at the edges (H.1.2.1), of samples that are shifted already. */
static inline uint32_t jpeg_prediction(const struct jpeg_encoding *how, const uint16_t *samples, uint32_t row,
                                       uint32_t column, uint32_t component)
{
    const size_t step = how->components, line = step * how->columns;
    const uint16_t *at = samples + row * line + column * step + component;
    const bool is_first = how->interval > 0 ? row % how->interval == 0 : row == 0;
    if (is_first)
        return column == 0 ? 1u << (how->precision - how->shift - 1)
                           : (uint32_t)(at[-(ptrdiff_t)step] >> how->shift);
    const int32_t b = at[-(ptrdiff_t)line] >> how->shift;
    if (column == 0)
        return (uint32_t)b;
    const int32_t a = at[-(ptrdiff_t)step] >> how->shift, c = at[-(ptrdiff_t)(line + step)] >> how->shift;
    const int32_t predictions[] = {0,           a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1),
                                   (a + b) >> 1};
    return (uint32_t)predictions[how->predictor];
}

static inline void jpeg_put_scan(struct jpeg_encoder *encoder, const struct jpeg_encoding *how,
                                 const uint16_t *samples, const char *components, uint32_t count)
{
    jpeg_put(encoder, 0xFFDA, 2);
    jpeg_put(encoder, 6 + 2 * count, 2);
    jpeg_put(encoder, count, 1);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t component = (uint32_t)(components[i] - '0');
        jpeg_put(encoder, component + 1, 1);
        jpeg_put(encoder, (uint32_t)(how->tables[component] - '0') << 4, 1);
    }
    jpeg_put(encoder, how->predictor << 16 | how->shift, 3);
    for (uint32_t row = 0; row < how->rows; row++) {
        if (how->interval > 0 && row > 0 && row % how->interval == 0) {
            jpeg_end_bits(encoder);
            jpeg_put(encoder, 0xFFD0 + (row / how->interval - 1) % 8, 2);
        }
        for (uint32_t column = 0; column < how->columns; column++) {
            for (uint32_t i = 0; i < count; i++) {
                uint32_t component = (uint32_t)(components[i] - '0');
                size_t at = ((size_t)row * how->columns + column) * how->components + component;
                jpeg_put_difference(encoder, (uint32_t)(how->tables[component] - '0'),
                                    (uint32_t)(samples[at] >> how->shift) -
                                        jpeg_prediction(how, samples, row, column, component));
            }
        }
    }
    jpeg_end_bits(encoder);
}

/* The stream of the samples, pixel by pixel, into encoder->stream, which the caller clears. */
static inline void jpeg_encode(struct jpeg_encoder *encoder, const struct jpeg_encoding *how,
                               const uint16_t *samples)
{
    jpeg_put(encoder, 0xFFD8, 2);
    if (!how->is_terse)
        buffer_append(&encoder->stream, "\xFF\xE5\0\6text\xFF\xFF\xFF\xFE\0\3.", 15);
    for (uint32_t table = 0; table < JPEG_TABLES; table++)
        jpeg_put_table(encoder, table, table);
    if (how->interval > 0) {
        jpeg_put(encoder, 0xFFDD, 2);
        jpeg_put(encoder, 4, 2);
        jpeg_put(encoder, how->interval * how->columns, 2);
    }
    jpeg_put(encoder, 0xFFC3, 2);
    jpeg_put(encoder, 8 + 3 * how->components, 2);
    jpeg_put(encoder, how->precision, 1);
    jpeg_put(encoder, how->rows << 16 | how->columns, 4);
    jpeg_put(encoder, how->components, 1);
    for (uint32_t i = 0; i < how->components; i++)
        jpeg_put(encoder, (i + 1) << 16 | 0x1100, 3);
    for (const char *scan = how->scans; *scan != '\0'; scan += *scan == ',') {
        uint32_t count = (uint32_t)strcspn(scan, ",");
        jpeg_put_scan(encoder, how, samples, scan, count);
        scan += count;
        if (!how->is_terse && *scan == ',')
            buffer_append(&encoder->stream, "\xFF\xFE\0\3,", 5);
    }
    jpeg_put(encoder, 0xFFD9, 2);
}

#endif
