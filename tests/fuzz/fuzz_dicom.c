/* Any bytes as a DICOM file: the walk, the elements for the worker, every frame of the image, and its rows.
 */
#include <stdlib.h>

#include "common/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "worker/decoder/dicom.h"
#include "worker/decoder/image.h"
#include "worker/decoder/render_window.h"
#include "worker/wire.h"

#define FRAMES_TRIED 3

/* What decoder.c does with a frame's samples, without the PNG. */
static void render(const struct codec_samples *samples, uint32_t frame_index, struct display *display,
                   const struct options *options)
{
    static struct render_window *window;
    struct display_frame shown;
    struct render_plan plan;
    struct error err;
    char notes[64] = "";
    if (window == NULL)
        window = render_window_new();
    if (options->pixel_scaling == PIXEL_SCALING_WINDOW && samples->samples == 1) {
        display_frame(display, frame_index, options, &shown, &(struct notes){notes, sizeof notes});
        render_window_plan(window, samples, &shown, options, &plan);
    } else if (!render_plan(samples, samples->precision, false, options, &plan, &err)) {
        return;
    }
    uint8_t *row = xmalloc((size_t)samples->columns * plan.samples * (plan.is_16_bit ? 2 : 1));
    for (uint32_t i = 0; i < samples->rows; i++) {
        render_row(samples, &plan, i, row);
        fuzz_use(row[0]);
    }
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dicom *dcm;
    static struct image *image;
    static struct display *display;
    if (dcm == NULL) {
        codec_init();
        dcm = dicom_new();
        image = image_new();
        display = display_new();
    }
    struct options options = {.print_images = true,
                              .public_headers_only = size % 2 == 0,
                              .compatibility_niffler = size % 3 == 0,
                              .pixel_scaling = size % 5 == 0 ? PIXEL_SCALING_FULL : PIXEL_SCALING_WINDOW,
                              .is_16_bit = size % 7 != 0,
                              .window = size % 11 == 0 ? WINDOW_AUTO : WINDOW_INDEX,
                              .window_index = 1 + (uint32_t)(size % 13 / 11),
                              .allow_truncated = size % 4 == 0,
                              .max_value_bytes = 4096,
                              .max_pixels = 1u << 20,
                              .max_frames = 1000,
                              .max_attributes = 10000,
                              .max_nesting = 64,
                              .max_metadata_bytes = 1u << 22};
    struct buffer elements = {0};
    struct error err;
    bool ok = dicom_read_memory(dcm, data, size, &options, &err);
    dicom_append_elements(dcm, &options, &elements);
    if (!wire_check_elements((const uint8_t *)elements.data, elements.length, &err))
        abort(); /* the worker would kill us for this */
    if (ok && image_is_image(dcm) && image_inspect(image, dcm, &options, &err)) {
        uint32_t frames = image_facts(image)->frame_count;
        display_inspect(display, dcm, image_facts(image), &options);
        for (uint32_t i = 0; i < frames && i < FRAMES_TRIED; i++) {
            const struct codec_samples *samples;
            char notes[128] = "";
            if (image_read_frame(image, i, &options, &samples, notes, sizeof notes, &err))
                render(samples, i, display, &options);
        }
    }
    buffer_clear(&elements);
    return 0;
}
