/* sample_files.c: the same picture in every transfer syntax that needs no codec, RLE, and files that are not
 * what they should be. */
#include "tests/samples/sample_rle.h"
#include "tests/samples/sample_set.h"

#include <stdlib.h>
#include <string.h>

static const struct sample_patient finn = {"PAT0007",  "Fabel^Finn", "Fabel^Finn", "FIC-0007",
                                           "20010304", "M",          "023Y"};

/* A round phantom of 16 bits, as CT, 128 x 144. */
static struct dataset *new_disc(const struct sample_set *set, const struct sample_series *series,
                                unsigned instance, struct canvas *disc, struct sample_pixels *pixels)
{
    struct random rng = sample_random(set, series, 1); /* the same picture in each of them */
    canvas_init(disc, 128, 144, 0);
    canvas_ellipse(disc, 72, 64, 60, 52, 1040);
    canvas_ellipse(disc, 52, 50, 14, 14, 1300);
    canvas_ellipse(disc, 96, 76, 18, 12, 160);
    canvas_rectangle(disc, 4, 4, 10, 6, 2000);
    canvas_smooth(disc);
    canvas_noise(disc, &rng, 12);
    canvas_clip(disc, 0, 4095);
    struct dataset *ds = sample_new(set, series, instance);
    dataset_put_text(ds, TAG(0x0008, 0x0008), "CS", "ORIGINAL\\PRIMARY\\AXIAL");
    dataset_put_text(ds, TAG(0x0018, 0x0050), "DS", "2");
    dataset_put_text(ds, TAG(0x0018, 0x0060), "DS", "120");
    dataset_put_text(ds, TAG(0x0020, 0x0012), "IS", "1");
    dataset_put_text(ds, TAG(0x0020, 0x0032), "DS", "0\\0\\0");
    dataset_put_text(ds, TAG(0x0020, 0x0037), "DS", "1\\0\\0\\0\\1\\0");
    sample_put_uid(set, ds, TAG(0x0020, 0x0052), "frame of reference/disc");
    dataset_put_text(ds, TAG(0x0020, 0x1040), "LO", "");
    dataset_put_text(ds, TAG(0x0028, 0x0030), "DS", "1\\1");
    dataset_put_text(ds, TAG(0x0028, 0x1052), "DS", "-1024");
    dataset_put_text(ds, TAG(0x0028, 0x1053), "DS", "1");
    struct dataset *item = dataset_add_item(ds, TAG(0x0008, 0x1140));
    dataset_put_text(item, TAG(0x0008, 0x1150), "UI", SAMPLE_CT);
    sample_put_uid(set, item, TAG(0x0008, 0x1155), "localizer/1");
    *pixels = (struct sample_pixels){128, 144, 1, 16, 12, false, "MONOCHROME2", 0, 0};
    sample_put_canvas(ds, pixels, disc);
    return ds;
}

static void write_rle_grey(struct sample_set *set, const struct sample_series *series, unsigned instance)
{
    static const size_t high_byte_first[] = {1, 0};
    struct canvas disc;
    struct sample_pixels pixels;
    struct dataset *ds = new_disc(set, series, instance, &disc, &pixels);
    size_t length = 0;
    const char *bytes = dataset_value(ds, TAG(0x7FE0, 0x0010), &length);
    struct buffer frame = {0};
    sample_append_rle_frame(&frame, (const uint8_t *)bytes, pixels.rows, pixels.columns, 2, high_byte_first);
    dataset_put_fragments(ds, &frame, 1);
    buffer_clear(&frame);
    canvas_clear(&disc);
    sample_write(set, series, instance, ds, SAMPLE_RLE);
}

/* Colour in several frames, whose fragments follow an offset table. RLE is by plane (PS3.5 Section G.2). */
static void write_rle_colour(struct sample_set *set, unsigned instance)
{
    enum { rows = 50, columns = 60, frames = 3 };
    static const size_t by_sample[] = {0, 1, 2};
    const struct sample_series series = {&finn,
                                         "OT_TRANSFER_SYNTAXES",
                                         "S0002_RLE_COLOUR",
                                         "OT",
                                         "1.2.840.10008.5.1.4.1.1.7.4",
                                         "Transfer syntaxes",
                                         "RLE colour",
                                         "CHEST",
                                         "20240901",
                                         2};
    struct buffer frame[frames] = {{0}};
    for (int32_t i = 0; i < frames; i++) {
        uint8_t rgb[rows * columns * 3];
        struct canvas shape;
        canvas_init(&shape, rows, columns, 0);
        canvas_ellipse(&shape, 20 + 8 * i, 25, 14, 18, 1);
        for (size_t p = 0; p < (size_t)rows * columns; p++) {
            rgb[3 * p] = shape.values[p] != 0 ? 230 : 10;
            rgb[3 * p + 1] = (uint8_t)(p % columns * 4);
            rgb[3 * p + 2] = (uint8_t)(p / columns * 5);
        }
        sample_append_rle_frame(&frame[i], rgb, rows, columns, 3, by_sample);
        canvas_clear(&shape);
    }
    struct dataset *ds = sample_new(set, &series, instance);
    struct sample_pixels pixels = {rows, columns, 3, 8, 8, false, "RGB", 1, frames};
    dataset_put_text(ds, TAG(0x0008, 0x0064), "CS", "SYN");
    sample_put_pixel_module(ds, &pixels);
    dataset_put_fragments(ds, frame, frames);
    for (size_t i = 0; i < frames; i++)
        buffer_clear(&frame[i]);
    sample_write(set, &series, instance, ds, SAMPLE_RLE);
}

