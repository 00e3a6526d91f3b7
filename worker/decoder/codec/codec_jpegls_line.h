/* codec_jpegls_line.h: one line of a JPEG-LS scan, the loop in which all the time goes. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_CODEC_JPEGLS_LINE_H
#define NIFFLER_WORKER_DECODER_CODEC_CODEC_JPEGLS_LINE_H

#include "worker/decoder/codec/codec_jpegls_scan.h"

/* Decode scan->line[component], or with interleaved samples the lines of all components, of which `component`
 * is then the first, 0. The lines above and what they say ahead are ready. Returns how many columns are
 * right: all, or those in front of what could not be decoded, where scan->bits.at then is. */
typedef uint32_t jpegls_line_fn(struct jpegls_scan *scan, uint32_t component);

/* The fastest that this machine runs for the scan's coding. */
jpegls_line_fn *jpegls_line_choose(const struct jpegls_scan *scan);

#endif
