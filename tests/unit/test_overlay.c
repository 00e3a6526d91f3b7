/* Overlay planes drawn into pictures: their places, frames, and the bits that hold them. */
#include "tests/unit/codec_streams.h"
#include "tests/unit/image_files.h"
#include "worker/decoder/render/overlay.h"

#define OVERLAY(group, element) DICOM_TAG(0x6000 + (group), element)

/* ---- files ------------------------------------------------------------------------------------ */

static void put_origin(struct file *file, uint32_t group, int row, int column)
{
    put_header(file, OVERLAY(group, 0x0050), "SS", 4, file->big);
    put_number(file, (uint32_t)row & 0xFFFF, 2, file->big);
    put_number(file, (uint32_t)column & 0xFFFF, 2, file->big);
}

static void put_size(struct file *file, uint32_t group, uint32_t rows, uint32_t columns)
{
    put_us(file, OVERLAY(group, 0x0010), rows);
    put_us(file, OVERLAY(group, 0x0011), columns);
    put_text(file, OVERLAY(group, 0x0040), "CS", "G", file->big);
}

/* The plane's pixels as text, '#' for a set bit; padded to whole words as in a file. */
static void put_data(struct file *file, uint32_t group, const char *pixels)
{
    uint8_t bits[64] = {0};
    size_t count = strlen(pixels), length = (count + 15) / 16 * 2;
    for (size_t i = 0; i < count; i++)
        bits[i / 8 ^ (size_t)file->big] |= (uint8_t)((pixels[i] == '#') << (i % 8));
    put_header(file, OVERLAY(group, 0x3000), "OW", (uint32_t)length, file->big);
    put(file, bits, length);
}

static void put_black(struct file *file, size_t length)
{
    static const uint8_t black[512];
    put_pixels(file, "OW", black, length);
}

/* ---- drawing ---------------------------------------------------------------------------------- */

struct drawn {
    struct overlays overlays;
    char text[128]; /* of the picture: '#' white, '.' black, rows one behind the other */
    char notes[128];
};

static void draw(struct drawn *drawn, struct fixture *fixture, uint32_t frame_index, uint32_t samples,
                 uint32_t bit_depth)
{
    const struct image_facts *facts = image_facts(fixture->image);
    const struct pngout_shape shape = {facts->columns, facts->rows, samples, bit_depth};
    const struct notes notes = {drawn->notes, sizeof drawn->notes};
    size_t pixel_bytes = (size_t)samples * bit_depth / 8, used = 0;
    drawn->notes[0] = '\0';
    overlay_begin_frame(&drawn->overlays, fixture->image, frame_index, &notes);
    for (uint32_t row = 0; row < shape.height; row++) {
        uint8_t *out =
            test_calloc(shape.width, pixel_bytes); /* not a byte more: whoever writes there is seen */
        overlay_draw_row(&drawn->overlays, &shape, row, out);
        for (uint32_t column = 0; column < shape.width; column++) {
            const uint8_t *pixel = out + column * pixel_bytes;
            for (size_t i = 1; i < pixel_bytes; i++)
                assert_int_equal(pixel[i], pixel[0]);
            assert_true(pixel[0] == 0 || pixel[0] == 0xFF);
            drawn->text[used++] = pixel[0] == 0 ? '.' : '#';
        }
        test_free(out);
    }
    drawn->text[used] = '\0';
}

static void read_planes(struct drawn *drawn, struct fixture *fixture, const struct file *file)
{
    open_image(fixture, file);
    overlay_read(&drawn->overlays, fixture->dcm, image_facts(fixture->image));
}

/* ---- OverlayData ------------------------------------------------------------------------------ */

/* One plane of 2 x 3 pixels, "##." above ".##", in a picture of 3 x 4. */
static const struct {
    int row, column;
    const char *picture;
} places[] = {
    {1, 1, "##..|.##.|...."},  {2, 2, "....|.##.|..##"},         {1, 2, ".##.|..##|...."},
    {1, 4, "...#|....|...."},  {3, 1, "....|....|##.."},         {0, 0, "##..|....|...."},
    {0, 1, ".##.|....|...."},  {1, -1, "....|#...|...."},        {-1, 1, "....|....|...."},
    {1, 5, "....|....|...."},  {4, 1, "....|....|...."},         {-32768, -32768, "....|....|...."},
    {1, -2, "....|....|...."}, {32767, 32767, "....|....|...."},
};

