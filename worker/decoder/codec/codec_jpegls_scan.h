/* codec_jpegls_scan.h: the coded data of a JPEG-LS scan to rows of samples (ITU-T T.87 Annex A, B).
 *
 * Used so: jpegls_scan_init() with what the headers say; then, for each restart interval, jpegls_unstuff()
 * and jpegls_scan_decode(); jpegls_scan_clear(). The letters A, B, C, N, k and J are T.87's own. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_CODEC_JPEGLS_SCAN_H
#define NIFFLER_WORKER_DECODER_CODEC_CODEC_JPEGLS_SCAN_H

#include <stdint.h>

#include "common/error.h"
#include "worker/decoder/codec/codec_jpegls_bits.h"

#define JPEGLS_COMPONENTS 4u
#define JPEGLS_CONTEXTS 365u
#define JPEGLS_K_MAX 16u
#define JPEGLS_FILL 8u /* samples that are written at once, and so perhaps beyond the end of a line */

enum jpegls_interleave { JPEGLS_BY_PLANE, JPEGLS_BY_LINE, JPEGLS_BY_SAMPLE };

/* Of an LSE segment; 0: the default (C.2.4.1.1). */
struct jpegls_preset {
    uint32_t maxval;
    uint32_t t1;
    uint32_t t2;
    uint32_t t3;
    uint32_t reset;
};

struct jpegls_setup {
    struct jpegls_preset preset;
    uint32_t precision; /* 2 to 16 */
    uint32_t columns;
    uint32_t components; /* of this scan, 1 to 4 */
    uint32_t near;
    enum jpegls_interleave interleave;
};

/* What follows from the setup (A.2.1); T.87's names in brackets. */
struct jpegls_coding {
    int32_t maxval;       /* greatest sample                                                    */
    int32_t near;         /* greatest difference from the original                              */
    int32_t step;         /* 2 * near + 1                                                       */
    int32_t range;        /* number of different errors (RANGE)                                 */
    int32_t wrap;         /* range * step: what lies between samples that are coded alike       */
    uint32_t reset;       /* number of errors after which the older ones count half (RESET)     */
    uint32_t raw_bits;    /* of an error that is not coded by its unary part (qbpp)             */
    uint32_t longest;     /* bits of the longest code (LIMIT)                                   */
    uint32_t zeros_max;   /* of the unary part, in regular mode                                 */
    uint32_t zeros_short; /* fewer zeros: a code that one peek holds                            */
    uint16_t levels[4];   /* least difference of each level: near + 1, T1, T2, T3               */
};

/* Of regular mode. k and what else is derived is kept, so that it is ready when the next pixel of this
 * context comes: its computation stays out of the chain from one pixel to the next. */
struct jpegls_context {
    uint32_t a;
    int32_t b;
    uint16_t n;
    int16_t c;
    uint16_t k;
    int16_t flip; /* -1: the errors' order is turned round (A.5.2) */
};
_Static_assert(sizeof(struct jpegls_context) == 16, "contexts are found by multiples of 16");

/* Of the sample that ends a run. */
struct jpegls_run_context {
    uint32_t a;
    uint32_t n;
    uint32_t negative; /* Nn */
};

/* What the row above says of each column before its row is decoded: arrays. Q1 and Q2 are levels of
 * differences above, from -4 to 4 (A.3.3). */
struct jpegls_ahead {
    int16_t *steps;   /* Q1; [-1] too                                                            */
    uint16_t *places; /* the context if Q3 is 0, in bytes from the first: 16 * 9 * |9 * Q1 + Q2| */
    int16_t *signs;   /* -1: of Q1 and Q2 the mirror image has a context (A.3.4)                 */
    int32_t *centres; /* levels[centre - left] is Q3, or where it is the mirror image's, -Q3     */
    uint16_t *rises;  /* by which the sample above exceeds the one to its left, or 0             */
    uint16_t *falls;  /* by which it falls short of it, or 0                                     */
};

struct jpegls_scan {
    struct jpegls_coding coding;
    struct jpegls_bits bits;
    uint32_t columns;
    uint32_t components;
    bool by_sample;
    bool has_samples; /* a line has begun, since jpegls_scan_init() */
    struct jpegls_context contexts[JPEGLS_CONTEXTS];
    struct jpegls_run_context runs[2]; /* [1]: left and above are alike */
    uint32_t run_index[JPEGLS_COMPONENTS];
    /* 16 times the level of a difference (A.3.3), from -maxval to maxval; and the same negated, `negated`
     * entries further on. */
    const int8_t *levels;
    int32_t negated;
    /* The row being decoded and the one above, each with a sample more in front, and JPEGLS_FILL behind. */
    uint16_t *line[JPEGLS_COMPONENTS];
    uint16_t *above[JPEGLS_COMPONENTS];
    struct jpegls_ahead ahead[JPEGLS_COMPONENTS];
    void *table; /* what is to be freed */
    void *lines;
};

/* How a row, or part of one, ended. */
enum jpegls_outcome {
    JPEGLS_DECODED,
    JPEGLS_ENDS_EARLY, /* the coded data end before the samples do */
    JPEGLS_INVALID     /* no JPEG-LS writer makes such data        */
};

/* Make ready for a scan. `scan` is zeroed at first; jpegls_scan_clear() frees, after a failure too. Fails
 * with ERROR_INPUT when the setup is not one that T.87 allows, or when there is no memory. */
MUST_CHECK bool jpegls_scan_init(struct jpegls_scan *scan, const struct jpegls_setup *setup,
                                 struct error *err);
void jpegls_scan_clear(struct jpegls_scan *scan);

/* Begin the scan, or an interval of it, whose coded data are `bits`. */
void jpegls_scan_restart(struct jpegls_scan *scan, const struct jpegls_bits *bits);

/* Decode the next row of all components: scan->line[] then holds *columns right samples of each component,
 * and if these are not all, 0 in the others. With lines that are interleaved the first components may be
 * whole: *columns is that of the worst. */
enum jpegls_outcome jpegls_scan_row(struct jpegls_scan *scan, uint32_t *columns);

#endif
