/* The tag walker (PS3.5 Section 7). Nesting is an explicit stack, so that no file can exhaust the real one.
 *
 * It is as lenient as pydicom, whose reading of broken files Niffler's users know: VRs that are none mean
 * that the element is in implicit VR; items may be in implicit VR though the data set is not; a value that
 * the file ends in is kept as far as it goes. Like there, a sequence of defined length is read within its own
 * bytes whatever its items say, and one of undefined length ends where its delimiter stands. */
#include "worker/decoder/dicom/dicom_walk.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/dictionary.h"

#define NO_END UINT64_MAX
#define SEARCH_BYTES ((size_t)16384)
#define META_GROUP 0x0002

struct level {
    bool is_sequence; /* items are expected, else elements */
    bool implicit_vr;
    bool is_signed;     /* PixelRepresentation, inherited */
    struct charset set; /* inherited */
    bool has_set;       /* its own SpecificCharacterSet was met */
    uint32_t depth;     /* of the elements */
    size_t element;     /* of a sequence: its entry in the list; of a data set: its first one */
    uint64_t soft_end;  /* where it ends by its length; NO_END: by a delimiter */
    uint64_t hard_end;  /* no byte beyond belongs to it */
    uint64_t go_on;     /* where the parent goes on; NO_END: where this one ended */
};

struct walk {
    struct dicom *dcm;
    const struct options *options;
    bool big_endian;
    int only_group; /* -1: any */
    uint64_t at;
    struct level *levels;
    size_t level_count, level_max;
};

struct header {
    uint32_t tag;
    char vr[2]; /* NUL: implicit */
    uint32_t length;
    uint32_t bytes;    /* of the header itself */
    bool is_ambiguous; /* the dictionary leaves the VR open: it was chosen */
};

/* ---- what the walk leaves behind ---- */

static bool add_element(struct walk *walk, const struct dicom_element *element, struct error *err)
{
    struct dicom *dcm = walk->dcm;
    if (dcm->element_count >= walk->options->max_attributes)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_ATTRIBUTES,
                           "more than %u data elements (MaxAttributes)", walk->options->max_attributes);
    /* Before the element joins the list: what is listed will be delivered, also after this failure. */
    uint64_t bytes = element->kind == WIRE_VALUE ? dicom_delivered_bytes(element, walk->options) : 0;
    if (bytes > walk->options->max_metadata_bytes - dcm->value_bytes)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_ATTRIBUTES,
                           "more than %llu bytes of attribute values (MaxMetadataBytes)",
                           (unsigned long long)walk->options->max_metadata_bytes);
    dcm->value_bytes += bytes;
    if (dcm->element_count == dcm->element_capacity) {
        dcm->element_capacity = dcm->element_capacity == 0 ? 512 : dcm->element_capacity * 2;
        dcm->elements = xrealloc_array(dcm->elements, dcm->element_capacity, sizeof *dcm->elements);
    }
    dcm->elements[dcm->element_count++] = *element;
    return true;
}

static bool push(struct walk *walk, const struct level *level, struct error *err)
{
    if (walk->level_count == walk->level_max)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_ATTRIBUTES,
                           "sequences are nested more than %u deep (MaxNesting)", walk->options->max_nesting);
    walk->levels[walk->level_count++] = *level;
    return true;
}

static void pop(struct walk *walk)
{
    const struct level *level = &walk->levels[--walk->level_count];
    if (level->go_on != NO_END)
        walk->at = level->go_on;
}

/* ---- reading ---- */

/* `length` bytes at the position, if they lie before `end`. */
static const uint8_t *peek(struct walk *walk, uint64_t at, size_t length, uint64_t end)
{
    if (at > end || length > end - at)
        return NULL;
    return dicom_source_view(&walk->dcm->source, at, length);
}

static bool is_vr_like(const uint8_t *p)
{
    return p[0] >= 'A' && p[0] <= 'Z' && p[1] >= 'A' && p[1] <= 'Z';
}

/* Whether an element could begin at `at`: one with a VR, or a known one in implicit VR that ends in time. */
static bool is_element_at(struct walk *walk, uint64_t at, uint64_t end)
{
    const uint8_t *p = peek(walk, at, 8, end);
    if (p == NULL)
        return false;
    uint32_t tag = (uint32_t)dicom_u16(p, walk->big_endian) << 16 | dicom_u16(p + 2, walk->big_endian);
    return (tag >> 16) >= META_GROUP &&
           (dicom_is_known_vr(p + 4) ||
            (dictionary_find(tag) != NULL && dicom_u32(p + 4, walk->big_endian) <= end - at - 8));
}

