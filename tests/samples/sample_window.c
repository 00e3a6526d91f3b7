/* sample_window.c: what stands between stored values and grey (PS3.3 C.11.1, C.11.2, C.11.6): rescale,
 * windows, functions, look-up tables, and the same by functional groups (C.7.6.16). Each frame that takes its
 * numbers from groups has a twin: a file of one frame with the same numbers at the top level, for readers
 * that know no groups. */
#include "tests/samples/sample_set.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define ROWS 48
#define COLUMNS 64

static const struct sample_patient wanda = {
    "PAT0008", "Vitrine^Wanda", "Vitrine^Wanda", "FIC-0008", "19680823", "F", "056Y"};

/* How a file, or a frame, is shown; NULL: not given. */
struct showing {
    const char *center;
    const char *width;
    const char *intercept;
    const char *slope;
    const char *function;
};

struct window_case {
    const char *file;
    struct sample_pixels pixels;
    int32_t lowest; /* of the picture */
    int32_t highest;
    struct showing showing;
    void (*put_more)(struct dataset *ds); /* or NULL */
};

static void put_showing(struct dataset *ds, const struct showing *showing)
{
    if (showing->center != NULL)
        dataset_put_text(ds, TAG(0x0028, 0x1050), "DS", showing->center);
    if (showing->width != NULL)
        dataset_put_text(ds, TAG(0x0028, 0x1051), "DS", showing->width);
    if (showing->intercept != NULL)
        dataset_put_text(ds, TAG(0x0028, 0x1052), "DS", showing->intercept);
    if (showing->slope != NULL)
        dataset_put_text(ds, TAG(0x0028, 0x1053), "DS", showing->slope);
    if (showing->function != NULL)
        dataset_put_text(ds, TAG(0x0028, 0x1056), "CS", showing->function);
}

/* ---- look-up tables -------------------------------------------------------------------------------- */

/* A table that rises by the square, so that it is no window. */
static struct dataset *add_table(struct dataset *ds, uint32_t tag, uint16_t count, int16_t first,
                                 uint16_t bits)
{
    struct dataset *item = dataset_add_item(ds, tag);
    uint16_t *entries = xmalloc(count * sizeof(*entries));
    const uint16_t descriptor[3] = {count, (uint16_t)first, bits};
    const uint64_t top = ((uint64_t)1 << bits) - 1;
    for (uint64_t i = 0; i < count; i++)
        entries[i] = (uint16_t)(top * i * i / ((uint64_t)(count - 1) * (count - 1)));
    dataset_put_words(item, TAG(0x0028, 0x3002), first < 0 ? "SS" : "US", descriptor, 3);
    dataset_put_words(item, TAG(0x0028, 0x3006), "OW", entries, count);
    free(entries);
    return item;
}

static void put_voi_tables(struct dataset *ds)
{
    dataset_put_text(add_table(ds, TAG(0x0028, 0x3010), 4096, 0, 8), TAG(0x0028, 0x3003), "LO", "NORMAL");
    dataset_put_text(add_table(ds, TAG(0x0028, 0x3010), 1000, 500, 12), TAG(0x0028, 0x3003), "LO", "HARD");
}

static void put_signed_voi_table(struct dataset *ds)
{
    dataset_put_text(add_table(ds, TAG(0x0028, 0x3010), 2000, -1000, 16), TAG(0x0028, 0x3003), "LO", "SOFT");
}

static void put_modality_table(struct dataset *ds)
{
    dataset_put_text(add_table(ds, TAG(0x0028, 0x3000), 3000, 100, 12), TAG(0x0028, 0x3004), "LO", "US");
}

static void put_explanations(struct dataset *ds)
{
    dataset_put_text(ds, TAG(0x0028, 0x1055), "LO", "SOFT TISSUE\\LUNG\\BONE");
}

static void put_inverse(struct dataset *ds)
{
    dataset_put_text(ds, TAG(0x2050, 0x0020), "CS", "INVERSE");
}

static void put_identity(struct dataset *ds)
{
    dataset_put_text(ds, TAG(0x2050, 0x0020), "CS", "IDENTITY");
}

