/* The Image Pixel module and the frames of whole files, built here in memory. */
#include "tests/unit/codec_streams.h"
#include "tests/unit/image_files.h"

/* ---- native ----------------------------------------------------------------------------------- */

static void test_stored_bits_are_cut_out(void **state)
{
    struct shape shape = grey_shape(1, 4);
    struct file file;
    shape.stored = 12;
    shape.high = 11;
    shape.representation = 1;
    begin(&file, &shape);
    put_pixels(&file, "OW", "\xFF\xF7\x00\xF8\x01\x70\xFF\xFF", 8);
    open_image(*state, &file);
    const struct codec_samples *samples = read_frame(*state, 0);
    const int16_t wanted[4] = {2047, -2048, 1, -1};
    assert_true(samples->is_signed);
    assert_int_equal(samples->bytes, 2);
    assert_memory_equal(samples->data, wanted, sizeof wanted);
    /* Compatibility takes the container whole. */
    struct options niffler = defaults;
    struct error err;
    niffler.compatibility_niffler = true;
    assert_true(inspect(*state, &file, &niffler, &err));
    const int16_t whole[4] = {(int16_t)0xF7FF, (int16_t)0xF800, 0x7001, -1};
    assert_memory_equal(read_frame(*state, 0)->data, whole, sizeof whole);
}

static void test_big_endian(void **state)
{
    struct shape shape = grey_shape(1, 3);
    struct file file;
    shape.syntax = EXPLICIT_BIG;
    begin(&file, &shape);
    put_pixels(&file, "OW", "\x01\x02\x03\x04\x05\x06", 6);
    open_image(*state, &file);
    const uint16_t words[3] = {0x0102, 0x0304, 0x0506};
    assert_memory_equal(read_frame(*state, 0)->data, words, sizeof words);
    /* Bytes in words: frames of an odd number of bytes begin in the middle of one. */
    shape = (struct shape){EXPLICIT_BIG, "MONOCHROME2", 1, 0, 2, 1, 3, 8, 8, 7, 0};
    begin(&file, &shape);
    put_pixels(&file, "OW", "\x02\x01\x04\x03\x06\x05", 6);
    open_image(*state, &file);
    assert_memory_equal(read_frame(*state, 0)->data, "\x01\x02\x03", 3);
    assert_memory_equal(read_frame(*state, 1)->data, "\x04\x05\x06", 3);
}

static void test_single_bits_run_over_frames(void **state)
{
    struct shape shape = {EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 3, 1, 5, 1, 1, 0, 0};
    struct file file;
    begin(&file, &shape);
    put_pixels(&file, "OB", "\xB1\x46", 2); /* 10001 10101 10001 0 */
    open_image(*state, &file);
    assert_memory_equal(read_frame(*state, 0)->data, "\1\0\0\0\1", 5);
    assert_memory_equal(read_frame(*state, 1)->data, "\1\0\1\0\1", 5);
    assert_memory_equal(read_frame(*state, 2)->data, "\1\0\0\0\1", 5);
}

static void test_planes_and_pixels_give_the_same(void **state)
{
    struct shape shape = {EXPLICIT_LITTLE, "RGB", 3, 0, 1, 1, 2, 8, 8, 7, 0};
    struct file file;
    for (shape.planar = 0; shape.planar < 2; shape.planar++) {
        begin(&file, &shape);
        put_pixels(&file, "OB", shape.planar ? "\x01\x04\x02\x05\x03\x06" : "\x01\x02\x03\x04\x05\x06", 6);
        open_image(*state, &file);
        const struct codec_samples *samples = read_frame(*state, 0);
        assert_int_equal(samples->samples, 3);
        assert_memory_equal(samples->data, "\x01\x02\x03\x04\x05\x06", 6);
    }
}

