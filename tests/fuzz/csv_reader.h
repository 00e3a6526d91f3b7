/* csv_reader.h: a strict reader of RFC 4180 with LF line ends, and what it must find; for the fuzz targets.
 */
#ifndef NIFFLER_TESTS_FUZZ_CSV_READER_H
#define NIFFLER_TESTS_FUZZ_CSV_READER_H

#include <stdlib.h>

#include "common/buffer.h"
#include "common/utf8.h"

/* Append a value as a reader must find it: bytes that are no UTF-8, and control characters where they are
 * shown (csv_cell.h), as \xNN. */
static inline void csv_reader_expect(struct buffer *cell, const uint8_t *bytes, size_t length,
                                     bool controls_are_shown)
{
    for (size_t at = 0; at < length;) {
        size_t step = utf8_step((const char *)bytes + at, length - at);
        const uint8_t first = bytes[at];
        bool is_control =
            step == 2   ? first == 0xC2 && bytes[at + 1] < 0xA0 /* C1 */
            : step == 1 ? first == 0x7F || (first < 0x20 && first != '\t' && first != '\n' && first != '\r')
                        : false;
        bool is_shown = step == 0 || first == '\0' || (is_control && controls_are_shown);
        for (size_t end = at + (step == 0 ? 1 : step); at < end; at++)
            if (is_shown)
                buffer_append_format(cell, "\\x%02X", bytes[at]);
            else
                buffer_append_char(cell, (char)bytes[at]);
    }
}

/* Read one cell at *at, which is put behind it, on the comma or the line's end. Aborts where RFC 4180 has no
 * rule for what stands there. */
static inline void csv_reader_cell(const struct buffer *text, size_t *at, struct buffer *cell)
{
    const char *in = text->data;
    buffer_truncate(cell, 0);
    if (*at < text->length && in[*at] == '"') {
        for (++*at;; ++*at) {
            if (*at == text->length)
                abort(); /* the quote is not closed */
            if (in[*at] == '"' && (*at + 1 == text->length || in[*at + 1] != '"'))
                break;
            *at += in[*at] == '"';
            buffer_append_char(cell, in[*at]);
        }
        ++*at;
    } else {
        for (; *at < text->length && in[*at] != ',' && in[*at] != '\n'; ++*at) {
            if (in[*at] == '"' || in[*at] == '\r')
                abort();
            buffer_append_char(cell, in[*at]);
        }
    }
    if (*at == text->length || (in[*at] != ',' && in[*at] != '\n'))
        abort(); /* something behind the quote, or no end of the line */
}

#endif
