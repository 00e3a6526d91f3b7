/* image_files.h: DICOM files with pixel data, built in memory, and how the tests of image.h open them. */
#ifndef NIFFLER_TESTS_UNIT_IMAGE_FILES_H
#define NIFFLER_TESTS_UNIT_IMAGE_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/decoder/image/image.h"

#define EXPLICIT_LITTLE "1.2.840.10008.1.2.1"
#define EXPLICIT_BIG "1.2.840.10008.1.2.2"
#define RLE "1.2.840.10008.1.2.5"
#define JPEG_BASELINE "1.2.840.10008.1.2.4.50"
#define JPEG_LOSSLESS "1.2.840.10008.1.2.4.70"
#define DEFLATED_FRAME "1.2.840.10008.1.2.8.1"

static const struct options defaults = {.max_pixels = 1000000,
                                        .max_frames = 1000,
                                        .max_attributes = 1000,
                                        .max_nesting = 16,
                                        .max_items = 100000,
                                        .max_metadata_bytes = 1000000};

/* ---- a file in memory ------------------------------------------------------------------------- */

struct file {
    uint8_t bytes[65536];
    size_t length;
    bool big;
};

static inline void put(struct file *file, const void *bytes, size_t length)
{
    assert_true(file->length + length <= sizeof file->bytes);
    if (length > 0)
        memcpy(file->bytes + file->length, bytes, length);
    file->length += length;
}

static inline void put_number(struct file *file, uint32_t value, uint32_t size, bool big)
{
    uint8_t bytes[4];
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * (big ? size - 1 - i : i)));
    put(file, bytes, size);
}

static inline void put_header(struct file *file, uint32_t tag, const char *vr, uint32_t length, bool big)
{
    put_number(file, tag >> 16, 2, big);
    put_number(file, tag & 0xFFFF, 2, big);
    put(file, vr, 2);
    if (vr[0] == 'O' || strcmp(vr, "UN") == 0) {
        put_number(file, 0, 2, big);
        put_number(file, length, 4, big);
    } else {
        put_number(file, length, 2, big);
    }
}

static inline void put_text(struct file *file, uint32_t tag, const char *vr, const char *text, bool big)
{
    size_t length = strlen(text);
    put_header(file, tag, vr, (uint32_t)(length + length % 2), big);
    put(file, text, length);
    put(file, vr[0] == 'U' ? "\0" : " ", length % 2);
}

static inline void put_us(struct file *file, uint32_t tag, uint32_t value)
{
    put_header(file, tag, "US", 2, file->big);
    put_number(file, value, 2, file->big);
}

struct shape {
    const char *syntax, *photometric;
    uint32_t samples, planar, frames, rows, columns, allocated, stored, high, representation;
};

/* A grey image of 16 bits, to be changed where a test cares. */
static inline struct shape grey_shape(uint32_t rows, uint32_t columns)
{
    return (struct shape){.syntax = EXPLICIT_LITTLE,
                          .photometric = "MONOCHROME2",
                          .samples = 1,
                          .frames = 1,
                          .rows = rows,
                          .columns = columns,
                          .allocated = 16,
                          .stored = 16,
                          .high = 15};
}

/* Everything up to the pixel data. No samples: SamplesPerPixel is absent; frames NULL: NumberOfFrames is. */
static inline void begin_with_frames(struct file *file, const struct shape *shape, const char *frames)
{
    static const uint8_t preamble[128];
    *file = (struct file){.big = strcmp(shape->syntax, EXPLICIT_BIG) == 0};
    put(file, preamble, sizeof preamble);
    put(file, "DICM", 4);
    size_t uid = strlen(shape->syntax);
    put_header(file, 0x00020000, "UL", 4, false);
    put_number(file, (uint32_t)(8 + uid + uid % 2), 4, false);
    put_text(file, 0x00020010, "UI", shape->syntax, false);
    if (shape->samples > 0)
        put_us(file, 0x00280002, shape->samples);
    put_text(file, 0x00280004, "CS", shape->photometric, file->big);
    if (shape->samples > 1)
        put_us(file, 0x00280006, shape->planar);
    if (frames != NULL)
        put_text(file, 0x00280008, "IS", frames, file->big);
    put_us(file, 0x00280010, shape->rows);
    put_us(file, 0x00280011, shape->columns);
    put_us(file, 0x00280100, shape->allocated);
    put_us(file, 0x00280101, shape->stored);
    put_us(file, 0x00280102, shape->high);
    put_us(file, 0x00280103, shape->representation);
}