static void test_ycbcr_becomes_rgb(void **state)
{
    struct shape shape = {EXPLICIT_LITTLE, "YBR_FULL", 3, 0, 1, 1, 2, 8, 8, 7, 0};
    struct file file;
    begin(&file, &shape);
    put_pixels(&file, "OB", "\x64\x80\x80\x64\x80\xC0", 6);
    open_image(*state, &file);
    /* Grey; and 100 + 1.402 * 64 = 189.7, 100 - 0.714136 * 64 = 54.3, 100. */
    assert_memory_equal(read_frame(*state, 0)->data, "\x64\x64\x64\xBE\x36\x64", 6);
    /* 4:2:2: two pixels share the chroma. */
    shape.photometric = "YBR_FULL_422";
    begin(&file, &shape);
    put_pixels(&file, "OB", "\x64\x65\x80\x80", 4);
    open_image(*state, &file);
    assert_memory_equal(read_frame(*state, 0)->data, "\x64\x64\x64\x65\x65\x65", 6);
    /* Full chroma under that name, told by the length. */
    begin(&file, &shape);
    put_pixels(&file, "OB", "\x64\x80\x80\x65\x80\x80", 6);
    open_image(*state, &file);
    assert_memory_equal(read_frame(*state, 0)->data, "\x64\x64\x64\x65\x65\x65", 6);
}

static void test_float_samples(void **state)
{
    struct shape shape = grey_shape(1, 2);
    const float values[2] = {-1.5f, 1e9f};
    struct file file;
    shape.allocated = 32;
    begin(&file, &shape);
    put_header(&file, 0x7FE00008, "OF", sizeof values, false);
    put(&file, values, sizeof values);
    open_image(*state, &file);
    const struct codec_samples *samples = read_frame(*state, 0);
    assert_true(samples->is_float);
    assert_int_equal(samples->bytes, 4);
    assert_memory_equal(samples->data, values, sizeof values);
}

/* ---- palettes --------------------------------------------------------------------------------- */

static void put_descriptor(struct file *file, uint32_t tag, uint32_t count, uint32_t first, uint32_t bits)
{
    put_header(file, tag, "US", 6, file->big);
    put_number(file, count, 2, file->big);
    put_number(file, first, 2, file->big);
    put_number(file, bits, 2, file->big);
}

static void put_words(struct file *file, uint32_t tag, const uint16_t *words, uint32_t count)
{
    put_header(file, tag, "OW", 2 * count, file->big);
    for (uint32_t i = 0; i < count; i++)
        put_number(file, words[i], 2, file->big);
}

static void test_palette_of_words(void **state)
{
    static const uint16_t tables[3][3] = {{0x100, 0x200, 0x300}, {1, 2, 3}, {0xFFFF, 0xFFFE, 0xFFFD}};
    struct shape shape = {EXPLICIT_LITTLE, "PALETTE COLOR", 1, 0, 1, 1, 4, 8, 8, 7, 0};
    struct file file;
    for (int big = 0; big < 2; big++) {
        shape.syntax = big ? EXPLICIT_BIG : EXPLICIT_LITTLE;
        begin(&file, &shape);
        for (uint32_t i = 0; i < 3; i++)
            put_descriptor(&file, 0x00281101 + i, 3, 10, 16);
        for (uint32_t i = 0; i < 3; i++)
            put_words(&file, 0x00281201 + i, tables[i], 3);
        put_pixels(&file, "OB", "\x00\x0A\x0B\xFF", 4);
        open_image(*state, &file);
        const struct codec_samples *samples = read_frame(*state, 0);
        const uint16_t wanted[12] = {0x100, 1, 0xFFFF, 0x100, 1, 0xFFFF, 0x200, 2, 0xFFFE, 0x300, 3, 0xFFFD};
        assert_int_equal(samples->samples, 3);
        assert_int_equal(samples->bytes, 2);
        assert_memory_equal(samples->data, wanted, sizeof wanted);
    }
    /* Compatibility shows the indices. */
    struct options niffler = defaults;
    const struct codec_samples *samples = NULL;
    struct error err;
    niffler.compatibility_niffler = true;
    assert_true(inspect(*state, &file, &niffler, &err));
    struct fixture *fixture = *state;
    assert_true(image_read_frame(fixture->image, 0, &niffler, &samples, NULL, 0, &err));
    assert_int_equal(samples->samples, 1);
    assert_memory_equal(samples->data, "\x00\x0A\x0B\xFF", 4);
}

