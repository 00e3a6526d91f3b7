#include "worker/decoder/codec/codec.h"

#include <openjpeg.h>
#include <string.h>

#include "worker/decoder/codec/jpeg2000_extensions.h"
#include "worker/decoder/codec/jpeg2000_header.h"

/* The stream in memory, and the first complaint of the library. */
struct source {
    const uint8_t *bytes;
    size_t length;
    size_t at;
    char complaint[120];
    uint32_t warnings;
    struct jpeg2000_extensions header;
};

static OPJ_SIZE_T source_read(void *buffer, OPJ_SIZE_T count, void *context)
{
    struct source *source = context;
    size_t left = source->length - source->at;
    if (left == 0)
        return (OPJ_SIZE_T)-1;
    if (count > left)
        count = left;
    memcpy(buffer, source->bytes + source->at, count);
    source->at += count;
    return count;
}

static OPJ_OFF_T source_skip(OPJ_OFF_T count, void *context)
{
    struct source *source = context;
    if (count < 0)
        return -1;
    size_t left = source->length - source->at;
    size_t step = (uint64_t)count > left ? left : (size_t)count;
    source->at += step;
    return step == 0 && count > 0 ? -1 : (OPJ_OFF_T)step;
}

static OPJ_BOOL source_seek(OPJ_OFF_T offset, void *context)
{
    struct source *source = context;
    if (offset < 0 || (uint64_t)offset > source->length)
        return OPJ_FALSE;
    source->at = (size_t)offset;
    return OPJ_TRUE;
}

static void keep_complaint(const char *text, void *context)
{
    struct source *source = context;
    size_t length = 0;
    if (source->complaint[0] != '\0')
        return;
    for (; text[length] != '\0' && length + 1 < sizeof source->complaint; length++)
        source->complaint[length] = text[length] >= ' ' && text[length] <= '~' ? text[length] : ' ';
    while (length > 0 && source->complaint[length - 1] == ' ')
        length--;
    source->complaint[length] = '\0';
}

static void count_warning(const char *text, void *context)
{
    struct source *source = context;
    (void)text;
    source->warnings++;
}

static void ignore_message(const char *text, void *context)
{
    (void)text;
    (void)context;
}

static bool refuse(const struct source *source, struct error *err)
{
    return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "the JPEG 2000 codec refuses the %sstream: %s",
                       source->header.is_part_2 ? "Part 2 " : "",
                       source->complaint[0] != '\0' ? source->complaint : "no reason given");
}

/* A JP2 file begins with its signature box, a raw codestream with SOC and SIZ. */
static OPJ_CODEC_FORMAT format_of(const uint8_t *stream, size_t length)
{
    static const uint8_t jp2[] = {0, 0, 0, 12, 'j', 'P', ' ', ' ', '\r', '\n', 0x87, '\n'};
    static const uint8_t raw[] = {0xFF, 0x4F, 0xFF, 0x51};
    if (length >= sizeof jp2 && memcmp(stream, jp2, sizeof jp2) == 0)
        return OPJ_CODEC_JP2;
    if (length >= sizeof raw && memcmp(stream, raw, sizeof raw) == 0)
        return OPJ_CODEC_J2K;
    return OPJ_CODEC_UNKNOWN;
}

static opj_stream_t *open_stream(struct source *source)
{
    /* The library reads through a block of this size; a large one would be allocated for each small frame. */
    size_t block = source->length < 65536 ? source->length : 65536;
    opj_stream_t *stream = opj_stream_create(block, OPJ_TRUE);
    if (stream == NULL)
        return NULL;
    opj_stream_set_read_function(stream, source_read);
    opj_stream_set_skip_function(stream, source_skip);
    opj_stream_set_seek_function(stream, source_seek);
    opj_stream_set_user_data(stream, source, NULL);
    opj_stream_set_user_data_length(stream, source->length);
    return stream;
}

static bool contradicts_size(uint64_t rows, uint64_t columns, const struct codec_frame *frame,
                             struct error *err)
{
    return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                       "the JPEG 2000 stream has %llu x %llu pixels, the header says %u x %u",
                       (unsigned long long)rows, (unsigned long long)columns, frame->rows, frame->columns);
}

static bool contradicts_components(uint32_t components, const struct codec_frame *frame, struct error *err)
{
    return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                       "the JPEG 2000 stream has %u components, the header says %u", components,
                       frame->samples);
}

/* The codestream's own numbers, before the library reads them: it asks for memory for each component of each
 * tile. A JP2's palette makes three components of one. */
