#include "worker/decoder/png/pngout.h"

#include <assert.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/png/pngout_choice.h"
#include "worker/decoder/png/pngout_deflate.h"
#include "worker/decoder/png/pngout_frame.h"

#define SMALL_IMAGE_BYTES (4u << 10) /* where every way is tried: it takes no time */
#define ATTEMPTS_MAX (2 * PNGOUT_FILTER_COUNT)
#define FILTER_OF_EACH_ROW PNGOUT_FILTER_COUNT /* the one whose bytes are nearest to 0 */

struct block {
    uint8_t *bytes;
    size_t capacity;
};

struct pngout {
    const struct pngout_deflate *deflates[PNGOUT_METHOD_COUNT];
    void *states[PNGOUT_METHOD_COUNT];
    struct block raw;      /* the image, filtered          */
    struct block rows;     /* two rows of it, unfiltered   */
    struct block stream;   /* compressed                   */
    struct block shortest; /* of the streams, where several are tried */
    struct block sample;   /* rows of it, unfiltered       */
    struct block scratch;  /* and filtered                 */
    struct pngout_sequences *sequences;
    struct pngout_matches *matches;
    enum png_compression compression;
    uint64_t most_bytes;
    int forced_filter; /* -1: choose */
    int forced_method;
};

static const struct pngout_deflate *deflate_for(enum pngout_method method)
{
    switch (method) {
    case PNGOUT_RUNS:
        return &pngout_deflate_runs;
    case PNGOUT_FINE_RUNS:
        return &pngout_deflate_fine_runs;
    case PNGOUT_DENSE:
        return &pngout_deflate_libdeflate_3;
    case PNGOUT_DENSEST:
        return &pngout_deflate_libdeflate_9;
    default:
        return &pngout_deflate_matches;
    }
}

struct pngout *pngout_new(void)
{
    struct pngout *png = xcalloc(1, sizeof *png);
    png->forced_filter = png->forced_method = -1;
    png->most_bytes = UINT64_MAX;
    png->sequences = xcalloc(1, sizeof *png->sequences);
    png->matches = xcalloc(1, sizeof *png->matches);
    for (enum pngout_method method = 0; method < PNGOUT_METHOD_COUNT; method++) {
        png->deflates[method] = deflate_for(method);
        png->states[method] = png->deflates[method]->new_state();
    }
    return png;
}

void pngout_free(struct pngout *png)
{
    if (png == NULL)
        return;
    for (enum pngout_method method = 0; method < PNGOUT_METHOD_COUNT; method++)
        png->deflates[method]->free_state(png->states[method]);
    free(png->raw.bytes);
    free(png->rows.bytes);
    free(png->stream.bytes);
    free(png->shortest.bytes);
    free(png->sample.bytes);
    free(png->scratch.bytes);
    free(png->sequences);
    free(png->matches);
    free(png);
}

void pngout_set_compression(struct pngout *png, enum png_compression compression)
{
    png->compression = compression;
}

void pngout_set_limit(struct pngout *png, uint64_t bytes)
{
    png->most_bytes = bytes;
}

void pngout_force(struct pngout *png, const struct pngout_deflate *deflate, int filter)
{
    png->forced_filter = filter;
    png->forced_method = -1;
    if (deflate == NULL)
        return;
    png->deflates[PNGOUT_FAST]->free_state(png->states[PNGOUT_FAST]);
    png->deflates[PNGOUT_FAST] = deflate;
    png->states[PNGOUT_FAST] = deflate->new_state();
    png->forced_method = PNGOUT_FAST;
}

/* Without keeping the content, and never smaller: pictures of a series have one size. */
static bool reserve(struct block *block, size_t count, size_t size, struct error *err)
{
    void *bytes;
    size_t total;
    if (!__builtin_mul_overflow(count, size, &total) && total <= block->capacity)
        return true;
    free(block->bytes);
    *block = (struct block){0};
    if (!alloc_pixels(&bytes, count, size, 0, err))
        return false;
    block->bytes = bytes;
    block->capacity = total;
    return true;
}

