#include "worker/decoder/image/image_frames.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/alloc.h"
#include "worker/decoder/codec/jpeg2000_header.h"
#include "worker/decoder/codec/native.h"

#define DEFLATE_MOST 1032u /* bytes that one byte of deflate can stand for, at most (RFC 1951) */

static bool reserve(struct image_scratch *scratch, uint64_t size, struct error *err)
{
    void *data = NULL;
    if (size <= scratch->capacity)
        return true;
    free(scratch->data);
    *scratch = (struct image_scratch){0};
    if (!alloc_pixels(&data, (size_t)size, 1, 0, err))
        return false;
    *scratch = (struct image_scratch){data, (size_t)size};
    return true;
}

static void note_truncated(const struct notes *notes, uint64_t there, uint64_t wanted)
{
    if (there < wanted)
        note(notes, "truncated: %llu of %llu bytes", (unsigned long long)there, (unsigned long long)wanted);
}

/* ---- native frames ---------------------------------------------------------------------------- */

/* Copy `length` bytes of the pixel data from `from`; those behind its end are 0. */
static bool copy_bytes(struct image *image, uint64_t from, uint8_t *out, uint64_t length, struct error *err)
{
    const struct dicom_pixels *pixels = dicom_pixels(image->dcm);
    uint64_t left = from < pixels->length ? pixels->length - from : 0;
    size_t there = (size_t)(length < left ? length : left);
    if (there < length)
        memset(out + there, 0, (size_t)length - there);
    return there == 0 || dicom_read_bytes(image->dcm, pixels->offset + from, out, there, err);
}

/* Bytes [from, to) of the pixel data into the scratch. In a big-endian file OW means words of 16 bits,
 * whatever the samples are (PS3.5 6.2): for samples of under two bytes those words are swapped here, and the
 * range is widened to whole ones, the last of which may lack its second byte, no sample of the frame. *bytes
 * is where `from` came to lie. */
