#include "worker/decoder/png/pngout_sequences.h"

#include <math.h>
#include <string.h>

#define TABLES 8u
#define STRETCH_BYTES 1024u
#define SHARE 4u
#define ESTIMATED_LITERALS (24u << 10)
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

/* Of literals `from` to `to`, those in every fourth stretch of the input, or those in the others. */
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
    if (!may_estimate || s->literals < ESTIMATED_LITERALS) {
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

static double entropy_bits(const uint32_t *counts, size_t count, double *symbols)
{
    double bits = 0;
    *symbols = 0;
    for (size_t i = 0; i < count; i++)
        *symbols += counts[i];
    for (size_t i = 0; i < count; i++)
        if (counts[i] > 0)
            bits -= counts[i] * log2(counts[i] / *symbols);
    return bits;
}

double pngout_sequences_size(const struct pngout_sequences *s)
{
    double symbols, distances;
    double bits = entropy_bits(s->counts, PNGOUT_SYMBOLS, &symbols);
    double distance_bits = entropy_bits(s->distance_counts, PNGOUT_DISTANCES, &distances);
    if (distance_bits < distances) /* a code of one symbol has a bit, too */
        distance_bits = distances;
    return (bits + distance_bits + (double)s->extra_bits) / 8;
}
