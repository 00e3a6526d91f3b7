#include "worker/decoder/png/pngout_matches.h"

#include <string.h>

#include "worker/decoder/vectors.h"

#define WORD_BYTES 8u
#define LONG_BYTES 12u
#define PATIENCE 4 /* so many bits of misses until the search goes faster */

void pngout_matches_begin(struct pngout_matches *matches)
{
    memset(matches->last, 0, sizeof matches->last);
    memset(matches->last_long, 0, sizeof matches->last_long);
}

static inline uint32_t hash(uint64_t word)
{
    return (uint32_t)(word * UINT64_C(0x9E3779B97F4A7C15) >> (64 - PNGOUT_MATCHES_HASH_BITS));
}

/* What stands for the `far` bytes that begin with `word`, 8 or 12 of them. Of 12 it is a mixture, which
 * others may have as well: whether they are the same, same_far() says. */
static inline uint64_t lengthen(uint64_t word, const uint8_t *in, size_t far)
{
    return far == WORD_BYTES ? word
                             : word ^ pngout_word(in + far - WORD_BYTES) * UINT64_C(0xD6E8FEB86659FD93);
}

static inline bool same_far(const uint8_t *a, const uint8_t *b, size_t far)
{
    return pngout_word(a) == pngout_word(b) &&
           pngout_word(a + far - WORD_BYTES) == pngout_word(b + far - WORD_BYTES);
}

/* The last place up to `at` whose lower 16 bits are those. */
static inline size_t before(size_t at, uint16_t place)
{
    return at - (uint16_t)(at - place);
}

/* How many bytes from `at` on are as those from `from` on. */
static inline size_t common_length(const uint8_t *in, size_t at, size_t from, size_t end)
{
    size_t length = 0;
    while (at + length + WORD_BYTES <= end) {
        uint64_t different = pngout_word(in + at + length) ^ pngout_word(in + from + length);
        if (different != 0)
            return length + (size_t)__builtin_ctzll(different) / 8;
        length += WORD_BYTES;
    }
    while (at + length < end && in[at + length] == in[from + length])
        length++;
    return length;
}

/* ---- literals, counted while their number is at hand ----
 *
 * Between two repetitions stand none, one or two pixels, which cannot be foretold: whoever came for them
 * later would be wrong about that once more. */

struct counter {
    struct pngout_tables *tables;
    size_t at; /* those up to here are counted, or are no literals */
};

static inline void count_pixel(struct counter *counter, const uint8_t *in, size_t step)
{
    for (size_t k = 0; k < step; k++)
        counter->tables->counts[k][in[counter->at + k]]++;
    counter->at += step;
}

/* What is skipped to come to a pixel: the byte of a filter, the rest of a pixel. The same steps for any
 * number. */
static inline void count_gap(struct counter *counter, const uint8_t *in, size_t to)
{
    assert(to - counter->at <= 4);
    for (size_t k = 0; k < 4; k++)
        counter->tables->counts[4 + k][in[counter->at + k]] += counter->at + k < to;
    counter->at = to;
}

static void count_up_to(struct counter *counter, const uint8_t *in, size_t to)
{
    for (; counter->at < to; counter->at++)
        counter->tables->counts[counter->at % PNGOUT_TABLES][in[counter->at]]++;
}

/* `near` bytes are looked up for every pixel, and before them the `far` bytes, if any, that begin with them:
 * a longer repetition further away is better than a shorter one. In colour of 8 bits neither that nor a look
 * at what stands before a repetition is worth its time. */
static inline void find(struct pngout_matches *matches, struct pngout_sequences *sequences,
                        const struct pngout_layout *layout, const uint8_t *in, size_t begin, size_t end,
                        size_t step, size_t near, size_t far)
{
    const uint64_t mask = (UINT64_C(1) << (8 * near)) - 1;
    size_t row_end = begin / layout->row_bytes * layout->row_bytes; /* of the row before, at first */
    size_t at = begin, literal = begin, misses = 0;
    struct pngout_tables tables = {0};
    struct counter counter = {&tables, begin};
    for (;;) {
        if (at >= row_end) { /* behind the byte of the filter */
            while (at >= row_end)
                row_end += layout->row_bytes;
            if (at < row_end - layout->row_bytes + 1)
                at++;
        }
        size_t off = (row_end - at) % step; /* whole pixels are left in a row */
        at += off;
        if (at + LONG_BYTES > end)
            break;
        count_gap(&counter, in, at);
        /* What the last one ended with may be what the next begins with. */
        if (literal > begin && at >= step) {
            uint64_t key = pngout_word(in + at - step);
            matches->last[hash(key & mask)] = (uint16_t)(at - step);
            if (far > 0)
                matches->last_long[hash(lengthen(key, in + at - step, far))] = (uint16_t)(at - step);
        }
        uint64_t word;
        size_t from;
        for (;;) {
            word = pngout_word(in + at);
            uint16_t *last = &matches->last[hash(word & mask)];
            size_t nearby = before(at, *last);
            *last = (uint16_t)at;
            if (far > 0) {
                uint16_t *last_long = &matches->last_long[hash(lengthen(word, in + at, far))];
                from = before(at, *last_long);
                *last_long = (uint16_t)at;
                if (same_far(in + from, in + at, far) && at - from - 1 < PNGOUT_DISTANCE_MAX)
                    break;
            }
            from = nearby;
            if (((pngout_word(in + from) ^ word) & mask) == 0 && at - from - 1 < PNGOUT_DISTANCE_MAX)
                break;
            count_pixel(&counter, in, step);
            at += step * (1 + (misses >> PATIENCE));
            if (misses++ >> PATIENCE > 0)
                count_up_to(&counter, in, at < end ? at : end);
            if (at >= row_end || at + LONG_BYTES > end)
                goto next;
        }
        misses = 0;
        size_t length = common_length(in, at, from, end);
        if (far > 0) { /* it may have begun inside a pixel */
            for (; at > literal && from > 0 && in[at - 1] == in[from - 1]; at--, from--, length++)
                tables.counts[0][in[at - 1]]--; /* the sum of the tables is right */
        }
        pngout_sequences_add(sequences, at - literal, length, at - from);
        at += length;
        literal = counter.at = at;
    next:;
    }
    count_up_to(&counter, in, end);
    pngout_sequences_end_counted(sequences, end - literal, &tables);
}

void pngout_matches_find(struct pngout_matches *matches, struct pngout_sequences *sequences,
                         const struct pngout_layout *layout, const uint8_t *in, size_t begin, size_t end)
{
    pngout_sequences_begin(sequences);
    switch (layout->step) {
    case 6:
        find(matches, sequences, layout, in, begin, end, 2, 6, 12);
        break;
    case 3:
        find(matches, sequences, layout, in, begin, end, 3, 6, 0);
        break;
    case 2:
        find(matches, sequences, layout, in, begin, end, 2, 4, 8);
        break;
    default:
        find(matches, sequences, layout, in, begin, end, 1, 4, 8);
    }
}