/* An element of the meta header whose VR is none that exists. The meta header is in explicit VR (PS3.10 7.1),
 * so either a writer left the VR out, or it was damaged: of the lengths that may then stand there that one
 * counts behind which another element begins. False: none does. */
static bool mend_meta_header(struct walk *walk, const struct level *level, struct header *header)
{
    const uint8_t *p = peek(walk, walk->at, 8, level->hard_end), *more;
    const struct header implicit = {.tag = header->tag, .length = dicom_u32(p + 4, false), .bytes = 8};
    struct header damaged[2] = {{header->tag, "UN", dicom_u16(p + 6, false), 8, false},
                                {header->tag, "UN", 0, 12, false}};
    if (is_element_at(walk, walk->at + 8 + implicit.length, level->hard_end)) {
        *header = implicit;
        return true;
    }
    if ((more = peek(walk, walk->at + 8, 4, level->hard_end)) != NULL)
        damaged[1].length = dicom_u32(more, false);
    for (size_t i = 0; i < 2; i++) {
        if (is_element_at(walk, walk->at + damaged[i].bytes + damaged[i].length, level->hard_end)) {
            *header = damaged[i];
            return true;
        }
    }
    return false;
}

static bool read_header(struct walk *walk, const struct level *level, struct header *header)
{
    const uint8_t *p = peek(walk, walk->at, 8, level->hard_end);
    if (p == NULL)
        return false;
    *header = (struct header){.bytes = 8};
    header->tag = (uint32_t)dicom_u16(p, walk->big_endian) << 16 | dicom_u16(p + 2, walk->big_endian);
    if (walk->only_group == META_GROUP && !dicom_is_known_vr(p + 4) && header->tag >> 16 == META_GROUP &&
        !walk->options->compatibility_niffler && mend_meta_header(walk, level, header))
        return true;
    p = peek(walk, walk->at, 8, level->hard_end); /* looking ahead may have moved the window */
    if (level->implicit_vr || !is_vr_like(p + 4)) {
        header->length = dicom_u32(p + 4, walk->big_endian);
        return true;
    }
    memcpy(header->vr, p + 4, 2);
    header->length = dicom_u16(p + 6, walk->big_endian);
    if (dicom_has_long_length(header->vr)) {
        const uint8_t *more = peek(walk, walk->at + 8, 4, level->hard_end);
        if (more == NULL)
            return false;
        header->length = dicom_u32(more, walk->big_endian);
        header->bytes = 12;
    }
    return true;
}

static void set_vr(char vr[2], const char *name)
{
    vr[0] = name[0];
    vr[1] = name[1];
}

/* Curves and overlays have sixteen groups each (PS3.5 7.6), which the dictionary leaves out. */
static bool repeating_vr(uint32_t tag, char vr[2])
{
    static const struct {
        uint16_t group; /* the first */
        char vr[3];
        uint16_t elements[24]; /* 0: no more */
    } table[] = {
        {0x5000,
         "US",
         {0x05, 0x10, 0x103, 0x104, 0x105, 0x110, 0x112, 0x114, 0x2000, 0x2002, 0x2004, 0x2610}},
        {0x5000, "CS", {0x20, 0x1001}},
        {0x5000, "LO", {0x22, 0x2500}},
        {0x5000, "SH", {0x30, 0x40, 0x106}},
        {0x5000, "UL", {0x2006, 0x2008, 0x200a}},
        {0x5000, "LT", {0x200e}},
        {0x5000, "SQ", {0x2600}},
        {0x5000, "OW", {0x200c, 0x3000}},
        {0x6000, "US", {0x10,  0x11,  0x12,   0x51,   0x52,   0x68,   0x69,   0x100,  0x102,  0x200,
                        0x802, 0x804, 0x1100, 0x1101, 0x1102, 0x1103, 0x1200, 0x1201, 0x1202, 0x1203}},
        {0x6000, "IS", {0x15, 0x1301}},
        {0x6000, "LO", {0x22, 0x45, 0x1500}},
        {0x6000, "CS", {0x40, 0x60, 0x63, 0x110, 0x800, 0x1001}},
        {0x6000, "SS", {0x50}},
        {0x6000, "SH", {0x61, 0x62}},
        {0x6000, "AT", {0x66, 0x803}},
        {0x6000, "DS", {0x1302, 0x1303}},
        {0x6000, "LT", {0x4000}},
        {0x6000, "OW", {0x3000}},
    };
    uint32_t group = tag >> 16;
    if ((group & 0xff) > 0x1e || group % 2 != 0)
        return false;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (const uint16_t *element = table[i].elements; table[i].group == (group & 0xff00) && *element != 0;
             element++)
            if (*element == (tag & 0xffff)) {
                set_vr(vr, table[i].vr);
                return true;
            }
    return false;
}

