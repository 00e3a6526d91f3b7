/* bench_codec.h: the partners of bench_codec: each library alone, decoding a codestream to a buffer of its
 * own, as its manual shows it. */
#ifndef NIFFLER_BENCH_BENCH_CODEC_H
#define NIFFLER_BENCH_BENCH_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_stream {
    const uint8_t *bytes;
    size_t length;
    uint32_t rows, columns, samples, bits;
};

/* All return whether the stream was decoded. bench_codec_libraries.c */
bool partner_turbojpeg(const struct bench_stream *stream);
bool partner_charls(const struct bench_stream *stream);
bool partner_openjpeg(const struct bench_stream *stream);
bool partner_libjxl(const struct bench_stream *stream);

/* bench_codec_dcmtk.cc */
bool partner_dcmtk_jpeg(const struct bench_stream *stream);
bool partner_dcmtk_rle(const struct bench_stream *stream);

#ifdef __cplusplus
}
#endif
#endif