static bool check_header(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                         struct error *err)
{
    struct jpeg2000_size size;
    if (!jpeg2000_header_read(stream, length, &size))
        return true; /* what is wrong with it is for the library to say */
    if (size.rows != frame->rows || size.columns != frame->columns)
        return contradicts_size(size.rows, size.columns, frame, err);
    if (size.components != frame->samples && size.components != 1)
        return contradicts_components(size.components, frame, err);
    return !size.has_too_many_tiles ||
           error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC,
                       "the JPEG 2000 stream has no tiles, or more than can be numbered");
}

/* The same by what the library made of it, before it asks for the samples' memory. */
static bool check_image(const opj_image_t *image, const struct codec_frame *frame, struct error *err)
{
    uint32_t columns = image->x1 - image->x0, rows = image->y1 - image->y0;
    if (rows != frame->rows || columns != frame->columns)
        return contradicts_size(rows, columns, frame, err);
    if (image->numcomps == 0)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "a JPEG 2000 stream without components");
    for (uint32_t i = 0; i < image->numcomps; i++) {
        const opj_image_comp_t *component = &image->comps[i];
        if (component->prec != image->comps[0].prec || component->sgnd != image->comps[0].sgnd)
            return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                               "JPEG 2000 components of unequal depth");
        if (component->dx == 0 || component->dy == 0)
            return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "JPEG 2000 components without spacing");
    }
    if (image->comps[0].prec < 1 || image->comps[0].prec > 32)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS, "JPEG 2000 samples of %u bits",
                           image->comps[0].prec);
    return true;
}

/* Weave one component into the frame. The casts cut nothing: the library clips to the precision. */
#define WEAVE(type)                                                                        \
    do {                                                                                   \
        type *to = (type *)out->data + index;                                              \
        for (uint32_t row = 0; row < out->rows; row++) {                                   \
            const OPJ_INT32 *from = component->data + (size_t)row * component->w;          \
            for (uint32_t column = 0; column < out->columns; column++, to += out->samples) \
                *to = (type)(uint32_t)from[column];                                        \
        }                                                                                  \
    } while (0)

static void weave(const opj_image_comp_t *component, uint32_t index, struct codec_samples *out)
{
    if (out->bytes == 1)
        WEAVE(uint8_t);
    else if (out->bytes == 2)
        WEAVE(uint16_t);
    else
        WEAVE(uint32_t);
}

/* The sample of a line of `count`, the first at `first`, that stands for a place on the reference grid: the
 * last one before it (ISO/IEC 15444-1 Annex B.2). */
static uint32_t sparse_index(uint64_t place, uint32_t spacing, uint32_t first, uint32_t count)
{
    uint64_t at = place / spacing;
    if (at <= first)
        return 0;
    return at - first < count ? (uint32_t)(at - first) : count - 1;
}

/* The same for a component of fewer samples than pixels. */
static void weave_sparse(const opj_image_t *image, uint32_t index, struct codec_samples *out)
{
    const opj_image_comp_t *component = &image->comps[index];
    uint8_t *data = out->data;
    for (uint32_t row = 0; row < out->rows; row++) {
        uint32_t y = sparse_index((uint64_t)image->y0 + row, component->dy, component->y0, component->h);
        const OPJ_INT32 *from = component->data + (size_t)y * component->w;
        for (uint32_t column = 0; column < out->columns; column++) {
            uint32_t x =
                sparse_index((uint64_t)image->x0 + column, component->dx, component->x0, component->w);
            uint32_t value = (uint32_t)from[x];
            size_t place = ((size_t)row * out->columns + column) * out->samples + index;
            if (out->bytes == 1)
                data[place] = (uint8_t)value;
            else if (out->bytes == 2)
                ((uint16_t *)out->data)[place] = (uint16_t)value;
            else
                ((uint32_t *)out->data)[place] = value;
        }
    }
}

