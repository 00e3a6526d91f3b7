/* jpeg_header.h: what a JPEG or JPEG-LS stream says of itself (ITU-T T.81 Annex B, T.87 Annex C).
 *
 * Read before a codec sees the stream: the shape is checked against the header of the file before memory is
 * asked for, and the colour space is decided by what the stream says rather than by a codec's guess. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_JPEG_HEADER_H
#define NIFFLER_WORKER_DECODER_CODEC_JPEG_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum jpeg_marker {
    MARKER_TEM = 0x01,
    MARKER_SOF0 = 0xC0,
    MARKER_SOF3 = 0xC3,
    MARKER_DHT = 0xC4,
    MARKER_JPG = 0xC8,
    MARKER_DAC = 0xCC,
    MARKER_SOF15 = 0xCF,
    MARKER_RST0 = 0xD0,
    MARKER_SOI = 0xD8,
    MARKER_EOI = 0xD9,
    MARKER_SOS = 0xDA,
    MARKER_DRI = 0xDD,
    MARKER_APP0 = 0xE0,
    MARKER_APP14 = 0xEE,
    MARKER_APP15 = 0xEF,
    MARKER_SOF55 = 0xF7,
    MARKER_COM = 0xFE,
};

struct jpeg_segment {
    uint8_t marker;
    const uint8_t *body; /* behind its length; of a marker that stands alone, behind the marker */
    size_t length;       /* of the body; 0 for a marker that stands alone                       */
    bool is_clean;       /* nothing but fill bytes stood in front                               */
};

/* The next segment from *at on, which is put behind it. Not-allowed bytes between segments are skipped, as
 * every decoder does. Returns NULL, or what is wrong. */
MUST_CHECK const char *jpeg_segment_next(const uint8_t *stream, size_t length, size_t *at,
                                         struct jpeg_segment *segment);

struct jpeg_header {
    size_t scan;         /* where the first scan's coded data begins              */
    bool is_ls;          /* JPEG-LS                                               */
    uint32_t process;    /* n of its SOFn marker (T.81 Table B.1), which JPEG-LS has not */
    bool is_lossless;    /* JPEG-LS, or a lossless process of T.81                */
    uint32_t precision;  /* bits per sample, 2 to 16                              */
    uint32_t rows;       /* at least 1                                            */
    uint32_t columns;    /* at least 1                                            */
    uint32_t components; /* 1 to 4                                                */
    uint8_t ids[4];      /* component identifiers                                 */
    uint8_t sampling[4]; /* their horizontal factor * 16 + their vertical one     */
    bool has_jfif;       /* an APP0 segment "JFIF"                                */
    int adobe_transform; /* of an APP14 segment "Adobe": 0, 1 or 2; -1: none      */
};

/* Read all segments up to the first scan. Fails with ERROR_INPUT, category 3, CODE_CODEC when it is no such
 * stream, when a segment is cut, or when the frame header is one that T.81 does not allow. */
MUST_CHECK bool jpeg_header_read(const uint8_t *stream, size_t length, struct jpeg_header *header,
                                 struct error *err);

/* Whether three components are YCbCr: 1, RGB: 0, or the stream does not say: -1. A JFIF marker wins over an
 * Adobe one, as JFIF allows nothing else; both win over component identifiers. */
int jpeg_header_is_ycbcr(const struct jpeg_header *header);

#ifdef __cplusplus
}
#endif
#endif
