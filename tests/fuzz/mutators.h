/* mutators.h: changes that know what the input is made of, for libFuzzer and for replay.c alike.
 *
 * A target that takes such inputs hands LLVMFuzzerCustomMutator() on to one of these; what is not of the form
 * is changed byte by byte. All return the new length, at most `most`. */
#ifndef NIFFLER_TESTS_FUZZ_MUTATORS_H
#define NIFFLER_TESTS_FUZZ_MUTATORS_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's, or replay.c's: a change that knows nothing. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);

/* A DICOM file: headers, lengths, VRs and nesting; the numbers of the Image Pixel module, overlays and
 * palettes; the transfer syntax; fragments, offset tables and pixels. */
size_t mutate_image(uint8_t *data, size_t size, size_t most, unsigned int seed);

/* What fuzz_codec.c takes: STREAM_HEADER_BYTES of geometry, then a compressed frame. JPEG, JPEG-LS and JPEG
 * 2000 are changed by segments, and geometry and stream are made to agree again every other time: else no
 * changed size would ever reach a decoder. */
#define STREAM_HEADER_BYTES 8
size_t mutate_stream(uint8_t *data, size_t size, size_t most, unsigned int seed);

#endif