/* The dictionary's VR; false for tags it does not know. */
static bool dictionary_vr(const struct level *level, uint32_t tag, char vr[2])
{
    const struct dictionary_entry *entry = dictionary_find(tag);
    if (entry != NULL) {
        memcpy(vr, entry->vr, 2);
        if (entry->choice == DICTIONARY_US_OR_SS)
            set_vr(vr, level->is_signed ? "SS" : "US");
        else if (entry->choice != DICTIONARY_ONE_VR)
            set_vr(vr, "OW");
        return true;
    }
    uint32_t element = tag & 0xffff;
    bool is_private = (tag >> 16 & 1) != 0;
    if (repeating_vr(tag, vr))
        return true;
    if (element == 0)
        set_vr(vr, "UL"); /* group length */
    else if (is_private && element >= 0x10 && element <= 0xff)
        set_vr(vr, "LO"); /* private creator */
    else
        return false;
    return true;
}

/* The VR that the value is read by: the dictionary's in implicit VR, and where UN stands for a known
 * attribute. */
static void resolve_vr(const struct level *level, struct header *header)
{
    bool is_un = dicom_is_vr(header->vr, "UN");
    header->is_ambiguous = false;
    if (header->vr[0] != '\0' && !is_un)
        return;
    if (is_un && (header->length >= 0xffff || (header->tag >> 16 & 1) != 0))
        return;
    if (!dictionary_vr(level, header->tag, header->vr))
        set_vr(header->vr, "UN");
    const struct dictionary_entry *entry = dictionary_find(header->tag);
    header->is_ambiguous = entry != NULL && entry->choice != DICTIONARY_ONE_VR;
}

/* ---- undefined lengths that are no sequences ---- */

/* Position of the sequence delimiter from `at` on, whatever stands before; NO_END if there is none. */
static uint64_t search_delimiter(struct walk *walk, uint64_t at, uint64_t end)
{
    static const uint8_t little[] = {0xfe, 0xff, 0xdd, 0xe0}, big[] = {0xff, 0xfe, 0xe0, 0xdd};
    const uint8_t *wanted = walk->big_endian ? big : little;
    while (end > at && end - at >= 4) {
        size_t length = end - at < SEARCH_BYTES ? (size_t)(end - at) : SEARCH_BYTES;
        const uint8_t *p = peek(walk, at, length, end);
        if (p == NULL)
            return NO_END;
        const uint8_t *found = memmem(p, length, wanted, 4);
        if (found != NULL)
            return at + (uint64_t)(found - p);
        at += length - 3;
    }
    return NO_END;
}

/* Position of the delimiter behind the fragments of encapsulated pixel data, stepping over them; NO_END where
 * the chain breaks. */
static uint64_t skip_fragments(struct walk *walk, uint64_t at, uint64_t end)
{
    uint8_t p[8];
    /* Past the window: the fragments themselves are not to be read. */
    while (at <= end && end - at >= 8 && dicom_source_copy(&walk->dcm->source, at, p, sizeof p)) {
        uint32_t tag = (uint32_t)dicom_u16(p, walk->big_endian) << 16 | dicom_u16(p + 2, walk->big_endian);
        uint32_t length = dicom_u32(p + 4, walk->big_endian);
        if (tag == TAG_SEQUENCE_END)
            return at;
        if (tag != TAG_ITEM || length > end - at - 8)
            return NO_END;
        at += 8 + (uint64_t)length;
    }
    return NO_END;
}

/* ---- pixel data ---- */

