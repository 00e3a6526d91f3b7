#include "worker/decoder/image/image.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/image/colour.h"
#include "worker/decoder/image/image_frames.h"

struct image *image_new(void)
{
    return xcalloc(1, sizeof(struct image));
}

void image_free(struct image *image)
{
    if (image == NULL)
        return;
    palette_clear(&image->palette);
    fragments_clear(&image->fragments);
    free(image->stream.data);
    free(image->inflated.data);
    codec_samples_clear(&image->stored);
    codec_samples_clear(&image->display);
    free(image);
}

const struct image_facts *image_facts(const struct image *image)
{
    return &image->facts;
}

/* ---- inspecting ------------------------------------------------------------------------------- */

#define ENCAPSULATED_UNCOMPRESSED "1.2.840.10008.1.2.1.98"

/* Most fragments of a file: several for each frame, and many for one. */
static uint32_t fragment_limit(const struct options *options)
{
    uint64_t limit = 65536 + 4 * (uint64_t)options->max_frames;
    return limit < UINT32_MAX / 2 ? (uint32_t)limit : UINT32_MAX / 2;
}

/* The family that the first fragment looks like. */
static enum codec_family guess_family(struct dicom *dcm)
{
    static const enum codec_family families[] = {CODEC_DCMTK, CODEC_JPEG2000, CODEC_JPEGXL, CODEC_RLE};
    const struct dicom_pixels *pixels = dicom_pixels(dcm);
    struct error ignored;
    uint8_t header[8], start[FRAGMENTS_START_BYTES];
    uint64_t at = pixels->offset;
    if (!dicom_read_bytes(dcm, at, header, sizeof header, &ignored))
        return CODEC_NOT_KNOWN;
    at += 8 + ((uint64_t)header[4] | (uint64_t)header[5] << 8 | (uint64_t)header[6] << 16 |
               (uint64_t)header[7] << 24);
    if (!dicom_read_bytes(dcm, at + 8, start, sizeof start, &ignored))
        return CODEC_NOT_KNOWN;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (fragments_look_like(start, sizeof start, families[i]))
            return families[i];
    return CODEC_NOT_KNOWN;
}

/* A UID as it may stand in an error's text. */
static void printable_uid(const char *uid, char *text, size_t size)
{
    size_t length = 0;
    for (; uid[length] != '\0' && length + 1 < size; length++)
        text[length] = isdigit((unsigned char)uid[length]) || uid[length] == '.' ? uid[length] : '?';
    text[length] = '\0';
}

/* The family of fragments under a transfer syntax that knows none: what they look like, else what the syntax
 * says, which is no compression. False: not to be guessed. */
static bool find_hidden_family(struct image *image, struct dicom *dcm, const struct options *options,
                               enum codec_family *family)
{
    if (options->compatibility_niffler)
        return false;
    enum codec_family guessed = guess_family(dcm);
    *family = guessed != CODEC_NOT_KNOWN ? guessed : CODEC_NATIVE;
    image->remark = "encapsulated under a transfer syntax without compression";
    return true;
}

static bool find_family(struct image *image, struct dicom *dcm, const struct options *options,
                        struct error *err)
{
    const struct dicom_syntax *syntax = dicom_syntax(dcm);
    bool encapsulated = dicom_pixels(dcm)->encapsulated;
    const char *reason = NULL;
    enum codec_family family = codec_family(syntax->uid, &reason);
    if (encapsulated && syntax->uid[0] == '\0')
        family = guess_family(dcm);
    if (family == CODEC_NOT_DECODED || family == CODEC_NOT_KNOWN) {
        char uid[65];
        printable_uid(syntax->uid, uid, sizeof uid);
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_SYNTAX,
                           "transfer syntax %s is not supported%s%s", uid[0] != '\0' ? uid : "(none)",
                           reason != NULL ? ": " : "", reason != NULL ? reason : "");
    }
    bool wants_items = family != CODEC_NATIVE || strcmp(syntax->uid, ENCAPSULATED_UNCOMPRESSED) == 0;
    if (!encapsulated && wants_items)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                           "plain pixel data under a transfer syntax with compression");
    if (encapsulated && !wants_items && !find_hidden_family(image, dcm, options, &family))
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                           "encapsulated pixel data under a transfer syntax without compression");
    image->module.family = family;
    return true;
}

/* Part 2 of JPEG 2000 may code several frames together, as components (PS3.5 A.4.4): too few fragments are no
 * damage there, and no fragment is known to be one frame. */
static void tell_missing_fragments(struct image *image, const struct dicom *dcm)
{
    const char *uid = dicom_syntax(dcm)->uid;
    if (strcmp(uid, "1.2.840.10008.1.2.4.92") == 0 || strcmp(uid, "1.2.840.10008.1.2.4.93") == 0) {
        image->frames_there = 0;
        (void)error_input(&image->missing, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                          "JPEG 2000 Part 2 is not decoded: several frames in one codestream");
        return;
    }
    (void)error_input(&image->missing, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "%u fragments for %u frames",
                      image->fragments.count, image->facts.frame_count);
}

static bool find_fragments(struct image *image, struct dicom *dcm, const struct options *options,
                           struct error *err)
{
    const struct fragments_wanted wanted = {.family = image->module.family,
                                            .frame_count = image->facts.frame_count,
                                            .frame_bytes = (image->module.frame_bits + 7) / 8,
                                            .limit = fragment_limit(options),
                                            .is_strict = options->compatibility_niffler};
    if (!fragments_find(&image->fragments, dcm, &wanted, err))
        return false;
    image->frames_there = image->fragments.frames_there;
    if (image->frames_there < image->facts.frame_count)
        tell_missing_fragments(image, dcm);
    return true;
}

