#include "worker/decoder/render/overlay.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define FIRST_GROUP 0x6000u
#define ELEMENT_FRAMES 0x0015
#define ELEMENT_ROWS 0x0010
#define ELEMENT_COLUMNS 0x0011
#define ELEMENT_ORIGIN 0x0050
#define ELEMENT_FRAME_ORIGIN 0x0051
#define ELEMENT_BITS_ALLOCATED 0x0100
#define ELEMENT_BIT_POSITION 0x0102
#define ELEMENT_DATA 0x3000

void overlay_clear(struct overlays *overlays)
{
    for (uint32_t i = 0; i < overlays->count; i++)
        free(overlays->planes[i].memory);
    overlays->count = 0;
    overlays->refused = 0;
}

/* ---- once a file ------------------------------------------------------------------------------ */

/* Value `index` (from 0) of OverlayOrigin, to a place from 0; 1 where it is absent. */
static bool read_origin(const struct dicom *dcm, uint32_t group, size_t index, int32_t *place)
{
    double value = 1;
    (void)dicom_item_double(dcm, DICOM_TOP, DICOM_TAG(group, ELEMENT_ORIGIN), index, &value);
    if (value < INT16_MIN || value > INT16_MAX)
        return false;
    *place = (int32_t)value - 1;
    return true;
}

static bool read_size(const struct dicom *dcm, uint32_t group, uint32_t element, uint32_t *size)
{
    return dicom_find_u32(dcm, DICOM_TAG(group, element), 0, size) && *size >= 1 && *size <= UINT16_MAX;
}

/* A plane that names a frame and no number of frames belongs to that one alone. */
static bool read_frames(const struct dicom *dcm, struct overlay_plane *plane)
{
    uint32_t count = 0, origin = 1;
    bool has_origin = dicom_find_u32(dcm, DICOM_TAG(plane->group, ELEMENT_FRAME_ORIGIN), 0, &origin);
    bool has_count = dicom_find_u32(dcm, DICOM_TAG(plane->group, ELEMENT_FRAMES), 0, &count);
    plane->frame_count = has_count ? count : has_origin ? 1 : 0;
    plane->first_frame = origin - 1;
    return origin >= 1 && origin <= INT32_MAX && count <= INT32_MAX && !(has_count && count == 0);
}

/* The bits that stand in the containers of the pixels, beside the samples. */
static bool read_embedded(const struct dicom *dcm, const struct image_facts *facts,
                          struct overlay_plane *plane)
{
    uint32_t allocated = 0, bit = 0;
    (void)dicom_find_u32(dcm, DICOM_TAG(plane->group, ELEMENT_BITS_ALLOCATED), 0, &allocated);
    (void)dicom_find_u32(dcm, DICOM_TAG(plane->group, ELEMENT_BIT_POSITION), 0, &bit);
    bool is_of_sample = bit <= facts->high_bit && bit + facts->bits_stored > facts->high_bit;
    if (allocated != facts->bits_allocated || bit >= allocated || is_of_sample)
        return false;
    /* Each pixel has its bit: size, place and frames are the image's own. */
    plane->is_embedded = true;
    plane->bit = bit;
    plane->rows = facts->rows;
    plane->columns = facts->columns;
    plane->top = plane->left = 0;
    plane->frame_count = 0;
    return true;
}

static bool read_plane(struct dicom *dcm, const struct image_facts *facts, struct overlay_plane *plane)
{
    char vr[2] = {0};
    size_t length = 0;
    if (!read_size(dcm, plane->group, ELEMENT_ROWS, &plane->rows) ||
        !read_size(dcm, plane->group, ELEMENT_COLUMNS, &plane->columns) ||
        !read_origin(dcm, plane->group, 0, &plane->top) || !read_origin(dcm, plane->group, 1, &plane->left) ||
        !read_frames(dcm, plane))
        return false;
    if (!dicom_has(dcm, DICOM_TAG(plane->group, ELEMENT_DATA)))
        return read_embedded(dcm, facts, plane);
    plane->bits = dicom_find_bytes(dcm, DICOM_TAG(plane->group, ELEMENT_DATA), &length, vr);
    plane->bits_length = length;
    plane->in_words = dicom_syntax(dcm)->big_endian && memcmp(vr, "OW", 2) == 0;
    return plane->bits != NULL && length > 0;
}

