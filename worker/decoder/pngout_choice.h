/* pngout_choice.h: which filter and which compressor suit an image, found out by trying on a sample of its
 * rows. */
#ifndef NIFFLER_WORKER_DECODER_PNGOUT_CHOICE_H
#define NIFFLER_WORKER_DECODER_PNGOUT_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/decoder/pngout_filter.h"
#include "worker/decoder/pngout_runs.h"

/* The whole image, unfiltered. Each row is a byte for the filter's number and row_bytes of pixels. */
struct pngout_rows {
    uint8_t *bytes;
    size_t row_bytes; /* without the filter's byte */
    size_t height;
    size_t step; /* bytes of a pixel */
};

static inline uint8_t *pngout_row(const struct pngout_rows *rows, size_t index)
{
    return rows->bytes + index * (rows->row_bytes + 1);
}

enum pngout_method { PNGOUT_FAST, PNGOUT_DENSE, PNGOUT_RUNS, PNGOUT_METHOD_COUNT };

struct pngout_choice {
    enum pngout_filter filter;
    enum pngout_method method;
};

/* Compresses and says how many bytes came out; at most PNGOUT_SAMPLE_BYTES go in. */
typedef size_t pngout_trial_fn(void *context, enum pngout_method method, const uint8_t *in, size_t length);

/* Rows are taken in groups, since a compressor finds in a row what stood in the ones above it. */
#define PNGOUT_SAMPLE_BYTES (160u << 10)
_Static_assert(PNGOUT_SAMPLE_BYTES <= PNGOUT_RUNS_BLOCK_BYTES, "a sample is looked through at once");

/* Choose.
 *   is_16_bit, is_grey   of the image
 *   scratch              PNGOUT_SAMPLE_BYTES
 *   runs                 overwritten
 *   zeros                row_bytes of them: the row above the first */
struct pngout_choice pngout_choose(const struct pngout_rows *rows, bool is_16_bit, bool is_grey,
                                   uint8_t *scratch, struct pngout_runs *runs, const uint8_t *zeros,
                                   pngout_trial_fn *trial, void *context);

#endif