static bool find_frames(struct image *image, struct dicom *dcm, const struct options *options,
                        struct error *err)
{
    const struct dicom_pixels *pixels = dicom_pixels(dcm);
    uint32_t frame_count = image->facts.frame_count;
    image->frames_there = frame_count;
    if (pixels->encapsulated) {
        if (!find_fragments(image, dcm, options, err))
            return false;
    } else if (!image_module_check_length(&image->module, frame_count, pixels->length, &image->missing)) {
        uint64_t there = image_module_frames_in(&image->module, pixels->length, options->allow_truncated);
        image->frames_there = there < frame_count ? (uint32_t)there : frame_count;
    }
    bool all_are_wanted = options->compatibility_niffler && image->frames_there < frame_count;
    if (image->frames_there > 0 && !all_are_wanted)
        return true;
    *err = image->missing;
    return false;
}

bool image_inspect(struct image *image, struct dicom *dcm, const struct options *options, struct error *err)
{
    image->dcm = NULL;
    image->facts = (struct image_facts){0};
    image->module = (struct image_module){0};
    image->allow_truncated = options->allow_truncated;
    image->is_strict = options->compatibility_niffler;
    image->remark = NULL;
    if (dicom_pixels(dcm)->kind == DICOM_PIXELS_NONE)
        return error_input(err, CATEGORY_NOT_USABLE, CODE_NO_PIXELS, "no pixel data");
    if (!find_family(image, dcm, options, err) ||
        !image_module_read(&image->module, &image->facts, dcm, options, err) ||
        !find_frames(image, dcm, options, err))
        return false;
    image->has_palette =
        image->facts.photometric == PHOTOMETRIC_PALETTE_COLOR && !options->compatibility_niffler;
    if (image->has_palette && !palette_read(&image->palette, dcm, image->facts.is_signed, err))
        return false;
    image->dcm = dcm;
    return true;
}

uint32_t image_frames_there(const struct image *image, struct error *missing)
{
    if (image->frames_there < image->facts.frame_count)
        *missing = image->missing;
    return image->frames_there;
}

/* ---- frames ----------------------------------------------------------------------------------- */

bool image_read_stored(struct image *image, uint32_t frame_index, const struct codec_samples **out,
                       char *notes, size_t notes_size, struct error *err)
{
    const struct notes places = {notes, notes_size};
    if (image->dcm == NULL || frame_index >= image->facts.frame_count)
        return error_set(err, ERROR_BUG, "a frame was asked for that there is not");
    *out = &image->stored;
    if (frame_index >= image->frames_there) {
        *err = image->missing;
        return false;
    }
    if (dicom_is_mended(image->dcm))
        note(&places, "an attribute's length overruled");
    if (image->remark != NULL)
        note(&places, "%s", image->remark);
    return image_frames_read(image, frame_index, &places, err);
}

/* What three samples are. A JPEG stream that says so wins over the header; YBR_ICT and YBR_RCT name JPEG
 * 2000's own transform, which is undone by now. */
static bool is_ycbcr(const struct image *image, const struct notes *notes)
{
    enum photometric photometric = image->facts.photometric;
    bool header_says = photometric == PHOTOMETRIC_YBR_FULL || photometric == PHOTOMETRIC_YBR_FULL_422 ||
                       photometric == PHOTOMETRIC_YBR_PARTIAL_420 ||
                       photometric == PHOTOMETRIC_YBR_PARTIAL_422;
    bool says_undone = photometric == PHOTOMETRIC_YBR_ICT || photometric == PHOTOMETRIC_YBR_RCT;
    switch (image->stored.colour) {
    case CODEC_COLOUR_RGB:
        if (header_says)
            note(notes, "codestream RGB, header YCbCr");
        return false;
    case CODEC_COLOUR_YCBCR:
        if (!header_says)
            note(notes, "codestream YCbCr, header %s", says_undone ? "YBR_ICT or YBR_RCT" : "RGB");
        if (photometric == PHOTOMETRIC_YBR_PARTIAL_420 || photometric == PHOTOMETRIC_YBR_PARTIAL_422)
            note(notes, "codestream of full range, header of partial range");
        return true;
    case CODEC_COLOUR_AS_HEADER:
        if (says_undone)
            note(notes, "no component transform, header YBR_ICT or YBR_RCT: taken for RGB");
        break;
    }
    return header_says;
}

bool image_read_frame(struct image *image, uint32_t frame_index, const struct options *options,
                      const struct codec_samples **out, char *notes, size_t notes_size, struct error *err)
{
    const struct notes places = {notes, notes_size};
    struct codec_samples *stored = &image->stored;
    if (!image_read_stored(image, frame_index, out, notes, notes_size, err))
        return false;
    if (image->has_palette && !options->compatibility_niffler) {
        *out = &image->display;
        return palette_apply(&image->palette, stored, &image->display, err);
    }
    if (stored->samples != 3 || !is_ycbcr(image, &places))
        return true;
    if (stored->is_float || stored->is_signed || stored->bytes > 2)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                           "YCbCr samples that are signed or of more than 16 bits");
    bool partial = (image->facts.photometric == PHOTOMETRIC_YBR_PARTIAL_420 ||
                    image->facts.photometric == PHOTOMETRIC_YBR_PARTIAL_422) &&
                   stored->colour == CODEC_COLOUR_AS_HEADER;
    colour_ycbcr_to_rgb(stored, partial ? COLOUR_PARTIAL : COLOUR_FULL);
    return true;
}
