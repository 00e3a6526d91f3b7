/* codec_jpegls_bits.h: the coded data of a JPEG-LS scan as plain bits (ITU-T T.87 A.1, C.1).
 *
 * Behind a byte FF the writer stuffs a bit, which is 0, so that no coded data looks like a marker.
 * jpegls_unstuff() takes these bits out beforehand: a small part of the time of decoding, and whoever reads
 * afterwards needs to look neither for FF nor for the end. Behind the last bit lie JPEGLS_PADDING bytes of
 * zeros, and zeros are no code: a reader meets a code that never ends, looks where it is, and stops. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_CODEC_JPEGLS_BITS_H
#define NIFFLER_WORKER_DECODER_CODEC_CODEC_JPEGLS_BITS_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A code that begins before the end takes less than 64 bits beyond it, and is read with the seven bytes that
 * follow; the rest is for good measure. */
#define JPEGLS_PADDING 64u

/* What jpegls_bits_peek() gives at least: 64 bits less the seven of a byte begun. */
#define JPEGLS_PEEKED 57u

struct jpegls_bits {
    const uint8_t *bytes;
    uint64_t at;  /* bits read               */
    uint64_t end; /* bits there are, without the padding */
};

/* Copy the coded data that begin at stream[at], up to a marker or `length`, without stuffed bits. `out` has
 * room for length - at + JPEGLS_PADDING bytes. Returns where the marker stands, or `length`. */
size_t jpegls_unstuff(const uint8_t *stream, size_t at, size_t length, uint8_t *out,
                      struct jpegls_bits *bits);

/* Whether nothing but zeros is left, which is true of no bits at all. */
bool jpegls_bits_rest_is_zero(const struct jpegls_bits *bits, uint64_t at);

/* The bits from `at` on, the first one on top; at least JPEGLS_PEEKED of them are right. */
static inline uint64_t jpegls_bits_peek(const uint8_t *bytes, uint64_t at)
{
    uint64_t word;
    memcpy(&word, bytes + (at >> 3), sizeof word);
    return be64toh(word) << (at & 7);
}

#endif
