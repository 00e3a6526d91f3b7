#include "worker/decoder/image/fragments.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define ITEM_HEADER_BYTES 8u
#define ITEM_TAG 0xFFFEE000u
#define ITEM_END_TAG 0xFFFEE0DDu
#define BLOCK_BYTES 16384u /* read at once in search of an image inside a fragment */
#define OVERLAP_BYTES 16u  /* so that no start is missed between two blocks */
#define PADDING_MOST 3u    /* zeros between two images in one fragment */

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
    struct fragment *items = fragments->items;
    uint32_t capacity = fragments->capacity;
    free(fragments->first);
    *fragments = (struct fragments){.items = items, .capacity = capacity};
}

static bool add(struct fragments *fragments, uint64_t offset, uint64_t length, uint32_t limit,
                struct error *err)
{
    if (fragments->count >= limit)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_PIXELS, "more than %u fragments (MaxFrames)",
                           limit);
    if (fragments->count == fragments->capacity) {
        fragments->capacity = fragments->capacity > 0 ? fragments->capacity * 2 : 16;
        fragments->items = xrealloc_array(fragments->items, fragments->capacity, sizeof fragments->items[0]);
    }
    fragments->items[fragments->count++] = (struct fragment){offset, length};
    fragments->filled += length > 0;
    return true;
}

/* ---- the items -------------------------------------------------------------------------------- */

struct item {
    uint32_t tag;
    uint64_t length;
};

static bool read_item(struct dicom *dcm, uint64_t at, struct item *item, struct error *err)
{
    uint8_t header[ITEM_HEADER_BYTES];
    if (!dicom_read_bytes(dcm, at, header, sizeof header, err))
        return false;
    item->tag = (u32_little(header) & 0xFFFFu) << 16 | u32_little(header) >> 16;
    item->length = u32_little(header + 4);
    return true;
}

/* Step through the items. Encapsulated pixel data is always explicit little endian. Whatever is no item ends
 * the walk: the delimiter, and as well the rubbish that some writers leave in its place. */
static bool walk(struct fragments *fragments, struct dicom *dcm, uint32_t limit, struct error *err)
{
    const struct dicom_pixels *pixels = dicom_pixels(dcm);
    uint64_t at = pixels->offset, end = pixels->offset + pixels->length;
    bool is_table = true, is_odd = false;
    fragments->has_end = pixels->has_end;
    while (end - at >= ITEM_HEADER_BYTES) {
        struct item item;
        if (!read_item(dcm, at, &item, err))
            return false;
        /* Some count an odd length without its padding byte (PS3.5 A.4 wants it even). */
        if (item.tag != ITEM_TAG && item.tag != ITEM_END_TAG && is_odd && end - at > ITEM_HEADER_BYTES) {
            at++;
            if (!read_item(dcm, at, &item, err))
                return false;
        }
        if (item.tag != ITEM_TAG)
            break;
        at += ITEM_HEADER_BYTES;
        /* A last fragment that is cut stays: its codec knows whether what is there suffices. */
        uint64_t there = item.length < end - at ? item.length : end - at;
        if (is_table) {
            fragments->table_offset = at;
            fragments->table_length = there;
            fragments->base = at + there;
            is_table = false;
        } else if (!add(fragments, at, there, limit, err)) {
            return false;
        }
        at += there;
        is_odd = there % 2 != 0;
    }
    return true;
}

/* ---- the tables ------------------------------------------------------------------------------- */

/* Room for the first fragments of as many frames as there can be. */
static void reserve_first(struct fragments *fragments)
{
    uint32_t most = fragments->count < fragments->frame_count ? fragments->count : fragments->frame_count;
    fragments->first = xrealloc_array(fragments->first, (size_t)most + 1, sizeof fragments->first[0]);
}

