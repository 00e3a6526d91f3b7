/* sample_dataset.h: a DICOM data set in memory, and its bytes in any uncompressed transfer syntax.
 *
 * A data set is a tree: elements, of which those of VR SQ hold items, which are data sets again. Elements may
 * be put in any order and are written in the order of their tags, so that the modules of an image can be
 * composed freely; putting a tag a second time replaces the value. Values are kept in little endian and
 * turned round when they are written big endian. Only for making samples: wrong use (an impossible VR) is our
 * own mistake and asserted. */
#ifndef NIFFLER_TESTS_SAMPLES_SAMPLE_DATASET_H
#define NIFFLER_TESTS_SAMPLES_SAMPLE_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

#define TAG(group, element) ((uint32_t)(group) << 16 | (uint32_t)(element))

enum sample_syntax {
    SAMPLE_IMPLICIT_LITTLE,
    SAMPLE_EXPLICIT_LITTLE,
    SAMPLE_EXPLICIT_BIG,
    SAMPLE_DEFLATED, /* explicit little endian, in stored deflate blocks: the same bytes on every machine */
    /* Explicit little endian; the pixel data was put by dataset_put_fragments(): */
    SAMPLE_RLE,
    SAMPLE_ENCAPSULATED,   /* Encapsulated Uncompressed (PS3.5 Section A.4.11)      */
    SAMPLE_DEFLATED_FRAME, /* Deflated Image Frame Compression (PS3.5 Section A.4.13) */
};

struct dataset;

/* Return a new, empty data set. dataset_free() frees the items too and accepts NULL. */
struct dataset *dataset_new(void);
void dataset_free(struct dataset *ds);

/* Put one element. Text is padded to an even length with a blank (UI: with a NUL), bytes with a NUL. */
void dataset_put_text(struct dataset *ds, uint32_t tag, const char *vr, const char *text);
void dataset_put_format(struct dataset *ds, uint32_t tag, const char *vr, const char *format, ...)
    PRINTF_LIKE(4, 5);
void dataset_put_bytes(struct dataset *ds, uint32_t tag, const char *vr, const void *bytes, size_t length);
void dataset_put_u16(struct dataset *ds, uint32_t tag, uint16_t value);           /* US */
void dataset_put_s16(struct dataset *ds, uint32_t tag, int16_t value);            /* SS */
void dataset_put_u32(struct dataset *ds, uint32_t tag, uint32_t value);           /* UL */
void dataset_put_f32(struct dataset *ds, uint32_t tag, float value);              /* FL */
void dataset_put_f64(struct dataset *ds, uint32_t tag, double value);             /* FD */
void dataset_put_attribute_tag(struct dataset *ds, uint32_t tag, uint32_t value); /* AT */
void dataset_put_words(struct dataset *ds, uint32_t tag, const char *vr, const uint16_t *values,
                       size_t count);
void dataset_put_longs(struct dataset *ds, uint32_t tag, const char *vr, const uint32_t *values,
                       size_t count);
void dataset_put_f32s(struct dataset *ds, uint32_t tag, const char *vr, const float *values, size_t count);
void dataset_put_f64s(struct dataset *ds, uint32_t tag, const char *vr, const double *values, size_t count);

/* Text whose length stays odd: against PS3.5 Section 7.1.1, but seen in the field. */
void dataset_put_unpadded(struct dataset *ds, uint32_t tag, const char *vr, const char *text);

/* An empty sequence, or one with an item more. The item is borrowed until dataset_free(). */
void dataset_put_sequence(struct dataset *ds, uint32_t tag);
struct dataset *dataset_add_item(struct dataset *ds, uint32_t tag);

/* Encapsulated pixel data: one fragment a frame, and a basic offset table (PS3.5 Section A.4). */
void dataset_put_fragments(struct dataset *ds, const struct buffer *frames, size_t count);

/* Write this sequence, or this item, with undefined length and a delimiter (PS3.5 Section 7.5). */
void dataset_undefined_sequence(struct dataset *ds, uint32_t tag);
void dataset_undefined_item(struct dataset *item);

/* Elements of all levels. */
size_t dataset_count(const struct dataset *ds);

/* The value of a top-level element as it will be written in little endian; NULL when it is absent. Borrowed.
 */
const char *dataset_value(const struct dataset *ds, uint32_t tag, size_t *length);

/* Append the data set's bytes; a deflated one is not deflated yet. */
void dataset_append(const struct dataset *ds, enum sample_syntax syntax, struct buffer *out);

/* Append "DICM" and the File Meta Information (PS3.10 Section 7.1), which takes its UIDs from the data set.
 */
void dataset_append_meta(const struct dataset *ds, enum sample_syntax syntax, struct buffer *out);

/* Append `bytes` as stored deflate blocks (RFC 1951 Section 3.2.4), padded to an even length (PS3.5 Section
 * A.5). */
void dataset_append_deflated(const struct buffer *bytes, struct buffer *out);

#endif
