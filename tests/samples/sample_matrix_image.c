/* sample_matrix_image.c: from samples to containers to a file. Bits are packed one by one: slow and plain,
 * since this is what decoders are measured against. */
#include "tests/samples/sample_matrix.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "tests/samples/sample_rle.h"

static size_t samples_per_frame(const struct sample_pixels *pixels)
{
    return (size_t)pixels->rows * pixels->columns * pixels->samples;
}

static size_t frames_in(const struct sample_pixels *pixels)
{
    return pixels->frames > 0 ? pixels->frames : 1;
}

static bool is_half_chroma(const struct sample_pixels *pixels)
{
    return strcmp(pixels->photometric, "YBR_FULL_422") == 0;
}

/* ---- samples --------------------------------------------------------------------------------------- */

struct range {
    int64_t lowest;
    int64_t highest;
};

static struct range range_of_bits(uint32_t bits, bool is_signed)
{
    int64_t span = (int64_t)1 << bits;
    return is_signed ? (struct range){-span / 2, span / 2 - 1} : (struct range){0, span - 1};
}

static int64_t clipped(int64_t value, struct range range)
{
    return value < range.lowest ? range.lowest : value > range.highest ? range.highest : value;
}

static int64_t random_in(struct random *rng, struct range range)
{
    return range.lowest + (int64_t)(random_next(rng) % (uint64_t)(range.highest - range.lowest + 1));
}

/* All of the range, its ends among them; of indices those about the table, so that both its ends are passed.
 */
static int64_t *draw_samples(const struct matrix_image *image, struct random *rng)
{
    const struct sample_pixels *pixels = &image->pixels;
    const size_t per_frame = samples_per_frame(pixels);
    const struct range all = range_of_bits(pixels->bits_stored, pixels->is_signed);
    struct range drawn = all;
    if (image->palette != NULL) {
        drawn.lowest = clipped((int64_t)image->palette->first - 5, all);
        drawn.highest = clipped((int64_t)image->palette->first + image->palette->count + 5, all);
    }
    int64_t *samples = xmalloc(per_frame * frames_in(pixels) * sizeof(*samples));
    for (size_t i = 0; i < per_frame * frames_in(pixels); i++) {
        size_t at = i % per_frame;
        samples[i] = at == 0 ? all.highest : at == per_frame - 1 ? all.lowest : random_in(rng, drawn);
    }
    if (is_half_chroma(pixels))
        for (size_t i = 0; i < per_frame * frames_in(pixels); i += 6)
            memcpy(&samples[i + 4], &samples[i + 1], 2 * sizeof(*samples));
    return samples;
}

static void append_little(struct buffer *out, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        buffer_append_char(out, (char)(unsigned char)(value >> (8 * i)));
}

static void append_expected(struct buffer *out, const struct sample_pixels *pixels, const int64_t *samples)
{
    const size_t size = pixels->bits_allocated <= 8 ? 1 : pixels->bits_allocated <= 16 ? 2 : 4;
    for (size_t i = 0; i < samples_per_frame(pixels) * frames_in(pixels); i++)
        append_little(out, (uint64_t)samples[i], size);
}

/* ---- containers ------------------------------------------------------------------------------------ */

/* The samples of a frame in the order of the file: places in `samples`. Returns how many. */
static size_t order_of_frame(const struct sample_pixels *pixels, size_t *order)
{
    const size_t count = samples_per_frame(pixels);
    const size_t area = (size_t)pixels->rows * pixels->columns;
    if (is_half_chroma(pixels)) {
        static const size_t pair[4] = {0, 3, 1, 2}; /* Y Y Cb Cr (PS3.3 C.7.6.3.1.2) */
        for (size_t i = 0; i < count / 6 * 4; i++)
            order[i] = i / 4 * 6 + pair[i % 4];
        return count / 6 * 4;
    }
    for (size_t i = 0; i < count; i++)
        order[i] = pixels->samples > 1 && pixels->planar == 1 ? i % area * pixels->samples + i / area : i;
    return count;
}

/* The sample in the bits up to HighBit, and around it what must not be seen. */
static uint64_t container_of(const struct matrix_image *image, int64_t sample, struct random *rng)
{
    const uint32_t stored = image->pixels.bits_stored;
    const uint32_t shift = image->high_bit + 1u - stored;
    const uint64_t mask = (((uint64_t)1 << stored) - 1) << shift;
    const uint64_t around = image->is_clean ? (uint64_t)sample << shift : random_next(rng);
    return (((uint64_t)sample << shift) & mask) | (around & ~mask);
}

