/* pngout_huffman.h: prefix codes of limited length (RFC 1951 3.2.2). Pure functions. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_HUFFMAN_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_HUFFMAN_H

#include <stddef.h>
#include <stdint.h>

#define PNGOUT_HUFFMAN_SYMBOLS_MAX 288u

/* Of a symbol: the bits as they go into the stream (the code's first bit lowest), and how many; 0: unused. */
struct pngout_code {
    uint16_t bits;
    uint16_t length;
};

/* Make the codes of `count` symbols (at most PNGOUT_HUFFMAN_SYMBOLS_MAX) that occur so often, none longer
 * than `limit` bits, which must have room for them: at most 15. Of a single symbol the code is one bit. The
 * same counts give the same codes everywhere. */
void pngout_huffman(const uint32_t *counts, size_t count, uint32_t limit, struct pngout_code *codes);
#endif
