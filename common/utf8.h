/* utf8.h: one step through UTF-8 (RFC 3629). */
#ifndef NIFFLER_COMMON_UTF8_H
#define NIFFLER_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the character that begins at `text`, 1 to 4 bytes, of which `left` are there; 0 where the bytes
 * are none: overlong forms, surrogates, beyond U+10FFFF, cut. `left` is at least 1. */
size_t utf8_step(const void *text, size_t left);

/* Whether all of `text` is UTF-8. */
bool utf8_is_valid(const void *text, size_t length);

#endif
