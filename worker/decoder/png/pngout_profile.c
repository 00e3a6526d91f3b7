#include "worker/decoder/png/pngout_profile.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/png/pngout_deflate.h"

/* ISO 15076-1, 7.2: the header. */
#define HEADER_BYTES 128
#define VERSION_AT 8
#define COLOUR_SPACE_AT 16
#define SIGNATURE_AT 36
#define ID_AT 84 /* a digest of the rest, or 0 */
#define ID_BYTES 16
#define RESERVED_AT 100

/* 7.3: how many tags, then for each its name, where it begins, and how long it is. */
#define TAGS_AT (HEADER_BYTES + 4)
#define TAG_BYTES 12

/* Profiles with tables for every use are of one to three megabytes; every PNG of a file holds it. */
#define PROFILE_BYTES_MAX (4u << 20)

static const char profile_name[] = "ICC profile"; /* 1 to 79 characters of Latin-1 */

void pngout_profile_clear(struct pngout_profile *profile)
{
    free(profile->chunk);
    *profile = (struct pngout_profile){0};
}

/* Of what libpng says only whether it takes the profile counts. */
static void on_complaint(png_structp libpng, png_const_charp text)
{
    (void)libpng;
    (void)text;
}

static void on_refusal(png_structp libpng, png_const_charp text)
{
    (void)text;
    png_longjmp(libpng, 1);
}

static bool libpng_takes(const uint8_t *icc, uint32_t length)
{
    png_infop info = NULL;
    png_structp libpng = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, on_refusal, on_complaint);
    if (libpng != NULL)
        info = png_create_info_struct(libpng);
    if (info == NULL) {
        png_destroy_write_struct(&libpng, NULL);
        return false;
    }
    if (setjmp(png_jmpbuf(libpng)) != 0) {
        png_destroy_write_struct(&libpng, &info);
        return false;
    }
    png_set_IHDR(libpng, info, 1, 1, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_iCCP(libpng, info, profile_name, PNG_COMPRESSION_TYPE_BASE, icc, length);
    bool takes = png_get_valid(libpng, info, PNG_INFO_iCCP) != 0;
    png_destroy_write_struct(&libpng, &info);
    return takes;
}

static bool check(const uint8_t *icc, size_t length, uint32_t *profile_length, struct error *err)
{
    if (length < HEADER_BYTES)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "an ICC profile of %zu bytes",
                           length);
    *profile_length = png_get_uint_32(icc);
    if (*profile_length > length)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT,
                           "%zu bytes of an ICC profile of %u bytes", length, *profile_length);
    if (*profile_length > PROFILE_BYTES_MAX)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                           "an ICC profile of %u bytes, more than %u", *profile_length, PROFILE_BYTES_MAX);
    if (memcmp(icc + SIGNATURE_AT, "acsp", 4) != 0)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED, "ICC profile without signature");
    if (memcmp(icc + COLOUR_SPACE_AT, "RGB ", 4) != 0)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED, "ICC profile not of RGB");
    if (icc[VERSION_AT] < 2 || icc[VERSION_AT] > 5)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED, "ICC profile of version %u",
                           (unsigned)icc[VERSION_AT]);
    if (!libpng_takes(icc, *profile_length))
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED, "ICC profile refused by libpng");
    return true;
}

/* What lies in no tag is no part of the profile, and could be anything: it becomes 0, and so does what the
 * header reserves. The copy is of the same length; libpng has found all tags to lie in it. */
static void copy_tags(uint8_t *copy, const uint8_t *icc, uint32_t length)
{
    uint64_t tag_count = length >= TAGS_AT ? png_get_uint_32(icc + HEADER_BYTES) : 0;
    if (tag_count > (length - HEADER_BYTES) / TAG_BYTES)
        tag_count = 0;
    memset(copy, 0, length);
    memcpy(copy, icc, RESERVED_AT);
    memcpy(copy + HEADER_BYTES, icc + HEADER_BYTES, 4 + (size_t)tag_count * TAG_BYTES);
    for (uint64_t i = 0; i < tag_count; i++) {
        const uint8_t *tag = icc + TAGS_AT + i * TAG_BYTES;
        uint32_t at = png_get_uint_32(tag + 4), bytes = png_get_uint_32(tag + 8);
        if (at >= TAGS_AT + tag_count * TAG_BYTES && at <= length && bytes <= length - at)
            memcpy(copy + at, icc + at, bytes);
    }
    if (memcmp(copy, icc, length) != 0)
        memset(copy + ID_AT, 0, ID_BYTES);
}

bool pngout_profile_set(struct pngout_profile *profile, const uint8_t *icc, size_t length, struct error *err)
{
    const struct pngout_deflate *deflate = &pngout_deflate_libdeflate_9;
    const size_t before = sizeof profile_name + 1; /* the name with its NUL, the compression method */
    uint32_t profile_length = 0;
    void *chunk, *copy;
    pngout_profile_clear(profile);
    if (!check(icc, length, &profile_length, err))
        return false;
    /* Room for it stored, in blocks with their headers. */
    size_t room = (size_t)profile_length + profile_length / 64 + 4096;
    if (!alloc_pixels(&copy, profile_length, 1, PROFILE_BYTES_MAX, err))
        return false;
    if (!alloc_pixels(&chunk, before + room, 1, PNG_UINT_31_MAX, err)) {
        free(copy);
        return false;
    }
    copy_tags(copy, icc, profile_length);
    *profile = (struct pngout_profile){.chunk = chunk};
    memcpy(chunk, profile_name, sizeof profile_name);
    profile->chunk[sizeof profile_name] = PNG_COMPRESSION_TYPE_BASE;
    void *state = deflate->new_state();
    size_t compressed =
        state == NULL ? 0
                      : deflate->compress(state, NULL, copy, profile_length, profile->chunk + before, room);
    deflate->free_state(state);
    free(copy);
    if (compressed == 0) {
        pngout_profile_clear(profile);
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "no memory for the ICC profile");
    }
    profile->length = before + compressed;
    return true;
}
