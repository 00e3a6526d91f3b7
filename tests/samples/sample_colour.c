/* sample_colour.c: ultrasound in colour, native in every arrangement, and palettes. */
#include "tests/samples/sample_set.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

static const struct sample_patient chiara = {
    "PAT0003", "Esempio^Chiara", "Esempio^Chiara", "FIC-0003", "19900221", "F", "034Y"};

#define US_ROWS 240
#define US_COLUMNS 320

/* A fan of grey speckle with a dark cyst and a vessel in Doppler colours that move with `frame`. Writes RGB
 * triples. */
static void draw_ultrasound(uint8_t *rgb, int32_t frame, struct random *rng)
{
    struct canvas flow;
    canvas_init(&flow, US_ROWS, US_COLUMNS, 0);
    canvas_ellipse(&flow, 105, 130, 24, 16, 1);             /* cyst            */
    canvas_ellipse(&flow, 190 + 2 * frame, 150, 30, 12, 2); /* towards: red    */
    canvas_ellipse(&flow, 200 + 2 * frame, 178, 22, 8, 3);  /* away: blue      */
    for (int32_t y = 0; y < US_ROWS; y++)
        for (int32_t x = 0; x < US_COLUMNS; x++) {
            uint8_t *pixel = rgb + 3 * ((size_t)y * US_COLUMNS + (size_t)x);
            int32_t dx = x - US_COLUMNS / 2;
            int32_t dy = y - 6;
            bool inside = dy > 0 && abs(dx) * 10 < dy * 8 && dx * dx + dy * dy < 226 * 226;
            int32_t kind = flow.values[(size_t)y * US_COLUMNS + (size_t)x];
            int32_t speckle = random_range(rng, 0, 90) + random_range(rng, 0, 90);
            uint8_t grey =
                (uint8_t)(inside ? (kind == 1 ? speckle / 12 : 20 + speckle * (300 - y) / 300) : 0);
            memset(pixel, grey, 3);
            if (inside && kind == 2)
                pixel[0] = (uint8_t)(150 + speckle / 2);
            if (inside && kind == 3)
                pixel[2] = (uint8_t)(150 + speckle / 2);
        }
    for (int32_t y = 20; y < 120; y++) { /* the scale at the side */
        uint8_t *pixel = rgb + 3 * ((size_t)y * US_COLUMNS + 8);
        for (int32_t x = 0; x < 8; x++, pixel += 3) {
            pixel[0] = (uint8_t)(y < 70 ? 255 - (y - 20) * 4 : 0);
            pixel[1] = 0;
            pixel[2] = (uint8_t)(y < 70 ? 0 : 55 + (y - 70) * 4);
        }
    }
    canvas_clear(&flow);
}

static char luminance(const uint8_t *rgb)
{
    return (char)(uint8_t)((77 * rgb[0] + 150 * rgb[1] + 29 * rgb[2]) / 256);
}

/* Append one frame of RGB triples in the arrangement named by `pixels`. */
static void append_frame(struct buffer *out, const uint8_t *rgb, const struct sample_pixels *pixels)
{
    const size_t count = (size_t)US_ROWS * US_COLUMNS;
    if (strcmp(pixels->photometric, "RGB") == 0 && pixels->planar == 0) {
        buffer_append(out, rgb, count * 3);
    } else if (strcmp(pixels->photometric, "RGB") == 0) {
        for (size_t plane = 0; plane < 3; plane++)
            for (size_t i = 0; i < count; i++)
                buffer_append_char(out, (char)rgb[3 * i + plane]);
    } else {
        bool halved = strcmp(pixels->photometric, "YBR_FULL_422") == 0;
        for (size_t i = 0; i < count; i += halved ? 2 : 1) {
            /* PS3.3 C.7.6.3.1.2; chroma of a pair is that of its left pixel. */
            buffer_append_char(out, luminance(rgb + 3 * i));
            if (halved)
                buffer_append_char(out, luminance(rgb + 3 * (i + 1)));
            int32_t r = rgb[3 * i];
            int32_t g = rgb[3 * i + 1];
            int32_t b = rgb[3 * i + 2];
            buffer_append_char(out, (char)(uint8_t)((32768 - 43 * r - 85 * g + 128 * b) / 256));
            buffer_append_char(out, (char)(uint8_t)((32768 + 128 * r - 107 * g - 21 * b) / 256));
        }
    }
}