static void put_padding(struct dataset *ds)
{
    dataset_put_s16(ds, TAG(0x0028, 0x0120), -2000);
}

/* ---- pictures -------------------------------------------------------------------------------------- */

/* Every value of the range somewhere, and discs in it. */
static void draw(struct canvas *canvas, int32_t lowest, int32_t highest, int32_t frame)
{
    canvas_init(canvas, ROWS, COLUMNS, 0);
    for (int32_t i = 0; i < ROWS * COLUMNS; i++)
        canvas->values[i] = lowest + (int32_t)((int64_t)(highest - lowest) * i / (ROWS * COLUMNS - 1));
    canvas_ellipse(canvas, 12 + 6 * frame, 12, 9, 7, lowest + (highest - lowest) / 3);
    canvas_ellipse(canvas, 48, 34, 8, 10, highest - (highest - lowest) / 8);
    canvas_clip(canvas, lowest, highest);
}

static struct sample_series window_series(const char *series, const char *sop_class, int number)
{
    return (struct sample_series){.patient = &wanda,
                                  .study = "CT_WINDOWS_20240904",
                                  .series = series,
                                  .modality = "CT",
                                  .sop_class = sop_class,
                                  .study_description = "Windows",
                                  .series_description = "Windows",
                                  .body_part = "CHEST",
                                  .study_date = "20240904",
                                  .series_number = number};
}

#define GREY(bits_allocated, bits_stored, is_signed, photometric)                           \
    {                                                                                       \
        ROWS, COLUMNS, 1, (bits_allocated), (bits_stored), (is_signed), (photometric), 0, 0 \
    }

static void write_case(struct sample_set *set, const struct window_case *one, unsigned instance)
{
    const struct sample_series series = window_series("S0001_FILES", SAMPLE_CT, 1);
    struct dataset *ds = sample_new(set, &series, instance);
    struct canvas canvas;
    draw(&canvas, one->lowest, one->highest, 0);
    if (one->put_more == put_padding)
        canvas_rectangle(&canvas, 0, 0, COLUMNS, 3, -2000);
    sample_put_canvas(ds, &one->pixels, &canvas);
    canvas_clear(&canvas);
    put_showing(ds, &one->showing);
    if (one->put_more != NULL)
        one->put_more(ds);
    sample_write_named(set, &series, one->file, ds, SAMPLE_EXPLICIT_LITTLE, SAMPLE_PART10, "image");
}

