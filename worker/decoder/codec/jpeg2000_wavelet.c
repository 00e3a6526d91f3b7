#include "worker/decoder/codec/jpeg2000_wavelet.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/vectors.h"

#define ROWS_KEPT 5u
#define LINE 16u /* samples of a cache line */

/* Sums and differences modulo 2^32; the shifts are those of signed numbers. */
static inline int32_t add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* An even sample, of its low-pass one and the high-pass ones beside it. */
static inline int32_t even_of(int32_t low, int32_t before, int32_t after)
{
    return (int32_t)((uint32_t)low - (uint32_t)(add(add(before, after), 2) >> 2));
}

/* An odd sample, of its high-pass one and the even samples beside it. */
static inline int32_t odd_of(int32_t high, int32_t before, int32_t after)
{
    return add(high, add(before, after) >> 1);
}

/* ---- along a row --------------------------------------------------------------------------------------- */

/* The inner part of a row, in pairs of an even and an odd sample. */
FOR_EACH_VECTOR_WIDTH
static void join_even_first(const int32_t *restrict low, const int32_t *restrict high, size_t pairs,
                            int32_t *restrict out)
{
    for (size_t n = 0; n < pairs; n++) {
        const int32_t even = even_of(low[n], high[(ptrdiff_t)n - 1], high[n]);
        const int32_t next = even_of(low[n + 1], high[n], high[n + 1]);
        out[2 * n] = even;
        out[2 * n + 1] = odd_of(high[n], even, next);
    }
}

/* Sample n of the even ones, with the row mirrored at its ends. `shift` is 1 where the row begins with an odd
 * sample: high[n + shift] stands behind it. */
static int32_t mirrored_even(const int32_t *low, const int32_t *high, size_t highs, size_t n, size_t shift)
{
    const size_t after = n + shift < highs ? n + shift : highs - 1;
    const size_t before = n + shift == 0 ? 0 : n + shift - 1;
    return even_of(low[n], high[before], high[after]);
}

/* A row of `columns` samples of its low-pass and its high-pass half. */
static void join_row(const int32_t *low, const int32_t *high, size_t columns, bool is_odd, int32_t *out)
{
    const size_t shift = is_odd ? 1 : 0, highs = (columns + shift) / 2, lows = columns - highs;
    if (columns == 1)
        out[0] = is_odd ? high[0] / 2 : low[0];
    if (columns < 2)
        return;
    /* Even samples n with high-pass ones on both sides, and an even one behind. */
    size_t n = 0;
    if (is_odd)
        out[0] =
            odd_of(high[0], mirrored_even(low, high, highs, 0, 1), mirrored_even(low, high, highs, 0, 1));
    else {
        out[0] = mirrored_even(low, high, highs, 0, 0);
        out[1] = odd_of(high[0], out[0], lows > 1 ? mirrored_even(low, high, highs, 1, 0) : out[0]);
        n = 1;
    }
    size_t limit = lows > 0 ? lows - 1 : 0; /* even sample n + 1 is there */
    if (highs < limit + 1 + shift)
        limit = highs > 1 + shift ? highs - 1 - shift : 0; /* and high-pass one n + 1 + shift too */
    if (limit > n) {
        join_even_first(low + n, high + n + shift, limit - n, out + 2 * n + shift);
        n = limit;
    }
    for (; n < lows; n++) {
        const int32_t even = mirrored_even(low, high, highs, n, shift);
        out[2 * n + shift] = even;
        if (n + shift < highs)
            out[2 * n + shift + 1] = odd_of(
                high[n + shift], even, n + 1 < lows ? mirrored_even(low, high, highs, n + 1, shift) : even);
    }
}

/* ---- across rows --------------------------------------------------------------------------------------- */

/* An even row, in the place of its low-pass one. */
FOR_EACH_VECTOR_WIDTH
static void make_even(int32_t *restrict row, const int32_t *before, const int32_t *after, size_t columns)
{
    for (size_t x = 0; x < columns; x++)
        row[x] = even_of(row[x], before[x], after[x]);
}

/* An odd row between two even ones. */
FOR_EACH_VECTOR_WIDTH
static void make_odd(int32_t *restrict odd, const int32_t *high, const int32_t *before, const int32_t *after,
                     size_t columns)
{
    for (size_t x = 0; x < columns; x++)
        odd[x] = odd_of(high[x], before[x], after[x]);
}

/* The next even row, and the odd one before it. */
FOR_EACH_VECTOR_WIDTH
static void make_pair(int32_t *restrict row, int32_t *restrict odd, const int32_t *even,
                      const int32_t *before, const int32_t *after, size_t columns)
{
    for (size_t x = 0; x < columns; x++) {
        const int32_t next = even_of(row[x], before[x], after[x]);
        row[x] = next;
        odd[x] = odd_of(before[x], even[x], next);
    }
}

