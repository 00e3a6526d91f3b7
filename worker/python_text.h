/* python_text.h: values as Python 3.11 writes them, for cells that must equal Niffler's.
 *
 * Pure functions that append to a buffer. The C locale's decimal point is assumed: no part of the program
 * calls setlocale(). */
#ifndef NIFFLER_WORKER_PYTHON_TEXT_H
#define NIFFLER_WORKER_PYTHON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

/* Text between two places; never owned. */
struct slice {
    const char *text;
    size_t length;
};

/* Without what str.strip() removes from text of Latin-1: white space, the separators 1C to 1F, NEL, NBSP. */
struct slice python_strip(struct slice text);
struct slice python_strip_end(struct slice text); /* str.rstrip() */

/* Without trailing blanks and NULs. */
struct slice python_strip_padding(struct slice text);

/* repr() of UTF-8 text: quotes, escapes. */
void python_append_text_repr(struct buffer *out, struct slice text);

/* repr() of bytes: b'\x00a'. */
void python_append_bytes_repr(struct buffer *out, const void *bytes, size_t length);

/* repr() of a float: "5.0", "1e-05", "nan". */
void python_append_float(struct buffer *out, double value);

/* The fewest digits that read back as `value`, and no ".0": "5", "0.1". `is_single`: read back as a float. */
void python_append_number(struct buffer *out, double value, bool is_single);

/* repr(float(text)). Returns false, and appends nothing, where float() raises ValueError. */
bool python_append_float_of_text(struct buffer *out, struct slice text);

enum python_integer {
    PYTHON_INTEGER,      /* it was one                                                          */
    PYTHON_NO_INTEGER,   /* not a number: ValueError                                            */
    PYTHON_INTEGER_LOSS, /* a number, but not a whole one that a float holds: pydicom's TypeError */
};

/* repr(int(text)) as pydicom's IS makes it, "1.0" and "1e3" being whole. Appends nothing unless
 * PYTHON_INTEGER. `out` may be NULL. */
enum python_integer python_append_integer_of_text(struct buffer *out, struct slice text);

#endif
