/* sample_set.h: where samples go, and what every sample has: patient, study, series, equipment.
 *
 * Layout as a hospital export: OUTPUT/<patient>/<study>/<series>/<file>. UIDs lie under 2.25 (PS3.5 Section
 * B.2) and follow from the seed and the path alone, so that one group made alone equals the same group of the
 * whole set. All persons are invented. Failing to write ends the program: it is a tool of the tests. */
#ifndef NIFFLER_TESTS_SAMPLES_SAMPLE_SET_H
#define NIFFLER_TESTS_SAMPLES_SAMPLE_SET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/samples/sample_canvas.h"
#include "tests/samples/sample_dataset.h"

struct sample_set {
    const char *folder; /* output */
    uint64_t seed;
    unsigned ct_count; /* slices of the CT series */
    const char *only;  /* group, or NULL: all */
    FILE *manifest;    /* or NULL */
    const char *group; /* the one being made */
    unsigned written;  /* files so far */
};

struct sample_patient {
    const char *folder;
    const char *name;      /* as in the file, in the character set of the sample */
    const char *name_utf8; /* the same as UTF-8, for the manifest                */
    const char *id;
    const char *birth_date;
    const char *sex;
    const char *age;
};

struct sample_series {
    const struct sample_patient *patient;
    const char *study;  /* folder */
    const char *series; /* folder */
    const char *modality;
    const char *sop_class;
    const char *study_description;
    const char *series_description;
    const char *body_part;
    const char *study_date; /* DA */
    int series_number;
};

struct sample_pixels {
    uint16_t rows;
    uint16_t columns;
    uint16_t samples;
    uint16_t bits_allocated;
    uint16_t bits_stored;
    bool is_signed;
    const char *photometric;
    uint16_t planar; /* with more than one sample */
    unsigned frames; /* 0: no NumberOfFrames      */
};

/* How the file is written around its data set. */
enum sample_shape {
    SAMPLE_PART10,       /* preamble, DICM, meta information, data set       */
    SAMPLE_NO_PREAMBLE,  /* meta information and data set                    */
    SAMPLE_DATASET_ONLY, /* data set                                         */
};

#define SAMPLE_CT "1.2.840.10008.5.1.4.1.1.2"
#define SAMPLE_MR "1.2.840.10008.5.1.4.1.1.4"
#define SAMPLE_DX "1.2.840.10008.5.1.4.1.1.1.1"
#define SAMPLE_US "1.2.840.10008.5.1.4.1.1.6.1"
#define SAMPLE_US_MULTIFRAME "1.2.840.10008.5.1.4.1.1.3.1"
#define SAMPLE_SC "1.2.840.10008.5.1.4.1.1.7"
#define SAMPLE_SC_WORD "1.2.840.10008.5.1.4.1.1.7.3"
#define SAMPLE_SEG "1.2.840.10008.5.1.4.1.1.66.4"
#define SAMPLE_SR "1.2.840.10008.5.1.4.1.1.88.11"
#define SAMPLE_DOSE "1.2.840.10008.5.1.4.1.1.481.2"
#define SAMPLE_PARAMETRIC_MAP "1.2.840.10008.5.1.4.1.1.30"

/* Put the UID that follows from the seed and `label`. */
void sample_put_uid(const struct sample_set *set, struct dataset *ds, uint32_t tag, const char *label);

/* Return a new data set with the modules that every object has. `instance` from 1. */
struct dataset *sample_new(const struct sample_set *set, const struct sample_series *series,
                           unsigned instance);

/* A generator for the noise of one instance. */
struct random sample_random(const struct sample_set *set, const struct sample_series *series,
                            unsigned instance);

/* Image Pixel module and pixel data: `bytes` as they lie in a little endian file. */
void sample_put_pixels(struct dataset *ds, const struct sample_pixels *pixels, const void *bytes,
                       size_t length);

/* The attributes of sample_put_pixels() without the data. */
void sample_put_pixel_module(struct dataset *ds, const struct sample_pixels *pixels);

/* A canvas as pixels: each value cut to bits_allocated (8 or 16), two's complement. */
void sample_put_canvas(struct dataset *ds, const struct sample_pixels *pixels, const struct canvas *canvas);

/* One item with the code, scheme and meaning in sequence `tag`. */
void sample_put_code(struct dataset *ds, uint32_t tag, const char *value, const char *scheme,
                     const char *meaning);

/* Write `ds` as OUTPUT/patient/study/series/file (NULL: IM%04u.dcm by instance) and free it.
 * `expectation` is the manifest's word for what the file is: image, no_image. */
void sample_write(struct sample_set *set, const struct sample_series *series, unsigned instance,
                  struct dataset *ds, enum sample_syntax syntax);
void sample_write_named(struct sample_set *set, const struct sample_series *series, const char *file,
                        struct dataset *ds, enum sample_syntax syntax, enum sample_shape shape,
                        const char *expectation);

/* The bytes that sample_write_named() would write, and writing bytes as they are. */
void sample_append_file(const struct dataset *ds, enum sample_syntax syntax, enum sample_shape shape,
                        struct buffer *out);
void sample_write_bytes(struct sample_set *set, const struct sample_series *series, const char *file,
                        const char *bytes, size_t length, const char *expectation, unsigned frames);

/* Write OUTPUT/`relative`, and its folders; no line of the manifest. */
void sample_write_path(const struct sample_set *set, const char *relative, const char *bytes, size_t length);

/* The groups, one function each. */
void sample_group_ct(struct sample_set *set);
void sample_group_mr(struct sample_set *set);
void sample_group_dx(struct sample_set *set);
void sample_group_us(struct sample_set *set);
void sample_group_palette(struct sample_set *set);
void sample_group_seg(struct sample_set *set);
void sample_group_depth(struct sample_set *set);
void sample_group_sr(struct sample_set *set);
void sample_group_text(struct sample_set *set);
void sample_group_nested(struct sample_set *set);
void sample_group_syntax(struct sample_set *set);
void sample_group_broken(struct sample_set *set);
void sample_group_windows(struct sample_set *set);

#endif
