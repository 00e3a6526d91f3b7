#include "worker/decoder/codec/codec_jpegls_scan.h"

#include <stdlib.h>

#include "common/alloc.h"
#include "worker/decoder/codec/codec_jpegls_line.h"
#include "worker/decoder/vectors.h"

#define DEFAULT_RESET 64u
#define LINE_ARRAYS 9u /* of uint16_t, for a component: two lines, and what is known ahead */
#define MARGIN 1u      /* samples at either end of a line that are not of the picture */

/* ---- parameters ------------------------------------------------------------------------------------ */

/* The smallest number of bits that holds as many values. */
static uint32_t bits_for(uint32_t values)
{
    return values <= 1 ? 0 : 32 - (uint32_t)__builtin_clz(values - 1);
}

static uint32_t within(uint32_t value, uint32_t least, uint32_t most)
{
    return value > most || value < least ? least : value;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Fill in what the writer left to the standard (C.2.4.1.1). */
static void set_defaults(struct jpegls_preset *preset, uint32_t precision, uint32_t near)
{
    uint32_t t1, t2, t3;
    if (preset->maxval == 0)
        preset->maxval = (1u << precision) - 1;
    const uint32_t maxval = preset->maxval;
    if (maxval >= 128) {
        const uint32_t factor = ((maxval < 4095 ? maxval : 4095) + 128) / 256;
        t1 = factor * (3 - 2) + 2 + 3 * near;
        t2 = factor * (7 - 3) + 3 + 5 * near;
        t3 = factor * (21 - 4) + 4 + 7 * near;
    } else {
        const uint32_t factor = 256 / (maxval + 1);
        t1 = larger(2, 3 / factor + 3 * near);
        t2 = larger(3, 7 / factor + 5 * near);
        t3 = larger(4, 21 / factor + 7 * near);
    }
    if (preset->t1 == 0)
        preset->t1 = within(t1, near + 1, maxval);
    if (preset->t2 == 0)
        preset->t2 = within(t2, preset->t1, maxval);
    if (preset->t3 == 0)
        preset->t3 = within(t3, preset->t2, maxval);
    if (preset->reset == 0)
        preset->reset = DEFAULT_RESET;
}

static bool is_allowed(const struct jpegls_preset *preset, uint32_t precision, uint32_t near)
{
    const uint32_t maxval = preset->maxval;
    return maxval < 1u << precision && near <= 255 && near <= maxval / 2 && preset->t1 > near &&
           preset->t1 <= preset->t2 && preset->t2 <= preset->t3 && preset->t3 <= maxval &&
           preset->reset >= 3 && preset->reset <= larger(255, maxval);
}

static void set_coding(struct jpegls_coding *coding, const struct jpegls_preset *preset, uint32_t near)
{
    const uint32_t step = 2 * near + 1, range = (preset->maxval + 2 * near) / step + 1;
    const uint32_t sample_bits = larger(2, bits_for(preset->maxval + 1));
    *coding = (struct jpegls_coding){
        .maxval = (int32_t)preset->maxval,
        .near = (int32_t)near,
        .step = (int32_t)step,
        .range = (int32_t)range,
        .wrap = (int32_t)(range * step),
        .reset = preset->reset,
        .raw_bits = bits_for(range),
        .longest = 2 * (sample_bits + larger(8, sample_bits)),
        .levels = {(uint16_t)(near + 1), (uint16_t)preset->t1, (uint16_t)preset->t2, (uint16_t)preset->t3},
    };
    coding->zeros_max = coding->longest - coding->raw_bits - 1;
    const uint32_t peeked = JPEGLS_PEEKED - 1 - JPEGLS_K_MAX;
    coding->zeros_short = coding->zeros_max < peeked ? coding->zeros_max : peeked;
}

/* ---- tables --------------------------------------------------------------------------------------- */

static int8_t level_of(const struct jpegls_coding *coding, uint32_t difference)
{
    int8_t level = 0;
    for (uint32_t i = 0; i < 4; i++)
        level = (int8_t)(level + (difference >= coding->levels[i]));
    return level;
}

/* 16 times the level of each difference, and the same negated: reads as `levels` says. */
static bool make_table(struct jpegls_scan *scan, struct error *err)
{
    const size_t maxval = (size_t)scan->coding.maxval, entries = 2 * maxval + 1;
    if (!alloc_pixels(&scan->table, entries, 2, 0, err))
        return false;
    int8_t *const levels = (int8_t *)scan->table + maxval, *const negated = levels + entries;
    for (size_t begin = 0; begin <= maxval;) {
        const int8_t level = (int8_t)(16 * level_of(&scan->coding, (uint32_t)begin));
        size_t end = maxval + 1;
        for (uint32_t i = 4; i-- > 0;)
            if (scan->coding.levels[i] > begin)
                end = scan->coding.levels[i];
        memset(levels + begin, level, end - begin);
        memset(negated - (end - 1), level, end - begin);
        memset(levels - (end - 1), -level, end - begin);
        memset(negated + begin, -level, end - begin);
        begin = end;
    }
    scan->levels = levels;
    scan->negated = (int32_t)entries;
    return true;
}

/* Samples that a line has room for: a multiple of 16, so that all arrays are aligned. */
static size_t line_width(const struct jpegls_scan *scan)
{
    return ((size_t)scan->columns + MARGIN + JPEGLS_FILL + 15) / 16 * 16;
}

/* Each component's two lines, and the arrays of what is known ahead. */
static bool make_lines(struct jpegls_scan *scan, struct error *err)
{
    const size_t width = line_width(scan);
    if (!alloc_pixels(&scan->lines, width * scan->components, LINE_ARRAYS * sizeof(uint16_t), 0, err))
        return false;
    uint16_t *next = scan->lines;
    for (uint32_t i = 0; i < scan->components; i++) {
        scan->line[i] = next + MARGIN;
        scan->above[i] = next + width + MARGIN;
        scan->ahead[i] = (struct jpegls_ahead){.steps = (int16_t *)(next + 2 * width) + MARGIN,
                                               .places = next + 3 * width,
                                               .signs = (int16_t *)(next + 4 * width),
                                               .rises = next + 5 * width,
                                               .falls = next + 6 * width,
                                               .centres = (void *)(next + 7 * width)};
        next += LINE_ARRAYS * width;
    }
    return true;
}

/* Level of b - a, from -4 to 4. */
static inline int16_t level_between(uint16_t a, uint16_t b, const uint16_t *levels)
{
    const uint16_t difference = (uint16_t)(a < b ? b - a : a - b);
    const int16_t level = (int16_t)((difference >= levels[0]) + (difference >= levels[1]) +
                                    (difference >= levels[2]) + (difference >= levels[3]));
    return a > b ? (int16_t)-level : level;
}

/* One simple loop after another, for the compiler to make vectors of them. */
FOR_EACH_VECTOR_WIDTH
static void look_ahead(const struct jpegls_scan *scan, const uint16_t *restrict above,
                       const struct jpegls_ahead *ahead)
{
    const uint16_t own[4] = {scan->coding.levels[0], scan->coding.levels[1], scan->coding.levels[2],
                             scan->coding.levels[3]};
    const ptrdiff_t columns = (ptrdiff_t)scan->columns;
    const int32_t negated = scan->negated;
    int16_t *restrict steps = ahead->steps, *restrict signs = ahead->signs;
    uint16_t *restrict places = ahead->places, *restrict rises = ahead->rises, *restrict falls = ahead->falls;
    int32_t *restrict centres = ahead->centres;
    for (ptrdiff_t x = -1; x < columns; x++)
        steps[x] = level_between(above[x], above[x + 1], own);
    for (ptrdiff_t x = 0; x < columns; x++) {
        const int16_t place = (int16_t)(16 * 9 * (9 * steps[x] + steps[x - 1]));
        places[x] = (uint16_t)(place < 0 ? -place : place);
        signs[x] = place < 0 ? -1 : 0;
    }
    for (ptrdiff_t x = 0; x < columns; x++) {
        const uint16_t corner = above[x - 1], up = above[x];
        rises[x] = (uint16_t)(up > corner ? up - corner : 0);
        falls[x] = (uint16_t)(corner > up ? corner - up : 0);
    }
    for (ptrdiff_t x = 0; x < columns; x++)
        centres[x] = above[x - 1] + (signs[x] & negated);
}

/* ---- rows ------------------------------------------------------------------------------------------- */

bool jpegls_scan_init(struct jpegls_scan *scan, const struct jpegls_setup *setup, struct error *err)
{
    struct jpegls_preset preset = setup->preset;
    set_defaults(&preset, setup->precision, setup->near);
    if (!is_allowed(&preset, setup->precision, setup->near))
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC,
                           "the JPEG-LS codec refuses the stream: parameters that are not allowed");
    set_coding(&scan->coding, &preset, setup->near);
    scan->columns = setup->columns;
    scan->components = setup->components;
    scan->by_sample = setup->interleave == JPEGLS_BY_SAMPLE && setup->components > 1;
    return make_table(scan, err) && make_lines(scan, err);
}

