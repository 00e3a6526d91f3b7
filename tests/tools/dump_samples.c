/* dump_samples: a frame's stored samples, for comparing decoders.
 *
 *     dump_samples FILE FRAME [rgb]
 *
 * FRAME counts from 1; 0 dumps all. Writes the samples little endian to stdout, pixel by pixel, and a line
 * for each frame to stderr: rows columns samples type precision photometric notes. With `rgb` colour is
 * converted and palettes looked up. Exit status 1 and one line "error category code text" when the file is
 * refused. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "worker/decoder/image/image.h"
#include "worker/decoder/codec/native.h"

static bool dump(struct image *image, uint32_t frame, bool as_rgb, const struct options *options,
                 struct error *err)
{
    const struct codec_samples *samples = NULL;
    char notes[256] = "";
    bool ok = as_rgb ? image_read_frame(image, frame, options, &samples, notes, sizeof notes, err)
                     : image_read_stored(image, frame, &samples, notes, sizeof notes, err);
    if (!ok)
        return false;
    size_t count = codec_samples_count(samples);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    native_swap(samples->data, count, samples->bytes);
#endif
    if (fwrite(samples->data, samples->bytes, count, stdout) != count)
        return error_errno(err, ERROR_FATAL, "cannot write");
    const char *type = samples->is_float ? "float" : samples->is_signed ? "int" : "uint";
    (void)fprintf(stderr, "%u %u %u %s%u %u %d %s\n", samples->rows, samples->columns, samples->samples, type,
                  samples->bytes * 8, samples->precision, (int)image_facts(image)->photometric, notes);
    return true;
}

static bool run(int descriptor, uint32_t frame, bool as_rgb, struct error *err)
{
    const struct options options = {.max_pixels = UINT64_C(1) << 32,
                                    .max_frames = 1000000,
                                    .max_attributes = 1000000,
                                    .max_nesting = 128,
                                    .max_items = 100000,
                                    .max_metadata_bytes = UINT64_C(1) << 30};
    struct dicom *dcm = dicom_new();
    struct image *image = image_new();
    bool ok = false;
    if (!dicom_read(dcm, descriptor, &options, err) || !image_inspect(image, dcm, &options, err))
        goto out;
    uint32_t frames = image_facts(image)->frame_count;
    if (frame > frames) {
        (void)error_set(err, ERROR_FATAL, "the file has %u frames", frames);
        goto out;
    }
    for (uint32_t i = frame > 0 ? frame - 1 : 0; i < (frame > 0 ? frame : frames); i++)
        if (!dump(image, i, as_rgb, &options, err))
            goto out;
    ok = true;
out:
    image_free(image);
    dicom_free(dcm);
    return ok;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    char *end = NULL;
    uintmax_t frame = argc > 2 ? strtoumax(argv[2], &end, 10) : 0;
    if (argc < 3 || argc > 4 || *end != '\0' || frame > UINT32_MAX ||
        (argc == 4 && strcmp(argv[3], "rgb") != 0)) {
        (void)fputs("usage: dump_samples FILE FRAME [rgb]\n", stderr);
        return 2;
    }
    int descriptor = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        perror("dump_samples");
        return 2;
    }
    codec_init();
    bool ok = run(descriptor, (uint32_t)frame, argc == 4, &err);
    (void)close(descriptor);
    if (!ok)
        (void)fprintf(stderr, "error %d %s %s\n", (int)err.category, err.code != NULL ? err.code : "-",
                      err.text);
    return ok ? 0 : 1;
}
