/* Any bytes as a DICOM file: the walk, the image module, fragments and frames of any transfer syntax, their
 * rows in every scaling, overlays, and what their PNGs hold besides. */
#include <stdlib.h>

#include "common/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutators.h"
#include "worker/decoder/dicom/dicom.h"
#include "worker/decoder/render/extras.h"
#include "worker/decoder/image/image.h"
#include "worker/decoder/render/render_window.h"
#include "worker/wire.h"

#define FRAMES_TRIED 3

/* All that lives as long as the decoder. */
struct decoder {
    struct dicom *dcm;
    struct image *image;
    struct functional_groups groups;
    struct display *display;
    struct render_window *window;
    struct extras extras;
};

static bool plan(struct decoder *dec, const struct codec_samples *samples, uint32_t frame_index,
                 const struct options *options, struct display_frame *shown, struct render_plan *out)
{
    struct error err;
    char text[64] = "";
    if (options->pixel_scaling != PIXEL_SCALING_WINDOW || samples->samples != 1)
        return render_plan(samples, image_facts(dec->image)->bits_stored,
                           image_facts(dec->image)->photometric == PHOTOMETRIC_MONOCHROME1, options, out,
                           &err);
    display_frame(dec->display, frame_index, options, shown, &(struct notes){text, sizeof text});
    render_window_plan(dec->window, samples, shown, options, out);
    return true;
}

/* What the picture and the overlays are made by. */
static void check_shape(const struct codec_samples *samples, const struct image_facts *facts)
{
    if (samples->rows != facts->rows || samples->columns != facts->columns ||
        (samples->samples != 1 && samples->samples != 3) ||
        samples->capacity < codec_samples_count(samples) * samples->bytes)
        abort();
}

/* What decoder.c does with a frame's samples, without the PNG. */
static void use_picture(struct decoder *dec, const struct codec_samples *samples, uint32_t frame_index,
                        const struct options *options)
{
    struct display_frame shown;
    struct render_plan planned;
    struct pngout_extras chunks;
    char text[256] = "";
    const struct notes notes = {text, sizeof text};
    if (!plan(dec, samples, frame_index, options, &shown, &planned))
        return;
    const struct extras_frame frame = {frame_index, samples, &planned};
    const struct pngout_shape shape = {samples->columns, samples->rows, planned.samples,
                                       planned.is_16_bit ? 16 : 8};
    size_t row_bytes = (size_t)shape.width * shape.samples * shape.bit_depth / 8;
    extras_chunks(&dec->extras, dec->dcm, &dec->groups, &frame, &chunks, &notes);
    const struct overlays *overlays =
        extras_overlays(&dec->extras, dec->dcm, dec->image, &frame, options, &notes);
    uint8_t *out = xmalloc(row_bytes);
    for (uint32_t row = 0; row < shape.height; row++) {
        render_row(samples, &planned, row, out);
        if (overlays != NULL)
            overlay_draw_row(overlays, &shape, row, out);
        fuzz_use(out[row_bytes - 1]);
    }
    free(out);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    return mutate_image(data, size, most, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct decoder dec;
    if (dec.dcm == NULL) {
        codec_init();
        dec.dcm = dicom_new();
        dec.image = image_new();
        dec.display = display_new();
        dec.window = render_window_new();
    }
    /* How it is looked at follows from the input, but not from what the mutator is after. */
    uint32_t choice = 0;
    for (size_t i = 0; i < size && i < 128; i++)
        choice = choice * 31 + data[i];
    choice += (uint32_t)size * 2654435761u >> 16;
    struct options options = {.print_images = true,
                              .public_headers_only = choice % 2 == 0,
                              .compatibility_niffler = choice % 8 == 1,
                              .invert_monochrome1 = choice / 2 % 2 == 0,
                              .pixel_scaling = (enum pixel_scaling)(choice / 8 % 4),
                              .is_16_bit = choice / 32 % 2 == 0,
                              .window = (enum window_choice)(choice / 64 % 3),
                              .window_index = 1 + choice / 192 % 2,
                              .window_center = 40,
                              .window_width = 400,
                              .allow_truncated = choice / 384 % 2 == 0,
                              .overlays = choice / 768 % 4 == 0 ? OVERLAYS_NONE : OVERLAYS_BURN,
                              .max_value_bytes = 4096,
                              .max_pixels = 1u << 17,
                              .max_frames = 1000,
                              .max_attributes = 10000,
                              .max_nesting = 64,
                              .max_items = 100000,
                              .max_metadata_bytes = 1u << 22};
    struct buffer elements = {0};
    struct error err;
    bool ok = dicom_read_memory(dec.dcm, data, size, &options, &err);
    dicom_append_elements(dec.dcm, &options, &elements);
    if (!wire_check_elements((const uint8_t *)elements.data, elements.length, &err))
        abort(); /* the worker would kill us for this */
    extras_begin_file(&dec.extras);
    if (ok && image_is_image(dec.dcm) && image_inspect(dec.image, dec.dcm, &options, &err)) {
        uint32_t frames = image_facts(dec.image)->frame_count;
        functional_groups_read(&dec.groups, dec.dcm, frames);
        display_inspect(dec.display, dec.dcm, image_facts(dec.image), &dec.groups);
        for (uint32_t i = 0; i < frames && i < FRAMES_TRIED; i++) {
            const struct codec_samples *samples;
            char notes[128] = "";
            if (!image_read_frame(dec.image, i, &options, &samples, notes, sizeof notes, &err))
                continue;
            check_shape(samples, image_facts(dec.image));
            use_picture(&dec, samples, i, &options);
        }
    }
    buffer_clear(&elements);
    return 0;
}
