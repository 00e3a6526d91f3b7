/* Which chunks and overlays a file's pictures get, and what their rows say of it. */
#include "tests/unit/icc_profiles.h"
#include "tests/unit/image_files.h"
#include "worker/decoder/render/extras.h"

struct picture {
    struct render_plan plan;
    struct pngout_extras chunks;
    char notes[256];
};

static void put_profile(struct file *file, const uint8_t *icc, size_t length)
{
    put_header(file, 0x00282000, "OB", (uint32_t)length, file->big);
    put(file, icc, length);
}

/* The chunks of frame 0 of a file that was just opened; extras_begin_file() is up to the caller. */
static void find_chunks(struct extras *extras, struct fixture *fixture, const struct options *options,
                        struct picture *picture)
{
    const struct codec_samples *samples = read_frame(fixture, 0);
    const struct notes notes = {picture->notes, sizeof picture->notes};
    struct error err;
    picture->notes[0] = '\0';
    assert_true(
        render_plan(samples, image_facts(fixture->image)->bits_stored, false, options, &picture->plan, &err));
    const struct extras_frame frame = {0, samples, &picture->plan};
    struct functional_groups groups = {0};
    functional_groups_read(&groups, fixture->dcm, 10);
    extras_chunks(extras, fixture->dcm, &groups, &frame, &picture->chunks, &notes);
    functional_groups_clear(&groups);
}

static struct picture chunks_of(struct fixture *fixture, const struct file *file,
                                const struct options *options)
{
    struct extras extras = {0};
    struct picture picture = {0};
    open_image(fixture, file);
    find_chunks(&extras, fixture, options, &picture);
    extras_clear(&extras);
    return picture;
}

static const struct options of_16_bits = {.is_16_bit = true, .pixel_scaling = PIXEL_SCALING_FULL};

/* ---- pHYs ------------------------------------------------------------------------------------- */

