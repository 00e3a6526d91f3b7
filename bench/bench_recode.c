/* bench_recode PNG...: write the same pixels again with libpng's default settings, and add up the bytes of
 * both. */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>

static void count_bytes(png_structp png, png_bytep bytes, png_size_t length)
{
    (void)bytes;
    *(size_t *)png_get_io_ptr(png) += length;
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static size_t recode(const char *path)
{
    FILE *file = fopen(path, "rb");
    png_structp in = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_structp out = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(in), out_info = png_create_info_struct(out);
    size_t bytes = 0;
    if (file == NULL || setjmp(png_jmpbuf(in)) != 0 || setjmp(png_jmpbuf(out)) != 0) {
        (void)fprintf(stderr, "bench_recode: cannot read '%s'\n", path);
        exit(1);
    }
    png_init_io(in, file);
    png_read_png(in, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_set_write_fn(out, &bytes, count_bytes, flush_nothing);
    png_set_IHDR(out, out_info, png_get_image_width(in, info), png_get_image_height(in, info),
                 png_get_bit_depth(in, info), png_get_color_type(in, info), PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_rows(out, out_info, png_get_rows(in, info));
    png_write_png(out, out_info, PNG_TRANSFORM_IDENTITY, NULL);
    png_destroy_write_struct(&out, &out_info);
    png_destroy_read_struct(&in, &info, NULL);
    (void)fclose(file);
    return bytes;
}

static size_t size_of(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        exit(1);
    long size = ftell(file);
    (void)fclose(file);
    return (size_t)size;
}

int main(int argc, char **argv)
{
    size_t ours = 0, theirs = 0;
    for (int i = 1; i < argc; i++) {
        ours += size_of(argv[i]);
        theirs += recode(argv[i]);
    }
    printf("%zu %zu\n", ours, theirs);
    return 0;
}
