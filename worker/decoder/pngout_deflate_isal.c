#include "worker/decoder/pngout_deflate.h"

#include <isa-l/igzip_lib.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

/* Measured on CT, MR, DX and ultrasound: level 3 takes longer and makes larger files, level 1 saves 5 % of
 * the time for 2 to 4 % of the size. */
#define LEVEL 2
#define LEVEL_BYTES ISAL_DEF_LVL2_LARGE

/* The library counts in 32 bits; a piece is what it gets at a time. */
#define PIECE_BYTES (1u << 30)

struct isal_state {
    struct isal_zstream stream;
    uint8_t level[LEVEL_BYTES];
};

/* ISA-L 2.30 gave other bytes, valid ones, in about one run of two thousand. Where each pointer was varied
 * alone, that went with the address of its stream; why is not known. With the stream at one address 8,000
 * runs with all other pointers random gave the same bytes. The same pictures must have the same bytes in
 * every process, so it lies at a fixed place: far from where programs, heaps, libraries and a sanitizer's
 * shadow are. A second state in one process, which only tests have, gets the next place. */
#define FIXED_PLACE ((uintptr_t)0x300000000000)
#define PLACE_BYTES ((size_t)1 << 24)
#define PLACES 64
_Static_assert(sizeof(struct isal_state) <= PLACE_BYTES, "a state fits its place");

static void *new_state(void)
{
    for (uintptr_t i = 0; i < PLACES; i++) {
        void *place;
        uintptr_t address = FIXED_PLACE + i * PLACE_BYTES;
        memcpy(&place, &address, sizeof place);
        void *state = mmap(place, sizeof(struct isal_state), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (state == place)
            return state;
        if (state != MAP_FAILED)
            (void)munmap(state, sizeof(struct isal_state)); /* a kernel before 4.17 takes it for a hint */
    }
    return NULL;
}

static void free_state(void *state)
{
    if (state != NULL)
        (void)munmap(state, sizeof(struct isal_state));
}

static size_t compress(void *context, const uint8_t *in, size_t length, uint8_t *out, size_t capacity)
{
    struct isal_state *state = context;
    struct isal_zstream *stream = &state->stream;
    size_t written = 0;
    isal_deflate_init(stream);
    stream->avail_in = 0;
    stream->level = LEVEL;
    stream->level_buf = state->level;
    stream->level_buf_size = sizeof state->level;
    stream->gzip_flag = IGZIP_ZLIB;
    stream->flush = NO_FLUSH;
    /* The library does not write to its input, it only lacks the const. */
    union {
        const uint8_t *borrowed;
        uint8_t *unconst;
    } input = {in};
    stream->next_in = input.unconst;
    while (stream->internal_state.state != ZSTATE_END) {
        if (stream->avail_in == 0) {
            stream->avail_in = length < PIECE_BYTES ? (uint32_t)length : PIECE_BYTES;
            length -= stream->avail_in;
            stream->end_of_stream = length == 0;
        }
        size_t room = capacity - written < PIECE_BYTES ? capacity - written : PIECE_BYTES;
        if (room == 0)
            return 0;
        stream->next_out = out + written;
        stream->avail_out = (uint32_t)room;
        if (isal_deflate(stream) != COMP_OK)
            return 0;
        written += room - stream->avail_out;
    }
    return written;
}

const struct pngout_deflate pngout_deflate_isal = {"ISA-L", new_state, free_state, compress};
