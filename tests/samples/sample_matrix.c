/* sample_matrix.c: which combinations there are. The numbers of bits are crossed with each other, the sign
 * and the transfer syntax; shape, frames and the direction of grey change from image to image instead, in
 * periods that have no common factor. */
#include "tests/samples/sample_matrix.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const enum sample_syntax syntaxes[] = {
    SAMPLE_IMPLICIT_LITTLE, SAMPLE_EXPLICIT_LITTLE, SAMPLE_EXPLICIT_BIG, SAMPLE_DEFLATED, SAMPLE_RLE,
    SAMPLE_ENCAPSULATED,    SAMPLE_DEFLATED_FRAME,
};

/* Odd numbers of bytes, and the smallest. */
static struct sample_pixels next_shape(const struct matrix *matrix)
{
    static const uint16_t shapes[][2] = {{7, 5}, {3, 11}, {1, 1}, {5, 7}, {9, 4}};
    const uint16_t *shape = shapes[matrix->set->written % COUNT(shapes)];
    static const unsigned frames[] = {0, 3, 0, 1, 2, 0, 3};
    return (struct sample_pixels){.rows = shape[0],
                                  .columns = shape[1],
                                  .samples = 1,
                                  .frames = frames[matrix->set->written % COUNT(frames)]};
}

static const char *next_grey(const struct matrix *matrix)
{
    return matrix->set->written % 3 == 0 ? "MONOCHROME1" : "MONOCHROME2";
}

/* Containers that fill no whole bytes, or three of them, were allowed once and are met in no compression;
 * how big endian turns them round was never said. */
static bool takes_allocated(enum sample_syntax syntax, uint16_t allocated)
{
    bool is_odd = allocated == 12 || allocated == 24;
    return !is_odd || (syntax != SAMPLE_RLE && syntax != SAMPLE_EXPLICIT_BIG);
}

static void add_grey(struct matrix *matrix, enum sample_syntax syntax, uint16_t allocated, uint16_t stored)
{
    const uint16_t lowest = (uint16_t)(stored - 1);
    const uint16_t highest = (uint16_t)(allocated - 1);
    const uint16_t high_bits[] = {lowest, (uint16_t)((lowest + highest) / 2), highest};
    for (size_t i = 0; i < COUNT(high_bits); i++) {
        if (i > 0 && high_bits[i] == high_bits[i - 1])
            continue;
        for (int is_signed = 0; is_signed <= 1; is_signed++) {
            struct matrix_image image = {next_shape(matrix), high_bits[i], syntax, false, NULL};
            image.pixels.photometric = next_grey(matrix);
            image.pixels.bits_allocated = allocated;
            image.pixels.bits_stored = stored;
            image.pixels.is_signed = is_signed != 0;
            matrix_add(matrix, &image);
        }
    }
}

/* BitsStored as far as it is tried of the wider containers; of up to 16 bits all. */
static bool is_tried(uint16_t allocated, uint16_t stored)
{
    static const uint16_t few[] = {1, 7, 8, 9, 12, 15, 16, 17, 23, 24, 31, 32};
    for (size_t i = 0; i < COUNT(few); i++)
        if (few[i] == stored)
            return true;
    return allocated <= 16;
}

static void add_all_grey(struct matrix *matrix, enum sample_syntax syntax)
{
    static const uint16_t allocated[] = {1, 8, 12, 16, 24, 32};
    for (size_t i = 0; i < COUNT(allocated); i++)
        for (uint16_t stored = 1; stored <= allocated[i]; stored++)
            if (takes_allocated(syntax, allocated[i]) && is_tried(allocated[i], stored))
                add_grey(matrix, syntax, allocated[i], stored);
}

static void add_colour(struct matrix *matrix, enum sample_syntax syntax, const char *photometric,
                       uint16_t planar, uint16_t allocated)
{
    bool is_half_chroma = strcmp(photometric, "YBR_FULL_422") == 0;
    for (uint16_t stored = 1; stored <= allocated; stored++) {
        if (!is_tried(allocated, stored) || (strcmp(photometric, "RGB") != 0 && stored < 4))
            continue;
        struct matrix_image image = {next_shape(matrix), 0, syntax, false, NULL};
        const uint16_t spare = (uint16_t)(allocated - stored);
        image.high_bit = (uint16_t)(stored - 1 + (matrix->set->written % 3) * spare / 2);
        image.pixels.columns =
            (uint16_t)(image.pixels.columns + (is_half_chroma ? image.pixels.columns % 2 : 0));
        image.pixels.samples = 3;
        image.pixels.photometric = photometric;
        image.pixels.planar = planar;
        image.pixels.bits_allocated = allocated;
        image.pixels.bits_stored = stored;
        matrix_add(matrix, &image);
    }
}

