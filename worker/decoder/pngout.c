/* One filter for the whole picture: on 16-bit medical images a filter per row by the usual sum of differences
 * makes files larger than no filter at all, since scaling leaves few distinct values, which LZ77 finds when
 * they are unfiltered. So each filter is tried on a few bands of rows, by the compressor that will be used.
 */
#include "worker/decoder/pngout.h"

#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "worker/decoder/deflate.h"

#define BANDS 3
#define SAMPLE_PART 12             /* of all rows, a twelfth is tried */
#define SAMPLE_BYTES_MIN 12288     /* below this a trial says little  */
#define IDAT_BYTES_MAX 0x7fffffffu /* PNG's own limit of a chunk */

enum filter { FILTER_NONE, FILTER_SUB, FILTER_UP, FILTER_AVERAGE, FILTER_PAETH, FILTER_COUNT };

struct pngout {
    struct deflate *deflate;
    uint8_t *pixels; /* height rows, behind one of zeros */
    size_t pixels_capacity;
    uint8_t *filtered;
    size_t filtered_capacity;
    uint8_t *stream;
    size_t stream_capacity;
    struct buffer file;
};

struct pngout *pngout_new(void)
{
    struct pngout *png = xcalloc(1, sizeof *png);
    png->deflate = deflate_new();
    return png;
}

void pngout_free(struct pngout *png)
{
    if (png == NULL)
        return;
    deflate_free(png->deflate);
    free(png->pixels);
    free(png->filtered);
    free(png->stream);
    buffer_clear(&png->file);
    free(png);
}

static bool reserve(uint8_t **memory, size_t *capacity, size_t count, size_t size, struct error *err)
{
    size_t wanted;
    void *larger;
    if (!__builtin_mul_overflow(count, size, &wanted) && wanted <= *capacity)
        return true;
    if (!alloc_pixels(&larger, count, size, 0, err))
        return false;
    free(*memory);
    *memory = larger;
    *capacity = wanted;
    return true;
}

/* ---- filters (ISO/IEC 15948 Section 9) ---- */