/* The first `frames` frames have got their first fragments. */
static bool settle(struct fragments *fragments, uint32_t frames)
{
    fragments->frames_there = frames;
    fragments->first[frames] = fragments->count;
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

/* Whether an entry points behind the last fragment of pixel data that ends early. */
static bool is_beyond(const struct fragments *fragments, uint64_t offset)
{
    const struct fragment *last = &fragments->items[fragments->count - 1];
    return !fragments->has_end && offset >= last->offset + last->length - fragments->base;
}

/* Take a table of offsets of `size` bytes each. False: it is no use, and nothing is lost by trying the next.
 */
static bool use_table(struct fragments *fragments, const uint8_t *table, size_t size, bool is_strict)
{
    uint64_t shift = size == 8 ? u64_little(table) : u32_little(table), previous = 0;
    if (shift != 0 && is_strict)
        return false;
    for (uint32_t frame = 0; frame < fragments->frame_count; frame++) {
        const uint8_t *entry = table + (size_t)frame * size;
        uint64_t offset = size == 8 ? u64_little(entry) : u32_little(entry);
        if (offset < shift)
            return false;
        offset -= shift;
        uint32_t index = fragment_at(fragments, offset);
        if (index == fragments->count && frame > 0 && offset > previous && is_beyond(fragments, offset))
            return settle(fragments, frame);
        if (index == fragments->count || (frame > 0 && offset <= previous))
            return false;
        fragments->first[frame] = index;
        previous = offset;
    }
    return settle(fragments, fragments->frame_count);
}

static bool use_extended_table(struct fragments *fragments, struct dicom *dcm, bool is_strict)
{
    size_t length = 0;
    char vr[2];
    const uint8_t *table = dicom_find_bytes(dcm, TAG_EXTENDED_OFFSETS, &length, vr);
    return table != NULL && length / 8 == fragments->frame_count && use_table(fragments, table, 8, is_strict);
}

static bool use_basic_table(struct fragments *fragments, struct dicom *dcm, bool is_strict)
{
    struct error ignored;
    void *table = NULL;
    bool used = false;
    size_t size = (size_t)fragments->frame_count * 4;
    if (fragments->table_length / 4 != fragments->frame_count)
        return false;
    if (alloc_pixels(&table, size, 1, 0, &ignored) &&
        dicom_read_bytes(dcm, fragments->table_offset, table, size, &ignored))
        used = use_table(fragments, table, 4, is_strict);
    free(table);
    return used;
}

/* ---- what the fragments hold ------------------------------------------------------------------ */

/* How an image begins; false for those that have no mark of their own. */
static bool start_marker(enum codec_family family, const uint8_t **marker, size_t *size)
{
    switch (family) {
    case CODEC_DCMTK:
    case CODEC_JPEGLS:
        *marker = (const uint8_t *)"\xFF\xD8\xFF";
        *size = 3;
        return true;
    case CODEC_JPEG2000:
        *marker = (const uint8_t *)"\xFF\x4F\xFF\x51";
        *size = 4;
        return true;
    case CODEC_NATIVE:
    case CODEC_DEFLATE:
    case CODEC_RLE:
    case CODEC_JPEGXL:
    case CODEC_NOT_DECODED:
    case CODEC_NOT_KNOWN:
        break;
    }
    return false;
}

bool fragments_look_like(const uint8_t *bytes, size_t length, enum codec_family family)
{
    static const uint8_t jp2[] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};
    static const uint8_t jxl[] = {0, 0, 0, 12, 'J', 'X', 'L', ' '};
    const uint8_t *marker;
    size_t size;
    if (start_marker(family, &marker, &size) && length >= size && memcmp(bytes, marker, size) == 0)
        return true;
    if (family == CODEC_JPEG2000)
        return length >= sizeof jp2 && memcmp(bytes, jp2, sizeof jp2) == 0;
    if (family == CODEC_JPEGXL)
        return (length >= 2 && memcmp(bytes, "\xFF\x0A", 2) == 0) ||
               (length >= sizeof jxl && memcmp(bytes, jxl, sizeof jxl) == 0);
    return family == CODEC_RLE && length >= 8 && bytes[0] >= 1 && u32_little(bytes) <= 15 &&
           u32_little(bytes + 4) == 64;
}

/* Note the fragments that an image begins in; *starts may come to be more than there are frames. */
static bool mark_starts(struct fragments *fragments, struct dicom *dcm, enum codec_family family,
                        uint32_t *starts, struct error *err)
{
    *starts = 0;
    for (uint32_t i = 0; i < fragments->count; i++) {
        uint8_t bytes[FRAGMENTS_START_BYTES];
        const struct fragment *item = &fragments->items[i];
        size_t length = item->length < sizeof bytes ? (size_t)item->length : sizeof bytes;
        if (!dicom_read_bytes(dcm, item->offset, bytes, length, err))
            return false;
        if (!fragments_look_like(bytes, length, family))
            continue;
        if (*starts < fragments->frame_count)
            fragments->first[*starts] = i;
        ++*starts;
    }
    return true;
}

/* Whether an end-of-image marker stands before place `at`, with padding between. JPEG, JPEG-LS and JPEG 2000
 * share the marker, and none has it inside its data. */
static bool is_behind_end(const uint8_t *block, size_t at)
{
    size_t least = at > PADDING_MOST ? at - PADDING_MOST : 0;
    while (at > least && block[at - 1] == 0)
        at--;
    return at >= 2 && block[at - 2] == 0xFF && block[at - 1] == 0xD9;
}