static void test_spacing(void **state)
{
    static const struct {
        const char *spacing, *aspect; /* NULL: absent */
        uint32_t x, y;
        bool is_per_metre;
        const char *notes;
    } rows[] = {
        {NULL, NULL, 0, 0, false, ""},
        {"0.5\\0.5 ", NULL, 2000, 2000, true, ""},
        {"0.5\\0.7 ", NULL, 1429, 2000, true, "pixels not square: 0.5 x 0.7 mm"},
        {"3\\3 ", NULL, 333, 333, true, ""},
        {NULL, "4\\3 ", 4, 3, false, "pixels not square: 4 to 3"},
        {NULL, "1\\1 ", 1, 1, false, ""},
        /* No number of the chunk. */
        {"2001\\2001 ", NULL, 0, 0, false, ""},
        {"0.0000004\\1", NULL, 0, 0, false, "pixels not square: 4e-07 x 1 mm"},
        {"1\\0.0000004", NULL, 0, 0, false, "pixels not square: 1 x 4e-07 mm"},
        {NULL, "4294967296\\1", 0, 0, false, "pixels not square: 4.29497e+09 to 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct shape shape = grey_shape(1, 2);
        struct file file;
        begin(&file, &shape);
        if (rows[i].spacing != NULL)
            put_text(&file, 0x00280030, "DS", rows[i].spacing, false);
        if (rows[i].aspect != NULL)
            put_text(&file, 0x00280034, "IS", rows[i].aspect, false);
        put_pixels(&file, "OW", "\0\0\1\0", 4);
        struct picture picture = chunks_of(*state, &file, &of_16_bits);
        assert_int_equal(picture.chunks.pixels_per_unit_x, rows[i].x);
        assert_int_equal(picture.chunks.pixels_per_unit_y, rows[i].y);
        assert_int_equal(picture.chunks.is_per_metre, rows[i].is_per_metre);
        assert_string_equal(picture.notes, rows[i].notes);
        assert_null(picture.chunks.profile);
    }
}

/* ---- sBIT ------------------------------------------------------------------------------------- */

static void test_significant_bits(void **state)
{
    static const struct {
        uint32_t stored;
        bool is_16_bit;
        enum pixel_scaling scaling;
        uint32_t wanted;
    } rows[] = {
        {12, true, PIXEL_SCALING_FULL, 12},  {12, true, PIXEL_SCALING_NIFFLER, 12},
        {12, true, PIXEL_SCALING_STORED, 0}, {16, true, PIXEL_SCALING_FULL, 0},
        {12, false, PIXEL_SCALING_FULL, 0},  {5, false, PIXEL_SCALING_FULL, 5},
        {8, false, PIXEL_SCALING_FULL, 0},   {5, true, PIXEL_SCALING_STORED, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct options options = {.is_16_bit = rows[i].is_16_bit, .pixel_scaling = rows[i].scaling};
        struct shape shape = grey_shape(1, 2);
        struct file file;
        shape.stored = rows[i].stored;
        shape.high = rows[i].stored - 1;
        begin(&file, &shape);
        put_pixels(&file, "OW", "\0\0\1\0", 4);
        assert_int_equal(chunks_of(*state, &file, &options).chunks.significant_bits, rows[i].wanted);
    }
}

static void test_no_significant_bits_of_float_data(void **state)
{
    static const float values[2] = {0.5f, 2};
    struct shape shape = grey_shape(1, 2);
    struct file file;
    begin(&file, &shape);
    put_header(&file, 0x7FE00008, "OF", sizeof values, false);
    put(&file, values, sizeof values);
    assert_int_equal(chunks_of(*state, &file, &of_16_bits).chunks.significant_bits, 0);
}

/* ---- iCCP ------------------------------------------------------------------------------------- */

static void begin_colour(struct file *file)
{
    struct shape shape = {EXPLICIT_LITTLE, "RGB", 3, 0, 1, 1, 2, 8, 8, 7, 0};
    begin(file, &shape);
}

static void test_profile(void **state)
{
    struct extras extras = {0};
    struct picture picture = {0};
    struct file file;
    uint8_t icc[ICC_BYTES_MIN];
    icc_build(icc, sizeof icc);
    begin_colour(&file);
    put_profile(&file, icc, sizeof icc);
    put_pixels(&file, "OB", "\1\2\3\4\5\6", 6);
    open_image(*state, &file);
    find_chunks(&extras, *state, &of_16_bits, &picture);
    assert_non_null(picture.chunks.profile);
    assert_true(picture.chunks.profile->length > 0);
    assert_string_equal(picture.notes, "");
    assert_int_equal(picture.chunks.significant_bits, 8);
    /* It is made once a file. */
    const uint8_t *chunk = picture.chunks.profile->chunk;
    find_chunks(&extras, *state, &of_16_bits, &picture);
    assert_ptr_equal(picture.chunks.profile->chunk, chunk);
    /* The next file has none. */
    begin_colour(&file);
    put_pixels(&file, "OB", "\1\2\3\4\5\6", 6);
    open_image(*state, &file);
    extras_begin_file(&extras);
    find_chunks(&extras, *state, &of_16_bits, &picture);
    assert_int_equal(picture.chunks.profile->length, 0);
    assert_string_equal(picture.notes, "");
    extras_clear(&extras);
}

static void test_profile_left_out(void **state)
{
    struct extras extras = {0};
    struct picture picture = {0};
    struct file file;
    uint8_t icc[ICC_BYTES_MIN];
    icc_build(icc, sizeof icc);
    memcpy(icc + 16, "GRAY", 4);
    begin_colour(&file);
    put_profile(&file, icc, sizeof icc);
    put_pixels(&file, "OB", "\1\2\3\4\5\6", 6);
    open_image(*state, &file);
    for (int frame = 0; frame < 2; frame++) { /* each row says so */
        find_chunks(&extras, *state, &of_16_bits, &picture);
        assert_int_equal(picture.chunks.profile->length, 0);
        assert_string_equal(picture.notes, "left out: ICC profile not of RGB");
    }
    extras_clear(&extras);
}

/* ---- overlays --------------------------------------------------------------------------------- */

static void test_overlays_where_they_are_wanted(void **state)
{
    static const struct {
        enum overlays_choice overlays;
        enum pixel_scaling scaling;
        const char *notes;
    } rows[] = {
        {OVERLAYS_NONE, PIXEL_SCALING_FULL, ""},
        {OVERLAYS_BURN, PIXEL_SCALING_FULL, "overlays burned in: 1"},
        {OVERLAYS_BURN, PIXEL_SCALING_NIFFLER, "overlays burned in: 1"},
        {OVERLAYS_BURN, PIXEL_SCALING_STORED, ""},
    };
    struct fixture *fixture = *state;
    struct shape shape = grey_shape(1, 2);
    struct file file;
    begin(&file, &shape);
    put_us(&file, 0x60000010, 1);
    put_us(&file, 0x60000011, 2);
    put_header(&file, 0x60003000, "OW", 2, false);
    put(&file, "\2\0", 2);
    put_pixels(&file, "OW", "\0\0\1\0", 4);
    open_image(fixture, &file);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct options options = {.overlays = rows[i].overlays, .pixel_scaling = rows[i].scaling};
        struct extras extras = {0};
        struct picture picture = {0};
        find_chunks(&extras, fixture, &options, &picture);
        const struct notes notes = {picture.notes, sizeof picture.notes};
        const struct extras_frame frame = {0, read_frame(fixture, 0), &picture.plan};
        const struct overlays *overlays =
            extras_overlays(&extras, fixture->dcm, fixture->image, &frame, &options, &notes);
        assert_int_equal(overlays != NULL, rows[i].notes[0] != '\0');
        assert_string_equal(picture.notes, rows[i].notes);
        extras_clear(&extras);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spacing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_significant_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_significant_bits_of_float_data, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_profile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_profile_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overlays_where_they_are_wanted, set_up, tear_down),
    };
    codec_init();
    return cmocka_run_group_tests_name("extras", tests, NULL, NULL);
}