static void put_us_attributes(struct dataset *ds, unsigned frames)
{
    dataset_put_text(ds, TAG(0x0008, 0x0008), "CS", "ORIGINAL\\PRIMARY\\ABDOMINAL\\0011");
    dataset_put_text(ds, TAG(0x0028, 0x2110), "CS", "00");
    dataset_put_u16(ds, TAG(0x0028, 0x0014), 1);
    if (frames > 0) {
        dataset_put_text(ds, TAG(0x0018, 0x1063), "DS", "40");
        dataset_put_attribute_tag(ds, TAG(0x0028, 0x0009), TAG(0x0018, 0x1063));
    }
    struct dataset *region = dataset_add_item(ds, TAG(0x0018, 0x6011));
    dataset_put_u16(region, TAG(0x0018, 0x6012), 1);
    dataset_put_u16(region, TAG(0x0018, 0x6014), 1);
    dataset_put_u32(region, TAG(0x0018, 0x6016), 0);
    dataset_put_u32(region, TAG(0x0018, 0x6018), 0);
    dataset_put_u32(region, TAG(0x0018, 0x601A), 0);
    dataset_put_u32(region, TAG(0x0018, 0x601C), US_COLUMNS - 1);
    dataset_put_u32(region, TAG(0x0018, 0x601E), US_ROWS - 1);
    dataset_put_u16(region, TAG(0x0018, 0x6024), 3);
    dataset_put_u16(region, TAG(0x0018, 0x6026), 3);
    dataset_put_f64(region, TAG(0x0018, 0x602C), 0.0625);
    dataset_put_f64(region, TAG(0x0018, 0x602E), 0.0625);
}

void sample_group_us(struct sample_set *set)
{
    static const struct {
        const char *series;
        const char *photometric;
        uint16_t planar;
        unsigned frames;
    } arrangements[] = {
        {"S0001_RGB_BY_PIXEL", "RGB", 0, 0},          {"S0002_RGB_BY_PLANE", "RGB", 1, 0},
        {"S0003_YBR_FULL_422", "YBR_FULL_422", 0, 0}, {"S0004_RGB_CINE", "RGB", 0, 8},
        {"S0005_YBR_422_CINE", "YBR_FULL_422", 0, 5}, {"S0006_RGB_PLANE_CINE", "RGB", 1, 3},
        {"S0007_YBR_FULL", "YBR_FULL", 0, 0},
    };
    uint8_t *rgb = xmalloc((size_t)US_ROWS * US_COLUMNS * 3);
    for (size_t i = 0; i < sizeof(arrangements) / sizeof(*arrangements); i++) {
        unsigned frames = arrangements[i].frames;
        struct sample_series series = {&chiara,
                                       "US_ABDOMEN_20240603",
                                       arrangements[i].series,
                                       "US",
                                       frames > 0 ? SAMPLE_US_MULTIFRAME : SAMPLE_US,
                                       "Ultrasound of the abdomen",
                                       "Colour Doppler",
                                       "ABDOMEN",
                                       "20240603",
                                       (int)i + 1};
        struct sample_pixels pixels = {
            US_ROWS, US_COLUMNS, 3, 8, 8, false, arrangements[i].photometric, arrangements[i].planar, frames};
        struct random rng = sample_random(set, &series, 1);
        struct buffer bytes = {0};
        for (unsigned frame = 0; frame < (frames > 0 ? frames : 1); frame++) {
            draw_ultrasound(rgb, (int32_t)frame, &rng);
            append_frame(&bytes, rgb, &pixels);
        }
        struct dataset *ds = sample_new(set, &series, 1);
        put_us_attributes(ds, frames);
        sample_put_pixels(ds, &pixels, bytes.data, bytes.length);
        buffer_clear(&bytes);
        sample_write(set, &series, 1, ds, SAMPLE_EXPLICIT_LITTLE);
    }
    free(rgb);
}