static bool is_pixel_tag(uint32_t tag)
{
    return tag == TAG_PIXEL_DATA || tag == TAG_FLOAT_PIXEL_DATA || tag == TAG_DOUBLE_FLOAT_PIXEL_DATA;
}

/* Pixel data is not delivered as a value; but Niffler has a column for its float kinds. */
static bool is_left_out(const struct walk *walk, uint32_t tag)
{
    return tag == TAG_PIXEL_DATA || !walk->options->compatibility_niffler;
}

static void note_pixels(struct walk *walk, const struct header *header, uint64_t length, bool encapsulated)
{
    struct dicom_pixels *pixels = &walk->dcm->pixels;
    pixels->kind = header->tag == TAG_PIXEL_DATA         ? DICOM_PIXELS_INTEGER
                   : header->tag == TAG_FLOAT_PIXEL_DATA ? DICOM_PIXELS_FLOAT
                                                         : DICOM_PIXELS_DOUBLE;
    pixels->encapsulated = encapsulated;
    memcpy(pixels->vr, header->vr, 2);
    pixels->offset = walk->at + header->bytes;
    pixels->length = length;
    pixels->promised = encapsulated ? length : header->length;
}

/* ---- elements ---- */

static struct dicom_element element_of(const struct level *level, const struct header *header)
{
    struct dicom_element element = {
        .kind = WIRE_VALUE, .set = level->set, .tag = header->tag, .depth = level->depth};
    memcpy(element.vr, header->vr, 2);
    return element;
}

static bool begin_sequence(struct walk *walk, const struct level *level, const struct header *header,
                           struct error *err)
{
    struct dicom_element element = element_of(level, header);
    struct level sequence = *level;
    uint64_t start = walk->at + header->bytes, left = level->hard_end - start;
    element.kind = WIRE_SEQUENCE;
    set_vr(element.vr, "SQ");
    sequence.is_sequence = true;
    sequence.element = walk->dcm->element_count;
    sequence.go_on = sequence.soft_end = NO_END;
    element.flags = header->length == LENGTH_UNDEFINED ? WIRE_VALUE_UNDEFINED : 0;
    if (header->length != LENGTH_UNDEFINED) {
        uint64_t length = header->length < left ? header->length : left;
        walk->dcm->is_cut |= length < header->length;
        sequence.soft_end = sequence.hard_end = sequence.go_on = start + length;
    }
    walk->at = element.offset = start;
    return add_element(walk, &element, err) && push(walk, &sequence, err);
}

static bool undefined_value(struct walk *walk, const struct level *level, struct header *header,
                            struct error *err)
{
    struct dicom_element element = element_of(level, header);
    uint64_t start = walk->at + header->bytes, end = NO_END;
    bool is_pixels = is_pixel_tag(header->tag);
    if (is_pixels)
        end = skip_fragments(walk, start, level->hard_end);
    if (end == NO_END)
        end = search_delimiter(walk, start, level->hard_end);
    bool has_end = end != NO_END;
    /* pydicom loses a value whose delimiter is missing. */
    if (!has_end && walk->options->compatibility_niffler) {
        walk->dcm->is_cut = true;
        walk->at = level->hard_end;
        return true;
    }
    if (!has_end)
        end = level->hard_end;
    walk->dcm->is_cut |= !has_end;
    element.flags = WIRE_VALUE_UNDEFINED | (is_pixels ? WIRE_VALUE_NOT_READ : 0);
    element.offset = start;
    element.length = element.promised = end - start;
    if (is_pixels && level->depth == 0) {
        note_pixels(walk, header, end - start, true);
        walk->dcm->pixels.has_end = has_end;
    }
    walk->at = has_end ? end + 8 : end;
    return add_element(walk, &element, err);
}

static bool undefined_length(struct walk *walk, const struct level *level, struct header *header,
                             struct error *err)
{
    uint64_t start = walk->at + header->bytes;
    if (dicom_is_vr(header->vr, "UN")) /* PS3.5 6.2.2; fragments are no items of a sequence */
        set_vr(header->vr, is_pixel_tag(header->tag) && !walk->options->compatibility_niffler ? "OB" : "SQ");
    if (header->vr[0] == '\0' && !dictionary_vr(level, header->tag, header->vr)) {
        const uint8_t *p = peek(walk, start, 4, level->hard_end);
        bool is_item = p != NULL && dicom_u16(p, walk->big_endian) == 0xfffe &&
                       dicom_u16(p + 2, walk->big_endian) == 0xe000;
        set_vr(header->vr, is_item ? "SQ" : "UN");
    }
    return dicom_is_vr(header->vr, "SQ") ? begin_sequence(walk, level, header, err)
                                         : undefined_value(walk, level, header, err);
}

