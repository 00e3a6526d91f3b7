/* dcmtk_jpeg.h: DCMTK's JPEG decoders alone, as a judge of ours; for tests. */
#ifndef NIFFLER_TESTS_UNIT_DCMTK_JPEG_H
#define NIFFLER_TESTS_UNIT_DCMTK_JPEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Decode a stream of `precision` bits to `size` bytes, of one or two a sample. Returns whether it is whole:
 * taken, without a warning. A missing marker at the end is no fault. */
bool dcmtk_jpeg(const uint8_t *stream, size_t length, uint32_t precision, void *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif
