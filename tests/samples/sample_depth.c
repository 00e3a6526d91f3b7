/* sample_depth.c: every depth of pixel: a large DX, secondary captures of 8 to 16 bits, dose grids of 32,
 * floating point maps, and segmentations of one bit. */
#include "tests/samples/sample_set.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

static const struct sample_patient dario = {
    "PAT0004", "Esimerkki^Dario", "Esimerkki^Dario", "FIC-0004", "19551130", "M", "068Y"};

/* A hand's bones on film: MONOCHROME1, so a high value is dark and bone, which lets little through, is low.
 */
static void draw_hand(struct canvas *film, struct random *rng)
{
    canvas_init(film, 1200, 1000, 3700);
    canvas_rectangle(film, 60, 60, 60, 90, 300); /* a marker that shows which side is up */
    canvas_ellipse(film, 500, 780, 260, 300, 2300);
    for (int32_t finger = 0; finger < 4; finger++)
        canvas_ellipse(film, 300 + finger * 130, 400 - (finger % 3) * 40, 56, 320, 2300);
    canvas_ellipse(film, 780, 720, 150, 70, 2300);
    canvas_smooth(film);
    for (int32_t finger = 0; finger < 4; finger++)
        for (int32_t bone = 0; bone < 4; bone++)
            canvas_ellipse(film, 300 + finger * 130, 170 + bone * 150 - (finger % 3) * 40, 28, 66, 1200);
    for (int32_t bone = 0; bone < 8; bone++)
        canvas_ellipse(film, 390 + bone % 4 * 80, 880 + bone / 4 * 90, 38, 40, 1100);
    canvas_ellipse(film, 440, 1130, 60, 120, 900);
    canvas_ellipse(film, 590, 1130, 50, 120, 900);
    for (int pass = 0; pass < 4; pass++)
        canvas_smooth(film);
    canvas_noise(film, rng, 25);
    canvas_clip(film, 0, 4095);
}

void sample_group_dx(struct sample_set *set)
{
    const struct sample_series series = {&dario, "DX_HAND_20240702", "S0001_PA", "DX",       SAMPLE_DX,
                                         "Hand", "Hand PA",          "HAND",     "20240702", 1};
    struct random rng = sample_random(set, &series, 1);
    struct dataset *ds = sample_new(set, &series, 1);
    struct canvas film;
    draw_hand(&film, &rng);
    dataset_put_text(ds, TAG(0x0008, 0x0008), "CS", "ORIGINAL\\PRIMARY\\");
    dataset_put_text(ds, TAG(0x0008, 0x0068), "CS", "FOR PRESENTATION");
    dataset_put_text(ds, TAG(0x0018, 0x0060), "DS", "55");
    dataset_put_text(ds, TAG(0x0018, 0x1164), "DS", "0.139\\0.139");
    dataset_put_text(ds, TAG(0x0018, 0x1508), "CS", "NONE");
    dataset_put_text(ds, TAG(0x0020, 0x0020), "CS", "R\\F");
    dataset_put_text(ds, TAG(0x0020, 0x0062), "CS", "L");
    dataset_put_text(ds, TAG(0x0028, 0x0301), "CS", "YES");
    dataset_put_text(ds, TAG(0x0028, 0x1040), "CS", "LOG");
    dataset_put_s16(ds, TAG(0x0028, 0x1041), 1);
    dataset_put_text(ds, TAG(0x0028, 0x1050), "DS", "2000");
    dataset_put_text(ds, TAG(0x0028, 0x1051), "DS", "3600");
    dataset_put_text(ds, TAG(0x0028, 0x1052), "DS", "0");
    dataset_put_text(ds, TAG(0x0028, 0x1053), "DS", "1");
    dataset_put_text(ds, TAG(0x0028, 0x1054), "LO", "US");
    dataset_put_text(ds, TAG(0x0028, 0x2110), "CS", "00");
    dataset_put_text(ds, TAG(0x2050, 0x0020), "CS", "INVERSE");
    sample_put_code(ds, TAG(0x0008, 0x2218), "85562004", "SCT", "Hand");
    sample_put_code(ds, TAG(0x0054, 0x0220), "399348003", "SCT", "antero-posterior");
    struct sample_pixels pixels = {1200, 1000, 1, 16, 12, false, "MONOCHROME1", 0, 0};
    sample_put_canvas(ds, &pixels, &film);
    canvas_clear(&film);
    sample_write(set, &series, 1, ds, SAMPLE_EXPLICIT_LITTLE);
}

