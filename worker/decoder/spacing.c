#include "worker/decoder/spacing.h"

#include <math.h>

#define TAG_IMAGER_PIXEL_SPACING DICOM_TAG(0x0018, 0x1164)
#define TAG_NOMINAL_SCANNED_PIXEL_SPACING DICOM_TAG(0x0018, 0x2010)
#define TAG_PIXEL_SPACING DICOM_TAG(0x0028, 0x0030)
#define TAG_PIXEL_ASPECT_RATIO DICOM_TAG(0x0028, 0x0034)
#define TAG_PIXEL_MEASURES DICOM_TAG(0x0028, 0x9110)
#define TAG_SHARED_FUNCTIONAL_GROUPS DICOM_TAG(0x5200, 0x9229)

#define SQUARE_TOLERANCE 1e-3

static bool read_pair(const struct dicom *dcm, struct dicom_item item, uint32_t tag, struct spacing *spacing)
{
    double row, column;
    if (!dicom_item_double(dcm, item, tag, 0, &row) || !dicom_item_double(dcm, item, tag, 1, &column) ||
        row <= 0 || column <= 0)
        return false;
    spacing->row = row;
    spacing->column = column;
    return true;
}

static bool read_measures(const struct dicom *dcm, struct dicom_item groups, struct spacing *spacing)
{
    struct dicom_item measures;
    if (!dicom_first_item(dcm, groups, TAG_PIXEL_MEASURES, &measures) ||
        !read_pair(dcm, measures, TAG_PIXEL_SPACING, spacing))
        return false;
    spacing->unit = SPACING_MM;
    return true;
}

struct spacing spacing_of_file(const struct dicom *dcm)
{
    static const uint32_t tags[] = {TAG_PIXEL_SPACING, TAG_IMAGER_PIXEL_SPACING,
                                    TAG_NOMINAL_SCANNED_PIXEL_SPACING};
    struct spacing spacing = {.unit = SPACING_NONE};
    struct dicom_item shared;
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (read_pair(dcm, DICOM_TOP, tags[i], &spacing)) {
            spacing.unit = SPACING_MM;
            spacing.is_for_all_frames = true;
            return spacing;
        }
    }
    if (dicom_first_item(dcm, DICOM_TOP, TAG_SHARED_FUNCTIONAL_GROUPS, &shared) &&
        read_measures(dcm, shared, &spacing))
        return spacing;
    if (read_pair(dcm, DICOM_TOP, TAG_PIXEL_ASPECT_RATIO, &spacing))
        spacing.unit = SPACING_RATIO;
    return spacing;
}

struct spacing spacing_of_frame(const struct dicom *dcm, const struct spacing *of_file,
                                struct dicom_item frame_groups)
{
    struct spacing spacing = *of_file;
    if (!of_file->is_for_all_frames)
        (void)read_measures(dcm, frame_groups, &spacing);
    return spacing;
}

bool spacing_is_square(const struct spacing *spacing)
{
    return spacing->unit == SPACING_NONE ||
           fabs(spacing->row - spacing->column) <= SQUARE_TOLERANCE * fmax(spacing->row, spacing->column);
}
