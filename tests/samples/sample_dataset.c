/* sample_dataset.c: a tree in memory rather than a stream of bytes, because a data set must be written in the
 * order of its tags, and because one image is written in several transfer syntaxes. */
#include "tests/samples/sample_dataset.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define LENGTH_UNDEFINED 0xFFFFFFFFu
#define TAG_ITEM TAG(0xFFFE, 0xE000)
#define TAG_ITEM_END TAG(0xFFFE, 0xE00D)
#define TAG_SEQUENCE_END TAG(0xFFFE, 0xE0DD)

struct element {
    uint32_t tag;
    char vr[3];
    bool is_undefined;   /* sequence, or encapsulated pixel data */
    struct buffer value; /* little endian; of a sequence empty */
    struct dataset **items;
    size_t item_count;
};

struct dataset {
    struct element *elements; /* by tag */
    size_t count;
    bool is_undefined;
};

struct dataset *dataset_new(void)
{
    return xcalloc(1, sizeof(struct dataset));
}

static void clear_element(struct element *element)
{
    buffer_clear(&element->value);
    for (size_t i = 0; i < element->item_count; i++)
        dataset_free(element->items[i]);
    free(element->items);
    element->items = NULL;
    element->item_count = 0;
}

void dataset_free(struct dataset *ds)
{
    if (ds == NULL)
        return;
    for (size_t i = 0; i < ds->count; i++)
        clear_element(&ds->elements[i]);
    free(ds->elements);
    free(ds);
}

/* Where the tag is, or where it belongs. A few hundred elements at most: a search from the end is quick
 * enough. */
static size_t place_of(const struct dataset *ds, uint32_t tag)
{
    size_t place = ds->count;
    while (place > 0 && ds->elements[place - 1].tag >= tag)
        place--;
    return place;
}

static struct element *find(const struct dataset *ds, uint32_t tag)
{
    size_t place = place_of(ds, tag);
    return place < ds->count && ds->elements[place].tag == tag ? &ds->elements[place] : NULL;
}

/* The element of this tag, made when it is absent, its value empty. */
static struct element *put(struct dataset *ds, uint32_t tag, const char *vr)
{
    assert(strlen(vr) == 2);
    struct element *element = find(ds, tag);
    if (element != NULL) {
        clear_element(element);
    } else {
        size_t place = place_of(ds, tag);
        ds->elements = xrealloc_array(ds->elements, ds->count + 1, sizeof(*ds->elements));
        memmove(&ds->elements[place + 1], &ds->elements[place], (ds->count - place) * sizeof(*ds->elements));
        ds->count++;
        element = &ds->elements[place];
        memset(element, 0, sizeof(*element));
    }
    element->tag = tag;
    memcpy(element->vr, vr, 3);
    return element;
}

static void append_little(struct buffer *out, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        buffer_append_char(out, (char)(unsigned char)(value >> (8 * i)));
}

static void pad(struct element *element, char with)
{
    if (element->value.length % 2 != 0)
        buffer_append_char(&element->value, with);
}

void dataset_put_unpadded(struct dataset *ds, uint32_t tag, const char *vr, const char *text)
{
    buffer_append_text(&put(ds, tag, vr)->value, text);
}

void dataset_put_text(struct dataset *ds, uint32_t tag, const char *vr, const char *text)
{
    struct element *element = put(ds, tag, vr);
    buffer_append_text(&element->value, text);
    pad(element, strcmp(vr, "UI") == 0 ? '\0' : ' ');
}

void dataset_put_format(struct dataset *ds, uint32_t tag, const char *vr, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    size_t length = (size_t)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length >= sizeof(text))
        abort();
    dataset_put_text(ds, tag, vr, text);
}

void dataset_put_bytes(struct dataset *ds, uint32_t tag, const char *vr, const void *bytes, size_t length)
{
    struct element *element = put(ds, tag, vr);
    buffer_append(&element->value, bytes, length);
    pad(element, '\0');
}

