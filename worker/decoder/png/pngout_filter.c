#include "worker/decoder/png/pngout_filter.h"

#include <string.h>

#include "worker/decoder/vectors.h"
#include "worker/decoder/vectors_512.h"

/* All filters subtract a prediction made of *unfiltered* bytes, so no byte waits for another one's result and
 * the compiler makes vectors of every loop. The first pixel has no left neighbour: it counts as 0. */

FOR_EACH_VECTOR_WIDTH static void filter_sub(uint8_t *restrict out, const uint8_t *row, size_t length,
                                             size_t step)
{
    memcpy(out, row, step);
    for (size_t i = step; i < length; i++)
        out[i] = (uint8_t)(row[i] - row[i - step]);
}

FOR_EACH_VECTOR_WIDTH static void filter_up(uint8_t *restrict out, const uint8_t *row, const uint8_t *above,
                                            size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)(row[i] - above[i]);
}

FOR_EACH_VECTOR_WIDTH static void filter_average(uint8_t *restrict out, const uint8_t *row,
                                                 const uint8_t *above, size_t length, size_t step)
{
    for (size_t i = 0; i < step; i++)
        out[i] = (uint8_t)(row[i] - above[i] / 2);
    for (size_t i = step; i < length; i++)
        out[i] = (uint8_t)(row[i] - (uint8_t)((row[i - step] + above[i]) / 2));
}

static inline uint8_t distance(uint8_t a, uint8_t b)
{
    return (uint8_t)((a > b ? a : b) - (a > b ? b : a));
}

/* In bytes and without branches. The distances of the initial estimate a + b - c to a, b and c are |b - c|,
 * |a - c| and |(b - c) + (a - c)|: the difference of the first two where the signs differ. Where they do not,
 * it is their sum, and c never nearer than a and b. Ties go to a, then b. */
static inline uint8_t paeth(uint8_t a, uint8_t b, uint8_t c)
{
    uint8_t to_a = distance(b, c), to_b = distance(a, c);
    uint8_t to_c = (b > c) == (a > c) ? 255 : distance(to_a, to_b);
    uint8_t b_or_c = to_b <= to_c ? b : c;
    uint8_t nearest_other = to_b <= to_c ? to_b : to_c;
    return to_a <= nearest_other ? a : b_or_c;
}

FOR_EACH_VECTOR_WIDTH static void rest_paeth(uint8_t *restrict out, const uint8_t *row, const uint8_t *above,
                                             size_t length, size_t step)
{
    for (size_t i = step; i < length; i++)
        out[i] = (uint8_t)(row[i] - paeth(row[i - step], above[i], above[i - step]));
}

#ifdef VECTORS_512 /* in a third of the time */
VECTORS_512 static inline __m512i distances(__m512i a, __m512i b)
{
    return _mm512_sub_epi8(_mm512_max_epu8(a, b), _mm512_min_epu8(a, b));
}

VECTORS_512 static inline __m512i paeth_64(__m512i a, __m512i b, __m512i c)
{
    __m512i to_a = distances(b, c), to_b = distances(a, c);
    __mmask64 one_side = _mm512_cmpgt_epu8_mask(b, c) ^ ~_mm512_cmpgt_epu8_mask(a, c);
    __m512i to_c = _mm512_mask_mov_epi8(distances(to_a, to_b), one_side, _mm512_set1_epi8(-1));
    __m512i b_or_c = _mm512_mask_mov_epi8(c, _mm512_cmple_epu8_mask(to_b, to_c), b);
    return _mm512_mask_mov_epi8(b_or_c, _mm512_cmple_epu8_mask(to_a, _mm512_min_epu8(to_b, to_c)), a);
}

VECTORS_512 static void rest_paeth_512(uint8_t *out, const uint8_t *row, const uint8_t *above, size_t length,
                                       size_t step)
{
    for (size_t i = step; i < length; i += 64) {
        __mmask64 those = vectors_512_first(length - i);
        __m512i a = _mm512_maskz_loadu_epi8(those, row + i - step);
        __m512i b = _mm512_maskz_loadu_epi8(those, above + i);
        __m512i c = _mm512_maskz_loadu_epi8(those, above + i - step);
        __m512i x = _mm512_maskz_loadu_epi8(those, row + i);
        _mm512_mask_storeu_epi8(out + i, those, _mm512_sub_epi8(x, paeth_64(a, b, c)));
    }
}
#else
#define rest_paeth_512 rest_paeth
#endif

static void filter_paeth(uint8_t *restrict out, const uint8_t *row, const uint8_t *above, size_t length,
                         size_t step)
{
    for (size_t i = 0; i < step; i++)
        out[i] = (uint8_t)(row[i] - above[i]); /* with a = c = 0 the nearest is always b */
    if (vectors_are_512())
        rest_paeth_512(out, row, above, length, step);
    else
        rest_paeth(out, row, above, length, step);
}

void pngout_filter_row(enum pngout_filter filter, uint8_t *restrict out, const uint8_t *row,
                       const uint8_t *above, size_t length, size_t step)
{
    switch (filter) {
    case PNGOUT_FILTER_SUB:
        filter_sub(out, row, length, step);
        break;
    case PNGOUT_FILTER_UP:
        filter_up(out, row, above, length);
        break;
    case PNGOUT_FILTER_AVERAGE:
        filter_average(out, row, above, length, step);
        break;
    case PNGOUT_FILTER_PAETH:
        filter_paeth(out, row, above, length, step);
        break;
    case PNGOUT_FILTER_NONE:
    case PNGOUT_FILTER_COUNT:
        memcpy(out, row, length);
        break;
    }
}

FOR_EACH_VECTOR_WIDTH static uint64_t distance_from_0(const uint8_t *bytes, size_t length)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += bytes[i] < 128 ? bytes[i] : 256u - bytes[i];
    return sum;
}

enum pngout_filter pngout_filter_nearest(uint8_t *restrict scratch, const uint8_t *row, const uint8_t *above,
                                         size_t length, size_t step)
{
    enum pngout_filter nearest = PNGOUT_FILTER_NONE;
    uint64_t least = UINT64_MAX;
    for (enum pngout_filter filter = PNGOUT_FILTER_NONE; filter < PNGOUT_FILTER_COUNT; filter++) {
        pngout_filter_row(filter, scratch, row, above, length, step);
        uint64_t sum = distance_from_0(scratch, length);
        if (sum < least) {
            least = sum;
            nearest = filter;
        }
    }
    return nearest;
}
