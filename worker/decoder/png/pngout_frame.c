#include "worker/decoder/png/pngout_frame.h"

#include <errno.h>
#include <libdeflate.h>
#include <png.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define IDAT_BYTES_MAX (1u << 30) /* the format allows 2^31 - 1 */
#define SMALL_BYTES 256

/* What libpng writes to. Small pieces wait for a large one, and what follows it, and go out with it: one
 * system call for a picture. */
struct sink {
    int descriptor;
    int failure; /* errno, or 0 */
    uint64_t written;
    size_t before_length;
    uint8_t before[SMALL_BYTES];
    const uint8_t *body; /* not copied; NULL: none yet */
    size_t body_length;
    size_t behind_length;
    uint8_t behind[SMALL_BYTES];
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

static bool sink_flush(struct sink *sink)
{
    /* The system only lacks the const. */
    union {
        const uint8_t *borrowed;
        uint8_t *unconst;
    } body = {sink->body};
    struct iovec parts[3] = {{sink->before, sink->before_length},
                             {body.unconst, sink->body_length},
                             {sink->behind, sink->behind_length}};
    sink->before_length = sink->body_length = sink->behind_length = 0;
    sink->body = NULL;
    return write_parts(sink, parts, 3);
}

static bool sink_put(struct sink *sink, const uint8_t *bytes, size_t length)
{
    if ((sink->body == NULL ? sink->before_length : sink->behind_length) + length > SMALL_BYTES &&
        !sink_flush(sink))
        return false;
    if (length > SMALL_BYTES) {
        sink->body = bytes;
        sink->body_length = length;
        return sink_flush(sink);
    }
    uint8_t *held = sink->body == NULL ? sink->before : sink->behind;
    size_t *held_length = sink->body == NULL ? &sink->before_length : &sink->behind_length;
    memcpy(held + *held_length, bytes, length);
    *held_length += length;
    return true;
}

/* `bytes` stay as they are until the next flush. */
static bool sink_put_body(struct sink *sink, const uint8_t *bytes, size_t length)
{
    if (sink->body != NULL && !sink_flush(sink))
        return false;
    sink->body = bytes;
    sink->body_length = length;
    return true;
}

static bool sink_put_u32(struct sink *sink, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                        (uint8_t)value};
    return sink_put(sink, bytes, sizeof bytes);
}

/* A chunk (5.3) without libpng, which would compute the checksum with zlib, ten times slower. */
static bool sink_chunk(struct sink *sink, const char *type, const uint8_t *body, size_t length)
{
    const uint8_t *name = (const uint8_t *)type;
    uint32_t sum = libdeflate_crc32(libdeflate_crc32(0, name, 4), body, length);
    return sink_put_u32(sink, (uint32_t)length) && sink_put(sink, name, 4) &&
           (length == 0 || sink_put_body(sink, body, length)) && sink_put_u32(sink, sum);
}

static void on_write(png_structp libpng, png_bytep bytes, size_t length)
{
    if (!sink_put(png_get_io_ptr(libpng), bytes, length))
        png_error(libpng, "write failed");
}

static void on_flush(png_structp libpng)
{
    (void)libpng; /* nothing is held back but by on_write(), whose rest pngout_frame_write() sends */
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

/* Signature, IHDR and all that stands before IDAT. The only function with a setjmp(): nothing is acquired
 * behind it, and no local changes behind it. */
static bool write_header(struct sink *sink, const struct pngout_shape *shape,
                         const struct pngout_extras *extras)
{
    static const png_byte iccp[5] = "iCCP";
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
    png_destroy_write_struct(&libpng, &info);
    return true;
}

static bool write_rest(struct sink *sink, const uint8_t *stream, size_t length)
{
    for (size_t at = 0; at < length; at += IDAT_BYTES_MAX)
        if (!sink_chunk(sink, "IDAT", stream + at,
                        length - at < IDAT_BYTES_MAX ? length - at : IDAT_BYTES_MAX))
            return false;
    return sink_chunk(sink, "IEND", (const uint8_t *)"", 0) && sink_flush(sink);
}

static bool write_failed(int number, struct error *err)
{
    if (number == ENOMEM)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "no memory for the PNG");
    if (number == EFBIG) /* RLIMIT_FSIZE, or what the file system can hold */
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_OUTPUT,
                           "a picture of more bytes than a file may have here (MaxPictureBytes)");
    bool is_full = number == ENOSPC || number == EDQUOT;
    errno = number;
    (void)error_errno(err, ERROR_INPUT, "cannot write PNG");
    err->category = CATEGORY_DECODER;
    err->code = is_full ? CODE_OUTPUT_FULL : CODE_OUTPUT_IO;
    return false;
}

bool pngout_frame_write(int descriptor, const struct pngout_shape *shape, const struct pngout_extras *extras,
                        const uint8_t *stream, size_t length, uint64_t *written, struct error *err)
{
    struct sink sink = {.descriptor = descriptor};
    if (!write_header(&sink, shape, extras) || !write_rest(&sink, stream, length))
        return write_failed(sink.failure != 0 ? sink.failure : ENOMEM, err);
    *written = sink.written;
    return true;
}
