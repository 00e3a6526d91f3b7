#include "worker/decoder/image.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/alloc.h"
#include "worker/decoder/colour.h"
#include "worker/decoder/fragments.h"
#include "worker/decoder/image_module.h"
#include "worker/decoder/native.h"
#include "worker/decoder/palette.h"

#define DEFLATE_MOST 1032u /* bytes that one byte of deflate can stand for, at most (RFC 1951) */

/* Bytes that are overwritten by each frame. */
struct scratch {
    uint8_t *data;
    size_t capacity;
};

struct image {
    struct image_facts facts;
    struct image_module module;
    struct dicom *dcm; /* NULL: image_inspect() has not succeeded */
    bool has_palette;
    struct palette palette;
    struct fragments fragments;
    struct scratch stream;        /* a frame as it lies in the file   */
    struct scratch inflated;      /* and behind its deflate           */
    struct codec_samples stored;  /* then                             */
    struct codec_samples display; /* and looked up in a palette       */
};

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

static bool scratch_reserve(struct scratch *scratch, uint64_t size, struct error *err)
{
    void *data = NULL;
    if (size <= scratch->capacity)
        return true;
    free(scratch->data);
    *scratch = (struct scratch){0};
    if (!alloc_pixels(&data, (size_t)size, 1, 0, err))
        return false;
    *scratch = (struct scratch){data, (size_t)size};
    return true;
}

/* ---- inspecting ------------------------------------------------------------------------------- */

/* Most fragments of a file: several for each frame, and many for one. */
static uint32_t fragment_limit(const struct options *options)
{
    uint64_t limit = 65536 + 4 * (uint64_t)options->max_frames;
    return limit < UINT32_MAX / 2 ? (uint32_t)limit : UINT32_MAX / 2;
}

/* The family of a file that does not say its transfer syntax: the first fragment tells. */
static enum codec_family guess_family(struct dicom *dcm)
{
    const struct dicom_pixels *pixels = dicom_pixels(dcm);
    struct error ignored;
    static const uint8_t jxl[] = {0, 0, 0, 12, 'J', 'X', 'L', ' '};
    uint8_t header[8], start[sizeof jxl];
    uint64_t at = pixels->offset;
    if (!dicom_read_bytes(dcm, at, header, sizeof header, &ignored))
        return CODEC_NOT_KNOWN;
    at += 8 + ((uint64_t)header[4] | (uint64_t)header[5] << 8 | (uint64_t)header[6] << 16 |
               (uint64_t)header[7] << 24);
    if (!dicom_read_bytes(dcm, at + 8, start, sizeof start, &ignored))
        return CODEC_NOT_KNOWN;
    if (start[0] == 0xFF && start[1] == 0xD8)
        return CODEC_DCMTK;
    if ((start[0] == 0xFF && start[1] == 0x0A) || memcmp(start, jxl, sizeof jxl) == 0)
        return CODEC_JPEGXL;
    if ((start[0] == 0xFF && start[1] == 0x4F) || (start[2] == 0 && start[3] == 12))
        return CODEC_JPEG2000;
    return start[0] >= 1 && start[0] <= 15 && start[1] == 0 ? CODEC_RLE : CODEC_NOT_KNOWN;
}

/* A UID as it may stand in an error's text. */
static void printable_uid(const char *uid, char *text, size_t size)
{
    size_t length = 0;
    for (; uid[length] != '\0' && length + 1 < size; length++)
        text[length] = isdigit((unsigned char)uid[length]) || uid[length] == '.' ? uid[length] : '?';
    text[length] = '\0';
}

static bool find_family(struct image *image, struct dicom *dcm, struct error *err)
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
    bool wants_items = family != CODEC_NATIVE || strcmp(syntax->uid, "1.2.840.10008.1.2.1.98") == 0;
    if (encapsulated != wants_items)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                           encapsulated
                               ? "encapsulated pixel data under a transfer syntax without compression"
                               : "plain pixel data under a transfer syntax with compression");
    image->module.family = family;
    return true;
}

/* Part 2 of JPEG 2000 may code several frames together, as components (PS3.5 A.4.4): too few fragments are no
 * damage there. */
static bool refuse_fragments(struct dicom *dcm, struct error *err)
{
    const char *uid = dicom_syntax(dcm)->uid;
    bool is_part_2 = strcmp(uid, "1.2.840.10008.1.2.4.92") == 0 || strcmp(uid, "1.2.840.10008.1.2.4.93") == 0;
    if (is_part_2 && err->kind == ERROR_INPUT && strcmp(err->code, CODE_TOO_SHORT) == 0)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                           "JPEG 2000 Part 2 is not decoded: several frames in one codestream");
    return false;
}

