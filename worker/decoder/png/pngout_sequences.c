#include "worker/decoder/png/pngout_sequences.h"

#include <string.h>

#include "worker/decoder/vectors.h"
#include "worker/decoder/vectors_512.h"

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

static void count_all(void *context, const uint8_t *in, size_t length)
{
    struct pngout_tables *tables = context;
    size_t i = 0;
    for (; i + PNGOUT_TABLES <= length; i += PNGOUT_TABLES)
        for (size_t k = 0; k < PNGOUT_TABLES; k++)
            tables->counts[k][in[i + k]]++;
    for (; i < length; i++)
        tables->counts[0][in[i]]++;
}

/* Values of which hardly any is met, and how often it was. */
struct rare {
    uint8_t is_rare[256]; /* 1, or 0 */
    uint32_t counts[256];
};

static void count_rare(void *context, const uint8_t *in, size_t length)
{
    struct rare *rare = context;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint8_t any = 0;
        for (size_t k = 0; k < 8; k++)
            any |= rare->is_rare[in[i + k]];
        for (size_t k = 0; k < 8 && any != 0; k++)
            rare->counts[in[i + k]] += rare->is_rare[in[i + k]];
    }
    for (; i < length; i++)
        rare->counts[in[i]] += rare->is_rare[in[i]];
}

#ifdef VECTORS_512
/* The same, 64 at a time. */
VECTORS_512 static void count_rare_512(void *context, const uint8_t *in, size_t length)
{
    struct rare *rare = context;
    const struct vectors_512_table is_rare = vectors_512_load(rare->is_rare);
    for (size_t i = 0; i < length; i += 64) {
        __mmask64 those = vectors_512_first(length - i);
        __m512i found = vectors_512_look_up(&is_rare, _mm512_maskz_loadu_epi8(those, in + i));
        for (uint64_t left = _mm512_mask_test_epi8_mask(those, found, found); left != 0; left &= left - 1)
            rare->counts[in[i + (size_t)__builtin_ctzll(left)]]++;
    }
}
#else
#define count_rare_512 count_rare
#endif

typedef void literals_fn(void *context, const uint8_t *in, size_t length);

/* Call `visit` for all literals in every SHARE-th stretch of the input, or for those in the others. */
static void visit_stretches(const struct pngout_sequences *s, const uint8_t *in, size_t begin, bool others,
                            literals_fn *visit, void *context)
{
    size_t from = begin;
    for (size_t i = 0; i < s->count; i++) {
        size_t to = from + s->sequences[i].literals;
        while (from < to) {
            size_t stretch = from / STRETCH_BYTES, behind = (stretch + 1) * STRETCH_BYTES;
            if (behind > to)
                behind = to;
            if ((stretch % SHARE != 0) == others)
                visit(context, in + from, behind - from);
            from = behind;
        }
        from += s->sequences[i].length;
    }
}

static void count_each(struct pngout_tables *tables, const struct pngout_sequences *s, const uint8_t *in,
                       size_t begin)
{
    size_t at = begin;
    for (size_t i = 0; i < s->count; i++) {
        count_all(tables, in + at, s->sequences[i].literals);
        at += s->sequences[i].literals + s->sequences[i].length;
    }
}

/* Sum the tables up. Returns how many values there are. */
FOR_EACH_VECTOR_WIDTH static size_t sum_up(struct pngout_sequences *s, const struct pngout_tables *tables)
{
    size_t values = 0;
    for (size_t i = 0; i < 256; i++) {
        s->counts[i] = 0;
        for (size_t k = 0; k < PNGOUT_TABLES; k++)
            s->counts[i] += tables->counts[k][i];
        values += s->counts[i] > 0;
    }
    return values;
}

/* From some stretches where those say enough: where the literals are many. Values that those do not have are
 * counted in the others, or count as there where they are few. */
static void count_literals(struct pngout_sequences *s, const uint8_t *in, size_t begin, bool may_estimate)
{
    struct pngout_tables tables = {0};
    s->is_estimate =
        may_estimate && s->literals >= ESTIMATED_LITERALS && s->literals >= s->count * SHORT_LITERALS;
    if (!s->is_estimate) {
        count_each(&tables, s, in, begin);
        (void)sum_up(s, &tables);
        return;
    }
    visit_stretches(s, in, begin, false, count_all, &tables);
    bool has_most = sum_up(s, &tables) >= ESTIMATED_VALUES;
    struct rare rare = {.counts = {0}};
    for (size_t i = 0; i < 256; i++) {
        rare.is_rare[i] = s->counts[i] == 0;
        rare.counts[i] = has_most && s->counts[i] == 0;
        s->counts[i] *= SHARE;
    }
    if (!has_most)
        visit_stretches(s, in, begin, true, vectors_are_512() ? count_rare_512 : count_rare, &rare);
    for (size_t i = 0; i < 256; i++)
        s->counts[i] += rare.counts[i];
}

static void add_rest(struct pngout_sequences *s, size_t rest)
{
    s->sequences[s->count++] = (struct pngout_sequence){(uint32_t)rest, 0, 0};
    s->literals += rest;
}

void pngout_sequences_end_counted(struct pngout_sequences *s, size_t rest, const struct pngout_tables *tables)
{
    add_rest(s, rest);
    (void)sum_up(s, tables);
    s->counts[PNGOUT_END] = 1;
}

void pngout_sequences_end(struct pngout_sequences *s, const uint8_t *in, size_t begin, size_t rest,
                          bool may_estimate)
{
    add_rest(s, rest);
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
