/* Single values, of the data set and of the items in it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/dicom/dicom_walk.h"

#define NUMBER_BYTES_MAX 64 /* of one number as text; a DS has 16 */

/* ---- items ---- */

static size_t end_of(const struct dicom *dcm, struct dicom_item item)
{
    return item.end == 0 ? dcm->element_count : item.end;
}

void dicom_index(struct dicom *dcm)
{
    dcm->top_count = 0;
    for (size_t i = 0; i < dcm->element_count; i++) {
        if (dcm->elements[i].depth != 0 || dcm->elements[i].kind == WIRE_ITEM)
            continue;
        if (dcm->top_count == dcm->top_capacity) {
            dcm->top_capacity = dcm->top_capacity == 0 ? 256 : dcm->top_capacity * 2;
            dcm->top = xrealloc_array(dcm->top, dcm->top_capacity, sizeof *dcm->top);
        }
        dcm->top[dcm->top_count++] = i;
    }
    dcm->is_indexed = true;
}

static const struct dicom_element *find_indexed(const struct dicom *dcm, uint32_t tag)
{
    for (size_t i = dcm->top_count; i > 0; i--)
        if (dcm->elements[dcm->top[i - 1]].tag == tag)
            return &dcm->elements[dcm->top[i - 1]];
    return NULL;
}

/* The last one of its tag, as in pydicom. */
static const struct dicom_element *find(const struct dicom *dcm, struct dicom_item item, uint32_t tag)
{
    if (item.depth == 0 && dcm->is_indexed)
        return find_indexed(dcm, tag);
    for (size_t i = end_of(dcm, item); i > item.first; i--)
        if (dcm->elements[i - 1].tag == tag && dcm->elements[i - 1].depth == item.depth &&
            dcm->elements[i - 1].kind != WIRE_ITEM)
            return &dcm->elements[i - 1];
    return NULL;
}

/* The item that begins at or behind `index`, in a sequence whose items have `depth`. */
static bool item_from(const struct dicom *dcm, size_t index, uint32_t depth, struct dicom_item *item)
{
    if (index >= dcm->element_count || dcm->elements[index].kind != WIRE_ITEM ||
        dcm->elements[index].depth != depth)
        return false;
    size_t end = index + 1;
    while (end < dcm->element_count && dcm->elements[end].depth > depth)
        end++;
    *item = (struct dicom_item){.first = index + 1, .end = end, .depth = depth + 1};
    return true;
}

bool dicom_first_item(const struct dicom *dcm, struct dicom_item parent, uint32_t sequence,
                      struct dicom_item *item)
{
    const struct dicom_element *element = find(dcm, parent, sequence);
    return element != NULL && element->kind == WIRE_SEQUENCE &&
           item_from(dcm, (size_t)(element - dcm->elements) + 1, parent.depth, item);
}

bool dicom_next_item(const struct dicom *dcm, struct dicom_item *item)
{
    return item->depth > 0 && item_from(dcm, item->end, item->depth - 1, item);
}

bool dicom_item_has(const struct dicom *dcm, struct dicom_item item, uint32_t tag)
{
    return find(dcm, item, tag) != NULL;
}

/* ---- numbers ---- */

/* Number `index` of a text value; what follows it is passed over. */
static bool number_text(const char *text, size_t length, size_t index, char out[NUMBER_BYTES_MAX])
{
    const char *end = text + length;
    for (; index > 0; index--) {
        text = memchr(text, '\\', (size_t)(end - text));
        if (text == NULL)
            return false;
        text++;
    }
    while (text < end && (*text == ' ' || *text == '+' || *text == '\0'))
        text++;
    size_t used = 0;
    for (; text < end && *text != '\\' && used + 1 < NUMBER_BYTES_MAX; text++)
        out[used++] = *text;
    out[used] = '\0';
    return used > 0;
}

static bool parse_u32(const char *text, uint32_t *value)
{
    uint64_t sum = 0;
    const char *first = text;
    for (; *text >= '0' && *text <= '9' && sum <= UINT32_MAX; text++)
        sum = sum * 10 + (uint64_t)(*text - '0');
    if (text == first || sum > UINT32_MAX)
        return false;
    *value = (uint32_t)sum;
    return true;
}

/* Decimal only: no "nan", "inf" or hexadecimal, as a DS has none. */
static bool parse_double(const char *text, double *value)
{
    char *end;
    if (strspn(text, "+-.0123456789") == 0)
        return false;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        return false;
    *value = strtod(text, &end);
    return end > text && isfinite(*value);
}

/* Values are short: reading past the window leaves a const reader as it was. */
static bool copy_value(const struct dicom *dcm, const struct dicom_element *element, uint64_t at, void *bytes,
                       size_t size)
{
    struct dicom_source source = dcm->source;
    return dicom_source_copy(&source, element->offset + at, bytes, size);
}

static bool copy_number_text(const struct dicom *dcm, const struct dicom_element *element, size_t index,
                             char out[NUMBER_BYTES_MAX])
{
    /* A value of many numbers is read in full: the places of its separators are not known. */
    char few[4 * NUMBER_BYTES_MAX];
    size_t length = element->length < sizeof few ? (size_t)element->length : sizeof few;
    return copy_value(dcm, element, 0, few, length) && number_text(few, length, index, out);
}

enum number_type {
    NUMBER_NONE,
    NUMBER_TEXT,
    NUMBER_U16,
    NUMBER_I16,
    NUMBER_U32,
    NUMBER_I32,
    NUMBER_F32,
    NUMBER_F64
};