void sample_group_syntax(struct sample_set *set)
{
    static const struct {
        const char *file;
        enum sample_syntax syntax;
        enum sample_shape shape;
    } variants[] = {
        {"IMPLICIT_LITTLE.dcm", SAMPLE_IMPLICIT_LITTLE, SAMPLE_PART10},
        {"EXPLICIT_LITTLE.dcm", SAMPLE_EXPLICIT_LITTLE, SAMPLE_PART10},
        {"EXPLICIT_BIG.dcm", SAMPLE_EXPLICIT_BIG, SAMPLE_PART10},
        {"DEFLATED.dcm", SAMPLE_DEFLATED, SAMPLE_PART10},
        {"NO_PREAMBLE.dcm", SAMPLE_EXPLICIT_LITTLE, SAMPLE_NO_PREAMBLE},
        {"DATASET_IMPLICIT.dcm", SAMPLE_IMPLICIT_LITTLE, SAMPLE_DATASET_ONLY},
        {"DATASET_EXPLICIT.dcm", SAMPLE_EXPLICIT_LITTLE, SAMPLE_DATASET_ONLY},
        {"WITHOUT_EXTENSION", SAMPLE_EXPLICIT_LITTLE, SAMPLE_PART10},
    };
    const struct sample_series series = {&finn,
                                         "OT_TRANSFER_SYNTAXES",
                                         "S0001_UNCOMPRESSED",
                                         "CT",
                                         SAMPLE_CT,
                                         "Discs",
                                         "Disc",
                                         "CHEST",
                                         "20240901",
                                         1};
    unsigned instance = 1;
    for (size_t i = 0; i < sizeof(variants) / sizeof(*variants); i++, instance++) {
        struct canvas disc;
        struct sample_pixels pixels;
        struct dataset *ds = new_disc(set, &series, instance, &disc, &pixels);
        canvas_clear(&disc);
        sample_write_named(set, &series, variants[i].file, ds, variants[i].syntax, variants[i].shape,
                           "image");
    }
    write_rle_grey(set, &series, instance);
    write_rle_colour(set, 1);
}

static void write_cut(struct sample_set *set, const struct sample_series *series)
{
    struct canvas disc;
    struct sample_pixels pixels;
    struct dataset *ds = new_disc(set, series, 1, &disc, &pixels);
    struct buffer bytes = {0};
    sample_append_file(ds, SAMPLE_EXPLICIT_LITTLE, SAMPLE_PART10, &bytes);
    size_t pixel_bytes = canvas_count(&disc) * 2;
    size_t header = bytes.length - pixel_bytes;
    static const struct {
        const char *file;
        const char *expectation;
    } cuts[] = {
        {"CUT_IN_PREAMBLE.dcm", "cut_header"}, {"CUT_IN_META.dcm", "cut_header"},
        {"CUT_IN_HEADER.dcm", "cut_header"},   {"CUT_BEFORE_PIXELS.dcm", "cut_pixels"},
        {"CUT_IN_PIXELS.dcm", "cut_pixels"},   {"CUT_LAST_BYTE.dcm", "cut_pixels"},
    };
    const size_t lengths[] = {100, 200, header / 2 + 1, header, header + pixel_bytes / 3, bytes.length - 1};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++)
        sample_write_bytes(set, series, cuts[i].file, bytes.data, lengths[i], cuts[i].expectation,
                           i < 3 ? 0 : 1);
    buffer_clear(&bytes);
    canvas_clear(&disc);
    dataset_free(ds);
}

void sample_group_broken(struct sample_set *set)
{
    static const char note[] = "These notes are no picture, whatever the name of the file may say.\n";
    const struct sample_series series = {
        &finn,    "OT_BROKEN_20240902", "S0001_BROKEN", "CT",       SAMPLE_CT,
        "Broken", "Cut short",          "CHEST",        "20240902", 1};
    write_cut(set, &series);
    sample_write_bytes(set, &series, "EMPTY.dcm", "", 0, "empty", 0);
    sample_write_bytes(set, &series, "NOTES.dcm", note, strlen(note), "text_named_dcm", 0);
    sample_write_bytes(set, &series, "README.txt", note, strlen(note), "text", 0);
}
