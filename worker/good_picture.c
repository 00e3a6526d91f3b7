#include "worker/good_picture.h"

#include <string.h>

#define PREAMBLE_BYTES 128
#define META_BYTES 4 /* of the value of (0002,0000) */

static void append_u16(struct buffer *out, uint32_t value)
{
    buffer_append_char(out, (char)(value & 0xff));
    buffer_append_char(out, (char)(value >> 8 & 0xff));
}

static void append_u32(struct buffer *out, uint32_t value)
{
    append_u16(out, value & 0xffff);
    append_u16(out, value >> 16);
}

/* The header of an element. */
static void append_header(struct buffer *out, uint32_t tag, const char *vr, size_t length)
{
    append_u16(out, tag >> 16);
    append_u16(out, tag & 0xffff);
    buffer_append(out, vr, 2);
    if (vr[0] == 'O') {
        append_u16(out, 0);
        append_u32(out, (uint32_t)length);
    } else {
        append_u16(out, (uint32_t)length);
    }
}

static void append_text(struct buffer *out, uint32_t tag, const char *vr, const char *text)
{
    size_t length = strlen(text);
    append_header(out, tag, vr, length + length % 2);
    buffer_append(out, text, length);
    if (length % 2 != 0)
        buffer_append_char(out, vr[0] == 'U' ? '\0' : ' ');
}

static void append_number(struct buffer *out, uint32_t tag, uint32_t value)
{
    append_header(out, tag, "US", 2);
    append_u16(out, value);
}

static void append_meta_header(struct buffer *out)
{
    static const char zeros[PREAMBLE_BYTES];
    struct buffer rest = {0};
    append_header(&rest, 0x00020001, "OB", 2);
    append_u16(&rest, 0x0100);
    append_text(&rest, 0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.7");
    append_text(&rest, 0x00020003, "UI", "2.25.1");
    append_text(&rest, 0x00020010, "UI", "1.2.840.10008.1.2.1");
    append_text(&rest, 0x00020012, "UI", "2.25.2");
    buffer_append(out, zeros, sizeof zeros);
    buffer_append_text(out, "DICM");
    append_header(out, 0x00020000, "UL", META_BYTES);
    append_u32(out, (uint32_t)rest.length);
    buffer_append(out, rest.data, rest.length);
    buffer_clear(&rest);
}

void good_picture_append(struct buffer *out)
{
    const uint32_t pixels = GOOD_PICTURE_SIZE * GOOD_PICTURE_SIZE;
    append_meta_header(out);
    append_text(out, 0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7");
    append_text(out, 0x00080018, "UI", "2.25.1");
    append_text(out, 0x00080060, "CS", "OT");
    append_text(out, 0x0020000d, "UI", "2.25.3");
    append_text(out, 0x0020000e, "UI", "2.25.4");
    append_number(out, 0x00280002, 1);
    append_text(out, 0x00280004, "CS", "MONOCHROME2");
    append_number(out, 0x00280010, GOOD_PICTURE_SIZE);
    append_number(out, 0x00280011, GOOD_PICTURE_SIZE);
    append_number(out, 0x00280100, 16);
    append_number(out, 0x00280101, 12);
    append_number(out, 0x00280102, 11);
    append_number(out, 0x00280103, 0);
    append_header(out, 0x7fe00010, "OW", (size_t)2 * pixels);
    for (uint32_t i = 0; i < pixels; i++)
        append_u16(out, 4 * i);
}
