/* pngout_deflate.h: bytes to a zlib stream (RFC 1950), in one of several ways behind one interface. */
#ifndef NIFFLER_WORKER_DECODER_PNGOUT_DEFLATE_H
#define NIFFLER_WORKER_DECODER_PNGOUT_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pngout_deflate {
    const char *name;
    void *(*new_state)(void); /* reusable; NULL where there is no memory */
    void (*free_state)(void *state);

    /* Compress `length` bytes into `out`. Returns the stream's length; 0: it does not fit into `capacity`. */
    size_t (*compress)(void *state, const uint8_t *in, size_t length, uint8_t *out, size_t capacity);
};

/* ISA-L level 2, where NIFFLER_HAVE_ISAL: 3 to 5 times faster than any other, best for noisy 16-bit images.
 */
extern const struct pngout_deflate pngout_deflate_isal;

/* libdeflate: level 1 in its place elsewhere, level 3 for what repeats itself (drawings, ultrasound, colour),
 * level 9 where size is all. */
extern const struct pngout_deflate pngout_deflate_libdeflate_1;
extern const struct pngout_deflate pngout_deflate_libdeflate_3;
extern const struct pngout_deflate pngout_deflate_libdeflate_9;

/* Our own: runs of a byte and a good Huffman code. In filtered images longer matches are mostly chance, and
 * cost more than the bytes they replace. */
extern const struct pngout_deflate pngout_deflate_runs;

#endif
