#include "worker/decoder/codec/jpeg2000_extensions.h"

#include <string.h>

#define BOX_BYTES 8u      /* length and type: ISO/IEC 15444-1 Annex I.4 */
#define LONG_BOX_BYTES 16 /* and a length of 64 bits                    */
#define MARKER_SIZ 0xFF51u
#define MARKER_SOT 0xFF90u
#define RSIZ_EXTENSIONS 0x8000u /* ISO/IEC 15444-2 Table A.2 */

static uint32_t u16_big(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static uint64_t u32_big(const uint8_t *bytes)
{
    return (uint64_t)u16_big(bytes) << 16 | u16_big(bytes + 2);
}

size_t jpeg2000_codestream_at(const uint8_t *stream, size_t length)
{
    size_t at = 0;
    if (length >= 2 && u16_big(stream) == 0xFF4F)
        return 0;
    while (length - at >= BOX_BYTES) {
        uint64_t size = u32_big(stream + at);
        size_t header = BOX_BYTES;
        if (size == 1 && length - at >= LONG_BOX_BYTES) {
            header = LONG_BOX_BYTES;
            size = u32_big(stream + at + 8) << 32 | u32_big(stream + at + 12);
        }
        if (memcmp(stream + at + 4, "jp2c", 4) == 0)
            return at + header;
        if (size < header || size > length - at)
            break;
        at += (size_t)size;
    }
    return length;
}

/* Marker segments of ISO/IEC 15444-2 Annex A.3. */
static const char *extension_of(uint32_t marker)
{
    static const char *const names[] = {
        "DC offset",                       /* DCO */
        "visual masking",                  /* VMS */
        "downsampling factor styles",      /* DFS */
        "arbitrary decomposition",         /* ADS */
        "multiple component transform",    /* MCT */
        "multiple component transform",    /* MCC */
        "non-linear point transform",      /* NLT */
        "multiple component transform",    /* MCO */
        "component bit depth",             /* CBD */
        "arbitrary transformation kernel", /* ATK */
    };
    const uint32_t first = 0xFF70;
    return marker >= first && marker - first < sizeof names / sizeof names[0] ? names[marker - first] : NULL;
}

void jpeg2000_extensions_read(const uint8_t *stream, size_t length, struct jpeg2000_extensions *header)
{
    *header = (struct jpeg2000_extensions){0};
    size_t at = jpeg2000_codestream_at(stream, length);
    if (length - at < 2)
        return;
    at += 2;
    while (length - at >= 6 && header->extension == NULL) {
        uint32_t marker = u16_big(stream + at);
        size_t size = u16_big(stream + at + 2);
        if (marker == MARKER_SOT || marker < 0xFF00 || size < 2 || size > length - at - 2)
            return;
        if (marker == MARKER_SIZ)
            header->is_part_2 = (u16_big(stream + at + 4) & RSIZ_EXTENSIONS) != 0;
        header->extension = extension_of(marker);
        at += 2 + size;
    }
}
