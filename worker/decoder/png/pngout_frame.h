/* pngout_frame.h: a zlib stream to a PNG file. libpng writes what stands before the image. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_FRAME_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_FRAME_H

#include "worker/decoder/png/pngout.h"

/* Write it at the descriptor's position: one system call for a picture. Fails as pngout_write(). */
MUST_CHECK bool pngout_frame_write(int descriptor, const struct pngout_shape *shape,
                                   const struct pngout_extras *extras, const uint8_t *stream, size_t length,
                                   uint64_t *written, struct error *err);

#endif
