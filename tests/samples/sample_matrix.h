/* sample_matrix.h: tiny images in every combination of the Image Pixel module's numbers (PS3.3 C.7.6.3,
 * PS3.5 Section 8), each with the samples that it was made of.
 *
 *     OUTPUT/dicom/NNNN.dcm          the image
 *     OUTPUT/expected/NNNN.raw       its samples: frame by frame, pixel by pixel (planar configuration 0,
 * chroma repeated), little endian, of 1, 2 or 4 bytes as BitsAllocated needs, sign extended where signed
 *     OUTPUT/expected/NNNN.palette   where it has one: the entries of red, then green, then blue, 2 bytes
 * each OUTPUT/matrix.tsv              a line for each image, and above them the names of the columns
 *
 * What lies around a sample in its container is random, unless the image is "clean", as encoders want it. */
#ifndef NIFFLER_TESTS_SAMPLES_SAMPLE_MATRIX_H
#define NIFFLER_TESTS_SAMPLES_SAMPLE_MATRIX_H

#include "tests/samples/sample_set.h"

struct matrix_palette {
    uint16_t bits; /* of an entry: 8 or 16 */
    int32_t first; /* the sample that entry 0 stands for; negative under signed samples only */
    uint32_t count;
    bool is_segmented; /* then `count` is MATRIX_SEGMENTED_COUNT */
};

#define MATRIX_SEGMENTED_COUNT 107

struct matrix_image {
    struct sample_pixels pixels;
    uint16_t high_bit;
    enum sample_syntax syntax;
    bool is_clean;
    const struct matrix_palette *palette; /* or NULL */
};

struct matrix {
    struct sample_set *set;
    struct buffer lines; /* of matrix.tsv */
};

/* Write the image, what is expected of it, and its line. sample_matrix_image.c */
void matrix_add(struct matrix *matrix, const struct matrix_image *image);

/* Entry `index` of the palette, of colour `channel` (0 to 2), and the elements of a palette in a data set.
 * sample_matrix_palette.c */
uint16_t matrix_palette_entry(const struct matrix_palette *palette, uint32_t channel, uint32_t index);
void matrix_put_palette(struct dataset *ds, const struct matrix_palette *palette, bool is_signed);

/* Write the whole of it. */
void sample_matrix(struct sample_set *set);

#endif
