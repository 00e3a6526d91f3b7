/* Code-blocks by the MQ coder (ISO/IEC 15444-1 Annexes C and D), of the plain style: one segment, no bypass,
 * contexts kept from pass to pass.
 *
 * Which samples a pass codes is hard to foresee, so nothing asks it of each one: a map has a bit for each
 * sample, in the order in which they are coded, so that a few operations find those of sixteen columns, and
 * the loops go from one to the next. What a sample's context depends on stands in a word for its column. */
#include "worker/decoder/codec/jpeg2000_block.h"

#include <string.h>

#include "worker/decoder/codec/jpeg2000_mq.h"
#include "worker/decoder/vectors.h"

/* ---- a column's word ----------------------------------------------------------------------------------
 *
 * Of four rows of a column and of what is around them: of row r at shift 3r what is said here of row 0. */
#define STEP 3u
#define AREA 0777777u     /* significance of all 18, from the row above on: left, own, right */
#define NEIGHBOURS 0x1EFu /* the eight around row 0 */
#define LEFT 3u           /* shifts */
#define OWN 4u
#define RIGHT 5u
#define NEGATIVE 21u         /* the sign, where it is significant; STEP before it that of the row above */
#define ROW_BELOW (4 * STEP) /* shift of row 0 of the next stripe */
#define WORDS_MOST (3u * (JPEG2000_BLOCK_SIDE + 2)) /* in any shape, with a frame around them */

/* ---- maps ----------------------------------------------------------------------------------------------
 *
 * A bit for each sample: four for a column, from the top, and sixteen columns from the lowest bits on. */
#define MAP_COLUMNS 16u
#define TOP_ROWS 0x1111111111111111u
#define BOTTOM_ROWS 0x8888888888888888u
#define MAPS_MOST (3u * (JPEG2000_BLOCK_SIDE / 4 + 2))

struct maps {
    uint64_t significant;
    uint64_t visited; /* coded by the significance pass of this bit-plane */
    uint64_t refined; /* at least once */
};

enum context { CONTEXT_SIGN = 9, CONTEXT_REFINE = 14, CONTEXT_RUN = 17, CONTEXT_UNIFORM = 18, CONTEXTS };

struct block_state {
    struct mq_decoder mq;
    uint64_t contexts[CONTEXTS];
    const uint8_t *zero_contexts; /* of a sample that is not significant yet, by NEIGHBOURS */
    uint64_t *words;              /* of the first column of the first stripe */
    struct maps *maps;            /* of the first columns of the first stripe */
    uint32_t *values; /* stripe by stripe, column by column, 4 rows: sign and magnitude with half a bit */
    uint32_t columns;
    uint32_t stripes;
    uint32_t maps_across;
    uint64_t last_rows;    /* of a map: the rows of the last stripe */
    uint64_t last_columns; /* and the columns at the right */
};

/* ---- tables -------------------------------------------------------------------------------------------- */

#define BIT(i, n) (((i) >> (n)) & 1)
#define EACH_2(f, i) f(i), f((i) + 1)
#define EACH_8(f, i) EACH_2(f, i), EACH_2(f, (i) + 2), EACH_2(f, (i) + 4), EACH_2(f, (i) + 6)
#define EACH_32(f, i) EACH_8(f, i), EACH_8(f, (i) + 8), EACH_8(f, (i) + 16), EACH_8(f, (i) + 24)
#define EACH_128(f, i) EACH_32(f, i), EACH_32(f, (i) + 32), EACH_32(f, (i) + 64), EACH_32(f, (i) + 96)
#define EACH_256(f) EACH_128(f, 0), EACH_128(f, 128)
#define EACH_512(f) EACH_256(f), EACH_128(f, 256), EACH_128(f, 384)

/* Table D.1. Beside, above and below, and at the corners. */
#define BESIDE(i) (BIT(i, 3) + BIT(i, 5))
#define UPRIGHT(i) (BIT(i, 1) + BIT(i, 7))
#define CORNERS(i) (BIT(i, 0) + BIT(i, 2) + BIT(i, 6) + BIT(i, 8))
#define CONTEXT_OF(h, v, d) \
    ((h) == 2 ? 8 : (h) == 1 ? ((v) > 0 ? 7 : (d) > 0 ? 6 : 5) : (v) > 0 ? 2 + (v) : (d) > 2 ? 2 : (d))
