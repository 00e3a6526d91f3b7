/* icc_profiles.h: ICC profiles in memory (ISO 15076-1), as small as they can be; for tests. */
#ifndef NIFFLER_TESTS_UNIT_ICC_PROFILES_H
#define NIFFLER_TESTS_UNIT_ICC_PROFILES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ICC_TAGS_AT 128 /* how many, then 12 bytes for each */
#define ICC_CONTENT_AT 144
#define ICC_BYTES_MIN 156

static inline void icc_put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* A display profile of `length` bytes, a multiple of 4, with one tag, whose content is pseudo-random. */
static inline void icc_build(uint8_t *icc, uint32_t length)
{
    memset(icc, 0, ICC_BYTES_MIN);
    icc_put_u32(icc, length);
    icc_put_u32(icc + 8, 0x04000000);
    memcpy(icc + 12, "mntrRGB XYZ ", 12);
    memcpy(icc + 36, "acsp", 4);
    icc_put_u32(icc + 68, 0xF6D6); /* D50 */
    icc_put_u32(icc + 72, 0x10000);
    icc_put_u32(icc + 76, 0xD32D);
    icc_put_u32(icc + ICC_TAGS_AT, 1);
    memcpy(icc + ICC_TAGS_AT + 4, "cprt", 4);
    icc_put_u32(icc + ICC_TAGS_AT + 8, ICC_CONTENT_AT);
    icc_put_u32(icc + ICC_TAGS_AT + 12, length - ICC_CONTENT_AT);
    for (uint32_t i = ICC_CONTENT_AT, seed = 1; i < length; i++) {
        seed = seed * 1103515245 + 12345;
        icc[i] = (uint8_t)(seed >> 24);
    }
}

#endif