void jpegls_scan_clear(struct jpegls_scan *scan)
{
    free(scan->table);
    free(scan->lines);
    scan->table = NULL;
    scan->lines = NULL;
}

void jpegls_scan_restart(struct jpegls_scan *scan, const struct jpegls_bits *bits)
{
    const size_t width = line_width(scan);
    const uint32_t a = larger(2, ((uint32_t)scan->coding.range + 32) / 64);
    const uint32_t k = bits_for(a); /* with N being 1 */
    for (uint32_t i = 0; i < JPEGLS_CONTEXTS; i++)
        scan->contexts[i] = (struct jpegls_context){.a = a, .n = 1, .k = (uint16_t)k};
    scan->runs[0] = scan->runs[1] = (struct jpegls_run_context){.a = a, .n = 1};
    memset(scan->run_index, 0, sizeof scan->run_index);
    for (uint32_t i = 0; i < scan->components; i++) {
        memset(scan->line[i] - MARGIN, 0, width * sizeof(uint16_t));
        memset(scan->above[i] - MARGIN, 0, width * sizeof(uint16_t));
    }
    scan->bits = *bits;
}

/* The row decoded becomes the one above, and what lies beyond its ends is set (A.2.2). */
static void turn_lines(struct jpegls_scan *scan)
{
    for (uint32_t i = 0; i < scan->components; i++) {
        uint16_t *above = scan->line[i], *line = scan->above[i];
        above[scan->columns] = above[scan->columns - 1];
        line[-1] = above[0];
        scan->above[i] = above;
        scan->line[i] = line;
        look_ahead(scan, above, &scan->ahead[i]);
    }
}

