/* pngout_bits.h: a stream of bits as deflate has it, the first bit lowest (RFC 1951 3.1.1). */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_BITS_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_BITS_H

#include <stdint.h>
#include <string.h>

#define PNGOUT_BITS_SLACK 16u /* bytes that a word written at once may reach beyond the end */

#define PNGOUT_BITS_MAX 56u /* that can be put behind a flush */

struct pngout_bits {
    uint8_t *at;
    uint64_t bits;  /* that are not yet written */
    uint32_t count; /* of them; at most 7 after a flush */
};

/* Room is the caller's to see to: PNGOUT_BITS_SLACK behind the last bit, and BITS_MAX after a flush. */
static inline void pngout_bits_put(struct pngout_bits *out, uint64_t bits, uint32_t count)
{
    out->bits |= bits << out->count;
    out->count += count;
}

static inline void pngout_bits_flush(struct pngout_bits *out)
{
    uint64_t word = out->bits;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    memcpy(out->at, &word, sizeof word);
    out->at += out->count / 8;
    out->bits >>= out->count & 56; /* at most 63 bits have been put */
    out->count &= 7;
}

/* Fill up the byte with zeros, and flush. */
static inline void pngout_bits_align(struct pngout_bits *out)
{
    out->count = (out->count + 7) & ~7u;
    pngout_bits_flush(out);
}
#endif
