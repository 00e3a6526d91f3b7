/* codec.h: compressed frames to samples, one function for each family.
 *
 * Every codec takes the whole compressed stream of one frame and gives samples pixel by pixel (planar
 * configuration 0), at the *codestream's* precision, never masked to BitsStored. A codec does no colour
 * conversion but the one that belongs to its codestream (JPEG 2000's component transform); a JPEG's YCbCr
 * stays so, and image.c converts it. A JPEG, RLE or JPEG-LS stream knows no sign: PixelRepresentation
 * decides, in image.c.
 *
 * All fail with ERROR_INPUT: category 3, CODE_CODEC (the stream is refused, with the codec's reason) or
 * CODE_UNSUPPORTED_PIXELS (components of unequal depth, more than 32 bits); category 2, CODE_TOO_SHORT or
 * CODE_MALFORMED (rows, columns or samples contradict the header); category 4, CODE_LIMIT_MEMORY. */
#ifndef NIFFLER_WORKER_DECODER_CODEC_CODEC_H
#define NIFFLER_WORKER_DECODER_CODEC_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How the pixel data of a transfer syntax is packed. */
enum codec_family {
    CODEC_NATIVE,      /* not encapsulated, or "Encapsulated Uncompressed": plain containers */
    CODEC_DEFLATE,     /* "Deflated Image Frame Compression": containers, deflated (RFC 1951) */
    CODEC_RLE,         /* codec_rle()      */
    CODEC_DCMTK,       /* codec_dcmtk()    */
    CODEC_JPEGLS,      /* codec_jpegls()   */
    CODEC_JPEG2000,    /* codec_jpeg2000() */
    CODEC_JPEGXL,      /* codec_jpegxl()   */
    CODEC_NOT_DECODED, /* known, and nothing here decodes it */
    CODEC_NOT_KNOWN,
};

/* The family of a transfer syntax UID; an empty one is native. *reason is set for CODEC_NOT_DECODED and says
 * what the syntax is; may be NULL. */
enum codec_family codec_family(const char *transfer_syntax, const char **reason);

/* What the header says of a frame; the codec checks its stream against it. */
struct codec_frame {
    uint32_t rows;
    uint32_t columns;
    uint32_t samples;        /* per pixel: 1, 3 or 4          */
    uint32_t bits_allocated; /* 1, 8, 16, 32                  */
    uint32_t bits_stored;
    bool is_signed;       /* PixelRepresentation 1         */
    bool allow_truncated; /* a stream that ends early is decoded as far as it goes, the rest being 0 or what
                             the codec makes of it; not one that holds nothing of the picture */
};

/* Samples in native byte order. `data` is owned by the caller: a codec grows it by codec_samples_reserve()
 * and it is reused from frame to frame. Zeroed at first; codec_samples_clear() frees. */
struct codec_samples {
    void *data;
    size_t capacity; /* bytes allocated */
    uint32_t rows;
    uint32_t columns;
    uint32_t samples;   /* per pixel */
    uint32_t bytes;     /* per sample: 1, 2 or 4 */
    uint32_t precision; /* bits of the codestream */
    bool is_signed;     /* `data` holds intN_t */
    bool is_float;      /* 4: float, 8: double (then bytes is 4 or 8) */
    enum {
        CODEC_COLOUR_AS_HEADER,
        CODEC_COLOUR_RGB,
        CODEC_COLOUR_YCBCR
    } colour;              /* what the stream itself says */
    uint32_t warnings;     /* the codec found the stream damaged, and decoded it nevertheless */
    bool ends_early;       /* the stream did, with allow_truncated                            */
    uint64_t missing;      /* bytes of the samples that are 0 for that reason, where it is known */
    const char *overruled; /* what of the stream was not taken at its word, for the row; NULL: nothing */
};

/* Set the shape and see that `data` holds rows * columns * samples * bytes; what it held is lost. The other
 * members become zero. */
MUST_CHECK bool codec_samples_reserve(struct codec_samples *out, uint32_t rows, uint32_t columns,
                                      uint32_t samples, uint32_t bytes, struct error *err);
void codec_samples_clear(struct codec_samples *out);

/* Number of samples, and of bytes, that the shape means. */
static inline size_t codec_samples_count(const struct codec_samples *samples)
{
    return (size_t)samples->rows * samples->columns * samples->samples;
}

