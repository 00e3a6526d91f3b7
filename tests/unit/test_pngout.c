/* PNGs that we write, decoded by libpng and compared pixel by pixel. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <png.h>

#include "common/alloc.h"
#include "tests/hide_vectors.h"
#include "worker/decoder/png/pngout.h"
#include "worker/decoder/png/pngout_deflate.h"
#include "worker/decoder/png/pngout_filter.h"

static const struct pngout_deflate *const deflates[] = {
#ifdef NIFFLER_HAVE_ISAL
    &pngout_deflate_isal,
#endif
    &pngout_deflate_libdeflate_3, &pngout_deflate_libdeflate_3, &pngout_deflate_libdeflate_9,
    &pngout_deflate_runs,         &pngout_deflate_fine_runs,
};
#define DEFLATE_COUNT (sizeof deflates / sizeof deflates[0])

/* ---- pictures -------------------------------------------------------------------------------------- */

enum content { NOISE, GRADIENT, FLAT, BODY, CONTENT_COUNT };

struct picture {
    struct pngout_shape shape;
    size_t row_bytes;
    uint8_t *bytes;
};

static uint8_t body(uint32_t x, uint32_t y, const struct pngout_shape *shape, unsigned *seed)
{
    double u = 2.0 * x / shape->width - 1, v = 2.0 * y / shape->height - 1;
    if (u * u + v * v > 0.8)
        return 0;
    return (uint8_t)(100 + 60 * u + (v > 0.2 ? 40 : 0) + rand_r(seed) % 6 + rand_r(seed) % 6);
}

static struct picture new_picture(uint32_t width, uint32_t height, uint32_t samples, uint32_t bits,
                                  enum content content)
{
    struct picture picture = {.shape = {width, height, samples, bits},
                              .row_bytes = width * samples * bits / 8};
    unsigned seed = width * 31 + height;
    picture.bytes = xmalloc(picture.row_bytes * height);
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t i = 0; i < picture.row_bytes; i++) {
            uint32_t x = i / (samples * bits / 8);
            uint8_t *at = picture.bytes + y * picture.row_bytes + i;
            switch (content) {
            case NOISE:
                *at = (uint8_t)(rand_r(&seed) >> 7);
                break;
            case GRADIENT:
                *at = (uint8_t)(x + 3 * y);
                break;
            case BODY: /* the low byte of 16 bits follows from the high one; colours are grey with a tint */
                if (bits == 16 && i % 2 == 1)
                    *at = (uint8_t)(at[-1] * 37);
                else if (samples == 3 && i % (3 * bits / 8) > 0)
                    *at = (uint8_t)(at[-(ptrdiff_t)(bits / 8)] + x / 100);
                else
                    *at = body(x, y, &picture.shape, &seed);
                break;
            default:
                *at = 0x5a;
            }
        }
    }
    return picture;
}

static void give_row(void *context, uint32_t row, uint8_t *out)
{
    struct picture *picture = context;
    assert_true(row < picture->shape.height);
    memcpy(out, picture->bytes + row * picture->row_bytes, picture->row_bytes);
}

