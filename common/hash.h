/* hash.h: a number for a text, the same on every machine and in every version: names and shares depend on it.
 */
#ifndef NIFFLER_COMMON_HASH_H
#define NIFFLER_COMMON_HASH_H

#include <stdint.h>

/* FNV-1a. Whoever writes the text can make two that have the same number. */
uint64_t hash_text(const char *text);

#endif
