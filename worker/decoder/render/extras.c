#include "worker/decoder/render/extras.h"

#include <math.h>

#define TAG_ICC_PROFILE DICOM_TAG(0x0028, 0x2000)
#define TAG_OPTICAL_PATHS DICOM_TAG(0x0048, 0x0105)

#define MM_PER_METRE 1000.0
#define CHUNK_NUMBER_MAX 2147483647.0 /* ISO/IEC 15948, 7.1 */

void extras_clear(struct extras *extras)
{
    pngout_profile_clear(&extras->profile);
    overlay_clear(&extras->overlays);
}

void extras_begin_file(struct extras *extras)
{
    extras_clear(extras);
    extras->has_profile = extras->has_overlays = false;
}

/* ---- pHYs ------------------------------------------------------------------------------------- */

/* False: the chunk has no such number. */
static bool chunk_number(double value, uint32_t *number)
{
    double rounded = round(value);
    if (!(rounded >= 1 && rounded <= CHUNK_NUMBER_MAX))
        return false;
    *number = (uint32_t)rounded;
    return true;
}

/* Of a ratio: the wider a pixel, the fewer of them in a unit. */
static void put_spacing(const struct spacing *spacing, struct pngout_extras *out)
{
    bool is_mm = spacing->unit == SPACING_MM;
    uint32_t x, y;
    if (spacing->unit == SPACING_NONE ||
        !chunk_number(is_mm ? MM_PER_METRE / spacing->column : spacing->row, &x) ||
        !chunk_number(is_mm ? MM_PER_METRE / spacing->row : spacing->column, &y))
        return;
    out->pixels_per_unit_x = x;
    out->pixels_per_unit_y = y;
    out->is_per_metre = is_mm;
}

static void note_shape(const struct spacing *spacing, const struct notes *notes)
{
    if (spacing_is_square(spacing))
        return;
    if (spacing->unit == SPACING_MM)
        note(notes, "pixels not square: %g x %g mm", spacing->row, spacing->column);
    else
        note(notes, "pixels not square: %g to %g", spacing->row, spacing->column);
}

/* ---- sBIT ------------------------------------------------------------------------------------- */

/* A window may put neighbours closer together than the bits of the samples tell apart: a reader that goes by
 * sBIT would merge them. */
static uint32_t significant_bits(const struct extras_frame *frame)
{
    uint32_t depth = frame->plan->is_16_bit ? 16 : 8;
    bool is_scaled = frame->plan->scaling != PIXEL_SCALING_STORED && frame->plan->window == NULL &&
                     !frame->samples->is_float;
    return is_scaled && frame->samples->precision < depth ? frame->samples->precision : 0;
}

/* ---- iCCP ------------------------------------------------------------------------------------- */

static void read_profile(struct extras *extras, struct dicom *dcm)
{
    struct dicom_item item = DICOM_TOP;
    size_t length;
    char vr[2];
    extras->has_profile = true;
    extras->profile_error = (struct error){0};
    if (!dicom_item_has(dcm, item, TAG_ICC_PROFILE) &&
        !dicom_first_item(dcm, DICOM_TOP, TAG_OPTICAL_PATHS, &item))
        return;
    const uint8_t *icc = dicom_item_bytes(dcm, item, TAG_ICC_PROFILE, &length, vr);
    if (icc != NULL && length > 0 &&
        pngout_profile_set(&extras->profile, icc, length, &extras->profile_error))
        extras->profile_error = (struct error){0};
}

static const struct pngout_profile *find_profile(struct extras *extras, struct dicom *dcm,
                                                 const struct notes *notes)
{
    if (!extras->has_profile)
        read_profile(extras, dcm);
    if (extras->profile_error.kind != ERROR_NONE)
        note(notes, "left out: %s", extras->profile_error.text);
    return &extras->profile;
}

/* ---- a frame ---------------------------------------------------------------------------------- */

void extras_chunks(struct extras *extras, struct dicom *dcm, const struct functional_groups *groups,
                   const struct extras_frame *frame, struct pngout_extras *out, const struct notes *notes)
{
    struct spacing spacing = spacing_of_frame(dcm, groups, frame->index);
    *out = (struct pngout_extras){.significant_bits = significant_bits(frame)};
    put_spacing(&spacing, out);
    note_shape(&spacing, notes);
    if (frame->plan->samples == 3)
        out->profile = find_profile(extras, dcm, notes);
}

const struct overlays *extras_overlays(struct extras *extras, struct dicom *dcm, struct image *image,
                                       const struct extras_frame *frame, const struct options *options,
                                       const struct notes *notes)
{
    if (options->overlays != OVERLAYS_BURN || frame->plan->scaling == PIXEL_SCALING_STORED)
        return NULL;
    if (!extras->has_overlays)
        overlay_read(&extras->overlays, dcm, image_facts(image));
    extras->has_overlays = true;
    overlay_begin_frame(&extras->overlays, image, frame->index, notes);
    return &extras->overlays;
}