static void test_palette_of_segments(void **state)
{
    /* Discrete: 0, 10; linear: two more, up to 20; indirect: the first segment once more. */
    static const uint16_t segments[] = {0, 2, 0, 10, 1, 2, 20, 2, 1, 0, 0};
    struct shape shape = {EXPLICIT_LITTLE, "PALETTE COLOR", 1, 0, 1, 1, 6, 8, 8, 7, 0};
    struct file file;
    begin(&file, &shape);
    for (uint32_t i = 0; i < 3; i++)
        put_descriptor(&file, 0x00281101 + i, 6, 0, 16);
    for (uint32_t i = 0; i < 3; i++)
        put_words(&file, 0x00281221 + i, segments, sizeof segments / sizeof segments[0]);
    put_pixels(&file, "OB", "\x00\x01\x02\x03\x04\x05", 6);
    open_image(*state, &file);
    static const uint16_t wanted[6] = {0, 10, 15, 20, 0, 10};
    const uint16_t *data = read_frame(*state, 0)->data;
    for (uint32_t i = 0; i < 6; i++)
        for (uint32_t sample = 0; sample < 3; sample++)
            assert_int_equal(data[3 * i + sample], wanted[i]);
}

static void test_palettes_that_are_wrong(void **state)
{
    static const uint16_t endless[] = {0, 0, 2, 65535, 0, 0, 2, 65535, 0, 0};
    static const uint16_t itself[] = {0, 1, 7, 2, 5, 6, 0};
    struct shape shape = {EXPLICIT_LITTLE, "PALETTE COLOR", 1, 0, 1, 1, 2, 8, 8, 7, 0};
    struct file file;
    begin(&file, &shape);
    put_pixels(&file, "OB", "\x00\x01", 2);
    refuse_image(*state, &file, &defaults, CATEGORY_NOT_USABLE, CODE_MISSING_ATTRIBUTE);
    for (int which = 0; which < 2; which++) {
        begin(&file, &shape);
        for (uint32_t i = 0; i < 3; i++)
            put_descriptor(&file, 0x00281101 + i, 0, 0, 16);
        for (uint32_t i = 0; i < 3; i++)
            put_words(&file, 0x00281221 + i, which ? itself : endless, which ? 7 : 10);
        put_pixels(&file, "OB", "\x00\x01", 2);
        refuse_image(*state, &file, &defaults, CATEGORY_CONTRADICTION, CODE_MALFORMED);
    }
}

/* ---- encapsulated ----------------------------------------------------------------------------- */

static uint32_t stream_grey_16(uint32_t row, uint32_t column)
{
    return (row * 4001 + column * 257 + 7) & 65535;
}

/* Two frames in three fragments: where the second begins is told by the table, by the stream, or by neither.
 */
