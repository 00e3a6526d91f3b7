/* image_module.h: reading and checking the Image Pixel module's numbers; a part of image.c. */
#ifndef NIFFLER_WORKER_DECODER_IMAGE_IMAGE_MODULE_H
#define NIFFLER_WORKER_DECODER_IMAGE_IMAGE_MODULE_H

#include "worker/decoder/image/image.h"

/* How a frame of containers is laid out. */
struct image_module {
    enum codec_family family;
    bool by_plane;         /* planar configuration 1, several samples                */
    bool is_half_chroma;   /* YBR_FULL_422 as two pixels in four samples             */
    bool is_packed;        /* containers that do not fill whole bytes of 1, 2 or 4   */
    bool is_float;         /* FloatPixelData, DoubleFloatPixelData                   */
    uint32_t sample_bytes; /* of an unpacked sample: 1, 2, 4; 8 for double           */
    uint32_t shift;        /* of a container, to get at its sample                   */
    uint32_t bits;         /* of a sample in its container                           */
    uint64_t frame_bits;   /* from one frame to the next                             */
};

/* Fill *module and *facts; module->family must be set. Fails as image_inspect(). */
MUST_CHECK bool image_module_read(struct image_module *module, struct image_facts *facts, struct dicom *dcm,
                                  const struct options *options, struct error *err);

/* Whether `length` bytes hold `frames` frames of containers. Settles whether the chroma of YBR_FULL_422 is
 * halved: some writers call full chroma so, and the length tells. Fails with category 2, CODE_TOO_SHORT. */
MUST_CHECK bool image_module_check_length(struct image_module *module, uint32_t frames, uint64_t length,
                                          struct error *err);

/* How many frames of containers `length` bytes hold from the first bit on; `with_parts`: one that is not
 * whole counts as well. */
uint64_t image_module_frames_in(const struct image_module *module, uint64_t length, bool with_parts);

#endif
