/* Where the spacing of pixels comes from, attribute by attribute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/dicom_builder.h"
#include "worker/decoder/render/spacing.h"

#define PIXEL_SPACING DICOM_TAG(0x0028, 0x0030)
#define IMAGER DICOM_TAG(0x0018, 0x1164)
#define SCANNED DICOM_TAG(0x0018, 0x2010)
#define ASPECT DICOM_TAG(0x0028, 0x0034)
#define MEASURES DICOM_TAG(0x0028, 0x9110)
#define SHARED DICOM_TAG(0x5200, 0x9229)
#define PER_FRAME DICOM_TAG(0x5200, 0x9230)

/* Texts of the attributes; NULL: absent. `shared` and `frame` are in Pixel Measures Sequences. */
struct wanted {
    const char *imager, *scanned, *spacing, *aspect, *shared, *frame;
    int unit;
    double row, column;
};

static int open_reader(void **state)
{
    *state = dicom_new();
    return 0;
}

static int close_reader(void **state)
{
    dicom_free(*state);
    return 0;
}

static void build_optional(struct builder *b, uint32_t tag, const char *vr, const char *text)
{
    if (text != NULL)
        build_text(b, tag, vr, text);
}

static void build_groups(struct builder *b, uint32_t sequence, const char *spacing)
{
    if (spacing == NULL)
        return;
    size_t groups = build_begin(b, sequence), groups_item = build_begin(b, ITEM);
    size_t measures = build_begin(b, MEASURES), item = build_begin(b, ITEM);
    build_text(b, PIXEL_SPACING, "DS", spacing);
    build_end(b, item);
    build_end(b, measures);
    build_end(b, groups_item);
    build_end(b, groups);
}

static void read_file(struct dicom *dcm, struct builder *b, const struct wanted *file)
{
    static const struct options options = {
        .max_attributes = 1000, .max_nesting = 16, .max_items = 100000, .max_metadata_bytes = 1000000};
    struct error err;
    buffer_truncate(&b->bytes, 0);
    build_meta(b, EXPLICIT_LITTLE);
    build_optional(b, IMAGER, "DS", file->imager);
    build_optional(b, SCANNED, "DS", file->scanned);
    build_optional(b, PIXEL_SPACING, "DS", file->spacing);
    build_optional(b, ASPECT, "IS", file->aspect);
    build_groups(b, SHARED, file->shared);
    build_groups(b, PER_FRAME, file->frame);
    build_u16(b, DICOM_TAG(0x5400, 0x0001), "US", 1);
    if (!dicom_read_memory(dcm, (const uint8_t *)b->bytes.data, b->bytes.length, &options, &err))
        fail_msg("%s", err.text);
}

static const struct wanted files[] = {
    {.unit = SPACING_NONE},
    {.spacing = "0.5\\0.7 ", .unit = SPACING_MM, .row = 0.5, .column = 0.7},
    {.imager = "0.1\\0.2 ", .unit = SPACING_MM, .row = 0.1, .column = 0.2},
    {.scanned = "0.3\\0.4 ", .unit = SPACING_MM, .row = 0.3, .column = 0.4},
    {.aspect = "4\\3 ", .unit = SPACING_RATIO, .row = 4, .column = 3},
    {.shared = "2\\3 ", .unit = SPACING_MM, .row = 2, .column = 3},
    {.frame = "4\\5 ", .unit = SPACING_MM, .row = 4, .column = 5},
    /* The earlier one of the list in spacing.h wins. */
    {.imager = "1\\1 ", .scanned = "2\\2 ", .spacing = "3\\3 ", .unit = SPACING_MM, .row = 3, .column = 3},
    {.imager = "1\\1 ", .scanned = "2\\2 ", .aspect = "4\\3 ", .unit = SPACING_MM, .row = 1, .column = 1},
    {.scanned = "2\\2 ", .shared = "3\\3 ", .frame = "4\\4 ", .unit = SPACING_MM, .row = 2, .column = 2},
    {.shared = "3\\3 ", .frame = "4\\4 ", .aspect = "4\\3 ", .unit = SPACING_MM, .row = 4, .column = 4},
    {.frame = "4\\4 ", .aspect = "4\\3 ", .unit = SPACING_MM, .row = 4, .column = 4},
    /* What makes no sense is as good as absent. */
    {.spacing = "0\\1 ", .imager = "1\\1 ", .unit = SPACING_MM, .row = 1, .column = 1},
    {.spacing = "1\\-1", .aspect = "1\\1 ", .unit = SPACING_RATIO, .row = 1, .column = 1},
    {.spacing = "0.5 ", .unit = SPACING_NONE},
    {.spacing = "\\0.5", .unit = SPACING_NONE},
    {.spacing = "nan\\inf ", .unit = SPACING_NONE},
    {.spacing = "1e999\\1 ", .unit = SPACING_NONE},
    {.aspect = "0\\0 ", .unit = SPACING_NONE},
    {.shared = "3\\3 ", .frame = "0\\0 ", .unit = SPACING_MM, .row = 3, .column = 3},
};

static void test_sources(void **state)
{
    struct dicom *dcm = *state;
    struct builder b = {0};
    struct functional_groups groups = {0};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        read_file(dcm, &b, &files[i]);
        functional_groups_read(&groups, dcm, 10);
        struct spacing spacing = spacing_of_frame(dcm, &groups, 0);
        if (spacing.unit != (unsigned)files[i].unit || spacing.row != files[i].row ||
            spacing.column != files[i].column)
            fail_msg("file %zu: unit %d, %g x %g", i, (int)spacing.unit, spacing.row, spacing.column);
    }
    functional_groups_clear(&groups);
    buffer_clear(&b.bytes);
}

/* Each frame has its own; one without an item has the shared one. */
static void test_frames(void **state)
{
    struct dicom *dcm = *state;
    struct builder b = {0};
    struct functional_groups groups = {0};
    const struct wanted file = {.shared = "3\\3 ", .frame = "4\\5 "};
    read_file(dcm, &b, &file);
    functional_groups_read(&groups, dcm, 10);
    assert_true(spacing_of_frame(dcm, &groups, 0).column == 5);
    assert_true(spacing_of_frame(dcm, &groups, 1).column == 3);
    functional_groups_clear(&groups);
    buffer_clear(&b.bytes);
}

static void test_squareness(void **state)
{
    (void)state;
    assert_true(spacing_is_square(&(struct spacing){.unit = SPACING_NONE}));
    assert_true(spacing_is_square(&(struct spacing){.unit = SPACING_MM, .row = 0.7031, .column = 0.703125}));
    assert_false(spacing_is_square(&(struct spacing){.unit = SPACING_MM, .row = 0.7, .column = 0.7015}));
    assert_false(spacing_is_square(&(struct spacing){.unit = SPACING_RATIO, .row = 4, .column = 3}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sources, open_reader, close_reader),
        cmocka_unit_test_setup_teardown(test_frames, open_reader, close_reader),
        cmocka_unit_test(test_squareness),
    };
    return cmocka_run_group_tests_name("spacing", tests, NULL, NULL);
}
