/* The walker's side of the twin: dicom_append_elements() for what is delivered, and the list of the walk
 * beside it for places and character sets. */
#include "tests/differential/walker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/alloc.h"
#include "worker/decoder/dicom/dicom_walk.h"
#include "worker/decoder/image/fragments.h"

struct walker {
    struct dicom *dcm;
    int descriptor;
    const uint8_t *bytes;
    size_t length;
    struct fragments fragments;
    struct buffer wire;
};

static const struct options no_limits = {.max_value_bytes = 0,
                                         .max_pixels = 1u << 28,
                                         .max_frames = 1u << 20,
                                         .max_attributes = LISTING_ENTRIES_MAX,
                                         .max_nesting = 128,
                                         .max_items = 100000,
                                         .max_metadata_bytes = LISTING_HEAP_BYTES};

struct walker *walker_new(void)
{
    struct walker *walker = xcalloc(1, sizeof *walker);
    walker->dcm = dicom_new();
    walker->descriptor = memfd_create("differential", MFD_CLOEXEC);
    return walker;
}

void walker_free(struct walker *walker)
{
    if (walker == NULL)
        return;
    dicom_free(walker->dcm);
    fragments_clear(&walker->fragments);
    buffer_clear(&walker->wire);
    (void)close(walker->descriptor);
    free(walker);
}

const uint8_t *walker_source(const struct walker *walker, uint64_t *size)
{
    bool is_inflated = walker->dcm->inflated != NULL;
    *size = is_inflated ? walker->dcm->source.size : walker->length;
    return is_inflated ? walker->dcm->inflated : walker->bytes;
}

void walker_convert(const struct walker *walker, const struct listed *ours, const uint8_t *text,
                    uint64_t length, struct buffer *out)
{
    const struct charset set = {(uint8_t)(ours->charset & 0xff), ours->charset >> 8 != 0};
    if (dicom_vr_in(ours->vr, "LOLTPNSHSTUCUT"))
        (void)charset_append(walker->dcm->tables, set, dicom_is_vr(ours->vr, "PN"), text, (size_t)length,
                             out);
    else
        charset_append_latin1(text, (size_t)length, out);
}

static bool fill_file(const struct walker *walker, const uint8_t *bytes, size_t length)
{
    if (ftruncate(walker->descriptor, 0) != 0)
        return false;
    for (size_t done = 0; done < length;) {
        ssize_t count = pwrite(walker->descriptor, bytes + done, length - done, (off_t)done);
        if (count <= 0)
            return false;
        done += (size_t)count;
    }
    return true;
}

/* The place of the header of a value: its tag stands 8 or 12 bytes before. */
static uint64_t header_of(const struct walker *walker, const struct dicom_element *element)
{
    uint64_t size;
    const uint8_t *source = walker_source(walker, &size);
    bool big = walker->dcm->syntax.big_endian;
    if (element->kind == WIRE_ITEM || element->offset < 8 || element->offset > size)
        return 0;
    const uint8_t *p = source + element->offset - 8;
    uint32_t tag = (uint32_t)dicom_u16(p, big) << 16 | dicom_u16(p + 2, big);
    return element->offset - (tag == element->tag || element->offset < 12 ? 8 : 12);
}

/* The first bytes of a fragment's stream are read from the file: the digest is of what a codec would get. */
static void add_fragment(struct walker *walker, struct listing *out, uint64_t offset, uint64_t length)
{
    struct listed *entry = listing_add(out, LISTED_FRAGMENT, TAG_PIXEL_DATA, 0);
    struct error err;
    void *bytes = xmalloc(length > 0 ? (size_t)length : 1);
    entry->promised = length;
    entry->header = offset - 8;
    if (dicom_read_bytes(walker->dcm, offset, bytes, (size_t)length, &err))
        entry->digest = listing_digest(bytes, length);
    free(bytes);
}

static void list_fragments(struct walker *walker, struct listing *out)
{
    uint32_t frames = 1;
    struct error err;
    if (!dicom_find_u32(walker->dcm, DICOM_TAG(0x0028, 0x0008), 0, &frames) || frames < 1)
        frames = 1;
    const struct fragments_wanted wanted = {.family = codec_family(dicom_syntax(walker->dcm)->uid, NULL),
                                            .frame_count = frames,
                                            .limit = 1u << 16,
                                            .is_strict = true};
    bool ok = fragments_find(&walker->fragments, walker->dcm, &wanted, &err);
    const struct fragments *found = &walker->fragments;
    const struct dicom_pixels *pixels = dicom_pixels(walker->dcm);
    if (pixels->length >= 8)
        add_fragment(walker, out, found->table_offset > 0 ? found->table_offset : pixels->offset + 8,
                     found->table_length);
    for (uint32_t i = 0; i < found->count; i++)
        add_fragment(walker, out, found->items[i].offset, found->items[i].length);
    for (uint32_t i = 0; ok && i < found->frames_there && i < LISTING_FRAMES_MAX; i++)
        out->frame_start[out->frames++] = found->first[i] + 1;
}