static bool read_range(struct image *image, uint64_t from, uint64_t to, const uint8_t **bytes,
                       struct error *err)
{
    const struct dicom_pixels *pixels = dicom_pixels(image->dcm);
    bool in_words = dicom_syntax(image->dcm)->big_endian && pixels->vr[0] == 'O' && pixels->vr[1] == 'W' &&
                    image->facts.bits_allocated < 16;
    uint64_t begin = in_words ? from / 2 * 2 : from, end = in_words ? (to + 1) / 2 * 2 : to;
    if (!reserve(&image->stream, end - begin, err) ||
        !copy_bytes(image, begin, image->stream.data, end - begin, err))
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

/* Packed samples, a plane after the other where the header says so. */
static bool unpack_packed(struct image *image, const uint8_t *bytes, uint64_t first_bit, struct error *err)
{
    struct codec_samples *out = &image->stored, *planes = &image->display;
    uint32_t bits = image->facts.bits_allocated;
    size_t count = codec_samples_count(out);
    if (!image->module.by_plane) {
        native_unpack_bits(out->data, out->bytes, bytes, first_bit, count, bits);
        return true;
    }
    if (!codec_samples_reserve(planes, out->rows, out->columns, out->samples, out->bytes, err))
        return false;
    native_unpack_bits(planes->data, out->bytes, bytes, first_bit, count, bits);
    native_interleave(out->data, planes->data, count / out->samples, out->samples, out->bytes);
    return true;
}

/* A frame in memory, in the layout of the file, beginning with bit `first_bit`. */
static bool unpack(struct image *image, const uint8_t *bytes, uint64_t first_bit, struct error *err)
{
    const struct image_module *module = &image->module;
    struct codec_samples *out = &image->stored;
    if (!reserve_native(image, err))
        return false;
    size_t pixels = (size_t)out->rows * out->columns;
    if (module->is_packed) {
        if (!unpack_packed(image, bytes, first_bit, err))
            return false;
    } else if (module->is_half_chroma) {
        native_widen_422(out->data, bytes, pixels / 2, out->bytes);
    } else if (module->by_plane) {
        native_interleave(out->data, bytes, pixels, out->samples, out->bytes);
    } else {
        memcpy(out->data, bytes, codec_samples_count(out) * out->bytes);
    }
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
    if (!copy_bytes(image, from, out->data, count * out->bytes, err))
        return false;
    if (must_swap(image))
        native_swap(out->data, count, out->bytes);
    extract(image);
    return true;
}

static bool read_native(struct image *image, uint32_t frame_index, const struct notes *notes,
                        struct error *err)
{
    const struct image_module *module = &image->module;
    uint64_t first_bit = module->frame_bits * frame_index, end_bit = first_bit + module->frame_bits;
    uint64_t from = first_bit / 8, to = (end_bit + 7) / 8, length = dicom_pixels(image->dcm)->length;
    const uint8_t *bytes = NULL;
    note_truncated(notes, (length < to ? length : to) - from, to - from);
    bool is_plain = !module->is_packed && !module->is_half_chroma && !module->by_plane;
    if (is_plain && (module->sample_bytes > 1 || !dicom_syntax(image->dcm)->big_endian))
        return read_direct(image, from, err);
    if (!read_range(image, from, to, &bytes, err))
        return false;
    return unpack(image, bytes, first_bit % 8, err);
}

bool image_read_overlay_bits(struct image *image, uint32_t frame_index, uint32_t bit, uint8_t *packed,
                             struct error *err)
{
    const struct image_facts *facts = &image->facts;
    const struct image_module *module = &image->module;
    const uint8_t *bytes = NULL;
    if (image->dcm == NULL || frame_index >= facts->frame_count)
        return error_set(err, ERROR_BUG, "bits of a frame were asked for that there is not");
    if (dicom_pixels(image->dcm)->encapsulated || module->is_float || facts->samples_per_pixel != 1 ||
        bit >= facts->bits_allocated)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                           "no bits beside the samples of the pixels");
    uint64_t first_bit = module->frame_bits * frame_index, end_bit = first_bit + module->frame_bits;
    if (!read_range(image, first_bit / 8, (end_bit + 7) / 8, &bytes, err))
        return false;
    native_pick_bit(packed, bytes, first_bit % 8, (size_t)facts->rows * facts->columns, facts->bits_allocated,
                    bit, dicom_syntax(image->dcm)->big_endian && !module->is_packed);
    return true;
}

/* ---- compressed frames ------------------------------------------------------------------------ */

/* A frame of containers that was not in the file as such: `length` bytes of it in a scratch. */
static bool unpack_whole(struct image *image, struct image_scratch *scratch, uint64_t length,
                         const struct notes *notes, struct error *err)
{
    uint64_t wanted = (image->module.frame_bits + 7) / 8;
    if (!image_module_check_length(&image->module, 1, length, err)) {
        if (!image->allow_truncated || length == 0)
            return false;
        note_truncated(notes, length, wanted);
        memset(scratch->data + length, 0, (size_t)(wanted - length));
    }
    return unpack(image, scratch->data, 0, err);
}

static bool inflate_frame(struct image *image, uint64_t length, const struct notes *notes, struct error *err)
{
    uint64_t wanted = (image->module.frame_bits + 7) / 8, produced = 0;
    z_stream zlib = {0};
    int status;
    if (wanted / DEFLATE_MOST > length && !image->allow_truncated)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "the deflated frame is too short");
    if (!reserve(&image->inflated, wanted, err))
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
    return unpack_whole(image, &image->inflated, produced, notes, err);
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

/* Whether the file has an overlay in the bits that the samples leave (PS3.3 C.9.2 of before 2004). */
static bool has_embedded_overlay(const struct image *image)
{
    const struct image_facts *facts = &image->facts;
    for (uint32_t group = 0x6000; group <= 0x601E; group += 2) {
        uint32_t position;
        if (dicom_find_u32(image->dcm, DICOM_TAG(group, 0x0102), 0, &position) &&
            !dicom_has(image->dcm, DICOM_TAG(group, 0x3000)) && position < facts->bits_allocated &&
            (position > facts->high_bit || position + facts->bits_stored <= facts->high_bit))
            return true;
    }
    return false;
}