/* ---- reading back ---------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *bytes;
    size_t length;
    size_t at;
};

static void from_memory(png_structp libpng, png_bytep bytes, size_t length)
{
    struct reader *reader = png_get_io_ptr(libpng);
    if (reader->length - reader->at < length)
        png_error(libpng, "too short");
    memcpy(bytes, reader->bytes + reader->at, length);
    reader->at += length;
}

/* libpng complains by longjmp(): whoever calls this gets false, and cmocka's own jumps stay out of it. */
static bool decode(const uint8_t *bytes, size_t length, struct picture *out)
{
    struct reader reader = {.bytes = bytes, .length = length};
    png_structp libpng = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(libpng);
    *out = (struct picture){0};
    if (setjmp(png_jmpbuf(libpng)) != 0) {
        png_destroy_read_struct(&libpng, &info, NULL);
        return false;
    }
    png_set_read_fn(libpng, &reader, from_memory);
    png_set_user_limits(libpng, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_crc_action(libpng, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(libpng, info);
    out->shape = (struct pngout_shape){png_get_image_width(libpng, info), png_get_image_height(libpng, info),
                                       png_get_channels(libpng, info), png_get_bit_depth(libpng, info)};
    out->row_bytes = png_get_rowbytes(libpng, info);
    out->bytes = xmalloc(out->row_bytes * out->shape.height);
    for (uint32_t row = 0; row < out->shape.height; row++)
        png_read_row(libpng, out->bytes + row * out->row_bytes, NULL);
    png_read_end(libpng, NULL);
    png_destroy_read_struct(&libpng, &info, NULL);
    return reader.at == length;
}

static uint32_t big_endian_32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Nothing but IHDR, IDAT, IEND. */
static void check_chunks(const uint8_t *bytes, size_t length)
{
    static const char *const order[] = {"IHDR", "IDAT", "IEND"};
    size_t at = 8;
    for (size_t i = 0; i < 3; i++) {
        assert_true(at + 12 <= length);
        assert_memory_equal(bytes + at + 4, order[i], 4);
        at += 12 + big_endian_32(bytes + at);
    }
    assert_int_equal(at, length);
}

/* Write, read back, compare. Returns the length. */
static uint64_t check(struct pngout *png, struct picture *picture)
{
    struct error err;
    uint64_t written = 0;
    int descriptor = memfd_create("test_pngout", MFD_CLOEXEC);
    assert_true(descriptor >= 0);
    if (!pngout_write(png, descriptor, &picture->shape, NULL, give_row, picture, &written, &err))
        fail_msg("%s", err.text);
    struct stat status;
    assert_int_equal(fstat(descriptor, &status), 0);
    assert_int_equal(status.st_size, written);
    uint8_t *bytes = mmap(NULL, written, PROT_READ, MAP_PRIVATE, descriptor, 0);
    assert_true(bytes != MAP_FAILED);
    check_chunks(bytes, written);
    struct picture back;
    assert_true(decode(bytes, written, &back));
    assert_memory_equal(&back.shape, &picture->shape, sizeof back.shape);
    assert_memory_equal(back.bytes, picture->bytes, picture->row_bytes * picture->shape.height);
    free(back.bytes);
    (void)munmap(bytes, written);
    (void)close(descriptor);
    return written;
}

/* ---- tests ----------------------------------------------------------------------------------------- */

static const struct {
    uint32_t width, height;
} shapes[] = {{1, 1}, {1, 97}, {97, 1}, {2, 3}, {3, 2}, {17, 31}, {64, 64}, {255, 5}, {33, 260}};
#define SHAPE_COUNT (sizeof shapes / sizeof shapes[0])

static void each_picture(void (*check_one)(struct pngout *png, struct picture *picture), struct pngout *png)
{
    for (size_t i = 0; i < SHAPE_COUNT; i++) {
        for (unsigned variant = 0; variant < 4 * CONTENT_COUNT; variant++) {
            struct picture picture = new_picture(shapes[i].width, shapes[i].height, variant & 1 ? 3 : 1,
                                                 variant & 2 ? 16 : 8, (enum content)(variant >> 2));
            check_one(png, &picture);
            free(picture.bytes);
        }
    }
}

static void check_with_every_filter(struct pngout *png, struct picture *picture)
{
    for (size_t i = 0; i < DEFLATE_COUNT; i++) {
        for (int filter = 0; filter < PNGOUT_FILTER_COUNT; filter++) {
            pngout_force(png, deflates[i], filter);
            (void)check(png, picture);
        }
    }
}

static void check_once(struct pngout *png, struct picture *picture)
{
    (void)check(png, picture);
}

static void test_every_compressor_and_filter(void **state)
{
    (void)state;
    struct pngout *png = pngout_new();
    each_picture(check_with_every_filter, png);
    pngout_free(png);
}

static void test_chosen_compressor_and_filter(void **state)
{
    (void)state;
    struct pngout *png = pngout_new();
    each_picture(check_once, png);
    pngout_free(png);
}

/* Large ones, then small ones again with the same buffers; rows longer than the sample has room for. */
static void test_large_pictures_and_reused_buffers(void **state)
{
    (void)state;
    static const struct {
        uint32_t width, height, samples, bits;
    } sizes[] = {{700, 700, 1, 16}, {9, 9, 1, 16},     {100000, 3, 1, 16},
                 {1, 70000, 1, 8},  {400, 300, 3, 16}, {5, 5, 3, 8}};
    struct pngout *png = pngout_new();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (enum content content = NOISE; content < CONTENT_COUNT; content++) {
            struct picture picture =
                new_picture(sizes[i].width, sizes[i].height, sizes[i].samples, sizes[i].bits, content);
            (void)check(png, &picture);
            free(picture.bytes);
        }
    }
    pngout_free(png);
}

static void test_small_pngs(void **state)
{
    (void)state;
    static const struct {
        uint32_t width, height, samples, bits;
    } sizes[] = {{300, 300, 1, 16}, {300, 300, 1, 8}, {200, 200, 3, 8}, {90, 80, 3, 16}, {30, 20, 1, 16}};
    struct pngout *png = pngout_new();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t fast = 0, small = 0;
        for (enum content content = NOISE; content < CONTENT_COUNT; content++) {
            struct picture picture =
                new_picture(sizes[i].width, sizes[i].height, sizes[i].samples, sizes[i].bits, content);
            pngout_set_compression(png, PNG_COMPRESSION_FAST);
            fast += check(png, &picture);
            pngout_set_compression(png, PNG_COMPRESSION_SMALL);
            small += check(png, &picture);
            free(picture.bytes);
        }
        assert_true(small < fast);
    }
    pngout_free(png);
}

