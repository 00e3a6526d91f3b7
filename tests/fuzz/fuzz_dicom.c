/* Any bytes as a DICOM file: the walk, the elements for the worker, and every frame of the image. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "worker/decoder/dicom.h"
#include "worker/decoder/image.h"
#include "worker/wire.h"

#define FRAMES_TRIED 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dicom *dcm;
    static struct image *image;
    if (dcm == NULL) {
        codec_init();
        dcm = dicom_new();
        image = image_new();
    }
    struct options options = {.print_images = true,
                              .public_headers_only = size % 2 == 0,
                              .compatibility_niffler = size % 3 == 0,
                              .allow_truncated = size % 3 == 1,
                              .max_value_bytes = 4096,
                              .max_pixels = 1u << 20,
                              .max_frames = 1000,
                              .max_attributes = 10000,
                              .max_nesting = 128,
                              .max_metadata_bytes = 1u << 22};
    struct buffer elements = {0};
    struct error err;
    bool ok = dicom_read_memory(dcm, data, size, &options, &err);
    dicom_append_elements(dcm, &options, &elements);
    if (!wire_check_elements((const uint8_t *)elements.data, elements.length, &err))
        abort(); /* the worker would kill us for this */
    if (ok && image_is_image(dcm) && image_inspect(image, dcm, &options, &err)) {
        uint32_t frames = image_facts(image)->frame_count;
        for (uint32_t i = 0; i < frames && i < FRAMES_TRIED; i++) {
            const struct codec_samples *samples;
            char notes[128] = "";
            if (image_read_frame(image, i, &options, &samples, notes, sizeof notes, &err))
                fuzz_use(((const uint8_t *)samples->data)[0]);
        }
    }
    buffer_clear(&elements);
    return 0;
}
