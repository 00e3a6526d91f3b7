/* The commonest JPEG by libjpeg-turbo, which takes less than half the time of DCMTK's copy of the older
 * library. The two keep out of each other's way: DCMTK's functions have names of their own. */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>
#include <jerror.h>

#include "worker/decoder/codec/codec.h"
#include "worker/decoder/codec/jpeg_header.h"

#define ROWS_AT_ONCE 16u /* what one row of blocks gives, with chroma of half height */

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    jmp_buf failed;
    char complaint[JMSG_LENGTH_MAX];
    bool out_of_memory;
    bool ended; /* all of the stream was read, and more was wanted */
};

bool codec_jpeg8_takes(const struct jpeg_header *header)
{
    /* Sequential and progressive, by Huffman's or by arithmetic coding: T.81 Table B.1. */
    static const uint32_t processes = 1u << 0 | 1u << 1 | 1u << 2 | 1u << 9 | 1u << 10;
    return header->precision == 8 && !header->is_ls && (processes >> header->process & 1) != 0;
}

/* ---- what the library calls -------------------------------------------------------------------- */

static void fail(j_common_ptr common)
{
    struct reader *reader = common->client_data;
    reader->out_of_memory = common->err->msg_code == JERR_OUT_OF_MEMORY;
    (*common->err->format_message)(common, reader->complaint);
    longjmp(reader->failed, 1);
}

static void ignore_text(j_common_ptr common)
{
    (void)common;
}

static void begin(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

/* The stream lies in memory as a whole: whoever wants more gets the marker that ends it. */
static boolean end_of_image(j_decompress_ptr jpeg)
{
    static const JOCTET marker[] = {0xFF, JPEG_EOI};
    struct reader *reader = jpeg->client_data;
    reader->ended = true;
    jpeg->src->next_input_byte = marker;
    jpeg->src->bytes_in_buffer = sizeof marker;
    return TRUE;
}

static void skip(j_decompress_ptr jpeg, long count)
{
    if (count <= 0)
        return;
    if ((size_t)count > jpeg->src->bytes_in_buffer) {
        (void)end_of_image(jpeg);
        return;
    }
    jpeg->src->next_input_byte += count;
    jpeg->src->bytes_in_buffer -= (size_t)count;
}

/* ---- decoding ---------------------------------------------------------------------------------- */

static void open_reader(struct reader *reader, const uint8_t *stream, size_t length)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    jpeg->err = jpeg_std_error(&reader->errors);
    reader->errors.error_exit = fail;
    reader->errors.output_message = ignore_text;
    jpeg->client_data = reader;
    jpeg_create_decompress(jpeg);
    reader->source = (struct jpeg_source_mgr){.next_input_byte = stream,
                                              .bytes_in_buffer = length,
                                              .init_source = begin,
                                              .fill_input_buffer = end_of_image,
                                              .skip_input_data = skip,
                                              .resync_to_restart = jpeg_resync_to_restart,
                                              .term_source = begin};
    jpeg->src = &reader->source;
}

static void read_rows(struct jpeg_decompress_struct *jpeg, struct codec_samples *out)
{
    const size_t row_bytes = (size_t)out->columns * out->samples;
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW rows[ROWS_AT_ONCE];
        const uint32_t left = jpeg->output_height - jpeg->output_scanline;
        const uint32_t count = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE;
        for (uint32_t i = 0; i < count; i++)
            rows[i] = (JSAMPROW)out->data + (jpeg->output_scanline + i) * row_bytes;
        (void)jpeg_read_scanlines(jpeg, rows, count);
    }
}

/* Whether a scan that refines the coefficients never came. */
static bool is_unrefined(const struct jpeg_decompress_struct *jpeg)
{
    if (!jpeg->progressive_mode || jpeg->coef_bits == NULL)
        return false;
    for (int component = 0; component < jpeg->num_components; component++)
        for (int i = 0; i < DCTSIZE2; i++)
            if (jpeg->coef_bits[component][i] != 0)
                return true;
    return false;
}

static bool shape_is(const struct jpeg_decompress_struct *jpeg, const struct codec_samples *out)
{
    return jpeg->image_height == out->rows && jpeg->image_width == out->columns &&
           (uint32_t)jpeg->num_components == out->samples && jpeg->data_precision == 8;
}

static bool decode(struct reader *reader, const uint8_t *stream, size_t length, bool allow_truncated,
                   struct codec_samples *out, struct error *err)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (setjmp(reader->failed) != 0)
        return reader->out_of_memory
                   ? error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "the codec has not enough memory")
                   : error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC,
                                 "the JPEG codec refuses the stream: %.100s", reader->complaint);
    open_reader(reader, stream, length);
    (void)jpeg_read_header(jpeg, TRUE);
    if (!shape_is(jpeg, out))
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "the JPEG stream contradicts itself");
    /* No conversion of colour: what the components are is for others to say. */
    jpeg->jpeg_color_space = JCS_UNKNOWN;
    jpeg->out_color_space = JCS_UNKNOWN;
    jpeg->dct_method = JDCT_ISLOW;
    (void)jpeg_start_decompress(jpeg);
    read_rows(jpeg, out);
    const long warnings = reader->errors.num_warnings;
    bool is_refined = !is_unrefined(jpeg);
    (void)jpeg_finish_decompress(jpeg);
    /* Where only the marker at the end is missing, the frame is whole. */
    out->ends_early = reader->ended && (warnings > 0 || !is_refined);
    if (out->ends_early && !allow_truncated)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "the JPEG stream ends early");
    out->warnings = (uint32_t)warnings;
    return true;
}

bool codec_jpeg8(const uint8_t *stream, size_t length, bool allow_truncated, struct codec_samples *out,
                 struct error *err)
{
    struct reader reader = {.ended = false};
    bool ok = decode(&reader, stream, length, allow_truncated, out, err);
    jpeg_destroy_decompress(&reader.jpeg);
    return ok;
}
