#include "worker/decoder/pngout_deflate.h"

#include <stdlib.h>
#include <zlib.h>

#include "common/alloc.h"

/* The largest blocks of symbols that zlib has: the statistics of an image change slowly. The level does not
 * matter to this strategy as long as it is above 0. */
#define MEMORY_LEVEL 9
#define WINDOW_BITS 15
#define LEVEL 1

/* zlib counts in 32 bits; a piece is what it gets at a time. */
#define PIECE_BYTES (1u << 30)

static void *new_state(void)
{
    z_stream *stream = xcalloc(1, sizeof *stream);
    if (deflateInit2(stream, LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL, Z_RLE) == Z_OK)
        return stream;
    free(stream);
    return NULL;
}

static void free_state(void *state)
{
    if (state != NULL)
        (void)deflateEnd(state);
    free(state);
}

static size_t compress_runs(void *state, const uint8_t *in, size_t length, uint8_t *out, size_t capacity)
{
    z_stream *stream = state;
    size_t written = 0;
    int status = deflateReset(stream);
    /* zlib does not write to its input, it only lacks the const. */
    union {
        const uint8_t *borrowed;
        uint8_t *unconst;
    } input = {in};
    stream->next_in = input.unconst;
    stream->avail_in = 0;
    while (status == Z_OK) {
        if (stream->avail_in == 0) {
            stream->avail_in = length < PIECE_BYTES ? (uInt)length : PIECE_BYTES;
            length -= stream->avail_in;
        }
        size_t room = capacity - written < PIECE_BYTES ? capacity - written : PIECE_BYTES;
        if (room == 0)
            return 0;
        stream->next_out = out + written;
        stream->avail_out = (uInt)room;
        status = deflate(stream, length == 0 ? Z_FINISH : Z_NO_FLUSH);
        written += room - stream->avail_out;
    }
    return status == Z_STREAM_END ? written : 0;
}

const struct pngout_deflate pngout_deflate_runs = {"runs", new_state, free_state, compress_runs};
