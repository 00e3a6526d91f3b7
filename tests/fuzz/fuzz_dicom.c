/* Any bytes as a DICOM file: the walk, the elements for the worker, the frames of the image, and what their
 * PNGs hold besides. */
#include <stdlib.h>

#include "common/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "worker/decoder/dicom.h"
#include "worker/decoder/extras.h"
#include "worker/decoder/image.h"
#include "worker/wire.h"

#define FRAMES_TRIED 3

/* The chunks of a picture, and its rows with the overlays drawn into them. */
static void use_picture(struct extras *extras, struct dicom *dcm, struct image *image,
                        const struct extras_frame *frame, const struct options *options)
{
    const struct codec_samples *samples = frame->samples;
    const struct pngout_shape shape = {samples->columns, samples->rows, samples->samples,
                                       frame->plan->is_16_bit ? 16 : 8};
    size_t row_bytes = (size_t)shape.width * shape.samples * shape.bit_depth / 8;
    struct pngout_extras chunks;
    char text[256] = "";
    const struct notes notes = {text, sizeof text};
    extras_chunks(extras, dcm, frame, &chunks, &notes);
    const struct overlays *overlays = extras_overlays(extras, dcm, image, frame, options, &notes);
    uint8_t *out = xcalloc(row_bytes, 1);
    for (uint32_t row = 0; overlays != NULL && row < shape.height; row++)
        overlay_draw_row(overlays, &shape, row, out);
    fuzz_use(out[row_bytes - 1]);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dicom *dcm;
    static struct image *image;
    static struct extras extras;
    if (dcm == NULL) {
        codec_init();
        dcm = dicom_new();
        image = image_new();
    }
    struct options options = {.print_images = true,
                              .public_headers_only = size % 2 == 0,
                              .compatibility_niffler = size % 3 == 0,
                              .is_16_bit = size % 5 < 3,
                              .overlays = OVERLAYS_BURN,
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
    extras_begin_file(&extras);
    if (ok && image_is_image(dcm) && image_inspect(image, dcm, &options, &err)) {
        uint32_t frames = image_facts(image)->frame_count;
        for (uint32_t i = 0; i < frames && i < FRAMES_TRIED; i++) {
            const struct codec_samples *samples;
            char notes[128] = "";
            struct render_plan plan;
            if (!image_read_frame(image, i, &options, &samples, notes, sizeof notes, &err))
                continue;
            fuzz_use(((const uint8_t *)samples->data)[0]);
            if (render_plan(samples, image_facts(image)->bits_stored, false, &options, &plan, &err))
                use_picture(&extras, dcm, image, &(struct extras_frame){i, samples, &plan}, &options);
        }
    }
    buffer_clear(&elements);
    return 0;
}