static void swap(int32_t *rows[2])
{
    int32_t *other = rows[0];
    rows[0] = rows[1];
    rows[1] = other;
}

static const int32_t *next_row(struct wavelet *wavelet, uint32_t levels);

/* The next low-pass row, along its columns done, to even[0]. */
static void take_low(struct wavelet *wavelet, uint32_t index)
{
    struct wavelet_level *level = &wavelet->level[index];
    const int32_t *low = next_row(wavelet, index);
    const int32_t *high = level->hl.samples + (size_t)level->next_low * level->hl.columns;
    swap(level->even);
    join_row(low, high, level->columns, level->is_odd_x, level->even[0]);
    level->next_low++;
}

/* The next high-pass row to high[0]; the last one again when there is no more. */
static void take_high(struct wavelet_level *level)
{
    swap(level->high);
    if (level->next_high == level->hh.rows) {
        memcpy(level->high[0], level->high[1], level->columns * sizeof *level->high[0]);
        return;
    }
    const int32_t *low = level->lh.samples + (size_t)level->next_high * level->lh.columns;
    const int32_t *high = level->hh.samples + (size_t)level->next_high * level->hh.columns;
    join_row(low, high, level->columns, level->is_odd_x, level->high[0]);
    level->next_high++;
}

static const int32_t *single_row(struct wavelet *wavelet, uint32_t index)
{
    struct wavelet_level *level = &wavelet->level[index];
    if (!level->is_odd_y) {
        take_low(wavelet, index);
        return level->even[0];
    }
    take_high(level);
    for (size_t x = 0; x < level->columns; x++)
        level->high[0][x] /= 2;
    return level->high[0];
}

/* The first row, so that in even[0] the newest even row is and in high[0] the high-pass one behind it. */
static const int32_t *first_row(struct wavelet *wavelet, uint32_t index)
{
    struct wavelet_level *level = &wavelet->level[index];
    const size_t columns = level->columns;
    take_high(level);
    if (!level->is_odd_y) {
        take_low(wavelet, index);
        make_even(level->even[0], level->high[0], level->high[0], columns);
        return level->even[0];
    }
    take_low(wavelet, index);
    take_high(level);
    make_even(level->even[0], level->high[1], level->high[0], columns);
    make_odd(level->odd, level->high[1], level->even[0], level->even[0], columns);
    return level->odd;
}

/* Row `next` of a level, of which at least one was given. */
static const int32_t *further_row(struct wavelet *wavelet, uint32_t index)
{
    struct wavelet_level *level = &wavelet->level[index];
    const size_t columns = level->columns;
    /* An even row was made together with the odd one before it. */
    if ((level->next & 1) == (level->is_odd_y ? 1 : 0))
        return level->even[0];
    if (level->next + 1 == level->rows) {
        make_odd(level->odd, level->high[0], level->even[0], level->even[0], columns);
        return level->odd;
    }
    take_low(wavelet, index);
    take_high(level);
    make_pair(level->even[0], level->odd, level->even[1], level->high[1], level->high[0], columns);
    return level->odd;
}

/* The next row of the picture of so many levels. */
static const int32_t *next_row(struct wavelet *wavelet, uint32_t levels)
{
    if (levels == 0)
        return wavelet->ll.samples + (size_t)wavelet->next_ll++ * wavelet->ll.columns;
    struct wavelet_level *level = &wavelet->level[levels - 1];
    const int32_t *row = level->rows == 1   ? single_row(wavelet, levels - 1)
                         : level->next == 0 ? first_row(wavelet, levels - 1)
                                            : further_row(wavelet, levels - 1);
    level->next++;
    return row;
}

const int32_t *wavelet_next_row(struct wavelet *wavelet)
{
    return next_row(wavelet, wavelet->levels);
}

bool wavelet_begin(struct wavelet *wavelet, struct error *err)
{
    size_t samples = 0;
    for (uint32_t i = 0; i < wavelet->levels; i++)
        samples += ROWS_KEPT * ((size_t)wavelet->level[i].columns + LINE);
    if (!alloc_pixels(&wavelet->rows, samples > 0 ? samples : 1, sizeof(int32_t), 0, err))
        return false;
    int32_t *at = wavelet->rows;
    for (uint32_t i = 0; i < wavelet->levels; i++) {
        struct wavelet_level *level = &wavelet->level[i];
        int32_t **const rows[ROWS_KEPT] = {&level->even[0], &level->even[1], &level->high[0], &level->high[1],
                                           &level->odd};
        for (uint32_t k = 0; k < ROWS_KEPT; k++, at += level->columns + LINE)
            *rows[k] = at;
    }
    return true;
}

void wavelet_clear(struct wavelet *wavelet)
{
    free(wavelet->rows);
    wavelet->rows = NULL;
}
