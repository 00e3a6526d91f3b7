/* pngout_sequences.h: bytes as literals and repetitions, which deflate writes with a code of their
 * frequencies (RFC 1951 3.2.5). */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_SEQUENCES_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_SEQUENCES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* At most, of which one code is made: images change slowly. A quarter of a megabyte of rows of 512 or 1024
 * pixels, and the byte of each row's filter, fit in. */
#define PNGOUT_BLOCK_BYTES (257u << 10)
#define PNGOUT_SYMBOLS 286u /* literals, 256 the end, lengths */
#define PNGOUT_END 256u
#define PNGOUT_DISTANCES 30u
#define PNGOUT_LENGTH_MIN 3u
#define PNGOUT_LENGTH_MAX 258u
#define PNGOUT_DISTANCE_MAX 32768u

/* Literals as they stand in the input, then `length` bytes as they stood `distance` before; the last of a
 * block has length 0. A length beyond LENGTH_MAX is written in pieces. */
struct pngout_sequence {
    uint32_t literals;
    uint32_t length;
    uint32_t distance;
};

/* For BLOCK_BYTES, whatever they are. */
#define PNGOUT_SEQUENCES_MAX (PNGOUT_BLOCK_BYTES / PNGOUT_LENGTH_MIN + 2)

struct pngout_sequences {
    uint32_t counts[PNGOUT_SYMBOLS]; /* how often each symbol occurs; the end once */
    uint32_t distance_counts[PNGOUT_DISTANCES];
    bool is_estimate; /* of the literals; none of them counts as 0 */
    uint64_t literals;
    uint64_t extra_bits; /* behind the symbols of lengths and distances */
    size_t count;
    struct pngout_sequence sequences[PNGOUT_SEQUENCES_MAX];
};

/* How a length from LENGTH_MIN to LENGTH_MAX is written, or a distance from 1 to DISTANCE_MAX. */
struct pngout_coded {
    uint16_t symbol;
    uint16_t extra;
    uint32_t extra_bits;
};

/* Four symbols whose numbers take as many bits, and so on; of lengths the longest has a symbol of its own. */
static inline struct pngout_coded pngout_length(uint32_t length)
{
    uint32_t above = length - PNGOUT_LENGTH_MIN;
    if (length == PNGOUT_LENGTH_MAX)
        return (struct pngout_coded){285, 0, 0};
    if (above < 8)
        return (struct pngout_coded){(uint16_t)(257 + above), 0, 0};
    uint32_t bits = 29 - (uint32_t)__builtin_clz(above);
    return (struct pngout_coded){(uint16_t)(257 + 4 * bits + (above >> bits)),
                                 (uint16_t)(above & ((1u << bits) - 1)), bits};
}

/* The same with two symbols. */
static inline struct pngout_coded pngout_distance(uint32_t distance)
{
    uint32_t above = distance - 1;
    if (above < 4)
        return (struct pngout_coded){(uint16_t)above, 0, 0};
    uint32_t bits = 30 - (uint32_t)__builtin_clz(above);
    return (struct pngout_coded){(uint16_t)(2 * bits + (above >> bits)),
                                 (uint16_t)(above & ((1u << bits) - 1)), bits};
}

/* The next piece of a length that may exceed LENGTH_MAX. No rest is shorter than LENGTH_MIN. */
static inline uint32_t pngout_length_piece(uint32_t length)
{
    if (length <= PNGOUT_LENGTH_MAX)
        return length;
    return length - PNGOUT_LENGTH_MAX < PNGOUT_LENGTH_MIN ? PNGOUT_LENGTH_MAX - PNGOUT_LENGTH_MIN
                                                          : PNGOUT_LENGTH_MAX;
}

/* Eight bytes, the first lowest. */
static inline uint64_t pngout_word(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* ---- for those who look for repetitions: begin, add each, end ---- */

void pngout_sequences_begin(struct pngout_sequences *sequences);

static inline void pngout_sequences_add(struct pngout_sequences *s, size_t literals, size_t length,
                                        size_t distance)
{
    assert(length >= PNGOUT_LENGTH_MIN && distance >= 1 && distance <= PNGOUT_DISTANCE_MAX);
    struct pngout_coded far = pngout_distance((uint32_t)distance);
    s->sequences[s->count++] =
        (struct pngout_sequence){(uint32_t)literals, (uint32_t)length, (uint32_t)distance};
    s->literals += literals;
    for (uint32_t left = (uint32_t)length, piece; left > 0; left -= piece) {
        piece = pngout_length_piece(left);
        struct pngout_coded coded = pngout_length(piece);
        s->counts[coded.symbol]++;
        s->distance_counts[far.symbol]++;
        s->extra_bits += coded.extra_bits + far.extra_bits;
    }
}

/* How often each value occurs, as the sum of several tables: a byte that follows its like would wait for the
 * counter, and every second byte of a 16-bit image does. */
#define PNGOUT_TABLES 8u
struct pngout_tables {
    uint32_t counts[PNGOUT_TABLES][256];
};

/* `rest` literals behind the last repetition; all of them have been counted. */
void pngout_sequences_end_counted(struct pngout_sequences *sequences, size_t rest,
                                  const struct pngout_tables *tables);

/* The same for those that have not, which stand in what begins at in + begin. Where `may_estimate`, and they
 * are many, only an eighth of them is counted: counting all takes a fourth of a compressor's time, and the
 * code comes out the same but for chance. The rest is looked through for values that the eighth does not
 * have; where those are few, each counts as there. Not where literals are short: finding those to leave out
 * takes as long as counting them. */
void pngout_sequences_end(struct pngout_sequences *sequences, const uint8_t *in, size_t begin, size_t rest,
                          bool may_estimate);

/* What they come to, in bytes, without the header of a block: the entropy of the symbols. */
double pngout_sequences_size(const struct pngout_sequences *sequences);

#endif