bool image_inspect(struct image *image, struct dicom *dcm, const struct options *options, struct error *err)
{
    const struct dicom_pixels *pixels = dicom_pixels(dcm);
    image->dcm = NULL;
    image->facts = (struct image_facts){0};
    image->module = (struct image_module){0};
    if (pixels->kind == DICOM_PIXELS_NONE)
        return error_input(err, CATEGORY_NOT_USABLE, CODE_NO_PIXELS, "no pixel data");
    if (!find_family(image, dcm, err) || !image_module_read(&image->module, &image->facts, dcm, options, err))
        return false;
    if (pixels->encapsulated) {
        if (!fragments_find(&image->fragments, dcm, image->module.family, image->facts.frame_count,
                            fragment_limit(options), err))
            return refuse_fragments(dcm, err);
    } else if (!image_module_check_length(&image->module, &image->facts, pixels->length, err)) {
        return false;
    }
    image->has_palette =
        image->facts.photometric == PHOTOMETRIC_PALETTE_COLOR && !options->compatibility_niffler;
    if (image->has_palette && !palette_read(&image->palette, dcm, image->facts.is_signed, err))
        return false;
    image->dcm = dcm;
    return true;
}

/* ---- notes ------------------------------------------------------------------------------------ */

struct notes {
    char *text;
    size_t size;
};

static void note(const struct notes *notes, const char *format, ...) PRINTF_LIKE(2, 3);

static void note(const struct notes *notes, const char *format, ...)
{
    if (notes->text == NULL || notes->size == 0)
        return;
    size_t used = strnlen(notes->text, notes->size - 1);
    if (used > 0 && used + 1 < notes->size)
        notes->text[used++] = ';';
    va_list args;
    va_start(args, format);
    (void)vsnprintf(notes->text + used, notes->size - used, format, args);
    va_end(args);
}

/* ---- native frames ---------------------------------------------------------------------------- */

/* Bytes [from, to) of the pixel data into the scratch. In a big-endian file OW means words of 16 bits,
 * whatever the samples are (PS3.5 6.2): for samples of under two bytes those words are swapped here, and the
 * range is widened to whole ones. *bytes is where `from` came to lie. */
static bool read_range(struct image *image, uint64_t from, uint64_t to, const uint8_t **bytes,
                       struct error *err)
{
    const struct dicom_pixels *pixels = dicom_pixels(image->dcm);
    bool in_words = dicom_syntax(image->dcm)->big_endian && pixels->vr[0] == 'O' && pixels->vr[1] == 'W' &&
                    image->facts.bits_allocated < 16;
    uint64_t begin = in_words ? from / 2 * 2 : from, end = in_words ? (to + 1) / 2 * 2 : to;
    if (!scratch_reserve(&image->stream, end - begin, err))
        return false;
    /* The last word of an odd length has no second byte; zero stands for it, and is no sample of the frame.
     */
    uint64_t there = end > pixels->length ? pixels->length : end;
    if (end > there)
        image->stream.data[end - begin - 1] = 0;
    if (!dicom_read_bytes(image->dcm, pixels->offset + begin, image->stream.data, (size_t)(there - begin),
                          err))
        return false;
    if (in_words)
        native_swap(image->stream.data, (size_t)((end - begin) / 2), 2);
    *bytes = image->stream.data + (from - begin);
    return true;
}

static bool must_swap(const struct image *image)
{
    bool is_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    return dicom_syntax(image->dcm)->big_endian != is_big;
}

static bool reserve_native(struct image *image, struct error *err)
{
    const struct image_facts *facts = &image->facts;
    if (!codec_samples_reserve(&image->stored, facts->rows, facts->columns, facts->samples_per_pixel,
                               image->module.sample_bytes, err))
        return false;
    image->stored.is_float = image->module.is_float;
    image->stored.precision = facts->bits_stored;
    return true;
}

/* The last step of every frame that comes in containers: native, deflated, RLE. */
static void extract(struct image *image)
{
    native_extract(&image->stored, image->module.shift, image->module.bits, image->facts.is_signed);
    image->stored.precision = image->module.bits;
}

