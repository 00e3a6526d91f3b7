/* Files whose pixel data ends early, or whose fragments and tables are not what they should be. */
#include "tests/unit/codec_streams.h"
#include "tests/unit/image_files.h"

#define J2K "1.2.840.10008.1.2.4.90"
#define UNCOMPRESSED_FRAGMENTS "1.2.840.10008.1.2.1.98"

static struct options lenient_options(void)
{
    struct options options = defaults;
    options.allow_truncated = true;
    return options;
}

static void expect_missing(struct fixture *fixture, uint32_t frame)
{
    const struct codec_samples *samples = NULL;
    struct error err = {0};
    assert_false(image_read_frame(fixture->image, frame, &defaults, &samples, NULL, 0, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_int_equal(err.category, CATEGORY_CONTRADICTION);
    assert_string_equal(err.code, CODE_TOO_SHORT);
}

/* ---- native ----------------------------------------------------------------------------------- */

/* Three frames of eight bytes, of which so many bytes are there. */
static void test_missing_bytes_cost_their_frames(void **state)
{
    static const uint8_t bytes[24] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                      13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24};
    static const struct {
        uint32_t length, whole, begun;
        const char *notes; /* on the last one begun */
    } cases[] = {
        {24, 3, 3, ""},
        {23, 2, 3, "truncated: 7 of 8 bytes"},
        {17, 2, 3, "truncated: 1 of 8 bytes"},
        {16, 2, 2, ""},
        {15, 1, 2, "truncated: 7 of 8 bytes"},
        {8, 1, 1, ""},
        {7, 0, 1, "truncated: 7 of 8 bytes"},
        {1, 0, 1, "truncated: 1 of 8 bytes"},
        {0, 0, 0, ""},
    };
    const struct options lenient = lenient_options();
    struct fixture *fixture = *state;
    struct shape shape = {EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 3, 2, 4, 8, 8, 7, 0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int allow = 0; allow < 2; allow++) {
            const struct options *options = allow ? &lenient : &defaults;
            uint32_t there = allow ? cases[i].begun : cases[i].whole;
            struct error missing = {0};
            struct file file;
            uint8_t wanted[24] = {0};
            memcpy(wanted, bytes, cases[i].length);
            begin(&file, &shape);
            put_pixels(&file, "OB", bytes, cases[i].length);
            if (there == 0) {
                refuse_image(fixture, &file, options, CATEGORY_CONTRADICTION, CODE_TOO_SHORT);
                continue;
            }
            open_image_with(fixture, &file, options);
            assert_int_equal(image_frames_there(fixture->image, &missing), there);
            for (uint32_t frame = 0; frame < 3; frame++) {
                if (frame >= there) {
                    assert_string_equal(missing.code, CODE_TOO_SHORT);
                    expect_missing(fixture, frame);
                    continue;
                }
                assert_memory_equal(read_frame(fixture, frame)->data, wanted + 8 * (size_t)frame, 8);
                assert_string_equal(fixture->notes, allow && frame + 1 == there ? cases[i].notes : "");
            }
        }
    }
    /* Compatibility wants all or nothing, as pydicom. */
    struct options niffler = defaults;
    struct file file;
    niffler.compatibility_niffler = true;
    begin(&file, &shape);
    put_pixels(&file, "OB", bytes, 23);
    refuse_image(fixture, &file, &niffler, CATEGORY_CONTRADICTION, CODE_TOO_SHORT);
}

