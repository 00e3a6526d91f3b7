#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmjpeg/djcparam.h"
#include "dcmtk/dcmjpeg/djdijg12.h"
#include "dcmtk/dcmjpeg/djdijg16.h"
#include "dcmtk/dcmjpeg/djdijg8.h"
#include "dcmtk/dcmjpeg/djutils.h"
#include "dcmtk/oflog/oflog.h"

#include <cstring>
#include <exception>
#include <limits>
#include <new>

#include "worker/decoder/codec/codec.h"
#include "worker/decoder/codec/jpeg_header.h"

namespace
{

/* No exception may leave this file: every function that C calls is one call of this. */
template <typename Work> bool guard(struct error *err, Work work) noexcept
{
    try {
        return work();
    } catch (const std::bad_alloc &) {
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "the codec has not enough memory");
    } catch (const std::exception &) {
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "the codec failed unexpectedly");
    } catch (...) {
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "the codec failed unexpectedly");
    }
}

/* Why DCMTK refused. Its texts hold no value of the file, but may be long and hold line ends. */
bool refused(const OFCondition &condition, const char *syntax, struct error *err)
{
    if (condition == EC_MemoryExhausted)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "the codec has not enough memory");
    char text[120];
    size_t length = 0;
    for (const char *at = condition.text(); *at != '\0' && length + 1 < sizeof text; at++)
        text[length++] = *at >= ' ' && *at <= '~' ? *at : ' ';
    text[length] = '\0';
    return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "the codec refuses the stream (%s): %s", syntax,
                       text);
}

/* A decoder of DCMTK that counts its library's warnings. They are the only sign of damage inside a scan: the
 * library goes on with invented samples. */
template <typename Base> class Counting : public Base
{
  public:
    explicit Counting(const DJCodecParameter &parameter) : Base(parameter, OFFalse)
    {
    }

    void emitMessage(int level) const override
    {
        if (level < 0)
            warnings++;
    }

    mutable uint32_t warnings = 0;
};

/* DCMTK's decoders are used directly and not through a data set: its codec would first scan the stream for
 * the precision (and never come back from a TEM marker), and copy it twice. */
template <typename Decoder>
bool decode_with(const uint8_t *stream, size_t length, const struct jpeg_header &header, const char *syntax,
                 bool allow_truncated, struct codec_samples *out, struct error *err)
{
    static const uint8_t end_of_image[] = {0xFF, 0xD9};
    const DJCodecParameter parameter(ECC_lossyYCbCr, EDC_never, EUC_never, EPC_colorByPixel);
    Decoder decoder(parameter);
    OFCondition result = decoder.init();
    if (result.bad())
        return refused(result, syntax, err);
    /* decode() takes a pointer to non-const, and only reads. */
    auto feed = [&](const uint8_t *bytes, size_t count) {
        return decoder.decode(const_cast<Uint8 *>(bytes), static_cast<Uint32>(count),
                              static_cast<Uint8 *>(out->data),
                              static_cast<Uint32>(codec_samples_count(out) * out->bytes), OFFalse);
    };
    result = feed(stream, length);
    if (result == EJ_Suspension) {
        /* The end is missing. Where only the marker is, the frame is whole; where samples are, the library
         * warns that it makes some up, and they are not wanted. */
        uint32_t before = decoder.warnings;
        result = feed(end_of_image, sizeof end_of_image);
        out->ends_early = result.good() && decoder.warnings != before;
        if (result.bad() || (out->ends_early && !(allow_truncated && header.scan < length)))
            return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "the JPEG stream ends early");
    }
    if (result.bad())
        return refused(result, syntax, err);
    if (decoder.warnings > 0 && header.is_lossless && !out->ends_early)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "the lossless JPEG stream is damaged");
    out->warnings = decoder.warnings;
    return true;
}

bool decode_jpeg(const uint8_t *stream, size_t length, const struct jpeg_header &header, const char *syntax,
                 bool allow_truncated, struct codec_samples *out, struct error *err)
{
    if (codec_jpeg_lossless_takes(&header) && codec_jpeg_lossless(stream, length, &header, out))
        return true;
    if (allow_truncated) /* what is not decoded is to be 0, and nothing of another picture */
        std::memset(out->data, 0, codec_samples_count(out) * out->bytes);
    if (codec_jpeg8_takes(&header))
        return codec_jpeg8(stream, length, allow_truncated && header.scan < length, out, err);
    /* One build of the library for each width of sample. */
    if (header.precision <= 8)
        return decode_with<Counting<DJDecompressIJG8Bit>>(stream, length, header, syntax, allow_truncated,
                                                          out, err);
    if (header.precision <= 12)
        return decode_with<Counting<DJDecompressIJG12Bit>>(stream, length, header, syntax, allow_truncated,
                                                           out, err);
    return decode_with<Counting<DJDecompressIJG16Bit>>(stream, length, header, syntax, allow_truncated, out,
                                                       err);
}

bool check_shape(const struct jpeg_header &header, const struct codec_frame *frame, struct error *err)
{
    if (header.rows != frame->rows || header.columns != frame->columns || header.components != frame->samples)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                           "the JPEG stream has %u x %u x %u samples, the header says %u x %u x %u",
                           header.rows, header.columns, header.components, frame->rows, frame->columns,
                           frame->samples);
    return true;
}

/* DCMTK counts bytes in 32 bits and does not check its products: what does not fit is not given to it. */
bool make_room(const struct jpeg_header &header, size_t length, struct codec_samples *out, struct error *err)
{
    const uint32_t bytes = header.precision <= 8 ? 1 : 2;
    const uint64_t size = static_cast<uint64_t>(header.rows) * header.columns * header.components * bytes;
    const uint64_t most = std::numeric_limits<int32_t>::max() - 1;
    if (size > most || length > most)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                           "a JPEG frame of more than 2 GiB");
    if (!codec_samples_reserve(out, header.rows, header.columns, header.components, bytes, err))
        return false;
    out->precision = header.precision;
    const int is_ycbcr = jpeg_header_is_ycbcr(&header);
    out->colour = is_ycbcr < 0    ? codec_samples::CODEC_COLOUR_AS_HEADER
                  : is_ycbcr == 0 ? codec_samples::CODEC_COLOUR_RGB
                                  : codec_samples::CODEC_COLOUR_YCBCR;
    return true;
}

} // namespace

extern "C" void codec_init(void)
{
    struct error ignored;
    (void)guard(&ignored, [] {
        OFLog::configure(OFLogger::OFF_LOG_LEVEL);
        return true;
    });
}

extern "C" bool codec_dcmtk(const uint8_t *stream, size_t length, const char *transfer_syntax,
                            const struct codec_frame *frame, struct codec_samples *out, struct error *err)
{
    return guard(err, [&] {
        struct jpeg_header header;
        if (!jpeg_header_read(stream, length, &header, err))
            return false;
        /* What the stream is counts, not what the transfer syntax calls it. */
        if (header.is_ls)
            return codec_jpegls(stream, length, frame, out, err);
        return check_shape(header, frame, err) && make_room(header, length, out, err) &&
               decode_jpeg(stream, length, header, transfer_syntax, frame->allow_truncated, out, err);
    });
}
