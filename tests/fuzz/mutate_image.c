/* Changes to an image in a DICOM file, where its headers are found by tests/differential/seed.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "tests/differential/mutate.h"
#include "tests/fuzz/mutators.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ITEM 0xfffee000u
#define SEQUENCE_END 0xfffee0ddu
#define PIXELS 0x7fe00010u
#define VALUE_BYTES_MAX 4096u

struct change {
    const struct seed *seed;
    struct dice *dice;
    struct buffer *out;
};

static void put_little(uint8_t *at, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static const struct spot *find(const struct seed *seed, uint32_t tag)
{
    for (size_t i = 0; i < seed->spot_count; i++)
        if (seed->spots[i].tag == tag)
            return &seed->spots[i];
    return NULL;
}

/* ---- attributes ---- */

/* Put an element in the place of the one there is, or in front of the pixel data. */
static void put_element(const struct change *change, uint32_t tag, const char vr[2], const void *value,
                        size_t length)
{
    const struct seed *seed = change->seed;
    const struct spot *old = find(seed, tag), *pixels = find(seed, PIXELS);
    size_t at = old != NULL ? old->at : pixels != NULL ? pixels->at : seed->data_set;
    uint8_t bytes[8 + 128];
    if (length > sizeof bytes - 8)
        return;
    put_little(bytes, tag >> 16, 2);
    put_little(bytes + 2, tag, 2);
    if (seed->implicit_vr) {
        put_little(bytes + 4, length, 4);
    } else {
        memcpy(bytes + 4, vr, 2);
        put_little(bytes + 6, length, 2);
    }
    if (seed->big_endian)
        for (size_t i = 0; i < 8; i += i == 2 ? 4 : 2) {
            uint8_t first = bytes[i];
            bytes[i] = bytes[i + 1];
            bytes[i + 1] = first;
        }
    memcpy(bytes + 8, value, length);
    seed_splice(seed, at, old != NULL ? old->end : at, bytes, 8 + length, change->out);
}

static uint32_t edge(struct dice *dice, uint32_t old)
{
    static const uint32_t edges[] = {0,   1,   2,   3,    4,  7,  8,    9,     10,    12,    15,   16,
                                     17,  24,  31,  32,   33, 63, 64,   65,    127,   128,   255,  256,
                                     257, 511, 512, 1023, 4,  1,  4096, 32767, 32768, 65534, 65535};
    uint64_t roll = dice_roll(dice, 4);
    if (roll == 0)
        return old + (uint32_t)dice_roll(dice, 5) - 2;
    if (roll == 1)
        return 1 + (uint32_t)dice_roll(dice, 40);
    return edges[dice_roll(dice, COUNT(edges))];
}

/* Rows, columns and depths; then what else is a US or SS: palettes, planes, padding, windows' tables. */
static void change_number(const struct change *change)
{
    static const uint32_t tags[] = {0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280002,
                                    0x00280103, 0x00280006, 0x00280010, 0x00280011, 0x00280100, 0x00280101,
                                    0x00281101, 0x00281102, 0x00281103, 0x60000010, 0x60000011, 0x60000050,
                                    0x60000051, 0x60000100, 0x60000102, 0x00280120, 0x00280121, 0x00283002,
                                    0x00281221, 0x00280106, 0x00280107};
    uint32_t tag = tags[dice_roll(change->dice, COUNT(tags))];
    const struct spot *old = find(change->seed, tag);
    uint8_t value[6] = {0};
    size_t length = (tag >> 4 == 0x00281101u >> 4 && (tag & 15) < 4) || tag == 0x00283002 ? 6
                    : tag == 0x60000050                                                   ? 4
                                                                                          : 2;
    if (old != NULL && old->end - old->value == length)
        memcpy(value, change->seed->bytes + old->value, length);
    size_t place = (size_t)dice_roll(change->dice, length / 2) * 2;
    bool big = change->seed->big_endian;
    uint32_t was = (uint32_t)value[place + big] | (uint32_t)value[place + !big] << 8;
    uint32_t now = edge(change->dice, was);
    value[place + big] = (uint8_t)now;
    value[place + !big] = (uint8_t)(now >> 8);
    put_element(change, tag, "US", value, length);
}

