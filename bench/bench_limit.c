/* bench_limit OUTPUT_FOLDER LIST: the least that turning native pictures into PNGs can cost: read a file,
 * scale its samples as PixelScaling: full does, write a PNG that is stored, not compressed. No metadata, no
 * codec, no process but this one.
 *
 * A line of LIST is OFFSET ROWS COLUMNS SIGNED PATH: where the samples (16 bits, little endian, as everything
 * that this is built for) begin in the file, their shape, and 1 where they are signed. The n-th PNG is
 * OUTPUT_FOLDER/n.png. Exit status 1 when anything fails. */
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "worker/decoder/render/render.h"

#define STORED_MAX 65535u /* bytes of a stored block, RFC 1951 Section 3.2.4 */
#define STORED_HEADER 5u

struct picture {
    unsigned long offset;
    unsigned rows, columns, is_signed;
};

/* Both grow to what the largest file needs, and are kept. */
struct buffers {
    uint8_t *in, *out;
    size_t in_size, out_size;
};

static uint8_t *room(uint8_t **bytes, size_t *size, size_t wanted)
{
    if (*size < wanted) {
        *bytes = xrealloc(*bytes, wanted);
        *size = wanted;
    }
    return *bytes;
}

static uint8_t *put_u32(uint8_t *out, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *out++ = (uint8_t)(value >> shift);
    return out;
}

/* `begin` is where the chunk's length goes; its type and data stand behind. */
static uint8_t *end_chunk(uint8_t *begin, uint8_t *end)
{
    (void)put_u32(begin, (uint32_t)(end - begin - 8));
    return put_u32(end, libdeflate_crc32(0, begin + 4, (size_t)(end - begin - 4)));
}

/* Whole rows in each stored block, so that a row can be rendered where it is to stand. */
static uint8_t *put_rows(uint8_t *out, const struct codec_samples *samples, const struct render_plan *plan)
{
    const size_t row_bytes = 1 + 2 * (size_t)samples->columns;
    const uint32_t rows_each = (uint32_t)(STORED_MAX / row_bytes);
    uint32_t adler = 1;
    *out++ = 0x78; /* deflate with a window of 32 kB, no compression */
    *out++ = 0x01;
    for (uint32_t row = 0; row < samples->rows;) {
        uint32_t end = samples->rows - row < rows_each ? samples->rows : row + rows_each;
        uint32_t length = (uint32_t)((end - row) * row_bytes);
        const uint8_t header[STORED_HEADER] = {end == samples->rows, (uint8_t)length, (uint8_t)(length >> 8),
                                               (uint8_t)~length, (uint8_t)(~length >> 8)};
        memcpy(out, header, sizeof header);
        uint8_t *at = out + sizeof header;
        for (; row < end; row++, at += row_bytes) {
            at[0] = 0; /* filter None */
            render_row(samples, plan, row, at + 1);
        }
        adler = libdeflate_adler32(adler, out + sizeof header, length);
        out = at;
    }
    return put_u32(out, adler);
}

static size_t make_png(uint8_t *out, const struct codec_samples *samples, const struct render_plan *plan)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t depth_and_kind[5] = {16, 0, 0, 0, 0}; /* grey, not interlaced */
    uint8_t *at = out;
    memcpy(at, signature, sizeof signature);
    uint8_t *begin = at + sizeof signature;
    memcpy(begin + 4, "IHDR", 4);
    at = put_u32(put_u32(begin + 8, samples->columns), samples->rows);
    memcpy(at, depth_and_kind, sizeof depth_and_kind);
    begin = end_chunk(begin, at + sizeof depth_and_kind);
    memcpy(begin + 4, "IDAT", 4);
    begin = end_chunk(begin, put_rows(begin + 8, samples, plan));
    memcpy(begin + 4, "IEND", 4);
    return (size_t)(end_chunk(begin, begin + 8) - out);
}

static bool read_file(const char *path, struct buffers *buffers, size_t *length)
{
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = descriptor >= 0 && fstat(descriptor, &status) == 0 && status.st_size > 0;
    if (ok) {
        *length = (size_t)status.st_size;
        ok = read(descriptor, room(&buffers->in, &buffers->in_size, *length), *length) == (ssize_t)*length;
    }
    if (descriptor >= 0)
        (void)close(descriptor);
    return ok;
}

static bool write_file(const char *path, const uint8_t *bytes, size_t length)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return descriptor >= 0 && write(descriptor, bytes, length) == (ssize_t)length && close(descriptor) == 0;
}

static bool convert(const struct picture *picture, const char *path, const char *output,
                    struct buffers *buffers)
{
    const struct options options = {.pixel_scaling = PIXEL_SCALING_FULL, .is_16_bit = true};
    const size_t samples_bytes = (size_t)picture->rows * picture->columns * 2;
    struct render_plan plan;
    struct error err = {0};
    size_t length;
    if (!read_file(path, buffers, &length) || picture->offset > length ||
        samples_bytes > length - picture->offset)
        return false;
    struct codec_samples samples = {.data = buffers->in + picture->offset,
                                    .rows = picture->rows,
                                    .columns = picture->columns,
                                    .samples = 1,
                                    .bytes = 2,
                                    .precision = 16,
                                    .is_signed = picture->is_signed != 0};
    /* At least one row in each block: its header, and the filter's byte, for every row is more than enough.
     */
    uint8_t *out = room(&buffers->out, &buffers->out_size,
                        samples_bytes + (size_t)picture->rows * (1 + STORED_HEADER) + 256);
    return render_plan(&samples, 16, false, &options, &plan, &err) &&
           write_file(output, out, make_png(out, &samples, &plan));
}

int main(int argc, char **argv)
{
    struct buffers buffers = {0};
    char *line = NULL;
    size_t capacity = 0;
    bool ok = true;
    FILE *list = argc == 3 ? fopen(argv[2], "r") : NULL;
    if (list == NULL) {
        (void)fprintf(stderr, "usage: bench_limit OUTPUT_FOLDER LIST\n");
        return 2;
    }
    for (unsigned number = 1; ok && getline(&line, &capacity, list) > 0; number++) {
        struct picture picture;
        int at = 0;
        line[strcspn(line, "\n")] = '\0';
        ok = sscanf(line, "%lu %u %u %u %n", &picture.offset, &picture.rows, &picture.columns,
                    &picture.is_signed, &at) == 4 &&
             picture.rows > 0 && picture.columns > 0 && picture.columns < STORED_MAX / 2;
        char *output = xasprintf("%s/%u.png", argv[1], number);
        ok = ok && convert(&picture, line + at, output, &buffers);
        if (!ok)
            (void)fprintf(stderr, "bench_limit: picture %u cannot be read or written\n", number);
        free(output);
    }
    (void)fclose(list);
    free(line);
    free(buffers.in);
    free(buffers.out);
    return ok ? 0 : 1;
}
