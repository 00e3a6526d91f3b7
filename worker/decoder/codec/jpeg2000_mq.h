/* jpeg2000_mq.h: the MQ decoder (ISO/IEC 15444-1 Annex C), inline, since it is called for each bit.
 *
 * The registers of the standard, A and C, are kept with A's highest bit at bit 62, so that C holds 47 bits
 * that are read ahead. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG2000_MQ_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG2000_MQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MQ_TOP ((int64_t)1 << 62) /* A's highest bit, once it is normalised */
#define MQ_AHEAD 47u              /* bits below the 16 that decide */
#define MQ_AT_ONCE 5u             /* bytes */
#define MQ_STATES (2 * 47)

struct mq_decoder {
    int64_t a;
    int64_t c;
    int32_t ahead;   /* bits of C that are read ahead */
    bool is_beyond;  /* C has outgrown A, which no encoder brings about */
    bool is_stuffed; /* the last byte read was 0xFF */
    const uint8_t *at;
};

/* A context's state: the probability Qe in the bits from 47 on, in the lowest byte the more probable symbol,
 * then the states' numbers after it and after the less probable one (twice that of table C.2, and the more
 * probable symbol). */
extern const uint64_t mq_states[MQ_STATES];

/* The state of a number of table C.2, 0 being the more probable symbol. */
static inline uint64_t mq_state(uint32_t number)
{
    return mq_states[2 * number];
}

/* Begin a segment, which is followed by at least 16 bytes 0xFF. */
void mq_init(struct mq_decoder *mq, const uint8_t *bytes);

/* Read ahead by single bytes; there is nothing left of what was. For what is rare: bytes 0xFF. */
void mq_fill_slowly(struct mq_decoder *mq);

/* Read ahead when nothing is left of that. */
static inline __attribute__((always_inline)) void mq_fill(struct mq_decoder *mq)
{
    uint64_t bytes;
    __builtin_memcpy(&bytes, mq->at, sizeof bytes);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    bytes = __builtin_bswap64(bytes);
#endif
    bytes >>= 64 - 8 * MQ_AT_ONCE;
    /* Bytes 0xFF carry into their highest bit when 1 is added to the seven below, and have it set. */
    const uint64_t sevens = 0x7F7F7F7F7F;
    if (__builtin_expect((((bytes & sevens) + 0x0101010101) & bytes & ~sevens) == 0 && !mq->is_stuffed, 1)) {
        mq->c = (int64_t)((uint64_t)mq->c + (bytes << (MQ_AHEAD - 8 * MQ_AT_ONCE)));
        mq->ahead = 8 * MQ_AT_ONCE;
        mq->at += MQ_AT_ONCE;
    } else {
        struct mq_decoder copy = *mq; /* so that the registers stay such */
        mq_fill_slowly(&copy);
        *mq = copy;
    }
}

/* Shift A and C until A's highest bit is at its place, and go on with them. */
static inline __attribute__((always_inline)) void mq_normalize(struct mq_decoder *mq, int64_t a, int64_t c)
{
    int32_t shift = __builtin_clzll((uint64_t)a) - 1;
    a = (int64_t)((uint64_t)a << shift);
    while (__builtin_expect(shift > mq->ahead, 0)) {
        shift -= mq->ahead;
        mq->c = (int64_t)((uint64_t)c << mq->ahead);
        mq->ahead = 0;
        mq_fill(mq);
        c = mq->c;
        mq->is_beyond |= c >= a >> shift;
    }
    mq->ahead -= shift;
    mq->a = a;
    mq->c = (int64_t)((uint64_t)c << shift);
}

/* The next decision in a context. This one is fast where the more probable symbol is much more so. */
static inline __attribute__((always_inline)) uint32_t mq_decode(struct mq_decoder *mq, uint64_t *context)
{
    const uint64_t state = *context;
    const int64_t qe = (int64_t)(state >> MQ_AHEAD << MQ_AHEAD);
    const int64_t a = mq->a - qe, c = mq->c - qe;
    if (__builtin_expect(((a - MQ_TOP) | c) >= 0, 1)) {
        mq->a = a;
        mq->c = c;
        return state & 1;
    }
    const bool is_lower = c < 0;
    const bool is_less_probable = is_lower != (a < qe);
    *context = mq_states[state >> (is_less_probable ? 16 : 8) & 0xFF];
    mq_normalize(mq, is_lower ? qe : a, is_lower ? c + qe : c);
    return (state & 1) ^ is_less_probable;
}

/* The same without a branch that depends on the decision: fast where nobody can foresee it. */
static inline __attribute__((always_inline)) uint32_t mq_decode_even(struct mq_decoder *mq, uint64_t *context)
{
    const uint64_t state = *context;
    const uint64_t more = mq_states[state >> 8 & 0xFF], less = mq_states[state >> 16 & 0xFF];
    const int64_t qe = (int64_t)(state >> MQ_AHEAD << MQ_AHEAD);
    const int64_t a = mq->a - qe, c = mq->c - qe;
    const int64_t is_lower = c >> 63, is_small = (a - MQ_TOP) >> 63; /* 0 or all ones */
    const int64_t is_less_probable = is_lower ^ (a - qe) >> 63;
    const uint64_t next = state ^ ((state ^ more) & (uint64_t)is_small);
    *context = next ^ ((next ^ less) & (uint64_t)is_less_probable);
    mq_normalize(mq, a + ((qe - a) & is_lower), c + (qe & is_lower));
    return (uint32_t)(state ^ (uint64_t)is_less_probable) & 1;
}

#endif