static inline uint8_t paeth(int a, int b, int c)
{
    int pa = abs(b - c), pb = abs(a - c), pc = abs(a + b - 2 * c);
    return (uint8_t)(pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
}

/* `step`: bytes of a pixel; `above` is the row before, zeros for the first. */
static void filter_row(enum filter filter, const uint8_t *row, const uint8_t *above, size_t length,
                       size_t step, uint8_t *out)
{
    *out++ = (uint8_t)filter;
    switch (filter) {
    case FILTER_SUB:
        memcpy(out, row, step);
        for (size_t i = step; i < length; i++)
            out[i] = (uint8_t)(row[i] - row[i - step]);
        break;
    case FILTER_UP:
        for (size_t i = 0; i < length; i++)
            out[i] = (uint8_t)(row[i] - above[i]);
        break;
    case FILTER_AVERAGE:
        for (size_t i = 0; i < step; i++)
            out[i] = (uint8_t)(row[i] - above[i] / 2);
        for (size_t i = step; i < length; i++)
            out[i] = (uint8_t)(row[i] - (row[i - step] + above[i]) / 2);
        break;
    case FILTER_PAETH:
        for (size_t i = 0; i < step; i++)
            out[i] = (uint8_t)(row[i] - above[i]);
        for (size_t i = step; i < length; i++)
            out[i] = (uint8_t)(row[i] - paeth(row[i - step], above[i], above[i - step]));
        break;
    default:
        memcpy(out, row, length);
    }
}

struct picture {
    const uint8_t *pixels; /* the first row; the one before it is zeros */
    size_t row_bytes, step;
    uint32_t height;
};

static size_t filter_rows(const struct picture *picture, enum filter filter, uint32_t first, uint32_t count,
                          uint8_t *out)
{
    for (uint32_t row = first; row < first + count; row++) {
        const uint8_t *pixels = picture->pixels + (size_t)row * picture->row_bytes;
        filter_row(filter, pixels, pixels - picture->row_bytes, picture->row_bytes, picture->step, out);
        out += picture->row_bytes + 1;
    }
    return (size_t)count * (picture->row_bytes + 1);
}

/* The filter that makes the sampled bands smallest. */
static enum filter choose_filter(struct pngout *png, const struct picture *picture)
{
    uint32_t rows = picture->height / SAMPLE_PART / BANDS;
    uint32_t least = (uint32_t)(SAMPLE_BYTES_MIN / BANDS / (picture->row_bytes + 1) + 1);
    enum filter best = FILTER_NONE;
    size_t best_bytes = SIZE_MAX;
    rows = rows > least ? rows : least;
    rows = rows * BANDS > picture->height ? picture->height / BANDS : rows;
    for (enum filter filter = FILTER_NONE; filter < FILTER_COUNT && rows > 0; filter++) {
        size_t length = 0;
        for (uint32_t band = 0; band < BANDS; band++) {
            uint32_t first = (uint32_t)((uint64_t)(picture->height - rows) * (2 * band + 1) / (2 * BANDS));
            length += filter_rows(picture, filter, first, rows, png->filtered + length);
        }
        size_t bytes = deflate_zlib(png->deflate, png->filtered, length, png->stream, png->stream_capacity);
        if (bytes > 0 && bytes < best_bytes) {
            best = filter;
            best_bytes = bytes;
        }
    }
    return best;
}

/* ---- framing ---- */

static void append_bytes(png_structp frame, png_bytep bytes, png_size_t length)
{
    buffer_append(png_get_io_ptr(frame), bytes, length);
}

static void flush_nothing(png_structp frame)
{
    (void)frame;
}

/* libpng's part: header, chunks and their checksums. Its errors come back by longjmp(), all within this
 * function, which acquires nothing after setjmp(). */
static bool frame_png(struct pngout *png, const struct pngout_shape *shape, size_t stream_bytes)
{
    png_structp frame = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = frame != NULL ? png_create_info_struct(frame) : NULL;
    if (info == NULL || setjmp(png_jmpbuf(frame)) != 0) {
        png_destroy_write_struct(&frame, &info);
        return false;
    }
    static const png_byte idat[] = "IDAT", iend[] = "IEND";
    png_set_user_limits(frame, 0x7fffffff, 0x7fffffff);
    png_set_write_fn(frame, &png->file, append_bytes, flush_nothing);
    png_set_IHDR(frame, info, shape->width, shape->height, (int)shape->bit_depth,
                 shape->samples == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(frame, info);
    for (size_t at = 0; at < stream_bytes; at += IDAT_BYTES_MAX) {
        size_t length = stream_bytes - at < IDAT_BYTES_MAX ? stream_bytes - at : IDAT_BYTES_MAX;
        png_write_chunk(frame, idat, png->stream + at, length);
    }
    png_write_chunk(frame, iend, NULL, 0);
    png_destroy_write_struct(&frame, &info);
    return true;
}

static bool write_all(int descriptor, const char *bytes, size_t length, struct error *err)
{
    for (size_t done = 0; done < length;) {
        ssize_t count = write(descriptor, bytes + done, length - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
            return error_input(err, CATEGORY_DECODER, full ? CODE_OUTPUT_FULL : CODE_OUTPUT_IO, "%s",
                               strerror(errno));
        }
        done += (size_t)count;
    }
    return true;
}

bool pngout_write(struct pngout *png, int descriptor, const struct pngout_shape *shape, pngout_row_fn *row,
                  void *context, uint64_t *written, struct error *err)
{
    size_t step = (size_t)shape->samples * shape->bit_depth / 8, row_bytes = step * shape->width;
    size_t rows = shape->height;
    if (!reserve(&png->pixels, &png->pixels_capacity, rows + 1, row_bytes, err) ||
        !reserve(&png->filtered, &png->filtered_capacity, rows, row_bytes + 1, err) ||
        !reserve(&png->stream, &png->stream_capacity, deflate_bound(rows * (row_bytes + 1)), 1, err))
        return false;
    struct picture picture = {png->pixels + row_bytes, row_bytes, step, shape->height};
    memset(png->pixels, 0, row_bytes);
    for (uint32_t i = 0; i < shape->height; i++)
        row(context, i, png->pixels + (i + 1) * row_bytes);
    enum filter filter = choose_filter(png, &picture);
    size_t length = filter_rows(&picture, filter, 0, shape->height, png->filtered);
    size_t stream_bytes =
        deflate_zlib(png->deflate, png->filtered, length, png->stream, png->stream_capacity);
    buffer_truncate(&png->file, 0);
    if (stream_bytes == 0 || !frame_png(png, shape, stream_bytes))
        return error_set(err, ERROR_BUG, "cannot make a PNG of %u x %u pixels", shape->width, shape->height);
    *written = png->file.length;
    return write_all(descriptor, png->file.data, png->file.length, err);
}
