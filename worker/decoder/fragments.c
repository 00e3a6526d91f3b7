#include "worker/decoder/fragments.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define ITEM_HEADER_BYTES 8u
#define ITEM_TAG 0xFFFEE000u
#define START_BYTES 12u /* enough to recognise the start of a compressed image */

#define TAG_EXTENDED_OFFSETS DICOM_TAG(0x7FE0, 0x0001)

static uint32_t u32_little(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint64_t u64_little(const uint8_t *bytes)
{
    return u32_little(bytes) | (uint64_t)u32_little(bytes + 4) << 32;
}

void fragments_clear(struct fragments *fragments)
{
    free(fragments->items);
    free(fragments->first);
    *fragments = (struct fragments){0};
}

/* Forget the file, keep the memory. */
static void reset(struct fragments *fragments)
{
    free(fragments->first);
    fragments->first = NULL;
    fragments->count = 0;
    fragments->frame_count = 0;
    fragments->table_length = 0;
}

static bool add(struct fragments *fragments, uint64_t offset, uint64_t length, uint32_t limit,
                struct error *err)
{
    if (fragments->count >= limit)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_PIXELS, "more than %u fragments", limit);
    if (fragments->count == fragments->capacity) {
        fragments->capacity = fragments->capacity > 0 ? fragments->capacity * 2 : 16;
        fragments->items = xrealloc_array(fragments->items, fragments->capacity, sizeof fragments->items[0]);
    }
    fragments->items[fragments->count++] = (struct fragment){offset, length};
    return true;
}

/* Step through the items. Encapsulated pixel data is always explicit little endian. Whatever is no item ends
 * the walk: the delimiter, and as well the rubbish that some writers leave in its place. */
static bool walk(struct fragments *fragments, struct dicom *dcm, uint32_t limit, struct error *err)
{
    const struct dicom_pixels *pixels = dicom_pixels(dcm);
    uint64_t at = pixels->offset, end = pixels->offset + pixels->length;
    bool is_table = true;
    while (end - at >= ITEM_HEADER_BYTES) {
        uint8_t header[ITEM_HEADER_BYTES];
        if (!dicom_read_bytes(dcm, at, header, sizeof header, err))
            return false;
        uint32_t tag = (u32_little(header) & 0xFFFFu) << 16 | u32_little(header) >> 16;
        uint64_t length = u32_little(header + 4);
        if (tag != ITEM_TAG)
            break;
        at += ITEM_HEADER_BYTES;
        /* A last fragment that is cut stays: its codec knows whether what is there suffices. */
        uint64_t there = length < end - at ? length : end - at;
        if (is_table) {
            fragments->table_offset = at;
            fragments->table_length = there;
            fragments->base = at + there;
            is_table = false;
        } else if (there > 0 && !add(fragments, at, there, limit, err)) {
            return false;
        }
        at += there;
    }
    return true;
}

