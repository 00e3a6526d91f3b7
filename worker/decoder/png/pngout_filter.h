/* pngout_filter.h: PNG's row filters (ISO/IEC 15948, 9.2). Pure functions. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_FILTER_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_FILTER_H

#include <stddef.h>
#include <stdint.h>

/* The values are those of the format. */
enum pngout_filter {
    PNGOUT_FILTER_NONE,
    PNGOUT_FILTER_SUB,
    PNGOUT_FILTER_UP,
    PNGOUT_FILTER_AVERAGE,
    PNGOUT_FILTER_PAETH,
    PNGOUT_FILTER_COUNT,
};

/* Filter one row.
 *   out     `length` bytes; overlaps neither row
 *   row     the row's bytes
 *   above   the row above, unfiltered; zeros for the first
 *   step    bytes of a pixel, at most `length` */
void pngout_filter_row(enum pngout_filter filter, uint8_t *restrict out, const uint8_t *row,
                       const uint8_t *above, size_t length, size_t step);

/* The filter whose bytes, taken as signed, are nearest to 0 in sum (12.8): best for smooth images that are
 * not scaled. `scratch` as `out`. */
enum pngout_filter pngout_filter_nearest(uint8_t *restrict scratch, const uint8_t *row, const uint8_t *above,
                                         size_t length, size_t step);

#endif
