#include "worker/decoder/png/pngout_wide.h"

#include <assert.h>

#include "worker/decoder/vectors.h"
#include "worker/decoder/vectors_512.h"

#ifdef VECTORS_512

#define SECOND_BYTES UINT64_C(0xAAAAAAAAAAAAAAAA) /* of each 16 bits, */
#define SECOND_WORDS UINT32_C(0xAAAAAAAA)         /* of each 32,      */
#define SECOND_DWORDS 0xAAAAu                     /* of each 64       */

/* The codes of 64 literals, of each eight in 128 bits, and how many those are: at most 120. */
struct eights {
    __m512i low;
    __m512i high;
    __m512i bits;
};

/* Where the words of eights go, in bytes; in the first byte with the bits of those before. */
struct words {
    _Alignas(64) uint64_t at[8];
    uint64_t pairs[2][4][2]; /* the lower and the upper word of the first, third and so on; of the others */
};

/* Behind what has been placed. Of the lanes the last one counts. */
struct end {
    __m512i bits; /* from the beginning, in all lanes */
    __m512i at;   /* of the last words, which are these without the bits before */
    __m512i low;
    __m512i high;
};

/* Neighbours by twos: 15 bits each in 16, 30 in 32, 60 in 64, 120 in 128. The second one is shifted by the
 * length of the first, and what leaves its lane goes on in the next. */
VECTORS_512 static inline struct eights join(__m512i low, __m512i high, __m512i lengths)
{
    __m512i first = _mm512_mask_blend_epi8(SECOND_BYTES, low, _mm512_slli_epi16(high, 8));
    __m512i second = _mm512_mask_blend_epi8(SECOND_BYTES, _mm512_srli_epi16(low, 8), high);
    __m512i bits = _mm512_and_si512(lengths, _mm512_set1_epi16(0xFF));
    __m512i lower = _mm512_or_si512(first, _mm512_sllv_epi16(second, bits));
    __m512i upper = _mm512_srlv_epi16(second, _mm512_sub_epi16(_mm512_set1_epi16(16), bits));
    first = _mm512_mask_blend_epi16(SECOND_WORDS, lower, _mm512_slli_epi32(upper, 16));
    second = _mm512_mask_blend_epi16(SECOND_WORDS, _mm512_srli_epi32(lower, 16), upper);

    __m512i of_two = _mm512_maddubs_epi16(lengths, _mm512_set1_epi8(1));
    bits = _mm512_and_si512(of_two, _mm512_set1_epi32(0xFFFF));
    lower = _mm512_or_si512(first, _mm512_sllv_epi32(second, bits));
    upper = _mm512_srlv_epi32(second, _mm512_sub_epi32(_mm512_set1_epi32(32), bits));
    first = _mm512_mask_blend_epi32(SECOND_DWORDS, lower, _mm512_slli_epi64(upper, 32));
    second = _mm512_mask_blend_epi32(SECOND_DWORDS, _mm512_srli_epi64(lower, 32), upper);

    __m512i of_four = _mm512_madd_epi16(of_two, _mm512_set1_epi16(1));
    bits = _mm512_and_si512(of_four, _mm512_set1_epi64(0xFFFFFFFF));
    return (struct eights){
        .low = _mm512_or_si512(first, _mm512_sllv_epi64(second, bits)),
        .high = _mm512_srlv_epi64(second, _mm512_sub_epi64(_mm512_set1_epi64(64), bits)),
        .bits = _mm512_add_epi64(bits, _mm512_srli_epi64(of_four, 32)),
    };
}

/* The sum of each lane and all before it. */
VECTORS_512 static inline __m512i sums(__m512i lanes)
{
    const __m512i zero = _mm512_setzero_si512();
    lanes = _mm512_add_epi64(lanes, _mm512_alignr_epi64(lanes, zero, 7));
    lanes = _mm512_add_epi64(lanes, _mm512_alignr_epi64(lanes, zero, 6));
    return _mm512_add_epi64(lanes, _mm512_alignr_epi64(lanes, zero, 4));
}

VECTORS_512 static inline __m512i one_before(__m512i lanes, __m512i last)
{
    return _mm512_alignr_epi64(lanes, last, 7);
}

/* No word waits for the one before: each goes to where the sum of the lengths says, and eight codes are eight
 * bits at least, so that they reach into the first byte of the next and no further. Shifts by more than 63,
 * or by less than 0, give 0. */