static void put_number(struct dataset *ds, uint32_t tag, const char *vr, uint64_t value, size_t size)
{
    append_little(&put(ds, tag, vr)->value, value, size);
}

void dataset_put_u16(struct dataset *ds, uint32_t tag, uint16_t value)
{
    put_number(ds, tag, "US", value, 2);
}

void dataset_put_s16(struct dataset *ds, uint32_t tag, int16_t value)
{
    put_number(ds, tag, "SS", (uint16_t)value, 2);
}

void dataset_put_u32(struct dataset *ds, uint32_t tag, uint32_t value)
{
    put_number(ds, tag, "UL", value, 4);
}

void dataset_put_f32(struct dataset *ds, uint32_t tag, float value)
{
    dataset_put_f32s(ds, tag, "FL", &value, 1);
}

void dataset_put_f64(struct dataset *ds, uint32_t tag, double value)
{
    dataset_put_f64s(ds, tag, "FD", &value, 1);
}

void dataset_put_attribute_tag(struct dataset *ds, uint32_t tag, uint32_t value)
{
    uint16_t halves[2] = {(uint16_t)(value >> 16), (uint16_t)value};
    dataset_put_words(ds, tag, "AT", halves, 2);
}

void dataset_put_words(struct dataset *ds, uint32_t tag, const char *vr, const uint16_t *values, size_t count)
{
    struct element *element = put(ds, tag, vr);
    unsigned char *to = (unsigned char *)buffer_reserve(&element->value, count * 2);
    for (size_t i = 0; i < count; i++) {
        to[2 * i] = (unsigned char)values[i];
        to[2 * i + 1] = (unsigned char)(values[i] >> 8);
    }
    element->value.length += count * 2;
}

void dataset_put_longs(struct dataset *ds, uint32_t tag, const char *vr, const uint32_t *values, size_t count)
{
    struct element *element = put(ds, tag, vr);
    for (size_t i = 0; i < count; i++)
        append_little(&element->value, values[i], 4);
}

void dataset_put_f32s(struct dataset *ds, uint32_t tag, const char *vr, const float *values, size_t count)
{
    struct element *element = put(ds, tag, vr);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        append_little(&element->value, bits, 4);
    }
}

void dataset_put_f64s(struct dataset *ds, uint32_t tag, const char *vr, const double *values, size_t count)
{
    struct element *element = put(ds, tag, vr);
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        append_little(&element->value, bits, 8);
    }
}

void dataset_put_sequence(struct dataset *ds, uint32_t tag)
{
    (void)put(ds, tag, "SQ");
}

struct dataset *dataset_add_item(struct dataset *ds, uint32_t tag)
{
    struct element *element = find(ds, tag);
    if (element == NULL)
        element = put(ds, tag, "SQ");
    assert(memcmp(element->vr, "SQ", 2) == 0);
    element->items = xrealloc_array(element->items, element->item_count + 1, sizeof(*element->items));
    struct dataset *item = dataset_new();
    element->items[element->item_count++] = item;
    return item;
}

void dataset_undefined_sequence(struct dataset *ds, uint32_t tag)
{
    struct element *element = find(ds, tag);
    assert(element != NULL);
    element->is_undefined = true;
}

void dataset_undefined_item(struct dataset *item)
{
    item->is_undefined = true;
}

static void append_item_header(struct buffer *out, uint32_t tag, uint32_t length)
{
    append_little(out, tag >> 16, 2);
    append_little(out, tag & 0xFFFF, 2);
    append_little(out, length, 4);
}