/* ---- what to try ----------------------------------------------------------------------------------- */

static size_t try_sample(void *context, enum pngout_method method, const struct pngout_layout *layout,
                         const uint8_t *in, size_t length)
{
    struct pngout *png = context;
    size_t size = png->deflates[method]->compress(png->states[method], layout, in, length, png->stream.bytes,
                                                  png->stream.capacity);
    return size == 0 ? SIZE_MAX : size;
}

/* By a sample of the rows. Returns how many attempts. */
static size_t choose(struct pngout *png, const struct pngout_source *source, const struct pngout_shape *shape,
                     struct pngout_choice *attempts, struct error *err)
{
    bool is_16_bit = shape->bit_depth == 16, is_grey = shape->samples == 1;
    struct pngout_sample sample;
    size_t least, share;
    pngout_choice_sample(is_grey, &least, &share);
    size_t room = pngout_sample_plan(&sample, source, least, share);
    if (!reserve(&png->sample, room, 1, err) || !reserve(&png->scratch, PNGOUT_SAMPLE_BYTES_MAX, 1, err))
        return 0;
    sample.rows = png->sample.bytes;
    pngout_sample_take(&sample, source, png->rows.bytes);
    const struct pngout_chooser chooser = {.sample = &sample,
                                           .is_16_bit = is_16_bit,
                                           .is_grey = is_grey,
                                           .image_bytes = source->row_bytes * source->height,
                                           .scratch = png->scratch.bytes,
                                           .sequences = png->sequences,
                                           .matches = png->matches,
                                           .trial = try_sample,
                                           .context = png};
    if (png->compression == PNG_COMPRESSION_FAST)
        return pngout_choose(&chooser, attempts);
    attempts[0] = (struct pngout_choice){FILTER_OF_EACH_ROW, PNGOUT_FINE_RUNS};
    attempts[1].method = PNGOUT_FINE_RUNS;
    attempts[2].method = PNGOUT_DENSEST;
    pngout_choose_smallest(&chooser, &attempts[1].filter, &attempts[2].filter);
    return 3;
}

/* Returns how many; 0: no memory. */
static size_t list_attempts(struct pngout *png, const struct pngout_source *source,
                            const struct pngout_shape *shape, struct pngout_choice *attempts,
                            struct error *err)
{
    size_t count = 0;
    if (png->forced_filter >= 0 && png->forced_method >= 0) {
        attempts[count++] = (struct pngout_choice){(enum pngout_filter)png->forced_filter,
                                                   (enum pngout_method)png->forced_method};
    } else if (source->row_bytes * source->height <= SMALL_IMAGE_BYTES) {
        for (enum pngout_filter filter = PNGOUT_FILTER_NONE; filter < PNGOUT_FILTER_COUNT; filter++) {
            attempts[count++] = (struct pngout_choice){filter, PNGOUT_RUNS};
            attempts[count++] = (struct pngout_choice){
                filter, png->compression == PNG_COMPRESSION_FAST ? PNGOUT_DENSE : PNGOUT_DENSEST};
        }
    } else {
        count = choose(png, source, shape, attempts, err);
    }
    for (size_t i = 0; i < count; i++) {
        if (png->forced_filter >= 0)
            attempts[i].filter = (enum pngout_filter)png->forced_filter;
        if (png->forced_method >= 0)
            attempts[i].method = (enum pngout_method)png->forced_method;
    }
    return count;
}

/* ---- filtering and compressing ---------------------------------------------------------------------- */

