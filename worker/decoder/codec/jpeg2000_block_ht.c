/* A code-block of HTJ2K, its cleanup pass (ITU-T T.814 Section 7).
 *
 * The pass has three streams: MagSgn from the front, bits of the samples; VLC from the back, which of a
 * quad's samples are not 0 and how long they are; MEL behind MagSgn, towards VLC, runs of quads that are 0.
 * All three have a bit stuffed here and there so that no marker can come about. MagSgn and VLC are copied
 * without these first: then every look at them is one load, at any bit. */
#include <endian.h>
#include <string.h>

#include "worker/decoder/codec/jpeg2000_block.h"
#include "worker/decoder/codec/jpeg2000_ht_codes.h"
#include "worker/decoder/vectors.h"

#define COLUMNS_MAX 1024u
#define SAMPLES_MAX 4096u
#define PLANES_MAX 28u   /* so that two samples are in any look at the bits */
#define SUFFIX_MAX 4079u /* bytes of MEL and VLC together */
#define QUADS_MAX (COLUMNS_MAX / 2 + 1)
#define ROW_BYTES_MAX(columns) \
    (((columns) + 1) * 2 * (PLANES_MAX + 1) / 8) /* of MagSgn, for a row of quads */
/* Of VLC, behind its end: two quads take 30 bits at most, and the narrowest block that ends in half a pair
 * has most pairs. */
#define VLC_BEYOND_MAX (SAMPLES_MAX / 5 * 30 / 8 + 8)
/* No block needs more of MagSgn; a stuffed bit in each other byte is more than there can be. */
#define MAGSGN_MAX (SAMPLES_MAX * (PLANES_MAX + 1) / 8 * 8 / 7 + 8)
#define LOOK 8u

/* Written before it is read. Release builds clear all else, which would take longer than many a block does.
 */
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define NOT_CLEARED __attribute__((uninitialized))
#endif
#endif
#ifndef NOT_CLEARED
#define NOT_CLEARED
#endif

struct scratch {
    uint8_t magsgn[MAGSGN_MAX + ROW_BYTES_MAX(COLUMNS_MAX) + 2 * LOOK];
    uint8_t vlc[SUFFIX_MAX + VLC_BEYOND_MAX + 2 * LOOK];
    uint16_t quads[QUADS_MAX + 1];     /* of the row at hand: their codes; one more, which is 0 */
    uint8_t residuals[QUADS_MAX + 1];  /* u, and in the first row 1 more                  */
    uint8_t north[QUADS_MAX + 2];      /* of the row above: which samples are significant, in bits 4 to 7 */
    uint32_t above[QUADS_MAX + 2];     /* the lower samples of the row above, as MagSgn has them: of
                                          quad i its left one, or'ed with the right one of quad i - 1  */
    int32_t spare[2][COLUMNS_MAX + 2]; /* rows of quads that reach beyond the block */
};

/* At least 57 bits from `at` on, the first one lowest. */
static inline uint64_t look(const uint8_t *bytes, size_t at)
{
    uint64_t word;
    memcpy(&word, bytes + (at >> 3), sizeof word);
    return le64toh(word) >> (at & 7);
}

/* ---- the streams without stuffed bits ---- */

/* Bits gathered from the lowest on. */
struct gathered {
    uint8_t *at;
    uint64_t bits; /* below bit `count`: less than a byte's */
    uint32_t count;
};

static inline void gather(struct gathered *to, uint64_t bits, uint32_t count)
{
    uint64_t word;
    to->bits |= bits << to->count;
    word = htole64(to->bits);
    memcpy(to->at, &word, sizeof word);
    to->count += count;
    to->at += to->count >> 3;
    to->bits = to->count > 63 ? 0 : to->bits >> (to->count & ~7u);
    to->count &= 7;
}

#define SEVEN_BYTES 0x00FFFFFFFFFFFFFFu
#define LOW_SEVEN_BITS 0x7F7F7F7F7F7F7F7Fu
#define EACH_BYTE 0x0101010101010101u

/* Whether any of the lowest seven bytes has its lowest seven bits set: none other makes for stuffing. */
static inline bool may_be_stuffed(uint64_t word)
{
    return (((word & LOW_SEVEN_BITS) + EACH_BYTE) & ~LOW_SEVEN_BITS & SEVEN_BYTES) != 0;
}

