/* dicom_builder.h: DICOM files in memory, element by element, in any encoding; for tests. Writes what it is
 * told to, also what no standard allows. */
#ifndef NIFFLER_TESTS_UNIT_DICOM_BUILDER_H
#define NIFFLER_TESTS_UNIT_DICOM_BUILDER_H

#include <stdint.h>
#include <string.h>

#include "common/buffer.h"
#include "worker/decoder/dicom/dicom.h"

#define IMPLICIT_LITTLE "1.2.840.10008.1.2"
#define EXPLICIT_LITTLE "1.2.840.10008.1.2.1"
#define DEFLATED "1.2.840.10008.1.2.1.99"
#define EXPLICIT_BIG "1.2.840.10008.1.2.2"
#define JPEG_BASELINE "1.2.840.10008.1.2.4.50"

#define UNDEFINED 0xffffffffu
#define ITEM DICOM_TAG(0xfffe, 0xe000)
#define ITEM_END DICOM_TAG(0xfffe, 0xe00d)
#define SEQUENCE_END DICOM_TAG(0xfffe, 0xe0dd)

struct builder {
    struct buffer bytes;
    bool implicit_vr;
    bool big_endian;
};

/* A number of `size` bytes in the builder's byte order. */
static inline void build_number(struct builder *b, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        buffer_append_char(&b->bytes,
                           (char)(unsigned char)(value >> (8 * (b->big_endian ? size - 1 - i : i))));
}

static inline void build_header(struct builder *b, uint32_t tag, const char *vr, uint32_t length)
{
    build_number(b, tag >> 16, 2);
    build_number(b, tag & 0xffff, 2);
    bool has_vr = !b->implicit_vr && tag >> 16 != 0xfffe;
    bool is_long = !has_vr || strstr("OB OD OF OL OV OW SQ SV UC UN UR UT UV", vr) != NULL;
    if (has_vr) {
        buffer_append(&b->bytes, vr, strlen(vr));
        if (is_long)
            build_number(b, 0, 2);
    }
    build_number(b, length, is_long ? 4 : 2);
}

static inline void build_bytes(struct builder *b, uint32_t tag, const char *vr, const void *value,
                               size_t length)
{
    build_header(b, tag, vr, (uint32_t)length);
    buffer_append(&b->bytes, value, length);
}

static inline void build_text(struct builder *b, uint32_t tag, const char *vr, const char *value)
{
    build_bytes(b, tag, vr, value, strlen(value));
}

static inline void build_u16(struct builder *b, uint32_t tag, const char *vr, uint16_t value)
{
    build_header(b, tag, vr, 2);
    build_number(b, value, 2);
}

/* An item or a sequence of defined length: begin it, remember the result, end it when its content stands
 * there. */
static inline size_t build_begin(struct builder *b, uint32_t tag)
{
    build_header(b, tag, "SQ", 0);
    return b->bytes.length;
}

static inline void build_end(struct builder *b, size_t start)
{
    size_t end = b->bytes.length;
    buffer_truncate(&b->bytes, start - 4);
    build_number(b, end - start, 4);
    buffer_truncate(&b->bytes, end);
}

/* Preamble and meta header, always explicit little endian. */
static inline void build_meta(struct builder *b, const char *transfer_syntax)
{
    struct builder meta = {0};
    for (int i = 0; i < 128; i++)
        buffer_append_char(&meta.bytes, 0);
    buffer_append_text(&meta.bytes, "DICM");
    build_header(&meta, DICOM_TAG(0x0002, 0x0000), "UL", 4);
    build_number(&meta, 8 + strlen(transfer_syntax), 4);
    build_text(&meta, DICOM_TAG(0x0002, 0x0010), "UI", transfer_syntax);
    buffer_append(&b->bytes, meta.bytes.data, meta.bytes.length);
    buffer_clear(&meta.bytes);
}

#endif
