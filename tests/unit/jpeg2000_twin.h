/* jpeg2000_twin.h: our decoder of JPEG 2000 against OpenJPEG, on the same codestream. */
#ifndef NIFFLER_TESTS_UNIT_JPEG2000_TWIN_H
#define NIFFLER_TESTS_UNIT_JPEG2000_TWIN_H

#include <stddef.h>
#include <stdint.h>

#include "worker/decoder/codec/codec.h"

enum twin {
    TWIN_DECLINED,  /* ours leaves the stream to OpenJPEG */
    TWIN_EQUAL,     /* both decode it, to the same samples, and say the same of them */
    TWIN_REFUSED,   /* ours decodes what OpenJPEG refuses */
    TWIN_DIFFERENT, /* the samples differ, or what is said of them */
};

/* `out` has what ours made of it, unless it declined. It is told to decode from a copy of exactly the
 * stream's size. */
enum twin jpeg2000_twin(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                        struct codec_samples *out);

#endif