/* Index of the fragment whose item begins `offset` bytes behind the first one's, or `count`. */
static uint32_t fragment_at(const struct fragments *fragments, uint64_t offset)
{
    uint32_t low = 0, high = fragments->count;
    uint64_t wanted;
    if (__builtin_add_overflow(fragments->base + ITEM_HEADER_BYTES, offset, &wanted))
        return fragments->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (fragments->items[middle].offset < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < fragments->count && fragments->items[low].offset == wanted;
    return found ? low : fragments->count;
}

/* Take a table of offsets of `size` bytes each. False: it is no use, and nothing is lost by trying the next.
 */
static bool use_table(struct fragments *fragments, const uint8_t *table, size_t size)
{
    for (uint32_t frame = 0; frame < fragments->frame_count; frame++) {
        const uint8_t *entry = table + (size_t)frame * size;
        uint32_t index = fragment_at(fragments, size == 8 ? u64_little(entry) : u32_little(entry));
        if (index == fragments->count || (frame == 0 && index != 0) ||
            (frame > 0 && index <= fragments->first[frame - 1]))
            return false;
        fragments->first[frame] = index;
    }
    return true;
}

static bool use_extended_table(struct fragments *fragments, struct dicom *dcm)
{
    size_t length = 0;
    char vr[2];
    const uint8_t *table = dicom_find_bytes(dcm, TAG_EXTENDED_OFFSETS, &length, vr);
    return table != NULL && length / 8 == fragments->frame_count && use_table(fragments, table, 8);
}

static bool use_basic_table(struct fragments *fragments, struct dicom *dcm)
{
    struct error ignored;
    void *table = NULL;
    bool used = false;
    size_t size = (size_t)fragments->frame_count * 4;
    if (fragments->table_length / 4 != fragments->frame_count)
        return false;
    if (alloc_pixels(&table, size, 1, 0, &ignored) &&
        dicom_read_bytes(dcm, fragments->table_offset, table, size, &ignored))
        used = use_table(fragments, table, 4);
    free(table);
    return used;
}

static bool looks_like_start(const uint8_t *bytes, size_t length, enum codec_family family)
{
    static const uint8_t jp2[] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};
    static const uint8_t jxl[] = {0, 0, 0, 12, 'J', 'X', 'L', ' '};
    switch (family) {
    case CODEC_DCMTK:
    case CODEC_JPEGLS:
        return length >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
    case CODEC_JPEG2000:
        return (length >= 4 && memcmp(bytes, "\xFF\x4F\xFF\x51", 4) == 0) ||
               (length >= sizeof jp2 && memcmp(bytes, jp2, sizeof jp2) == 0);
    case CODEC_JPEGXL:
        return (length >= 2 && memcmp(bytes, "\xFF\x0A", 2) == 0) ||
               (length >= sizeof jxl && memcmp(bytes, jxl, sizeof jxl) == 0);
    case CODEC_RLE:
        return length >= 8 && bytes[0] >= 1 && bytes[0] <= 15 && u32_little(bytes) <= 15 &&
               u32_little(bytes + 4) == 64;
    case CODEC_NATIVE:
    case CODEC_DEFLATE:
    case CODEC_NOT_DECODED:
    case CODEC_NOT_KNOWN:
        break;
    }
    return false;
}

static bool use_starts(struct fragments *fragments, struct dicom *dcm, enum codec_family family,
                       struct error *err)
{
    uint32_t starts = 0;
    for (uint32_t i = 0; i < fragments->count; i++) {
        uint8_t bytes[START_BYTES];
        const struct fragment *item = &fragments->items[i];
        size_t length = item->length < sizeof bytes ? (size_t)item->length : sizeof bytes;
        if (!dicom_read_bytes(dcm, item->offset, bytes, length, err))
            return false;
        if (!looks_like_start(bytes, length, family))
            continue;
        if (starts < fragments->frame_count)
            fragments->first[starts] = i;
        starts++;
    }
    if (starts != fragments->frame_count || fragments->first[0] != 0)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                           "%u frames, but %u fragments that %u images begin in, and no usable offset table",
                           fragments->frame_count, fragments->count, starts);
    return true;
}

bool fragments_find(struct fragments *fragments, struct dicom *dcm, enum codec_family family,
                    uint32_t frame_count, uint32_t limit, struct error *err)
{
    reset(fragments);
    if (!walk(fragments, dcm, limit, err))
        return false;
    if (fragments->count < frame_count)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "%u fragments for %u frames",
                           fragments->count, frame_count);
    fragments->frame_count = frame_count;
    fragments->first = xrealloc_array(NULL, (size_t)frame_count + 1, sizeof fragments->first[0]);
    fragments->first[frame_count] = fragments->count;
    if (frame_count == 1) {
        fragments->first[0] = 0;
        return true;
    }
    if (fragments->count == frame_count) {
        for (uint32_t i = 0; i < frame_count; i++)
            fragments->first[i] = i;
        return true;
    }
    return use_extended_table(fragments, dcm) || use_basic_table(fragments, dcm) ||
           use_starts(fragments, dcm, family, err);
}

uint64_t fragments_frame_length(const struct fragments *fragments, uint32_t frame_index)
{
    uint64_t length = 0;
    for (uint32_t i = fragments->first[frame_index]; i < fragments->first[frame_index + 1]; i++)
        length += fragments->items[i].length;
    return length;
}

bool fragments_read_frame(const struct fragments *fragments, struct dicom *dcm, uint32_t frame_index,
                          uint8_t *out, struct error *err)
{
    for (uint32_t i = fragments->first[frame_index]; i < fragments->first[frame_index + 1]; i++) {
        const struct fragment *item = &fragments->items[i];
        if (!dicom_read_bytes(dcm, item->offset, out, (size_t)item->length, err))
            return false;
        out += item->length;
    }
    return true;
}