static void test_places(void **state)
{
    struct drawn drawn = {0};
    struct file file;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        for (int big = 0; big < 2; big++) {
            struct shape shape = grey_shape(3, 4);
            shape.syntax = big ? EXPLICIT_BIG : EXPLICIT_LITTLE;
            begin(&file, &shape);
            put_size(&file, 0, 2, 3);
            put_origin(&file, 0, places[i].row, places[i].column);
            put_data(&file, 0, "##..##");
            put_black(&file, 24);
            read_planes(&drawn, *state, &file);
            draw(&drawn, *state, 0, big ? 3 : 1, i % 2 ? 8 : 16);
            char wanted[16] = "";
            for (const char *at = places[i].picture; *at != '\0'; at++)
                if (*at != '|')
                    strncat(wanted, at, 1);
            assert_string_equal(drawn.text, wanted);
            assert_string_equal(drawn.notes, "overlays burned in: 1");
        }
    }
    overlay_clear(&drawn.overlays);
}

static void test_all_groups(void **state)
{
    struct shape shape = grey_shape(1, 128);
    struct drawn drawn = {0};
    struct file file;
    char wanted[128 + 1] = "";
    begin(&file, &shape);
    for (int i = 0; i < 100; i++) {
        uint32_t group = i < 99 ? 2 * (uint32_t)i : 0xFE;
        put_size(&file, group, 1, 1);
        put_origin(&file, group, 1, i + 1);
        put_data(&file, group, "#");
    }
    put_size(&file, 1, 1, 1); /* an odd group is private */
    put_data(&file, 1, "#");
    put_black(&file, 256);
    read_planes(&drawn, *state, &file);
    assert_int_equal(drawn.overlays.count, 100);
    for (int i = 0; i < 128; i++)
        wanted[i] = i < 100 ? '#' : '.';
    struct fixture *fixture = *state;
    const struct pngout_shape row = {128, 1, 1, 8};
    uint8_t out[128] = {0};
    const struct notes notes = {drawn.notes, sizeof drawn.notes};
    overlay_begin_frame(&drawn.overlays, fixture->image, 0, &notes);
    overlay_draw_row(&drawn.overlays, &row, 0, out);
    for (int i = 0; i < 128; i++)
        assert_int_equal(out[i], wanted[i] == '#' ? 0xFF : 0);
    assert_string_equal(drawn.notes, "overlays burned in: 100");
    overlay_clear(&drawn.overlays);
}

static void test_frames(void **state)
{
    static const struct {
        int count, origin; /* 0: absent */
        const char *pictures[4], *note;
    } rows[] = {
        {0, 0, {"#..", "#..", "#..", "#.."}, "overlays burned in: 1"},
        {2, 0, {"#..", ".#.", "...", "..."}, "overlays burned in: 1"},
        {3, 2, {"...", "#..", ".#.", "..#"}, "overlays burned in: 1"},
        {1, 3, {"...", "...", "#..", "..."}, "overlays burned in: 1"},
        {0, 3, {"...", "...", "#..", "..."}, "overlays burned in: 1"},
        {9, 4, {"...", "...", "...", "#.."}, "overlays burned in: 1"},
        {1, 900, {"...", "...", "...", "..."}, ""},
    };
    struct shape shape = grey_shape(1, 3);
    struct drawn drawn = {0};
    struct file file;
    shape.frames = 4;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char number[16];
        begin(&file, &shape);
        put_size(&file, 2, 1, 3);
        (void)snprintf(number, sizeof number, "%d", rows[i].count);
        if (rows[i].count > 0)
            put_text(&file, OVERLAY(2, 0x0015), "IS", number, false);
        if (rows[i].origin > 0)
            put_us(&file, OVERLAY(2, 0x0051), (uint32_t)rows[i].origin);
        put_data(&file, 2, "#...#...#"); /* frames do not begin with a byte */
        put_black(&file, 24);
        read_planes(&drawn, *state, &file);
        for (uint32_t frame = 0; frame < 4; frame++) {
            draw(&drawn, *state, frame, 1, 8);
            assert_string_equal(drawn.text, rows[i].pictures[frame]);
            assert_string_equal(drawn.notes, strchr(drawn.text, '#') != NULL ? rows[i].note : "");
        }
    }
    overlay_clear(&drawn.overlays);
}

