#include "worker/decoder/png/pngout_profile.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/png/pngout_deflate.h"

/* ISO 15076-1, 7.2: the header. */
#define HEADER_BYTES 128
#define COLOUR_SPACE_AT 16
#define SIGNATURE_AT 36

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
    if (memcmp(icc + SIGNATURE_AT, "acsp", 4) != 0)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED, "ICC profile without signature");
    if (memcmp(icc + COLOUR_SPACE_AT, "RGB ", 4) != 0)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED, "ICC profile not of RGB");
    if (!libpng_takes(icc, *profile_length))
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED, "ICC profile refused by libpng");
    return true;
}

bool pngout_profile_set(struct pngout_profile *profile, const uint8_t *icc, size_t length, struct error *err)
{
    const struct pngout_deflate *deflate = &pngout_deflate_libdeflate_9;
    const size_t before = sizeof profile_name + 1; /* the name with its NUL, the compression method */
    uint32_t profile_length = 0;
    void *chunk;
    pngout_profile_clear(profile);
    if (!check(icc, length, &profile_length, err))
        return false;
    /* Room for it stored, in blocks with their headers. */
    size_t room = (size_t)profile_length + profile_length / 64 + 4096;
    if (!alloc_pixels(&chunk, before + room, 1, PNG_UINT_31_MAX, err))
        return false;
    *profile = (struct pngout_profile){.chunk = chunk};
    memcpy(chunk, profile_name, sizeof profile_name);
    profile->chunk[sizeof profile_name] = PNG_COMPRESSION_TYPE_BASE;
    void *state = deflate->new_state();
    size_t compressed =
        state == NULL ? 0
                      : deflate->compress(state, NULL, icc, profile_length, profile->chunk + before, room);
    deflate->free_state(state);
    if (compressed == 0) {
        pngout_profile_clear(profile);
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "no memory for the ICC profile");
    }
    profile->length = before + compressed;
    return true;
}
