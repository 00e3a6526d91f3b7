/* DCMTK's decoders alone. */
#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmdata/dcrledec.h"
#include "dcmtk/dcmjpeg/djcparam.h"
#include "dcmtk/dcmjpeg/djdijg16.h"
#include "dcmtk/dcmjpeg/djdijg8.h"

#include <vector>

#include "bench/bench_codec.h"

namespace
{

template <typename Decoder> bool decode(const bench_stream *stream, size_t bytes)
{
    const DJCodecParameter parameter(ECC_lossyYCbCr, EDC_never, EUC_never, EPC_colorByPixel);
    std::vector<Uint8> out(size_t{stream->rows} * stream->columns * stream->samples * bytes);
    Decoder decoder(parameter, OFFalse);
    return decoder.init().good() &&
           decoder
               .decode(const_cast<Uint8 *>(stream->bytes), static_cast<Uint32>(stream->length), out.data(),
                       static_cast<Uint32>(out.size()), OFFalse)
               .good();
}

size_t u32_little(const uint8_t *bytes)
{
    return bytes[0] | size_t{bytes[1]} << 8 | size_t{bytes[2]} << 16 | size_t{bytes[3]} << 24;
}

} // namespace

extern "C" bool partner_dcmtk_jpeg(const struct bench_stream *stream)
{
    return stream->bits > 8 ? decode<DJDecompressIJG16Bit>(stream, 2)
                            : decode<DJDecompressIJG8Bit>(stream, 1);
}

/* Segment by segment, and each byte to its place, as DCMTK's codec goes about it. */
extern "C" bool partner_dcmtk_rle(const struct bench_stream *stream)
{
    const size_t pixels = size_t{stream->rows} * stream->columns, bytes = stream->bits > 8 ? 2 : 1;
    const size_t segments = stream->samples * bytes;
    std::vector<Uint8> out(pixels * segments);
    DcmRLEDecoder decoder(pixels);
    for (size_t i = 0; i < segments; i++) {
        const size_t begin = u32_little(stream->bytes + 4 + 4 * i);
        const size_t end = i + 1 < segments ? u32_little(stream->bytes + 8 + 4 * i) : stream->length;
        decoder.clear();
        if (decoder.decompress(const_cast<uint8_t *>(stream->bytes) + begin, end - begin).bad() &&
            decoder.size() < pixels)
            return false;
        const Uint8 *from = static_cast<const Uint8 *>(decoder.getOutputBuffer());
        Uint8 *to = out.data() + (i / bytes * bytes + bytes - 1 - i % bytes);
        for (size_t pixel = 0; pixel < pixels; pixel++)
            to[pixel * segments] = from[pixel];
    }
    return true;
}