static void list_bulk(struct walker *walker, const struct dicom_element *element, struct listed *entry)
{
    struct error err;
    void *bytes = xmalloc(element->length > 0 ? (size_t)element->length : 1);
    size_t unit = dicom_vr_in(element->vr, "USSSOWAT")     ? 2
                  : dicom_vr_in(element->vr, "ULSLFLOLOF") ? 4
                  : dicom_vr_in(element->vr, "FDODSVUVOV") ? 8
                                                           : 1;
    if (!walker->dcm->syntax.big_endian)
        unit = 1;
    entry->is_bulk = true;
    if (dicom_read_bytes(walker->dcm, element->offset, bytes, (size_t)element->length, &err)) {
        uint8_t *at = bytes;
        for (size_t i = 0; i + unit <= element->length; i += unit)
            for (size_t k = 0; k < unit / 2; k++) {
                uint8_t first = at[i + k];
                at[i + k] = at[i + unit - 1 - k];
                at[i + unit - 1 - k] = first;
            }
        entry->digest = listing_digest(bytes, element->length);
    }
    free(bytes);
}

static void list_value(struct walker *walker, struct listing *out, const struct dicom_element *element,
                       const struct wire_element *wire, struct listed *entry)
{
    const struct dicom_pixels *pixels = dicom_pixels(walker->dcm);
    entry->promised = element->promised;
    entry->is_chosen = (element->flags & WIRE_VALUE_CHOSEN_VR) != 0;
    entry->charset = element->set.first | (uint32_t)element->set.has_extensions << 8;
    uint8_t *room = listing_room(out, wire->length, &entry->value);
    if (room != NULL && wire->length > 0)
        memcpy(room, wire->bytes, wire->length);
    entry->has_text = (wire->flags & WIRE_VALUE_MARKED) == 0;
    if ((element->flags & WIRE_VALUE_NOT_READ) == 0)
        return;
    if (!entry->is_undefined) {
        list_bulk(walker, element, entry);
        return;
    }
    entry->is_bulk = true;
    if (element->depth > 0 || element->tag != TAG_PIXEL_DATA || element->offset != pixels->offset)
        return;
    entry->kind = LISTED_FRAGMENTS;
    list_fragments(walker, out);
}

/* Elements of the walk that are not delivered: group lengths, and all that is in them. */
static bool is_hidden(const struct dicom_element *element, uint32_t *hidden_depth)
{
    if (element->depth > *hidden_depth || (element->depth == *hidden_depth && element->kind == WIRE_ITEM))
        return true;
    bool hides = (element->tag & 0xffff) == 0 && (element->tag >> 16) != 0;
    *hidden_depth = hides ? element->depth : UINT32_MAX;
    return hides;
}

static bool list_elements(struct walker *walker, struct listing *out)
{
    static const enum listed_kind kinds[] = {
        [WIRE_VALUE] = LISTED_VALUE, [WIRE_SEQUENCE] = LISTED_SEQUENCE, [WIRE_ITEM] = LISTED_ITEM};
    const uint8_t *bytes = (const uint8_t *)walker->wire.data;
    uint32_t hidden_depth = UINT32_MAX;
    size_t at = 0;
    struct wire_element wire;
    for (size_t i = 0; i < walker->dcm->element_count; i++) {
        const struct dicom_element *element = &walker->dcm->elements[i];
        if (is_hidden(element, &hidden_depth))
            continue;
        if (at >= walker->wire.length || !wire_next_element(bytes, walker->wire.length, &at, &wire) ||
            wire.tag != element->tag || wire.kind != element->kind || wire.depth != element->depth)
            return false;
        struct listed *entry = listing_add(out, kinds[wire.kind], wire.tag, wire.depth);
        memcpy(entry->vr, wire.vr, 2);
        entry->is_undefined = (element->flags & WIRE_VALUE_UNDEFINED) != 0;
        entry->header = header_of(walker, element);
        if (wire.kind == WIRE_VALUE)
            list_value(walker, out, element, &wire, entry);
    }
    return at == walker->wire.length;
}

bool walker_list(struct walker *walker, const uint8_t *bytes, size_t length, struct listing *out)
{
    struct error err = {0};
    listing_begin(out);
    walker->bytes = bytes;
    walker->length = length;
    if (!fill_file(walker, bytes, length))
        return false;
    out->is_read = dicom_read(walker->dcm, walker->descriptor, &no_limits, &err);
    out->is_cut = dicom_is_cut(walker->dcm);
    out->is_mended = dicom_is_mended(walker->dcm);
    out->is_implicit = dicom_syntax(walker->dcm)->implicit_vr;
    out->is_big_endian = dicom_syntax(walker->dcm)->big_endian;
    if (!out->is_read)
        memcpy(out->reason, err.code, strlen(err.code) + 1);
    memcpy(out->syntax, dicom_syntax(walker->dcm)->uid, sizeof out->syntax);
    buffer_truncate(&walker->wire, 0);
    dicom_append_elements(walker->dcm, &no_limits, &walker->wire);
    return wire_check_elements((const uint8_t *)walker->wire.data, walker->wire.length, &err) &&
           list_elements(walker, out);
}
