/* shown.h: text of strangers where people read it: on terminals, in mails and in tables. */
#ifndef NIFFLER_COMMON_SHOWN_H
#define NIFFLER_COMMON_SHOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/buffer.h"

/* Whether the character of `step` bytes (utf8.h) is a control character, which a terminal obeys: C0, DEL, or
 * of C1 (U+0080 to U+009F). */
static inline bool shown_is_control(const void *text, size_t step)
{
    const unsigned char *c = text;
    return step == 1 ? c[0] < 0x20 || c[0] == 0x7f : step == 2 && c[0] == 0xc2 && c[1] < 0xa0;
}

/* Append text with each byte of a control character, and each that is no UTF-8, as \xNN: one line, and one
 * that moves no cursor. */
void shown_append(struct buffer *out, const char *text, size_t length);

/* The same, to a stream. */
void shown_print(FILE *out, const char *text);

#endif