/* The character set holds for all of the data set, also where it does not stand first. Items that have one
 * of their own are known by its being another one than that they would have inherited. Only once in a data
 * set, so that a file cannot make it go over the list for each of its elements. */
static void set_charset(const struct walk *walk, struct level *level, struct charset set)
{
    for (size_t i = level->element; !level->has_set && i < walk->dcm->element_count; i++) {
        struct charset *before = &walk->dcm->elements[i].set;
        if (before->first == level->set.first && before->has_extensions == level->set.has_extensions)
            *before = set;
    }
    level->set = set;
    level->has_set = true;
}

/* What later elements of the data set depend on. */
static void learn(struct walk *walk, struct level *level, const struct dicom_element *element)
{
    size_t length = element->length < 256 ? (size_t)element->length : 256;
    if (element->tag != TAG_SPECIFIC_CHARACTER_SET && element->tag != TAG_PIXEL_REPRESENTATION)
        return;
    const uint8_t *p = peek(walk, element->offset, length, level->hard_end);
    if (p == NULL)
        return;
    if (element->tag == TAG_SPECIFIC_CHARACTER_SET)
        set_charset(walk, level, charset_parse((const char *)p, length));
    else if (length >= 2)
        level->is_signed = dicom_u16(p, walk->big_endian) == 1;
}

static bool defined_length(struct walk *walk, struct level *level, struct header *header, struct error *err)
{
    resolve_vr(level, header);
    if (dicom_is_vr(header->vr, "SQ"))
        return begin_sequence(walk, level, header, err);
    struct dicom_element element = element_of(level, header);
    uint64_t left = level->hard_end - walk->at - header->bytes;
    element.offset = walk->at + header->bytes;
    element.promised = header->length;
    element.length = header->length < left ? header->length : left;
    walk->dcm->is_cut |= element.length < element.promised;
    element.flags = header->is_ambiguous ? WIRE_VALUE_CHOSEN_VR : 0;
    if (is_pixel_tag(header->tag)) {
        if (is_left_out(walk, header->tag))
            element.flags |= WIRE_VALUE_NOT_READ;
        if (level->depth == 0)
            note_pixels(walk, header, element.length, false);
    }
    learn(walk, level, &element);
    element.set = level->set;
    walk->at = element.offset + element.length;
    return add_element(walk, &element, err);
}

static bool step_data_set(struct walk *walk, struct error *err)
{
    struct level *level = &walk->levels[walk->level_count - 1];
    struct header header;
    if (walk->at >= level->soft_end || !read_header(walk, level, &header)) {
        walk->dcm->is_cut |=
            walk->at < level->soft_end && (level->soft_end != NO_END || walk->at < level->hard_end);
        pop(walk);
        return true;
    }
    if (walk->only_group >= 0 && walk->level_count == 1 && (int)(header.tag >> 16) != walk->only_group) {
        pop(walk);
        return true;
    }
    if (header.tag == TAG_ITEM_END) {
        walk->at += 8;
        /* A stray one at the top makes an end of the data set for pydicom; what is no delimiter, but has its
         * tag, for everybody. */
        bool is_stray = walk->level_count == 1 && !walk->options->compatibility_niffler;
        if (!is_stray || header.length != 0)
            pop(walk);
        walk->dcm->is_cut |= is_stray && header.length != 0;
        return true;
    }
    if (header.tag == TAG_SEQUENCE_END || header.tag == TAG_ITEM) {
        /* Inside an item its own delimiter was forgotten; at the top it is a stray one. */
        if (walk->level_count > 1)
            pop(walk);
        else
            walk->at += 8;
        return true;
    }
    return header.length == LENGTH_UNDEFINED ? undefined_length(walk, level, &header, err)
                                             : defined_length(walk, level, &header, err);
}

/* Items may be in implicit VR though the data set around them is not: seen by what stands where the VR
 * should. */
