#include "worker/decoder/render/display.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define TAG_PIXEL_PRESENTATION DICOM_TAG(0x0008, 0x9205)
#define TAG_PADDING_VALUE DICOM_TAG(0x0028, 0x0120)
#define TAG_PADDING_LIMIT DICOM_TAG(0x0028, 0x0121)
#define TAG_WINDOW_CENTER DICOM_TAG(0x0028, 0x1050)
#define TAG_WINDOW_WIDTH DICOM_TAG(0x0028, 0x1051)
#define TAG_RESCALE_INTERCEPT DICOM_TAG(0x0028, 0x1052)
#define TAG_RESCALE_SLOPE DICOM_TAG(0x0028, 0x1053)
#define TAG_VOI_LUT_FUNCTION DICOM_TAG(0x0028, 0x1056)
#define TAG_RED_DESCRIPTOR DICOM_TAG(0x0028, 0x1101)
#define TAG_MODALITY_LUTS DICOM_TAG(0x0028, 0x3000)
#define TAG_LUT_DESCRIPTOR DICOM_TAG(0x0028, 0x3002)
#define TAG_LUT_DATA DICOM_TAG(0x0028, 0x3006)
#define TAG_VOI_LUTS DICOM_TAG(0x0028, 0x3010)
#define TAG_FRAME_VOI_LUT DICOM_TAG(0x0028, 0x9132)
#define TAG_PIXEL_VALUE_TRANSFORMATION DICOM_TAG(0x0028, 0x9145)
#define TAG_PRESENTATION_LUT_SHAPE DICOM_TAG(0x2050, 0x0020)

/* A table of the file, read once for all frames that use it. */
struct cached_lut {
    struct lut lut;
    size_t item; /* struct dicom_item.first of its item; 0: none yet */
    bool is_usable;
};

struct display {
    struct dicom *dcm;
    const struct image_facts *facts;
    const struct functional_groups *groups;
    struct cached_lut modality_lut, voi_lut;
    struct palette supplemental;
    bool has_supplemental, supplemental_is_broken;
    bool is_inverse; /* Presentation LUT Shape */
    bool has_padding;
    double padding_low, padding_high;
};

struct display *display_new(void)
{
    return xcalloc(1, sizeof(struct display));
}

void display_free(struct display *display)
{
    if (display == NULL)
        return;
    lut_clear(&display->modality_lut.lut);
    lut_clear(&display->voi_lut.lut);
    palette_clear(&display->supplemental);
    free(display);
}

static bool text_is(struct display *display, struct dicom_item item, uint32_t tag, const char *value)
{
    char text[32];
    return dicom_item_text(display->dcm, item, tag, text, sizeof text) && strcmp(text, value) == 0;
}

/* ---- the file --------------------------------------------------------------------------------- */

/* A padding value as the samples show it: writers give it as US where the samples are signed, and the
 * reverse. */
static double as_sample(double value, bool is_signed)
{
    if (is_signed && value > INT16_MAX && value <= UINT16_MAX)
        return value - 65536;
    if (!is_signed && value < 0 && value >= INT16_MIN)
        return value + 65536;
    return value;
}

static void read_padding(struct display *display)
{
    double value, limit;
    bool is_signed = display->facts->is_signed;
    display->has_padding = dicom_item_double(display->dcm, DICOM_TOP, TAG_PADDING_VALUE, 0, &value);
    if (!display->has_padding)
        return;
    value = as_sample(value, is_signed);
    limit = value;
    if (dicom_item_double(display->dcm, DICOM_TOP, TAG_PADDING_LIMIT, 0, &limit))
        limit = as_sample(limit, is_signed);
    display->padding_low = fmin(value, limit);
    display->padding_high = fmax(value, limit);
}