void dataset_put_fragments(struct dataset *ds, const struct buffer *frames, size_t count)
{
    struct element *element = put(ds, TAG(0x7FE0, 0x0010), "OB");
    element->is_undefined = true;
    struct buffer *out = &element->value;
    append_item_header(out, TAG_ITEM, (uint32_t)(count * 4));
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        append_little(out, offset, 4);
        offset += 8 + frames[i].length + frames[i].length % 2;
    }
    for (size_t i = 0; i < count; i++) {
        append_item_header(out, TAG_ITEM, (uint32_t)(frames[i].length + frames[i].length % 2));
        buffer_append(out, frames[i].data, frames[i].length);
        pad(element, '\0');
    }
    append_item_header(out, TAG_SEQUENCE_END, 0);
}

size_t dataset_count(const struct dataset *ds)
{
    size_t count = ds->count;
    for (size_t i = 0; i < ds->count; i++)
        for (size_t k = 0; k < ds->elements[i].item_count; k++)
            count += dataset_count(ds->elements[i].items[k]);
    return count;
}

const char *dataset_value(const struct dataset *ds, uint32_t tag, size_t *length)
{
    const struct element *element = find(ds, tag);
    if (element == NULL)
        return NULL;
    *length = element->value.length;
    return element->value.data;
}

/* Bytes of one number of this VR: what is turned round in big endian (PS3.5 Section 7.3). */
static size_t unit_of(const char *vr)
{
    static const struct {
        const char *names;
        size_t unit;
    } units[] = {{"US SS OW AT", 2}, {"UL SL FL OL OF", 4}, {"FD OD UV SV OV", 8}};
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
        if (strstr(units[i].names, vr) != NULL)
            return units[i].unit;
    return 1;
}

static void append_number(struct buffer *out, bool big, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        buffer_append_char(out, (char)(unsigned char)(value >> (8 * (big ? size - 1 - i : i))));
}

static void append_value(struct buffer *out, const struct element *element, bool big)
{
    size_t unit = big ? unit_of(element->vr) : 1;
    if (unit == 1) {
        buffer_append(out, element->value.data, element->value.length);
        return;
    }
    for (size_t at = 0; at + unit <= element->value.length; at += unit)
        for (size_t i = unit; i > 0; i--)
            buffer_append_char(out, element->value.data[at + i - 1]);
}

/* Append tag, VR and a length field of `length`; return where the four length bytes are, for sequences. */
static size_t append_header(struct buffer *out, const struct element *element, enum sample_syntax syntax,
                            uint32_t length)
{
    bool big = syntax == SAMPLE_EXPLICIT_BIG;
    append_number(out, big, element->tag >> 16, 2);
    append_number(out, big, element->tag & 0xFFFF, 2);
    if (syntax != SAMPLE_IMPLICIT_LITTLE) {
        buffer_append(out, element->vr, 2);
        if (strstr("OB OD OF OL OV OW SQ SV UC UN UR UT UV", element->vr) == NULL) {
            assert(length <= 0xFFFF);
            append_number(out, big, length, 2);
            return 0;
        }
        append_number(out, big, 0, 2);
    }
    append_number(out, big, length, 4);
    return out->length - 4;
}

static void patch_length(struct buffer *out, size_t at, bool big)
{
    struct buffer length = {0};
    append_number(&length, big, out->length - at - 4, 4);
    memcpy(out->data + at, length.data, 4);
    buffer_clear(&length);
}

static void append_delimiter(struct buffer *out, bool big, uint32_t tag, uint32_t length)
{
    append_number(out, big, tag >> 16, 2);
    append_number(out, big, tag & 0xFFFF, 2);
    append_number(out, big, length, 4);
}

static void append_sequence(const struct element *element, enum sample_syntax syntax, struct buffer *out)
{
    bool big = syntax == SAMPLE_EXPLICIT_BIG;
    size_t at = append_header(out, element, syntax, element->is_undefined ? LENGTH_UNDEFINED : 0);
    for (size_t i = 0; i < element->item_count; i++) {
        const struct dataset *item = element->items[i];
        append_delimiter(out, big, TAG_ITEM, item->is_undefined ? LENGTH_UNDEFINED : 0);
        size_t item_at = out->length - 4;
        dataset_append(item, syntax, out);
        if (item->is_undefined)
            append_delimiter(out, big, TAG_ITEM_END, 0);
        else
            patch_length(out, item_at, big);
    }
    if (element->is_undefined)
        append_delimiter(out, big, TAG_SEQUENCE_END, 0);
    else
        patch_length(out, at, big);
}