/* A picture before, so that what is missing does not show what that one left in memory. */
static void test_missing_bytes_are_zero_in_every_layout(void **state)
{
    static const struct shape shapes[] = {
        {EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 2, 4, 8, 8, 7, 0},
        {EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 2, 4, 16, 12, 11, 0},
        {EXPLICIT_BIG, "MONOCHROME2", 1, 0, 1, 2, 4, 8, 8, 7, 0},
        {EXPLICIT_BIG, "MONOCHROME2", 1, 0, 1, 2, 4, 16, 16, 15, 0},
        {EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 4, 8, 1, 1, 0, 0},
        {EXPLICIT_LITTLE, "RGB", 3, 0, 1, 2, 4, 8, 8, 7, 0},
        {EXPLICIT_LITTLE, "RGB", 3, 1, 1, 2, 4, 8, 8, 7, 0},
    };
    static const uint8_t full[256] = {[0 ... 255] = 0xFF};
    const struct options lenient = lenient_options();
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct fixture *fixture = *state;
        struct file file;
        begin(&file, &shapes[i]);
        put_pixels(&file, "OW", full, sizeof full);
        open_image_with(fixture, &file, &lenient);
        size_t size = 0, ones = 0;
        const struct codec_samples *samples = read_frame(fixture, 0);
        size = codec_samples_count(samples) * samples->bytes;
        assert_string_equal(fixture->notes, "");
        begin(&file, &shapes[i]);
        put_pixels(&file, "OW", full, 2);
        open_image_with(fixture, &file, &lenient);
        samples = read_frame(fixture, 0);
        for (size_t at = 0; at < size; at++)
            ones += ((const uint8_t *)samples->data)[at] != 0;
        assert_int_equal(ones, shapes[i].allocated == 1 ? 16 : 2);
        assert_memory_equal(fixture->notes, "truncated: 2 of ", 16);
    }
}

/* ---- which fragments make a frame ------------------------------------------------------------- */

#define SIZE ((uint32_t)sizeof jpeg_lossless_16)
#define HALF 100u
#define FRAGMENTS 8

struct layout {
    const char *parts;     /* of a fragment each: S a stream, 0 a zero byte, a and b its halves, - nothing;
                              a blank begins the next fragment */
    uint32_t frames;       /* as the header says */
    uint32_t there;        /* 0: refused         */
    bool is_cut;           /* no delimiter       */
    uint32_t offset_count; /* of the table       */
    uint32_t offsets[4];
};

static void put_layout(struct file *file, const struct layout *layout)
{
    struct shape shape = grey_shape(8, 16);
    shape.syntax = JPEG_LOSSLESS;
    shape.frames = layout->frames;
    begin(file, &shape);
    begin_fragments(file, layout->offsets, layout->offset_count);
    for (const char *part = layout->parts; *part != '\0'; part += *part == ' ') {
        uint8_t bytes[4096];
        size_t length = 0;
        for (; *part != '\0' && *part != ' '; part++) {
            size_t from = *part == 'b' ? HALF : 0, to = *part == 'a' ? HALF : SIZE;
            if (*part == '0') {
                bytes[length++] = 0;
            } else if (*part != '-') {
                memcpy(bytes + length, jpeg_lossless_16 + from, to - from);
                length += to - from;
            }
        }
        put_fragment(file, bytes, length);
    }
    if (!layout->is_cut)
        end_fragments(file);
}

static void check_layouts(struct fixture *fixture, const struct layout *layouts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct file file;
        struct error missing;
        put_layout(&file, &layouts[i]);
        if (layouts[i].there == 0) {
            refuse_image(fixture, &file, &defaults, CATEGORY_CONTRADICTION, CODE_MALFORMED);
            continue;
        }
        open_image(fixture, &file);
        assert_int_equal(image_frames_there(fixture->image, &missing), layouts[i].there);
        for (uint32_t frame = 0; frame < layouts[i].there; frame++)
            check_stream_frame(fixture, frame);
        for (uint32_t frame = layouts[i].there; frame < layouts[i].frames; frame++)
            expect_missing(fixture, frame);
    }
}

static void test_tables_that_are_wrong(void **state)
{
    /* Frames of two fragments, one, and two; the frames' items begin at 0, 16 + SIZE, and 24 + 2 * SIZE. */
    static const struct layout layouts[] = {
        {"a b S a b", 3, 3, false, 3, {0, 16 + SIZE, 24 + 2 * SIZE}},
        {"a b S a b", 3, 3, false, 0, {0}},
        {"a b S a b", 3, 3, false, 3, {0, 1000000, 2000000}},               /* beyond the end          */
        {"a b S a b", 3, 3, false, 3, {24 + 2 * SIZE, 16 + SIZE, 0}},       /* backwards               */
        {"a b S a b", 3, 3, false, 3, {0, 0, 0}},                           /* zeros                   */
        {"a b S a b", 3, 3, false, 2, {0, 16 + SIZE}},                      /* too few                 */
        {"a b S a b", 3, 3, false, 4, {0, 16 + SIZE, 24 + 2 * SIZE, 9999}}, /* too many               */
        {"a b S a b", 3, 3, false, 3, {8, 24 + SIZE, 32 + 2 * SIZE}},       /* from the table's item on */
        {"a b S a b", 3, 3, false, 3, {0, 8 + SIZE, 8 + 2 * SIZE}},         /* without item headers    */
        {"a b S a b", 3, 3, false, 3, {8, 16 + SIZE, 4}},
    };
    check_layouts(*state, layouts, sizeof layouts / sizeof layouts[0]);
}

