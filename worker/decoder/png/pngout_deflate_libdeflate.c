#include "worker/decoder/png/pngout_deflate.h"

#include <libdeflate.h>

static void *new_state_3(void)
{
    return libdeflate_alloc_compressor(3);
}

static void *new_state_9(void)
{
    return libdeflate_alloc_compressor(9);
}

static void free_state(void *state)
{
    libdeflate_free_compressor(state);
}

static size_t compress(void *state, const struct pngout_layout *layout, const uint8_t *in, size_t length,
                       uint8_t *out, size_t capacity)
{
    (void)layout;
    return libdeflate_zlib_compress(state, in, length, out, capacity);
}

const struct pngout_deflate pngout_deflate_libdeflate_3 = {"libdeflate 3", new_state_3, free_state, compress};
const struct pngout_deflate pngout_deflate_libdeflate_9 = {"libdeflate 9", new_state_9, free_state, compress};
