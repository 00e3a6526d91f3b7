#include "worker/decoder/codec/jpeg_predict.h"

#include "worker/decoder/vectors.h"

/* ---- prediction ------------------------------------------------------------------------------------- */

/* Table H.1 names the neighbours: a is left, b above, c above the left one. What comes of b and c alone is
 * added first, many samples at a time; then a is added, which waits for the sample before. */

FOR_EACH_VECTOR_WIDTH static void add_above(uint16_t *restrict row, const uint16_t *restrict above,
                                            size_t count)
{
    for (size_t i = 0; i < count; i++)
        row[i] = (uint16_t)(row[i] + above[i]);
}

FOR_EACH_VECTOR_WIDTH static void add_slope(uint16_t *restrict row, const uint16_t *restrict above,
                                            const uint16_t *restrict corner, size_t count)
{
    for (size_t i = 0; i < count; i++)
        row[i] = (uint16_t)(row[i] + above[i] - corner[i]);
}

FOR_EACH_VECTOR_WIDTH static void add_half_slope(uint16_t *restrict row, const uint16_t *restrict above,
                                                 const uint16_t *restrict corner, size_t count)
{
    for (size_t i = 0; i < count; i++)
        row[i] = (uint16_t)(row[i] + ((above[i] - corner[i]) >> 1));
}

/* From the second pixel on. */
static void add_left(uint16_t *row, size_t count, size_t step)
{
    if (step == 1) {
        uint32_t left = row[0];
        for (size_t i = 1; i < count; i++)
            row[i] = (uint16_t)(left += row[i]);
        return;
    }
    for (size_t i = step; i < count; i++)
        row[i] = (uint16_t)(row[i] + row[i - step]);
}

/* The next two look at the left sample modulo 2^16. */
static void add_left_and_half_slope(uint16_t *restrict row, const uint16_t *restrict above, size_t count,
                                    size_t step)
{
    if (step == 1) {
        int32_t left = row[0];
        for (size_t i = 1; i < count; i++)
            row[i] = (uint16_t)(left = (row[i] + above[i] + ((left - above[i - 1]) >> 1)) & 0xFFFF);
        return;
    }
    for (size_t i = step; i < count; i++)
        row[i] = (uint16_t)(row[i] + above[i] + ((row[i - step] - above[i - step]) >> 1));
}

static void add_mean(uint16_t *restrict row, const uint16_t *restrict above, size_t count, size_t step)
{
    if (step == 1) {
        int32_t left = row[0];
        for (size_t i = 1; i < count; i++)
            row[i] = (uint16_t)(left = (row[i] + ((left + above[i]) >> 1)) & 0xFFFF);
        return;
    }
    for (size_t i = step; i < count; i++)
        row[i] = (uint16_t)(row[i] + ((row[i - step] + above[i]) >> 1));
}

void jpeg_predict_row(uint16_t *row, const uint16_t *above, size_t count, size_t step, uint32_t predictor)
{
    const size_t rest = count - step;
    add_above(row, above, step);
    switch (predictor) {
    case 1:
        add_left(row, count, step);
        return;
    case 2:
        add_above(row + step, above + step, rest);
        return;
    case 3:
        add_above(row + step, above, rest);
        return;
    case 4:
        add_slope(row + step, above + step, above, rest);
        add_left(row, count, step);
        return;
    case 5:
        add_half_slope(row + step, above + step, above, rest);
        add_left(row, count, step);
        return;
    case 6:
        add_left_and_half_slope(row, above, count, step);
        return;
    default:
        add_mean(row, above, count, step);
    }
}

void jpeg_predict_first_row(uint16_t *row, size_t count, size_t step, uint32_t start)
{
    for (size_t i = 0; i < step; i++)
        row[i] = (uint16_t)(row[i] + start);
    add_left(row, count, step);
}

/* ---- to the frame ----------------------------------------------------------------------------------- */

static bool is_whole(const struct jpeg_place *place)
{
    for (size_t i = 0; i < place->step; i++)
        if (place->components[i] != i)
            return false;
    return place->step == place->samples;
}

bool jpeg_place_is_plain(const struct jpeg_place *place)
{
    return place->bytes == 2 && place->shift == 0 && is_whole(place);
}

FOR_EACH_VECTOR_WIDTH static void place_bytes(uint8_t *restrict out, const uint16_t *restrict row,
                                              size_t count, uint32_t shift)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)(row[i] << shift);
}

FOR_EACH_VECTOR_WIDTH static void place_words(uint16_t *restrict out, const uint16_t *restrict row,
                                              size_t count, uint32_t shift)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (uint16_t)(row[i] << shift);
}

void jpeg_place_row(const struct jpeg_place *place, const uint16_t *row, size_t columns, void *out)
{
    if (is_whole(place)) {
        if (place->bytes == 1)
            place_bytes(out, row, columns * place->step, place->shift);
        else
            place_words(out, row, columns * place->step, place->shift);
        return;
    }
    for (size_t i = 0; i < columns; i++) {
        for (size_t k = 0; k < place->step; k++) {
            const uint16_t sample = (uint16_t)(row[i * place->step + k] << place->shift);
            const size_t at = i * place->samples + place->components[k];
            if (place->bytes == 1)
                ((uint8_t *)out)[at] = (uint8_t)sample;
            else
                ((uint16_t *)out)[at] = sample;
        }
    }
}