#define CONTEXT_OF_HH(hv, d)                \
    ((d) > 2    ? 8                         \
     : (d) == 2 ? ((hv) > 0 ? 7 : 6)        \
     : (d) == 1 ? 3 + ((hv) > 2 ? 2 : (hv)) \
                : ((hv) > 2 ? 2 : (hv)))
#define CONTEXT_LL(i) CONTEXT_OF(BESIDE(i), UPRIGHT(i), CORNERS(i))
#define CONTEXT_HL(i) CONTEXT_OF(UPRIGHT(i), BESIDE(i), CORNERS(i))
#define CONTEXT_HH(i) CONTEXT_OF_HH(BESIDE(i) + UPRIGHT(i), CORNERS(i))

static const uint8_t zero_contexts[4][512] = {[SUBBAND_LL] = {EACH_512(CONTEXT_LL)},
                                              [SUBBAND_HL] = {EACH_512(CONTEXT_HL)},
                                              [SUBBAND_LH] = {EACH_512(CONTEXT_LL)},
                                              [SUBBAND_HH] = {EACH_512(CONTEXT_HH)}};

/* Tables D.2 and D.3, of significances at 1, 3, 5, 7 (above, left, right, below) and the signs at 0, 2, 4, 6:
 * twice the context, and whether the sign is turned round. */
#define SIDE(i, n) (BIT(i, (n) + 1) * (1 - 2 * BIT(i, n)))
#define SUM(a, b) ((a) + (b) > 0 ? 1 : (a) + (b) < 0 ? -1 : 0)
#define SIGN_OF(h, v) ((h) == 0 ? ((v) == 0 ? 2 * 9 : 2 * 10 + ((v) < 0)) : 2 * (12 + (h) * (v)) + ((h) < 0))
#define SIGN(i) SIGN_OF(SUM(SIDE(i, 2), SIDE(i, 4)), SUM(SIDE(i, 0), SIDE(i, 6)))

static const uint8_t sign_contexts[256] = {EACH_256(SIGN)};

/* ---- samples ------------------------------------------------------------------------------------------- */

/* Sixteen columns of a stripe while a pass goes through them. */
struct place {
    struct maps *maps;
    uint64_t *words;
    uint32_t *values;
    uint64_t present; /* samples that the block has */
};

static inline __attribute__((always_inline)) struct place place_of(const struct block_state *state,
                                                                   uint32_t stripe, uint32_t across)
{
    const uint32_t stride = state->maps_across + 2;
    const uint64_t rows = stripe + 1 == state->stripes ? state->last_rows : UINT64_MAX;
    const uint64_t columns = across + 1 == state->maps_across ? state->last_columns : UINT64_MAX;
    return (struct place){
        .maps = state->maps + (size_t)stripe * stride + across,
        .words = state->words + (size_t)stripe * (state->columns + 2) + across * MAP_COLUMNS,
        .values = state->values + ((size_t)stripe * state->columns + across * MAP_COLUMNS) * 4,
        .present = rows & columns};
}

/* Significance of a map's samples and of those on their right and left; without their own, and with. */
static inline uint64_t beside_of(const struct maps *maps)
{
    const uint64_t own = maps[0].significant;
    return own << 4 | maps[-1].significant >> 60 | own >> 4 | maps[1].significant << 60;
}

static inline uint64_t across_of(const struct maps *maps)
{
    return beside_of(maps) | maps[0].significant;
}

/* Samples that have significant neighbours. */
static inline uint64_t near_of(const struct block_state *state, const struct maps *maps)
{
    const size_t stride = state->maps_across + 2;
    const uint64_t beside = beside_of(maps), across = beside | maps[0].significant;
    return beside | (across << 1 & ~TOP_ROWS) | (across >> 1 & ~BOTTOM_ROWS) |
           (across_of(maps - stride) >> 3 & TOP_ROWS) | (across_of(maps + stride) << 3 & BOTTOM_ROWS);
}

static inline uint32_t first_of(uint64_t map)
{
    return (uint32_t)__builtin_ctzll(map);
}

