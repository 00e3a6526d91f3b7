/* pngout_deflate.h: bytes to a zlib stream (RFC 1950), by one of two libraries. Each pngout_deflate_*.c
 * exports one of these; CMake chooses which are there. ISA-L is 3 to 5 times faster at nearly the same size.
 */
#ifndef NIFFLER_WORKER_DECODER_PNGOUT_DEFLATE_H
#define NIFFLER_WORKER_DECODER_PNGOUT_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pngout_deflate {
    const char *name;
    void *(*new_state)(void); /* reusable; NULL where it is not to be had */
    void (*free_state)(void *state);

    /* Compress `length` bytes into `out`. Returns the stream's length; 0: it does not fit into `capacity`. */
    size_t (*compress)(void *state, const uint8_t *in, size_t length, uint8_t *out, size_t capacity);
};

extern const struct pngout_deflate pngout_deflate_isal; /* where NIFFLER_HAVE_ISAL */
extern const struct pngout_deflate pngout_deflate_libdeflate;

#endif
