/* jpeg2000_extensions.h: whether a JPEG 2000 stream keeps to Part 1 of its standard (ISO/IEC 15444-1 Annex
 * A).
 *
 * OpenJPEG passes over what it does not know, and would give wrong samples. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG2000_EXTENSIONS_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG2000_EXTENSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jpeg2000_extensions {
    bool is_part_2;        /* it says that it may use extensions of ISO/IEC 15444-2 */
    const char *extension; /* the first that its main header names; NULL: none      */
};

/* Where the codestream begins: at once, or in a box of a JP2 or JPX file; `length` when nowhere. */
size_t jpeg2000_codestream_at(const uint8_t *stream, size_t length);

/* Read the main header, as far as it is one: what is wrong with it is for the codec to say. */
void jpeg2000_extensions_read(const uint8_t *stream, size_t length, struct jpeg2000_extensions *header);

#endif