static void add_all_colour(struct matrix *matrix, enum sample_syntax syntax)
{
    static const struct {
        const char *photometric;
        uint16_t planar;
        uint16_t widest; /* BitsAllocated */
    } arrangements[] = {
        {"RGB", 0, 32}, {"RGB", 1, 32}, {"YBR_FULL", 0, 16}, {"YBR_FULL", 1, 16}, {"YBR_FULL_422", 0, 16},
    };
    for (size_t i = 0; i < COUNT(arrangements); i++)
        for (uint16_t allocated = 8; allocated <= arrangements[i].widest; allocated *= 2)
            /* RLE knows no halved chroma (PS3.5 Section 8.2.2). */
            if (syntax != SAMPLE_RLE || strcmp(arrangements[i].photometric, "YBR_FULL_422") != 0)
                add_colour(matrix, syntax, arrangements[i].photometric, arrangements[i].planar, allocated);
}

static const struct matrix_palette palettes[] = {
    {16, 0, 256, false},     {8, 0, 256, false},    {8, 0, 201, false},   {16, 0, 1, false},
    {8, 37, 101, false},     {16, 100, 90, false},  {16, -20, 60, false}, {8, -20, 61, false},
    {16, 40000, 500, false}, {16, 0, 65536, false}, {8, 0, 107, true},    {16, 0, 107, true},
    {8, -30, 107, true},     {16, 9, 107, true},
};

static void add_palettes(struct matrix *matrix, enum sample_syntax syntax, uint16_t allocated,
                         uint16_t stored)
{
    for (size_t i = 0; i < COUNT(palettes); i++) {
        if (palettes[i].first >= 1 << stored || (palettes[i].count == 65536 && stored < 16))
            continue;
        struct matrix_image image = {next_shape(matrix), (uint16_t)(stored - 1), syntax, false, &palettes[i]};
        if (matrix->set->written % 2 == 0)
            image.high_bit = (uint16_t)(allocated - 1);
        image.pixels.photometric = "PALETTE COLOR";
        image.pixels.bits_allocated = allocated;
        image.pixels.bits_stored = stored;
        image.pixels.is_signed = palettes[i].first < 0;
        matrix_add(matrix, &image);
    }
}

/* Sources for encoders, which take a container as it is. opj_compress 2.5.0 refuses an image whose columns,
 * rows, samples and bits, taken as bit patterns, have a bit in common: eight columns and up to three samples
 * have none.
 */
static void add_clean(struct matrix *matrix, uint16_t allocated, uint16_t stored)
{
    static const struct {
        const char *photometric;
        uint16_t samples;
        uint16_t planar;
        bool is_signed;
    } kinds[] = {
        {"MONOCHROME2", 1, 0, false}, {"MONOCHROME1", 1, 0, false}, {"MONOCHROME2", 1, 0, true},
        {"RGB", 3, 0, false},         {"RGB", 3, 1, false},         {"PALETTE COLOR", 1, 0, false},
    };
    for (size_t i = 0; i < COUNT(kinds); i++) {
        bool has_palette = strcmp(kinds[i].photometric, "PALETTE COLOR") == 0;
        struct matrix_image image = {next_shape(matrix), (uint16_t)(stored - 1), SAMPLE_EXPLICIT_LITTLE, true,
                                     has_palette ? &palettes[0] : NULL};
        image.pixels.columns = stored % 4 == 0 ? image.pixels.columns : 8;
        image.pixels.samples = kinds[i].samples;
        image.pixels.photometric = kinds[i].photometric;
        image.pixels.planar = kinds[i].planar;
        image.pixels.bits_allocated = allocated;
        image.pixels.bits_stored = stored;
        image.pixels.is_signed = kinds[i].is_signed;
        matrix_add(matrix, &image);
    }
}

void sample_matrix(struct sample_set *set)
{
    struct matrix matrix = {.set = set};
    for (size_t i = 0; i < COUNT(syntaxes); i++) {
        add_all_grey(&matrix, syntaxes[i]);
        add_all_colour(&matrix, syntaxes[i]);
        add_palettes(&matrix, syntaxes[i], 8, 8);
        add_palettes(&matrix, syntaxes[i], 8, 6);
        add_palettes(&matrix, syntaxes[i], 16, 10);
        add_palettes(&matrix, syntaxes[i], 16, 16);
    }
    for (uint16_t stored = 1; stored <= 16; stored++) {
        if (stored <= 8)
            add_clean(&matrix, 8, stored);
        add_clean(&matrix, 16, stored);
    }
    sample_write_path(set, "matrix.tsv", matrix.lines.data, matrix.lines.length);
    buffer_clear(&matrix.lines);
}