/* Decode the sign of the sample of that number, and note it with all who must know. */
static inline __attribute__((always_inline)) void become_significant(struct block_state *state,
                                                                     struct mq_decoder *mq,
                                                                     const struct place *place,
                                                                     uint32_t number, uint32_t plane)
{
    const size_t stride = state->columns + 2;
    const uint32_t row = number & 3, shift = row * STEP;
    uint64_t *word = place->words + number / 4;
    const uint64_t own = word[0] >> shift;
    const uint64_t index = (own & 0xAA) | (own >> (NEGATIVE - STEP) & 0x41) |
                           (word[-1] >> shift >> (NEGATIVE - 2) & 4) |
                           (word[1] >> shift >> (NEGATIVE - 4) & 0x10);
    const uint32_t sign = sign_contexts[index];
    const uint64_t negative = mq_decode_even(mq, &state->contexts[sign >> 1]) ^ (sign & 1);
    const uint64_t news = (uint64_t)1 << OWN | negative << NEGATIVE;
    place->values[number] = 3u << plane | (uint32_t)negative << 31;
    word[-1] |= (uint64_t)1 << RIGHT << shift;
    word[0] |= news << shift;
    word[1] |= (uint64_t)1 << LEFT << shift;
    if (row == 0) {
        uint64_t *above = word - stride;
        above[-1] |= (uint64_t)1 << RIGHT << ROW_BELOW;
        above[0] |= news << ROW_BELOW;
        above[1] |= (uint64_t)1 << LEFT << ROW_BELOW;
    }
    if (row == 3) {
        uint64_t *below = word + stride;
        below[-1] |= (uint64_t)1 << RIGHT >> STEP;
        below[0] |= news >> STEP;
        below[1] |= (uint64_t)1 << LEFT >> STEP;
    }
}

/* The context of a sample that is not significant. */
static inline __attribute__((always_inline)) uint64_t *
zero_context(struct block_state *state, const struct place *place, uint32_t number)
{
    const uint64_t word = place->words[number / 4] >> (number & 3) * STEP;
    return &state->contexts[state->zero_contexts[word & NEIGHBOURS]];
}

/* ---- passes -------------------------------------------------------------------------------------------- */

/* The neighbours of row 0 to 3 that come after it: one below, and three in the next column. */
static const uint64_t neighbours_after[4] = {0x32, 0x74, 0xE8, 0xC0};

/* D.3.1: samples next to significant ones. */
static inline __attribute__((always_inline)) void
significance(struct block_state *state, struct mq_decoder *mq, const struct place *place, uint32_t plane)
{
    const uint64_t before = place->maps->significant, open = place->present & ~before;
    uint64_t left = near_of(state, place->maps) & open, visited = left, found = 0;
    while (left != 0) {
        const uint32_t number = first_of(left);
        left &= left - 1;
        if (mq_decode_even(mq, zero_context(state, place, number)) != 0) {
            const uint64_t after = neighbours_after[number & 3] << (number & ~3u) & open;
            become_significant(state, mq, place, number, plane);
            found |= (uint64_t)1 << number;
            left |= after;
            visited |= after;
        }
    }
    place->maps->significant = before | found;
    place->maps->visited = visited;
}

/* D.3.3: another bit of those that were significant before this bit-plane. */
static inline __attribute__((always_inline)) void refinement(struct block_state *state, struct mq_decoder *mq,
                                                             const struct place *place, uint32_t plane)
{
    uint64_t left = place->maps->significant & ~place->maps->visited;
    if (left == 0)
        return;
    const uint64_t again = place->maps->refined, near = near_of(state, place->maps) & ~again;
    place->maps->refined = again | left;
    do {
        const uint32_t number = first_of(left);
        left &= left - 1;
        const uint64_t context = CONTEXT_REFINE + ((near >> number & 1) | (again >> number & 1) << 1);
        const uint32_t bit = mq_decode_even(mq, &state->contexts[context]);
        place->values[number] += (bit << plane << 1) - (1u << plane);
    } while (left != 0);
}

/* D.3.4: all that is left; four at once where nothing is near. */
static inline __attribute__((always_inline)) void cleanup(struct block_state *state, struct mq_decoder *mq,
                                                          const struct place *place, uint32_t plane)
{
    uint64_t left = place->present & ~(place->maps->significant | place->maps->visited), found = 0;
    place->maps->visited = 0;
    while (left != 0) {
        uint32_t number = first_of(left);
        if ((left >> number & 15) == 15 && (number & 3) == 0 && (place->words[number / 4] & AREA) == 0) {
            left &= ~((uint64_t)15 << number);
            if (mq_decode(mq, &state->contexts[CONTEXT_RUN]) == 0)
                continue;
            uint32_t row = mq_decode_even(mq, &state->contexts[CONTEXT_UNIFORM]) << 1;
            row |= mq_decode_even(mq, &state->contexts[CONTEXT_UNIFORM]);
            left |= (uint64_t)(14u << row & 15) << number;
            number += row;
        } else {
            left &= left - 1;
            if (mq_decode_even(mq, zero_context(state, place, number)) == 0)
                continue;
        }
        become_significant(state, mq, place, number, plane);
        found |= (uint64_t)1 << number;
    }
    place->maps->significant |= found;
}

