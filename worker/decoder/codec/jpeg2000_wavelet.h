/* jpeg2000_wavelet.h: the reversible 5/3 wavelet, backwards (ISO/IEC 15444-1 Annex F.3), row by row: a level
 * asks the one below for its low-pass rows as it needs them, so that all but the subbands stays in the
 * processor's cache.
 *
 * All arithmetic is modulo 2^32, as it comes out of OpenJPEG for samples that no encoder makes. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG2000_WAVELET_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG2000_WAVELET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define WAVELET_LEVELS 10u

/* A subband or picture of rows x columns, whole rows one behind the other. */
struct wavelet_band {
    const int32_t *samples;
    uint32_t columns, rows;
};

/* What a level makes of the one below: rows of `columns` samples, the first at an odd or even place. */
struct wavelet_level {
    struct wavelet_band hl, lh, hh;
    uint32_t columns, rows;
    bool is_odd_x, is_odd_y; /* the first column or row is high-pass */
    /* Of its own. */
    uint32_t next;      /* row */
    uint32_t next_low;  /* rows of the low-pass half that were taken, */
    uint32_t next_high; /* and of the high-pass one */
    int32_t *even[2];   /* the last two even rows, [0] the newer one */
    int32_t *high[2];   /* the last two high-pass rows, likewise */
    int32_t *odd;
};

struct wavelet {
    struct wavelet_band ll;
    uint32_t levels;
    struct wavelet_level level[WAVELET_LEVELS]; /* [0] is the lowest */
    uint32_t next_ll;                           /* row */
    void *rows;                                 /* owned: of all levels */
};

/* Begin with `ll`, `levels` and of each level its bands, size and oddness set, all else zero. Fails with
 * ERROR_INPUT where there is no memory. wavelet_clear() frees, after a failure too. */
MUST_CHECK bool wavelet_begin(struct wavelet *wavelet, struct error *err);
void wavelet_clear(struct wavelet *wavelet);

/* The next row of the picture, valid until the next call. Not to be called for more rows than there are. */
const int32_t *wavelet_next_row(struct wavelet *wavelet);

#endif
