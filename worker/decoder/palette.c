#include "worker/decoder/palette.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define MOST_ENTRIES 65536u
/* Segments that a table may have. Each adds an entry at least, or it is wrong; indirect ones may repeat
 * others. */
#define MOST_SEGMENTS 131072u

static const uint32_t descriptor_tags[3] = {DICOM_TAG(0x0028, 0x1101), DICOM_TAG(0x0028, 0x1102),
                                            DICOM_TAG(0x0028, 0x1103)};
static const uint32_t data_tags[3] = {DICOM_TAG(0x0028, 0x1201), DICOM_TAG(0x0028, 0x1202),
                                      DICOM_TAG(0x0028, 0x1203)};
static const uint32_t segmented_tags[3] = {DICOM_TAG(0x0028, 0x1221), DICOM_TAG(0x0028, 0x1222),
                                           DICOM_TAG(0x0028, 0x1223)};

/* The words of a value, in whatever order and width they come. */
struct words {
    const uint8_t *bytes;
    size_t count;
    bool is_wide;    /* 16 bits, else 8     */
    bool big_endian; /* of the file's words */
    bool swapped;    /* 8 bits, in words of a big-endian file: the bytes of each word change places */
};

static uint32_t word_at(const struct words *words, size_t index)
{
    if (!words->is_wide) {
        size_t place = words->swapped ? index ^ 1 : index;
        return words->bytes[place];
    }
    const uint8_t *at = words->bytes + 2 * index;
    return words->big_endian ? (uint32_t)at[0] << 8 | at[1] : (uint32_t)at[1] << 8 | at[0];
}

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
static bool expand_segment(const struct words *words, size_t *at, bool is_inside, struct filling *filling,
                           struct error *err)
{
    if (++filling->steps > MOST_SEGMENTS)
        return malformed(err, "too many segments");
    if (*at > words->count || words->count - *at < 2)
        return malformed(err, "a segment is cut");
    uint32_t opcode = word_at(words, *at), length = word_at(words, *at + 1);
    size_t left = words->count - *at - 2, body = *at + 2;
    if (opcode == 0) {
        if (length > left)
            return malformed(err, "a discrete segment is cut");
        for (uint32_t i = 0; i < length; i++)
            fill_one(filling, word_at(words, body + i));
        *at = body + length;
        return true;
    }
    if (opcode == 1) {
        if (left < 1)
            return malformed(err, "a linear segment is cut");
        *at = body + 1;
        return fill_line(filling, length, word_at(words, body), err);
    }
    if (opcode != 2 || is_inside)
        return malformed(err, "a segment of unknown type");
    uint32_t place_words = words->is_wide ? 2 : 4;
    uint64_t place = 0;
    if (left < place_words)
        return malformed(err, "an indirect segment is cut");
    for (uint32_t i = 0; i < place_words; i++)
        place |= (uint64_t)word_at(words, body + i) << (i * (words->is_wide ? 16 : 8));
    *at = body + place_words;
    /* The place is in bytes from the table's beginning. */
    size_t from = (size_t)(words->is_wide ? place / 2 : place);
    for (uint32_t i = 0; i < length; i++)
        if (!expand_segment(words, &from, true, filling, err))
            return false;
    return true;
}

static bool read_segments(struct palette_table *table, const struct words *words, struct error *err)
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

/* Three numbers of 16 bits: entries (0: 65536), the first sample, bits of an entry. Read as bytes, because a
 * file may give the sign of the second by its VR. */
static bool read_descriptor(struct palette_table *table, uint32_t *bits, struct dicom *dcm, uint32_t tag,
                            bool is_signed, struct error *err)
{
    const struct dicom_syntax *syntax = dicom_syntax(dcm);
    size_t length = 0;
    char vr[2] = {0};
    const uint8_t *bytes = dicom_find_bytes(dcm, tag, &length, vr);
    if (bytes == NULL || length < 6)
        return error_input(err, CATEGORY_NOT_USABLE, CODE_MISSING_ATTRIBUTE,
                           "PALETTE COLOR without a palette");
    struct words words = {.bytes = bytes, .count = 3, .is_wide = true, .big_endian = syntax->big_endian};
    uint32_t first = word_at(&words, 1);
    bool negative = memcmp(vr, "SS", 2) == 0 || (syntax->implicit_vr && is_signed);
    table->count = word_at(&words, 0) == 0 ? MOST_ENTRIES : word_at(&words, 0);
    table->first = negative && first >= 0x8000 ? (int32_t)first - 0x10000 : (int32_t)first;
    *bits = word_at(&words, 2);
    return true;
}