static void change_text(const struct change *change)
{
    static const struct {
        uint32_t tag;
        const char *vr;
        const char *text; /* of even length */
    } texts[] = {
        {0x00280004, "CS", "MONOCHROME1 "},
        {0x00280004, "CS", "MONOCHROME2 "},
        {0x00280004, "CS", "PALETTE COLOR "},
        {0x00280004, "CS", "RGB "},
        {0x00280004, "CS", "YBR_FULL"},
        {0x00280004, "CS", "YBR_FULL_422"},
        {0x00280004, "CS", "YBR_PARTIAL_422 "},
        {0x00280004, "CS", "YBR_PARTIAL_420 "},
        {0x00280004, "CS", "YBR_ICT "},
        {0x00280004, "CS", "YBR_RCT "},
        {0x00280004, "CS", "XYB "},
        {0x00280004, "CS", "ARGB"},
        {0x00280008, "IS", "0 "},
        {0x00280008, "IS", "1 "},
        {0x00280008, "IS", "2 "},
        {0x00280008, "IS", "3 "},
        {0x00280008, "IS", "-1"},
        {0x00280008, "IS", "1000"},
        {0x00280008, "IS", "4294967296"},
        {0x00280008, "IS", "2147483647"},
        {0x00281052, "DS", "-1024 "},
        {0x00281052, "DS", "1e308 "},
        {0x00281053, "DS", "0 "},
        {0x00281053, "DS", "-1"},
        {0x00281053, "DS", "1e-308"},
        {0x00281050, "DS", "40"},
        {0x00281050, "DS", "-1e308"},
        {0x00281050, "DS", "1\\2\\3 "},
        {0x00281051, "DS", "0 "},
        {0x00281051, "DS", "1 "},
        {0x00281051, "DS", "400\\0.5\\1e300 "},
        {0x00281056, "CS", "SIGMOID "},
        {0x00281056, "CS", "LINEAR_EXACT"},
        {0x00281056, "CS", "LINEAR"},
        {0x20500020, "CS", "INVERSE "},
        {0x00280030, "DS", "0.5\\0.25"},
        {0x00280034, "IS", "1\\2 "},
        {0x60000015, "IS", "3 "},
        {0x60000040, "CS", "G "},
        {0x00209162, "IS", "1 "},
    };
    size_t i = (size_t)dice_roll(change->dice, COUNT(texts));
    put_element(change, texts[i].tag, texts[i].vr, texts[i].text, strlen(texts[i].text));
}

/* The transfer syntax, in the meta header: the data set stays as it is, and so is mostly a lie. */
static void change_syntax(const struct change *change)
{
    static const char *const suffixes[] = {
        "",       ".1",     ".1.98",  ".1.99",  ".2",     ".5",     ".8.1",   ".4.50",   ".4.51",
        ".4.53",  ".4.55",  ".4.57",  ".4.70",  ".4.80",  ".4.81",  ".4.90",  ".4.91",   ".4.92",
        ".4.201", ".4.202", ".4.203", ".4.110", ".4.111", ".4.112", ".4.100", ".4.9999", "x"};
    static const uint8_t head[] = {0x02, 0x00, 0x10, 0x00, 'U', 'I'};
    const struct seed *seed = change->seed;
    uint8_t *at = memmem(seed->bytes, seed->data_set, head, sizeof head);
    if (at == NULL)
        return;
    size_t begin = (size_t)(at - seed->bytes), old = (size_t)at[6] | (size_t)at[7] << 8;
    uint8_t bytes[8 + 64];
    memcpy(bytes, head, sizeof head);
    int length = snprintf((char *)bytes + 8, 56, "1.2.840.10008.1.2%s",
                          suffixes[dice_roll(change->dice, COUNT(suffixes))]);
    if (length % 2 != 0)
        bytes[8 + length++] = '\0';
    put_little(bytes + 6, (uint64_t)length, 2);
    if (begin + 8 + old <= seed->data_set)
        seed_splice(seed, begin, begin + 8 + old, bytes, 8 + (size_t)length, change->out);
}

