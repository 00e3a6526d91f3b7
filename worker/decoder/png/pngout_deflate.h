/* pngout_deflate.h: bytes to a zlib stream (RFC 1950), in one of several ways behind one interface. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_DEFLATE_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/decoder/png/pngout_matches.h"

struct pngout_deflate {
    const char *name;
    void *(*new_state)(void); /* reusable; NULL where there is no memory */
    void (*free_state)(void *state);

    /* Compress `length` bytes, which are whole rows of `layout`, into `out`. Returns the stream's length; 0:
     * it does not fit into `capacity`. */
    size_t (*compress)(void *state, const struct pngout_layout *layout, const uint8_t *in, size_t length,
                       uint8_t *out, size_t capacity);
};

/* Our own, which give the same bytes on every machine. Runs of a byte and a good Huffman code: in filtered
 * images longer repetitions are mostly chance, and cost more than the bytes they replace; without looking for
 * them this takes one to five cycles a byte, and a run of any length next to none. And repetitions of pixels,
 * which takes twice to four times as long. */
extern const struct pngout_deflate pngout_deflate_runs;
extern const struct pngout_deflate pngout_deflate_fine_runs; /* with a code for less at a time */
extern const struct pngout_deflate pngout_deflate_matches;

/* libdeflate: level 3 for what repeats itself (drawings, masks), level 9 where size is all. */
extern const struct pngout_deflate pngout_deflate_libdeflate_3;
extern const struct pngout_deflate pngout_deflate_libdeflate_9;

#endif
