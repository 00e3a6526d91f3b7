/* JPEG-LS (ITU-T T.87) by CharLS: the copy of it inside DCMTK is older, and refuses streams of fewer than 8
 * bits. */
#include <charls/charls.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/codec.h"
#include "worker/decoder/jpeg_header.h"
#include "worker/decoder/native.h"

static bool refuse(struct error *err, charls_jpegls_errc code)
{
    return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "the JPEG-LS codec refuses the stream: %s",
                       charls_get_error_message(code));
}

/* The stream's own word against the header's, before anything is allocated by it. */
static bool check_frame(const charls_frame_info *info, const struct codec_frame *frame, struct error *err)
{
    if (info->height != frame->rows || info->width != frame->columns ||
        info->component_count != (int32_t)frame->samples)
        return error_input(
            err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
            "the JPEG-LS stream has %u x %u pixels of %d samples, the header says %u x %u of %u", info->width,
            info->height, info->component_count, frame->columns, frame->rows, frame->samples);
    if (info->bits_per_sample < 2 || info->bits_per_sample > 16)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "a JPEG-LS stream of %d bits",
                           info->bits_per_sample);
    return true;
}

/* Component after component, as CharLS gives streams that are not interleaved, to pixel by pixel. */
static bool interleave(struct codec_samples *out, struct error *err)
{
    size_t pixels = (size_t)out->rows * out->columns, count = codec_samples_count(out);
    void *planes;
    if (!alloc_pixels(&planes, count, out->bytes, 0, err))
        return false;
    memcpy(planes, out->data, count * out->bytes);
    native_interleave(out->data, planes, pixels, out->samples, out->bytes);
    free(planes);
    return true;
}

/* `is_cut`: what the codec has written before it met the end that was put there is the picture. */
static bool decode(charls_jpegls_decoder *decoder, const uint8_t *stream, size_t length, bool is_cut,
                   const struct codec_frame *frame, struct codec_samples *out, struct error *err)
{
    charls_frame_info info;
    charls_interleave_mode mode = CHARLS_INTERLEAVE_MODE_NONE;
    charls_jpegls_errc code = charls_jpegls_decoder_set_source_buffer(decoder, stream, length);
    if (code == CHARLS_JPEGLS_ERRC_SUCCESS)
        code = charls_jpegls_decoder_read_header(decoder);
    if (code == CHARLS_JPEGLS_ERRC_SUCCESS)
        code = charls_jpegls_decoder_get_frame_info(decoder, &info);
    if (code == CHARLS_JPEGLS_ERRC_SUCCESS)
        code = charls_jpegls_decoder_get_interleave_mode(decoder, &mode);
    if (code != CHARLS_JPEGLS_ERRC_SUCCESS)
        return refuse(err, code);
    uint32_t bytes = info.bits_per_sample > 8 ? 2 : 1;
    if (!check_frame(&info, frame, err) ||
        !codec_samples_reserve(out, frame->rows, frame->columns, frame->samples, bytes, err))
        return false;
    size_t size = (size_t)frame->rows * frame->columns * frame->samples * bytes;
    if (is_cut)
        memset(out->data, 0, size);
    code = charls_jpegls_decoder_decode_to_buffer(decoder, out->data, size, 0);
    out->ends_early = is_cut && code != CHARLS_JPEGLS_ERRC_SUCCESS;
    if (code != CHARLS_JPEGLS_ERRC_SUCCESS && !is_cut)
        return refuse(err, code);
    out->precision = (uint32_t)info.bits_per_sample;
    return mode != CHARLS_INTERLEAVE_MODE_NONE || frame->samples == 1 || interleave(out, err);
}

/* Whether a stream without its end holds any coded data. */
static bool holds_data(const uint8_t *stream, size_t length)
{
    struct jpeg_header header;
    struct error ignored;
    return jpeg_header_read(stream, length, &header, &ignored) && header.scan < length;
}

static bool ends_with_marker(const uint8_t *stream, size_t length)
{
    while (length > 0 && stream[length - 1] == 0)
        length--;
    return length >= 2 && stream[length - 2] == 0xFF && stream[length - 1] == 0xD9;
}

bool codec_jpegls(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                  struct codec_samples *out, struct error *err)
{
    /* CharLS 2.4.1 never comes back from some streams that end early; an end-of-image marker behind the last
     * byte, which no coded data can hold, makes it refuse all of them. */
    void *ended = NULL;
    bool ok = false, is_cut = false;
    charls_jpegls_decoder *decoder = charls_jpegls_decoder_create();
    if (decoder == NULL) {
        (void)error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "no memory for the JPEG-LS codec");
        goto out;
    }
    if (!ends_with_marker(stream, length)) {
        is_cut = frame->allow_truncated && holds_data(stream, length);
        if (!alloc_pixels(&ended, length + 2, 1, 0, err))
            goto out;
        if (length > 0)
            memcpy(ended, stream, length);
        memcpy((uint8_t *)ended + length, "\xFF\xD9", 2);
        stream = ended;
        length += 2;
    }
    ok = decode(decoder, stream, length, is_cut, frame, out, err);
out:
    charls_jpegls_decoder_destroy(decoder);
    free(ended);
    return ok;
}