static const struct window_case cases[] = {
    {"SEVERAL.dcm",
     GREY(16, 12, false, "MONOCHROME2"),
     0,
     4095,
     {"40\\-600\\400", "400\\1500\\1800", "-1024", "1", NULL},
     put_explanations},
    {"SIGNED.dcm", GREY(16, 16, true, "MONOCHROME2"), -3000, 3000, {"-100", "1001", "0", "1", NULL}, NULL},
    {"SLOPE.dcm",
     GREY(16, 12, true, "MONOCHROME2"),
     -2048,
     2047,
     {"120.5", "900.25", "-100.5", "0.75", NULL},
     NULL},
    {"NEGATIVE_SLOPE.dcm",
     GREY(16, 12, false, "MONOCHROME2"),
     0,
     4095,
     {"-1500", "2000", "10", "-1", NULL},
     NULL},
    {"EIGHT_BITS.dcm", GREY(8, 8, false, "MONOCHROME2"), 0, 255, {"100", "90", NULL, NULL, NULL}, NULL},
    {"WIDTH_ONE.dcm", GREY(16, 12, false, "MONOCHROME2"), 0, 4095, {"1000", "1", "0", "1", NULL}, NULL},
    {"NO_WINDOW.dcm", GREY(16, 12, false, "MONOCHROME2"), 300, 2900, {NULL, NULL, "-1024", "1", NULL}, NULL},
    {"MONOCHROME1.dcm", GREY(16, 12, false, "MONOCHROME1"), 0, 4095, {"1500", "1200", "0", "1", NULL}, NULL},
    {"MONOCHROME1_INVERSE.dcm",
     GREY(16, 12, false, "MONOCHROME1"),
     0,
     4095,
     {"1500", "1200", "0", "1", NULL},
     put_inverse},
    {"INVERSE.dcm",
     GREY(16, 12, false, "MONOCHROME2"),
     0,
     4095,
     {"1500", "1200", "0", "1", NULL},
     put_inverse},
    {"IDENTITY.dcm",
     GREY(16, 12, false, "MONOCHROME2"),
     0,
     4095,
     {"1500", "1200", "0", "1", NULL},
     put_identity},
    {"SIGMOID.dcm",
     GREY(16, 12, false, "MONOCHROME2"),
     0,
     4095,
     {"40", "400", "-1024", "1", "SIGMOID"},
     NULL},
    {"LINEAR_EXACT.dcm",
     GREY(16, 12, false, "MONOCHROME2"),
     0,
     4095,
     {"40", "400", "-1024", "1", "LINEAR_EXACT"},
     NULL},
    {"LINEAR.dcm", GREY(16, 12, false, "MONOCHROME2"), 0, 4095, {"40", "400", "-1024", "1", "LINEAR"}, NULL},
    {"VOI_TABLES.dcm",
     GREY(16, 12, false, "MONOCHROME2"),
     0,
     4095,
     {NULL, NULL, "0", "1", NULL},
     put_voi_tables},
    {"WINDOW_AND_TABLES.dcm",
     GREY(16, 12, false, "MONOCHROME2"),
     0,
     4095,
     {"2000", "1000", "0", "1", NULL},
     put_voi_tables},
    {"SIGNED_TABLE.dcm",
     GREY(16, 12, true, "MONOCHROME2"),
     -2048,
     2047,
     {NULL, NULL, "0", "1", NULL},
     put_signed_voi_table},
    {"TABLE_MONOCHROME1.dcm",
     GREY(16, 12, false, "MONOCHROME1"),
     0,
     4095,
     {NULL, NULL, "0", "1", NULL},
     put_voi_tables},
    {"MODALITY_TABLE.dcm",
     GREY(16, 12, false, "MONOCHROME2"),
     0,
     4095,
     {"1500", "2000", NULL, NULL, NULL},
     put_modality_table},
    {"PADDING.dcm",
     GREY(16, 16, true, "MONOCHROME2"),
     -1000,
     1500,
     {"300", "1200", "0", "1", NULL},
     put_padding},
};

/* ---- functional groups ----------------------------------------------------------------------------- */

/* The numbers of a frame as groups of `item`; a group whose numbers are NULL is left out. */
static void put_groups(struct dataset *item, const struct showing *showing)
{
    const struct showing rescale = {.intercept = showing->intercept, .slope = showing->slope};
    const struct showing window = {
        .center = showing->center, .width = showing->width, .function = showing->function};
    if (showing->slope != NULL) {
        struct dataset *group = dataset_add_item(item, TAG(0x0028, 0x9145));
        put_showing(group, &rescale);
        dataset_put_text(group, TAG(0x0028, 0x1054), "LO", "HU");
    }
    if (showing->center != NULL)
        put_showing(dataset_add_item(item, TAG(0x0028, 0x9132)), &window);
}

static void write_twin(struct sample_set *set, const char *stem, unsigned frame, const struct canvas *canvas,
                       const struct showing *showing)
{
    const struct sample_series series = window_series("S0003_TWINS", SAMPLE_CT, 3);
    static const struct sample_pixels pixels = GREY(16, 12, false, "MONOCHROME2");
    char *file = xasprintf("%s-%u.dcm", stem, frame + 1);
    struct dataset *ds = sample_new(set, &series, set->written);
    sample_put_canvas(ds, &pixels, canvas);
    put_showing(ds, showing);
    sample_write_named(set, &series, file, ds, SAMPLE_EXPLICIT_LITTLE, SAMPLE_PART10, "image");
    free(file);
}