/* A frame in memory, in the layout of the file, beginning with bit `first_bit`. */
static bool unpack(struct image *image, const uint8_t *bytes, uint64_t first_bit, struct error *err)
{
    const struct image_module *module = &image->module;
    struct codec_samples *out = &image->stored;
    if (!reserve_native(image, err))
        return false;
    size_t pixels = (size_t)out->rows * out->columns;
    if (module->is_packed)
        native_unpack_bits(out->data, out->bytes, bytes, first_bit, codec_samples_count(out),
                           image->facts.bits_allocated);
    else if (module->is_half_chroma)
        native_widen_422(out->data, bytes, pixels / 2, out->bytes);
    else if (module->by_plane)
        native_interleave(out->data, bytes, pixels, out->samples, out->bytes);
    else
        memcpy(out->data, bytes, codec_samples_count(out) * out->bytes);
    if (!module->is_packed && must_swap(image))
        native_swap(out->data, codec_samples_count(out), out->bytes);
    extract(image);
    return true;
}

/* The common case, and the one whose speed counts: the file's bytes go where the samples are wanted. */
static bool read_direct(struct image *image, uint64_t from, struct error *err)
{
    struct codec_samples *out = &image->stored;
    if (!reserve_native(image, err))
        return false;
    size_t count = codec_samples_count(out);
    if (!dicom_read_bytes(image->dcm, dicom_pixels(image->dcm)->offset + from, out->data, count * out->bytes,
                          err))
        return false;
    if (must_swap(image))
        native_swap(out->data, count, out->bytes);
    extract(image);
    return true;
}

static bool read_native(struct image *image, uint32_t frame_index, struct error *err)
{
    const struct image_module *module = &image->module;
    uint64_t first_bit = module->frame_bits * frame_index, end_bit = first_bit + module->frame_bits;
    const uint8_t *bytes = NULL;
    bool is_plain = !module->is_packed && !module->is_half_chroma && !module->by_plane;
    if (is_plain && (module->sample_bytes > 1 || !dicom_syntax(image->dcm)->big_endian))
        return read_direct(image, first_bit / 8, err);
    if (!read_range(image, first_bit / 8, (end_bit + 7) / 8, &bytes, err))
        return false;
    return unpack(image, bytes, first_bit % 8, err);
}

/* ---- compressed frames ------------------------------------------------------------------------ */

/* A frame of containers that was not in the file as such. */
static bool unpack_whole(struct image *image, const uint8_t *bytes, uint64_t length, struct error *err)
{
    if (!image_module_check_length(&image->module, &(struct image_facts){.frame_count = 1}, length, err))
        return false;
    return unpack(image, bytes, 0, err);
}

static bool inflate_frame(struct image *image, uint64_t length, struct error *err)
{
    uint64_t wanted = (image->module.frame_bits + 7) / 8, produced = 0;
    z_stream zlib = {0};
    int status;
    if (wanted / DEFLATE_MOST > length)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "the deflated frame is too short");
    if (!scratch_reserve(&image->inflated, wanted, err))
        return false;
    if (inflateInit2(&zlib, -MAX_WBITS) != Z_OK)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "zlib has not enough memory");
    uint8_t *in = image->stream.data;
    do {
        /* zlib counts in 32 bits. */
        uint64_t room = wanted - produced;
        if (zlib.avail_in == 0) {
            zlib.avail_in = length < UINT32_MAX ? (uInt)length : UINT32_MAX;
            zlib.next_in = in;
            in += zlib.avail_in;
            length -= zlib.avail_in;
        }
        uInt slice = room < UINT32_MAX ? (uInt)room : UINT32_MAX;
        zlib.avail_out = slice;
        zlib.next_out = image->inflated.data + produced;
        status = inflate(&zlib, Z_NO_FLUSH);
        produced += slice - zlib.avail_out;
    } while (status == Z_OK && produced < wanted && (zlib.avail_in > 0 || length > 0));
    (void)inflateEnd(&zlib);
    if (produced < wanted && status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "zlib refuses the deflated frame");
    return unpack_whole(image, image->inflated.data, produced, err);
}

/* What a codec found wins over what the header says; the row tells. */
static void compare_codestream(const struct image *image, const struct notes *notes)
{
    const struct codec_samples *stored = &image->stored;
    if (stored->precision != image->facts.bits_stored)
        note(notes, "codestream precision %u, header %u", stored->precision, image->facts.bits_stored);
    if (stored->is_signed && !image->facts.is_signed)
        note(notes, "codestream signed, header unsigned");
    if (stored->warnings > 0)
        note(notes, "codestream damaged: %u warnings", stored->warnings);
}

