/* csv_reader.h: a strict reader of RFC 4180 with LF line ends, for the fuzz targets. */
#ifndef NIFFLER_TESTS_FUZZ_CSV_READER_H
#define NIFFLER_TESTS_FUZZ_CSV_READER_H

#include <stdlib.h>

#include "common/buffer.h"

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