static void test_frames_of_several_fragments(void **state)
{
    struct shape shape = grey_shape(8, 16);
    struct file file;
    const size_t size = sizeof jpeg_lossless_16, half = 100;
    const uint32_t right[2] = {0, (uint32_t)(16 + size)}, wrong[2] = {0, 77};
    const uint32_t *tables[3] = {no_offsets, right, wrong};
    shape.syntax = JPEG_LOSSLESS;
    shape.frames = 2;
    for (uint32_t table = 0; table < 3; table++) {
        begin(&file, &shape);
        begin_fragments(&file, tables[table], table == 0 ? 0 : 2);
        put_fragment(&file, jpeg_lossless_16, half);
        put_fragment(&file, jpeg_lossless_16 + half, size - half);
        put_fragment(&file, jpeg_lossless_16, size);
        if (table != 2)
            end_fragments(&file); /* else it is missing */
        open_image(*state, &file);
        check_stream_frame(*state, 0);
        check_stream_frame(*state, 1);
    }
    begin(&file, &shape);
    begin_fragments(&file, no_offsets, 0);
    for (int i = 0; i < 3; i++)
        put_fragment(&file, jpeg_lossless_16, size);
    end_fragments(&file);
    refuse_image(*state, &file, &defaults, CATEGORY_CONTRADICTION, CODE_MALFORMED);
}

static void test_extended_offset_table(void **state)
{
    struct shape shape = grey_shape(8, 16);
    struct file file;
    const uint32_t size = sizeof jpeg_lossless_16, half = 100;
    shape.syntax = JPEG_LOSSLESS;
    shape.frames = 2;
    begin(&file, &shape);
    put_header(&file, 0x7FE00001, "OV", 16, false);
    for (uint32_t i = 0; i < 2; i++) {
        put_number(&file, i * (8 + size), 4, false);
        put_number(&file, 0, 4, false);
    }
    begin_fragments(&file, no_offsets, 0);
    put_fragment(&file, jpeg_lossless_16, size);
    put_fragment(&file, jpeg_lossless_16, half);
    put_fragment(&file, jpeg_lossless_16 + half, size - half);
    end_fragments(&file);
    open_image(*state, &file);
    check_stream_frame(*state, 0);
    check_stream_frame(*state, 1);
}

static void test_codestream_wins_over_header(void **state)
{
    struct shape shape = grey_shape(8, 16);
    struct fixture *fixture = *state;
    struct file file;
    shape.syntax = JPEG_LOSSLESS;
    shape.stored = 12;
    shape.high = 11;
    begin(&file, &shape);
    begin_fragments(&file, no_offsets, 0);
    put_fragment(&file, jpeg_lossless_16, sizeof jpeg_lossless_16);
    end_fragments(&file);
    open_image(*state, &file);
    check_stream_frame(*state, 0); /* not masked to 12 bits */
    assert_string_equal(fixture->notes, "codestream precision 16, header 12");

    shape = (struct shape){JPEG_BASELINE, "RGB", 3, 0, 1, 8, 16, 8, 8, 7, 0};
    begin(&file, &shape);
    begin_fragments(&file, no_offsets, 0);
    put_fragment(&file, jpeg_baseline_ycc, sizeof jpeg_baseline_ycc);
    end_fragments(&file);
    open_image(*state, &file);
    const uint8_t *data = read_frame(*state, 0)->data;
    assert_string_equal(fixture->notes, "codestream YCbCr, header RGB");
    assert_in_range(data[3 * 16 * 7], 205, 215); /* row 7, column 0: red 210 */
}

static void test_codestream_sign_is_that_of_the_header(void **state)
{
    struct shape shape = grey_shape(8, 16);
    struct file file;
    shape.syntax = JPEG_LOSSLESS;
    shape.representation = 1;
    begin(&file, &shape);
    begin_fragments(&file, no_offsets, 0);
    put_fragment(&file, jpeg_lossless_16, sizeof jpeg_lossless_16);
    end_fragments(&file);
    open_image(*state, &file);
    const struct codec_samples *samples = read_frame(*state, 0);
    assert_true(samples->is_signed);
    assert_int_equal(((const int16_t *)samples->data)[16 * 7 + 15], stream_grey_16(7, 15));
}

