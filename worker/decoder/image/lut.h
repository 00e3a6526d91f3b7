/* lut.h: look-up tables as the file holds them: a descriptor of three numbers, and data (PS3.3 C.11.1.1,
 * C.11.2.1.1, C.7.6.3.1.5). For the Modality LUT, VOI LUTs and palettes. */
#ifndef NIFFLER_WORKER_DECODER_IMAGE_LUT_H
#define NIFFLER_WORKER_DECODER_IMAGE_LUT_H

#include "common/error.h"
#include "worker/decoder/dicom/dicom.h"

#define LUT_ENTRIES_MAX 65536u

/* Zeroed: empty. */
struct lut {
    uint16_t *entries; /* LUT_ENTRIES_MAX, new */
    uint32_t count;    /* 1 to LUT_ENTRIES_MAX */
    int32_t first;     /* the value that entry 0 stands for */
    uint32_t bits;     /* of an entry, as the descriptor says, 0 to 16; what an entry holds may be more */
};

void lut_clear(struct lut *lut);

/* Read a table from `item`. `is_signed`: what is looked up can be negative, which decides the sign of the
 * descriptor's second value where the file's VR does not. Fails with ERROR_INPUT: category 1,
 * CODE_MISSING_ATTRIBUTE (descriptor or data); category 2, CODE_TOO_SHORT (no entry is there; where some are
 * missing, the table ends with the last). */
MUST_CHECK bool lut_read(struct lut *lut, struct dicom *dcm, struct dicom_item item, uint32_t descriptor_tag,
                         uint32_t data_tag, bool is_signed, struct error *err);

/* The descriptor alone; entries are made room for. */
MUST_CHECK bool lut_read_descriptor(struct lut *lut, struct dicom *dcm, struct dicom_item item, uint32_t tag,
                                    bool is_signed, struct error *err);

/* The entry for a value: below the first entry's the first, beyond the last the last. */
static inline uint16_t lut_look_up(const struct lut *lut, int64_t value)
{
    int64_t index = value - lut->first;
    return lut->entries[index < 0 ? 0 : index >= lut->count ? (int64_t)lut->count - 1 : index];
}

/* The words of a value, in whatever order and width they come. */
struct lut_words {
    const uint8_t *bytes;
    size_t count;
    bool is_wide;    /* 16 bits, else 8     */
    bool big_endian; /* of the file's words */
    bool swapped;    /* 8 bits, in words of a big-endian file: the bytes of each word change places */
};

/* The words of `tag`; `bytes` is NULL where there are none. `is_wide` is to be set by who knows. */
struct lut_words lut_words(struct dicom *dcm, struct dicom_item item, uint32_t tag, size_t *length);
void lut_words_set_width(struct lut_words *words, bool is_wide, size_t length);
uint32_t lut_word_at(const struct lut_words *words, size_t index);
#endif
