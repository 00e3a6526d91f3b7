/* The ancillary chunks of the PNGs that we write, read back by libpng. */
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
#include <png.h>

#include "common/alloc.h"
#include "tests/unit/icc_profiles.h"
#include "worker/decoder/png/pngout.h"

/* What libpng finds; 0 or NULL where there is no such chunk. */
struct found {
    uint32_t x, y;
    int unit;
    uint32_t bits[3]; /* sBIT: red, green, blue; or grey, thrice */
    uint8_t *profile; /* new */
    uint32_t profile_length;
    char chunks[64]; /* names up to the first IDAT */
};

static void fill_row(void *context, uint32_t row, uint8_t *out)
{
    const struct pngout_shape *shape = context;
    memset(out, (int)row, (size_t)shape->width * shape->samples * shape->bit_depth / 8);
}

/* libpng complains by longjmp(): whoever calls this gets false, and cmocka's own jumps stay out of it. */
static bool read_back(FILE *file, struct found *found)
{
    png_structp libpng = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(libpng);
    png_color_8p bits = NULL;
    png_charp name = NULL;
    png_bytep profile = NULL;
    int method;
    if (setjmp(png_jmpbuf(libpng)) != 0) {
        png_destroy_read_struct(&libpng, &info, NULL);
        return false;
    }
    png_set_benign_errors(libpng, 0);
    png_init_io(libpng, file);
    png_read_info(libpng, info);
    bool is_grey = png_get_color_type(libpng, info) == PNG_COLOR_TYPE_GRAY;
    (void)png_get_pHYs(libpng, info, &found->x, &found->y, &found->unit);
    if (png_get_sBIT(libpng, info, &bits) != 0) {
        found->bits[0] = is_grey ? bits->gray : bits->red;
        found->bits[1] = is_grey ? bits->gray : bits->green;
        found->bits[2] = is_grey ? bits->gray : bits->blue;
    }
    if (png_get_iCCP(libpng, info, &name, &method, &profile, &found->profile_length) != 0) {
        found->profile = xmalloc(found->profile_length);
        memcpy(found->profile, profile, found->profile_length);
    }
    for (uint32_t row = png_get_image_height(libpng, info); row > 0; row--)
        png_read_row(libpng, NULL, NULL);
    png_read_end(libpng, NULL);
    png_destroy_read_struct(&libpng, &info, NULL);
    return true;
}

static void list_chunks(FILE *file, char *names, size_t size)
{
    uint8_t head[8];
    assert_int_equal(fseek(file, 8, SEEK_SET), 0);
    names[0] = '\0';
    while (strstr(names, "IDAT") == NULL) {
        assert_int_equal(fread(head, 1, sizeof head, file), sizeof head);
        size_t used = strlen(names);
        (void)snprintf(names + used, size - used, "%s%.4s", used > 0 ? " " : "", (const char *)head + 4);
        assert_int_equal(fseek(file, (long)png_get_uint_32(head) + 4, SEEK_CUR), 0);
    }
}

