/* Data sets that an element with a wrong length has made an end of. Each element in explicit VR says what it
 * is (PS3.5 7.1.2): a tag that exists, with the VR that belongs to it, behind a smaller tag and with a length
 * that fits, is no chance. The search for the next such element only begins where no pixel data was found,
 * and what it finds only counts if there is pixel data in it. */
#include "common/dictionary.h"
#include "worker/decoder/dicom/dicom_walk.h"

#define HEADER_BYTES 8u
#define SEARCH_MOST 65544u /* a length of 16 bits leads no further astray than that */
#define MENDS_MOST 8u

/* Whether the header of an attribute with a tag above `above` stands at `at`. */
static bool is_next_element(struct dicom *dcm, uint64_t at, uint32_t above, bool big_endian)
{
    const uint8_t *p = dicom_source_view(&dcm->source, at, HEADER_BYTES + 4);
    if (p == NULL || !dicom_is_known_vr(p + 4))
        return false;
    uint32_t tag = (uint32_t)dicom_u16(p, big_endian) << 16 | dicom_u16(p + 2, big_endian);
    const char vr[2] = {(char)p[4], (char)p[5]};
    const struct dictionary_entry *entry = tag > above ? dictionary_find(tag) : NULL;
    if (entry == NULL || (entry->choice == DICTIONARY_ONE_VR && !dicom_is_vr(vr, entry->vr)))
        return false;
    bool is_long = dicom_has_long_length(vr);
    uint64_t length = is_long ? dicom_u32(p + HEADER_BYTES, big_endian) : dicom_u16(p + 6, big_endian);
    uint64_t left = dcm->source.size - at - HEADER_BYTES - (is_long ? 4 : 0);
    return length <= left || (is_long && length == LENGTH_UNDEFINED);
}

/* Tag of the element before the last one, in the data set itself. */
static uint32_t tag_before_last(const struct dicom *dcm)
{
    for (size_t i = dcm->element_count - 1; i > 0; i--)
        if (dcm->elements[i - 1].depth == 0)
            return dcm->elements[i - 1].tag;
    return 0;
}

/* Where the data set goes on behind the element that made an end of it; false: nowhere. The element keeps
 * what stands before, or goes if it is none. */
static bool find_next_element(struct dicom *dcm, bool big_endian, uint64_t *next)
{
    struct dicom_element *last = &dcm->elements[dcm->element_count - 1];
    if (last->depth > 0 || last->kind != WIRE_VALUE || last->length == last->promised)
        return false;
    uint32_t above = tag_before_last(dcm);
    bool is_element = last->tag > above && dictionary_find(last->tag) != NULL;
    /* A long value is more likely cut than wrong, and may hold a data set of its own. */
    if (is_element && dicom_has_long_length(last->vr))
        return false;
    uint64_t from = is_element ? last->offset : last->offset - HEADER_BYTES;
    if (is_element)
        above = last->tag;
    for (uint64_t at = from; at < from + SEARCH_MOST && at < dcm->source.size; at++) {
        if (!is_next_element(dcm, at, above, big_endian))
            continue;
        if (is_element)
            last->length = last->promised = at - last->offset;
        else
            dcm->element_count--;
        *next = at;
        return true;
    }
    return false;
}

bool dicom_mend(struct dicom *dcm, struct dicom_encoding encoding, const struct options *options,
                struct error *err)
{
    size_t count = dcm->element_count;
    uint64_t value_bytes = dcm->value_bytes, next;
    if (encoding.implicit_vr || count == 0 || !dcm->is_cut || dcm->pixels.kind != DICOM_PIXELS_NONE)
        return true;
    struct dicom_element last = dcm->elements[count - 1];
    for (unsigned i = 0; i < MENDS_MOST && dcm->element_count > 0 && dcm->pixels.kind == DICOM_PIXELS_NONE &&
                         find_next_element(dcm, encoding.big_endian, &next);
         i++)
        if (!dicom_walk(dcm, &next, encoding, options, err))
            return false;
    dcm->is_mended = dcm->pixels.kind != DICOM_PIXELS_NONE;
    if (!dcm->is_mended) {
        dcm->element_count = count;
        dcm->elements[count - 1] = last;
        dcm->value_bytes = value_bytes;
    }
    return true;
}