static void test_noise_fits_with_every_compressor(void **state)
{
    (void)state;
    struct pngout *png = pngout_new();
    struct picture picture = new_picture(600, 500, 1, 16, NOISE);
    for (size_t i = 0; i < DEFLATE_COUNT; i++) {
        pngout_force(png, deflates[i], PNGOUT_FILTER_NONE);
        uint64_t written = check(png, &picture);
        assert_true(written < 600 * 500 * 2 * 102 / 100);
    }
    free(picture.bytes);
    pngout_free(png);
}

/* A compressor that is short of room at first: the room is doubled until it suffices. */
static size_t compress_wastefully(void *state, const struct pngout_layout *layout, const uint8_t *in,
                                  size_t length, uint8_t *out, size_t capacity)
{
    if (capacity < 3 * length)
        return 0;
    return pngout_deflate_libdeflate_3.compress(state, layout, in, length, out, capacity);
}

static void *new_wasteful_state(void)
{
    return pngout_deflate_libdeflate_3.new_state();
}

static void free_wasteful_state(void *state)
{
    pngout_deflate_libdeflate_3.free_state(state);
}

static void test_room_grows_where_a_stream_does_not_fit(void **state)
{
    (void)state;
    static const struct pngout_deflate wasteful = {"wasteful", new_wasteful_state, free_wasteful_state,
                                                   compress_wastefully};
    struct pngout *png = pngout_new();
    struct picture picture = new_picture(400, 400, 1, 16, NOISE);
    pngout_force(png, &wasteful, PNGOUT_FILTER_SUB);
    (void)check(png, &picture);
    free(picture.bytes);
    pngout_free(png);
}

static void *no_state(void)
{
    return NULL;
}

static void free_nothing(void *state)
{
    assert_null(state);
}

