/* dicom_walk.h: what dicom.c, dicom_walk.c and dicom_elements.c share; besides them only tests/differential
 * includes it. */
#ifndef NIFFLER_WORKER_DECODER_DICOM_DICOM_WALK_H
#define NIFFLER_WORKER_DECODER_DICOM_DICOM_WALK_H

#include "worker/decoder/dicom/charset.h"
#include "worker/decoder/dicom/dicom.h"
#include "worker/decoder/dicom/dicom_source.h"
#include "worker/wire.h"

#define LENGTH_UNDEFINED 0xffffffffu

#define TAG_SPECIFIC_CHARACTER_SET DICOM_TAG(0x0008, 0x0005)
#define TAG_PIXEL_REPRESENTATION DICOM_TAG(0x0028, 0x0103)
#define TAG_FLOAT_PIXEL_DATA DICOM_TAG(0x7fe0, 0x0008)
#define TAG_DOUBLE_FLOAT_PIXEL_DATA DICOM_TAG(0x7fe0, 0x0009)
#define TAG_PIXEL_DATA DICOM_TAG(0x7fe0, 0x0010)
#define TAG_ITEM DICOM_TAG(0xfffe, 0xe000)
#define TAG_ITEM_END DICOM_TAG(0xfffe, 0xe00d)
#define TAG_SEQUENCE_END DICOM_TAG(0xfffe, 0xe0dd)

/* One entry of the flat list that a walk leaves behind. */
struct dicom_element {
    enum wire_element_kind kind;
    uint8_t flags; /* WIRE_VALUE_NOT_READ, WIRE_VALUE_UNDEFINED */
    char vr[2];
    struct charset set; /* of the data set it stands in */
    uint32_t tag;
    uint32_t depth;
    uint32_t items; /* of a sequence */
    uint64_t
        offset; /* of the value in the source; of a sequence and its items, where the first item begins */
    uint64_t length; /* bytes that are there; the header may have promised more */
    uint64_t promised;
};

struct dicom {
    struct dicom_source source;
    struct charset_tables *tables;
    struct dicom_syntax syntax;
    struct dicom_pixels pixels;
    struct dicom_element *elements;
    size_t element_count, element_capacity;
    size_t *top; /* places of the elements that are in no item; of use when `is_indexed` */
    size_t top_count, top_capacity;
    bool is_indexed;
    uint64_t value_bytes; /* that will be delivered */
    bool is_cut;
    bool is_mended;
    uint8_t *inflated; /* of a deflated data set */
    uint8_t **kept;    /* copies that dicom_find_bytes() lent out */
    size_t kept_count;
    struct buffer text; /* scratch */
};

/* How a data set is encoded. */
struct dicom_encoding {
    bool big_endian;
    bool implicit_vr;
};

/* Walk a data set from *position to the end of the source (or, of a group alone, to where it ends), adding to
 * dcm->elements. Fails as dicom_read(), CODE_LIMIT_ATTRIBUTES. */
MUST_CHECK bool dicom_walk(struct dicom *dcm, uint64_t *position, struct dicom_encoding encoding,
                           const struct options *options, struct error *err);

/* As dicom_walk(), of one group only: stops before the first element of another one. */
MUST_CHECK bool dicom_walk_group(struct dicom *dcm, uint64_t *position, uint16_t group,
                                 struct dicom_encoding encoding, const struct options *options,
                                 struct error *err);

/* Note the places of the top-level elements, which are few among those of a large object. dicom_values.c */
void dicom_index(struct dicom *dcm);

/* Go on behind an element whose length leads out of the file, where the walk found no pixel data and it is
 * found that way; else nothing changes. Fails as dicom_walk(). dicom_mend.c */
MUST_CHECK bool dicom_mend(struct dicom *dcm, struct dicom_encoding encoding, const struct options *options,
                           struct error *err);

/* The most bytes of this element that dicom_append_elements() delivers. */
uint64_t dicom_delivered_bytes(const struct dicom_element *element, const struct options *options);

/* Numbers in a file's byte order. */
static inline uint16_t dicom_u16(const uint8_t *p, bool big_endian)
{
    return (uint16_t)(big_endian ? p[0] << 8 | p[1] : p[1] << 8 | p[0]);
}

static inline uint32_t dicom_u32(const uint8_t *p, bool big_endian)
{
    return big_endian ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
                      : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline bool dicom_is_vr(const char vr[2], const char *name)
{
    return vr[0] == name[0] && vr[1] == name[1];
}

/* Whether `vr` is one of the two-letter names strung together in `list` ("OBOWUN"). */
static inline bool dicom_vr_in(const char vr[2], const char *list)
{
    for (; *list != '\0'; list += 2)
        if (vr[0] == list[0] && vr[1] == list[1])
            return true;
    return false;
}

/* VRs with a length of 32 bits in explicit VR (PS3.5 Table 7.1-1). */
static inline bool dicom_has_long_length(const char vr[2])
{
    return dicom_vr_in(vr, "OBODOFOLOVOWSQSVUCUNURUTUV");
}

/* Whether the two bytes are a VR of PS3.5 Table 6.2-1. */
static inline bool dicom_is_known_vr(const uint8_t *p)
{
    const char vr[2] = {(char)p[0], (char)p[1]};
    return dicom_vr_in(vr, "AEASATCSDADSDTFDFLISLOLTOBODOFOLOVOWPNSHSLSQSSSTSVTMUCUIULUNURUSUTUV");
}

#endif
