#include "common/utf8.h"

#include <stdint.h>
#include <string.h>

size_t utf8_step(const void *text, size_t left)
{
    const unsigned char *p = text;
    if (p[0] < 0x80)
        return 1;
    size_t count = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (count == 0 || left < count)
        return 0;
    for (size_t i = 1; i < count; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* What the lead byte alone does not exclude: overlong forms, surrogates, beyond U+10FFFF. */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] >= 0x90))
        return 0;
    return count;
}

bool utf8_is_valid(const void *text, size_t length)
{
    const unsigned char *p = text;
    for (size_t at = 0; at < length;) {
        uint64_t eight;
        if (length - at >= sizeof eight) { /* nearly all text is ASCII */
            memcpy(&eight, p + at, sizeof eight);
            if ((eight & 0x8080808080808080u) == 0) {
                at += sizeof eight;
                continue;
            }
        }
        size_t step = utf8_step(p + at, length - at);
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}
