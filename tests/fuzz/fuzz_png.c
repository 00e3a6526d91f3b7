/* Any pixels of any geometry as a PNG, which libpng must read back without a complaint and as they were.
 *
 *     flags, filter, width (2), height (2), bits, then a program that makes the pixels (enum operation)
 *
 * Where this processor has vectors of 64 bytes, the same is written without them, and must be the same.
 *
 * The program is there so that few bytes make large pictures with repetitions at any distance: blocks of 256
 * KB, the window of 32 KB, and words made up to look alike to the search for repetitions. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <png.h>

#include "common/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "tests/hide_vectors.h"
#include "worker/decoder/png/pngout.h"
#include "worker/decoder/png/pngout_deflate.h"

#define HEADER_BYTES 7
#define WINDOW_BYTES 32768u

enum operation { LITERAL, RUN, REPEAT, REPEAT_ROW, NOISE, ALIKE, SLOPE, REPEAT_WINDOW };

struct picture {
    struct pngout_shape shape;
    size_t row_bytes, bytes;
    uint8_t *pixels;
};

/* The program, which begins again when it has ended. */
struct program {
    const uint8_t *data;
    size_t size, at;
};

static uint32_t take(struct program *program, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value = value << 8 | program->data[program->at];
        program->at = (program->at + 1) % program->size;
    }
    return value;
}

static size_t repeat(uint8_t *pixels, size_t at, size_t end, size_t distance)
{
    for (; at < end && distance > 0; at++)
        pixels[at] = at >= distance ? pixels[at - distance] : (uint8_t)(at * 7);
    return at;
}

/* Twelve bytes that agree with all others made so in the mixture of pngout_matches.c, and differ. */
static void put_alike(uint8_t *at, uint32_t middle, uint32_t wanted)
{
    const uint64_t factor = UINT64_C(0xD6E8FEB86659FD93);
    uint32_t inverse = 1;
    for (int i = 0; i < 5; i++)
        inverse *= 2 - (uint32_t)factor * inverse;
    uint64_t product = middle * factor;
    const uint32_t words[3] = {wanted ^ (uint32_t)product, middle,
                               ((~wanted ^ middle) - (uint32_t)(product >> 32)) * inverse};
    for (size_t i = 0; i < 12; i++)
        at[i] = (uint8_t)(words[i / 4] >> (8 * (i % 4)));
}

static size_t run_operation(struct program *program, const struct picture *picture, size_t at)
{
    uint8_t *pixels = picture->pixels;
    uint32_t code = take(program, 1), argument = code >> 3;
    size_t length = 1 + argument;
    if (code % 8 != LITERAL)
        length = 1 + take(program, 2);
    size_t end = at + length < picture->bytes ? at + length : picture->bytes;
    uint32_t value = take(program, 1);
    switch ((enum operation)(code % 8)) {
    case LITERAL:
        for (; at < end; at++, value = take(program, 1))
            pixels[at] = (uint8_t)value;
        return at;
    case RUN:
        memset(pixels + at, (int)value, end - at);
        return end;
    case REPEAT:
        return repeat(pixels, at, end, 1 + (value << argument));
    case REPEAT_ROW:
        return repeat(pixels, at, end, picture->row_bytes * (1 + argument));
    case NOISE:
        for (uint32_t noise = value + 1; at < end; at++) {
            noise = noise * 1664525 + 1013904223;
            pixels[at] = (uint8_t)(noise >> 16 >> argument % 8);
        }
        return at;
    case ALIKE:
        for (uint32_t middle = value << (argument & 24); at + 12 <= end; at += 12 + argument % 8, middle++)
            put_alike(pixels + at, middle, value);
        return end;
    case SLOPE:
        for (; at < end; at++)
            pixels[at] = (uint8_t)(value + at * argument / 4);
        return at;
    case REPEAT_WINDOW:
        return repeat(pixels, at, end, WINDOW_BYTES - 128 + value + argument);
    }
    return end;
}

static void make_picture(struct picture *picture, const uint8_t *data, size_t size)
{
    uint32_t width = 1 + ((uint32_t)data[2] | (uint32_t)data[3] << 8);
    uint32_t height = 1 + ((uint32_t)data[4] | (uint32_t)data[5] << 8);
    picture->shape =
        (struct pngout_shape){width, height, (data[0] & 2) != 0 ? 3 : 1, (data[0] & 1) != 0 ? 16 : 8};
    picture->row_bytes = (size_t)width * picture->shape.samples * picture->shape.bit_depth / 8;
    /* Most are small, for speed. */
    size_t most = data[1] == 0xff ? 640u << 10 : data[1] >= 0xf0 ? 60u << 10 : 8u << 10;
    if (picture->row_bytes * height > most)
        picture->shape.height = 1 + (uint32_t)(most / picture->row_bytes);
    picture->bytes = picture->row_bytes * picture->shape.height;
    picture->pixels = xcalloc(picture->bytes, 1);
    struct program program = {data + HEADER_BYTES, size - HEADER_BYTES, 0};
    for (size_t at = 0; at < picture->bytes;)
        at = run_operation(&program, picture, at);
}

