/* image.h: the Image Pixel module (PS3.3 C.7.6.3) of one file, and its frames.
 *
 * image_inspect() reads the header and checks it; image_read_frame() finds a frame's bytes (native: by
 * arithmetic; encapsulated: by offset table and fragments, PS3.5 Annex A.4), decompresses them and hands over
 * display-ready samples: native byte order, pixel by pixel, sign extended, 1 or 3 per pixel; YCbCr turned
 * into RGB, palettes looked up. Memory is for one frame. */
#ifndef NIFFLER_WORKER_DECODER_IMAGE_IMAGE_H
#define NIFFLER_WORKER_DECODER_IMAGE_IMAGE_H

#include "worker/decoder/codec/codec.h"
#include "worker/decoder/dicom/dicom.h"

enum photometric {
    PHOTOMETRIC_MONOCHROME1,
    PHOTOMETRIC_MONOCHROME2,
    PHOTOMETRIC_PALETTE_COLOR,
    PHOTOMETRIC_RGB,
    PHOTOMETRIC_YBR_FULL,
    PHOTOMETRIC_YBR_FULL_422,
    PHOTOMETRIC_YBR_PARTIAL_420,
    PHOTOMETRIC_YBR_PARTIAL_422, /* retired */
    PHOTOMETRIC_YBR_ICT,
    PHOTOMETRIC_YBR_RCT,
    PHOTOMETRIC_XYB, /* of JPEG XL, whose codec gives sRGB */
};

struct image; /* buffers and the state of the file at hand */

/* Return a new one, reusable for any number of files. */
struct image *image_new(void);
void image_free(struct image *image);

/* Facts of the file, valid after image_inspect(), as far as it came. */
struct image_facts {
    uint32_t rows, columns, samples_per_pixel, bits_allocated, bits_stored, high_bit, frame_count;
    bool is_signed;
    enum photometric photometric;
};

/* Whether the object is an image at all: it has pixel data, or Rows or an image SOP class promise some. */
bool image_is_image(struct dicom *dcm);

/* Read and check the module; nothing is allocated by what the header says before it has passed the limits.
 * SamplesPerPixel, PixelRepresentation, PhotometricInterpretation, BitsStored, HighBit and NumberOfFrames
 * have defaults where they are absent, but the first three not under compatibility, which also takes
 * containers whole: BitsStored and HighBit count for nothing there, as in pydicom. Fails with ERROR_INPUT:
 * category 1, CODE_NO_PIXELS or CODE_MISSING_ATTRIBUTE; category 2, CODE_MALFORMED or CODE_TOO_SHORT
 * (not one frame is whole, or under compatibility not all of them); category 3, CODE_UNSUPPORTED_SYNTAX or
 * CODE_UNSUPPORTED_PIXELS; category 4, CODE_LIMIT_PIXELS. `dcm` is borrowed until the next call. */
MUST_CHECK bool image_inspect(struct image *image, struct dicom *dcm, const struct options *options,
                              struct error *err);
const struct image_facts *image_facts(const struct image *image);

/* How many frames, from the first on, the pixel data holds: 1 to frame_count; with options->allow_truncated
 * one of which only a part is there counts. *missing: why there are no more, set where it is less than
 * frame_count; the error of image_read_frame() for any of the others. */
uint32_t image_frames_there(const struct image *image, struct error *missing);

/* One frame. `frame_index` from 0, below frame_count. The result is borrowed until the next call.
 *   notes       what was overruled ("codestream precision 12, header 16"), appended, `;`-separated; may be
 * NULL Under compatibility as pydicom's pixel_array gives it: no palette look-up. Fails as codec.h, and with
 * category 2, CODE_TOO_SHORT: a byte is missing. With options->allow_truncated (of image_inspect()) missing
 * bytes are 0, and the notes say so, if but one byte of the frame is there. */
MUST_CHECK bool image_read_frame(struct image *image, uint32_t frame_index, const struct options *options,
                                 const struct codec_samples **out, char *notes, size_t notes_size,
                                 struct error *err);

/* The same before colour conversion and palette: the stored samples, for tests and tools. */
MUST_CHECK bool image_read_stored(struct image *image, uint32_t frame_index, const struct codec_samples **out,
                                  char *notes, size_t notes_size, struct error *err);

/* Bit `bit` of each pixel's container, from 0 for the least significant one: where overlays were embedded
 * before they were retired (PS3.3-2004 C.9.2). Reads the frame a second time; what image_read_frame() lent
 * out stays as it is.
 *   packed  room for rows * columns bits, the least significant first
 * Fails with category 3, CODE_UNSUPPORTED_PIXELS where there are no such containers (compressed or
 * encapsulated data, several samples per pixel, BitsAllocated too small); else as image_read_frame(). */
MUST_CHECK bool image_read_overlay_bits(struct image *image, uint32_t frame_index, uint32_t bit,
                                        uint8_t *packed, struct error *err);
#endif