/* ---- pixel data ---- */

/* Indices of the first item (the offset table) and of the last one in encapsulated pixel data. */
static bool find_items(const struct seed *seed, size_t *first, size_t *last)
{
    const struct spot *pixels = find(seed, PIXELS);
    if (pixels == NULL || pixels->end != pixels->value)
        return false;
    *first = (size_t)(pixels - seed->spots) + 1;
    *last = *first;
    while (*last < seed->spot_count && seed->spots[*last].tag == ITEM)
        ++*last;
    return (*last)-- > *first;
}

static void append_item(struct buffer *bytes, const void *value, size_t length, uint32_t said)
{
    uint8_t header[8] = {0xfe, 0xff, 0x00, 0xe0};
    put_little(header + 4, said, 4);
    buffer_append(bytes, header, sizeof header);
    buffer_append(bytes, value, length);
}

/* Offsets that are nearly right, backwards, at each other, or anywhere. */
static void change_table(const struct change *change, size_t first, size_t last)
{
    const struct seed *seed = change->seed;
    const struct spot *table = &seed->spots[first];
    uint8_t entries[4 * 64];
    size_t count = (size_t)dice_roll(change->dice, 2 + last - first) + (dice_roll(change->dice, 8) == 0);
    uint64_t kind = dice_roll(change->dice, 4);
    if (count > sizeof entries / 4)
        count = sizeof entries / 4;
    for (size_t i = 0; i < count; i++) {
        size_t item = first + 1 + (kind == 1 ? (size_t)dice_roll(change->dice, last - first + 1) : i);
        uint64_t offset = item <= last ? seed->spots[item].at - table->end : 0xffffffff;
        if (kind == 2)
            offset += 8;
        else if (kind == 3)
            offset = dice_roll(change->dice, 2) == 0 ? edge(change->dice, (uint32_t)offset) : ~offset;
        put_little(entries + 4 * i, offset, 4);
    }
    struct buffer item = {0};
    append_item(&item, entries, 4 * count, (uint32_t)(4 * count));
    seed_splice(seed, table->at, table->end, item.data, item.length, change->out);
    buffer_clear(&item);
}

/* One fragment becomes two, none, another one, or longer or shorter than it says. */
static void change_fragment(const struct change *change, size_t first, size_t last)
{
    const struct seed *seed = change->seed;
    size_t index = first + (size_t)dice_roll(change->dice, last - first + 1);
    const struct spot *spot = &seed->spots[index];
    const uint8_t *value = seed->bytes + spot->value;
    size_t length = spot->end - spot->value, end = spot->end;
    size_t cut = (size_t)dice_roll(change->dice, length + 1);
    struct buffer items = {0};
    switch (dice_roll(change->dice, 8)) {
    case 0:
        append_item(&items, value, cut, (uint32_t)cut);
        append_item(&items, value + cut, length - cut, (uint32_t)(length - cut));
        break;
    case 1:
        break; /* none */
    case 2:
        append_item(&items, value, length, (uint32_t)length);
        append_item(&items, value, length, (uint32_t)length);
        break;
    case 3:
        append_item(&items, value, length, edge(change->dice, (uint32_t)length));
        break;
    case 4:
        append_item(&items, value, cut, (uint32_t)cut);
        break;
    case 5: /* joined with the next */
        if (index < last) {
            append_item(&items, value, length,
                        (uint32_t)(end - spot->value + seed->spots[index + 1].end - end - 8));
            end = seed->spots[index + 1].value;
        }
        break;
    case 6:
        append_item(&items, NULL, 0, 0);
        append_item(&items, value, length, (uint32_t)length);
        break;
    default: { /* another one's bytes */
        const struct spot *other = &seed->spots[first + (size_t)dice_roll(change->dice, last - first + 1)];
        append_item(&items, seed->bytes + other->value, other->end - other->value,
                    (uint32_t)(other->end - other->value));
    }
    }
    seed_splice(seed, spot->at, end, items.data, items.length, change->out);
    buffer_clear(&items);
}