/* A place in `bytes`, counted in bits, the least significant of a byte first. */
static void put_bits(struct buffer *bytes, uint64_t *at_bit, uint64_t value, uint32_t bits)
{
    for (uint32_t i = 0; i < bits; i++, ++*at_bit) {
        if (*at_bit % 8 == 0)
            buffer_append_char(bytes, 0);
        if (value >> i & 1)
            bytes->data[*at_bit / 8] = (char)(bytes->data[*at_bit / 8] | 1 << (*at_bit % 8));
    }
}

/* Append one frame of containers at bit `*at_bit`. */
static void append_frame(struct buffer *bytes, uint64_t *at_bit, const struct matrix_image *image,
                         const int64_t *samples, struct random *rng)
{
    size_t *order = xmalloc(samples_per_frame(&image->pixels) * sizeof(*order));
    const size_t count = order_of_frame(&image->pixels, order);
    for (size_t i = 0; i < count; i++)
        put_bits(bytes, at_bit, container_of(image, samples[order[i]], rng), image->pixels.bits_allocated);
    free(order);
}

/* ---- pixel data ------------------------------------------------------------------------------------ */

/* Longs of 32 bits in OW: by PS3.5 Section 6.2 only the bytes of each half change places, yet writers turn
 * the whole long round. As they do: the halves are exchanged here, and their bytes when OW is written. */
static void exchange_halves(struct buffer *bytes)
{
    for (size_t i = 0; i + 4 <= bytes->length; i += 4) {
        char half[2];
        memcpy(half, bytes->data + i, 2);
        memcpy(bytes->data + i, bytes->data + i + 2, 2);
        memcpy(bytes->data + i + 2, half, 2);
    }
}

static void put_native(struct dataset *ds, const struct matrix_image *image, const int64_t *samples,
                       struct random *rng)
{
    struct buffer bytes = {0};
    uint64_t at_bit = 0;
    for (size_t i = 0; i < frames_in(&image->pixels); i++)
        append_frame(&bytes, &at_bit, image, samples + i * samples_per_frame(&image->pixels), rng);
    if (image->syntax == SAMPLE_EXPLICIT_BIG && image->pixels.bits_allocated == 32)
        exchange_halves(&bytes);
    /* Up to 8 bits either is allowed (PS3.5 Section 8.2). */
    bool in_bytes = image->pixels.bits_allocated <= 8 && image->pixels.bits_stored % 2 == 1;
    dataset_put_bytes(ds, TAG(0x7FE0, 0x0010), in_bytes ? "OB" : "OW", bytes.data, bytes.length);
    buffer_clear(&bytes);
}

/* Containers pixel by pixel, whatever the planar configuration; a frame of single bits as one row of bytes.
 */
static void append_rle(struct buffer *out, const struct matrix_image *image, const struct buffer *frame)
{
    const struct sample_pixels *pixels = &image->pixels;
    const uint8_t *bytes = (const uint8_t *)frame->data;
    const size_t size = (size_t)pixels->bits_allocated / 8;
    size_t order[15] = {0};
    if (pixels->bits_allocated == 1) {
        sample_append_rle_frame(out, bytes, 1, frame->length, 1, order);
        return;
    }
    const size_t width = size * pixels->samples;
    for (size_t i = 0; i < width; i++)
        order[i] = i / size * size + (size - 1 - i % size);
    sample_append_rle_frame(out, bytes, pixels->rows, pixels->columns, width, order);
}

static void put_encapsulated(struct dataset *ds, const struct matrix_image *image, const int64_t *samples,
                             struct random *rng)
{
    const size_t count = frames_in(&image->pixels);
    struct matrix_image arranged = *image;
    if (image->syntax == SAMPLE_RLE)
        arranged.pixels.planar = 0;
    struct buffer *streams = xcalloc(count, sizeof(*streams));
    for (size_t i = 0; i < count; i++) {
        struct buffer frame = {0};
        uint64_t at_bit = 0;
        append_frame(&frame, &at_bit, &arranged, samples + i * samples_per_frame(&image->pixels), rng);
        if (image->syntax == SAMPLE_RLE)
            append_rle(&streams[i], image, &frame);
        else if (image->syntax == SAMPLE_DEFLATED_FRAME)
            dataset_append_deflated(&frame, &streams[i]);
        else
            buffer_append(&streams[i], frame.data, frame.length);
        buffer_clear(&frame);
    }
    dataset_put_fragments(ds, streams, count);
    for (size_t i = 0; i < count; i++)
        buffer_clear(&streams[i]);
    free(streams);
}

