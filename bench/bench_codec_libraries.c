/* The C libraries alone. What fails ends the measurement, so nothing is said about why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <charls/charls.h>
#include <jpeglib.h>
#include <jxl/decode.h>
#include <openjpeg.h>

#include "bench/bench_codec.h"
#include "common/alloc.h"

static size_t size_of(const struct bench_stream *stream)
{
    return (size_t)stream->rows * stream->columns * stream->samples * (stream->bits > 8 ? 2 : 1);
}

bool partner_turbojpeg(const struct bench_stream *stream)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    const size_t row_bytes = (size_t)stream->columns * stream->samples;
    uint8_t *out = xmalloc(size_of(stream));
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, stream->bytes, stream->length);
    (void)jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = jpeg.jpeg_color_space;
    (void)jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
        JSAMPROW row = out + jpeg.output_scanline * row_bytes;
        (void)jpeg_read_scanlines(&jpeg, &row, 1);
    }
    (void)jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    free(out);
    return true;
}

bool partner_charls(const struct bench_stream *stream)
{
    charls_frame_info info;
    void *out = xmalloc(size_of(stream));
    charls_jpegls_decoder *decoder = charls_jpegls_decoder_create();
    bool ok = charls_jpegls_decoder_set_source_buffer(decoder, stream->bytes, stream->length) == 0 &&
              charls_jpegls_decoder_read_header(decoder) == 0 &&
              charls_jpegls_decoder_get_frame_info(decoder, &info) == 0 &&
              charls_jpegls_decoder_decode_to_buffer(decoder, out, size_of(stream), 0) == 0;
    charls_jpegls_decoder_destroy(decoder);
    free(out);
    return ok;
}

struct place {
    const struct bench_stream *stream;
    size_t at;
};

static OPJ_SIZE_T read_some(void *buffer, OPJ_SIZE_T count, void *context)
{
    struct place *place = context;
    size_t left = place->stream->length - place->at;
    if (left == 0)
        return (OPJ_SIZE_T)-1;
    count = count < left ? count : left;
    memcpy(buffer, place->stream->bytes + place->at, count);
    place->at += count;
    return count;
}

bool partner_openjpeg(const struct bench_stream *stream)
{
    struct place place = {stream, 0};
    opj_dparameters_t parameters;
    opj_image_t *image = NULL;
    opj_set_default_decoder_parameters(&parameters);
    opj_codec_t *codec = opj_create_decompress(OPJ_CODEC_J2K);
    opj_stream_t *input = opj_stream_default_create(OPJ_TRUE);
    opj_stream_set_read_function(input, read_some);
    opj_stream_set_user_data(input, &place, NULL);
    opj_stream_set_user_data_length(input, stream->length);
    bool ok = opj_setup_decoder(codec, &parameters) && opj_read_header(input, codec, &image) &&
              opj_decode(codec, input, image);
    opj_image_destroy(image);
    opj_stream_destroy(input);
    opj_destroy_codec(codec);
    return ok;
}

bool partner_libjxl(const struct bench_stream *stream)
{
    const JxlPixelFormat format = {.num_channels = stream->samples,
                                   .data_type = stream->bits > 8 ? JXL_TYPE_UINT16 : JXL_TYPE_UINT8,
                                   .endianness = JXL_NATIVE_ENDIAN};
    void *out = xmalloc(size_of(stream));
    JxlDecoder *decoder = JxlDecoderCreate(NULL);
    bool ok = JxlDecoderSubscribeEvents(decoder, JXL_DEC_FULL_IMAGE) == JXL_DEC_SUCCESS &&
              JxlDecoderSetInput(decoder, stream->bytes, stream->length) == JXL_DEC_SUCCESS &&
              JxlDecoderProcessInput(decoder) == JXL_DEC_NEED_IMAGE_OUT_BUFFER &&
              JxlDecoderSetImageOutBuffer(decoder, &format, out, size_of(stream)) == JXL_DEC_SUCCESS &&
              JxlDecoderProcessInput(decoder) == JXL_DEC_FULL_IMAGE;
    JxlDecoderDestroy(decoder);
    free(out);
    return ok;
}
