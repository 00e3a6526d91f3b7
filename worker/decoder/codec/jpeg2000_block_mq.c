/* Code-blocks by the MQ coder (ISO/IEC 15444-1 Annexes C and D), of the plain style: one segment, no bypass,
 * contexts kept from pass to pass.
 *
 * A word holds what is known of a column of four samples and of its neighbours, so that a few operations
 * find the samples that a pass codes, and the context of one is a look-up. Loops run over the samples that
 * are coded rather than over all: which ones they are is hard to foresee for the processor. */
#include "worker/decoder/codec/jpeg2000_block.h"

#include <string.h>

#include "worker/decoder/codec/jpeg2000_mq.h"
#include "worker/decoder/vectors.h"

/* ---- a column's word ----------------------------------------------------------------------------------
 *
 * Row r of the column, 0 to 3, is found at shift 3r in each of these; so is what is above and below it. */
#define STEP 3u
#define ROWS_ALL 01111u                /* a digit for each row */
#define NEIGHBOURS 0x1EFu              /* significance of the eight around row 0 */
#define SIGNIFICANT 4u                 /* shift of row 0's own */
#define NEGATIVE 21u                   /* its sign, 18: the sign above it, 24: below it */
#define VISITED 22u                    /* coded by the significance pass of this bit-plane */
#define REFINED 23u                    /* refined at least once */
#define AREA 0777777u                  /* significance of all 18: three columns, from the row above on */
#define ABOVE_ROW_3 (4u * STEP)        /* shift of a row as it stands in the word of the stripe above */
#define WORDS_MOST (3u * (1024u + 2u)) /* stripes and columns of any shape, and a frame around them */

enum context { CONTEXT_SIGN = 9, CONTEXT_REFINE = 14, CONTEXT_RUN = 17, CONTEXT_UNIFORM = 18, CONTEXTS };

