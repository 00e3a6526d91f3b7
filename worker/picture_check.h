/* picture_check.h: whether what a decoder has written is a PNG, as far as its first and last bytes tell. */
#ifndef NIFFLER_WORKER_PICTURE_CHECK_H
#define NIFFLER_WORKER_PICTURE_CHECK_H

#include "common/error.h"
#include "common/options.h"
#include "worker/wire.h"

/* A decoder that was taken over may write anything. Looked at, in two reads whatever the size: the signature,
 * the whole of IHDR (its checksum, the columns and rows that `frame` claims, at most MaxPixels, one of the
 * pixel formats that we write), IEND as the last chunk, and the size of the file. What stands between is not:
 * a picture of nonsense is for those who look at it. Fails with ERROR_INPUT, category 4,
 * CODE_DECODER_PROTOCOL; ERROR_RETRY where the file cannot be read. */
MUST_CHECK bool picture_check(int descriptor, const struct wire_frame *frame, const struct options *options,
                              struct error *err);

#endif
