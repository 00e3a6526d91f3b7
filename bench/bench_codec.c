/* bench_codec CODEC FILE ROWS COLUMNS SAMPLES BITS [PAIRS]: CPU time of a codec of ours against its library
 * alone, in one process, on the same codestream.
 *
 * CODEC is a name of the table below; the partner of jpeg-dcmtk, jpeg-lossless and rle is DCMTK's decoder,
 * which ours is not. Prints the median of both in milliseconds, and the median over the pairs (default 15) of
 * ours / theirs. Exit status 1 when either does not decode the stream. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench_codec.h"
#include "common/alloc.h"
#include "worker/decoder/codec/codec.h"

#define PAIRS_MAX 101
#define STREAM_MAX ((size_t)64 << 20)
#define AT_LEAST_MS 20.0 /* for which a decoder runs before the other one has its turn */

typedef bool codec_fn(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                      struct codec_samples *out, struct error *err);

static bool jpeg(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                 struct codec_samples *out, struct error *err)
{
    return codec_dcmtk(stream, length, "of the benchmark", frame, out, err);
}

static const struct codec {
    const char *name;
    codec_fn *ours;
    bool (*partner)(const struct bench_stream *stream);
} codecs[] = {
    {"jpeg", jpeg, partner_turbojpeg},
    {"jpeg-dcmtk", jpeg, partner_dcmtk_jpeg},
    {"jpeg-lossless", jpeg, partner_dcmtk_jpeg},
    {"jpegls", codec_jpegls, partner_charls},
    {"jpeg2000", codec_jpeg2000, partner_openjpeg},
    {"jpegxl", codec_jpegxl, partner_libjxl},
    {"rle", codec_rle, partner_dcmtk_rle},
};

static double cpu_milliseconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Ours, as the decoder uses it: the buffer is kept from frame to frame. */
static bool run_ours(const struct codec *codec, const struct bench_stream *stream, int times,
                     struct codec_samples *out)
{
    const struct codec_frame frame = {.rows = stream->rows,
                                      .columns = stream->columns,
                                      .samples = stream->samples,
                                      .bits_allocated = stream->bits > 8 ? 16 : 8,
                                      .bits_stored = stream->bits};
    struct error err = {0};
    for (int i = 0; i < times; i++) {
        if (!codec->ours(stream->bytes, stream->length, &frame, out, &err)) {
            (void)fprintf(stderr, "bench_codec: %s: %s\n", codec->name, err.text);
            return false;
        }
    }
    return true;
}

static bool run_partner(const struct codec *codec, const struct bench_stream *stream, int times)
{
    for (int i = 0; i < times; i++) {
        if (!codec->partner(stream)) {
            (void)fprintf(stderr, "bench_codec: %s: the partner refuses the stream\n", codec->name);
            return false;
        }
    }
    return true;
}

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

static bool measure(const struct codec *codec, const struct bench_stream *stream, int pairs)
{
    struct codec_samples out = {0};
    double ours[PAIRS_MAX], theirs[PAIRS_MAX], ratios[PAIRS_MAX];
    int times = 1;
    bool ok = false;
    for (double spent = 0; spent < AT_LEAST_MS; times *= 2) {
        double start = cpu_milliseconds();
        if (!run_ours(codec, stream, times, &out) || !run_partner(codec, stream, times))
            goto out;
        spent = (cpu_milliseconds() - start) / 2;
    }
    for (int i = 0; i < pairs; i++) {
        double start = cpu_milliseconds();
        if (!run_ours(codec, stream, times, &out))
            goto out;
        double middle = cpu_milliseconds();
        if (!run_partner(codec, stream, times))
            goto out;
        ours[i] = (middle - start) / times;
        theirs[i] = (cpu_milliseconds() - middle) / times;
        ratios[i] = ours[i] / theirs[i];
    }
    printf("%-14s %9.3f %9.3f %6.3f\n", codec->name, median(ours, pairs), median(theirs, pairs),
           median(ratios, pairs));
    ok = true;
out:
    codec_samples_clear(&out);
    return ok;
}

static bool read_stream(const char *path, uint8_t *bytes, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    *length = fread(bytes, 1, STREAM_MAX, file);
    return fclose(file) == 0 && *length > 0;
}

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    int pairs = argc == 8 ? (int)number(argv[7]) : 15;
    const struct codec *codec = NULL;
    for (size_t i = 0; argc >= 2 && i < sizeof codecs / sizeof codecs[0]; i++)
        if (strcmp(argv[1], codecs[i].name) == 0)
            codec = &codecs[i];
    if (codec == NULL || argc < 7 || argc > 8 || pairs < 1 || pairs > PAIRS_MAX) {
        (void)fprintf(stderr, "usage: bench_codec CODEC FILE ROWS COLUMNS SAMPLES BITS [PAIRS]\n");
        return 2;
    }
    uint8_t *bytes = xmalloc(STREAM_MAX);
    struct bench_stream stream = {.bytes = bytes,
                                  .rows = number(argv[3]),
                                  .columns = number(argv[4]),
                                  .samples = number(argv[5]),
                                  .bits = number(argv[6])};
    codec_init();
    bool ok = read_stream(argv[2], bytes, &stream.length) && measure(codec, &stream, pairs);
    free(bytes);
    return ok ? 0 : 1;
}
