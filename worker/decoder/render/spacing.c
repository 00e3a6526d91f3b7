#include "worker/decoder/render/spacing.h"

#include <math.h>

#define TAG_IMAGER_PIXEL_SPACING DICOM_TAG(0x0018, 0x1164)
#define TAG_NOMINAL_SCANNED_PIXEL_SPACING DICOM_TAG(0x0018, 0x2010)
#define TAG_PIXEL_SPACING DICOM_TAG(0x0028, 0x0030)
#define TAG_PIXEL_ASPECT_RATIO DICOM_TAG(0x0028, 0x0034)
#define TAG_PIXEL_MEASURES DICOM_TAG(0x0028, 0x9110)

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

static bool read_measures(const struct dicom *dcm, const struct functional_groups *groups,
                          uint32_t frame_index, struct spacing *spacing)
{
    struct dicom_item measures;
    return functional_groups_find(groups, frame_index, TAG_PIXEL_MEASURES, &measures) &&
           read_pair(dcm, measures, TAG_PIXEL_SPACING, spacing);
}

struct spacing spacing_of_frame(const struct dicom *dcm, const struct functional_groups *groups,
                                uint32_t frame_index)
{
    static const uint32_t tags[] = {TAG_PIXEL_SPACING, TAG_IMAGER_PIXEL_SPACING,
                                    TAG_NOMINAL_SCANNED_PIXEL_SPACING};
    struct spacing spacing = {.unit = SPACING_NONE};
    bool is_known = false;
    for (size_t i = 0; i < sizeof tags / sizeof tags[0] && !is_known; i++)
        is_known = read_pair(dcm, DICOM_TOP, tags[i], &spacing);
    if (is_known || read_measures(dcm, groups, frame_index, &spacing) ||
        read_measures(dcm, groups, FUNCTIONAL_GROUPS_SHARED, &spacing))
        spacing.unit = SPACING_MM;
    else if (read_pair(dcm, DICOM_TOP, TAG_PIXEL_ASPECT_RATIO, &spacing))
        spacing.unit = SPACING_RATIO;
    return spacing;
}

bool spacing_is_square(const struct spacing *spacing)
{
    return spacing->unit == SPACING_NONE ||
           fabs(spacing->row - spacing->column) <= SQUARE_TOLERANCE * fmax(spacing->row, spacing->column);
}