/* A ramp with a circle, over `lowest`..`highest`. */
static void draw_ramp(struct canvas *canvas, int32_t lowest, int32_t highest)
{
    canvas_init(canvas, 96, 112, 0);
    for (int32_t y = 0; y < 96; y++)
        for (int32_t x = 0; x < 112; x++)
            canvas->values[y * 112 + x] =
                (int32_t)(lowest + ((int64_t)highest - lowest) * (x + y) / (111 + 95));
    canvas_ellipse(canvas, 56, 48, 30, 24, highest - (highest - lowest) / 5);
    canvas_ellipse(canvas, 46, 42, 9, 9, lowest);
}

static void write_integer_depths(struct sample_set *set)
{
    static const struct {
        uint16_t allocated;
        uint16_t stored;
        bool is_signed;
        const char *photometric;
    } depths[] = {
        {8, 8, false, "MONOCHROME2"},  {8, 8, true, "MONOCHROME2"},    {16, 10, false, "MONOCHROME2"},
        {16, 12, true, "MONOCHROME2"}, {16, 16, false, "MONOCHROME2"}, {16, 16, true, "MONOCHROME2"},
        {8, 8, false, "MONOCHROME1"},  {8, 6, false, "MONOCHROME2"},   {16, 14, false, "MONOCHROME1"},
    };
    for (unsigned i = 0; i < sizeof(depths) / sizeof(*depths); i++) {
        const struct sample_series series = {&dario,
                                             "OT_DEPTHS_20240705",
                                             "S0001_INTEGER",
                                             "OT",
                                             depths[i].allocated == 8 ? SAMPLE_SC : SAMPLE_SC_WORD,
                                             "Depths",
                                             "Integer depths",
                                             "HAND",
                                             "20240705",
                                             1};
        int32_t span = (int32_t)1 << depths[i].stored;
        struct canvas ramp;
        draw_ramp(&ramp, depths[i].is_signed ? -span / 2 : 0, depths[i].is_signed ? span / 2 - 1 : span - 1);
        struct dataset *ds = sample_new(set, &series, i + 1);
        dataset_put_text(ds, TAG(0x0008, 0x0064), "CS", "SYN");
        struct sample_pixels pixels = {96,
                                       112,
                                       1,
                                       depths[i].allocated,
                                       depths[i].stored,
                                       depths[i].is_signed,
                                       depths[i].photometric,
                                       0,
                                       depths[i].allocated == 8 ? 0 : 1};
        sample_put_canvas(ds, &pixels, &ramp);
        canvas_clear(&ramp);
        sample_write(set, &series, i + 1, ds, SAMPLE_EXPLICIT_LITTLE);
    }
}

static void write_dose(struct sample_set *set)
{
    const struct sample_series series = {
        &dario,         "RT_DOSE_20240708", "S0001_32_BITS", "RTDOSE",   SAMPLE_DOSE,
        "Radiotherapy", "Dose grid",        "CHEST",         "20240708", 1};
    enum { frames = 3 };
    const size_t count = 40 * 50;
    uint32_t *doses = xcalloc(count * frames, sizeof(*doses));
    for (int32_t frame = 0; frame < frames; frame++) {
        struct canvas grid;
        canvas_init(&grid, 40, 50, 15000);
        canvas_ellipse(&grid, 25, 20, 18 - 3 * frame, 14, 7500000);
        canvas_ellipse(&grid, 25, 20, 10, 8 - frame, 250000000);
        canvas_smooth(&grid);
        for (size_t i = 0; i < count; i++)
            doses[(size_t)frame * count + i] = (uint32_t)grid.values[i] * 8; /* near 2^31 */
        canvas_clear(&grid);
    }
    struct dataset *ds = sample_new(set, &series, 1);
    dataset_put_text(ds, TAG(0x0018, 0x0050), "DS", "3");
    dataset_put_text(ds, TAG(0x0020, 0x0032), "DS", "-62.5\\-50\\12");
    dataset_put_text(ds, TAG(0x0020, 0x0037), "DS", "1\\0\\0\\0\\1\\0");
    sample_put_uid(set, ds, TAG(0x0020, 0x0052), "frame of reference/dose");
    dataset_put_attribute_tag(ds, TAG(0x0028, 0x0009), TAG(0x3004, 0x000C));
    dataset_put_text(ds, TAG(0x0028, 0x0030), "DS", "2.5\\2.5");
    dataset_put_text(ds, TAG(0x3004, 0x0002), "CS", "GY");
    dataset_put_text(ds, TAG(0x3004, 0x0004), "CS", "PHYSICAL");
    dataset_put_text(ds, TAG(0x3004, 0x000A), "CS", "PLAN");
    dataset_put_text(ds, TAG(0x3004, 0x000C), "DS", "0\\3\\6");
    dataset_put_text(ds, TAG(0x3004, 0x000E), "DS", "2.5e-8");
    struct sample_pixels pixels = {40, 50, 1, 32, 32, false, "MONOCHROME2", 0, frames};
    sample_put_pixel_module(ds, &pixels);
    dataset_put_longs(ds, TAG(0x7FE0, 0x0010), "OW", doses, count * frames);
    free(doses);
    sample_write(set, &series, 1, ds, SAMPLE_EXPLICIT_LITTLE);
}

