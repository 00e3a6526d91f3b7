/* bench_recode PNG...: write the same pixels again with libpng's default settings.
 *
 * A line for each: bytes of the file and of libpng's, bits of a sample, samples of a pixel, CPU milliseconds
 * of libpng's writing. */
#include <endian.h>
#include <png.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct result {
    size_t ours, theirs;
    int bits, samples;
    double milliseconds;
};

static void count_bytes(png_structp png, png_bytep bytes, png_size_t length)
{
    (void)bytes;
    *(size_t *)png_get_io_ptr(png) += length;
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

/* Bytes of the ancillary chunks: those whose type begins with a small letter. */
static bool ancillary_bytes(FILE *file, size_t *bytes)
{
    uint8_t header[8];
    *bytes = 0;
    if (fseek(file, 8, SEEK_SET) != 0)
        return false;
    while (fread(header, 1, sizeof header, file) == sizeof header) {
        uint32_t word;
        memcpy(&word, header, sizeof word);
        const long length = (long)be32toh(word);
        if ((header[4] & 0x20) != 0)
            *bytes += (size_t)length + 12;
        if (fseek(file, length + 4, SEEK_CUR) != 0)
            return false;
    }
    return true;
}

static double cpu_milliseconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static bool recode(FILE *file, struct result *result)
{
    png_structp in = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_structp out = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(in), out_info = png_create_info_struct(out);
    if (setjmp(png_jmpbuf(in)) != 0 || setjmp(png_jmpbuf(out)) != 0)
        return false;
    png_init_io(in, file);
    png_read_png(in, info, PNG_TRANSFORM_IDENTITY, NULL);
    result->bits = png_get_bit_depth(in, info);
    result->samples = png_get_channels(in, info);
    double begin = cpu_milliseconds();
    png_set_write_fn(out, &result->theirs, count_bytes, flush_nothing);
    png_set_IHDR(out, out_info, png_get_image_width(in, info), png_get_image_height(in, info), result->bits,
                 png_get_color_type(in, info), PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_rows(out, out_info, png_get_rows(in, info));
    png_write_png(out, out_info, PNG_TRANSFORM_IDENTITY, NULL);
    result->milliseconds = cpu_milliseconds() - begin;
    png_destroy_write_struct(&out, &out_info);
    png_destroy_read_struct(&in, &info, NULL);
    return true;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct result result = {0};
        size_t ancillary;
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL || !recode(file, &result) || !ancillary_bytes(file, &ancillary) ||
            fseek(file, 0, SEEK_END) != 0) {
            (void)fprintf(stderr, "bench_recode: cannot read '%s'\n", argv[i]);
            return 1;
        }
        result.ours = (size_t)ftell(file) - ancillary;
        (void)fclose(file);
        printf("%zu %zu %d %d %.3f\n", result.ours, result.theirs, result.bits, result.samples,
               result.milliseconds);
    }
    return 0;
}
