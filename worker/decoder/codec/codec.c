#include "worker/decoder/codec/codec.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

struct syntax {
    const char *suffix; /* of the UID, behind "1.2.840.10008.1.2" */
    enum codec_family family;
    const char *reason;
};

static const struct syntax syntaxes[] = {
    {"", CODEC_NATIVE, NULL},
    {".1", CODEC_NATIVE, NULL},
    {".1.98", CODEC_NATIVE, NULL},
    {".1.99", CODEC_NATIVE, NULL},
    {".2", CODEC_NATIVE, NULL},
    {".5", CODEC_RLE, NULL},
    {".8.1", CODEC_DEFLATE, NULL},
    {".4.50", CODEC_DCMTK, NULL},
    {".4.51", CODEC_DCMTK, NULL},
    {".4.52", CODEC_DCMTK, NULL},
    {".4.53", CODEC_DCMTK, NULL},
    {".4.54", CODEC_DCMTK, NULL},
    {".4.55", CODEC_DCMTK, NULL},
    {".4.56", CODEC_DCMTK, NULL},
    {".4.57", CODEC_DCMTK, NULL},
    {".4.58", CODEC_DCMTK, NULL},
    {".4.70", CODEC_DCMTK, NULL},
    {".4.80", CODEC_JPEGLS, NULL},
    {".4.81", CODEC_JPEGLS, NULL},
    {".4.90", CODEC_JPEG2000, NULL},
    {".4.91", CODEC_JPEG2000, NULL},
    {".4.92", CODEC_JPEG2000, NULL},
    {".4.93", CODEC_JPEG2000, NULL},
    {".4.201", CODEC_JPEG2000, NULL},
    {".4.202", CODEC_JPEG2000, NULL},
    {".4.203", CODEC_JPEG2000, NULL},
    {".4.110", CODEC_JPEGXL, NULL},
    {".4.111", CODEC_JPEGXL, NULL},
    {".4.112", CODEC_JPEGXL, NULL},
    {".4.94", CODEC_NOT_DECODED, "JPIP: the pixel data is on another machine"},
    {".4.95", CODEC_NOT_DECODED, "JPIP: the pixel data is on another machine"},
    {".4.204", CODEC_NOT_DECODED, "JPIP: the pixel data is on another machine"},
    {".4.205", CODEC_NOT_DECODED, "JPIP: the pixel data is on another machine"},
    {".4.100", CODEC_NOT_DECODED, "MPEG-2 video"},
    {".4.100.1", CODEC_NOT_DECODED, "MPEG-2 video"},
    {".4.101", CODEC_NOT_DECODED, "MPEG-2 video"},
    {".4.101.1", CODEC_NOT_DECODED, "MPEG-2 video"},
    {".4.102", CODEC_NOT_DECODED, "MPEG-4 video"},
    {".4.102.1", CODEC_NOT_DECODED, "MPEG-4 video"},
    {".4.103", CODEC_NOT_DECODED, "MPEG-4 video"},
    {".4.103.1", CODEC_NOT_DECODED, "MPEG-4 video"},
    {".4.104", CODEC_NOT_DECODED, "MPEG-4 video"},
    {".4.104.1", CODEC_NOT_DECODED, "MPEG-4 video"},
    {".4.105", CODEC_NOT_DECODED, "MPEG-4 video"},
    {".4.105.1", CODEC_NOT_DECODED, "MPEG-4 video"},
    {".4.106", CODEC_NOT_DECODED, "MPEG-4 video"},
    {".4.106.1", CODEC_NOT_DECODED, "MPEG-4 video"},
    {".4.107", CODEC_NOT_DECODED, "HEVC video"},
    {".4.108", CODEC_NOT_DECODED, "HEVC video"},
    {".7.1", CODEC_NOT_DECODED, "uncompressed video over a network"},
};

enum codec_family codec_family(const char *transfer_syntax, const char **reason)
{
    static const char root[] = "1.2.840.10008.1.2";
    if (transfer_syntax[0] == '\0')
        return CODEC_NATIVE;
    if (strncmp(transfer_syntax, root, sizeof root - 1) != 0)
        return CODEC_NOT_KNOWN;
    const char *suffix = transfer_syntax + sizeof root - 1;
    for (size_t i = 0; i < sizeof syntaxes / sizeof syntaxes[0]; i++) {
        if (strcmp(suffix, syntaxes[i].suffix) != 0)
            continue;
        if (reason != NULL)
            *reason = syntaxes[i].reason;
        return syntaxes[i].family;
    }
    return CODEC_NOT_KNOWN;
}

bool codec_samples_reserve(struct codec_samples *out, uint32_t rows, uint32_t columns, uint32_t samples,
                           uint32_t bytes, struct error *err)
{
    uint64_t count;
    if (__builtin_mul_overflow((uint64_t)rows * columns, (uint64_t)samples * bytes, &count) ||
        count > PTRDIFF_MAX)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "a frame is beyond any memory");
    if (count > out->capacity) {
        /* Not grown in place: the old samples are of no use, and copying them would cost as much as decoding.
         */
        codec_samples_clear(out);
        if (!alloc_pixels(&out->data, (size_t)count, 1, 0, err))
            return false;
        out->capacity = (size_t)count;
    }
    void *data = out->data;
    size_t capacity = out->capacity;
    *out = (struct codec_samples){.data = data,
                                  .capacity = capacity,
                                  .rows = rows,
                                  .columns = columns,
                                  .samples = samples,
                                  .bytes = bytes};
    return true;
}

void codec_samples_clear(struct codec_samples *out)
{
    free(out->data);
    *out = (struct codec_samples){0};
}