static void test_fragments_that_are_odd(void **state)
{
    static const struct layout layouts[] = {
        {"SS", 2, 2, false, 0, {0}},         {"S0S", 2, 2, false, 0, {0}},
        {"SSS0", 3, 3, true, 0, {0}},        {"SS S", 3, 3, false, 0, {0}},
        {"SS a b a b", 4, 4, false, 0, {0}}, {"S - S", 2, 2, false, 0, {0}},
        {"- S S -", 2, 2, false, 0, {0}},    {"a - b S", 2, 2, false, 0, {0}},
        {"a b", 1, 1, false, 0, {0}},        {"S S S S S", 3, 0, false, 0, {0}}, /* which are the three? */
        {"b a S S", 3, 0, false, 0, {0}},                                        /* whose is the first? */
    };
    check_layouts(*state, layouts, sizeof layouts / sizeof layouts[0]);
}

static void test_missing_fragments_cost_their_frames(void **state)
{
    static const struct layout layouts[] = {
        {"S", 1000, 1, false, 0, {0}},
        {"S S", 3, 2, false, 0, {0}},
        {"SS", 3, 2, true, 0, {0}},
        {"a b S", 4, 2, true, 0, {0}},
        {"a b a b S", 4, 3, true, 0, {0}},
        {"a b S a b", 4, 3, true, 4, {0, 16 + SIZE, 24 + 2 * SIZE, 40 + 3 * SIZE}},
        {"a b S a b", 4, 0, false, 0, {0}}, /* five fragments and the end: is it the last that is missing? */
    };
    check_layouts(*state, layouts, sizeof layouts / sizeof layouts[0]);
    struct shape shape = grey_shape(8, 16);
    struct file file;
    shape.syntax = JPEG_LOSSLESS;
    shape.frames = 2;
    for (int empty = 0; empty < 2; empty++) {
        begin(&file, &shape);
        begin_fragments(&file, no_offsets, 0);
        if (empty)
            put_fragment(&file, "", 0);
        end_fragments(&file);
        refuse_image(*state, &file, &defaults, CATEGORY_CONTRADICTION, CODE_TOO_SHORT);
    }
    /* An empty fragment among as many as there are frames is a frame without a picture. */
    shape.frames = 3;
    begin(&file, &shape);
    begin_fragments(&file, no_offsets, 0);
    put_fragment(&file, jpeg_lossless_16, SIZE);
    put_fragment(&file, "", 0);
    put_fragment(&file, jpeg_lossless_16, SIZE);
    end_fragments(&file);
    open_image(*state, &file);
    check_stream_frame(*state, 0);
    expect_missing(*state, 1);
    check_stream_frame(*state, 2);
}

static void test_odd_lengths(void **state)
{
    struct shape shape = grey_shape(8, 16);
    struct file file;
    size_t length = SIZE + 1 - SIZE % 2; /* an odd number of bytes, the padding not counted */
    uint8_t padded[SIZE + 1];
    memcpy(padded, jpeg_lossless_16, SIZE);
    padded[SIZE] = 0;
    shape.syntax = JPEG_LOSSLESS;
    shape.frames = 2;
    for (int with_padding = 0; with_padding < 2; with_padding++) {
        begin(&file, &shape);
        begin_fragments(&file, no_offsets, 0);
        for (int i = 0; i < 2; i++) {
            put_fragment(&file, padded, length);
            put(&file, "", (size_t)with_padding);
        }
        end_fragments(&file);
        open_image(*state, &file);
        check_stream_frame(*state, 0);
        check_stream_frame(*state, 1);
    }
}

