/* pngout_sample.h: some rows of an image, from which to judge filters and compressors.
 *
 * Rows are taken in groups, since a compressor finds in a row what stood in the ones above it. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_SAMPLE_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "worker/decoder/png/pngout.h"
#include "worker/decoder/png/pngout_filter.h"

#define PNGOUT_SAMPLE_BYTES_MAX (64u << 10)

/* Where an image's rows come from: pngout_write(). */
struct pngout_source {
    pngout_row_fn *row;
    void *context;
    size_t row_bytes;
    uint32_t height;
    size_t step; /* bytes of a pixel */
};

struct pngout_sample {
    size_t groups;     /* each of `group_rows` rows, with the row above the first before them */
    size_t group_rows; /* all rows of the image where it is its own sample, then there is one group */
    size_t row_bytes;  /* less than the image's for a row longer than the sample may be */
    size_t step;
    uint8_t *rows; /* unfiltered; every second group first, so that the first half is a sample, too */
};

/* What room a sample of at least `least` bytes and about one byte in `share` takes: bytes of its `rows`.
 * Fills in the other members. */
size_t pngout_sample_plan(struct pngout_sample *sample, const struct pngout_source *source, size_t least,
                          size_t share);

/* Fetch the rows. `whole_row` has room for one of the image. */
void pngout_sample_take(struct pngout_sample *sample, const struct pngout_source *source, uint8_t *whole_row);

/* Filter it as the image would be, each row behind the number of its filter. `out` has room for
 * PNGOUT_SAMPLE_BYTES_MAX. Returns how many bytes there are. */
size_t pngout_sample_filter(const struct pngout_sample *sample, enum pngout_filter filter, uint8_t *out);

#endif