/* Behind FF the top bit of a byte is stuffed, with 0: OpenJPEG would add a 1 to what follows. */
static size_t unstuff_magsgn(const uint8_t *from, size_t length, uint32_t columns, uint8_t *out,
                             bool *is_wrong)
{
    struct gathered to = {out, 0, 0};
    uint32_t stuffed = 0;
    size_t i = 0;
    while (i < length) {
        uint64_t word;
        memcpy(&word, from + i, sizeof word);
        word = le64toh(word);
        if (i + 7 <= length && stuffed == 0 && !may_be_stuffed(word)) {
            gather(&to, word & SEVEN_BYTES, 56);
            i += 7;
            continue;
        }
        *is_wrong |= stuffed != 0 && from[i] > 0x7F;
        gather(&to, from[i] & (0xFFu >> stuffed), 8 - stuffed);
        stuffed = from[i++] == 0xFF;
    }
    /* What is missing at the end is ones. */
    size_t bits = (size_t)(to.at - out) * 8 + to.count;
    gather(&to, SEVEN_BYTES, 56);
    memset(to.at, 0xFF, ROW_BYTES_MAX(columns) + LOOK);
    return bits;
}

/* Backwards: a byte of seven ones has its top bit stuffed if the one before it, in this direction, is above
 * 8F. */
static void unstuff_vlc(const uint8_t *bytes, size_t length, size_t suffix, uint8_t *out, bool *is_wrong)
{
    struct gathered to = {out, 0, 0};
    const uint8_t *at = bytes + length - 2, *end = bytes + length - suffix;
    uint32_t first = *at >> 4;
    *is_wrong |= first == 15;
    gather(&to, first & ((first & 7) == 7 ? 7 : 15), (first & 7) == 7 ? 3 : 4);
    bool is_large = (*at | 0x0F) > 0x8F;
    while (at > end) {
        uint64_t word;
        memcpy(&word, at - 8, sizeof word);
        word = be64toh(word); /* the byte before `at` is the lowest now */
        if (at - end >= 7 && !may_be_stuffed(word)) {
            gather(&to, word & SEVEN_BYTES, 56);
            at -= 7;
        } else {
            at--;
            uint32_t stuffed = is_large && (*at & 0x7F) == 0x7F;
            *is_wrong |= stuffed != 0 && *at == 0xFF;
            gather(&to, *at & (0xFFu >> stuffed), 8 - stuffed);
        }
        is_large = *at > 0x8F;
    }
    gather(&to, 0, 56);
    memset(to.at, 0, VLC_BEYOND_MAX + LOOK);
}

/* ---- MEL ---- */

struct mel {
    const uint8_t *at, *end; /* of the last byte the lower half is VLC's: read as ones */
    uint64_t bits;           /* from the top */
    uint32_t count;
    bool is_stuffed; /* the next byte's top bit */
    bool is_wrong;
    uint32_t state;
    uint32_t zeros; /* events of 0 that are left, … */
    bool has_one;   /* … and whether one of 1 follows */
};

static void mel_fill(struct mel *mel)
{
    while (mel->count <= 56) {
        uint32_t byte = mel->at < mel->end ? *mel->at : 0xFF, count = 8 - mel->is_stuffed;
        if (mel->at < mel->end && ++mel->at == mel->end)
            byte |= 0x0F;
        mel->is_wrong |= mel->is_stuffed && byte > 0x8F && mel->at < mel->end;
        mel->bits |= (uint64_t)(byte & (0xFFu >> mel->is_stuffed)) << (64 - count - mel->count);
        mel->count += count;
        mel->is_stuffed = byte == 0xFF;
    }
}

static bool mel_event(struct mel *mel)
{
    static const uint8_t exponents[] = {0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5};
    if (mel->zeros == 0 && !mel->has_one) {
        uint32_t exponent = exponents[mel->state], used = 1;
        if (mel->count < 6)
            mel_fill(mel);
        if (mel->bits >> 63 != 0) {
            mel->zeros = 1u << exponent;
            mel->state += mel->state < 12;
        } else {
            used += exponent;
            mel->zeros = (uint32_t)(mel->bits >> (64 - used));
            mel->has_one = true;
            mel->state -= mel->state > 0;
        }
        mel->bits <<= used;
        mel->count -= used;
    }
    if (mel->zeros > 0) {
        mel->zeros--;
        return false;
    }
    mel->has_one = false;
    return true;
}