/* Float Pixel Data and Double Float Pixel Data take the place of Pixel Data (PS3.3 C.7.6.24, C.7.6.25). */
static void write_float_map(struct sample_set *set, unsigned instance)
{
    const struct sample_series series = {
        &dario,           "MR_MAP_20240709", "S0001_FLOAT", "MR",       SAMPLE_PARAMETRIC_MAP,
        "Parametric map", "Diffusion",       "HEAD",        "20240709", 1};
    float values[32 * 40];
    double wide[32 * 40];
    for (int32_t i = 0; i < 32 * 40; i++) {
        int32_t x = i % 40 - 20;
        int32_t y = i / 40 - 16;
        values[i] = (float)(x * x + 2 * y * y) / 1024.0f - 0.25f; /* exact: a power of two */
        wide[i] = (double)(x * y) / 4096.0;
    }
    struct dataset *ds = sample_new(set, &series, instance);
    dataset_put_text(ds, TAG(0x0008, 0x0008), "CS", "DERIVED\\PRIMARY\\DIFFUSION\\ADC");
    dataset_put_text(ds, TAG(0x0070, 0x0080), "CS", "DIFFUSION");
    dataset_put_text(ds, TAG(0x0070, 0x0081), "LO", "Invented diffusion map");
    dataset_put_u16(ds, TAG(0x0028, 0x0002), 1);
    dataset_put_text(ds, TAG(0x0028, 0x0004), "CS", "MONOCHROME2");
    dataset_put_text(ds, TAG(0x0028, 0x0008), "IS", "1");
    dataset_put_u16(ds, TAG(0x0028, 0x0010), 32);
    dataset_put_u16(ds, TAG(0x0028, 0x0011), 40);
    dataset_put_u16(ds, TAG(0x0028, 0x0100), instance == 1 ? 32 : 64);
    struct dataset *shared = dataset_add_item(ds, TAG(0x5200, 0x9229));
    struct dataset *measures = dataset_add_item(shared, TAG(0x0028, 0x9110));
    dataset_put_text(measures, TAG(0x0028, 0x0030), "DS", "2\\2");
    if (instance == 1)
        dataset_put_f32s(ds, TAG(0x7FE0, 0x0008), "OF", values, 32 * 40);
    else
        dataset_put_f64s(ds, TAG(0x7FE0, 0x0009), "OD", wide, 32 * 40);
    sample_write(set, &series, instance, ds, SAMPLE_EXPLICIT_LITTLE);
}

void sample_group_depth(struct sample_set *set)
{
    write_integer_depths(set);
    write_dose(set);
    write_float_map(set, 1);
    write_float_map(set, 2);
}

static void put_segment(struct dataset *ds)
{
    dataset_put_text(ds, TAG(0x0062, 0x0001), "CS", "BINARY");
    struct dataset *segment = dataset_add_item(ds, TAG(0x0062, 0x0002));
    dataset_put_u16(segment, TAG(0x0062, 0x0004), 1);
    dataset_put_text(segment, TAG(0x0062, 0x0005), "LO", "Lesion");
    dataset_put_text(segment, TAG(0x0062, 0x0008), "CS", "MANUAL");
    sample_put_code(segment, TAG(0x0062, 0x0003), "49755003", "SCT", "Morphologically Altered Structure");
    sample_put_code(segment, TAG(0x0062, 0x000F), "52988006", "SCT", "Lesion");
}

