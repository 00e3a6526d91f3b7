/* good_picture.h: a DICOM file that every decoder converts. */
#ifndef NIFFLER_WORKER_GOOD_PICTURE_H
#define NIFFLER_WORKER_GOOD_PICTURE_H

#include "common/buffer.h"

#define GOOD_PICTURE_SIZE 32u /* rows, and columns */

/* Append a Secondary Capture of GOOD_PICTURE_SIZE squared pixels of 16 bits, 12 of them stored, in explicit
 * VR little endian: a ramp that begins at 0. */
void good_picture_append(struct buffer *out);

#endif