static void test_no_memory_for_the_compressor(void **state)
{
    (void)state;
    static const struct pngout_deflate absent = {"absent", no_state, free_nothing, compress_wastefully};
    struct pngout *png = pngout_new();
    struct picture picture = new_picture(4, 4, 1, 8, FLAT);
    struct error err;
    uint64_t written = 1;
    pngout_force(png, &absent, -1);
    assert_false(pngout_write(png, -1, &picture.shape, NULL, give_row, &picture, &written, &err));
    assert_string_equal(err.code, CODE_LIMIT_MEMORY);
    assert_int_equal(written, 0);
    free(picture.bytes);
    pngout_free(png);
}

/* ---- the filters against the standard's own words -------------------------------------------------- */

static uint8_t predict(int filter, int a, int b, int c)
{
    if (filter == PNGOUT_FILTER_SUB)
        return (uint8_t)a;
    if (filter == PNGOUT_FILTER_UP)
        return (uint8_t)b;
    if (filter == PNGOUT_FILTER_AVERAGE)
        return (uint8_t)((a + b) / 2);
    if (filter == PNGOUT_FILTER_NONE)
        return 0;
    int p = a + b - c, pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);
    return (uint8_t)(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

static void test_filters(void **state)
{
    (void)state;
    enum { LENGTH = 997 };
    uint8_t row[LENGTH], above[LENGTH], out[LENGTH];
    unsigned seed = 5;
    for (size_t i = 0; i < LENGTH; i++) {
        row[i] = (uint8_t)(rand_r(&seed) >> 5);
        above[i] = i % 5 == 0 ? (uint8_t)(255 * (i % 2)) : (uint8_t)(rand_r(&seed) >> 5);
    }
    for (size_t step = 1; step <= 6; step++) {
        for (int filter = 0; filter < PNGOUT_FILTER_COUNT; filter++) {
            pngout_filter_row((enum pngout_filter)filter, out, row, above, LENGTH, step);
            for (size_t i = 0; i < LENGTH; i++) {
                int a = i < step ? 0 : row[i - step], c = i < step ? 0 : above[i - step];
                assert_int_equal(out[i], (uint8_t)(row[i] - predict(filter, a, above[i], c)));
            }
        }
    }
}

/* ---- size ------------------------------------------------------------------------------------------ */

static void count_bytes(png_structp libpng, png_bytep bytes, size_t length)
{
    (void)bytes;
    *(uint64_t *)png_get_io_ptr(libpng) += length;
}

static void no_flush(png_structp libpng)
{
    (void)libpng;
}

static uint64_t size_by_libpng(const struct picture *picture)
{
    uint64_t length = 0;
    png_structp libpng = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(libpng);
    if (setjmp(png_jmpbuf(libpng)) != 0)
        abort();
    png_set_write_fn(libpng, &length, count_bytes, no_flush);
    png_set_IHDR(libpng, info, picture->shape.width, picture->shape.height, (int)picture->shape.bit_depth,
                 picture->shape.samples == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(libpng, info);
    for (uint32_t row = 0; row < picture->shape.height; row++)
        png_write_row(libpng, picture->bytes + row * picture->row_bytes);
    png_write_end(libpng, info);
    png_destroy_write_struct(&libpng, &info);
    return length;
}

static void test_no_larger_than_libpng_plus_5_percent(void **state)
{
    (void)state;
    static const struct {
        uint32_t samples, bits;
    } kinds[] = {{1, 8}, {1, 16}, {3, 8}};
    struct pngout *png = pngout_new();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct picture picture = new_picture(512, 512, kinds[i].samples, kinds[i].bits, BODY);
        uint64_t ours = check(png, &picture), theirs = size_by_libpng(&picture);
        if (ours * 100 > theirs * 105)
            fail_msg("%u x %u bits: %llu bytes, libpng %llu", kinds[i].samples, kinds[i].bits,
                     (unsigned long long)ours, (unsigned long long)theirs);
        free(picture.bytes);
    }
    pngout_free(png);
}

/* ---- failing descriptors --------------------------------------------------------------------------- */

static void check_failure(int descriptor, const char *code)
{
    struct pngout *png = pngout_new();
    struct picture picture = new_picture(300, 300, 1, 16, NOISE);
    struct error err;
    uint64_t written = 1;
    assert_false(pngout_write(png, descriptor, &picture.shape, NULL, give_row, &picture, &written, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_int_equal(err.category, CATEGORY_DECODER);
    assert_string_equal(err.code, code);
    assert_int_equal(written, 0);
    (void)check(png, &picture); /* and it still works afterwards */
    free(picture.bytes);
    pngout_free(png);
}

static void test_full_device(void **state)
{
    (void)state;
    int descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(descriptor >= 0);
    check_failure(descriptor, CODE_OUTPUT_FULL);
    (void)close(descriptor);
}

static void test_descriptor_that_cannot_be_written(void **state)
{
    (void)state;
    int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(descriptor >= 0);
    check_failure(descriptor, CODE_OUTPUT_IO);
    (void)close(descriptor);
}

/* The first write is cut short, the next one fails. */
static void test_file_size_limit(void **state)
{
    (void)state;
    char path[] = "/tmp/test_pngout.XXXXXX";
    int descriptor = mkostemp(path, O_CLOEXEC);
    assert_true(descriptor >= 0);
    assert_int_equal(unlink(path), 0);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 10000, .rlim_max = before.rlim_max};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct pngout *png = pngout_new();
    struct picture picture = new_picture(300, 300, 1, 16, NOISE);
    struct error err;
    uint64_t written = 1;
    bool ok = pngout_write(png, descriptor, &picture.shape, NULL, give_row, &picture, &written, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(ok);
    assert_string_equal(err.code, CODE_LIMIT_OUTPUT); /* and no fault of the storage */
    struct stat status;
    assert_int_equal(fstat(descriptor, &status), 0);
    assert_int_equal(status.st_size, 10000);
    free(picture.bytes);
    pngout_free(png);
    (void)close(descriptor);
}

static void test_picture_limit(void **state)
{
    (void)state;
    struct pngout *png = pngout_new();
    struct picture picture = new_picture(300, 300, 1, 16, NOISE);
    struct error err;
    uint64_t written = 1;
    int descriptor = memfd_create("png", MFD_CLOEXEC);
    struct stat status;
    pngout_set_limit(png, 100000);
    assert_false(pngout_write(png, descriptor, &picture.shape, NULL, give_row, &picture, &written, &err));
    assert_int_equal(err.category, CATEGORY_DECODER);
    assert_string_equal(err.code, CODE_LIMIT_OUTPUT);
    assert_non_null(strstr(err.text, "100000 (MaxPictureBytes)"));
    assert_int_equal(fstat(descriptor, &status), 0);
    assert_int_equal(status.st_size, 0);
    pngout_set_limit(png, 300000);
    (void)check(png, &picture);
    free(picture.bytes);
    pngout_free(png);
    (void)close(descriptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_compressor_and_filter),
        cmocka_unit_test(test_chosen_compressor_and_filter),
        cmocka_unit_test(test_large_pictures_and_reused_buffers),
        cmocka_unit_test(test_small_pngs),
        cmocka_unit_test(test_noise_fits_with_every_compressor),
        cmocka_unit_test(test_room_grows_where_a_stream_does_not_fit),
        cmocka_unit_test(test_no_memory_for_the_compressor),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_no_larger_than_libpng_plus_5_percent),
        cmocka_unit_test(test_full_device),
        cmocka_unit_test(test_descriptor_that_cannot_be_written),
        cmocka_unit_test(test_file_size_limit),
        cmocka_unit_test(test_picture_limit),
    };
    int failed = cmocka_run_group_tests_name("pngout", tests, NULL, NULL);
    hide_vectors = true; /* the same without vectors of 64 bytes */
    return failed + cmocka_run_group_tests_name("pngout, narrow", tests, NULL, NULL);
}
