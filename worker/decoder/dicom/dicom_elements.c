/* The list of a walk, to the worker's typed elements. */
#include <string.h>

#include "worker/decoder/dicom/dicom_walk.h"

/* Text may be longer on the wire than the worker's limit in bytes: it cuts by characters. */
#define TEXT_FACTOR 4

static bool is_binary(const char vr[2])
{
    return dicom_vr_in(vr, "OBODOFOLOVOWUN");
}

static bool is_charset_text(const char vr[2])
{
    return dicom_vr_in(vr, "LOLTPNSHSTUCUT");
}

static bool is_plain_text(const char vr[2])
{
    return dicom_vr_in(vr, "AEASCSDADSDTISTMUIUR");
}

uint64_t dicom_delivered_bytes(const struct dicom_element *element, const struct options *options)
{
    uint64_t most = options->max_value_bytes;
    bool is_hidden = options->public_headers_only && (element->tag >> 16 & 1) != 0;
    if ((element->flags & WIRE_VALUE_NOT_READ) != 0 || is_hidden)
        return 0;
    if (most == 0)
        return element->length;
    if (!is_binary(element->vr))
        most = most > UINT64_MAX / TEXT_FACTOR ? UINT64_MAX : most * TEXT_FACTOR;
    return element->length < most ? element->length : most;
}

/* Bytes of one value, for the exchange of byte order; 1: none. */
static size_t unit_of(const char vr[2])
{
    return dicom_vr_in(vr, "USSSOWAT")     ? 2
           : dicom_vr_in(vr, "ULSLFLOLOF") ? 4
           : dicom_vr_in(vr, "FDODSVUVOV") ? 8
                                           : 1;
}

static void append_exchanged(struct buffer *out, const uint8_t *bytes, size_t length, size_t unit)
{
    size_t whole = length / unit * unit;
    unsigned char *place = (unsigned char *)buffer_reserve(out, length);
    for (size_t at = 0; at < whole; at += unit)
        for (size_t i = 0; i < unit; i++)
            place[at + i] = bytes[at + unit - 1 - i];
    if (length > whole)
        memcpy(place + whole, bytes + whole, length - whole);
    out->length += length;
}

/* ASCII without escapes is UTF-8 already, which is nearly all text there is. */
static bool is_plain_ascii(const uint8_t *bytes, size_t length)
{
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t eight;
        memcpy(&eight, bytes + i, sizeof eight);
        if ((eight & 0x8080808080808080u) != 0)
            return false;
    }
    for (; i < length; i++)
        if (bytes[i] >= 0x80)
            return false;
    return memchr(bytes, 0x1b, length) == NULL;
}

/* Where a value was cut, its last character may be cut too: that is no damage. Whether other marks are left.
 */
static bool drop_cut_character(struct buffer *text)
{
    static const char mark[] = "\xef\xbf\xbd"; /* U+FFFD */
    size_t length = sizeof mark - 1;
    for (int i = 0;
         i < 3 && text->length >= length && memcmp(text->data + text->length - length, mark, length) == 0;
         i++)
        text->length -= length;
    return text->length > 0 && memmem(text->data, text->length, mark, length) != NULL;
}

static void append_value(struct dicom *dcm, const struct dicom_element *element, const uint8_t *bytes,
                         size_t length, const struct options *options, struct buffer *out)
{
    struct wire_element wire = {.kind = WIRE_VALUE, .flags = element->flags, .tag = element->tag};
    struct buffer *scratch = &dcm->text;
    memcpy(wire.vr, element->vr, 2);
    wire.depth = element->depth;
    wire.full_length = element->promised;
    wire.bytes = bytes;
    buffer_truncate(scratch, 0);
    /* pydicom gives the bytes of these as they stand in the file. */
    bool as_is = options->compatibility_niffler && is_binary(element->vr);
    size_t unit = dcm->syntax.big_endian && !as_is ? unit_of(element->vr) : 1;
    bool is_text = is_charset_text(element->vr) || is_plain_text(element->vr);
    if (is_text && !is_plain_ascii(bytes, length)) {
        if (is_plain_text(element->vr))
            charset_append_latin1(bytes, length, scratch);
        else if (!charset_append(dcm->tables, element->set, dicom_is_vr(element->vr, "PN"), bytes, length,
                                 scratch) &&
                 ((element->flags & WIRE_VALUE_CUT) == 0 || drop_cut_character(scratch)))
            wire.flags |= WIRE_VALUE_MARKED;
        wire.bytes = (const uint8_t *)scratch->data;
        length = scratch->length;
    } else if (unit > 1) {
        append_exchanged(scratch, bytes, length, unit);
        wire.bytes = (const uint8_t *)scratch->data;
    }
    wire.length = (uint32_t)length;
    wire_append_element(out, &wire);
}

void dicom_append_elements(struct dicom *dcm, const struct options *options, struct buffer *out)
{
    uint32_t hidden_depth = UINT32_MAX; /* elements deeper than this belong to a sequence that is left out */
    for (size_t i = 0; i < dcm->element_count; i++) {
        const struct dicom_element *element = &dcm->elements[i];
        if (element->depth > hidden_depth || (element->depth == hidden_depth && element->kind == WIRE_ITEM))
            continue;
        hidden_depth = UINT32_MAX;
        bool is_private = (element->tag >> 16 & 1) != 0;
        bool is_group_length = (element->tag & 0xffff) == 0 && (element->tag >> 16) != 0;
        if (is_group_length || (options->public_headers_only && is_private)) {
            hidden_depth = element->depth;
            continue;
        }
        if (element->kind != WIRE_VALUE) {
            struct wire_element wire = {.kind = element->kind, .flags = element->flags, .tag = element->tag};
            wire.depth = element->depth;
            memcpy(wire.vr, "SQ", 2);
            wire.full_length = element->kind == WIRE_SEQUENCE ? element->items : 0;
            wire_append_element(out, &wire);
            continue;
        }
        uint64_t deliver = dicom_delivered_bytes(element, options);
        const uint8_t *bytes = dicom_source_view(&dcm->source, element->offset, (size_t)deliver);
        struct dicom_element copy = *element;
        if (bytes == NULL)
            deliver = 0; /* the file shrank meanwhile */
        if (deliver < element->length && (element->flags & WIRE_VALUE_NOT_READ) == 0)
            copy.flags |= WIRE_VALUE_CUT;
        static const uint8_t nothing[1];
        append_value(dcm, &copy, deliver > 0 ? bytes : nothing, (size_t)deliver, options, out);
    }
}
