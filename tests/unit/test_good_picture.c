/* The built-in picture is a DICOM file that our own reader takes, sample by sample. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/decoder/image/image.h"
#include "worker/good_picture.h"

static void it_is_read_as_what_it_says(void **state)
{
    (void)state;
    const struct options options = {.max_pixels = 1024,
                                    .max_frames = 1,
                                    .max_attributes = 100,
                                    .max_nesting = 1,
                                    .max_items = 1,
                                    .max_metadata_bytes = 65536};
    struct buffer file = {0};
    struct dicom *dcm = dicom_new();
    struct image *image = image_new();
    const struct codec_samples *samples;
    char notes[64] = "";
    struct error err;
    good_picture_append(&file);
    assert_true(dicom_read_memory(dcm, (const uint8_t *)file.data, file.length, &options, &err));
    assert_false(dicom_is_cut(dcm));
    assert_false(dicom_syntax(dcm)->guessed);
    assert_true(image_inspect(image, dcm, &options, &err));
    assert_true(image_read_frame(image, 0, &options, &samples, notes, sizeof notes, &err));
    assert_int_equal(codec_samples_count(samples), GOOD_PICTURE_SIZE * GOOD_PICTURE_SIZE);
    for (size_t i = 0; i < codec_samples_count(samples); i++)
        assert_int_equal(codec_sample(samples, i), 4 * i);
    assert_string_equal(notes, "");
    image_free(image);
    dicom_free(dcm);
    buffer_clear(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_read_as_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
