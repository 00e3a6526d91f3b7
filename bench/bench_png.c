/* bench_png [--repeat N] [FILE.pnm ...]: our PNG writer against libpng's default, on the same pixels in the
 * same process.
 *
 * Files are binary PGM or PPM of 8 or 16 bits; without any, three made-up pictures are taken. A line for
 * each: bytes and CPU milliseconds (median of N, default 5) of both, and their ratios; then the totals. Every
 * PNG of ours is decoded again by libpng and compared. Exit status 1 if one differs or cannot be written. */
#include <fcntl.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "worker/decoder/png/pngout.h"

#define REPEATS_MAX 101

struct picture {
    char name[64];
    struct pngout_shape shape;
    size_t row_bytes;
    uint8_t *bytes;
};

struct result {
    uint64_t bytes;
    double milliseconds;
};

struct memory {
    uint8_t *bytes;
    size_t length;
    size_t capacity;
    size_t at;
};

static double cpu_milliseconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void set_shape(struct picture *picture, uint32_t width, uint32_t height, uint32_t samples,
                      uint32_t bits)
{
    picture->shape = (struct pngout_shape){width, height, samples, bits};
    picture->row_bytes = (size_t)width * samples * bits / 8;
    picture->bytes = xmalloc(picture->row_bytes * height);
}

/* ---- pictures -------------------------------------------------------------------------------------- */

static uint32_t noise(uint32_t *state, uint32_t range)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % range;
}

/* A round body with organs and noise of 12 significant bits, scaled to `bits`; around it air, without noise.
 */
static void make_phantom(struct picture *picture, uint32_t size, uint32_t samples, uint32_t bits)
{
    uint32_t state = 1;
    set_shape(picture, size, size, samples, bits);
    (void)snprintf(picture->name, sizeof picture->name, "phantom-%ux%u-%ux%u", size, size, samples, bits);
    uint8_t *out = picture->bytes;
    for (uint32_t y = 0; y < size; y++) {
        for (uint32_t x = 0; x < size * samples; x++) {
            double u = 2.0 * (x / samples) / size - 1, v = 2.0 * y / size - 1, r = u * u + v * v;
            if (samples == 3 && x % 3 > 0) { /* grey, as most of a colour ultrasound is */
                memcpy(out, out - bits / 8, bits / 8);
                out += bits / 8;
                continue;
            }
            double value = 0;
            if (r < 0.7)
                value = 1000 + 300 * r + (r < 0.1 ? 200 : 0) + (u > 0.3 && v > 0.2 ? 900 : 0) +
                        noise(&state, 24) + noise(&state, 24);
            uint32_t scaled = (uint32_t)(value / 2400 * (bits == 16 ? 65535 : 255));
            if (bits == 16)
                *out++ = (uint8_t)(scaled >> 8);
            *out++ = (uint8_t)scaled;
        }
    }
}

static bool read_pnm(const char *path, struct picture *picture)
{
    char kind;
    unsigned width, height, white;
    bool ok = false;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    if (fscanf(file, "P%c %u %u %u", &kind, &width, &height, &white) != 4 || (kind != '5' && kind != '6') ||
        fgetc(file) == EOF || width == 0 || height == 0 || width > 65535 || height > 65535)
        goto out;
    const char *slash = strrchr(path, '/');
    (void)snprintf(picture->name, sizeof picture->name, "%.63s", slash == NULL ? path : slash + 1);
    set_shape(picture, width, height, kind == '6' ? 3 : 1, white > 255 ? 16 : 8);
    ok = fread(picture->bytes, picture->row_bytes, height, file) == height;
out:
    (void)fclose(file);
    return ok;
}

/* ---- the two writers ------------------------------------------------------------------------------- */

static void to_memory(png_structp libpng, png_bytep bytes, size_t length)
{
    struct memory *memory = png_get_io_ptr(libpng);
    if (memory->capacity - memory->length < length) {
        memory->capacity = memory->capacity * 2 + length;
        memory->bytes = xrealloc(memory->bytes, memory->capacity);
    }
    memcpy(memory->bytes + memory->length, bytes, length);
    memory->length += length;
}

static void no_flush(png_structp libpng)
{
    (void)libpng;
}

