/* JPEG XL (ISO/IEC 18181) by libjxl, in this thread alone. */
#include <jxl/decode.h>
#include <stddef.h>
#include <string.h>

#include "worker/decoder/codec/codec.h"

static bool refuse(struct error *err)
{
    return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "the JPEG XL codec refuses the stream");
}

static bool unsupported(struct error *err, const char *what)
{
    return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS, "a JPEG XL stream of %s", what);
}

/* The stream's own word against the header's, before anything is allocated by it. */
static bool check_info(const JxlBasicInfo *info, const struct codec_frame *frame, struct error *err)
{
    if (info->ysize != frame->rows || info->xsize != frame->columns ||
        info->num_color_channels != frame->samples)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                           "the JPEG XL stream has %u x %u x %u samples, the header says %u x %u x %u",
                           info->ysize, info->xsize, info->num_color_channels, frame->rows, frame->columns,
                           frame->samples);
    if (info->exponent_bits_per_sample != 0)
        return unsupported(err, "floating-point samples");
    if (info->bits_per_sample < 1 || info->bits_per_sample > 16)
        return unsupported(err, "more than 16 bits");
    if (info->num_extra_channels != 0)
        return unsupported(err, "more channels than grey or RGB");
    return true;
}

/* Samples that were coded in libjxl's own colour space (XYB) come back in sRGB, the one that every reader of
 * the PNG takes for granted; others are what they were before, whatever their profile. */
static bool choose_colour(JxlDecoder *decoder, const JxlBasicInfo *info, struct error *err)
{
    const JxlColorEncoding srgb = {
        .color_space = info->num_color_channels == 1 ? JXL_COLOR_SPACE_GRAY : JXL_COLOR_SPACE_RGB,
        .white_point = JXL_WHITE_POINT_D65,
        .primaries = JXL_PRIMARIES_SRGB,
        .transfer_function = JXL_TRANSFER_FUNCTION_SRGB,
        .rendering_intent = JXL_RENDERING_INTENT_RELATIVE,
    };
    if (!info->uses_original_profile && JxlDecoderSetPreferredColorProfile(decoder, &srgb) != JXL_DEC_SUCCESS)
        return refuse(err);
    return true;
}

static bool choose_frame(const JxlDecoder *decoder, struct error *err)
{
    JxlFrameHeader header;
    if (JxlDecoderGetFrameHeader(decoder, &header) != JXL_DEC_SUCCESS)
        return refuse(err);
    return header.is_last || unsupported(err, "several frames");
}

static bool give_buffer(JxlDecoder *decoder, const JxlBasicInfo *info, struct codec_samples *out,
                        struct error *err)
{
    const uint32_t bytes = info->bits_per_sample > 8 ? 2 : 1;
    const JxlPixelFormat format = {
        .num_channels = info->num_color_channels,
        .data_type = bytes == 1 ? JXL_TYPE_UINT8 : JXL_TYPE_UINT16,
        .endianness = JXL_NATIVE_ENDIAN,
    };
    size_t size;
    if (!codec_samples_reserve(out, info->ysize, info->xsize, info->num_color_channels, bytes, err))
        return false;
    if (JxlDecoderImageOutBufferSize(decoder, &format, &size) != JXL_DEC_SUCCESS ||
        size != codec_samples_count(out) * bytes ||
        JxlDecoderSetImageOutBuffer(decoder, &format, out->data, size) != JXL_DEC_SUCCESS)
        return refuse(err);
    memset(out->data, 0, size); /* what is not decoded is to be 0, and nothing of another picture */
    out->precision = info->bits_per_sample;
    if (out->samples == 3)
        out->colour = CODEC_COLOUR_RGB;
    return true;
}

/* libjxl stretches samples to all bits of the buffer's type. This is the exact inverse: neighbours lie
 * further apart there, so that no rounding of the one reaches the other. */
#define UNSTRETCH(type)                                                        \
    do {                                                                       \
        type *data = (type *)out->data;                                        \
        const uint32_t full = (1u << (8 * sizeof(type))) - 1, half = full / 2; \
        for (size_t i = 0; i < count; i++)                                     \
            data[i] = (type)(((uint32_t)data[i] * most + half) / full);        \
    } while (0)

static void unstretch(struct codec_samples *out)
{
    const size_t count = codec_samples_count(out);
    const uint32_t most = (1u << out->precision) - 1;
    if (out->precision == 8 * out->bytes)
        return;
    if (out->bytes == 1)
        UNSTRETCH(uint8_t);
    else
        UNSTRETCH(uint16_t);
}

/* Serve the decoder until it has the whole frame. */
static bool run(JxlDecoder *decoder, const struct codec_frame *frame, struct codec_samples *out,
                struct error *err)
{
    JxlBasicInfo info = {0};
    for (;;) {
        bool ok;
        switch ((int)JxlDecoderProcessInput(decoder)) {
        case JXL_DEC_BASIC_INFO:
            ok = JxlDecoderGetBasicInfo(decoder, &info) == JXL_DEC_SUCCESS ? check_info(&info, frame, err)
                                                                           : refuse(err);
            break;
        case JXL_DEC_COLOR_ENCODING:
            ok = choose_colour(decoder, &info, err);
            break;
        case JXL_DEC_FRAME:
            ok = choose_frame(decoder, err);
            break;
        case JXL_DEC_NEED_IMAGE_OUT_BUFFER:
            ok = give_buffer(decoder, &info, out, err);
            break;
        case JXL_DEC_FULL_IMAGE:
            unstretch(out);
            return true;
        case JXL_DEC_NEED_MORE_INPUT:
            if (frame->allow_truncated && JxlDecoderFlushImage(decoder) == JXL_DEC_SUCCESS) {
                unstretch(out);
                out->ends_early = true;
                return true;
            }
            return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "the JPEG XL stream ends early");
        default:
            return refuse(err);
        }
        if (!ok)
            return false;
    }
}

bool codec_jpegxl(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                  struct codec_samples *out, struct error *err)
{
    const int events = JXL_DEC_BASIC_INFO | JXL_DEC_COLOR_ENCODING | JXL_DEC_FRAME | JXL_DEC_FULL_IMAGE;
    JxlSignature signature = JxlSignatureCheck(stream, length);
    if (signature != JXL_SIG_CODESTREAM && signature != JXL_SIG_CONTAINER)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "no JPEG XL codestream");
    JxlDecoder *decoder = JxlDecoderCreate(NULL);
    if (decoder == NULL)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY,
                           "the JPEG XL codec has not enough memory");
    bool ok = false;
    if (JxlDecoderSubscribeEvents(decoder, events) != JXL_DEC_SUCCESS ||
        JxlDecoderSetInput(decoder, stream, length) != JXL_DEC_SUCCESS)
        (void)error_set(err, ERROR_BUG, "the JPEG XL codec cannot be set up");
    else
        ok = run(decoder, frame, out, err);
    JxlDecoderDestroy(decoder);
    return ok;
}
