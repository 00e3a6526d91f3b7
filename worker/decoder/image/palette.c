#include "worker/decoder/image/palette.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

/* Segments that a table may have. Each adds an entry at least, or it is wrong; indirect ones may repeat
 * others. */
#define MOST_SEGMENTS 131072u

static const uint32_t descriptor_tags[3] = {DICOM_TAG(0x0028, 0x1101), DICOM_TAG(0x0028, 0x1102),
                                            DICOM_TAG(0x0028, 0x1103)};
static const uint32_t data_tags[3] = {DICOM_TAG(0x0028, 0x1201), DICOM_TAG(0x0028, 0x1202),
                                      DICOM_TAG(0x0028, 0x1203)};
static const uint32_t segmented_tags[3] = {DICOM_TAG(0x0028, 0x1221), DICOM_TAG(0x0028, 0x1222),
                                           DICOM_TAG(0x0028, 0x1223)};

static bool malformed(struct error *err, const char *why)
{
    return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED, "the palette is malformed: %s", why);
}

/* Entries being collected. */
struct filling {
    uint16_t *entries;
    uint32_t count;  /* so far  */
    uint32_t wanted; /* at most */
    uint32_t steps;
};

static void fill_one(struct filling *filling, uint32_t value)
{
    if (filling->count < filling->wanted)
        filling->entries[filling->count++] = (uint16_t)value;
}

/* A line from the last entry to `end`: `length` new entries, rounded to the nearest, half up. */
static bool fill_line(struct filling *filling, uint32_t length, uint32_t end, struct error *err)
{
    if (filling->count == 0)
        return malformed(err, "a linear segment comes first");
    int64_t start = filling->entries[filling->count - 1], rise = (int64_t)end - start;
    for (uint32_t i = 1; i <= length; i++) {
        /* floor(start + rise * i / length + 1/2), as whole numbers; the sum is never negative. */
        int64_t twice = 2 * (start * length + rise * i) + length;
        fill_one(filling, (uint32_t)(twice / (2 * (int64_t)length)));
    }
    return true;
}

/* One segment at *at, which moves behind it. An indirect one repeats others; those may not be indirect again
 * (PS3.3 C.7.9.2.3), so the recursion ends there. */
static bool expand_segment(const struct lut_words *words, size_t *at, bool is_inside, struct filling *filling,
                           struct error *err)
{
    if (++filling->steps > MOST_SEGMENTS)
        return malformed(err, "too many segments");
    if (*at > words->count || words->count - *at < 2)
        return malformed(err, "a segment is cut");
    uint32_t opcode = lut_word_at(words, *at), length = lut_word_at(words, *at + 1);
    size_t left = words->count - *at - 2, body = *at + 2;
    if (opcode == 0) {
        if (length > left)
            return malformed(err, "a discrete segment is cut");
        for (uint32_t i = 0; i < length; i++)
            fill_one(filling, lut_word_at(words, body + i));
        *at = body + length;
        return true;
    }
    if (opcode == 1) {
        if (left < 1)
            return malformed(err, "a linear segment is cut");
        *at = body + 1;
        return fill_line(filling, length, lut_word_at(words, body), err);
    }
    if (opcode != 2 || is_inside)
        return malformed(err, "a segment of unknown type");
    uint32_t place_words = words->is_wide ? 2 : 4;
    uint64_t place = 0;
    if (left < place_words)
        return malformed(err, "an indirect segment is cut");
    for (uint32_t i = 0; i < place_words; i++)
        place |= (uint64_t)lut_word_at(words, body + i) << (i * (words->is_wide ? 16 : 8));
    *at = body + place_words;
    /* The place is in bytes from the table's beginning. */
    size_t from = (size_t)(words->is_wide ? place / 2 : place);
    for (uint32_t i = 0; i < length; i++)
        if (!expand_segment(words, &from, true, filling, err))
            return false;
    return true;
}

static bool read_segments(struct lut *table, const struct lut_words *words, struct error *err)
{
    struct filling filling = {.entries = table->entries, .wanted = table->count};
    for (size_t at = 0; at + 1 < words->count && filling.count < filling.wanted;)
        if (!expand_segment(words, &at, false, &filling, err))
            return false;
    if (filling.count == 0)
        return malformed(err, "it has no entries");
    table->count = filling.count;
    return true;
}

static bool read_table(struct palette *palette, struct dicom *dcm, uint32_t colour, bool is_signed,
                       struct error *err)
{
    struct lut *table = &palette->tables[colour];
    size_t length = 0;
    struct lut_words words = lut_words(dcm, DICOM_TOP, segmented_tags[colour], &length);
    if (words.bytes == NULL)
        return lut_read(table, dcm, DICOM_TOP, descriptor_tags[colour], data_tags[colour], is_signed, err);
    if (!lut_read_descriptor(table, dcm, DICOM_TOP, descriptor_tags[colour], is_signed, err))
        return false;
    lut_words_set_width(&words, table->bits > 8, length);
    return read_segments(table, &words, err);
}

bool palette_read(struct palette *palette, struct dicom *dcm, bool is_signed, struct error *err)
{
    palette->bits = 8;
    for (uint32_t colour = 0; colour < 3; colour++) {
        if (!read_table(palette, dcm, colour, is_signed, err))
            return error_prefix(err, "PALETTE COLOR");
        /* Some files say 8 and hold 16: what is there decides. */
        const struct lut *table = &palette->tables[colour];
        if (table->bits > 8)
            palette->bits = 16;
        for (uint32_t i = 0; i < table->count && palette->bits == 8; i++)
            if (table->entries[i] > 255)
                palette->bits = 16;
    }
    return true;
}

void palette_clear(struct palette *palette)
{
    for (uint32_t colour = 0; colour < 3; colour++)
        lut_clear(&palette->tables[colour]);
    *palette = (struct palette){0};
}

bool palette_apply(const struct palette *palette, const struct codec_samples *in, struct codec_samples *out,
                   struct error *err)
{
    uint32_t bytes = palette->bits > 8 ? 2 : 1;
    if (in->is_float || in->samples != 1)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS, "no samples for a palette");
    if (!codec_samples_reserve(out, in->rows, in->columns, 3, bytes, err))
        return false;
    out->precision = palette->bits;
    size_t count = (size_t)in->rows * in->columns;
    for (size_t i = 0; i < count; i++) {
        int64_t sample = codec_sample(in, i);
        for (uint32_t colour = 0; colour < 3; colour++) {
            uint16_t value = lut_look_up(&palette->tables[colour], sample);
            if (bytes == 1)
                ((uint8_t *)out->data)[3 * i + colour] = (uint8_t)value;
            else
                ((uint16_t *)out->data)[3 * i + colour] = value;
        }
    }
    return true;
}
