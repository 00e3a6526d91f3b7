/* spacing.h: how far apart the pixels of a picture lie, from the attributes that say so.
 *
 * The first of these that is there and makes sense (both values above 0):
 *     PixelSpacing, of the patient (PS3.3 10.7.1.1)
 *     ImagerPixelSpacing, at the detector; NominalScannedPixelSpacing, on a scanned film
 *     PixelSpacing in the Pixel Measures Sequence of the frame's functional groups, then of the shared ones
 *         (PS3.3 C.7.6.16.2.1)
 *     PixelAspectRatio (PS3.3 C.7.6.3.1.7), a ratio only */
#ifndef NIFFLER_WORKER_DECODER_RENDER_SPACING_H
#define NIFFLER_WORKER_DECODER_RENDER_SPACING_H

#include "worker/decoder/image/functional_groups.h"

/* `row` and `column` lie between the centres of two rows and of two columns, as in DICOM's pairs: the first
 * value is a pixel's height, the second its width. */
struct spacing {
    enum { SPACING_NONE, SPACING_RATIO, SPACING_MM } unit;
    double row;
    double column;
};

/* That of a frame, from 0. */
struct spacing spacing_of_frame(const struct dicom *dcm, const struct functional_groups *groups,
                                uint32_t frame_index);

/* Whether pixels are as high as wide, to one in a thousand. True where nothing is known. */
bool spacing_is_square(const struct spacing *spacing);

#endif
