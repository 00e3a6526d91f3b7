/* typeset.h: text for people, on a terminal (--help) and in a man page (mdoc). */
#ifndef NIFFLER_COMMON_TYPESET_H
#define NIFFLER_COMMON_TYPESET_H

#include <stddef.h>
#include <stdio.h>

/* Print `text` in lines of at most 80 columns that begin with `indent` blanks. */
void typeset_wrapped(const char *text, size_t indent, FILE *out);

/* Print `label` behind `indent` blanks, and `text` beside it, `width` columns further right, in lines of at
 * most 80 columns; below it where the label is too long for that. */
void typeset_item(const char *label, size_t indent, size_t width, const char *text, FILE *out);

/* Print a text line of roff: backslashes and a control character in front escaped, hyphens as they are
 * typed, and a new line after each sentence, as mdoc wants it. */
void typeset_roff(const char *text, FILE *out);

#endif