/* Some writers compress containers as they are: then samples that do not lie at the lower end, or have an
 * overlay above them, are found in them as in native data (PS3.5 8.1.1). Without either sign the codestream's
 * own samples count: BitsStored that is too small is commoner than rubbish above the samples. */
static bool holds_containers(const struct image *image)
{
    const struct image_facts *facts = &image->facts;
    if (image->is_strict || image->stored.precision != facts->bits_allocated ||
        facts->bits_stored >= facts->bits_allocated || facts->samples_per_pixel != 1)
        return false;
    if (facts->high_bit >= facts->bits_allocated || facts->high_bit + 1 < facts->bits_stored)
        return false;
    return facts->high_bit + 1 > facts->bits_stored || has_embedded_overlay(image);
}

/* What a codec made of a stream that was not what it should be. */
static void note_damage(const struct image *image, const struct notes *notes)
{
    const struct codec_samples *stored = &image->stored;
    uint64_t bytes = (image->module.frame_bits + 7) / 8;
    if (stored->overruled != NULL)
        note(notes, "%s", stored->overruled);
    if (stored->missing > 0)
        note_truncated(notes, bytes - stored->missing, bytes);
    else if (stored->ends_early)
        note(notes, "codestream ends early");
}

static bool read_stream(struct image *image, uint64_t length, const struct notes *notes, struct error *err)
{
    const struct image_facts *facts = &image->facts;
    struct codec_samples *stored = &image->stored;
    const uint8_t *stream = image->stream.data;
    const struct codec_frame frame = {.rows = facts->rows,
                                      .columns = facts->columns,
                                      .samples = facts->samples_per_pixel,
                                      .bits_allocated = facts->bits_allocated,
                                      .bits_stored = facts->bits_stored,
                                      .is_signed = facts->is_signed,
                                      .allow_truncated = image->allow_truncated};
    switch (image->module.family) {
    case CODEC_NATIVE:
        return unpack_whole(image, &image->stream, length, notes, err);
    case CODEC_DEFLATE:
        return inflate_frame(image, length, notes, err);
    case CODEC_RLE:
        if (!codec_rle(stream, (size_t)length, &frame, stored, err))
            return false;
        note_damage(image, notes);
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
        if (!image->is_strict &&
            jpeg2000_header_mend(image->stream.data, (size_t)length, facts->rows, facts->columns))
            note(notes, "codestream size impossible, overruled by its tile's and the header's");
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
    note_damage(image, notes);
    compare_codestream(image, notes);
    if (holds_containers(image)) {
        note(notes, "codestream of whole containers: bits %u to %u taken",
             facts->high_bit + 1 - facts->bits_stored, facts->high_bit);
        extract(image);
        return true;
    }
    /* An unsigned codestream under PixelRepresentation 1 holds bit patterns: two's complement at its own
     * precision. */
    if (!stored->is_signed && facts->is_signed)
        native_extract(stored, 0, stored->precision, true);
    return true;
}

bool image_frames_read(struct image *image, uint32_t frame_index, const struct notes *notes,
                       struct error *err)
{
    if (!dicom_pixels(image->dcm)->encapsulated)
        return read_native(image, frame_index, notes, err);
    uint64_t length = fragments_frame_length(&image->fragments, frame_index), room = length;
    if (length == 0)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "the frame's fragments are empty");
    /* Missing containers are filled up in place. */
    if (image->module.family == CODEC_NATIVE && image->allow_truncated &&
        room < (image->module.frame_bits + 7) / 8)
        room = (image->module.frame_bits + 7) / 8;
    return reserve(&image->stream, room, err) &&
           fragments_read_frame(&image->fragments, image->dcm, frame_index, image->stream.data, err) &&
           read_stream(image, length, notes, err);
}
