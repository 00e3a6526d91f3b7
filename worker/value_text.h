/* value_text.h: one element's value as the text of a cell.
 *
 *   dicom     a\b between values; DS and IS as in the file, other numbers in their shortest decimal form, AT
 * as (gggg,eeee); binary values as <OW 524288 bytes>; control characters but LF, TAB and CR shown as their
 *             symbols (U+2400 …); longer values cut: abc…[cut, 9000 bytes]
 *   niffler   Python's text, character for character: 5.0, ('a', 'b'), [1, 2], b'\x00'
 *
 * The result is UTF-8 without NUL. Values whose bytes do not fit their VR come out as text or as binary,
 * never lost. */
#ifndef NIFFLER_WORKER_VALUE_TEXT_H
#define NIFFLER_WORKER_VALUE_TEXT_H

#include "common/buffer.h"
#include "common/options.h"
#include "worker/python_text.h"
#include "worker/wire.h"

enum value_kind {
    VALUE_TEXT,    /* UTF-8 */
    VALUE_DECIMAL, /* DS */
    VALUE_INTEGER, /* IS */
    VALUE_NUMBER,  /* US SS UL SL UV SV FL FD */
    VALUE_TAG,     /* AT */
    VALUE_BYTES,   /* OB OW UN … and what nobody knows */
};

enum value_kind value_text_kind(const char vr[2]);

/* Append the text of `element`, a WIRE_VALUE. `max_value_bytes` as in struct options. */
void value_text_append(struct buffer *out, const struct wire_element *element, enum value_format format,
                       uint64_t max_value_bytes);

/* Append repr() of what Niffler's tuple held. */
void value_text_append_repr(struct buffer *out, const struct wire_element *element);

/* Whether Niffler dropped the element, since pydicom raised on it: IS that is a number but not a whole one.
 */
bool value_text_is_dropped(const struct wire_element *element);

/* The text of a text VR as pydicom gives it: padding removed, all values with '\' between. Borrowed. */
struct slice value_text_plain(const struct wire_element *element);

#endif