struct block_state {
    struct mq_decoder mq;
    uint64_t contexts[CONTEXTS];
    const uint8_t *zero_contexts; /* of a sample that is not significant yet, by NEIGHBOURS */
    uint64_t *words;              /* of the first column of the first stripe */
    uint32_t *values; /* stripe by stripe, column by column, 4 rows: sign and magnitude with half a bit */
    uint32_t columns;
    uint32_t stripes;
    uint32_t last_rows; /* digits of ROWS_ALL for the rows that the last stripe has */
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

/* Decode the sign of the sample at `shift` of the column `word`, and note it with all who must know. */
static inline __attribute__((always_inline)) void become_significant(struct block_state *state,
                                                                     struct mq_decoder *mq, uint64_t *word,
                                                                     uint32_t shift, uint32_t *values,
                                                                     uint32_t plane)
{
    const size_t stride = state->columns + 2;
    const uint64_t own = word[0] >> shift;
    const uint64_t index =
        (own & 0xAA) | (own >> 18 & 0x41) | (word[-1] >> shift >> 19 & 4) | (word[1] >> shift >> 17 & 0x10);
    const uint32_t sign = sign_contexts[index];
    const uint32_t negative = mq_decode_even(mq, &state->contexts[sign >> 1]) ^ (sign & 1);
    values[shift * 11 / 32] = 3u << plane | negative << 31;
    word[-1] |= (uint64_t)1 << 5 << shift;
    word[0] |= ((uint64_t)1 << SIGNIFICANT | (uint64_t)negative << NEGATIVE) << shift;
    word[1] |= (uint64_t)1 << 3 << shift;
    if (shift == 0) {
        uint64_t *above = word - stride;
        above[-1] |= (uint64_t)1 << 5 << ABOVE_ROW_3;
        above[0] |= ((uint64_t)1 << SIGNIFICANT | (uint64_t)negative << NEGATIVE) << ABOVE_ROW_3;
        above[1] |= (uint64_t)1 << 3 << ABOVE_ROW_3;
    }
    if (shift == 3 * STEP) {
        uint64_t *below = word + stride;
        below[-1] |= (uint64_t)1 << 5 >> STEP;
        below[0] |= ((uint64_t)1 << SIGNIFICANT | (uint64_t)negative << NEGATIVE) >> STEP;
        below[1] |= (uint64_t)1 << 3 >> STEP;
    }
}

static inline uint32_t first_of(uint32_t rows)
{
    return (uint32_t)__builtin_ctz(rows);
}

/* The rows of a stripe that the block has. */
static inline uint32_t rows_of(const struct block_state *state, uint32_t stripe)
{
    return stripe + 1 == state->stripes ? state->last_rows : ROWS_ALL;
}

/* ---- passes -------------------------------------------------------------------------------------------- */

/* D.3.1: samples next to significant ones. */
static inline __attribute__((always_inline)) void pass_significance(struct block_state *state, uint32_t plane)
{
    struct mq_decoder mq = state->mq;
    for (uint32_t stripe = 0; stripe < state->stripes; stripe++) {
        uint64_t *word = state->words + (size_t)stripe * (state->columns + 2);
        uint32_t *values = state->values + (size_t)stripe * state->columns * 4;
        const uint32_t present = rows_of(state, stripe);
        for (uint32_t column = 0; column < state->columns; column++, word++, values += 4) {
            const uint32_t area = (uint32_t)word[0] & AREA;
            if (area == 0)
                continue;
            const uint32_t across = area | area >> 1 | area >> 2;
            const uint32_t open = ~(area >> SIGNIFICANT) & present;
            uint32_t rows = (across | across >> 3 | across >> 6) & open;
            uint32_t visited = rows;
            while (rows != 0) {
                const uint32_t shift = first_of(rows);
                const uint64_t own = word[0] >> shift;
                rows &= rows - 1;
                if (mq_decode_even(&mq, &state->contexts[state->zero_contexts[own & NEIGHBOURS]]) != 0) {
                    become_significant(state, &mq, word, shift, values, plane);
                    const uint32_t next = (1u << STEP << shift) & open;
                    rows |= next;
                    visited |= next;
                }
            }
            word[0] |= (uint64_t)visited << VISITED;
        }
    }
    state->mq = mq;
}

/* D.3.3: another bit of those that were significant before this bit-plane. */
static inline __attribute__((always_inline)) void pass_refinement(struct block_state *state, uint32_t plane)
{
    struct mq_decoder mq = state->mq;
    for (uint32_t stripe = 0; stripe < state->stripes; stripe++) {
        uint64_t *word = state->words + (size_t)stripe * (state->columns + 2);
        uint32_t *values = state->values + (size_t)stripe * state->columns * 4;
        for (uint32_t column = 0; column < state->columns; column++, word++, values += 4) {
            const uint64_t own = word[0];
            uint32_t rows = (uint32_t)(own >> SIGNIFICANT & ~(own >> VISITED)) & ROWS_ALL;
            if (rows == 0)
                continue;
            const uint32_t area = (uint32_t)own & AREA, across = area | area >> 1 | area >> 2;
            const uint32_t again = (uint32_t)(own >> REFINED);
            const uint32_t beside = (across | across >> 6 | (area | area >> 2) >> 3) & ~again;
            word[0] = own | (uint64_t)rows << REFINED;
            do {
                const uint32_t shift = first_of(rows);
                rows &= rows - 1;
                const uint32_t context = CONTEXT_REFINE + ((beside >> shift & 1) | (again >> shift & 1) << 1);
                const uint32_t bit = mq_decode_even(&mq, &state->contexts[context]);
                values[shift * 11 / 32] += (bit << plane << 1) - (1u << plane);
            } while (rows != 0);
        }
    }
    state->mq = mq;
}

/* D.3.4: all that is left; four at once where nothing is near. */
static inline __attribute__((always_inline)) void pass_cleanup(struct block_state *state, uint32_t plane)
{
    struct mq_decoder mq = state->mq;
    for (uint32_t stripe = 0; stripe < state->stripes; stripe++) {
        uint64_t *word = state->words + (size_t)stripe * (state->columns + 2);
        uint32_t *values = state->values + (size_t)stripe * state->columns * 4;
        const uint32_t present = rows_of(state, stripe);
        for (uint32_t column = 0; column < state->columns; column++, word++, values += 4) {
            const uint64_t own = word[0];
            uint32_t rows = ~(uint32_t)(own >> SIGNIFICANT | own >> VISITED) & present;
            if ((own & AREA) == 0 && present == ROWS_ALL) {
                if (mq_decode(&mq, &state->contexts[CONTEXT_RUN]) == 0)
                    continue;
                uint32_t row = mq_decode(&mq, &state->contexts[CONTEXT_UNIFORM]) << 1;
                row |= mq_decode(&mq, &state->contexts[CONTEXT_UNIFORM]);
                const uint32_t shift = row * STEP;
                become_significant(state, &mq, word, shift, values, plane);
                rows &= (uint32_t)-2 << shift;
            }
            while (rows != 0) {
                const uint32_t shift = first_of(rows);
                const uint64_t now = word[0] >> shift;
                rows &= rows - 1;
                if (mq_decode_even(&mq, &state->contexts[state->zero_contexts[now & NEIGHBOURS]]) != 0)
                    become_significant(state, &mq, word, shift, values, plane);
            }
            word[0] &= ~((uint64_t)ROWS_ALL << VISITED);
        }
    }
    state->mq = mq;
}

/* `passes` from the cleanup pass of bit-plane `plane` on. */
FOR_EACH_SHIFT
static void decode_passes(struct block_state *state, uint32_t passes, uint32_t plane)
{
    for (uint32_t pass = 2; passes > 0; passes--) {
        if (pass == 0)
            pass_significance(state, plane);
        else if (pass == 1)
            pass_refinement(state, plane);
        else
            pass_cleanup(state, plane);
        pass = pass == 2 ? 0 : pass + 1;
        plane -= pass == 0;
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
    uint32_t values[JPEG2000_BLOCK_AREA];
    const uint32_t stripes = (block->rows + 3) / 4, columns = block->columns;
    const uint32_t planes = block->planes - block->missing_planes;
    struct block_state state = {.zero_contexts = zero_contexts[orientation],
                                .words = words + columns + 2 + 1,
                                .values = values,
                                .columns = columns,
                                .stripes = stripes,
                                .last_rows = ROWS_ALL >> (stripes * 4 - block->rows) * STEP};
    const size_t words_used = (size_t)(stripes + 2) * (columns + 2);
    if (block->missing_planes >= block->planes || block->planes > 30 || block->passes < 1 ||
        block->passes > 3 * planes - 2 || words_used > WORDS_MOST ||
        (size_t)stripes * columns * 4 > JPEG2000_BLOCK_AREA)
        return false;
    memset(words, 0, words_used * sizeof *words);
    memset(values, 0, (size_t)stripes * columns * 4 * sizeof *values);
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