static void put_seg_frames(const struct sample_set *set, struct dataset *ds, unsigned frames)
{
    sample_put_uid(set, dataset_add_item(ds, TAG(0x0020, 0x9221)), TAG(0x0020, 0x9164), "dimensions/seg");
    struct dataset *index = dataset_add_item(ds, TAG(0x0020, 0x9222));
    sample_put_uid(set, index, TAG(0x0020, 0x9164), "dimensions/seg");
    dataset_put_attribute_tag(index, TAG(0x0020, 0x9165), TAG(0x0020, 0x0032));
    dataset_put_attribute_tag(index, TAG(0x0020, 0x9167), TAG(0x0020, 0x9113));
    struct dataset *shared = dataset_add_item(ds, TAG(0x5200, 0x9229));
    struct dataset *measures = dataset_add_item(shared, TAG(0x0028, 0x9110));
    dataset_put_text(measures, TAG(0x0018, 0x0050), "DS", "2");
    dataset_put_text(measures, TAG(0x0028, 0x0030), "DS", "1.5\\1.5");
    struct dataset *orientation = dataset_add_item(shared, TAG(0x0020, 0x9116));
    dataset_put_text(orientation, TAG(0x0020, 0x0037), "DS", "1\\0\\0\\0\\1\\0");
    struct dataset *identification = dataset_add_item(shared, TAG(0x0062, 0x000A));
    dataset_put_u16(identification, TAG(0x0062, 0x000B), 1);
    for (unsigned frame = 0; frame < frames; frame++) {
        struct dataset *item = dataset_add_item(ds, TAG(0x5200, 0x9230));
        struct dataset *content = dataset_add_item(item, TAG(0x0020, 0x9111));
        dataset_put_u32(content, TAG(0x0020, 0x9157), frame + 1);
        struct dataset *plane = dataset_add_item(item, TAG(0x0020, 0x9113));
        dataset_put_format(plane, TAG(0x0020, 0x0032), "DS", "-50\\-45\\%u", 2 * frame);
    }
}

/* Five frames of 61 x 67 bits: 4087 bits a frame, so that all but the first begin inside a byte (PS3.5
 * Section 8.1.1). */
void sample_group_seg(struct sample_set *set)
{
    enum { rows = 61, columns = 67, frames = 5 };
    const struct sample_series series = {
        &dario,  "SEG_LIVER_20240710", "S0001_BINARY", "SEG",      SAMPLE_SEG,
        "Liver", "Lesion by hand",     "LIVER",        "20240710", 1};
    uint8_t bits[(rows * columns * frames + 7) / 8] = {0};
    size_t at = 0;
    for (int32_t frame = 0; frame < frames; frame++) {
        struct canvas mask;
        canvas_init(&mask, rows, columns, 0);
        canvas_ellipse(&mask, 20 + 6 * frame, 30, 12 + frame, 18 - 2 * frame, 1);
        canvas_rectangle(&mask, 0, 0, 3, 2, 1); /* a corner that tells the first pixel */
        for (size_t i = 0; i < canvas_count(&mask); i++, at++)
            bits[at / 8] |= (uint8_t)(mask.values[i] << at % 8);
        canvas_clear(&mask);
    }
    struct dataset *ds = sample_new(set, &series, 1);
    dataset_put_text(ds, TAG(0x0008, 0x0008), "CS", "DERIVED\\PRIMARY");
    dataset_put_text(ds, TAG(0x0028, 0x2110), "CS", "00");
    dataset_put_text(ds, TAG(0x0070, 0x0080), "CS", "LESION");
    dataset_put_text(ds, TAG(0x0070, 0x0081), "LO", "Lesion drawn by hand");
    dataset_put_text(ds, TAG(0x0070, 0x0084), "PN", "Reader^Rosa");
    sample_put_uid(set, ds, TAG(0x0020, 0x0052), "frame of reference/liver");
    put_segment(ds);
    put_seg_frames(set, ds, frames);
    struct sample_pixels pixels = {rows, columns, 1, 1, 1, false, "MONOCHROME2", 0, frames};
    sample_put_pixels(ds, &pixels, bits, sizeof(bits));
    sample_write(set, &series, 1, ds, SAMPLE_EXPLICIT_LITTLE);
}
