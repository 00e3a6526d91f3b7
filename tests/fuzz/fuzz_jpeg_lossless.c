/* Any bytes as a lossless JPEG, for our own decoder alone: what it takes and DCMTK finds whole as well must
 * be the same samples. The input is that of fuzz_codec.c; the stream says its geometry. */
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutators.h"
#include "tests/unit/dcmtk_jpeg.h"
#include "worker/decoder/codec/codec.h"
#include "worker/decoder/codec/jpeg_header.h"

#define PIXELS_MAX (1u << 17)
#define PIXELS_COMPARED (1u << 12) /* for speed: DCMTK takes longer */

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    return mutate_stream(data, size, most, seed);
}

static void compare(const uint8_t *stream, size_t length, const struct codec_samples *samples)
{
    size_t size = codec_samples_count(samples) * samples->bytes;
    uint8_t *theirs = xcalloc(size, 1);
    if (dcmtk_jpeg(stream, length, samples->precision, theirs, size) &&
        memcmp(theirs, samples->data, size) != 0)
        abort();
    free(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_ready;
    static struct codec_samples samples;
    struct jpeg_header header;
    struct error err;
    if (!is_ready)
        codec_init(); /* DCMTK is quiet */
    is_ready = true;
    if (size < STREAM_HEADER_BYTES)
        return 0;
    const uint8_t *stream = data + STREAM_HEADER_BYTES;
    size_t length = size - STREAM_HEADER_BYTES;
    if (!jpeg_header_read(stream, length, &header, &err) || header.is_ls ||
        !codec_jpeg_lossless_takes(&header))
        return 0;
    uint64_t pixels = (uint64_t)header.rows * header.columns;
    if (pixels > PIXELS_MAX || !codec_samples_reserve(&samples, header.rows, header.columns,
                                                      header.components, header.precision <= 8 ? 1 : 2, &err))
        return 0;
    samples.precision = header.precision;
    if (codec_jpeg_lossless(stream, length, &header, &samples) && pixels <= PIXELS_COMPARED)
        compare(stream, length, &samples);
    codec_samples_clear(&samples);
    return 0;
}