/* ---- the files ------------------------------------------------------------------------------------- */

static const char *syntax_name(enum sample_syntax syntax)
{
    static const char *const names[] = {
        [SAMPLE_IMPLICIT_LITTLE] = "implicit_little",
        [SAMPLE_EXPLICIT_LITTLE] = "explicit_little",
        [SAMPLE_EXPLICIT_BIG] = "explicit_big",
        [SAMPLE_DEFLATED] = "deflated",
        [SAMPLE_RLE] = "rle",
        [SAMPLE_ENCAPSULATED] = "encapsulated",
        [SAMPLE_DEFLATED_FRAME] = "deflated_frame",
    };
    return names[syntax];
}

static void append_line(struct matrix *matrix, const struct matrix_image *image)
{
    const struct sample_pixels *pixels = &image->pixels;
    if (matrix->lines.length == 0)
        buffer_append_text(&matrix->lines,
                           "name\tframes\trows\tcolumns\tsamples\tallocated\tstored\thigh_bit\tsigned\t"
                           "photometric\tplanar\tsyntax\tclean\tpalette_bits\tpalette_first\n");
    buffer_append_format(&matrix->lines, "%04u\t%zu\t%u\t%u\t%u\t%u\t%u\t%u\t%d\t%s\t%u\t%s\t%d\t",
                         matrix->set->written, frames_in(pixels), pixels->rows, pixels->columns,
                         pixels->samples, pixels->bits_allocated, pixels->bits_stored, image->high_bit,
                         pixels->is_signed, pixels->photometric, pixels->planar, syntax_name(image->syntax),
                         image->is_clean);
    if (image->palette != NULL)
        buffer_append_format(&matrix->lines, "%u\t%d\n", image->palette->bits, image->palette->first);
    else
        buffer_append_text(&matrix->lines, "\t\n");
}

static void write_numbered(const struct matrix *matrix, const char *folder, const char *ending,
                           struct buffer *bytes)
{
    char *relative = xasprintf("%s/%04u.%s", folder, matrix->set->written, ending);
    sample_write_path(matrix->set, relative, bytes->data, bytes->length);
    buffer_clear(bytes);
    free(relative);
}

static void write_expected_palette(const struct matrix *matrix, const struct matrix_palette *palette)
{
    struct buffer entries = {0};
    for (uint32_t channel = 0; channel < 3; channel++)
        for (uint32_t i = 0; i < palette->count; i++)
            append_little(&entries, matrix_palette_entry(palette, channel, i), 2);
    write_numbered(matrix, "expected", "palette", &entries);
}

static struct dataset *new_image(const struct matrix *matrix, const struct matrix_image *image)
{
    static const struct sample_patient patient = {
        "MATRIX", "Beispiel^Bit", "Beispiel^Bit", "FIC-0099", "19990909", "O", "024Y"};
    const struct sample_series series = {&patient, "MATRIX", "MATRIX", "OT",       SAMPLE_SC,
                                         "Matrix", "Matrix", "CHEST",  "20240903", 1};
    struct dataset *ds = sample_new(matrix->set, &series, matrix->set->written);
    dataset_put_text(ds, TAG(0x0008, 0x0064), "CS", "SYN");
    sample_put_pixel_module(ds, &image->pixels);
    dataset_put_u16(ds, TAG(0x0028, 0x0102), image->high_bit);
    if (image->palette != NULL)
        matrix_put_palette(ds, image->palette, image->pixels.is_signed);
    return ds;
}

void matrix_add(struct matrix *matrix, const struct matrix_image *image)
{
    assert(image->high_bit + 1u >= image->pixels.bits_stored &&
           image->high_bit < image->pixels.bits_allocated);
    struct buffer bytes = {0};
    char *label = xasprintf("matrix/%u", ++matrix->set->written);
    struct random rng = {random_seed_of(matrix->set->seed, label)};
    free(label);
    int64_t *samples = draw_samples(image, &rng);
    struct dataset *ds = new_image(matrix, image);
    if (image->syntax < SAMPLE_RLE)
        put_native(ds, image, samples, &rng);
    else
        put_encapsulated(ds, image, samples, &rng);
    sample_append_file(ds, image->syntax, SAMPLE_PART10, &bytes);
    dataset_free(ds);
    write_numbered(matrix, "dicom", "dcm", &bytes);
    append_expected(&bytes, &image->pixels, samples);
    write_numbered(matrix, "expected", "raw", &bytes);
    if (image->palette != NULL)
        write_expected_palette(matrix, image->palette);
    append_line(matrix, image);
    free(samples);
}
