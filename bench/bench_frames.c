/* bench_frames jpeg OUTPUT_FOLDER JPEG...     decode each by libjpeg-turbo, write it as PNG by libpng, level
 * 1 bench_frames openjpeg CODESTREAM...         decode each by OpenJPEG and let the samples go
 *
 * What a program of nothing but the libraries costs; bench/run measures the process. Exit status 1 when
 * anything fails. */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "bench/bench_codec.h"
#include "common/alloc.h"

struct file {
    uint8_t *bytes; /* kept from file to file */
    size_t length;
    size_t capacity;
};

static bool read_file(const char *path, struct file *content)
{
    long size = -1;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    if (fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    rewind(file);
    content->length = size > 0 ? (size_t)size : 0;
    if (content->capacity < content->length) {
        content->bytes = xrealloc(content->bytes, content->length);
        content->capacity = content->length;
    }
    bool ok = size > 0 && fread(content->bytes, 1, content->length, file) == content->length;
    (void)fclose(file);
    return ok;
}

/* ---- JPEG to PNG ---- */

struct frame {
    uint32_t width, height, samples;
    uint8_t *pixels;
    size_t capacity;
};

static bool decode_jpeg(const struct file *content, struct frame *frame)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors); /* ends the process where the stream is none */
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, content->bytes, content->length);
    (void)jpeg_read_header(&jpeg, TRUE);
    (void)jpeg_start_decompress(&jpeg);
    frame->width = jpeg.output_width;
    frame->height = jpeg.output_height;
    frame->samples = (uint32_t)jpeg.output_components;
    const size_t row_bytes = (size_t)frame->width * frame->samples;
    if (frame->capacity < row_bytes * frame->height) {
        frame->capacity = row_bytes * frame->height;
        frame->pixels = xrealloc(frame->pixels, frame->capacity);
    }
    while (jpeg.output_scanline < jpeg.output_height) {
        JSAMPROW row = frame->pixels + jpeg.output_scanline * row_bytes;
        (void)jpeg_read_scanlines(&jpeg, &row, 1);
    }
    bool ok = jpeg_finish_decompress(&jpeg) != 0;
    jpeg_destroy_decompress(&jpeg);
    return ok;
}

static bool write_png(const char *path, const struct frame *frame)
{
    FILE *file = fopen(path, "wb");
    png_structp libpng = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(libpng);
    if (file == NULL || info == NULL || setjmp(png_jmpbuf(libpng)) != 0)
        return false;
    png_init_io(libpng, file);
    png_set_compression_level(libpng, 1);
    png_set_IHDR(libpng, info, frame->width, frame->height, 8,
                 frame->samples == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(libpng, info);
    for (uint32_t row = 0; row < frame->height; row++)
        png_write_row(libpng, frame->pixels + (size_t)row * frame->width * frame->samples);
    png_write_end(libpng, info);
    png_destroy_write_struct(&libpng, &info);
    return fclose(file) == 0;
}

static bool run_jpeg(int argc, char **argv)
{
    struct file content = {0};
    struct frame frame = {0};
    bool ok = argc > 3;
    for (int i = 3; ok && i < argc; i++) {
        char *path = xasprintf("%s/%d.png", argv[2], i - 2);
        ok = read_file(argv[i], &content) && decode_jpeg(&content, &frame) && write_png(path, &frame);
        free(path);
    }
    free(content.bytes);
    free(frame.pixels);
    return ok;
}

/* ---- OpenJPEG ---- */

static bool run_openjpeg(int argc, char **argv)
{
    struct file content = {0};
    bool ok = argc > 2;
    for (int i = 2; ok && i < argc; i++) {
        ok = read_file(argv[i], &content);
        const struct bench_stream stream = {.bytes = content.bytes, .length = content.length};
        ok = ok && partner_openjpeg(&stream);
    }
    free(content.bytes);
    return ok;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    bool ok;
    if (strcmp(what, "jpeg") == 0) {
        ok = run_jpeg(argc, argv);
    } else if (strcmp(what, "openjpeg") == 0) {
        ok = run_openjpeg(argc, argv);
    } else {
        (void)fprintf(stderr, "usage: bench_frames jpeg OUTPUT_FOLDER FILE... | openjpeg FILE...\n");
        return 2;
    }
    if (!ok)
        (void)fprintf(stderr, "bench_frames: a file cannot be read, decoded or written\n");
    return ok ? 0 : 1;
}