void dataset_append(const struct dataset *ds, enum sample_syntax syntax, struct buffer *out)
{
    for (size_t i = 0; i < ds->count; i++) {
        const struct element *element = &ds->elements[i];
        if (memcmp(element->vr, "SQ", 2) == 0) {
            append_sequence(element, syntax, out);
            continue;
        }
        uint32_t length = element->is_undefined ? LENGTH_UNDEFINED : (uint32_t)element->value.length;
        (void)append_header(out, element, syntax, length);
        append_value(out, element, syntax == SAMPLE_EXPLICIT_BIG);
    }
}

static const char *syntax_uid(enum sample_syntax syntax)
{
    static const char *const uids[] = {
        [SAMPLE_IMPLICIT_LITTLE] = "1.2.840.10008.1.2",
        [SAMPLE_EXPLICIT_LITTLE] = "1.2.840.10008.1.2.1",
        [SAMPLE_EXPLICIT_BIG] = "1.2.840.10008.1.2.2",
        [SAMPLE_DEFLATED] = "1.2.840.10008.1.2.1.99",
        [SAMPLE_RLE] = "1.2.840.10008.1.2.5",
        [SAMPLE_ENCAPSULATED] = "1.2.840.10008.1.2.1.98",
        [SAMPLE_DEFLATED_FRAME] = "1.2.840.10008.1.2.8.1",
    };
    return uids[syntax];
}

void dataset_append_meta(const struct dataset *ds, enum sample_syntax syntax, struct buffer *out)
{
    size_t class_length = 0;
    size_t instance_length = 0;
    const char *class_uid = dataset_value(ds, TAG(0x0008, 0x0016), &class_length);
    const char *instance_uid = dataset_value(ds, TAG(0x0008, 0x0018), &instance_length);
    assert(class_uid != NULL && instance_uid != NULL);

    struct dataset *meta = dataset_new();
    dataset_put_bytes(meta, TAG(0x0002, 0x0001), "OB", "\0\1", 2);
    dataset_put_bytes(meta, TAG(0x0002, 0x0002), "UI", class_uid, class_length);
    dataset_put_bytes(meta, TAG(0x0002, 0x0003), "UI", instance_uid, instance_length);
    dataset_put_text(meta, TAG(0x0002, 0x0010), "UI", syntax_uid(syntax));
    dataset_put_text(meta, TAG(0x0002, 0x0012), "UI", "2.25.163468352218907143261884190364750121847");
    dataset_put_text(meta, TAG(0x0002, 0x0013), "SH", "NIFFLER_SAMPLES");
    struct buffer bytes = {0};
    dataset_append(meta, SAMPLE_EXPLICIT_LITTLE, &bytes);
    dataset_put_u32(meta, TAG(0x0002, 0x0000), (uint32_t)bytes.length);

    buffer_append(out, "DICM", 4);
    dataset_append(meta, SAMPLE_EXPLICIT_LITTLE, out);
    buffer_clear(&bytes);
    dataset_free(meta);
}

void dataset_append_deflated(const struct buffer *bytes, struct buffer *out)
{
    size_t start = out->length;
    size_t at = 0;
    do {
        size_t left = bytes->length - at;
        size_t length = left < 0xFFFF ? left : 0xFFFF;
        buffer_append_char(out, length == left ? 1 : 0);
        append_little(out, length, 2);
        append_little(out, length ^ 0xFFFF, 2);
        buffer_append(out, bytes->data + at, length);
        at += length;
    } while (at < bytes->length);
    if ((out->length - start) % 2 != 0)
        buffer_append_char(out, '\0');
}
