/* DCMTK's JPEG decoders alone, counting their warnings. */
#include "dcmtk/config/osconfig.h"

#include "dcmtk/dcmjpeg/djcparam.h"
#include "dcmtk/dcmjpeg/djdijg12.h"
#include "dcmtk/dcmjpeg/djdijg16.h"
#include "dcmtk/dcmjpeg/djdijg8.h"
#include "dcmtk/dcmjpeg/djutils.h"

#include "tests/unit/dcmtk_jpeg.h"

namespace
{

template <typename Base> class Counting : public Base
{
  public:
    explicit Counting(const DJCodecParameter &parameter) : Base(parameter, OFFalse)
    {
    }

    void emitMessage(int level) const override
    {
        has_warned = has_warned || level < 0;
    }

    mutable bool has_warned = false;
};

template <typename Base> bool decode(const uint8_t *stream, size_t length, void *out, size_t size)
{
    static const uint8_t end_of_image[] = {0xFF, 0xD9};
    const DJCodecParameter parameter(ECC_lossyYCbCr, EDC_never, EUC_never, EPC_colorByPixel);
    Counting<Base> decoder(parameter);
    auto feed = [&](const uint8_t *bytes, size_t count) {
        return decoder.decode(const_cast<Uint8 *>(bytes), static_cast<Uint32>(count),
                              static_cast<Uint8 *>(out), static_cast<Uint32>(size), OFFalse);
    };
    if (decoder.init().bad())
        return false;
    OFCondition result = feed(stream, length);
    if (result == EJ_Suspension)
        result = feed(end_of_image, sizeof end_of_image);
    return result.good() && !decoder.has_warned;
}

} // namespace

extern "C" bool dcmtk_jpeg(const uint8_t *stream, size_t length, uint32_t precision, void *out, size_t size)
{
    if (precision <= 8)
        return decode<DJDecompressIJG8Bit>(stream, length, out, size);
    if (precision <= 12)
        return decode<DJDecompressIJG12Bit>(stream, length, out, size);
    return decode<DJDecompressIJG16Bit>(stream, length, out, size);
}