static bool collect(const opj_image_t *image, bool has_transform, const struct codec_frame *frame,
                    struct codec_samples *out, struct error *err)
{
    const opj_image_comp_t *first = &image->comps[0];
    /* A JP2's palette may have turned one component into three by now, so this is not known earlier. */
    if (image->numcomps != frame->samples)
        return contradicts_components(image->numcomps, frame, err);
    uint32_t bytes = first->prec <= 8 ? 1 : first->prec <= 16 ? 2 : 4;
    if (!codec_samples_reserve(out, frame->rows, frame->columns, frame->samples, bytes, err))
        return false;
    out->precision = first->prec;
    out->is_signed = first->sgnd != 0;
    /* The component transform makes RGB of what was coded, whatever the header calls it. What a JP2's own
     * header says of colour has no role in DICOM, and is often a guess of the writer (PS3.5 8.2.4). */
    if (has_transform && out->samples == 3)
        out->colour = CODEC_COLOUR_RGB;
    for (uint32_t i = 0; i < image->numcomps; i++) {
        const opj_image_comp_t *component = &image->comps[i];
        if (component->data == NULL || component->w == 0 || component->h == 0)
            return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "JPEG 2000 component %u is missing", i);
        if (component->prec != first->prec || component->sgnd != first->sgnd)
            return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                               "JPEG 2000 components of unequal depth");
        if (component->w == out->columns && component->h == out->rows)
            weave(component, i, out);
        else
            weave_sparse(image, i, out);
    }
    return true;
}

static bool uses_transform(opj_codec_t *codec)
{
    opj_codestream_info_v2_t *info = opj_get_cstr_info(codec);
    bool used = info != NULL && info->m_default_tile_info.mct == 1;
    opj_destroy_cstr_info(&info);
    return used;
}

static bool decode(const uint8_t *stream, size_t length, bool strict, const struct codec_frame *frame,
                   struct codec_samples *out, struct error *err)
{
    struct source source = {.bytes = stream, .length = length};
    opj_stream_t *input = NULL;
    opj_codec_t *codec = NULL;
    opj_image_t *image = NULL;
    opj_dparameters_t parameters;
    bool ok = false;

    OPJ_CODEC_FORMAT format = format_of(stream, length);
    if (format == OPJ_CODEC_UNKNOWN)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "no JPEG 2000 codestream");
    jpeg2000_extensions_read(stream, length, &source.header);
    if (source.header.extension != NULL)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                           "JPEG 2000 Part 2 is not decoded: %s", source.header.extension);
    if (!check_header(stream, length, frame, err))
        return false;
    opj_set_default_decoder_parameters(&parameters);
    /* A palette of a JP2's own is looked up where the header wants colour, and else belongs to the header. */
    if (frame->samples == 1)
        parameters.flags |= OPJ_DPARAMETERS_IGNORE_PCLR_CMAP_CDEF_FLAG;
    codec = opj_create_decompress(format);
    input = open_stream(&source);
    if (codec == NULL || input == NULL) {
        (void)error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY,
                          "the JPEG 2000 codec has not enough memory");
        goto out;
    }
    (void)opj_set_error_handler(codec, keep_complaint, &source);
    (void)opj_set_warning_handler(codec, count_warning, &source);
    (void)opj_set_info_handler(codec, ignore_message, NULL);
    if (!opj_setup_decoder(codec, &parameters) ||
        !opj_decoder_set_strict_mode(codec, strict ? OPJ_TRUE : OPJ_FALSE) ||
        !opj_read_header(input, codec, &image)) {
        (void)refuse(&source, err);
        goto out;
    }
    if (!check_image(image, frame, err))
        goto out;
    bool has_transform = uses_transform(codec);
    if (!opj_decode(codec, input, image)) {
        (void)refuse(&source, err);
        goto out;
    }
    if (!collect(image, has_transform, frame, out, err))
        goto out;
    out->warnings = source.warnings;
    ok = true;
out:
    opj_image_destroy(image);
    opj_destroy_codec(codec);
    opj_stream_destroy(input);
    return ok;
}

/* Whether coded data stands behind a tile's header. */
static bool holds_data(const uint8_t *stream, size_t length)
{
    const uint8_t *start = memmem(stream, length, "\xFF\x93", 2);
    return start != NULL && start + 2 < stream + length;
}

bool codec_jpeg2000_openjpeg(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                             struct codec_samples *out, struct error *err)
{
    struct error ignored;
    /* Strict: a stream that ends early is refused rather than filled up. The library does not miss whole
     * tiles. */
    if (decode(stream, length, true, frame, out, err)) {
        if (jpeg2000_header_has_all_tiles(stream, length))
            return true;
        (void)error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT,
                          "tiles of the JPEG 2000 stream are missing");
    }
    if (!frame->allow_truncated || !holds_data(stream, length) ||
        !decode(stream, length, false, frame, out, &ignored))
        return false;
    out->ends_early = true;
    return true;
}

bool codec_jpeg2000(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                    struct codec_samples *out, struct error *err)
{
    return codec_jpeg2000_own(stream, length, frame, out) ||
           codec_jpeg2000_openjpeg(stream, length, frame, out, err);
}
