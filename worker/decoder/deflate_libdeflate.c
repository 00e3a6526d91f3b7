#include "worker/decoder/deflate.h"

#include <libdeflate.h>
#include <stdlib.h>

#include "common/alloc.h"

/* Higher levels are slower and gain at most two points on 16-bit grey. */
#define LEVEL 1

struct deflate {
    struct libdeflate_compressor *compressor;
};

struct deflate *deflate_new(void)
{
    struct deflate *deflate = xcalloc(1, sizeof *deflate);
    deflate->compressor = libdeflate_alloc_compressor(LEVEL);
    if (deflate->compressor == NULL)
        abort(); /* at start-up, before any file: as xmalloc() */
    return deflate;
}

void deflate_free(struct deflate *deflate)
{
    if (deflate == NULL)
        return;
    libdeflate_free_compressor(deflate->compressor);
    free(deflate);
}

size_t deflate_bound(size_t length)
{
    return libdeflate_zlib_compress_bound(NULL, length);
}

size_t deflate_zlib(struct deflate *deflate, const uint8_t *bytes, size_t length, uint8_t *out,
                    size_t capacity)
{
    return libdeflate_zlib_compress(deflate->compressor, bytes, length, out, capacity);
}
