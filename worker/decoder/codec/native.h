/* native.h: the containers of uncompressed pixel data to samples (PS3.5 Section 8, Annex D).
 *
 * Pure functions: no I/O, no allocation, no globals. "Container" is what BitsAllocated describes: it holds
 * the sample in the BitsStored bits up to HighBit; what lies around it (overlays, padding) is dropped. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_NATIVE_H
#define NIFFLER_WORKER_DECODER_CODEC_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/decoder/codec/codec.h"

/* Turn the order of the bytes in each of `count` units of 2, 4 or 8 bytes. */
void native_swap(void *bytes, size_t count, uint32_t unit);

/* Whole planes to pixel by pixel (planar configuration 1 to 0); `out` may not overlap `in`. `bytes`: 1, 2, 4
 * or 8 of a sample. */
void native_interleave(void *out, const void *in, size_t pixels, uint32_t samples, uint32_t bytes);

/* YBR_FULL_422, "Y Y Cb Cr" for two pixels (PS3.3 C.7.6.3.1.2), to three samples for each: the chroma is used
 * twice. */
void native_widen_422(void *out, const void *in, size_t pairs, uint32_t bytes);

/* Samples of `bits` bits, packed without gaps, the least significant bit first, to `bytes` (1, 2 or 4) each.
 *   first_bit  where the first begins in `in`; `in` must hold first_bit + count * bits bits */
void native_unpack_bits(void *out, uint32_t bytes, const uint8_t *in, uint64_t first_bit, size_t count,
                        uint32_t bits);

/* Bit `bit` of each of `count` containers of `bits` bits to one bit each, the least significant first.
 *   packed      room for `count` bits
 *   first_bit   as in native_unpack_bits()
 *   big_endian  the containers, of 8, 16 or 32 bits, have their most significant byte first */
void native_pick_bit(uint8_t *packed, const uint8_t *in, uint64_t first_bit, size_t count, uint32_t bits,
                     uint32_t bit, bool big_endian);

/* Shift each sample down by `shift`, keep `bits` bits of it, and extend its sign from there where
 * `is_signed`; in place. Sets samples->is_signed. No work is done where it would change nothing. */
void native_extract(struct codec_samples *samples, uint32_t shift, uint32_t bits, bool is_signed);

#endif
