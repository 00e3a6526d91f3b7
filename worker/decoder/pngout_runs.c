#include "worker/decoder/pngout_runs.h"

#include <math.h>
#include <string.h>

#define EACH_BYTE UINT64_C(0x0101010101010101)
#define TOP_BITS UINT64_C(0x808080808080) /* of the lower six bytes */
#define TRIED_BYTES 6u                    /* of the places in a word, those with two more bytes behind */

static uint64_t load(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

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
static void count_literals(uint32_t (*counts)[256], const uint8_t *in, size_t length)
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

void pngout_runs_find(struct pngout_runs *runs, const uint8_t *in, size_t begin, size_t end)
{
    uint32_t literals[4][256] = {{0}};
    size_t at = begin, literal = begin;
    memset(runs->counts, 0, sizeof runs->counts);
    runs->extra_bits = 0;
    runs->run_count = 0;
    runs->count = 0;
    if (at == 0 && end > 0)
        at = 1; /* nothing stands before the first byte */
    while (at + 8 <= end) {
        /* Byte k of `changes` is 0 where in[at + k] repeats its predecessor, of `three` where that and the
         * next two do. */
        uint64_t changes = load(in + at) ^ load(in + at - 1);
        uint64_t three = changes | changes >> 8 | changes >> 16;
        uint64_t zeros = (three - EACH_BYTE) & ~three & TOP_BITS;
        if (zeros == 0) {
            at += TRIED_BYTES;
            continue;
        }
        at += (size_t)__builtin_ctzll(zeros) / 8;
        size_t behind = run_end(in, at + PNGOUT_RUNS_LENGTH_MIN, end);
        count_literals(literals, in + literal, at - literal);
        count_run(runs, (uint32_t)(behind - at));
        runs->sequences[runs->count++] =
            (struct pngout_sequence){(uint32_t)(at - literal), (uint32_t)(behind - at)};
        at = literal = behind;
    }
    count_literals(literals, in + literal, end - literal);
    runs->sequences[runs->count++] = (struct pngout_sequence){(uint32_t)(end - literal), 0};
    for (size_t i = 0; i < 256; i++)
        runs->counts[i] = literals[0][i] + literals[1][i] + literals[2][i] + literals[3][i];
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
