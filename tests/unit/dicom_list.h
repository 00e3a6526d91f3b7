/* dicom_list.h: what the reader found, as lines of text that a test can compare. Include it after cmocka.h.
 *
 *     00100010 PN A^B               a value: text as it is, other bytes in hexadecimal
 *     00100020 LO abc (64)          its length in the file, where the list holds another number of bytes
 *     00081115 SQ [1] undefined     a sequence and the number of its items; flags
 *     -                             an item; elements of an item are one blank further in */
#ifndef NIFFLER_TESTS_UNIT_DICOM_LIST_H
#define NIFFLER_TESTS_UNIT_DICOM_LIST_H

#include <string.h>
#include <zlib.h>

#include "common/buffer.h"
#include "tests/unit/dicom_builder.h"
#include "worker/decoder/dicom/dicom.h"
#include "worker/wire.h"

static const struct options test_options = {.max_value_bytes = 0,
                                            .max_pixels = 1u << 20,
                                            .max_frames = 100,
                                            .max_attributes = 1000,
                                            .max_nesting = 16,
                                            .max_items = 100000,
                                            .max_metadata_bytes = 1u << 20};

static inline void list_value(struct buffer *list, const struct wire_element *element)
{
    const char vr[3] = {element->vr[0], element->vr[1], '\0'};
    if (strstr("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT", vr) != NULL) {
        buffer_append(list, element->bytes, element->length);
        /* Conversion to UTF-8 lengthens: only what is plain can be compared with the length in the file. */
        for (uint32_t i = 0; i < element->length; i++)
            if (element->bytes[i] >= 0x80)
                return;
    } else if ((element->flags & WIRE_VALUE_NOT_READ) == 0) {
        for (uint32_t i = 0; i < element->length; i++)
            buffer_append_format(list, "%02X", element->bytes[i]);
    }
    if (element->length != element->full_length)
        buffer_append_format(list, "%s(%llu)", element->length > 0 ? " " : "",
                             (unsigned long long)element->full_length);
}

static inline void list_elements(struct dicom *dcm, const struct options *options, struct buffer *list)
{
    struct buffer out = {0};
    struct wire_element element;
    struct error err;
    size_t at = 0;
    dicom_append_elements(dcm, options, &out);
    assert_true(wire_check_elements((const uint8_t *)out.data, out.length, &err));
    while (at < out.length && wire_next_element((const uint8_t *)out.data, out.length, &at, &element)) {
        for (uint32_t i = 0; i < element.depth; i++)
            buffer_append_char(list, ' ');
        if (element.kind == WIRE_ITEM) {
            buffer_append_text(list, "- \n");
            continue;
        }
        buffer_append_format(list, "%08X %.2s ", element.tag, element.vr);
        if (element.kind == WIRE_SEQUENCE)
            buffer_append_format(list, "[%llu]", (unsigned long long)element.full_length);
        else
            list_value(list, &element);
        buffer_append_text(list, element.flags & WIRE_VALUE_MARKED ? " marked" : "");
        buffer_append_text(list, element.flags & WIRE_VALUE_CUT ? " cut" : "");
        buffer_append_text(list, element.flags & WIRE_VALUE_UNDEFINED ? " undefined" : "");
        buffer_append_text(list, element.flags & WIRE_VALUE_NOT_READ ? " unread" : "");
        buffer_append_text(list, element.flags & WIRE_VALUE_CHOSEN_VR ? " chosen" : "");
        buffer_append_char(list, '\n');
    }
    buffer_clear(&out);
}

static inline void check_list(struct dicom *dcm, const struct options *options, const char *want)
{
    struct buffer list = {0};
    list_elements(dcm, options, &list);
    assert_string_equal(buffer_text(&list), want);
    buffer_clear(&list);
}

static inline bool read_built(struct dicom *dcm, const struct builder *b, const struct options *options)
{
    struct error err;
    return dicom_read_memory(dcm, (const uint8_t *)b->bytes.data, b->bytes.length, options, &err);
}

/* Append `bytes` as a raw deflate stream (PS3.5 A.5). */
static inline void deflate_into(struct buffer *out, char *bytes, size_t length)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&stream, length);
    stream.next_in = (Bytef *)bytes;
    stream.avail_in = (uInt)length;
    stream.next_out = (Bytef *)buffer_reserve(out, room);
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out->length += room - stream.avail_out;
    assert_int_equal(deflateEnd(&stream), Z_OK);
}

#endif
