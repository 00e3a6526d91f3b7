#include "worker/decoder/image/lut.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

void lut_clear(struct lut *lut)
{
    free(lut->entries);
    *lut = (struct lut){0};
}

struct lut_words lut_words(struct dicom *dcm, struct dicom_item item, uint32_t tag, size_t *length)
{
    char vr[2] = {0};
    bool big_endian = dicom_syntax(dcm)->big_endian;
    const uint8_t *bytes = dicom_item_bytes(dcm, item, tag, length, vr);
    return (struct lut_words){
        .bytes = bytes, .big_endian = big_endian, .swapped = big_endian && memcmp(vr, "OB", 2) != 0};
}

void lut_words_set_width(struct lut_words *words, bool is_wide, size_t length)
{
    words->is_wide = is_wide;
    words->count = is_wide ? length / 2 : words->swapped ? length / 2 * 2 : length;
}

uint32_t lut_word_at(const struct lut_words *words, size_t index)
{
    if (!words->is_wide) {
        size_t place = words->swapped ? index ^ 1 : index;
        return words->bytes[place];
    }
    const uint8_t *at = words->bytes + 2 * index;
    return words->big_endian ? (uint32_t)at[0] << 8 | at[1] : (uint32_t)at[1] << 8 | at[0];
}

/* Three numbers of 16 bits: entries (0: 65536), the first value, bits of an entry. Read as bytes, because a
 * file may give the sign of the second by its VR. */
bool lut_read_descriptor(struct lut *lut, struct dicom *dcm, struct dicom_item item, uint32_t tag,
                         bool is_signed, struct error *err)
{
    size_t length = 0;
    char vr[2] = {0};
    const uint8_t *bytes = dicom_item_bytes(dcm, item, tag, &length, vr);
    if (bytes == NULL || length < 6)
        return error_input(err, CATEGORY_NOT_USABLE, CODE_MISSING_ATTRIBUTE,
                           "a look-up table without a descriptor");
    const struct dicom_syntax *syntax = dicom_syntax(dcm);
    struct lut_words words = {.bytes = bytes, .count = 3, .is_wide = true, .big_endian = syntax->big_endian};
    uint32_t count = lut_word_at(&words, 0), first = lut_word_at(&words, 1), bits = lut_word_at(&words, 2);
    bool negative = memcmp(vr, "SS", 2) == 0 || (syntax->implicit_vr && is_signed);
    lut->count = count == 0 ? LUT_ENTRIES_MAX : count;
    lut->first = negative && first >= 0x8000 ? (int32_t)first - 0x10000 : (int32_t)first;
    lut->bits = bits <= 16 ? bits : 16;
    if (lut->entries == NULL)
        lut->entries = xcalloc(LUT_ENTRIES_MAX, sizeof lut->entries[0]);
    return true;
}

/* Entries of 8 bits come one to a word, or packed; the length tells which, since the descriptor's bits often
 * do not. */
bool lut_read(struct lut *lut, struct dicom *dcm, struct dicom_item item, uint32_t descriptor_tag,
              uint32_t data_tag, bool is_signed, struct error *err)
{
    size_t length = 0;
    if (!lut_read_descriptor(lut, dcm, item, descriptor_tag, is_signed, err))
        return false;
    struct lut_words words = lut_words(dcm, item, data_tag, &length);
    if (words.bytes == NULL)
        return error_input(err, CATEGORY_NOT_USABLE, CODE_MISSING_ATTRIBUTE, "a look-up table without data");
    size_t count = lut->count;
    bool is_packed = length >= count && length <= count + 1 && length < 2 * count;
    lut_words_set_width(&words, !is_packed, length);
    if (words.count == 0)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "a look-up table is empty");
    if (words.count < lut->count)
        lut->count = (uint32_t)words.count;
    for (uint32_t i = 0; i < lut->count; i++)
        lut->entries[i] = (uint16_t)lut_word_at(&words, i);
    return true;
}
