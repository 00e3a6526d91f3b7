#include <libdeflate.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "worker/decoder/png/pngout_block.h"
#include "worker/decoder/png/pngout_deflate.h"
#include "worker/decoder/png/pngout_runs.h"

#define FINE_BLOCK_BYTES (32u << 10) /* 1 % smaller, 15 % slower */

struct own_state {
    struct pngout_sequences sequences;
    struct pngout_block block;
    struct pngout_matches *matches; /* NULL: runs only */
    size_t block_bytes;
};

static struct own_state *new_state(size_t block_bytes)
{
    struct own_state *state = xcalloc(1, sizeof *state);
    state->block_bytes = block_bytes;
    return state;
}

static void *new_runs(void)
{
    return new_state(PNGOUT_BLOCK_BYTES);
}

static void *new_fine_runs(void)
{
    return new_state(FINE_BLOCK_BYTES);
}

static void *new_matches(void)
{
    struct own_state *state = new_state(PNGOUT_BLOCK_BYTES);
    state->matches = xcalloc(1, sizeof *state->matches);
    return state;
}

static void free_state(void *context)
{
    struct own_state *state = context;
    free(state->matches);
    free(state);
}

static size_t compress(void *context, const struct pngout_layout *layout, const uint8_t *in, size_t length,
                       uint8_t *out, size_t capacity)
{
    struct own_state *state = context;
    struct pngout_bits bits = {.at = out};
    const uint8_t *end_of_room = out + capacity;
    size_t begin = 0, end;
    if (capacity < 2 * PNGOUT_BITS_SLACK)
        return 0;
    if (state->matches != NULL)
        pngout_matches_begin(state->matches);
    /* RFC 1950 2.2: deflate, a window of 32 KB, no preset dictionary, fastest. */
    pngout_bits_put(&bits, 0x0178, 16);
    pngout_bits_flush(&bits);
    do {
        end = length - begin < state->block_bytes ? length : begin + state->block_bytes;
        size_t room = (size_t)(end_of_room - bits.at);
        bool may_estimate = pngout_block_may_estimate(end - begin, room);
        if (state->matches != NULL)
            pngout_matches_find(state->matches, &state->sequences, layout, in, begin, end);
        else
            pngout_runs_find(&state->sequences, in, begin, end, may_estimate);
        if (!pngout_block_write(&state->block, &bits, room, &state->sequences, in + begin, end - begin,
                                end == length))
            return 0;
        begin = end;
    } while (begin < length);
    pngout_bits_align(&bits);
    if ((size_t)(end_of_room - bits.at) < PNGOUT_BITS_SLACK)
        return 0;
    pngout_bits_put(&bits, __builtin_bswap32(libdeflate_adler32(1, in, length)), 32);
    pngout_bits_flush(&bits);
    return (size_t)(bits.at - out);
}

const struct pngout_deflate pngout_deflate_runs = {"runs", new_runs, free_state, compress};
const struct pngout_deflate pngout_deflate_fine_runs = {"fine runs", new_fine_runs, free_state, compress};
const struct pngout_deflate pngout_deflate_matches = {"matches", new_matches, free_state, compress};