static bool write_by_libpng(const struct picture *picture, struct memory *memory)
{
    memory->length = 0;
    png_structp libpng = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(libpng);
    if (info == NULL || setjmp(png_jmpbuf(libpng)) != 0) {
        png_destroy_write_struct(&libpng, &info);
        return false;
    }
    png_set_write_fn(libpng, memory, to_memory, no_flush);
    png_set_IHDR(libpng, info, picture->shape.width, picture->shape.height, (int)picture->shape.bit_depth,
                 picture->shape.samples == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(libpng, info);
    for (uint32_t row = 0; row < picture->shape.height; row++)
        png_write_row(libpng, picture->bytes + row * picture->row_bytes);
    png_write_end(libpng, info);
    png_destroy_write_struct(&libpng, &info);
    return true;
}

static void copy_row(void *context, uint32_t row, uint8_t *out)
{
    const struct picture *picture = context;
    memcpy(out, picture->bytes + row * picture->row_bytes, picture->row_bytes);
}

static void from_memory(png_structp libpng, png_bytep bytes, size_t length)
{
    struct memory *memory = png_get_io_ptr(libpng);
    if (memory->length - memory->at < length)
        png_error(libpng, "too short");
    memcpy(bytes, memory->bytes + memory->at, length);
    memory->at += length;
}

static bool is_same(const struct picture *picture, int descriptor, uint64_t length, uint8_t *row)
{
    void *map = mmap(NULL, length, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (map == MAP_FAILED)
        return false;
    struct memory memory = {.bytes = map, .length = length};
    volatile bool same = false;
    png_structp libpng = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(libpng);
    if (info == NULL || setjmp(png_jmpbuf(libpng)) != 0)
        goto out;
    png_set_read_fn(libpng, &memory, from_memory);
    png_read_info(libpng, info);
    same = png_get_image_width(libpng, info) == picture->shape.width &&
           png_get_image_height(libpng, info) == picture->shape.height &&
           png_get_rowbytes(libpng, info) == picture->row_bytes;
    for (uint32_t i = 0; same && i < picture->shape.height; i++) {
        png_read_row(libpng, row, NULL);
        same = memcmp(row, picture->bytes + i * picture->row_bytes, picture->row_bytes) == 0;
    }
    if (same)
        png_read_end(libpng, NULL);
out:
    png_destroy_read_struct(&libpng, &info, NULL);
    (void)munmap(map, length);
    return same;
}

/* ---- measuring ------------------------------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return values[count / 2];
}

static bool measure(struct pngout *png, struct picture *picture, int repeats, struct result *ours,
                    struct result *theirs)
{
    struct memory memory = {0};
    struct error err;
    double our_times[REPEATS_MAX], their_times[REPEATS_MAX];
    bool ok = false;
    uint8_t *row = xmalloc(picture->row_bytes);
    int descriptor = memfd_create("bench_png", MFD_CLOEXEC);
    if (descriptor < 0)
        goto out;
    for (int i = 0; i < repeats; i++) {
        double start = cpu_milliseconds();
        if (lseek(descriptor, 0, SEEK_SET) != 0 || ftruncate(descriptor, 0) != 0 ||
            !pngout_write(png, descriptor, &picture->shape, NULL, copy_row, picture, &ours->bytes, &err))
            goto out;
        our_times[i] = cpu_milliseconds() - start;
        start = cpu_milliseconds();
        if (!write_by_libpng(picture, &memory))
            goto out;
        their_times[i] = cpu_milliseconds() - start;
    }
    theirs->bytes = memory.length;
    ours->milliseconds = median(our_times, repeats);
    theirs->milliseconds = median(their_times, repeats);
    ok = is_same(picture, descriptor, ours->bytes, row);
out:
    if (descriptor >= 0)
        (void)close(descriptor);
    free(memory.bytes);
    free(row);
    return ok;
}

static void print_result(const char *name, const struct result *ours, const struct result *theirs)
{
    printf("%-36s %9llu %9llu  %5.3f   %8.2f %8.2f  %5.1f\n", name, (unsigned long long)ours->bytes,
           (unsigned long long)theirs->bytes, (double)ours->bytes / (double)theirs->bytes, ours->milliseconds,
           theirs->milliseconds, theirs->milliseconds / ours->milliseconds);
}

int main(int argc, char **argv)
{
    static const struct {
        uint32_t size, samples, bits;
    } made_up[] = {{512, 1, 16}, {512, 1, 8}, {512, 3, 8}};
    struct result ours_total = {0}, theirs_total = {0};
    int repeats = 5, first = 1;
    if (argc > 2 && strcmp(argv[1], "--repeat") == 0) {
        repeats = (int)strtol(argv[2], NULL, 10);
        first = 3;
    }
    if (repeats < 1 || repeats > REPEATS_MAX) {
        (void)fprintf(stderr, "bench_png: --repeat takes 1 to %d\n", REPEATS_MAX);
        return 2;
    }
    struct pngout *png = pngout_new();
    bool ok = true;
    int count = argc > first ? argc - first : (int)(sizeof made_up / sizeof made_up[0]);
    printf("%-36s %9s %9s  %5s   %8s %8s  %5s\n", "picture", "bytes", "libpng", "ratio", "CPU ms", "libpng",
           "times");
    for (int i = 0; i < count; i++) {
        struct picture picture = {0};
        struct result ours = {0}, theirs = {0};
        if (argc <= first)
            make_phantom(&picture, made_up[i].size, made_up[i].samples, made_up[i].bits);
        if ((argc > first && !read_pnm(argv[first + i], &picture)) ||
            !measure(png, &picture, repeats, &ours, &theirs)) {
            (void)fprintf(stderr, "bench_png: picture %d cannot be read, or its PNG is wrong\n", i + 1);
            ok = false;
        } else {
            print_result(picture.name, &ours, &theirs);
            ours_total.bytes += ours.bytes;
            ours_total.milliseconds += ours.milliseconds;
            theirs_total.bytes += theirs.bytes;
            theirs_total.milliseconds += theirs.milliseconds;
        }
        free(picture.bytes);
    }
    print_result("total", &ours_total, &theirs_total);
    pngout_free(png);
    return ok ? 0 : 1;
}
