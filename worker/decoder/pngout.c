#include "worker/decoder/pngout.h"

#include <assert.h>
#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/alloc.h"
#include "worker/decoder/pngout_choice.h"
#include "worker/decoder/pngout_deflate.h"

#define IDAT_BYTES_MAX (1u << 30) /* the format allows 2^31 - 1 */
#define SMALL_BYTES 256

struct block {
    uint8_t *bytes;
    size_t capacity;
};

struct pngout {
    const struct pngout_deflate *deflates[PNGOUT_METHOD_COUNT];
    void *states[PNGOUT_METHOD_COUNT];
    struct block raw;    /* the image; filtered in place */
    struct block row;    /* one row, filtered            */
    struct block zeros;  /* the row above the first      */
    struct block stream; /* compressed                   */
    struct block sample;
    struct pngout_runs *runs;
    int forced_filter; /* -1: choose */
    int forced_method;
};

static const struct pngout_deflate *deflate_for(enum pngout_method method)
{
    switch (method) {
    case PNGOUT_DENSE:
        return &pngout_deflate_libdeflate_2;
    case PNGOUT_RUNS:
        return &pngout_deflate_runs;
    default:
#ifdef NIFFLER_HAVE_ISAL
        return &pngout_deflate_isal;
#else
        return &pngout_deflate_libdeflate_1;
#endif
    }
}

struct pngout *pngout_new(void)
{
    struct pngout *png = xcalloc(1, sizeof *png);
    png->forced_filter = png->forced_method = -1;
    png->runs = xcalloc(1, sizeof *png->runs);
    for (enum pngout_method method = 0; method < PNGOUT_METHOD_COUNT; method++) {
        png->deflates[method] = deflate_for(method);
        png->states[method] = png->deflates[method]->new_state();
    }
    return png;
}

void pngout_free(struct pngout *png)
{
    if (png == NULL)
        return;
    for (enum pngout_method method = 0; method < PNGOUT_METHOD_COUNT; method++)
        png->deflates[method]->free_state(png->states[method]);
    free(png->raw.bytes);
    free(png->row.bytes);
    free(png->zeros.bytes);
    free(png->stream.bytes);
    free(png->sample.bytes);
    free(png->runs);
    free(png);
}

void pngout_force(struct pngout *png, const struct pngout_deflate *deflate, int filter)
{
    png->forced_filter = filter;
    png->forced_method = -1;
    if (deflate == NULL)
        return;
    png->deflates[PNGOUT_FAST]->free_state(png->states[PNGOUT_FAST]);
    png->deflates[PNGOUT_FAST] = deflate;
    png->states[PNGOUT_FAST] = deflate->new_state();
    png->forced_method = PNGOUT_FAST;
}

/* Without keeping the content, and never smaller: pictures of a series have one size. */
static bool reserve(struct block *block, size_t count, size_t size, struct error *err)
{
    void *bytes;
    size_t total;
    if (!__builtin_mul_overflow(count, size, &total) && total <= block->capacity)
        return true;
    free(block->bytes);
    *block = (struct block){0};
    if (!alloc_pixels(&bytes, count, size, 0, err))
        return false;
    block->bytes = bytes;
    block->capacity = total;
    return true;
}

/* ---- filtering and compressing --------------------------------------------------------------------- */

static size_t try_sample(void *context, enum pngout_method method, const uint8_t *in, size_t length)
{
    struct pngout *png = context;
    size_t size = png->deflates[method]->compress(png->states[method], in, length, png->stream.bytes,
                                                  png->stream.capacity);
    return size == 0 ? SIZE_MAX : size;
}

static struct pngout_choice choose(struct pngout *png, const struct pngout_rows *rows,
                                   const struct pngout_shape *shape)
{
    struct pngout_choice choice = {(enum pngout_filter)png->forced_filter,
                                   (enum pngout_method)png->forced_method};
    if (png->forced_filter < 0 || png->forced_method < 0) {
        struct pngout_choice chosen =
            pngout_choose(rows, shape->bit_depth == 16, shape->samples == 1, png->sample.bytes, png->runs,
                          png->zeros.bytes, try_sample, png);
        if (png->forced_filter < 0)
            choice.filter = chosen.filter;
        if (png->forced_method < 0)
            choice.method = chosen.method;
    }
    return choice;
}

/* From the last row up, since each needs the one above it unfiltered: so the image is in memory once, not
 * twice. */