/* A "hot" palette: black, red, yellow, white. Entries of 16 bits, `index` and result in 0..255 steps. */
static uint16_t hot(int32_t index, int32_t channel)
{
    int32_t value = index * 3 - 255 * channel;
    value = value < 0 ? 0 : value > 255 ? 255 : value;
    return (uint16_t)(value * 257);
}

static void put_palette(struct dataset *ds, unsigned entry_bits)
{
    for (uint16_t channel = 0; channel < 3; channel++) {
        uint16_t entries[256];
        const uint16_t descriptor[3] = {256, 0, (uint16_t)entry_bits};
        dataset_put_words(ds, TAG(0x0028, 0x1101 + channel), "US", descriptor, 3);
        for (int32_t i = 0; i < 256; i++)
            entries[i] = hot(i, channel);
        if (entry_bits == 16) {
            dataset_put_words(ds, TAG(0x0028, 0x1201 + channel), "OW", entries, 256);
            continue;
        }
        /* Two entries of 8 bits a word, the first in the low byte (PS3.3 C.7.6.3.1.6). */
        uint16_t packed[128];
        for (int32_t i = 0; i < 128; i++)
            packed[i] = (uint16_t)(entries[2 * i] >> 8 | (entries[2 * i + 1] >> 8) << 8);
        dataset_put_words(ds, TAG(0x0028, 0x1201 + channel), "OW", packed, 128);
    }
}

/* The same colours in segments (PS3.3 C.7.9.2): a discrete start, then straight lines to the corners. */
static void put_segmented_palette(struct dataset *ds)
{
    for (uint16_t channel = 0; channel < 3; channel++) {
        const uint16_t descriptor[3] = {256, 0, 16};
        dataset_put_words(ds, TAG(0x0028, 0x1101 + channel), "US", descriptor, 3);
        uint16_t segments[12] = {0, 1, hot(0, channel)};
        for (int32_t corner = 1; corner <= 3; corner++) {
            segments[3 * corner] = 1;
            segments[3 * corner + 1] = 85;
            segments[3 * corner + 2] = hot(85 * corner, channel);
        }
        dataset_put_words(ds, TAG(0x0028, 0x1221 + channel), "OW", segments, 12);
    }
}

static void write_palette(struct sample_set *set, const struct sample_series *series, unsigned instance,
                          uint16_t index_bits)
{
    struct canvas indices;
    struct random rng = sample_random(set, series, instance);
    canvas_init(&indices, 128, 160, 20);
    canvas_ellipse(&indices, 80, 64, 70, 55, 70);
    canvas_ellipse(&indices, 60, 50, 25, 20, 160);
    canvas_ellipse(&indices, 105, 80, 22, 18, 240);
    canvas_smooth(&indices);
    canvas_noise(&indices, &rng, 4);
    canvas_clip(&indices, 0, 255);
    struct dataset *ds = sample_new(set, series, instance);
    dataset_put_text(ds, TAG(0x0008, 0x0008), "CS", "ORIGINAL\\PRIMARY");
    dataset_put_text(ds, TAG(0x0028, 0x2110), "CS", "00");
    struct sample_pixels pixels = {128, 160, 1, index_bits, index_bits, false, "PALETTE COLOR", 0, 0};
    sample_put_canvas(ds, &pixels, &indices);
    canvas_clear(&indices);
    if (instance == 3)
        put_segmented_palette(ds);
    else
        put_palette(ds, instance == 1 ? 16 : 8);
    sample_write(set, series, instance, ds, SAMPLE_EXPLICIT_LITTLE);
}

/* 1: entries of 16 bits; 2: of 8 bits; 3: segmented; 4: indices of 16 bits into entries of 8. */
void sample_group_palette(struct sample_set *set)
{
    const struct sample_series series = {
        &chiara,      "US_PALETTE_20240604", "S0001_PALETTE", "US",       SAMPLE_US,
        "Ultrasound", "Palette colour",      "HEART",         "20240604", 1};
    for (unsigned instance = 1; instance <= 4; instance++)
        write_palette(set, &series, instance, instance == 4 ? 16 : 8);
}