static void test_deflated_frame(void **state)
{
    /* A stored block of 6 bytes (RFC 1951 3.2.4). */
    static const uint8_t stream[] = {1, 6, 0, 0xF9, 0xFF, 1, 0, 2, 0, 3, 0};
    struct shape shape = grey_shape(1, 3);
    struct file file;
    shape.syntax = DEFLATED_FRAME;
    for (int cut = 0; cut < 2; cut++) {
        begin(&file, &shape);
        begin_fragments(&file, no_offsets, 0);
        put_fragment(&file, stream, sizeof stream - (size_t)cut);
        end_fragments(&file);
        open_image(*state, &file);
        if (cut == 0) {
            const uint16_t wanted[3] = {1, 2, 3};
            assert_memory_equal(read_frame(*state, 0)->data, wanted, sizeof wanted);
        } else {
            const struct codec_samples *samples = NULL;
            struct fixture *fixture = *state;
            struct error err = {0};
            assert_false(image_read_stored(fixture->image, 0, &samples, NULL, 0, &err));
            assert_string_equal(err.code, CODE_TOO_SHORT);
        }
    }
}

/* ---- refusals --------------------------------------------------------------------------------- */

static void refuse_shape(struct fixture *fixture, const struct shape *shape, size_t bytes,
                         enum category category, const char *code)
{
    static const uint8_t pixels[64];
    struct file file;
    begin(&file, shape);
    put_pixels(&file, "OW", pixels, bytes);
    refuse_image(fixture, &file, &defaults, category, code);
}

/* The limit, its name and its value are told. */
static void test_limits(void **state)
{
    struct fixture *fixture = *state;
    struct file file;
    struct error err = {0};
    struct shape shape = grey_shape(65535, 65535);
    begin(&file, &shape);
    put_pixels(&file, "OW", (const uint8_t *)"\0", 2);
    assert_false(inspect(fixture, &file, &defaults, &err));
    assert_string_equal(err.text, "a frame of 65535 x 65535 pixels, more than 1000000 (MaxPixels)");
    shape = grey_shape(1, 1);
    shape.frames = 2000000000;
    begin(&file, &shape);
    put_pixels(&file, "OW", (const uint8_t *)"\0", 2);
    assert_false(inspect(fixture, &file, &defaults, &err));
    assert_string_equal(err.text, "2000000000 frames, more than 1000 (MaxFrames)");
}

static void test_refusals(void **state)
{
    struct shape shape = grey_shape(2, 2);
    refuse_shape(*state, &shape, 6, CATEGORY_CONTRADICTION, CODE_TOO_SHORT);
    shape.frames = 2;
    refuse_shape(*state, &shape, 7, CATEGORY_CONTRADICTION, CODE_TOO_SHORT);
    shape = grey_shape(0, 2);
    refuse_shape(*state, &shape, 8, CATEGORY_CONTRADICTION, CODE_MALFORMED);
    shape = grey_shape(2, 2);
    shape.stored = 17;
    refuse_shape(*state, &shape, 8, CATEGORY_CONTRADICTION, CODE_MALFORMED);
    shape = grey_shape(2, 2);
    shape.high = 16;
    refuse_shape(*state, &shape, 8, CATEGORY_CONTRADICTION, CODE_MALFORMED);
    shape.high = 14;
    refuse_shape(*state, &shape, 8, CATEGORY_CONTRADICTION, CODE_MALFORMED);
    shape = grey_shape(2, 2);
    shape.allocated = 64;
    refuse_shape(*state, &shape, 32, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS);
    shape = grey_shape(2, 2);
    shape.samples = 3;
    refuse_shape(*state, &shape, 24, CATEGORY_CONTRADICTION, CODE_MALFORMED);
    shape = grey_shape(2, 2);
    shape.photometric = "CMYK";
    refuse_shape(*state, &shape, 8, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS);
    shape = grey_shape(65535, 65535);
    refuse_shape(*state, &shape, 2, CATEGORY_DECODER, CODE_LIMIT_PIXELS);
    shape = grey_shape(1, 1);
    shape.frames = 1001;
    refuse_shape(*state, &shape, 64, CATEGORY_DECODER, CODE_LIMIT_PIXELS);
    shape = grey_shape(2, 2);
    shape.syntax = JPEG_BASELINE;
    refuse_shape(*state, &shape, 8, CATEGORY_CONTRADICTION, CODE_MALFORMED);
    shape.syntax = "1.2.840.10008.1.2.4.102";
    refuse_shape(*state, &shape, 8, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_SYNTAX);
}

