/* image_frames.h: from the bytes of a frame to its stored samples; a part of image.c. */
#ifndef NIFFLER_WORKER_DECODER_IMAGE_IMAGE_FRAMES_H
#define NIFFLER_WORKER_DECODER_IMAGE_IMAGE_FRAMES_H

#include "worker/decoder/image/fragments.h"
#include "worker/decoder/image/image.h"
#include "worker/decoder/image/image_module.h"
#include "worker/decoder/image/notes.h"
#include "worker/decoder/image/palette.h"

/* Bytes that are overwritten by each frame. */
struct image_scratch {
    uint8_t *data;
    size_t capacity;
};

struct image {
    struct image_facts facts;
    struct image_module module;
    struct dicom *dcm; /* NULL: image_inspect() has not succeeded */
    bool allow_truncated;
    bool is_strict;     /* compatibility: nothing is mended */
    const char *remark; /* on all frames, for the row; NULL: none */
    uint32_t frames_there;
    struct error missing; /* of the frames behind those */
    bool has_palette;
    struct palette palette;
    struct fragments fragments;
    struct image_scratch stream;   /* a frame as it lies in the file */
    struct image_scratch inflated; /* and behind its deflate */
    struct codec_samples stored;   /* then                           */
    struct codec_samples display;  /* and looked up in a palette; of planes of bits, before they are woven */
};

/* Read a frame below frames_there into image->stored; as image_read_stored(). */
MUST_CHECK bool image_frames_read(struct image *image, uint32_t frame_index, const struct notes *notes,
                                  struct error *err);

#endif
