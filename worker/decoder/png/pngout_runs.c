#include "worker/decoder/png/pngout_runs.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "worker/decoder/vectors.h"
#include "worker/decoder/vectors_512.h"

#define STEP (64 - PNGOUT_RUN_MIN + 1) /* from one look at 64 bytes to the next */

/* How far the byte before `from` goes on repeating itself. */
static size_t run_end(const uint8_t *in, size_t from, size_t end)
{
    size_t at = from;
    while (at + 8 <= end) {
        uint64_t changes = pngout_word(in + at) ^ pngout_word(in + at - 1);
        if (changes != 0)
            return at + (size_t)__builtin_ctzll(changes) / 8;
        at += 8;
    }
    while (at < end && in[at] == in[at - 1])
        at++;
    return at;
}

/* Bit k of `same`: byte k repeats its predecessor. The first of those that, with the seven behind them, do: a
 * bit each. */
static inline uint64_t begins_of_runs(uint64_t same)
{
    uint64_t two = same & same >> 1, four = two & two >> 2;
    return four & four >> 4;
}

#ifdef __SSE2__ /* which every x86-64 has */
static inline uint64_t repeats_16(const uint8_t *in)
{
    __m128i here = _mm_loadu_si128((const __m128i *)(const void *)in);
    __m128i before = _mm_loadu_si128((const __m128i *)(const void *)(in - 1));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(here, before));
}

/* From `at` on while there are 64 bytes to look at: where a run begins, or where those end. */
static size_t skip_64(const uint8_t *in, size_t at, size_t end)
{
    for (; at + 64 <= end; at += STEP) {
        uint64_t begins = begins_of_runs(repeats_16(in + at) | repeats_16(in + at + 16) << 16 |
                                         repeats_16(in + at + 32) << 32 | repeats_16(in + at + 48) << 48);
        if (begins != 0)
            return at + (size_t)__builtin_ctzll(begins);
    }
    return at;
}
#else
static size_t skip_64(const uint8_t *in, size_t at, size_t end)
{
    (void)in;
    (void)end;
    return at;
}
#endif

#ifdef VECTORS_512
VECTORS_512 static size_t skip_512(const uint8_t *in, size_t at, size_t end)
{
    for (; at + 64 <= end; at += STEP) {
        uint64_t begins = begins_of_runs(
            _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(in + at), _mm512_loadu_si512(in + at - 1)));
        if (begins != 0)
            return at + (size_t)__builtin_ctzll(begins);
    }
    return at;
}
#else
#define skip_512 skip_64
#endif

/* Where the next run may begin, from `at` on: there in[at] repeats its predecessor, and so do the next seven.
 * What is left at the end, too short to be looked at, counts as none: `end`. */
static size_t next_run(const uint8_t *in, size_t at, size_t end, bool is_512)
{
    at = is_512 ? skip_512(in, at, end) : skip_64(in, at, end);
    while (at + PNGOUT_RUN_MIN <= end) {
        uint64_t changes = pngout_word(in + at) ^ pngout_word(in + at - 1);
        if (changes == 0)
            return at;
        at += PNGOUT_RUN_MIN - (size_t)__builtin_clzll(changes) / 8; /* behind the last that changes */
    }
    return end;
}

void pngout_runs_find(struct pngout_sequences *sequences, const uint8_t *in, size_t begin, size_t end,
                      bool may_estimate)
{
    const bool is_512 = vectors_are_512();
    size_t literal = begin;
    pngout_sequences_begin(sequences);
    /* Nothing stands before the first byte. */
    for (size_t at = begin == 0 && end > 0 ? 1 : begin; (at = next_run(in, at, end, is_512)) < end;) {
        size_t behind = run_end(in, at + PNGOUT_RUN_MIN, end);
        pngout_sequences_add(sequences, at - literal, behind - at, 1);
        at = literal = behind;
    }
    pngout_sequences_end(sequences, in, begin, end - literal, may_estimate);
}
