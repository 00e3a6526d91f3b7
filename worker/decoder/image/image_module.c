#include "worker/decoder/image/image_module.h"

#include <string.h>

#define TAG_SOP_CLASS DICOM_TAG(0x0008, 0x0016)
#define TAG_SAMPLES_PER_PIXEL DICOM_TAG(0x0028, 0x0002)
#define TAG_PHOTOMETRIC DICOM_TAG(0x0028, 0x0004)
#define TAG_PLANAR DICOM_TAG(0x0028, 0x0006)
#define TAG_FRAMES DICOM_TAG(0x0028, 0x0008)
#define TAG_ROWS DICOM_TAG(0x0028, 0x0010)
#define TAG_COLUMNS DICOM_TAG(0x0028, 0x0011)
#define TAG_BITS_ALLOCATED DICOM_TAG(0x0028, 0x0100)
#define TAG_BITS_STORED DICOM_TAG(0x0028, 0x0101)
#define TAG_HIGH_BIT DICOM_TAG(0x0028, 0x0102)
#define TAG_PIXEL_REPRESENTATION DICOM_TAG(0x0028, 0x0103)

/* Storage SOP classes whose objects are images (PS3.4 Table B.5-1), behind "1.2.840.10008.5.1.4.1.1.". RT
 * Dose is left out: it may well hold histograms only. */
static const char *const image_classes[] = {
    "1",        "1.1",      "1.1.1",    "1.2",      "1.2.1",    "1.3",      "1.3.1",    "2",      "2.1",
    "2.2",      "3.1",      "4",        "4.1",      "4.3",      "4.4",      "6.1",      "6.2",    "6.3",
    "7",        "7.1",      "7.2",      "7.3",      "7.4",      "12.1",     "12.1.1",   "12.2",   "12.2.1",
    "13.1.1",   "13.1.2",   "13.1.3",   "13.1.4",   "13.1.5",   "14.1",     "14.2",     "20",     "30",
    "66.4",     "66.7",     "77.1.1",   "77.1.1.1", "77.1.2",   "77.1.2.1", "77.1.3",   "77.1.4", "77.1.4.1",
    "77.1.5.1", "77.1.5.2", "77.1.5.4", "77.1.5.5", "77.1.5.6", "77.1.5.7", "77.1.5.8", "77.1.6", "77.1.7",
    "128",      "128.1",    "130",      "481.1",    "501.1",    "501.2.1",  "501.2.2",
};

bool image_is_image(struct dicom *dcm)
{
    static const char root[] = "1.2.840.10008.5.1.4.1.1.";
    char uid[65];
    if (dicom_pixels(dcm)->kind != DICOM_PIXELS_NONE || dicom_has(dcm, TAG_ROWS))
        return true;
    if (!dicom_find_text(dcm, TAG_SOP_CLASS, uid, sizeof uid) || strncmp(uid, root, sizeof root - 1) != 0)
        return false;
    for (size_t i = 0; i < sizeof image_classes / sizeof image_classes[0]; i++)
        if (strcmp(uid + sizeof root - 1, image_classes[i]) == 0)
            return true;
    return false;
}

static bool missing(struct error *err, const char *keyword)
{
    return error_input(err, CATEGORY_NOT_USABLE, CODE_MISSING_ATTRIBUTE, "%s is missing", keyword);
}

static bool contradiction(struct error *err, const char *what)
{
    return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED, "%s", what);
}

static bool read_shape(struct image_facts *facts, const struct dicom *dcm, const struct options *options,
                       struct error *err)
{
    uint32_t frames = 1;
    if (!dicom_find_u32(dcm, TAG_ROWS, 0, &facts->rows))
        return missing(err, "Rows");
    if (!dicom_find_u32(dcm, TAG_COLUMNS, 0, &facts->columns))
        return missing(err, "Columns");
    if (facts->rows < 1 || facts->rows > UINT16_MAX || facts->columns < 1 || facts->columns > UINT16_MAX)
        return contradiction(err, "Rows or Columns is zero or beyond 65535");
    /* Zero and what is no number mean one frame, as in every reader that copes. */
    (void)dicom_find_u32(dcm, TAG_FRAMES, 0, &frames);
    facts->frame_count = frames > 0 && frames <= INT32_MAX ? frames : 1;
    if ((uint64_t)facts->rows * facts->columns > options->max_pixels)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_PIXELS,
                           "a frame of %u x %u pixels, more than %llu (MaxPixels)", facts->rows,
                           facts->columns, (unsigned long long)options->max_pixels);
    if (facts->frame_count > options->max_frames)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_PIXELS, "%u frames, more than %u (MaxFrames)",
                           facts->frame_count, options->max_frames);
    return true;
}