/* An integer sample, wherever speed does not count. */
static inline int64_t codec_sample(const struct codec_samples *samples, size_t index)
{
    const void *data = samples->data;
    switch (samples->bytes) {
    case 1:
        return samples->is_signed ? ((const int8_t *)data)[index] : ((const uint8_t *)data)[index];
    case 2:
        return samples->is_signed ? ((const int16_t *)data)[index] : ((const uint16_t *)data)[index];
    default:
        return samples->is_signed ? ((const int32_t *)data)[index] : (int64_t)((const uint32_t *)data)[index];
    }
}

/* Load what the codecs need before confinement (tables, code pages). codec_dcmtk.cc */
void codec_init(void);

/* RLE, PS3.5 Annex G. Samples of 1, 8, 16 or 32 bits allocated, as containers: not shifted, not masked. More
 * segments than needed, or longer ones, do no harm; a count that is too small is overruled by places of
 * segments behind it. codec_rle.c */
MUST_CHECK bool codec_rle(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                          struct codec_samples *out, struct error *err);

/* Every JPEG: baseline, extended (8 and 12 bit), spectral, progressive, lossless of every predictor (ITU-T
 * T.81). What codec_jpeg8() or codec_jpeg_lossless() takes is handed on to it, and a JPEG-LS stream too.
 * `transfer_syntax` is for the error text. codec_dcmtk.cc: the only C++ */
MUST_CHECK bool codec_dcmtk(const uint8_t *stream, size_t length, const char *transfer_syntax,
                            const struct codec_frame *frame, struct codec_samples *out, struct error *err);

/* The commonest JPEG by libjpeg-turbo: 8 bits, sequential or progressive. codec_dcmtk() hands it on when
 * codec_jpeg8_takes() it, with the shape of `out` set to the header's. codec_jpeg8.c */
struct jpeg_header;
bool codec_jpeg8_takes(const struct jpeg_header *header);
MUST_CHECK bool codec_jpeg8(const uint8_t *stream, size_t length, bool allow_truncated,
                            struct codec_samples *out, struct error *err);

/* Lossless JPEG coded by Huffman's method (T.81, process 14), by a decoder of our own: codec_dcmtk() asks it
 * first when codec_jpeg_lossless_takes() the stream, with the shape of `out` set to the header's. Returns
 * whether it was decoded. It is not when anything is wrong or unusual in it, or memory is short; then the
 * samples are not defined, and DCMTK has the word. codec_jpeg_lossless.c */
bool codec_jpeg_lossless_takes(const struct jpeg_header *header);
MUST_CHECK bool codec_jpeg_lossless(const uint8_t *stream, size_t length, const struct jpeg_header *header,
                                    struct codec_samples *out);

/* JPEG-LS (ITU-T T.87), lossless and near-lossless, 2 to 16 bits, 1 to 4 components. What the standard has
 * and this has not is refused by name: mapping tables, components of unequal size, a point transform. With
 * allow_truncated the rows and samples that the stream holds are exact, and the others 0. codec_jpegls.c */
MUST_CHECK bool codec_jpegls(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                             struct codec_samples *out, struct error *err);

/* JPEG 2000 Part 1 and HTJ2K (ISO/IEC 15444-1, -15), as raw codestream or in a JP2 file, by
 * codec_jpeg2000_own() or by OpenJPEG. What goes beyond, into Part 2, is refused with
 * CODE_UNSUPPORTED_PIXELS. codec_jpeg2000.c */
MUST_CHECK bool codec_jpeg2000(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                               struct codec_samples *out, struct error *err);

/* The same by OpenJPEG alone: what codec_jpeg2000_own() is measured by. */
MUST_CHECK bool codec_jpeg2000_openjpeg(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                                        struct codec_samples *out, struct error *err);

/* What is common of it, by a decoder of our own: a raw codestream of 1 or 3 components of up to 16 bits,
 * reversible. Returns whether it was decoded, to what OpenJPEG gives. It is not when anything is wrong or
 * unusual in it, or memory is short; then the samples are not defined. codec_jpeg2000_own.c */
MUST_CHECK bool codec_jpeg2000_own(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                                   struct codec_samples *out);

/* JPEG XL by libjxl (ISO/IEC 18181), as raw codestream or in its container, a JPEG packed into one included:
 * integer samples of 1 to 16 bits, grey or RGB, and one frame. What was coded as XYB comes out as sRGB.
 * Where libjxl meets the limit of memory inside a frame it ends the process. codec_jpegxl.c */
MUST_CHECK bool codec_jpegxl(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                             struct codec_samples *out, struct error *err);

#ifdef __cplusplus
}
#endif
#endif