static void read_supplemental(struct display *display)
{
    struct error ignored;
    bool is_coloured = text_is(display, DICOM_TOP, TAG_PIXEL_PRESENTATION, "COLOR") ||
                       text_is(display, DICOM_TOP, TAG_PIXEL_PRESENTATION, "MIXED");
    bool is_wanted = display->facts->photometric == PHOTOMETRIC_MONOCHROME2 && is_coloured &&
                     dicom_has(display->dcm, TAG_RED_DESCRIPTOR);
    display->has_supplemental =
        is_wanted && palette_read(&display->supplemental, display->dcm, display->facts->is_signed, &ignored);
    display->supplemental_is_broken = is_wanted && !display->has_supplemental;
}

void display_inspect(struct display *display, struct dicom *dcm, const struct image_facts *facts,
                     const struct functional_groups *groups)
{
    display->dcm = dcm;
    display->facts = facts;
    display->groups = groups;
    display->modality_lut.item = display->voi_lut.item = 0;
    display->is_inverse = text_is(display, DICOM_TOP, TAG_PRESENTATION_LUT_SHAPE, "INVERSE");
    read_padding(display);
    read_supplemental(display);
}

/* ---- a frame ---------------------------------------------------------------------------------- */

/* The table in `item`; NULL where it is malformed. */
static const struct lut *load_lut(struct display *display, struct cached_lut *cached, struct dicom_item item,
                                  bool is_signed)
{
    struct error ignored;
    if (cached->item != item.first)
        cached->is_usable =
            lut_read(&cached->lut, display->dcm, item, TAG_LUT_DESCRIPTOR, TAG_LUT_DATA, is_signed, &ignored);
    cached->item = item.first;
    return cached->is_usable ? &cached->lut : NULL;
}

static bool read_rescale(const struct display *display, struct dicom_item item, struct modality *modality)
{
    double slope = 1, intercept = 0;
    bool has_slope = dicom_item_double(display->dcm, item, TAG_RESCALE_SLOPE, 0, &slope);
    bool has_intercept = dicom_item_double(display->dcm, item, TAG_RESCALE_INTERCEPT, 0, &intercept);
    if (!has_slope && !has_intercept)
        return false;
    *modality = (struct modality){slope != 0 ? slope : 1, intercept, NULL};
    return true;
}

static struct modality read_modality(struct display *display, uint32_t frame_index, const struct notes *notes)
{
    struct modality modality = MODALITY_IDENTITY;
    struct dicom_item item;
    if (functional_groups_find(display->groups, frame_index, TAG_PIXEL_VALUE_TRANSFORMATION, &item) &&
        read_rescale(display, item, &modality))
        return modality;
    if (dicom_first_item(display->dcm, DICOM_TOP, TAG_MODALITY_LUTS, &item)) {
        modality.lut = load_lut(display, &display->modality_lut, item, display->facts->is_signed);
        if (modality.lut != NULL)
            return modality;
        note(notes, "malformed Modality LUT");
    }
    (void)read_rescale(display, DICOM_TOP, &modality);
    return modality;
}

/* Window `index` (from 0) of a data set. False: there is no such one, or its width means nothing. */
static bool read_window(struct display *display, struct dicom_item item, uint32_t index, struct voi *voi)
{
    double center, width;
    if (!dicom_item_double(display->dcm, item, TAG_WINDOW_CENTER, index, &center) ||
        !dicom_item_double(display->dcm, item, TAG_WINDOW_WIDTH, index, &width))
        return false;
    if (text_is(display, item, TAG_VOI_LUT_FUNCTION, "SIGMOID") && width > 0)
        *voi = voi_sigmoid(center, width);
    else if (text_is(display, item, TAG_VOI_LUT_FUNCTION, "LINEAR_EXACT") && width > 0)
        *voi = voi_linear_exact(center, width);
    else if (width >= 1)
        *voi = voi_linear(center, width);
    else
        return false;
    return true;
}