/* `shared` holds for every frame where `own` of the frame is NULL. */
static void write_enhanced(struct sample_set *set, const char *stem, const struct showing *shared,
                           const struct showing *own, unsigned frames)
{
    const struct sample_series series = window_series("S0002_GROUPS", "1.2.840.10008.5.1.4.1.1.2.1", 2);
    struct sample_pixels pixels = GREY(16, 12, false, "MONOCHROME2");
    struct dataset *ds = sample_new(set, &series, set->written);
    struct buffer bytes = {0};
    put_groups(dataset_add_item(ds, TAG(0x5200, 0x9229)), shared);
    for (unsigned frame = 0; frame < frames; frame++) {
        const struct showing merged = {
            .center = own[frame].center != NULL ? own[frame].center : shared->center,
            .width = own[frame].width != NULL ? own[frame].width : shared->width,
            .intercept = own[frame].intercept != NULL ? own[frame].intercept : shared->intercept,
            .slope = own[frame].slope != NULL ? own[frame].slope : shared->slope};
        struct canvas canvas;
        draw(&canvas, 0, 4095, (int32_t)frame);
        put_groups(dataset_add_item(ds, TAG(0x5200, 0x9230)), &own[frame]);
        write_twin(set, stem, frame, &canvas, &merged);
        for (size_t i = 0; i < canvas_count(&canvas); i++) {
            buffer_append_char(&bytes, (char)(unsigned char)canvas.values[i]);
            buffer_append_char(&bytes, (char)(unsigned char)(canvas.values[i] >> 8));
        }
        canvas_clear(&canvas);
    }
    pixels.frames = frames;
    sample_put_pixels(ds, &pixels, bytes.data, bytes.length);
    buffer_clear(&bytes);
    char *file = xasprintf("%s.dcm", stem);
    sample_write_named(set, &series, file, ds, SAMPLE_EXPLICIT_LITTLE, SAMPLE_PART10, "image");
    free(file);
}

/* Frames that share a window at the top level. */
static void write_cine(struct sample_set *set)
{
    const struct sample_series series = window_series("S0004_CINE", SAMPLE_CT, 4);
    const struct sample_pixels pixels = {ROWS, COLUMNS, 1, 8, 8, false, "MONOCHROME2", 0, 3};
    struct dataset *ds = sample_new(set, &series, 1);
    struct buffer bytes = {0};
    for (int32_t frame = 0; frame < 3; frame++) {
        struct canvas canvas;
        draw(&canvas, 40 * frame, 175 + 40 * frame, frame);
        for (size_t i = 0; i < canvas_count(&canvas); i++)
            buffer_append_char(&bytes, (char)(unsigned char)canvas.values[i]);
        canvas_clear(&canvas);
    }
    put_showing(ds, &(const struct showing){.center = "130", .width = "150"});
    sample_put_pixels(ds, &pixels, bytes.data, bytes.length);
    buffer_clear(&bytes);
    sample_write_named(set, &series, "CINE.dcm", ds, SAMPLE_EXPLICIT_LITTLE, SAMPLE_PART10, "image");
}

void sample_group_windows(struct sample_set *set)
{
    static const struct showing everywhere = {"40", "400", "-1024", "1", NULL};
    static const struct showing nothing[3] = {{0}};
    static const struct showing rescale_only = {.intercept = "-1024", .slope = "1"};
    static const struct showing windows_only[3] = {{.center = "40", .width = "400"},
                                                   {.center = "-600", .width = "1500"},
                                                   {.center = "400", .width = "1800"}};
    static const struct showing all_own[3] = {{"40", "400", "-1024", "1", NULL},
                                              {"100", "300", "-500", "0.5", NULL},
                                              {"900", "1200", "0", "2", NULL}};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        write_case(set, &cases[i], i + 1);
    write_cine(set);
    write_enhanced(set, "SHARED", &everywhere, nothing, 3);
    write_enhanced(set, "WINDOW_PER_FRAME", &rescale_only, windows_only, 3);
    write_enhanced(set, "ALL_PER_FRAME", &(struct showing){0}, all_own, 3);
    write_enhanced(set, "SHARED_OVERRULED", &everywhere, (const struct showing[]){windows_only[1], {0}}, 2);
}
