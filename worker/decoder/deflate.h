/* deflate.h: bytes to a zlib stream (RFC 1950), by the fastest library there is on this machine: ISA-L on
 * x86-64 and arm64, libdeflate elsewhere. deflate_isal.c or deflate_libdeflate.c, chosen by the build. */
#ifndef NIFFLER_WORKER_DECODER_DEFLATE_H
#define NIFFLER_WORKER_DECODER_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

struct deflate;

struct deflate *deflate_new(void);
void deflate_free(struct deflate *deflate);

/* The most bytes that a stream of `length` bytes can take. */
size_t deflate_bound(size_t length);

/* Compress; returns the length of the stream, 0 where it does not fit `capacity`. */
size_t deflate_zlib(struct deflate *deflate, const uint8_t *bytes, size_t length, uint8_t *out,
                    size_t capacity);

#endif
