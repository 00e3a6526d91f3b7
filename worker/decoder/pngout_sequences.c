#include "worker/decoder/pngout_sequences.h"

#include <math.h>
#include <string.h>

#define STRETCH_BYTES 1024u
#define ESTIMATED_LITERALS (64u << 10)
#define ESTIMATED_VALUES 224u /* the codes of the other 32 take at most 32 / 2^13 of all */

void pngout_sequences_begin(struct pngout_sequences *s)
{
    memset(s->counts, 0, sizeof s->counts);
    memset(s->distance_counts, 0, sizeof s->distance_counts);
    s->is_estimate = false;
    s->literals = 0;
    s->extra_bits = 0;
    s->count = 0;
}

/* Four tables, since a byte that follows its like would wait for the counter. */
static void count_all(uint32_t (*counts)[256], const uint8_t *in, size_t length)
{
    size_t i = 0;
    for (; i + 4 <= length; i += 4) {
        counts[0][in[i]]++;
        counts[1][in[i + 1]]++;
        counts[2][in[i + 2]]++;
        counts[3][in[i + 3]]++;
    }
    for (; i < length; i++)
        counts[0][in[i]]++;
}

/* Of literals `from` to `to`, those in every second stretch of the input, the even ones or the odd ones. */
static void count_half(uint32_t (*counts)[256], const uint8_t *in, size_t from, size_t to, size_t odd)
{
    while (from < to) {
        size_t stretch = from / STRETCH_BYTES, behind = (stretch + 1) * STRETCH_BYTES;
        if (behind > to)
            behind = to;
        if (stretch % 2 == odd)
            count_all(counts, in + from, behind - from);
        from = behind;
    }
}

/* From every second stretch where that says enough: where the literals are many and of nearly all values. */
static void count_literals(struct pngout_sequences *s, const uint8_t *in, size_t begin, bool may_estimate)
{
    uint32_t counts[4][256] = {{0}};
    for (size_t half = 0; half < 2 && !s->is_estimate; half++) {
        size_t at = begin, values = 0;
        for (size_t i = 0; i < s->count; i++) {
            count_half(counts, in, at, at + s->sequences[i].literals, half);
            at += s->sequences[i].literals + s->sequences[i].length;
        }
        for (size_t i = 0; i < 256; i++) {
            s->counts[i] = counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i];
            values += s->counts[i] > 0;
        }
        s->is_estimate =
            half == 0 && may_estimate && s->literals >= ESTIMATED_LITERALS && values >= ESTIMATED_VALUES;
    }
    for (size_t i = 0; i < 256 && s->is_estimate; i++)
        s->counts[i] = s->counts[i] == 0 ? 1 : 2 * s->counts[i];
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