static bool item_is_implicit(struct walk *walk, const struct level *level)
{
    const uint8_t *p = peek(walk, walk->at, 6, level->hard_end);
    return level->implicit_vr || (p != NULL && !is_vr_like(p + 4));
}

/* pydicom drops a sequence of defined length whose items do not fill it. */
static void end_broken_sequence(struct walk *walk)
{
    const struct level *level = &walk->levels[walk->level_count - 1];
    walk->dcm->is_cut = true;
    if (walk->options->compatibility_niffler && level->go_on != NO_END)
        walk->dcm->element_count = level->element;
    pop(walk);
}

static bool step_sequence(struct walk *walk, struct error *err)
{
    struct level *level = &walk->levels[walk->level_count - 1];
    if (walk->at >= level->soft_end) {
        pop(walk);
        return true;
    }
    const uint8_t *p = peek(walk, walk->at, 8, level->hard_end);
    if (p == NULL) {
        end_broken_sequence(walk);
        return true;
    }
    uint32_t tag = (uint32_t)dicom_u16(p, walk->big_endian) << 16 | dicom_u16(p + 2, walk->big_endian);
    uint32_t length = dicom_u32(p + 4, walk->big_endian);
    walk->at += 8;
    if (tag == TAG_SEQUENCE_END) {
        /* It counts more than a length that says that the sequence goes on. */
        if (!walk->options->compatibility_niffler)
            level->go_on = NO_END;
        pop(walk);
        return true;
    }
    struct dicom_element *sequence = &walk->dcm->elements[level->element];
    if (sequence->items >= walk->options->max_items)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_ATTRIBUTES,
                           "more than %u items in a sequence (MaxItems)", walk->options->max_items);
    struct dicom_element item = *sequence;
    struct level data_set = *level;
    sequence->items++;
    item.kind = WIRE_ITEM;
    item.items = 0;
    data_set.is_sequence = data_set.has_set = false;
    data_set.element = walk->dcm->element_count + 1; /* behind the item */
    data_set.depth = level->depth + 1;
    data_set.go_on = NO_END;
    data_set.soft_end = length == LENGTH_UNDEFINED ? NO_END : walk->at + length;
    data_set.implicit_vr = item_is_implicit(walk, level);
    return add_element(walk, &item, err) && push(walk, &data_set, err);
}

/* The character set of what was read of the data set before: where dicom_mend() goes on. */
static struct charset known_charset(const struct dicom *dcm)
{
    size_t count = dcm->element_count;
    while (count > 0 && dcm->elements[count - 1].depth > 0)
        count--;
    return count > 0 ? dcm->elements[count - 1].set : (struct charset){0, false};
}

static bool run(struct walk *walk, struct dicom_encoding encoding, struct error *err)
{
    bool ok = true;
    /* A sequence and its item take a level each. */
    walk->level_max = 1 + 2 * (size_t)walk->options->max_nesting;
    walk->levels = xcalloc(walk->level_max, sizeof *walk->levels);
    walk->big_endian = encoding.big_endian;
    walk->levels[0] = (struct level){.implicit_vr = encoding.implicit_vr,
                                     .set = known_charset(walk->dcm),
                                     .has_set = dicom_has(walk->dcm, TAG_SPECIFIC_CHARACTER_SET),
                                     .soft_end = NO_END,
                                     .hard_end = walk->dcm->source.size,
                                     .go_on = NO_END};
    walk->level_count = 1;
    while (ok && walk->level_count > 0)
        ok = walk->levels[walk->level_count - 1].is_sequence ? step_sequence(walk, err)
                                                             : step_data_set(walk, err);
    free(walk->levels);
    return ok;
}

bool dicom_walk(struct dicom *dcm, uint64_t *position, struct dicom_encoding encoding,
                const struct options *options, struct error *err)
{
    struct walk walk = {.dcm = dcm, .options = options, .only_group = -1, .at = *position};
    bool ok = run(&walk, encoding, err);
    *position = walk.at;
    return ok;
}

bool dicom_walk_group(struct dicom *dcm, uint64_t *position, uint16_t group, struct dicom_encoding encoding,
                      const struct options *options, struct error *err)
{
    struct walk walk = {.dcm = dcm, .options = options, .only_group = group, .at = *position};
    bool ok = run(&walk, encoding, err);
    *position = walk.at;
    return ok;
}