static void test_extended_table_with_lengths(void **state)
{
    struct shape shape = grey_shape(8, 16);
    struct file file;
    shape.syntax = JPEG_LOSSLESS;
    shape.frames = 2;
    for (uint32_t wrong = 0; wrong < 2; wrong++) {
        begin(&file, &shape);
        for (uint32_t tag = 0x7FE00001; tag <= 0x7FE00002; tag++) {
            put_header(&file, tag, "OV", 16, false);
            for (uint32_t i = 0; i < 2; i++) {
                put_number(&file, tag == 0x7FE00001 ? i * (16 + SIZE) + i * wrong : SIZE, 4, false);
                put_number(&file, 0, 4, false);
            }
        }
        begin_fragments(&file, no_offsets, 0);
        for (int i = 0; i < 2; i++) {
            put_fragment(&file, jpeg_lossless_16, HALF);
            put_fragment(&file, jpeg_lossless_16 + HALF, SIZE - HALF);
        }
        end_fragments(&file);
        open_image(*state, &file);
        check_stream_frame(*state, 0);
        check_stream_frame(*state, 1);
    }
}

static void test_jpeg_2000_images_in_one_fragment(void **state)
{
    struct shape shape = grey_shape(8, 16);
    struct file file;
    uint8_t both[2 * sizeof j2k_16 + 1];
    for (size_t padding = 0; padding < 2; padding++) {
        memset(both, 0, sizeof both);
        memcpy(both, j2k_16, sizeof j2k_16);
        memcpy(both + sizeof j2k_16 + padding, j2k_16, sizeof j2k_16);
        shape.syntax = J2K;
        shape.frames = 2;
        begin(&file, &shape);
        begin_fragments(&file, no_offsets, 0);
        put_fragment(&file, both, 2 * sizeof j2k_16 + padding);
        end_fragments(&file);
        open_image(*state, &file);
        check_stream_frame(*state, 0);
        check_stream_frame(*state, 1);
    }
}

static void test_jpeg_2000_with_an_impossible_size(void **state)
{
    static const struct {
        size_t place, length;
        const char *bytes;
        bool is_mended;
    } cases[] = {
        {6, 4, "\xFE\xFF\xDD\xE0", true},   /* capabilities, and the upper half of the columns     */
        {12, 2, "\x40\0", true},            /* rows                                                */
        {8, 4, "\0\0\0\x20", false},        /* two tiles are possible: contradicts the header      */
        {24, 8, "\0\0\0\1\0\0\0\1", false}, /* tiles of a pixel                                    */
        {20, 1, "\x40", false},             /* an offset beyond the image                          */
    };
    struct fixture *fixture = *state;
    struct shape shape = grey_shape(8, 16);
    struct options niffler = defaults;
    shape.syntax = J2K;
    niffler.compatibility_niffler = true;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t stream[sizeof j2k_16];
        struct file file;
        struct error err = {0};
        const struct codec_samples *samples;
        memcpy(stream, j2k_16, sizeof stream);
        memcpy(stream + cases[i].place, cases[i].bytes, cases[i].length);
        begin(&file, &shape);
        begin_fragments(&file, no_offsets, 0);
        put_fragment(&file, stream, sizeof stream);
        end_fragments(&file);
        open_image(fixture, &file);
        if (cases[i].is_mended) {
            check_stream_frame(fixture, 0);
            assert_string_equal(fixture->notes,
                                "codestream size impossible, overruled by its tile's and the header's");
            open_image_with(fixture, &file, &niffler);
        }
        if (image_read_stored(fixture->image, 0, &samples, NULL, 0, &err))
            fail_msg("case %zu is read", i);
        assert_int_equal(err.kind, ERROR_INPUT);
    }
}

