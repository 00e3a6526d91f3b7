/* spacing.h: how far apart the pixels of a picture lie, from the attributes that say so.
 *
 * The first of these that is there and makes sense (both values above 0):
 *     PixelSpacing, of the patient (PS3.3 10.7.1.1)
 *     ImagerPixelSpacing, at the detector; NominalScannedPixelSpacing, on a scanned film
 *     PixelSpacing in the Pixel Measures Sequence of the frame's functional groups, then of the shared ones
 *         (PS3.3 C.7.6.16.2.1)
 *     PixelAspectRatio (PS3.3 C.7.6.3.1.7), a ratio only */
#ifndef NIFFLER_WORKER_DECODER_SPACING_H
#define NIFFLER_WORKER_DECODER_SPACING_H

#include "worker/decoder/dicom.h"

/* `row` and `column` lie between the centres of two rows and of two columns, as in DICOM's pairs: the first
 * value is a pixel's height, the second its width. */
struct spacing {
    enum { SPACING_NONE, SPACING_RATIO, SPACING_MM } unit;
    double row;
    double column;
    bool is_for_all_frames; /* no frame says otherwise: found outside of the functional groups */
};

/* What holds for the file: everything but what its frames say one by one. Looks at each of the file's
 * elements several times: once a file, not once a frame. */
struct spacing spacing_of_file(const struct dicom *dcm);

/* What holds for a frame of the file that `of_file` is of. `frame_groups` is the frame's item of the
 * Per-Frame Functional Groups Sequence; only that is looked at. */
struct spacing spacing_of_frame(const struct dicom *dcm, const struct spacing *of_file,
                                struct dicom_item frame_groups);

/* Whether pixels are as high as wide, to one in a thousand. True where nothing is known. */
bool spacing_is_square(const struct spacing *spacing);

#endif