/* ---- a row of quads ---- */

struct block {
    const struct ht_codes *codes;
    struct scratch *scratch;
    struct mel mel;
    size_t vlc_at; /* bits read */
    size_t magsgn_at;
    size_t magsgn_bits;
    uint32_t quads; /* in a row */
    uint32_t exponent_max;
};

/* VLC and MEL: the quads' codes and residuals. `north` of the row above gives the contexts, and becomes that
 * of this one. */
static inline void read_quads(struct block *block, bool is_first)
{
    struct scratch *s = block->scratch;
    const uint16_t *quads = block->codes->quads[!is_first];
    uint32_t context = 0, north_west = 0;
    size_t at = block->vlc_at;
    for (uint32_t i = 0; i < block->quads; i += 2) {
        uint64_t bits = look(s->vlc, at);
        uint32_t code[2], used = 0;
        for (uint32_t side = 0; side < 2; side++) {
            if (!is_first) {
                uint32_t north = s->north[i + side], north_east = s->north[i + side + 1];
                context |= (north_west >> 3 | north >> 1) & 1;
                context |= (north >> 3 | north_east >> 1) << 2 & 4;
                north_west = north;
            }
            code[side] = 0;
            if (i + side < block->quads) {
                code[side] = quads[context << 7 | (bits & 0x7F)];
                if (context == 0 && !mel_event(&block->mel))
                    code[side] = 0;
            }
            bits >>= HT_LENGTH(code[side]);
            used += HT_LENGTH(code[side]);
            uint32_t here = HT_SIGNIFICANT(code[side]);
            s->quads[i + side] = (uint16_t)code[side];
            context = is_first ? ((here | here >> 1) & 1) | (here >> 1 & 6) : (here >> 1 | here >> 2) & 2;
        }
        uint32_t kind = HT_HAS_U(code[0]) | HT_HAS_U(code[1]) << 1;
        if (is_first && kind == HT_BOTH)
            kind += 1 + mel_event(&block->mel);
        uint32_t pair = block->codes->pairs[kind << 6 | (bits & 0x3F)];
        uint32_t left = HT_LEFT_BITS(pair), right = HT_RIGHT_BITS(pair);
        bits >>= HT_PREFIX_BITS(pair);
        s->residuals[i] = (uint8_t)(HT_LEFT_BASE(pair) + (bits & ((1u << left) - 1)) + is_first);
        bits >>= left;
        s->residuals[i + 1] = (uint8_t)(HT_RIGHT_BASE(pair) + (bits & ((1u << right) - 1)) + is_first);
        at += used + HT_PREFIX_BITS(pair) + left + right;
    }
    for (uint32_t i = 0; i < block->quads; i++)
        s->north[i] = (uint8_t)HT_SIGNIFICANT(s->quads[i]);
    block->vlc_at = at;
}

/* One sample of `count` bits in MagSgn, in two's complement: the sign is the lowest one, then come those of
 * the magnitude less 1, with `top` above them. *coded is the code itself, 0 for a sample that is 0. */
static inline int32_t sample_of(uint64_t bits, uint32_t count, uint32_t top, uint32_t significant,
                                uint32_t *coded)
{
    uint32_t code = (((uint32_t)bits & ((1u << count) - 1)) | top << count | 1) & (0 - significant);
    uint32_t magnitude = (code >> 1) + significant, sign = (0 - ((uint32_t)bits & significant));
    *coded = code;
    return (int32_t)((magnitude ^ sign) - sign);
}

