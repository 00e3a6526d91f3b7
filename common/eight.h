/* eight.h: text looked at eight bytes in one step.
 *
 * A flag is the highest bit of a byte: eight_any() tells whether a function raises one for any byte of a
 * text. Such a function may raise further flags beside one that is right, for what is subtracted from a byte
 * borrows from the next; where none is right it raises none. */
#ifndef NIFFLER_COMMON_EIGHT_H
#define NIFFLER_COMMON_EIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EIGHT(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Flag each byte that is `byte`, and each above 0x7f. */
static inline uint64_t eight_is(uint64_t bytes, unsigned byte)
{
    return ((bytes ^ EIGHT(byte)) - EIGHT(1)) | bytes;
}

/* Flag each byte that is no printable ASCII. */
static inline uint64_t eight_not_printable(uint64_t bytes)
{
    return (bytes - EIGHT(0x20)) | eight_is(bytes, 0x7f);
}

static inline uint64_t eight_load(const char *text)
{
    uint64_t bytes;
    memcpy(&bytes, text, sizeof bytes);
    return bytes;
}

static inline uint64_t eight_load_four(const char *text, const char *other)
{
    uint32_t four[2];
    memcpy(&four[0], text, sizeof four[0]);
    memcpy(&four[1], other, sizeof four[1]);
    return (uint64_t)four[0] << 32 | four[1];
}

static inline bool eight_any(const char *text, size_t length, uint64_t (*flags)(uint64_t bytes))
{
    uint64_t found;
    if (length >= 8) {
        found = flags(eight_load(text + length - 8)); /* some bytes twice, here and below */
        for (size_t at = 0; at + 8 < length; at += 8)
            found |= flags(eight_load(text + at));
    } else if (length >= 4) {
        found = flags(eight_load_four(text, text + length - 4));
    } else if (length > 0) {
        found = flags(EIGHT((unsigned char)text[0])) | flags(EIGHT((unsigned char)text[length / 2])) |
                flags(EIGHT((unsigned char)text[length - 1]));
    } else {
        return false;
    }
    return (found & EIGHT(0x80)) != 0;
}

#endif