static inline void begin(struct file *file, const struct shape *shape)
{
    char frames[16];
    (void)snprintf(frames, sizeof frames, "%u", shape->frames);
    begin_with_frames(file, shape, frames);
}

static inline void put_pixels(struct file *file, const char *vr, const void *bytes, size_t length)
{
    put_header(file, 0x7FE00010, vr, (uint32_t)length, file->big);
    put(file, bytes, length);
}

static inline void begin_fragments(struct file *file, const uint32_t *offsets, uint32_t count)
{
    put_header(file, 0x7FE00010, "OB", 0xFFFFFFFF, false);
    put_number(file, 0xE000FFFE, 4, false);
    put_number(file, 4 * count, 4, false);
    for (uint32_t i = 0; i < count; i++)
        put_number(file, offsets[i], 4, false);
}

static const uint32_t no_offsets[1];

static inline void put_fragment(struct file *file, const void *bytes, size_t length)
{
    put_number(file, 0xE000FFFE, 4, false);
    put_number(file, (uint32_t)length, 4, false);
    put(file, bytes, length);
}

static inline void end_fragments(struct file *file)
{
    put_number(file, 0xE0DDFFFE, 4, false);
    put_number(file, 0, 4, false);
}

/* ---- reading it ------------------------------------------------------------------------------- */

struct fixture {
    struct dicom *dcm;
    struct image *image;
    int descriptor;
    char notes[128];
};

static inline int set_up(void **state)
{
    struct fixture *fixture = test_calloc(1, sizeof *fixture);
    fixture->dcm = dicom_new();
    fixture->image = image_new();
    fixture->descriptor = -1;
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->descriptor >= 0)
        (void)close(fixture->descriptor);
    image_free(fixture->image);
    dicom_free(fixture->dcm);
    test_free(fixture);
    return 0;
}

static inline bool inspect(struct fixture *fixture, const struct file *file, const struct options *options,
                           struct error *err)
{
    if (fixture->descriptor >= 0)
        (void)close(fixture->descriptor);
    fixture->descriptor = memfd_create("dicom", MFD_CLOEXEC);
    assert_true(fixture->descriptor >= 0);
    assert_int_equal(write(fixture->descriptor, file->bytes, file->length), (ssize_t)file->length);
    assert_int_equal(lseek(fixture->descriptor, 0, SEEK_SET), 0);
    *err = (struct error){0};
    assert_true(dicom_read(fixture->dcm, fixture->descriptor, options, err));
    return image_inspect(fixture->image, fixture->dcm, options, err);
}

static inline const struct codec_samples *read_frame(struct fixture *fixture, uint32_t frame)
{
    const struct codec_samples *samples = NULL;
    struct error err = {0};
    fixture->notes[0] = '\0';
    if (!image_read_frame(fixture->image, frame, &defaults, &samples, fixture->notes, sizeof fixture->notes,
                          &err))
        fail_msg("frame %u: %s", frame, err.text);
    return samples;
}

static inline void open_image_with(struct fixture *fixture, const struct file *file,
                                   const struct options *options)
{
    struct error err;
    if (!inspect(fixture, file, options, &err))
        fail_msg("refused: %s", err.text);
}

static inline void open_image(struct fixture *fixture, const struct file *file)
{
    open_image_with(fixture, file, &defaults);
}

/* The 16-bit image of 8 x 16 pixels that codec_streams.h has in several codings. */
static inline void check_stream_frame(struct fixture *fixture, uint32_t frame)
{
    const struct codec_samples *samples = read_frame(fixture, frame);
    assert_int_equal(samples->bytes, 2);
    for (uint32_t row = 0; row < 8; row++)
        for (uint32_t column = 0; column < 16; column++)
            assert_int_equal(((const uint16_t *)samples->data)[16 * row + column],
                             (row * 4001 + column * 257 + 7) & 65535);
}

static inline void refuse_image(struct fixture *fixture, const struct file *file,
                                const struct options *options, enum category category, const char *code)
{
    struct error err;
    assert_false(inspect(fixture, file, options, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_int_equal(err.category, category);
    assert_string_equal(err.code, code);
}

#endif