/* MagSgn: the samples of a row of quads. False: an exponent that no encoder makes. */
static inline bool read_samples(struct block *block, bool is_first, int32_t *upper, int32_t *lower)
{
    struct scratch *s = block->scratch;
    size_t at = block->magsgn_at;
    uint32_t before = 0; /* of the quad on the left, its lower right sample */
    for (uint32_t i = 0; i < block->quads; i++) {
        uint32_t code = s->quads[i], here = HT_SIGNIFICANT(code), longest = s->residuals[i];
        uint32_t over = s->above[i] | s->above[i + 1], coded[4];
        if (!is_first) {
            uint32_t exponent = 31 - (uint32_t)__builtin_clz(over | 2); /* less 1 */
            longest += (here & (here - 1)) != 0 ? exponent : 1;
        }
        if (longest > block->exponent_max)
            return false;
        uint32_t count[4];
        for (uint32_t n = 0; n < 4; n++)
            count[n] = (longest - (HT_KNOWN(code) >> n & 1)) & (0 - (here >> n & 1));
        uint64_t bits = look(s->magsgn, at);
        upper[2 * i] = sample_of(bits, count[0], HT_TOP(code) & 1, here & 1, &coded[0]);
        lower[2 * i] = sample_of(bits >> count[0], count[1], HT_TOP(code) >> 1 & 1, here >> 1 & 1, &coded[1]);
        at += count[0] + count[1];
        bits = look(s->magsgn, at);
        upper[2 * i + 1] = sample_of(bits, count[2], HT_TOP(code) >> 2 & 1, here >> 2 & 1, &coded[2]);
        lower[2 * i + 1] = sample_of(bits >> count[2], count[3], HT_TOP(code) >> 3, here >> 3, &coded[3]);
        at += count[2] + count[3];
        s->above[i] = before | coded[1];
        before = coded[3];
    }
    s->above[block->quads] = before;
    /* Behind the end there are ones, and no more of them than a row can need. */
    block->magsgn_at = at < block->magsgn_bits ? at : block->magsgn_bits;
    return true;
}

/* Whether the row's quads hold samples beyond the block. */
static bool reaches_beyond(const struct block *block, bool is_odd_column, bool is_odd_row)
{
    const uint16_t *quads = block->scratch->quads;
    uint32_t found = is_odd_column ? HT_SIGNIFICANT(quads[block->quads - 1]) & 12u : 0;
    for (uint32_t i = 0; is_odd_row && i < block->quads; i++)
        found |= HT_SIGNIFICANT(quads[i]) & 10u;
    return found != 0;
}

FOR_EACH_SHIFT static bool decode(const struct jpeg2000_block *in, struct block *block, int32_t *out,
                                  size_t stride)
{
    struct scratch *s = block->scratch;
    for (uint32_t row = 0; row < in->rows; row += 2) {
        bool is_odd_row = row + 1 == in->rows, is_odd_column = in->columns % 2 != 0;
        int32_t *upper = out + row * stride, *lower = upper + stride;
        bool is_beyond = is_odd_row || is_odd_column;
        if (row == 0)
            read_quads(block, true);
        else
            read_quads(block, false);
        if (is_beyond) {
            upper = s->spare[0];
            lower = s->spare[1];
            if (reaches_beyond(block, is_odd_column, is_odd_row))
                return false;
        }
        if (!(row == 0 ? read_samples(block, true, upper, lower) : read_samples(block, false, upper, lower)))
            return false;
        if (!is_beyond)
            continue;
        memcpy(out + row * stride, upper, in->columns * sizeof *out);
        if (!is_odd_row)
            memcpy(out + (row + 1) * stride, lower, in->columns * sizeof *out);
    }
    return !block->mel.is_wrong;
}

bool jpeg2000_block_ht(const struct jpeg2000_block *in, int32_t *out, size_t stride)
{
    struct scratch scratch NOT_CLEARED;
    struct block block = {.codes = in->codes, .scratch = &scratch};
    size_t length = in->cleanup_length;
    if (in->passes != 1 || in->missing_planes + 1 != in->planes || in->planes > PLANES_MAX - 1 ||
        length < 2 || in->columns > COLUMNS_MAX || in->columns * in->rows > SAMPLES_MAX)
        return false;
    size_t suffix = (size_t)in->bytes[length - 1] << 4 | (in->bytes[length - 2] & 15);
    if (suffix < 2 || suffix > length || suffix > SUFFIX_MAX)
        return false;
    block.quads = (in->columns + 1) / 2;
    block.exponent_max = in->planes + 1;
    block.mel.at = in->bytes + length - suffix;
    block.mel.end = in->bytes + length - 1;
    size_t prefix = length - suffix < MAGSGN_MAX ? length - suffix : MAGSGN_MAX;
    block.magsgn_bits = unstuff_magsgn(in->bytes, prefix, in->columns, scratch.magsgn, &block.mel.is_wrong);
    unstuff_vlc(in->bytes, length, suffix, scratch.vlc, &block.mel.is_wrong);
    memset(scratch.north, 0, block.quads + 2);
    memset(scratch.above, 0, (block.quads + 1) * sizeof *scratch.above);
    return decode(in, &block, out, stride);
}