/* ---- read back ---- */

struct source {
    const uint8_t *bytes;
    size_t length, at;
};

static void next_bytes(png_structp png, png_bytep out, size_t length)
{
    struct source *source = png_get_io_ptr(png);
    if (length > source->length - source->at)
        abort();
    memcpy(out, source->bytes + source->at, length);
    source->at += length;
}

_Noreturn static void complain(png_structp png, png_const_charp text)
{
    (void)png;
    (void)fprintf(stderr, "libpng: %s\n", text);
    abort();
}

static void check(const struct picture *picture, const uint8_t *bytes, size_t length)
{
    struct source source = {bytes, length, 0};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, complain, complain);
    png_infop info = png_create_info_struct(png);
    uint8_t *row = xmalloc(picture->row_bytes);
    png_set_user_limits(png, 1u << 20, 1u << 20);
    png_set_read_fn(png, &source, next_bytes);
    png_read_info(png, info);
    if (png_get_image_width(png, info) != picture->shape.width ||
        png_get_image_height(png, info) != picture->shape.height ||
        png_get_bit_depth(png, info) != picture->shape.bit_depth ||
        png_get_channels(png, info) != picture->shape.samples)
        abort();
    for (uint32_t y = 0; y < picture->shape.height; y++) {
        png_read_row(png, row, NULL);
        if (memcmp(row, picture->pixels + y * picture->row_bytes, picture->row_bytes) != 0)
            abort();
    }
    png_read_end(png, info);
    if (source.at != length)
        abort();
    png_destroy_read_struct(&png, &info, NULL);
    free(row);
}

static void copy_row(void *context, uint32_t row, uint8_t *out)
{
    const struct picture *picture = context;
    memcpy(out, picture->pixels + row * picture->row_bytes, picture->row_bytes);
}

/* One writer for each compressor, and one that chooses. */
static struct pngout *writer(unsigned which, int filter)
{
    static const struct pngout_deflate *const deflates[] = {
        NULL,
        &pngout_deflate_runs,
        &pngout_deflate_fine_runs,
        &pngout_deflate_matches,
        &pngout_deflate_matches, /* twice as often as libdeflate */
        &pngout_deflate_libdeflate_3,
        &pngout_deflate_libdeflate_9,
        NULL,
    };
    static struct pngout *writers[8];
    static int filters[8];
    if (writers[which] == NULL || filters[which] != filter) {
        if (writers[which] == NULL)
            writers[which] = pngout_new();
        pngout_force(writers[which], deflates[which], filter);
        filters[which] = filter;
    }
    return writers[which];
}

/* A PNG of `picture`, mapped. */
static const uint8_t *write_picture(struct pngout *png, struct picture *picture,
                                    const struct pngout_extras *extras, uint64_t *written)
{
    struct error err;
    struct stat status;
    int descriptor = memfd_create("png", MFD_CLOEXEC);
    if (descriptor < 0 ||
        !pngout_write(png, descriptor, &picture->shape, extras, copy_row, picture, written, &err) ||
        fstat(descriptor, &status) != 0 || (uint64_t)status.st_size != *written)
        abort();
    const uint8_t *bytes = mmap(NULL, (size_t)*written, PROT_READ, MAP_SHARED, descriptor, 0);
    if (bytes == MAP_FAILED)
        abort();
    (void)close(descriptor);
    return bytes;
}

static void unmap(const uint8_t *bytes, uint64_t length)
{
    union {
        const uint8_t *mapped;
        void *unconst; /* the system only lacks the const */
    } map = {bytes};
    (void)munmap(map.unconst, (size_t)length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct picture picture;
    uint64_t length = 0, other_length = 0;
    if (size <= HEADER_BYTES)
        return 0;
    make_picture(&picture, data, size);
    struct pngout *png = writer(data[0] >> 3 & 7, data[1] % 8 <= 4 ? data[1] % 8 : -1);
    pngout_set_compression(png, (data[0] & 4) != 0 ? PNG_COMPRESSION_SMALL : PNG_COMPRESSION_FAST);
    const struct pngout_extras given = {.pixels_per_unit_x = (uint32_t)data[6] << 24,
                                        .pixels_per_unit_y = data[6],
                                        .is_per_metre = (data[0] & 64) != 0,
                                        .significant_bits = data[6] & 31u};
    const struct pngout_extras *extras = (data[0] & 128) != 0 ? &given : NULL;
    const uint8_t *bytes = write_picture(png, &picture, extras, &length);
    check(&picture, bytes, (size_t)length);
    if (vectors_are_512()) {
        hide_vectors = true;
        const uint8_t *others = write_picture(png, &picture, extras, &other_length);
        hide_vectors = false;
        if (other_length != length || memcmp(others, bytes, (size_t)length) != 0)
            abort();
        unmap(others, other_length);
    }
    unmap(bytes, length);
    free(picture.pixels);
    return 0;
}