static bool find_photometric(const char *name, enum photometric *photometric)
{
    static const struct {
        const char *name;
        enum photometric photometric;
    } known[] = {
        {"MONOCHROME1", PHOTOMETRIC_MONOCHROME1},
        {"MONOCHROME2", PHOTOMETRIC_MONOCHROME2},
        {"PALETTE COLOR", PHOTOMETRIC_PALETTE_COLOR},
        {"RGB", PHOTOMETRIC_RGB},
        {"YBR_FULL", PHOTOMETRIC_YBR_FULL},
        {"YBR_FULL_422", PHOTOMETRIC_YBR_FULL_422},
        {"YBR_PARTIAL_420", PHOTOMETRIC_YBR_PARTIAL_420},
        {"YBR_PARTIAL_422", PHOTOMETRIC_YBR_PARTIAL_422},
        {"YBR_ICT", PHOTOMETRIC_YBR_ICT},
        {"YBR_RCT", PHOTOMETRIC_YBR_RCT},
        {"XYB", PHOTOMETRIC_XYB},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i].name) == 0) {
            *photometric = known[i].photometric;
            return true;
        }
    }
    return false;
}

static bool read_colour(struct image_module *module, struct image_facts *facts, struct dicom *dcm,
                        const struct options *options, struct error *err)
{
    char name[32] = "";
    uint32_t planar = 0;
    bool has_samples = dicom_find_u32(dcm, TAG_SAMPLES_PER_PIXEL, 0, &facts->samples_per_pixel);
    if (!has_samples && options->compatibility_niffler)
        return missing(err, "SamplesPerPixel");
    if (!dicom_find_text(dcm, TAG_PHOTOMETRIC, name, sizeof name) && options->compatibility_niffler)
        return missing(err, "PhotometricInterpretation");
    (void)dicom_find_u32(dcm, TAG_PLANAR, 0, &planar);
    bool is_known = find_photometric(name, &facts->photometric);
    if (!has_samples)
        facts->samples_per_pixel = is_known && facts->photometric > PHOTOMETRIC_PALETTE_COLOR ? 3 : 1;
    if (facts->samples_per_pixel != 1 && facts->samples_per_pixel != 3)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS, "%u samples per pixel",
                           facts->samples_per_pixel);
    bool is_grey = facts->samples_per_pixel == 1;
    module->by_plane = planar == 1 && !is_grey;
    if (!is_known) {
        facts->photometric = is_grey ? PHOTOMETRIC_MONOCHROME2 : PHOTOMETRIC_RGB;
        /* Niffler looks at nothing but "RGB". An absent value is taken for the commonest of its shape. */
        if (name[0] == '\0' || options->compatibility_niffler)
            return true;
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                           "a PhotometricInterpretation that is not supported");
    }
    if (is_grey != (facts->photometric <= PHOTOMETRIC_PALETTE_COLOR))
        return contradiction(err, "SamplesPerPixel contradicts PhotometricInterpretation");
    return true;
}