/* Row by row from where they come, so that each is still in the processor's cache when it is filtered. */
static void filter_all(struct pngout *png, const struct pngout_source *source, enum pngout_filter filter)
{
    uint8_t *row = png->rows.bytes, *above = row + source->row_bytes, *out = png->raw.bytes;
    memset(above, 0, source->row_bytes);
    for (uint32_t i = 0; i < source->height; i++, out += source->row_bytes + 1) {
        enum pngout_filter chosen = filter;
        if (filter == PNGOUT_FILTER_NONE) {
            source->row(source->context, i, out + 1);
        } else {
            source->row(source->context, i, row);
            if (filter == FILTER_OF_EACH_ROW)
                chosen = pngout_filter_nearest(out + 1, row, above, source->row_bytes, source->step);
            pngout_filter_row(chosen, out + 1, row, above, source->row_bytes, source->step);
        }
        out[0] = (uint8_t)chosen;
        uint8_t *last = row;
        row = above;
        above = last;
    }
}

/* png->raw to png->stream. Returns the length; 0: no memory. */
static size_t compress(struct pngout *png, enum pngout_method method, const struct pngout_source *source,
                       struct error *err)
{
    const struct pngout_layout layout = {source->row_bytes + 1, source->step};
    size_t total = layout.row_bytes * source->height;
    for (;;) {
        size_t length = png->deflates[method]->compress(png->states[method], &layout, png->raw.bytes, total,
                                                        png->stream.bytes, png->stream.capacity);
        if (length > 0)
            return length;
        if (!reserve(&png->stream, png->stream.capacity, 2, err))
            return 0;
    }
}

/* The shortest zlib stream of all attempts, in png->stream. */
static bool compress_rows(struct pngout *png, const struct pngout_source *source,
                          const struct pngout_choice *attempts, size_t count, size_t *length,
                          struct error *err)
{
    *length = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || attempts[i].filter != attempts[i - 1].filter)
            filter_all(png, source, attempts[i].filter);
        size_t stream = compress(png, attempts[i].method, source, err);
        if (stream == 0)
            return false;
        if (stream < *length) {
            *length = stream;
            struct block other = png->shortest;
            png->shortest = png->stream;
            png->stream = other;
        }
        if (i + 1 < count && !reserve(&png->stream, png->shortest.capacity, 1, err))
            return false;
    }
    struct block found = png->shortest;
    png->shortest = png->stream;
    png->stream = found;
    return true;
}

bool pngout_write(struct pngout *png, int descriptor, const struct pngout_shape *shape,
                  const struct pngout_extras *extras, pngout_row_fn *row, void *context, uint64_t *written,
                  struct error *err)
{
    static const struct pngout_extras no_extras;
    struct pngout_choice attempts[ATTEMPTS_MAX];
    assert(shape->width > 0 && shape->height > 0 && shape->width <= PNG_UINT_31_MAX &&
           shape->height <= PNG_UINT_31_MAX);
    assert((shape->samples == 1 || shape->samples == 3) && (shape->bit_depth == 8 || shape->bit_depth == 16));
    *written = 0;
    size_t step = (size_t)shape->samples * shape->bit_depth / 8, total, length;
    const struct pngout_source source = {row, context, shape->width * step, shape->height, step};
    for (size_t i = 0; i < PNGOUT_METHOD_COUNT; i++) {
        if (png->states[i] == NULL)
            return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "no memory for the compressor");
    }
    /* Noise does not shrink: room for it stored, in blocks with their headers; the sample needs room too, and
     * an estimate of the runs' compressor. */
    if (!reserve(&png->raw, source.row_bytes + 1, source.height, err) ||
        !reserve(&png->rows, source.row_bytes, 2, err))
        return false;
    total = (source.row_bytes + 1) * source.height;
    if (!reserve(&png->stream, total + total / 64 + 2 * PNGOUT_BLOCK_BYTES, 1, err))
        return false;
    size_t count = list_attempts(png, &source, shape, attempts, err);
    if (count == 0 || !compress_rows(png, &source, attempts, count, &length, err))
        return false;
    if (length > png->most_bytes)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_OUTPUT,
                           "a picture of %zu bytes, more than %llu (MaxPictureBytes)", length,
                           (unsigned long long)png->most_bytes);
    return pngout_frame_write(descriptor, shape, extras != NULL ? extras : &no_extras, png->stream.bytes,
                              length, written, err);
}
