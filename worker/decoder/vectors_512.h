/* vectors_512.h: the instructions on 64 bytes at once, where VECTORS_512 is defined, and what functions of
 * such share. */
#ifndef NIFFLER_WORKER_DECODER_VECTORS_512_H
#define NIFFLER_WORKER_DECODER_VECTORS_512_H

#include "worker/decoder/vectors.h"

#ifdef VECTORS_512
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* The first `count` bytes of a vector, of any number. */
VECTORS_512 static inline __mmask64 vectors_512_first(size_t count)
{
    return count >= 64 ? ~UINT64_C(0) : ~(~UINT64_C(0) << count);
}

/* 256 bytes, in which 64 can be looked up at once. */
struct vectors_512_table {
    __m512i quarters[4];
};

VECTORS_512 static inline struct vectors_512_table vectors_512_load(const uint8_t *bytes)
{
    struct vectors_512_table table;
    for (int i = 0; i < 4; i++)
        table.quarters[i] = _mm512_loadu_si512(bytes + 64 * i);
    return table;
}

VECTORS_512 static inline __m512i vectors_512_look_up(const struct vectors_512_table *table, __m512i bytes)
{
    __m512i lower = _mm512_permutex2var_epi8(table->quarters[0], bytes, table->quarters[1]);
    __m512i upper = _mm512_permutex2var_epi8(table->quarters[2], bytes, table->quarters[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), lower, upper);
}
#endif

#endif