static void test_cut_short(void **state)
{
    struct shape shape = grey_shape(5, 5);
    struct drawn drawn = {0};
    struct file file;
    shape.frames = 3;
    begin(&file, &shape);
    put_size(&file, 0x1E, 5, 5);
    put_text(&file, OVERLAY(0x1E, 0x0015), "IS", "3 ", false);
    put_data(&file, 0x1E, "################################"); /* 32 of 75 */
    put_black(&file, 150);
    read_planes(&drawn, *state, &file);
    draw(&drawn, *state, 0, 1, 16);
    assert_string_equal(drawn.text, "#########################");
    assert_string_equal(drawn.notes, "overlays burned in: 1");
    draw(&drawn, *state, 1, 1, 16);
    assert_string_equal(drawn.text, "#######..................");
    assert_string_equal(drawn.notes, "overlay 601E cut short;overlays burned in: 1");
    draw(&drawn, *state, 2, 1, 16);
    assert_string_equal(drawn.text, ".........................");
    assert_string_equal(drawn.notes, "overlays that cannot be drawn: 1");
    overlay_clear(&drawn.overlays);
}

/* ---- embedded --------------------------------------------------------------------------------- */

static void put_position(struct file *file, uint32_t group, uint32_t allocated, uint32_t bit)
{
    put_us(file, OVERLAY(group, 0x0100), allocated);
    put_us(file, OVERLAY(group, 0x0102), bit);
}

static void put_samples(struct file *file, const uint32_t *containers, uint32_t count, uint32_t bytes)
{
    put_header(file, 0x7FE00010, "OW", count * bytes + count * bytes % 2, file->big);
    for (uint32_t i = 0; i < count; i++) /* bytes in words, where they are bytes */
        put_number(file, containers[bytes == 1 && file->big ? i ^ 1 : i], bytes, file->big);
}

/* Two planes around the samples of two frames: they are drawn, and never get into a sample. */
static const struct {
    uint32_t allocated, stored, high, bits[2];
    uint32_t containers[4];
    uint16_t samples[4];
} containers[] = {
    {16, 12, 11, {12, 15}, {0x1FFF, 0x8001, 0x9ABC, 0x6000}, {0xFFF, 1, 0xABC, 0}},
    {16, 12, 13, {0, 14}, {0x0001 | 0x123 << 2, 0x4000, 0x4001 | 0xFFF << 2, 0x8002}, {0x123, 0, 0xFFF, 0}},
    {8, 7, 6, {7, 7}, {0xFF, 0x7F, 0x80, 0x01}, {0x7F, 0x7F, 0, 1}},
    {32, 8, 7, {31, 8}, {0x80000012, 0x00000134, 0x80000156, 0x7FFFFE78}, {0x12, 0x34, 0x56, 0x78}},
};

static void check_container(struct fixture *fixture, size_t row, const char *syntax)
{
    uint32_t bytes = containers[row].allocated / 8;
    struct shape shape = {syntax,
                          "MONOCHROME2",
                          1,
                          0,
                          2,
                          1,
                          2,
                          containers[row].allocated,
                          containers[row].stored,
                          containers[row].high,
                          0};
    struct drawn drawn = {0};
    struct file file;
    begin(&file, &shape);
    for (uint32_t plane = 0; plane < 2; plane++) {
        put_size(&file, 2 * plane, 1, 2);
        put_position(&file, 2 * plane, containers[row].allocated, containers[row].bits[plane]);
    }
    put_samples(&file, containers[row].containers, 4, bytes);
    read_planes(&drawn, fixture, &file);
    assert_int_equal(drawn.overlays.count, 2);
    for (uint32_t frame = 0; frame < 2; frame++) {
        const struct codec_samples *samples = read_frame(fixture, frame);
        draw(&drawn, fixture, frame, 1, 8);
        assert_string_equal(drawn.notes, "overlays burned in: 2");
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t container = containers[row].containers[2 * frame + i];
            bool is_set = (container >> containers[row].bits[0] & 1) != 0 ||
                          (container >> containers[row].bits[1] & 1) != 0;
            assert_int_equal(drawn.text[i], is_set ? '#' : '.');
            uint32_t sample = 0;
            memcpy(&sample, (const uint8_t *)samples->data + (size_t)i * samples->bytes, samples->bytes);
            assert_int_equal(sample, containers[row].samples[2 * frame + i]);
        }
    }
    overlay_clear(&drawn.overlays);
}