static enum number_type type_of(const struct dicom_element *element)
{
    static const struct {
        const char *vrs;
        enum number_type type;
    } types[] = {
        {"ISDSLOSHCSUT", NUMBER_TEXT}, {"USOW", NUMBER_U16}, {"SS", NUMBER_I16},
        {"ULOL", NUMBER_U32},          {"SL", NUMBER_I32},   {"FLOF", NUMBER_F32},
        {"FDOD", NUMBER_F64},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (dicom_vr_in(element->vr, types[i].vrs))
            return types[i].type;
    if (dicom_is_vr(element->vr, "UN"))
        return element->length == 4 ? NUMBER_U32 : NUMBER_U16;
    return NUMBER_NONE;
}

static bool read_binary(const struct dicom *dcm, const struct dicom_element *element, enum number_type type,
                        size_t index, uint64_t *bits)
{
    size_t size = type == NUMBER_F64 ? 8 : type == NUMBER_U16 || type == NUMBER_I16 ? 2 : 4;
    bool big = dcm->syntax.big_endian;
    uint8_t bytes[8];
    if (index >= element->length / size || !copy_value(dcm, element, index * size, bytes, size))
        return false;
    if (size == 2)
        *bits = dicom_u16(bytes, big);
    else if (size == 4)
        *bits = dicom_u32(bytes, big);
    else
        *bits = big ? (uint64_t)dicom_u32(bytes, true) << 32 | dicom_u32(bytes + 4, true)
                    : (uint64_t)dicom_u32(bytes + 4, false) << 32 | dicom_u32(bytes, false);
    return true;
}

bool dicom_find_u32(const struct dicom *dcm, uint32_t tag, size_t index, uint32_t *value)
{
    const struct dicom_element *element = find(dcm, DICOM_TOP, tag);
    char text[NUMBER_BYTES_MAX];
    uint64_t bits;
    if (element == NULL || element->kind != WIRE_VALUE)
        return false;
    enum number_type type = type_of(element);
    if (type == NUMBER_TEXT)
        return copy_number_text(dcm, element, index, text) && parse_u32(text, value);
    if (type == NUMBER_NONE || type >= NUMBER_F32 || !read_binary(dcm, element, type, index, &bits))
        return false;
    *value = (uint32_t)bits;
    return true;
}

bool dicom_item_double(const struct dicom *dcm, struct dicom_item item, uint32_t tag, size_t index,
                       double *value)
{
    const struct dicom_element *element = find(dcm, item, tag);
    char text[NUMBER_BYTES_MAX];
    uint64_t bits;
    uint32_t half;
    float single;
    if (element == NULL || element->kind != WIRE_VALUE)
        return false;
    enum number_type type = type_of(element);
    if (type == NUMBER_TEXT)
        return copy_number_text(dcm, element, index, text) && parse_double(text, value);
    if (type == NUMBER_NONE || !read_binary(dcm, element, type, index, &bits))
        return false;
    switch (type) {
    case NUMBER_I16:
        *value = (int16_t)bits;
        break;
    case NUMBER_I32:
        *value = (int32_t)bits;
        break;
    case NUMBER_F32:
        half = (uint32_t)bits;
        memcpy(&single, &half, sizeof single);
        *value = (double)single;
        break;
    case NUMBER_F64:
        memcpy(value, &bits, sizeof *value);
        break;
    default:
        *value = (double)bits;
        break;
    }
    return isfinite(*value);
}

/* ---- texts and bytes ---- */

bool dicom_item_text(struct dicom *dcm, struct dicom_item item, uint32_t tag, char *text, size_t size)
{
    const struct dicom_element *element = find(dcm, item, tag);
    if (element == NULL || element->kind != WIRE_VALUE)
        return false;
    size_t length = element->length < 4096 ? (size_t)element->length : 4096;
    const uint8_t *p = dicom_source_view(&dcm->source, element->offset, length);
    if (p == NULL)
        return false;
    const uint8_t *slash = memchr(p, '\\', length);
    if (slash != NULL)
        length = (size_t)(slash - p);
    while (length > 0 && (p[length - 1] == ' ' || p[length - 1] == '\0'))
        length--;
    buffer_truncate(&dcm->text, 0);
    charset_append_latin1(p, length, &dcm->text);
    size_t count = dcm->text.length < size - 1 ? dcm->text.length : size - 1;
    if (count > 0)
        memcpy(text, dcm->text.data, count);
    text[count] = '\0';
    return true;
}

const uint8_t *dicom_item_bytes(struct dicom *dcm, struct dicom_item item, uint32_t tag, size_t *length,
                                char vr[2])
{
    const struct dicom_element *element = find(dcm, item, tag);
    struct error ignored;
    void *copy;
    *length = 0;
    if (element == NULL || element->kind != WIRE_VALUE || element->length > SIZE_MAX / 2 ||
        !alloc_pixels(&copy, (size_t)element->length, 1, 0, &ignored))
        return NULL;
    dcm->kept = xrealloc_array(dcm->kept, dcm->kept_count + 1, sizeof *dcm->kept);
    dcm->kept[dcm->kept_count++] = copy;
    if (!dicom_source_copy(&dcm->source, element->offset, copy, (size_t)element->length))
        return NULL;
    *length = (size_t)element->length;
    memcpy(vr, element->vr, 2);
    return copy;
}

bool dicom_has(const struct dicom *dcm, uint32_t tag)
{
    return dicom_item_has(dcm, DICOM_TOP, tag);
}

bool dicom_find_text(struct dicom *dcm, uint32_t tag, char *text, size_t size)
{
    return dicom_item_text(dcm, DICOM_TOP, tag, text, size);
}

const uint8_t *dicom_find_bytes(struct dicom *dcm, uint32_t tag, size_t *length, char vr[2])
{
    return dicom_item_bytes(dcm, DICOM_TOP, tag, length, vr);
}
