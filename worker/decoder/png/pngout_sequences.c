#include "worker/decoder/png/pngout_sequences.h"

#include <string.h>

#define TABLES 4u
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

/* Of literals `from` to `to`, those in every SHARE-th stretch of the input, or those in the others. */
static void count_some(uint32_t (*counts)[256], const uint8_t *in, size_t from, size_t to, bool others)
{
    while (from < to) {
        size_t stretch = from / STRETCH_BYTES, behind = (stretch + 1) * STRETCH_BYTES;
        if (behind > to)
            behind = to;
        if ((stretch % SHARE != 0) == others)
            count_all(counts, in + from, behind - from);
        from = behind;
    }
}

static void count_stretches(uint32_t (*counts)[256], const struct pngout_sequences *s, const uint8_t *in,
                            size_t begin, bool others)
{
    size_t at = begin;
    for (size_t i = 0; i < s->count; i++) {
        count_some(counts, in, at, at + s->sequences[i].literals, others);
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
static size_t sum_up(struct pngout_sequences *s, uint32_t (*counts)[256])
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

/* From some stretches where those say enough: where the literals are many and of nearly all values. */
static void count_literals(struct pngout_sequences *s, const uint8_t *in, size_t begin, bool may_estimate)
{
    uint32_t counts[TABLES][256] = {{0}};
    if (!may_estimate || s->literals < ESTIMATED_LITERALS || s->literals < s->count * SHORT_LITERALS) {
        count_each(counts, s, in, begin);
        (void)sum_up(s, counts);
        return;
    }
    count_stretches(counts, s, in, begin, false);
    s->is_estimate = sum_up(s, counts) >= ESTIMATED_VALUES;
    if (!s->is_estimate) {
        count_stretches(counts, s, in, begin, true);
        (void)sum_up(s, counts);
    }
    for (size_t i = 0; i < 256 && s->is_estimate; i++)
        s->counts[i] = s->counts[i] == 0 ? 1 : SHARE * s->counts[i];
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
static double entropy_bits(const uint32_t *counts, size_t count, uint64_t *symbols)
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