static void test_embedded(void **state)
{
    for (size_t row = 0; row < sizeof containers / sizeof containers[0]; row++) {
        check_container(*state, row, EXPLICIT_LITTLE);
        check_container(*state, row, EXPLICIT_BIG);
    }
}

/* ---- planes that cannot be drawn -------------------------------------------------------------- */

static void test_refused(void **state)
{
    static const struct {
        uint32_t rows, columns;
        int origin;
        const char *frames; /* NULL: absent */
        uint32_t allocated, bit;
    } rows[] = {
        {0, 2, 1, NULL, 16, 12},         {2, 0, 1, NULL, 16, 12}, {2, 2, 1, NULL, 1, 0},
        {2, 2, 1, NULL, 16, 11},         {2, 2, 1, NULL, 16, 0},  {2, 2, 1, NULL, 16, 16},
        {2, 2, 1, NULL, 8, 12},          {2, 2, 1, NULL, 32, 12}, {2, 2, 1, "0 ", 16, 12},
        {2, 2, 1, "2147483648", 16, 12},
    };
    struct shape shape = grey_shape(2, 2);
    struct drawn drawn = {0};
    struct file file;
    shape.stored = 12;
    shape.high = 11;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin(&file, &shape);
        put_size(&file, 0, rows[i].rows, rows[i].columns);
        if (rows[i].frames != NULL)
            put_text(&file, OVERLAY(0, 0x0015), "IS", rows[i].frames, false);
        put_position(&file, 0, rows[i].allocated, rows[i].bit);
        put_pixels(&file, "OW", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
        read_planes(&drawn, *state, &file);
        draw(&drawn, *state, 0, 1, 8);
        assert_string_equal(drawn.text, "....");
        assert_string_equal(drawn.notes, "overlays that cannot be drawn: 1");
    }
    overlay_clear(&drawn.overlays);
}

/* A codestream has no bits beside its samples. */
static void test_embedded_in_compressed_data(void **state)
{
    struct shape shape = grey_shape(8, 16);
    struct drawn drawn = {0};
    struct file file;
    shape.syntax = JPEG_LOSSLESS;
    shape.stored = 12;
    shape.high = 11;
    begin(&file, &shape);
    put_size(&file, 0, 8, 16);
    put_position(&file, 0, 16, 12);
    begin_fragments(&file, NULL, 0);
    put_fragment(&file, jpeg_lossless_16, sizeof jpeg_lossless_16);
    end_fragments(&file);
    read_planes(&drawn, *state, &file);
    struct fixture *fixture = *state;
    const struct notes notes = {drawn.notes, sizeof drawn.notes};
    overlay_begin_frame(&drawn.overlays, fixture->image, 0, &notes);
    assert_string_equal(drawn.notes, "overlays that cannot be drawn: 1");
    overlay_clear(&drawn.overlays);
}

static void test_no_planes(void **state)
{
    struct shape shape = grey_shape(2, 2);
    struct drawn drawn = {0};
    struct file file;
    begin(&file, &shape);
    put_text(&file, OVERLAY(0, 0x0022), "LO", "a description alone ", false);
    put_black(&file, 8);
    read_planes(&drawn, *state, &file);
    draw(&drawn, *state, 0, 1, 8);
    assert_string_equal(drawn.text, "....");
    assert_string_equal(drawn.notes, "");
    overlay_clear(&drawn.overlays);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_groups, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_embedded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_embedded_in_compressed_data, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_planes, set_up, tear_down),
    };
    codec_init();
    return cmocka_run_group_tests_name("overlay", tests, NULL, NULL);
}
