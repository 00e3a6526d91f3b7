/* Any bytes as a compressed frame, and any geometry that a header may claim for it. Built once for each
 * family: CODEC_UNDER_TEST is a function of below. */
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutators.h"
#include "tests/unit/jpeg2000_twin.h"
#include "worker/decoder/codec/codec.h"
#include "worker/decoder/codec/jpeg2000_header.h"

#define PIXELS_MAX (1u << 17) /* image.c lets no frame of more than MaxPixels reach a codec */

typedef bool decode_fn(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                       struct codec_samples *out, struct error *err);

decode_fn fuzz_rle, fuzz_jpegls, fuzz_jpeg, fuzz_jpeg2000, fuzz_jpegxl;

bool fuzz_rle(const uint8_t *stream, size_t length, const struct codec_frame *frame,
              struct codec_samples *out, struct error *err)
{
    return codec_rle(stream, length, frame, out, err);
}

bool fuzz_jpegls(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                 struct codec_samples *out, struct error *err)
{
    return codec_jpegls(stream, length, frame, out, err);
}

/* Of 8 bits by libjpeg-turbo, the others by DCMTK, and lossless ones where our own declines them. */
bool fuzz_jpeg(const uint8_t *stream, size_t length, const struct codec_frame *frame,
               struct codec_samples *out, struct error *err)
{
    return codec_dcmtk(stream, length, "1.2.840.10008.1.2.4.57", frame, out, err);
}

/* What our own decoder takes, OpenJPEG must decode to the same; what it declines is OpenJPEG's. */
bool fuzz_jpeg2000(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                   struct codec_samples *out, struct error *err)
{
    uint8_t *copy = xmalloc(length);
    memcpy(copy, stream, length);
    (void)jpeg2000_header_mend(copy, length, frame->rows, frame->columns);
    const enum twin twin = jpeg2000_twin(copy, length, frame, out);
    if (twin == TWIN_REFUSED || twin == TWIN_DIFFERENT)
        abort();
    bool ok = twin == TWIN_EQUAL || codec_jpeg2000_openjpeg(copy, length, frame, out, err);
    free(copy);
    return ok;
}

bool fuzz_jpegxl(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                 struct codec_samples *out, struct error *err)
{
    return codec_jpegxl(stream, length, frame, out, err);
}

/* What image_module_read() lets through. */
static bool read_frame(const uint8_t *data, struct codec_frame *frame)
{
    *frame = (struct codec_frame){.rows = (uint32_t)data[0] | (uint32_t)data[1] << 8,
                                  .columns = (uint32_t)data[2] | (uint32_t)data[3] << 8,
                                  .samples = data[4],
                                  .bits_allocated = data[5],
                                  .bits_stored = data[6],
                                  .is_signed = (data[7] & 1) != 0,
                                  .allow_truncated = (data[7] & 2) != 0};
    return frame->rows > 0 && frame->columns > 0 && (uint64_t)frame->rows * frame->columns <= PIXELS_MAX &&
           (frame->samples == 1 || frame->samples == 3) && frame->bits_allocated >= 1 &&
           frame->bits_allocated <= 32 && frame->bits_stored >= 1 &&
           frame->bits_stored <= frame->bits_allocated;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    return mutate_stream(data, size, most, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_ready;
    static struct codec_samples samples;
    struct codec_frame frame;
    struct error err = {0};
    if (!is_ready)
        codec_init();
    is_ready = true;
    if (size < STREAM_HEADER_BYTES || !read_frame(data, &frame))
        return 0;
    const uint8_t *stream = data + STREAM_HEADER_BYTES;
    if (CODEC_UNDER_TEST(stream, size - STREAM_HEADER_BYTES, &frame, &samples, &err)) {
        size_t count = codec_samples_count(&samples);
        uint64_t sum = 0;
        if (samples.bytes > 4 || samples.precision > 8 * samples.bytes || samples.precision < 1)
            abort(); /* what follows counts on it */
        for (size_t i = 0; i < count; i++)
            sum += (uint64_t)codec_sample(&samples, i);
        fuzz_use(sum);
    }
    codec_samples_clear(&samples); /* so that a sanitizer sees the first byte beyond the next one's */
    return 0;
}
