#include "worker/decoder/png/pngout_sequences.h"

#include <string.h>

#include "worker/decoder/vectors.h"
#ifdef VECTORS_512
#include "worker/decoder/vectors_512.h"
#endif

#define TABLES 8u
#define STRETCH_BYTES 1024u
#define SHARE 8u
#define ESTIMATED_LITERALS (24u << 10)
#define SHORT_LITERALS \
    64u /* between repetitions: finding those to leave out takes as long as counting them */
#define ESTIMATED_VALUES 160u /* the codes of the other 96 take at most 96 / 2^13 of all */

void pngout_sequences_begin(struct pngout_sequences *s)
{
    memset(s->counts, 0, sizeof s->counts);
    memset(s->distance_counts, 0, sizeof s->distance_counts);
    s->is_estimate = false;
    s->literals = 0;
    s->extra_bits = 0;
    s->count = 0;
}

/* Several tables, since a byte that follows its like would wait for the counter; every second byte of a
 * 16-bit image does. */
static void count_all(uint32_t (*counts)[256], const uint8_t *in, size_t length)
{
    size_t i = 0;
    for (; i + TABLES <= length; i += TABLES)
        for (size_t k = 0; k < TABLES; k++)
            counts[k][in[i + k]]++;
    for (; i < length; i++)
        counts[0][in[i]]++;
}

/* Those whose entry in `wanted` is not 0; hardly any are. */
static void count_wanted(uint32_t *counts, const uint8_t *wanted, const uint8_t *in, size_t length)
{
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint8_t any = 0;
        for (size_t k = 0; k < 8; k++)
            any |= wanted[in[i + k]];
        for (size_t k = 0; k < 8 && any != 0; k++)
            counts[in[i + k]] += wanted[in[i + k]];
    }
    for (; i < length; i++)
        counts[in[i]] += wanted[in[i]];
}

#ifdef VECTORS_512
/* The same, 64 at a time. */
VECTORS_512 static void count_wanted_512(uint32_t *counts, const uint8_t *wanted, const uint8_t *in,
                                         size_t length)
{
    const struct vectors_512_table table = vectors_512_load(wanted);
    for (size_t i = 0; i < length; i += 64) {
        __mmask64 those = vectors_512_first(length - i);
        __m512i bytes = _mm512_maskz_loadu_epi8(those, in + i);
        __m512i found = vectors_512_look_up(&table, bytes);
        for (uint64_t left = _mm512_mask_test_epi8_mask(those, found, found); left != 0; left &= left - 1)
            counts[in[i + (size_t)__builtin_ctzll(left)]]++;
    }
}
#else
#define count_wanted_512 count_wanted
#endif

struct stretches {
    uint32_t (*counts)[256];
    const uint8_t *wanted; /* NULL: count all literals of every SHARE-th stretch; else those of the others */
    bool is_512;
};

static void count_some(const struct stretches *s, const uint8_t *in, size_t from, size_t to)
{
    while (from < to) {
        size_t stretch = from / STRETCH_BYTES, behind = (stretch + 1) * STRETCH_BYTES;
        if (behind > to)
            behind = to;
        bool is_sampled = stretch % SHARE == 0;
        if (s->wanted == NULL && is_sampled)
            count_all(s->counts, in + from, behind - from);
        else if (s->wanted != NULL && !is_sampled && s->is_512)
            count_wanted_512(s->counts[0], s->wanted, in + from, behind - from);
        else if (s->wanted != NULL && !is_sampled)
            count_wanted(s->counts[0], s->wanted, in + from, behind - from);
        from = behind;
    }
}

static void count_stretches(const struct stretches *stretches, const struct pngout_sequences *s,
                            const uint8_t *in, size_t begin)
{
    size_t at = begin;
    for (size_t i = 0; i < s->count; i++) {
        count_some(stretches, in, at, at + s->sequences[i].literals);
        at += s->sequences[i].literals + s->sequences[i].length;
    }
}

static void count_each(uint32_t (*counts)[256], const struct pngout_sequences *s, const uint8_t *in,
                       size_t begin)
{
    size_t at = begin;
    for (size_t i = 0; i < s->count; i++) {
        count_all(counts, in + at, s->sequences[i].literals);
        at += s->sequences[i].literals + s->sequences[i].length;
    }
}