/* Images so long that the next one's start lies in another block of the search. */
static void test_long_images_in_one_fragment(void **state)
{
    static uint8_t both[2 * (16384 + 512)];
    struct fixture *fixture = *state;
    for (uint32_t shift = 0; shift < 24; shift++) {
        /* A comment segment (ITU-T T.81 B.2.4.5) makes the image as long as is wanted. */
        uint32_t comment = 16384 - 12 - SIZE + shift, length = SIZE + 2 + comment;
        for (uint8_t *at = both; at <= both + length; at += length) {
            memset(at, 0, length);
            memcpy(at, "\xFF\xD8\xFF\xFE", 4);
            at[4] = (uint8_t)(comment >> 8);
            at[5] = (uint8_t)comment;
            memcpy(at + 4 + comment, jpeg_lossless_16 + 2, SIZE - 2);
        }
        struct shape shape = grey_shape(8, 16);
        struct file file;
        shape.syntax = JPEG_LOSSLESS;
        shape.frames = 2;
        begin(&file, &shape);
        begin_fragments(&file, no_offsets, 0);
        put_fragment(&file, both, 2 * (size_t)length);
        end_fragments(&file);
        open_image(fixture, &file);
        check_stream_frame(fixture, 0);
        check_stream_frame(fixture, 1);
    }
}

static void test_uncompressed_fragments(void **state)
{
    const struct options lenient = lenient_options();
    struct shape shape = {UNCOMPRESSED_FRAGMENTS, "MONOCHROME2", 1, 0, 2, 1, 4, 8, 8, 7, 0};
    struct fixture *fixture = *state;
    struct file file;
    begin(&file, &shape);
    begin_fragments(&file, no_offsets, 0);
    for (uint32_t i = 0; i < 4; i++)
        put_fragment(&file, "\1\2\3\4\5\6\7\10" + (size_t)2 * i, 2);
    end_fragments(&file);
    open_image(fixture, &file);
    assert_memory_equal(read_frame(fixture, 0)->data, "\1\2\3\4", 4);
    assert_memory_equal(read_frame(fixture, 1)->data, "\5\6\7\10", 4);
    /* The second frame is cut. */
    begin(&file, &shape);
    begin_fragments(&file, no_offsets, 0);
    put_fragment(&file, "\1\2\3\4", 4);
    put_fragment(&file, "\5\6", 2);
    open_image(fixture, &file);
    assert_memory_equal(read_frame(fixture, 0)->data, "\1\2\3\4", 4);
    expect_missing(fixture, 1);
    open_image_with(fixture, &file, &lenient);
    assert_memory_equal(read_frame(fixture, 1)->data, "\5\6\0\0", 4);
    assert_string_equal(fixture->notes, "truncated: 2 of 4 bytes");
}

/* Deflated frames (RFC 1951): stored blocks of four bytes, one whole, one cut. */
static void test_deflated_frames(void **state)
{
    static const uint8_t stream[] = {1, 4, 0, 0xFB, 0xFF, 1, 2, 3, 4, 0};
    const struct options lenient = lenient_options();
    struct shape shape = {DEFLATED_FRAME, "MONOCHROME2", 1, 0, 2, 1, 4, 8, 8, 7, 0};
    struct fixture *fixture = *state;
    struct file file;
    begin(&file, &shape);
    begin_fragments(&file, no_offsets, 0);
    put_fragment(&file, stream, sizeof stream); /* with a padding byte */
    put_fragment(&file, stream, 7);
    end_fragments(&file);
    open_image(fixture, &file);
    assert_memory_equal(read_frame(fixture, 0)->data, "\1\2\3\4", 4);
    expect_missing(fixture, 1);
    open_image_with(fixture, &file, &lenient);
    assert_memory_equal(read_frame(fixture, 1)->data, "\1\2\0\0", 4);
    assert_string_equal(fixture->notes, "truncated: 2 of 4 bytes");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_missing_bytes_cost_their_frames),
        TEST(test_missing_bytes_are_zero_in_every_layout),
        TEST(test_tables_that_are_wrong),
        TEST(test_fragments_that_are_odd),
        TEST(test_missing_fragments_cost_their_frames),
        TEST(test_odd_lengths),
        TEST(test_extended_table_with_lengths),
        TEST(test_jpeg_2000_images_in_one_fragment),
        TEST(test_jpeg_2000_with_an_impossible_size),
        TEST(test_long_images_in_one_fragment),
        TEST(test_uncompressed_fragments),
        TEST(test_deflated_frames),
    };
    codec_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