static bool read_depth(struct image_module *module, struct image_facts *facts, const struct dicom *dcm,
                       const struct options *options, struct error *err)
{
    uint32_t representation = 0;
    if (!dicom_find_u32(dcm, TAG_BITS_ALLOCATED, 0, &facts->bits_allocated))
        return missing(err, "BitsAllocated");
    if (!dicom_find_u32(dcm, TAG_PIXEL_REPRESENTATION, 0, &representation) &&
        options->compatibility_niffler && dicom_pixels(dcm)->kind == DICOM_PIXELS_INTEGER)
        return missing(err, "PixelRepresentation");
    facts->is_signed = representation == 1;
    facts->bits_stored = facts->bits_allocated;
    (void)dicom_find_u32(dcm, TAG_BITS_STORED, 0, &facts->bits_stored);
    facts->high_bit = facts->bits_stored - 1;
    (void)dicom_find_u32(dcm, TAG_HIGH_BIT, 0, &facts->high_bit);
    if (dicom_pixels(dcm)->kind != DICOM_PIXELS_INTEGER) {
        module->is_float = true;
        facts->bits_allocated = dicom_pixels(dcm)->kind == DICOM_PIXELS_FLOAT ? 32 : 64;
        facts->bits_stored = facts->bits_allocated;
        facts->high_bit = facts->bits_allocated - 1;
        return true;
    }
    if (facts->bits_allocated < 1 || facts->bits_allocated > 32)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS, "%u bits allocated",
                           facts->bits_allocated);
    if (options->compatibility_niffler)
        return true;
    if (facts->bits_stored < 1 || facts->bits_stored > facts->bits_allocated)
        return contradiction(err, "BitsStored is zero or beyond BitsAllocated");
    /* Of a codestream only the precision counts, which it says itself. */
    bool has_containers =
        module->family != CODEC_DCMTK && module->family != CODEC_JPEG2000 && module->family != CODEC_JPEGXL;
    if (has_containers &&
        (facts->high_bit >= facts->bits_allocated || facts->high_bit + 1 < facts->bits_stored))
        return contradiction(err, "HighBit contradicts BitsStored and BitsAllocated");
    return true;
}

static void lay_out(struct image_module *module, const struct image_facts *facts,
                    const struct options *options)
{
    uint32_t bits = facts->bits_allocated;
    module->sample_bytes = bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : 8;
    module->is_packed = bits != module->sample_bytes * 8;
    module->bits = options->compatibility_niffler ? bits : facts->bits_stored;
    module->shift = options->compatibility_niffler ? 0 : facts->high_bit + 1 - facts->bits_stored;
    module->frame_bits = (uint64_t)facts->rows * facts->columns * facts->samples_per_pixel * bits;
}

bool image_module_read(struct image_module *module, struct image_facts *facts, struct dicom *dcm,
                       const struct options *options, struct error *err)
{
    if (!read_shape(facts, dcm, options, err) || !read_colour(module, facts, dcm, options, err) ||
        !read_depth(module, facts, dcm, options, err))
        return false;
    lay_out(module, facts, options);
    bool plain = module->family == CODEC_NATIVE || module->family == CODEC_DEFLATE;
    if (facts->photometric == PHOTOMETRIC_YBR_PARTIAL_420 && plain)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS,
                           "YBR_PARTIAL_420 without compression");
    if (facts->photometric == PHOTOMETRIC_XYB && module->family != CODEC_JPEGXL)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS, "XYB that is not JPEG XL");
    /* Halved until a length proves the contrary. */
    bool is_422 = facts->photometric == PHOTOMETRIC_YBR_FULL_422 ||
                  (facts->photometric == PHOTOMETRIC_YBR_PARTIAL_422 && !options->compatibility_niffler);
    if (is_422 && plain && !module->is_packed) {
        module->is_half_chroma = facts->columns % 2 == 0;
        if (module->is_half_chroma)
            module->frame_bits = module->frame_bits / 3 * 2;
    }
    return true;
}

/* Bytes of `frames` frames of `bits` each; the product of what a header may say goes beyond 64 bits. */
static uint64_t bytes_of(uint64_t bits, uint32_t frames)
{
    uint64_t total;
    if (__builtin_mul_overflow(bits, (uint64_t)frames, &total))
        return UINT64_MAX;
    return total / 8 + (total % 8 != 0);
}

uint64_t image_module_frames_in(const struct image_module *module, uint64_t length, bool with_parts)
{
    uint64_t bits;
    if (__builtin_mul_overflow(length, (uint64_t)8, &bits))
        bits = UINT64_MAX;
    return bits / module->frame_bits + (with_parts && bits % module->frame_bits != 0);
}

bool image_module_check_length(struct image_module *module, uint32_t frames, uint64_t length,
                               struct error *err)
{
    uint64_t full_chroma_bits = module->frame_bits / 2 * 3;
    if (module->is_half_chroma && bytes_of(full_chroma_bits, frames) <= length) {
        module->is_half_chroma = false;
        module->frame_bits = full_chroma_bits;
    }
    uint64_t needed = bytes_of(module->frame_bits, frames);
    if (needed > length)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT,
                           "%llu bytes of pixel data, %llu needed", (unsigned long long)length,
                           (unsigned long long)needed);
    return true;
}