VECTORS_512 static inline void place(struct words *words, struct end *end, const struct eights *eights)
{
    const __m512i seven = _mm512_set1_epi64(7), word_bits = _mm512_set1_epi64(64);
    const struct end last = *end;
    __m512i behind = _mm512_add_epi64(end->bits, sums(eights->bits));
    __m512i begin = _mm512_sub_epi64(behind, eights->bits), off = _mm512_and_si512(begin, seven);
    end->bits = _mm512_permutexvar_epi64(seven, behind);
    end->at = _mm512_srli_epi64(begin, 3);
    end->low = _mm512_sllv_epi64(eights->low, off);
    end->high = _mm512_or_si512(_mm512_sllv_epi64(eights->high, off),
                                _mm512_srlv_epi64(eights->low, _mm512_sub_epi64(word_bits, off)));
    __m512i done = _mm512_slli_epi64(_mm512_sub_epi64(end->at, one_before(end->at, last.at)), 3);
    __m512i before = _mm512_or_si512(
        _mm512_srlv_epi64(one_before(end->low, last.low), done),
        _mm512_srlv_epi64(one_before(end->high, last.high), _mm512_sub_epi64(done, word_bits)));
    _mm512_store_si512(words->at, end->at);
    __m512i lower = _mm512_or_si512(end->low, before);
    _mm512_store_si512(words->pairs[0], _mm512_unpacklo_epi64(lower, end->high));
    _mm512_store_si512(words->pairs[1], _mm512_unpackhi_epi64(lower, end->high));
}

/* Each overwrites what the one before has written behind its bits. */
static inline void store_one(uint8_t *out, const struct words *words, size_t i)
{
    memcpy(out + words->at[i], words->pairs[i % 2][i / 2], sizeof words->pairs[0][0]);
}

static inline void store_all(uint8_t *out, const struct words *words)
{
    for (size_t i = 0; i < 8; i += 4) { /* four at a time, where the compiler does not see to it */
        store_one(out, words, i);
        store_one(out, words, i + 1);
        store_one(out, words, i + 2);
        store_one(out, words, i + 3);
    }
}

VECTORS_512 void pngout_wide_write(struct pngout_bits *out, const struct pngout_wide *wide, const uint8_t *in,
                                   size_t length)
{
    const struct vectors_512_table low = vectors_512_load(wide->low), high = vectors_512_load(wide->high),
                                   lengths = vectors_512_load(wide->lengths);
    struct words words[2] = {{.at = {0}}, {.at = {0}}};
    struct end end = {.bits = _mm512_set1_epi64(out->count), .low = _mm512_set1_epi64((long long)out->bits)};
    size_t turn = 0;
    assert(length > 0);
    /* What was placed is stored while the next is joined. */
    for (; length >= 64; in += 64, length -= 64, turn ^= 1) {
        __m512i bytes = _mm512_loadu_si512(in);
        struct eights eights = join(vectors_512_look_up(&low, bytes), vectors_512_look_up(&high, bytes),
                                    vectors_512_look_up(&lengths, bytes));
        place(&words[turn], &end, &eights);
        store_all(out->at, &words[turn ^ 1]);
    }
    if (length > 0) {
        __mmask64 those = vectors_512_first(length);
        __m512i bytes = _mm512_maskz_loadu_epi8(those, in);
        struct eights eights = join(_mm512_maskz_mov_epi8(those, vectors_512_look_up(&low, bytes)),
                                    _mm512_maskz_mov_epi8(those, vectors_512_look_up(&high, bytes)),
                                    _mm512_maskz_mov_epi8(those, vectors_512_look_up(&lengths, bytes)));
        place(&words[turn], &end, &eights);
        store_all(out->at, &words[turn ^ 1]);
        for (size_t i = 0; 8 * i < length; i++) /* what has no bits has no place */
            store_one(out->at, &words[turn], i);
    } else {
        store_all(out->at, &words[turn ^ 1]);
    }
    uint64_t bits = (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(end.bits));
    out->at += bits / 8;
    out->bits = *out->at;
    out->count = (uint32_t)(bits % 8);
}

#else

void pngout_wide_write(struct pngout_bits *out, const struct pngout_wide *wide, const uint8_t *in,
                       size_t length)
{
    (void)out;
    (void)wide;
    (void)in;
    (void)length;
    assert(!"not on this processor");
}

#endif

void pngout_wide_make(struct pngout_wide *wide, const struct pngout_code *codes)
{
    for (size_t i = 0; i < 256; i++) {
        assert(codes[i].length <= PNGOUT_WIDE_CODE_BITS_MAX);
        wide->low[i] = (uint8_t)codes[i].bits;
        wide->high[i] = (uint8_t)(codes[i].bits >> 8);
        wide->lengths[i] = (uint8_t)codes[i].length;
    }
}