/* Bytes within a fragment, a native value or a table of 8-byte offsets. */
static void change_bytes(const struct change *change, const struct spot *spot)
{
    size_t length = spot->end - spot->value;
    size_t from = length > VALUE_BYTES_MAX ? (size_t)dice_roll(change->dice, length - VALUE_BYTES_MAX) : 0;
    if (length > VALUE_BYTES_MAX)
        length = VALUE_BYTES_MAX;
    uint8_t *bytes = xmalloc(length + 64);
    memcpy(bytes, change->seed->bytes + spot->value + from, length);
    size_t changed = LLVMFuzzerMutate(bytes, length, length + 64);
    if (changed > length)
        changed = length; /* what the header says of it stays true */
    seed_splice(change->seed, spot->value + from, spot->value + from + changed, bytes, changed, change->out);
    free(bytes);
}

static void change_pixels(const struct change *change)
{
    const struct seed *seed = change->seed;
    const struct spot *pixels = find(seed, PIXELS);
    size_t first = 0, last = 0;
    if (pixels == NULL)
        return;
    if (!find_items(seed, &first, &last)) {
        change_bytes(change, pixels);
        return;
    }
    uint64_t roll = dice_roll(change->dice, 8);
    if (roll < 2)
        change_table(change, first, last);
    else if (roll < 5)
        change_fragment(change, first, last);
    else
        change_bytes(change, &seed->spots[first + (size_t)dice_roll(change->dice, last - first + 1)]);
}

/* The extended offset table (7FE0,0001) and its lengths, right or nearly so. */
static void put_extended_table(const struct change *change)
{
    size_t first = 0, last = 0;
    uint8_t entries[8 * 15] = {0};
    if (!find_items(change->seed, &first, &last))
        return;
    size_t count = last - first + (size_t)dice_roll(change->dice, 3) - 1;
    if (count > sizeof entries / 8)
        count = sizeof entries / 8;
    bool lengths = dice_roll(change->dice, 2) == 0;
    for (size_t i = 0; i < count; i++) {
        size_t item = first + 1 + i <= last ? first + 1 + i : last;
        const struct spot *spot = &change->seed->spots[item];
        uint64_t value = lengths ? spot->end - spot->value : spot->at - change->seed->spots[first].end;
        if (dice_roll(change->dice, 3) == 0)
            value = dice_roll(change->dice, 2) == 0 ? edge(change->dice, (uint32_t)value) : ~value;
        put_little(entries + 8 * i, value, 8);
    }
    put_element(change, lengths ? 0x7fe00002 : 0x7fe00001, "UN", entries, 8 * count);
}

size_t mutate_image(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    struct dice dice = {(uint64_t)seed * 0x9E3779B97F4A7C15u + 1};
    struct buffer out = {0};
    struct seed file;
    uint64_t roll = dice_roll(&dice, 12);
    if (roll < 2 || !seed_read(&file, data, size))
        return LLVMFuzzerMutate(data, size, most);
    const struct change change = {&file, &dice, &out};
    if (roll < 4)
        (void)seed_mutate(&file, &dice, &out);
    else if (roll < 6)
        change_number(&change);
    else if (roll < 8)
        change_text(&change);
    else if (roll == 8)
        change_syntax(&change);
    else if (roll < 11)
        change_pixels(&change);
    else
        put_extended_table(&change);
    bool fits = out.length > 0 && out.length <= most;
    if (fits) {
        memcpy(data, out.data, out.length);
        size = out.length;
    }
    buffer_clear(&out);
    seed_clear(&file);
    return fits ? size : LLVMFuzzerMutate(data, size, most);
}