void overlay_read(struct overlays *overlays, struct dicom *dcm, const struct image_facts *facts)
{
    overlay_clear(overlays);
    for (uint32_t i = 0; i < OVERLAY_GROUPS; i++) {
        struct overlay_plane plane = {.group = FIRST_GROUP + 2 * i};
        if (!dicom_has(dcm, DICOM_TAG(plane.group, ELEMENT_ROWS)) &&
            !dicom_has(dcm, DICOM_TAG(plane.group, ELEMENT_DATA)))
            continue;
        if (read_plane(dcm, facts, &plane))
            overlays->planes[overlays->count++] = plane;
        else
            overlays->refused++;
    }
}

/* ---- once a frame ----------------------------------------------------------------------------- */

static uint64_t pixels_of(const struct overlay_plane *plane)
{
    return (uint64_t)plane->rows * plane->columns;
}

static bool fetch_embedded(struct overlay_plane *plane, struct image *image, uint32_t frame_index)
{
    uint64_t length = (pixels_of(plane) + 7) / 8;
    struct error ignored; /* the note says how many planes are missing */
    if (plane->memory == NULL) {
        void *memory;
        if (!alloc_pixels(&memory, (size_t)length, 1, 0, &ignored))
            return false;
        plane->memory = memory;
    }
    plane->bits = plane->memory;
    plane->bits_length = length;
    return image_read_overlay_bits(image, frame_index, plane->bit, plane->memory, &ignored);
}

static bool has_frame(const struct overlay_plane *plane, uint32_t frame_index)
{
    return plane->frame_count == 0 ||
           (frame_index >= plane->first_frame && frame_index - plane->first_frame < plane->frame_count);
}

/* Both factors have passed the limits of read_plane(): at most 2^32 * 2^31. */
static uint64_t first_bit_of(const struct overlay_plane *plane, uint32_t frame_index)
{
    return plane->frame_count == 0 ? 0 : pixels_of(plane) * (frame_index - plane->first_frame);
}

void overlay_begin_frame(struct overlays *overlays, struct image *image, uint32_t frame_index,
                         const struct notes *notes)
{
    uint32_t drawn = 0, missing = overlays->refused;
    for (uint32_t i = 0; i < overlays->count; i++) {
        struct overlay_plane *plane = &overlays->planes[i];
        plane->is_drawn = false;
        if (!has_frame(plane, frame_index))
            continue;
        plane->first_bit = first_bit_of(plane, frame_index);
        plane->is_drawn = plane->is_embedded ? fetch_embedded(plane, image, frame_index)
                                             : plane->first_bit / 8 < plane->bits_length;
        drawn += plane->is_drawn;
        missing += !plane->is_drawn;
        if (plane->is_drawn && plane->first_bit + pixels_of(plane) > 8 * plane->bits_length)
            note(notes, "overlay %04X cut short", plane->group);
    }
    if (drawn > 0)
        note(notes, "overlays burned in: %u", drawn);
    if (missing > 0)
        note(notes, "overlays that cannot be drawn: %u", missing);
}

/* ---- once a row ------------------------------------------------------------------------------- */

static bool is_set(const struct overlay_plane *plane, uint64_t at)
{
    uint64_t byte = plane->in_words ? at / 8 ^ 1 : at / 8;
    return byte < plane->bits_length && (plane->bits[byte] >> (at % 8) & 1) != 0;
}

void overlay_draw_row(const struct overlays *overlays, const struct pngout_shape *shape, uint32_t row,
                      uint8_t *out)
{
    size_t pixel_bytes = (size_t)shape->samples * shape->bit_depth / 8;
    for (uint32_t i = 0; i < overlays->count; i++) {
        const struct overlay_plane *plane = &overlays->planes[i];
        int64_t of_plane = (int64_t)row - plane->top;
        if (!plane->is_drawn || of_plane < 0 || of_plane >= plane->rows)
            continue;
        int64_t from = plane->left < 0 ? -(int64_t)plane->left : 0;
        int64_t to = (int64_t)shape->width - plane->left;
        if (to > plane->columns)
            to = plane->columns;
        uint64_t first_bit = plane->first_bit + (uint64_t)of_plane * plane->columns;
        for (int64_t column = from; column < to; column++)
            if (is_set(plane, first_bit + (uint64_t)column))
                memset(out + (size_t)(plane->left + column) * pixel_bytes, 0xFF, pixel_bytes);
    }
}
