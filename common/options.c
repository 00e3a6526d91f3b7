#include "common/options.h"

#include <stddef.h>
#include <string.h>

#include "common/json.h"

/* One row for each option: its name, and how to reach it. Both directions walk this table. */
enum option_type { OPTION_BOOL, OPTION_ENUM, OPTION_U32, OPTION_U64, OPTION_DOUBLE };
struct option_row {
    const char *name;
    enum option_type type;
    size_t offset;
    uint32_t maximum; /* of an enumeration */
};
#define ROW(name, type, member, maximum)                      \
    {                                                         \
        name, type, offsetof(struct options, member), maximum \
    }
static const struct option_row option_rows[] = {
    ROW("compatibility_niffler", OPTION_BOOL, compatibility_niffler, 0),
    ROW("print_images", OPTION_BOOL, print_images, 0),
    ROW("is_16_bit", OPTION_BOOL, is_16_bit, 0),
    ROW("public_headers_only", OPTION_BOOL, public_headers_only, 0),
    ROW("invert_monochrome1", OPTION_BOOL, invert_monochrome1, 0),
    ROW("pattern_given", OPTION_BOOL, pattern_given, 0),
    ROW("pixel_scaling", OPTION_ENUM, pixel_scaling, PIXEL_SCALING_WINDOW),
    ROW("window", OPTION_ENUM, window, WINDOW_AUTO),
    ROW("window_index", OPTION_U32, window_index, 0),
    ROW("window_center", OPTION_DOUBLE, window_center, 0),
    ROW("window_width", OPTION_DOUBLE, window_width, 0),
    ROW("overlays", OPTION_ENUM, overlays, OVERLAYS_BURN),
    ROW("allow_truncated", OPTION_BOOL, allow_truncated, 0),
    ROW("flattened_to_level", OPTION_ENUM, flattened_to_level, FLATTEN_SERIES),
    ROW("value_format", OPTION_ENUM, value_format, VALUE_FORMAT_NIFFLER),
    ROW("png_compression", OPTION_ENUM, png_compression, PNG_COMPRESSION_SMALL),
    ROW("frames", OPTION_ENUM, frames, FRAMES_NUMBER),
    ROW("frame_number", OPTION_U32, frame_number, 0),
    ROW("max_value_bytes", OPTION_U64, max_value_bytes, 0),
    ROW("max_pixels", OPTION_U64, max_pixels, 0),
    ROW("max_frames", OPTION_U32, max_frames, 0),
    ROW("max_attributes", OPTION_U32, max_attributes, 0),
    ROW("max_nesting", OPTION_U32, max_nesting, 0),
    ROW("max_items", OPTION_U32, max_items, 0),
    ROW("max_metadata_bytes", OPTION_U64, max_metadata_bytes, 0),
    ROW("max_picture_bytes", OPTION_U64, max_picture_bytes, 0),
};
#define ROW_COUNT (sizeof option_rows / sizeof *option_rows)

static uint64_t option_get(const struct options *options, const struct option_row *row)
{
    const char *place = (const char *)options + row->offset;
    uint64_t large;
    uint32_t small;
    switch (row->type) {
    case OPTION_BOOL:
        return *place != 0;
    case OPTION_ENUM:
    case OPTION_U32:
        memcpy(&small, place, sizeof small);
        return small;
    default:
        memcpy(&large, place, sizeof large);
        return large;
    }
}

static void option_read(struct json_reader *in, struct options *options, const struct option_row *row)
{
    char *place = (char *)options + row->offset;
    if (row->type == OPTION_BOOL) {
        *(bool *)place = json_bool(in);
        return;
    }
    if (row->type == OPTION_DOUBLE) {
        double number = json_double(in);
        memcpy(place, &number, sizeof number);
        return;
    }
    uint64_t large = json_u64(in);
    uint32_t small = (uint32_t)large;
    if (row->type == OPTION_U64)
        memcpy(place, &large, sizeof large);
    else if (large > (row->type == OPTION_ENUM ? row->maximum : UINT32_MAX))
        in->failed = true;
    else
        memcpy(place, &small, sizeof small);
}

void options_to_json(const struct options *options, struct buffer *out)
{
    _Static_assert(sizeof(enum pixel_scaling) == sizeof(uint32_t), "enumerations are read as 32-bit numbers");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct option_row *row = &option_rows[i];
        buffer_append_char(out, i == 0 ? '{' : ',');
        json_append_string(out, row->name, strlen(row->name));
        buffer_append_char(out, ':');
        if (row->type == OPTION_BOOL)
            buffer_append_text(out, option_get(options, row) != 0 ? "true" : "false");
        else if (row->type == OPTION_DOUBLE)
            json_append_double(out, *(const double *)(const void *)((const char *)options + row->offset));
        else
            buffer_append_u64(out, option_get(options, row));
    }
    buffer_append_char(out, '}');
}

void options_from_json(struct json_reader *in, struct options *options)
{
    char key[32];
    uint32_t seen = 0;
    json_enter(in, '{');
    while (json_more(in, '}')) {
        size_t i = 0;
        json_key(in, key, sizeof key);
        while (i < ROW_COUNT && strcmp(key, option_rows[i].name) != 0)
            i++;
        if (i == ROW_COUNT) {
            json_skip(in);
            continue;
        }
        option_read(in, options, &option_rows[i]);
        seen |= 1u << i;
    }
    if (seen != (1u << ROW_COUNT) - 1)
        in->failed = true;
}
