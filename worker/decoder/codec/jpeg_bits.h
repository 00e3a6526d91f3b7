/* jpeg_bits.h: the bits of a JPEG stream's entropy-coded segments (ITU-T T.81 B.1.1.5, F.2.2.5).
 *
 * The bytes that keep coded data from looking like markers are taken out first, a window at a time; whoever
 * decodes reads the window eight bytes at once and checks nothing. That is safe since no row takes more than
 * `reach` bytes, and as many zeros stand behind the last byte of a segment. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG_BITS_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG_BITS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/error.h"

#define JPEG_BITS_LOADED 56u /* bits that are there after jpeg_bits_load(), at least */

/* The bits next to be decoded, the most significant first, and where more come from. */
struct jpeg_bits {
    uint64_t bits;
    uint32_t count; /* how many of them are there: at most 63 */
    const uint8_t *at;
};

/* A segment that is being decoded. */
struct jpeg_coded {
    struct jpeg_bits bits;
    uint8_t *window;      /* owned                                              */
    size_t room;          /* bytes of it that are filled, besides `reach` zeros */
    size_t reach;         /* bytes that may be read between two fillings        */
    const uint8_t *end;   /* of the window's bytes                              */
    const uint8_t *next;  /* of the stream, behind those of the window          */
    const uint8_t *limit; /* of the stream                                      */
    bool has_ended;       /* `next` is at a marker, or at `limit`               */
};

/* Make a reader that decodes at most `symbols` symbols, of 31 bits at most each, between two fillings.
 * jpeg_coded_clear() frees. */
MUST_CHECK bool jpeg_coded_init(struct jpeg_coded *coded, size_t symbols, struct error *err);
void jpeg_coded_clear(struct jpeg_coded *coded);

/* Begin a segment at `bytes`, which are borrowed until it ends. */
void jpeg_coded_begin(struct jpeg_coded *coded, const uint8_t *bytes, size_t length);

/* Fill the window, so that the promised number of symbols can be decoded: called before each such number.
 * Returns false when more bits were decoded than the segment has. */
MUST_CHECK bool jpeg_coded_fill(struct jpeg_coded *coded);

/* Whether exactly the segment's bits were decoded, besides those that fill its last byte; *end is the place
 * of the marker behind it then. */
MUST_CHECK bool jpeg_coded_end(struct jpeg_coded *coded, const uint8_t **end);

/* See that JPEG_BITS_LOADED bits are there. */
static inline void jpeg_bits_load(struct jpeg_bits *bits)
{
    uint64_t word;
    memcpy(&word, bits->at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    /* What lies below the counted bits are the same bits of the stream already, or zeros. */
    bits->bits |= word >> bits->count;
    bits->at += (63 - bits->count) / 8;
    bits->count |= JPEG_BITS_LOADED;
}

/* Take `count` bits, at most 31, of those that are there. */
static inline uint32_t jpeg_bits_take(struct jpeg_bits *bits, uint32_t count)
{
    uint32_t taken = (uint32_t)(bits->bits >> 1 >> (63 - count));
    bits->bits <<= count;
    bits->count -= count;
    return taken;
}

#endif