static void filter_all(struct pngout *png, const struct pngout_rows *rows, enum pngout_filter filter)
{
    for (size_t row = rows->height; row-- > 0;) {
        uint8_t *bytes = pngout_row(rows, row);
        bytes[0] = (uint8_t)filter;
        if (filter == PNGOUT_FILTER_NONE)
            continue;
        const uint8_t *above = row == 0 ? png->zeros.bytes : pngout_row(rows, row - 1) + 1;
        pngout_filter_row(filter, png->row.bytes, bytes + 1, above, rows->row_bytes, rows->step);
        memcpy(bytes + 1, png->row.bytes, rows->row_bytes);
    }
}

/* Rows in, zlib stream in png->stream. */
static bool compress_rows(struct pngout *png, const struct pngout_rows *rows,
                          const struct pngout_shape *shape, size_t *length, struct error *err)
{
    size_t total = (rows->row_bytes + 1) * rows->height;
    /* Noise does not shrink: room for it stored, in blocks with their headers; the sample needs room too. */
    size_t room = (total > PNGOUT_SAMPLE_BYTES ? total : PNGOUT_SAMPLE_BYTES) + total / 64 + 4096;
    if (!reserve(&png->stream, room, 1, err))
        return false;
    struct pngout_choice choice = choose(png, rows, shape);
    filter_all(png, rows, choice.filter);
    for (;;) {
        *length = png->deflates[choice.method]->compress(png->states[choice.method], rows->bytes, total,
                                                         png->stream.bytes, png->stream.capacity);
        if (*length > 0)
            return true;
        if (!reserve(&png->stream, png->stream.capacity, 2, err))
            return false;
    }
}

/* ---- framing by libpng ----------------------------------------------------------------------------- */

/* What libpng writes to. Small pieces wait for a large one and go out with it: two system calls for a
 * picture. */
struct sink {
    int descriptor;
    int failure; /* errno, or 0 */
    uint64_t written;
    size_t small_length;
    uint8_t small[SMALL_BYTES];
};

static bool write_parts(struct sink *sink, struct iovec *parts, int count)
{
    for (;;) {
        for (; count > 0 && parts->iov_len == 0; parts++, count--) {
        }
        if (count == 0)
            return true;
        ssize_t n = writev(sink->descriptor, parts, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            sink->failure = n < 0 ? errno : EIO;
            return false;
        }
        sink->written += (uint64_t)n;
        size_t done = (size_t)n;
        for (int i = 0; i < count && done > 0; i++) {
            size_t of_part = done < parts[i].iov_len ? done : parts[i].iov_len;
            parts[i].iov_base = (uint8_t *)parts[i].iov_base + of_part;
            parts[i].iov_len -= of_part;
            done -= of_part;
        }
    }
}

static bool sink_flush(struct sink *sink, uint8_t *bytes, size_t length)
{
    struct iovec parts[2] = {{sink->small, sink->small_length}, {bytes, length}};
    sink->small_length = 0;
    return write_parts(sink, parts, 2);
}

static void on_write(png_structp libpng, png_bytep bytes, size_t length)
{
    struct sink *sink = png_get_io_ptr(libpng);
    if (sink->small_length + length <= sizeof sink->small) {
        memcpy(sink->small + sink->small_length, bytes, length);
        sink->small_length += length;
    } else if (!sink_flush(sink, bytes, length)) {
        png_error(libpng, "write failed");
    }
}

static void on_flush(png_structp libpng)
{
    (void)libpng; /* nothing is held back but by on_write(), whose rest write_png() sends */
}

static void on_error(png_structp libpng, png_const_charp text)
{
    (void)text; /* the sink knows why */
    png_longjmp(libpng, 1);
}

static void on_warning(png_structp libpng, png_const_charp text)
{
    (void)libpng;
    (void)text;
}

/* libpng keeps what it is told here for png_write_info(). */
static void set_extras(png_structp libpng, png_infop info, const struct pngout_shape *shape,
                       const struct pngout_extras *extras)
{
    uint32_t x = extras->pixels_per_unit_x, y = extras->pixels_per_unit_y;
    if (extras->significant_bits >= 1 && extras->significant_bits < shape->bit_depth) {
        png_byte bits = (png_byte)extras->significant_bits;
        png_set_sBIT(libpng, info, &(png_color_8){.red = bits, .green = bits, .blue = bits, .gray = bits});
    }
    if (x >= 1 && x <= PNG_UINT_31_MAX && y >= 1 && y <= PNG_UINT_31_MAX)
        png_set_pHYs(libpng, info, x, y,
                     extras->is_per_metre ? PNG_RESOLUTION_METER : PNG_RESOLUTION_UNKNOWN);
}