/* Where the next image in [from, end) begins, or `end`. */
static bool find_next_image(struct dicom *dcm, uint64_t from, uint64_t end, enum codec_family family,
                            uint64_t *found, struct error *err)
{
    uint8_t block[BLOCK_BYTES];
    const uint8_t *marker;
    size_t size;
    *found = end;
    if (!start_marker(family, &marker, &size))
        return true;
    for (uint64_t at = from; end - at > size; at += sizeof block - OVERLAP_BYTES) {
        size_t length = end - at < sizeof block ? (size_t)(end - at) : sizeof block;
        if (!dicom_read_bytes(dcm, at, block, length, err))
            return false;
        for (const uint8_t *place = block;
             (place = memmem(place, (size_t)(block + length - place), marker, size)) != NULL; place++) {
            if (is_behind_end(block, (size_t)(place - block))) {
                *found = at + (uint64_t)(place - block);
                return true;
            }
        }
        if (length < sizeof block)
            break;
    }
    return true;
}

/* Make a fragment of each image in one. */
static bool take_apart(struct fragments *fragments, struct dicom *dcm, const struct fragments_wanted *wanted,
                       struct error *err)
{
    struct fragment *whole = fragments->items;
    uint32_t count = fragments->count;
    bool ok = false;
    fragments->items = NULL;
    fragments->count = fragments->capacity = fragments->filled = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t from = whole[i].offset, end = from + whole[i].length, next;
        do {
            if (!find_next_image(dcm, from, end, wanted->family, &next, err) ||
                !add(fragments, from, next - from, wanted->limit, err))
                goto out;
            from = next;
        } while (from < end);
    }
    reserve_first(fragments);
    ok = true;
out:
    free(whole);
    return ok;
}

/* One fragment for each frame; of those that are not empty where that is enough. */
static bool use_one_each(struct fragments *fragments, uint32_t frames)
{
    bool skip_empty = fragments->filled >= frames;
    uint32_t given = 0;
    for (uint32_t i = 0; i < fragments->count && given < frames; i++)
        if (!skip_empty || fragments->items[i].length > 0)
            fragments->first[given++] = i;
    return settle(fragments, given);
}

static bool cannot_tell(const struct fragments *fragments, uint32_t starts, struct error *err)
{
    return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                       "%u frames, but %u fragments that %u images begin in, and no usable offset table",
                       fragments->frame_count, fragments->count, starts);
}

/* Frames without compression, by their length. */
static bool use_lengths(struct fragments *fragments, uint64_t frame_bytes, struct error *err)
{
    uint32_t frames = 0;
    uint64_t length = frame_bytes;
    for (uint32_t i = 0; i < fragments->count && frame_bytes > 0; i++) {
        if (length >= frame_bytes) {
            if (frames == fragments->frame_count)
                return cannot_tell(fragments, frames, err);
            fragments->first[frames++] = i;
            length = 0;
        }
        length += fragments->items[i].length;
    }
    if (frames == 0 || (frames < fragments->frame_count && fragments->has_end))
        return cannot_tell(fragments, frames, err);
    return settle(fragments, frames);
}

static bool use_contents(struct fragments *fragments, struct dicom *dcm,
                         const struct fragments_wanted *wanted, struct error *err)
{
    uint32_t starts;
    if (!mark_starts(fragments, dcm, wanted->family, &starts, err))
        return false;
    if (starts > 0 && starts < fragments->frame_count && !wanted->is_strict &&
        (!take_apart(fragments, dcm, wanted, err) ||
         !mark_starts(fragments, dcm, wanted->family, &starts, err)))
        return false;
    bool begins_well = starts > 0 && fragments->first[0] == 0;
    if (begins_well && starts == fragments->frame_count)
        return settle(fragments, starts);
    /* The end is missing. Frames have a fragment each where they have no mark. */
    if (fragments->filled < fragments->frame_count)
        return begins_well && wanted->family != CODEC_RLE ? settle(fragments, starts)
                                                          : use_one_each(fragments, fragments->filled);
    if (begins_well && starts < fragments->frame_count && !fragments->has_end)
        return settle(fragments, starts);
    return wanted->family == CODEC_NATIVE && !wanted->is_strict
               ? use_lengths(fragments, wanted->frame_bytes, err)
               : cannot_tell(fragments, starts, err);
}

bool fragments_find(struct fragments *fragments, struct dicom *dcm, const struct fragments_wanted *wanted,
                    struct error *err)
{
    reset(fragments);
    if (!walk(fragments, dcm, wanted->limit, err))
        return false;
    if (fragments->filled == 0)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "no fragment holds a byte");
    fragments->frame_count = wanted->frame_count;
    reserve_first(fragments);
    if (fragments->frame_count == 1) {
        fragments->first[0] = 0;
        return settle(fragments, 1);
    }
    if (fragments->filled == fragments->frame_count || fragments->count == fragments->frame_count)
        return use_one_each(fragments, fragments->frame_count);
    return use_extended_table(fragments, dcm, wanted->is_strict) ||
           use_basic_table(fragments, dcm, wanted->is_strict) || use_contents(fragments, dcm, wanted, err);
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