typedef void pass_fn(struct block_state *state, struct mq_decoder *mq, const struct place *place,
                     uint32_t plane);

static inline __attribute__((always_inline)) void go_through(struct block_state *state, pass_fn *pass,
                                                             uint32_t plane)
{
    struct mq_decoder mq = state->mq; /* in registers */
    for (uint32_t stripe = 0; stripe < state->stripes; stripe++)
        for (uint32_t across = 0; across < state->maps_across; across++) {
            const struct place place = place_of(state, stripe, across);
            pass(state, &mq, &place, plane);
        }
    state->mq = mq;
}

/* `passes` from the cleanup pass of bit-plane `plane` on. */
FOR_EACH_SHIFT
static void decode_passes(struct block_state *state, uint32_t passes, uint32_t plane)
{
    go_through(state, cleanup, plane);
    while (--passes > 0) {
        plane--;
        go_through(state, significance, plane);
        if (--passes == 0)
            break;
        go_through(state, refinement, plane);
        if (--passes == 0)
            break;
        go_through(state, cleanup, plane);
    }
}

/* ---- the block ----------------------------------------------------------------------------------------- */

/* Rows of two's complement from the stripes' columns. Half a bit is left behind: it is cut off. */
FOR_EACH_VECTOR_WIDTH
static void put_rows(const uint32_t *values, uint32_t columns, uint32_t rows, int32_t *out, size_t stride)
{
    for (uint32_t row = 0; row < rows; row++, out += stride) {
        const uint32_t *from = values + (size_t)(row / 4) * columns * 4 + row % 4;
        for (uint32_t column = 0; column < columns; column++) {
            const uint32_t value = from[(size_t)column * 4];
            const int32_t magnitude = (int32_t)(value >> 1 & 0x3FFFFFFF), sign = (int32_t)value >> 31;
            out[column] = (magnitude ^ sign) - sign;
        }
    }
}

bool jpeg2000_block_mq(const struct jpeg2000_block *block, enum subband orientation, int32_t *out,
                       size_t stride)
{
    uint64_t words[WORDS_MOST];
    struct maps maps[MAPS_MOST];
    uint32_t values[JPEG2000_BLOCK_AREA];
    const uint32_t columns = block->columns, stripes = (block->rows + 3) / 4;
    const uint32_t maps_across = (columns + MAP_COLUMNS - 1) / MAP_COLUMNS;
    const uint32_t planes = block->planes - block->missing_planes;
    struct block_state state = {.zero_contexts = zero_contexts[orientation],
                                .words = words + columns + 2 + 1,
                                .maps = maps + maps_across + 2 + 1,
                                .values = values,
                                .columns = columns,
                                .stripes = stripes,
                                .maps_across = maps_across,
                                .last_rows = TOP_ROWS * (15u >> (stripes * 4 - block->rows)),
                                .last_columns = UINT64_MAX >> (maps_across * MAP_COLUMNS - columns) * 4};
    const size_t words_used = (size_t)(stripes + 2) * (columns + 2);
    const size_t maps_used = (size_t)(stripes + 2) * (maps_across + 2);
    const size_t values_used = (size_t)stripes * columns * 4;
    if (block->missing_planes >= block->planes || block->planes > 30 || block->passes < 1 ||
        block->passes > 3 * planes - 2 || words_used > WORDS_MOST || maps_used > MAPS_MOST ||
        values_used > JPEG2000_BLOCK_AREA)
        return false;
    memset(words, 0, words_used * sizeof *words);
    memset(maps, 0, maps_used * sizeof *maps);
    memset(values, 0, values_used * sizeof *values);
    for (uint32_t i = 0; i < CONTEXTS; i++)
        state.contexts[i] = mq_state(0);
    state.contexts[0] = mq_state(4);
    state.contexts[CONTEXT_RUN] = mq_state(3);
    state.contexts[CONTEXT_UNIFORM] = mq_state(46);
    mq_init(&state.mq, block->bytes);
    decode_passes(&state, block->passes, planes - 1);
    if (state.mq.is_beyond)
        return false;
    put_rows(values, columns, block->rows, out, stride);
    return true;
}