static struct found write_and_read(uint32_t samples, uint32_t bit_depth, const struct pngout_extras *extras)
{
    struct pngout_shape shape = {3, 2, samples, bit_depth};
    struct pngout *png = pngout_new();
    struct found found = {0};
    struct error err;
    uint64_t written;
    int descriptor = memfd_create("test_pngout_extras", MFD_CLOEXEC);
    assert_true(descriptor >= 0);
    if (!pngout_write(png, descriptor, &shape, extras, fill_row, &shape, &written, &err))
        fail_msg("%s", err.text);
    assert_int_equal(lseek(descriptor, 0, SEEK_END), written);
    assert_int_equal(lseek(descriptor, 0, SEEK_SET), 0);
    FILE *file = fdopen(descriptor, "rb");
    assert_non_null(file);
    assert_true(read_back(file, &found));
    list_chunks(file, found.chunks, sizeof found.chunks);
    (void)fclose(file);
    pngout_free(png);
    return found;
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        uint32_t samples, bit_depth;
        struct pngout_extras extras;
        struct found found;
    } rows[] = {
        {1, 16, {0}, {.chunks = "IHDR IDAT"}},
        {1,
         16,
         {2000, 1429, true, 12, NULL},
         {2000, 1429, PNG_RESOLUTION_METER, {12, 12, 12}, .chunks = "IHDR sBIT pHYs IDAT"}},
        {3,
         8,
         {4, 3, false, 7, NULL},
         {4, 3, PNG_RESOLUTION_UNKNOWN, {7, 7, 7}, .chunks = "IHDR sBIT pHYs IDAT"}},
        {3, 16, {.significant_bits = 1}, {.bits = {1, 1, 1}, .chunks = "IHDR sBIT IDAT"}},
        /* Out of range, or no news. */
        {1, 8, {.significant_bits = 8}, {.chunks = "IHDR IDAT"}},
        {1, 16, {.significant_bits = 16}, {.chunks = "IHDR IDAT"}},
        {1, 16, {.significant_bits = 268}, {.chunks = "IHDR IDAT"}},
        {1, 8, {1, 0, true, 0, NULL}, {.chunks = "IHDR IDAT"}},
        {1, 8, {0x80000000, 1, true, 0, NULL}, {.chunks = "IHDR IDAT"}},
        {1,
         8,
         {1, 0x7FFFFFFF, true, 0, NULL},
         {1, 0x7FFFFFFF, PNG_RESOLUTION_METER, .chunks = "IHDR pHYs IDAT"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct found found = write_and_read(rows[i].samples, rows[i].bit_depth, &rows[i].extras);
        assert_string_equal(found.chunks, rows[i].found.chunks);
        assert_int_equal(found.x, rows[i].found.x);
        assert_int_equal(found.y, rows[i].found.y);
        assert_int_equal(found.unit, rows[i].found.unit);
        assert_memory_equal(found.bits, rows[i].found.bits, sizeof found.bits);
        assert_null(found.profile);
    }
}

/* ---- profiles -------------------------------------------------------------------------------------- */

static void test_profiles(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {ICC_BYTES_MIN, 3144, 300000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct pngout_profile profile = {0};
        struct error err;
        uint8_t *icc = xcalloc(lengths[i] + 1, 1);
        icc_build(icc, lengths[i]);
        /* A byte of padding behind it is none of it. */
        if (!pngout_profile_set(&profile, icc, lengths[i] + 1, &err))
            fail_msg("%s", err.text);
        struct pngout_extras extras = {
            .significant_bits = 7, .pixels_per_unit_x = 1, .pixels_per_unit_y = 1, .profile = &profile};
        struct found found = write_and_read(3, 8, &extras);
        assert_string_equal(found.chunks, "IHDR sBIT pHYs iCCP IDAT");
        assert_int_equal(found.profile_length, lengths[i]);
        assert_memory_equal(found.profile, icc, lengths[i]);
        free(found.profile);
        /* Grey pictures get none. */
        found = write_and_read(1, 8, &extras);
        assert_string_equal(found.chunks, "IHDR sBIT pHYs IDAT");
        pngout_profile_clear(&profile);
        free(icc);
    }
}

static void test_profiles_that_are_wrong(void **state)
{
    (void)state;
    static const struct {
        size_t length;  /* of what is given */
        size_t at;      /* where four bytes are changed */
        const char *to; /* and into what                */
        const char *code;
    } rows[] = {
        {127, 0, "\0\0\0\x84", CODE_TOO_SHORT},
        {159, 0, "\0\0\0\xA0", CODE_TOO_SHORT},
        {160, 0, "\0\0\0\xA1", CODE_TOO_SHORT},
        {160, 0, "\xFF\xFF\xFF\xFF", CODE_TOO_SHORT},
        {160, 0, "\0\0\0\x10", CODE_MALFORMED},
        {160, 16, "GRAY", CODE_MALFORMED},
        {160, 16, "CMYK", CODE_MALFORMED},
        {160, 36, "ACSP", CODE_MALFORMED},
        {160, 12, "link", CODE_MALFORMED},
        {160, 8, "\x01\0\0\0", CODE_MALFORMED},
        {160, 8, "\x06\0\0\0", CODE_MALFORMED},
        {160, 20, "HSV ", CODE_MALFORMED},
        {160, ICC_TAGS_AT, "\0\0\0\x03", CODE_MALFORMED},
        {160, ICC_TAGS_AT, "\xFF\xFF\xFF\xFF", CODE_MALFORMED},
    };
    struct pngout_profile profile = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t icc[160];
        struct error err = {0};
        icc_build(icc, sizeof icc);
        assert_true(pngout_profile_set(&profile, icc, sizeof icc, &err));
        memcpy(icc + rows[i].at, rows[i].to, 4);
        if (pngout_profile_set(&profile, icc, rows[i].length, &err))
            fail_msg("row %zu is taken", i);
        assert_int_equal(err.kind, ERROR_INPUT);
        assert_string_equal(err.code, rows[i].code);
        assert_null(profile.chunk);
        assert_int_equal(profile.length, 0);
    }
}

/* What stands between the tags, or in what the header reserves, could be anything. */
static void test_bytes_of_no_tag_are_left_out(void **state)
{
    (void)state;
    enum { LENGTH = 512, CONTENT_AT = 200, CONTENT_BYTES = 100 };
    struct pngout_profile profile = {0};
    struct error err;
    uint8_t icc[LENGTH], expected[LENGTH] = {0};
    icc_build(icc, sizeof icc);
    memset(icc + 100, 'x', 28); /* reserved */
    memset(icc + 84, 'i', 16);  /* the digest of the whole */
    icc_put_u32(icc + ICC_TAGS_AT + 8, CONTENT_AT);
    icc_put_u32(icc + ICC_TAGS_AT + 12, CONTENT_BYTES);
    memcpy(expected, icc, 84);
    memcpy(expected + ICC_TAGS_AT, icc + ICC_TAGS_AT, 16);
    memcpy(expected + CONTENT_AT, icc + CONTENT_AT, CONTENT_BYTES);
    if (!pngout_profile_set(&profile, icc, sizeof icc, &err))
        fail_msg("%s", err.text);
    struct found found = write_and_read(3, 8, &(struct pngout_extras){.profile = &profile});
    assert_int_equal(found.profile_length, LENGTH);
    assert_memory_equal(found.profile, expected, LENGTH);
    free(found.profile);
    /* The largest, and one more. */
    const uint32_t largest = 4u << 20;
    uint8_t *large = xcalloc(largest + 4, 1);
    icc_build(large, largest);
    assert_true(pngout_profile_set(&profile, large, largest, &err));
    icc_build(large, largest + 4);
    assert_false(pngout_profile_set(&profile, large, largest + 4, &err));
    assert_string_equal(err.code, CODE_MALFORMED);
    assert_null(profile.chunk);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_profiles),
        cmocka_unit_test(test_profiles_that_are_wrong),
        cmocka_unit_test(test_bytes_of_no_tag_are_left_out),
    };
    return cmocka_run_group_tests_name("pngout_extras", tests, NULL, NULL);
}
