#include "worker/decoder/pngout_runs.h"

#include <math.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define EACH_BYTE UINT64_C(0x0101010101010101)
#define TOP_BITS UINT64_C(0x808080808080) /* of the lower six bytes */
#define TRIED_BYTES 6u                    /* of the places in a word, those with two more bytes behind */
#define STRETCH_BYTES 1024u
#define ESTIMATED_LITERALS (64u << 10)
#define ESTIMATED_VALUES 224u /* the codes of the other 32 take at most 32 / 2^13 of all */

static uint64_t load(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

#ifdef __SSE2__ /* which every x86-64 has */
/* Bit k: in[k] repeats its predecessor. */
static inline uint64_t repeats_16(const uint8_t *in)
{
    __m128i here = _mm_loadu_si128((const __m128i *)(const void *)in);
    __m128i before = _mm_loadu_si128((const __m128i *)(const void *)(in - 1));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(here, before));
}
#endif

struct pngout_length pngout_length(uint32_t length)
{
    /* Groups of four symbols whose lengths take a bit more each time; the longest has a symbol of its own. */
    if (length == PNGOUT_RUNS_LENGTH_MAX)
        return (struct pngout_length){285, 0, 0};
    uint32_t from_three = length - PNGOUT_RUNS_LENGTH_MIN;
    if (from_three < 8)
        return (struct pngout_length){(uint16_t)(257 + from_three), 0, 0};
    uint32_t bits = 29 - (uint32_t)__builtin_clz(from_three);
    uint32_t step = from_three >> bits; /* 4 to 7 */
    return (struct pngout_length){(uint16_t)(257 + 4 * bits + step), (uint8_t)bits,
                                  (uint8_t)(from_three & ((1u << bits) - 1))};
}

/* How far the byte before `from` goes on repeating itself. */
static size_t run_end(const uint8_t *in, size_t from, size_t end)
{
    size_t at = from;
    while (at + 8 <= end) {
        uint64_t changes = load(in + at) ^ load(in + at - 1);
        if (changes != 0)
            return at + (size_t)__builtin_ctzll(changes) / 8;
        at += 8;
    }
    while (at < end && in[at] == in[at - 1])
        at++;
    return at;
}

static void count_run(struct pngout_runs *runs, uint32_t run)
{
    while (run > 0) {
        uint32_t piece = pngout_run_piece(run);
        struct pngout_length length = pngout_length(piece);
        runs->counts[length.symbol]++;
        runs->extra_bits += length.extra_bits;
        runs->run_count++;
        run -= piece;
    }
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

/* Where the next run of at least three may begin, from `at` on: there in[at] repeats its predecessor, and so
 * do the next two. What is left at the end, too short to be looked at, counts as none: `end`. */
static size_t next_run(const uint8_t *in, size_t at, size_t end)
{
#ifdef __SSE2__
    for (; at + 64 <= end; at += 62) {
        uint64_t same = repeats_16(in + at) | repeats_16(in + at + 16) << 16 |
                        repeats_16(in + at + 32) << 32 | repeats_16(in + at + 48) << 48;
        uint64_t three = same & same >> 1 & same >> 2;
        if (three != 0)
            return at + (size_t)__builtin_ctzll(three);
    }
#endif
    for (; at + 8 <= end; at += TRIED_BYTES) {
        /* Byte k of `changes` is 0 where in[at + k] repeats its predecessor, of `three` where that and the
         * next two do. */
        uint64_t changes = load(in + at) ^ load(in + at - 1);
        uint64_t three = changes | changes >> 8 | changes >> 16;
        uint64_t zeros = (three - EACH_BYTE) & ~three & TOP_BITS;
        if (zeros != 0)
            return at + (size_t)__builtin_ctzll(zeros) / 8;
    }
    return end;
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
static void count_literals(struct pngout_runs *runs, const uint8_t *in, size_t begin, bool may_estimate)
{
    uint32_t counts[4][256] = {{0}};
    for (size_t half = 0; half < 2 && !runs->is_estimate; half++) {
        size_t at = begin, values = 0;
        for (size_t i = 0; i < runs->count; i++) {
            count_half(counts, in, at, at + runs->sequences[i].literals, half);
            at += runs->sequences[i].literals + runs->sequences[i].run;
        }
        for (size_t i = 0; i < 256; i++) {
            runs->counts[i] = counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i];
            values += runs->counts[i] > 0;
        }
        runs->is_estimate =
            half == 0 && may_estimate && runs->literals >= ESTIMATED_LITERALS && values >= ESTIMATED_VALUES;
    }
    for (size_t i = 0; i < 256 && runs->is_estimate; i++)
        runs->counts[i] = runs->counts[i] == 0 ? 1 : 2 * runs->counts[i];
}

void pngout_runs_find(struct pngout_runs *runs, const uint8_t *in, size_t begin, size_t end,
                      bool may_estimate)
{
    size_t literal = begin;
    memset(runs->counts, 0, sizeof runs->counts);
    runs->extra_bits = 0;
    runs->literals = 0;
    runs->is_estimate = false;
    runs->run_count = 0;
    runs->count = 0;
    /* Nothing stands before the first byte. */
    for (size_t at = begin == 0 && end > 0 ? 1 : begin; (at = next_run(in, at, end)) < end;) {
        size_t behind = run_end(in, at + PNGOUT_RUNS_LENGTH_MIN, end);
        count_run(runs, (uint32_t)(behind - at));
        runs->literals += at - literal;
        runs->sequences[runs->count++] =
            (struct pngout_sequence){(uint32_t)(at - literal), (uint32_t)(behind - at)};
        at = literal = behind;
    }
    runs->literals += end - literal;
    runs->sequences[runs->count++] = (struct pngout_sequence){(uint32_t)(end - literal), 0};
    count_literals(runs, in, begin, may_estimate);
    runs->counts[PNGOUT_RUNS_END] = 1;
}

double pngout_runs_size(const struct pngout_runs *runs)
{
    double bits = (double)runs->extra_bits + runs->run_count, symbols = 0;
    for (size_t i = 0; i < PNGOUT_RUNS_SYMBOLS; i++)
        symbols += runs->counts[i];
    for (size_t i = 0; i < PNGOUT_RUNS_SYMBOLS; i++)
        if (runs->counts[i] > 0)
            bits -= runs->counts[i] * log2(runs->counts[i] / symbols);
    return bits / 8;
}
