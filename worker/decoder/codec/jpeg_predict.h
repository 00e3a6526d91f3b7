/* jpeg_predict.h: rows of lossless JPEG from their differences, and to the frame (ITU-T T.81 H.1). */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG_PREDICT_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG_PREDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JPEG_PREDICTOR_MOST 7u

/* Put the samples in place of `count` differences, modulo 2^16. `step` components take turns, and `count` is
 * a multiple of it.
 *   predictor  1 to 7, the scan's selection value (Table H.1)
 *   above      the row above, not overlapping
 *   start      in front of the first row of a scan or a restart interval, which has none above (H.1.2.1) */
void jpeg_predict_row(uint16_t *row, const uint16_t *above, size_t count, size_t step, uint32_t predictor);
void jpeg_predict_first_row(uint16_t *row, size_t count, size_t step, uint32_t start);

/* Where the samples of a row go. */
struct jpeg_place {
    uint32_t bytes;        /* of a sample in the frame, 1 or 2; what does not fit is cut off */
    uint32_t shift;        /* the point transform, taken back                                */
    size_t samples;        /* of a pixel in the frame                                        */
    size_t step;           /* of a pixel in the row                                          */
    uint8_t components[4]; /* the place in the pixel of each of them                       */
};

/* Whether a row of the frame is the row of samples itself, which need not be put anywhere then. */
bool jpeg_place_is_plain(const struct jpeg_place *place);

/* Put a row of `columns` pixels to the frame's row `out`. */
void jpeg_place_row(const struct jpeg_place *place, const uint16_t *row, size_t columns, void *out);

#endif