/* Sum the tables up. Returns how many values there are. */
FOR_EACH_VECTOR_WIDTH static size_t sum_up(struct pngout_sequences *s, uint32_t (*counts)[256])
{
    size_t values = 0;
    for (size_t i = 0; i < 256; i++) {
        s->counts[i] = 0;
        for (size_t k = 0; k < TABLES; k++)
            s->counts[i] += counts[k][i];
        values += s->counts[i] > 0;
    }
    return values;
}

/* Of the values that some stretches do not have, those that others have: how many. */
static void count_the_rare(struct pngout_sequences *s, const uint8_t *in, size_t begin)
{
    uint32_t counts[1][256] = {{0}};
    uint8_t wanted[256];
    for (size_t i = 0; i < 256; i++)
        wanted[i] = s->counts[i] == 0;
    count_stretches(&(struct stretches){counts, wanted, vectors_are_512()}, s, in, begin);
    for (size_t i = 0; i < 256; i++)
        s->counts[i] += counts[0][i];
}

/* From some stretches where those say enough: where the literals are many. */
static void count_literals(struct pngout_sequences *s, const uint8_t *in, size_t begin, bool may_estimate)
{
    uint32_t counts[TABLES][256] = {{0}};
    s->is_estimate =
        may_estimate && s->literals >= ESTIMATED_LITERALS && s->literals >= s->count * SHORT_LITERALS;
    if (!s->is_estimate) {
        count_each(counts, s, in, begin);
        (void)sum_up(s, counts);
        return;
    }
    count_stretches(&(struct stretches){counts, NULL, false}, s, in, begin);
    bool has_most = sum_up(s, counts) >= ESTIMATED_VALUES;
    for (size_t i = 0; i < 256; i++)
        s->counts[i] *= SHARE;
    if (!has_most)
        count_the_rare(s, in, begin);
    for (size_t i = 0; i < 256 && has_most; i++)
        s->counts[i] += s->counts[i] == 0;
}

void pngout_sequences_end(struct pngout_sequences *s, const uint8_t *in, size_t begin, size_t rest,
                          bool may_estimate)
{
    s->sequences[s->count++] = (struct pngout_sequence){(uint32_t)rest, 0, 0};
    s->literals += rest;
    count_literals(s, in, begin, may_estimate);
    s->counts[PNGOUT_END] = 1;
}

/* log2(n) in units of 2^-16, within 0.0002: log2(1 + f) is nearly f + f (1 - f) (0.43807 - f (0.23669 - f
 * 0.08031)). In whole numbers, so that every machine makes the same choice. */
static uint64_t log2_fixed(uint32_t n)
{
    uint32_t whole = 31 - (uint32_t)__builtin_clz(n);
    uint64_t f = ((uint64_t)n << 16 >> whole) & 0xFFFF, bow = f * (0x10000 - f) >> 16;
    uint64_t slope = 28710 - (f * (15512 - (f * 5263 >> 16)) >> 16);
    return ((uint64_t)whole << 16) + f + (bow * slope >> 16);
}

/* Each of n symbols, c of them alike, takes log2(n / c) bits. */
FOR_EACH_VECTOR_WIDTH static double entropy_bits(const uint32_t *counts, size_t count, uint64_t *symbols)
{
    uint64_t bits = 0;
    *symbols = 0;
    for (size_t i = 0; i < count; i++) {
        *symbols += counts[i];
        bits -= counts[i] > 1 ? counts[i] * log2_fixed(counts[i]) : 0;
    }
    if (*symbols > 1)
        bits += *symbols * log2_fixed((uint32_t)*symbols);
    return (double)bits / 65536;
}

double pngout_sequences_size(const struct pngout_sequences *s)
{
    uint64_t symbols, distances;
    double bits = entropy_bits(s->counts, PNGOUT_SYMBOLS, &symbols);
    double distance_bits = entropy_bits(s->distance_counts, PNGOUT_DISTANCES, &distances);
    if (distance_bits < (double)distances) /* a code of one symbol has a bit, too */
        distance_bits = (double)distances;
    return (bits + distance_bits + (double)s->extra_bits) / 8;
}