/* The only function with a setjmp(): nothing is acquired behind it, and no local changes behind it.
 * png_write_end() is not called, because libpng refuses it when it has not compressed the image itself; IEND
 * is written as the chunk it is. */
static bool write_png(struct sink *sink, const struct pngout_shape *shape, const struct pngout_extras *extras,
                      const uint8_t *stream, size_t length)
{
    static const png_byte idat[5] = "IDAT", iend[5] = "IEND", iccp[5] = "iCCP";
    const struct pngout_profile *profile = shape->samples == 3 ? extras->profile : NULL;
    png_infop info = NULL;
    png_structp libpng = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning);
    if (libpng != NULL)
        info = png_create_info_struct(libpng);
    if (info == NULL) {
        sink->failure = ENOMEM;
        png_destroy_write_struct(&libpng, NULL);
        return false;
    }
    if (setjmp(png_jmpbuf(libpng)) != 0) {
        png_destroy_write_struct(&libpng, &info);
        return false;
    }
    png_set_write_fn(libpng, sink, on_write, on_flush);
    png_set_user_limits(libpng, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(libpng, info, shape->width, shape->height, (int)shape->bit_depth,
                 shape->samples == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    set_extras(libpng, info, shape, extras);
    png_write_info(libpng, info);
    if (profile != NULL && profile->length > 0)
        png_write_chunk(libpng, iccp, profile->chunk, profile->length);
    for (size_t at = 0; at < length; at += IDAT_BYTES_MAX)
        png_write_chunk(libpng, idat, stream + at,
                        length - at < IDAT_BYTES_MAX ? length - at : IDAT_BYTES_MAX);
    png_write_chunk(libpng, iend, NULL, 0);
    png_destroy_write_struct(&libpng, &info);
    return sink_flush(sink, NULL, 0);
}

static bool write_failed(int number, struct error *err)
{
    if (number == ENOMEM)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "no memory for the PNG");
    bool is_full = number == ENOSPC || number == EDQUOT;
    errno = number;
    (void)error_errno(err, ERROR_INPUT, "cannot write PNG");
    err->category = CATEGORY_DECODER;
    err->code = is_full ? CODE_OUTPUT_FULL : CODE_OUTPUT_IO;
    return false;
}

bool pngout_write(struct pngout *png, int descriptor, const struct pngout_shape *shape,
                  const struct pngout_extras *extras, pngout_row_fn *row, void *context, uint64_t *written,
                  struct error *err)
{
    static const struct pngout_extras no_extras;
    assert(shape->width > 0 && shape->height > 0 && shape->width <= PNG_UINT_31_MAX &&
           shape->height <= PNG_UINT_31_MAX);
    assert((shape->samples == 1 || shape->samples == 3) && (shape->bit_depth == 8 || shape->bit_depth == 16));
    *written = 0;
    size_t step = (size_t)shape->samples * shape->bit_depth / 8;
    struct pngout_rows rows = {.row_bytes = shape->width * step, .height = shape->height, .step = step};
    for (size_t i = 0; i < PNGOUT_METHOD_COUNT; i++) {
        if (png->states[i] == NULL)
            return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "no memory for the compressor");
    }
    if (!reserve(&png->raw, rows.row_bytes + 1, rows.height, err) ||
        !reserve(&png->row, rows.row_bytes, 1, err) || !reserve(&png->zeros, rows.row_bytes, 1, err) ||
        !reserve(&png->sample, PNGOUT_SAMPLE_BYTES, 1, err))
        return false;
    rows.bytes = png->raw.bytes;
    memset(png->zeros.bytes, 0, rows.row_bytes);
    for (uint32_t i = 0; i < shape->height; i++)
        row(context, i, pngout_row(&rows, i) + 1);

    size_t length;
    if (!compress_rows(png, &rows, shape, &length, err))
        return false;
    struct sink sink = {.descriptor = descriptor};
    if (!write_png(&sink, shape, extras != NULL ? extras : &no_extras, png->stream.bytes, length))
        return write_failed(sink.failure != 0 ? sink.failure : ENOMEM, err);
    *written = sink.written;
    return true;
}