static void blank(struct jpegls_scan *scan, uint32_t component, uint32_t from)
{
    memset(scan->line[component] + from, 0, (scan->columns - from) * sizeof(uint16_t));
}

enum jpegls_outcome jpegls_scan_row(struct jpegls_scan *scan, uint32_t *columns)
{
    jpegls_line_fn *decode = jpegls_line_choose(scan);
    const uint32_t lines = scan->by_sample ? 1 : scan->components;
    turn_lines(scan);
    *columns = scan->columns;
    for (uint32_t i = 0; i < lines && *columns == scan->columns; i++) {
        *columns = decode(scan, i);
        scan->has_samples |= *columns > 0;
        for (uint32_t k = i; k < scan->components && *columns < scan->columns; k++)
            blank(scan, k, k == i || scan->by_sample ? *columns : 0);
    }
    if (*columns == scan->columns)
        return JPEGLS_DECODED;
    /* Where less than a code is left, or nothing but what a disk holds where a file was not written, the data
     * end; what stands in the way elsewhere was never written so. */
    const bool is_at_end = scan->bits.at + scan->coding.longest > scan->bits.end ||
                           jpegls_bits_rest_is_zero(&scan->bits, scan->bits.at);
    return is_at_end ? JPEGLS_ENDS_EARLY : JPEGLS_INVALID;
}