/* Entries of 8 bits come one to a word, or packed; the length tells which, since the descriptor's bits often
 * do not. */
static bool read_entries(struct palette_table *table, const struct words *template_words, size_t length,
                         struct error *err)
{
    struct words words = *template_words;
    words.is_wide =
        !(length >= table->count && length <= (size_t)table->count + 1 && length < 2 * (size_t)table->count);
    words.count = words.is_wide ? length / 2 : length / 2 * 2;
    if (!words.is_wide && !words.swapped)
        words.count = length;
    if (words.count == 0)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "the palette is empty");
    if (words.count < table->count)
        table->count = (uint32_t)words.count;
    for (uint32_t i = 0; i < table->count; i++)
        table->entries[i] = (uint16_t)word_at(&words, i);
    return true;
}

static bool read_table(struct palette *palette, struct dicom *dcm, uint32_t colour, bool is_signed,
                       uint32_t *bits, struct error *err)
{
    struct palette_table *table = &palette->tables[colour];
    bool big_endian = dicom_syntax(dcm)->big_endian;
    if (!read_descriptor(table, bits, dcm, descriptor_tags[colour], is_signed, err))
        return false;
    if (table->entries == NULL)
        table->entries = xcalloc(MOST_ENTRIES, sizeof table->entries[0]);
    size_t length = 0;
    char vr[2] = {0};
    const uint8_t *bytes = dicom_find_bytes(dcm, segmented_tags[colour], &length, vr);
    struct words words = {
        .bytes = bytes, .big_endian = big_endian, .swapped = big_endian && memcmp(vr, "OB", 2) != 0};
    if (bytes != NULL) {
        words.is_wide = *bits > 8;
        words.count = words.is_wide ? length / 2 : words.swapped ? length / 2 * 2 : length;
        return read_segments(table, &words, err);
    }
    bytes = dicom_find_bytes(dcm, data_tags[colour], &length, vr);
    if (bytes == NULL)
        return error_input(err, CATEGORY_NOT_USABLE, CODE_MISSING_ATTRIBUTE,
                           "PALETTE COLOR without a palette");
    words.bytes = bytes;
    words.swapped = big_endian && memcmp(vr, "OB", 2) != 0;
    return read_entries(table, &words, length, err);
}

bool palette_read(struct palette *palette, struct dicom *dcm, bool is_signed, struct error *err)
{
    palette->bits = 8;
    for (uint32_t colour = 0; colour < 3; colour++) {
        uint32_t bits = 0;
        if (!read_table(palette, dcm, colour, is_signed, &bits, err))
            return false;
        /* Some files say 8 and hold 16: what is there decides. */
        if (bits > 8)
            palette->bits = 16;
        const struct palette_table *table = &palette->tables[colour];
        for (uint32_t i = 0; i < table->count && palette->bits == 8; i++)
            if (table->entries[i] > 255)
                palette->bits = 16;
    }
    return true;
}

void palette_clear(struct palette *palette)
{
    for (uint32_t colour = 0; colour < 3; colour++)
        free(palette->tables[colour].entries);
    *palette = (struct palette){0};
}

static int64_t sample_at(const struct codec_samples *in, size_t index)
{
    if (in->bytes == 1 && in->is_signed)
        return ((const int8_t *)in->data)[index];
    if (in->bytes == 1)
        return ((const uint8_t *)in->data)[index];
    if (in->bytes == 2 && in->is_signed)
        return ((const int16_t *)in->data)[index];
    if (in->bytes == 2)
        return ((const uint16_t *)in->data)[index];
    if (in->is_signed)
        return ((const int32_t *)in->data)[index];
    return ((const uint32_t *)in->data)[index];
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
        int64_t sample = sample_at(in, i);
        for (uint32_t colour = 0; colour < 3; colour++) {
            const struct palette_table *table = &palette->tables[colour];
            int64_t index = sample - table->first;
            index = index < 0 ? 0 : index >= table->count ? (int64_t)table->count - 1 : index;
            uint16_t value = table->entries[index];
            if (bytes == 1)
                ((uint8_t *)out->data)[3 * i + colour] = (uint8_t)value;
            else
                ((uint16_t *)out->data)[3 * i + colour] = value;
        }
    }
    return true;
}