static uint32_t count_windows(const struct display *display, struct dicom_item item)
{
    double value;
    uint32_t count = 0;
    while (dicom_item_double(display->dcm, item, TAG_WINDOW_WIDTH, count, &value) &&
           dicom_item_double(display->dcm, item, TAG_WINDOW_CENTER, count, &value))
        count++;
    return count;
}

/* The choice `index` (from 0) of a data set: its windows first, then its VOI LUTs. */
static bool read_voi(struct display *display, struct dicom_item item, uint32_t index,
                     const struct modality *modality, struct voi *voi, const struct notes *notes)
{
    struct dicom_item table;
    uint32_t windows = count_windows(display, item);
    if (index < windows)
        return read_window(display, item, index, voi);
    bool is_one = dicom_first_item(display->dcm, item, TAG_VOI_LUTS, &table);
    for (index -= windows; is_one && index > 0; index--)
        is_one = dicom_next_item(display->dcm, &table);
    if (!is_one)
        return false;
    bool is_signed = display->facts->is_signed || modality->intercept < 0 || modality->slope < 0;
    const struct lut *lut = load_lut(display, &display->voi_lut, table, is_signed);
    if (lut == NULL) {
        note(notes, "malformed VOI LUT");
        return false;
    }
    *voi = voi_table(lut);
    return true;
}

static void choose_voi(struct display *display, uint32_t frame_index, const struct options *options,
                       struct display_frame *frame, const struct notes *notes)
{
    struct dicom_item item;
    uint32_t index = options->window_index > 0 ? options->window_index - 1 : 0;
    frame->choice = DISPLAY_VOI;
    if (options->window == WINDOW_AUTO) {
        frame->choice = DISPLAY_AUTO;
    } else if (options->window == WINDOW_VALUES) {
        frame->voi = voi_linear(options->window_center, options->window_width);
    } else if (!(functional_groups_find(display->groups, frame_index, TAG_FRAME_VOI_LUT, &item) &&
                 read_voi(display, item, index, &frame->modality, &frame->voi, notes)) &&
               !read_voi(display, DICOM_TOP, index, &frame->modality, &frame->voi, notes)) {
        frame->choice = DISPLAY_ALL;
        note(notes, "no window %u in the file", (unsigned)index + 1);
    }
}

/* Whether a frame of an object of mixed frames is a coloured one (PS3.3 C.8.16.2.1.1): its Frame Type macro
 * tells. */
static bool is_coloured(struct display *display, uint32_t frame_index)
{
    /* MR, CT, PET and X-Ray 3D Frame Type */
    static const uint32_t macros[] = {DICOM_TAG(0x0018, 0x9226), DICOM_TAG(0x0018, 0x9329),
                                      DICOM_TAG(0x0018, 0x9751), DICOM_TAG(0x0018, 0x9504)};
    struct dicom_item item;
    for (size_t i = 0; i < sizeof macros / sizeof macros[0]; i++)
        if (functional_groups_find(display->groups, frame_index, macros[i], &item))
            return !text_is(display, item, TAG_PIXEL_PRESENTATION, "MONOCHROME");
    return true;
}

void display_frame(struct display *display, uint32_t frame_index, const struct options *options,
                   struct display_frame *frame, const struct notes *notes)
{
    bool is_monochrome1 = display->facts->photometric == PHOTOMETRIC_MONOCHROME1;
    *frame = (struct display_frame){.has_padding = display->has_padding,
                                    .padding_low = display->padding_low,
                                    .padding_high = display->padding_high};
    frame->modality = read_modality(display, frame_index, notes);
    choose_voi(display, frame_index, options, frame, notes);
    /* Shape INVERSE is what MONOCHROME1 means, said once more (PS3.3 C.8.11.3.1.2): it does not turn the
     * picture twice. */
    frame->invert = is_monochrome1 ? options->invert_monochrome1 : display->is_inverse;
    if (display->supplemental_is_broken)
        note(notes, "malformed supplemental palette");
    if (display->has_supplemental && is_coloured(display, frame_index))
        frame->supplemental = &display->supplemental;
}