static void test_no_pixels(void **state)
{
    struct shape shape = grey_shape(2, 2);
    struct fixture *fixture = *state;
    struct file file;
    begin(&file, &shape);
    refuse_image(*state, &file, &defaults, CATEGORY_NOT_USABLE, CODE_NO_PIXELS);
    assert_true(image_is_image(fixture->dcm)); /* it has Rows */
}

/* Some writers forget to change the transfer syntax; what the fragments are can be seen. Without a mark they
 * are what the syntax says. */
static void test_encapsulated_under_a_native_syntax(void **state)
{
    struct shape shape = grey_shape(8, 16);
    struct fixture *fixture = *state;
    struct options niffler = defaults;
    struct file file;
    begin(&file, &shape);
    begin_fragments(&file, no_offsets, 0);
    put_fragment(&file, jpeg_lossless_16, sizeof jpeg_lossless_16);
    end_fragments(&file);
    open_image(fixture, &file);
    check_stream_frame(fixture, 0);
    assert_string_equal(fixture->notes, "encapsulated under a transfer syntax without compression");
    niffler.compatibility_niffler = true;
    refuse_image(fixture, &file, &niffler, CATEGORY_CONTRADICTION, CODE_MALFORMED);
    shape = grey_shape(1, 2);
    begin(&file, &shape);
    begin_fragments(&file, no_offsets, 0);
    put_fragment(&file, "\3\0\4\0\0\0\0\0\0\0\0\0", 12);
    end_fragments(&file);
    open_image(fixture, &file);
    assert_memory_equal(read_frame(fixture, 0)->data, "\3\0\4\0", 4);
}

/* A file cut at any byte of its fragments: refused in time, or whole. */
static void test_cut_files(void **state)
{
    struct shape shape = grey_shape(8, 16);
    struct fixture *fixture = *state;
    struct file file;
    shape.syntax = JPEG_LOSSLESS;
    begin(&file, &shape);
    size_t start = file.length;
    begin_fragments(&file, no_offsets, 0);
    put_fragment(&file, jpeg_lossless_16, 120);
    put_fragment(&file, jpeg_lossless_16 + 120, sizeof jpeg_lossless_16 - 120);
    end_fragments(&file);
    size_t end = file.length;
    for (file.length = start; file.length < end; file.length++) {
        const struct codec_samples *samples = NULL;
        struct error err;
        if (!inspect(fixture, &file, &defaults, &err) ||
            !image_read_stored(fixture->image, 0, &samples, NULL, 0, &err))
            assert_int_equal(err.kind, ERROR_INPUT);
        else
            check_stream_frame(fixture, 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_stored_bits_are_cut_out),
        TEST(test_big_endian),
        TEST(test_single_bits_run_over_frames),
        TEST(test_planes_and_pixels_give_the_same),
        TEST(test_ycbcr_becomes_rgb),
        TEST(test_float_samples),
        TEST(test_palette_of_words),
        TEST(test_palette_of_segments),
        TEST(test_palettes_that_are_wrong),
        TEST(test_frames_of_several_fragments),
        TEST(test_extended_offset_table),
        TEST(test_codestream_wins_over_header),
        TEST(test_codestream_sign_is_that_of_the_header),
        TEST(test_deflated_frame),
        TEST(test_refusals),
        TEST(test_limits),
        TEST(test_no_pixels),
        TEST(test_encapsulated_under_a_native_syntax),
        TEST(test_cut_files),
    };
    codec_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