static bool read_encapsulated(struct image *image, uint32_t frame_index, const struct notes *notes,
                              struct error *err)
{
    const struct image_facts *facts = &image->facts;
    struct codec_samples *stored = &image->stored;
    uint64_t length = fragments_frame_length(&image->fragments, frame_index);
    const struct codec_frame frame = {.rows = facts->rows,
                                      .columns = facts->columns,
                                      .samples = facts->samples_per_pixel,
                                      .bits_allocated = facts->bits_allocated,
                                      .bits_stored = facts->bits_stored,
                                      .is_signed = facts->is_signed};
    if (!scratch_reserve(&image->stream, length, err) ||
        !fragments_read_frame(&image->fragments, image->dcm, frame_index, image->stream.data, err))
        return false;
    const uint8_t *stream = image->stream.data;
    switch (image->module.family) {
    case CODEC_NATIVE:
        return unpack_whole(image, stream, length, err);
    case CODEC_DEFLATE:
        return inflate_frame(image, length, err);
    case CODEC_RLE:
        if (!codec_rle(stream, (size_t)length, &frame, stored, err))
            return false;
        extract(image);
        return true;
    case CODEC_DCMTK:
        if (!codec_dcmtk(stream, (size_t)length, dicom_syntax(image->dcm)->uid, &frame, stored, err))
            return false;
        break;
    case CODEC_JPEGLS:
        if (!codec_jpegls(stream, (size_t)length, &frame, stored, err))
            return false;
        break;
    case CODEC_JPEG2000:
        if (!codec_jpeg2000(stream, (size_t)length, &frame, stored, err))
            return false;
        break;
    case CODEC_JPEGXL:
        if (!codec_jpegxl(stream, (size_t)length, &frame, stored, err))
            return false;
        break;
    case CODEC_NOT_DECODED:
    case CODEC_NOT_KNOWN:
        return error_set(err, ERROR_BUG, "a frame of an unsupported transfer syntax was asked for");
    }
    compare_codestream(image, notes);
    /* An unsigned codestream under PixelRepresentation 1 holds bit patterns: two's complement at its own
     * precision. */
    if (!stored->is_signed && facts->is_signed)
        native_extract(stored, 0, stored->precision, true);
    return true;
}

/* ---- frames ----------------------------------------------------------------------------------- */

bool image_read_stored(struct image *image, uint32_t frame_index, const struct codec_samples **out,
                       char *notes, size_t notes_size, struct error *err)
{
    const struct notes places = {notes, notes_size};
    if (image->dcm == NULL || frame_index >= image->facts.frame_count)
        return error_set(err, ERROR_BUG, "a frame was asked for that there is not");
    bool ok = dicom_pixels(image->dcm)->encapsulated ? read_encapsulated(image, frame_index, &places, err)
                                                     : read_native(image, frame_index, err);
    *out = &image->stored;
    return ok;
}

/* What three samples are. A JPEG stream that says so wins over the header; YBR_ICT and YBR_RCT name JPEG
 * 2000's own transform, which is undone by now. */
static bool is_ycbcr(const struct image *image, const struct notes *notes)
{
    enum photometric photometric = image->facts.photometric;
    bool header_says = photometric == PHOTOMETRIC_YBR_FULL || photometric == PHOTOMETRIC_YBR_FULL_422 ||
                       photometric == PHOTOMETRIC_YBR_PARTIAL_420;
    bool says_undone = photometric == PHOTOMETRIC_YBR_ICT || photometric == PHOTOMETRIC_YBR_RCT;
    switch (image->stored.colour) {
    case CODEC_COLOUR_RGB:
        if (header_says)
            note(notes, "codestream RGB, header YCbCr");
        return false;
    case CODEC_COLOUR_YCBCR:
        if (!header_says)
            note(notes, "codestream YCbCr, header %s", says_undone ? "YBR_ICT or YBR_RCT" : "RGB");
        if (photometric == PHOTOMETRIC_YBR_PARTIAL_420)
            note(notes, "codestream of full range, header YBR_PARTIAL_420");
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
    bool partial =
        image->facts.photometric == PHOTOMETRIC_YBR_PARTIAL_420 && stored->colour == CODEC_COLOUR_AS_HEADER;
    colour_ycbcr_to_rgb(stored, partial ? COLOUR_PARTIAL : COLOUR_FULL);
    return true;
}
