/* One or two changes to a seed, each at a header that a roll of the dice chooses. */
#include "tests/differential/mutate.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/alloc.h"

#define UNDEFINED 0xffffffffu

/* The file while it is changed. Places of the seed are valid up to the first change, which is why there is a
 * second one only behind changes that keep the length. */
struct draft {
    const struct seed *seed;
    struct dice *dice;
    struct buffer *out;
    const struct spot *spot;
};

uint64_t dice_roll(struct dice *dice, uint64_t below)
{
    /* xorshift64* */
    dice->state ^= dice->state >> 12;
    dice->state ^= dice->state << 25;
    dice->state ^= dice->state >> 27;
    return (dice->state * 2685821657736338717u >> 16) % below;
}

static void put_number(const struct draft *draft, size_t at, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size && at + i < draft->out->length; i++)
        draft->out->data[at + i] =
            (char)(unsigned char)(value >> (8 * (draft->seed->big_endian ? size - 1 - i : i)));
}

static void insert(const struct draft *draft, size_t at, const void *bytes, size_t length)
{
    (void)buffer_reserve(draft->out, length);
    memmove(draft->out->data + at + length, draft->out->data + at, draft->out->length - at);
    memcpy(draft->out->data + at, bytes, length);
    draft->out->length += length;
}

static void take_out(const struct draft *draft, size_t at, size_t length)
{
    memmove(draft->out->data + at, draft->out->data + at + length, draft->out->length - at - length);
    draft->out->length -= length;
}

static void put_tag(const struct draft *draft, size_t at, uint32_t tag)
{
    put_number(draft, at, tag >> 16, 2);
    put_number(draft, at + 2, tag & 0xffff, 2);
}

static void mutate_length(const struct draft *draft)
{
    const struct spot *spot = draft->spot;
    uint64_t length = spot->end - spot->value, left = draft->out->length - spot->value;
    const uint64_t choices[] = {0,          1,          length + 1,  length - 1, length + 2, length - 2,
                                length * 2, left,       left + 1,    left - 1,   0xffff,     0x10000,
                                UNDEFINED,  0x7fffffff, 0xfffffffeu, 8,          length / 2, length + 8};
    put_number(draft, spot->length_at, choices[dice_roll(draft->dice, sizeof choices / sizeof *choices)],
               spot->length_bytes);
}

static void mutate_vr(const struct draft *draft)
{
    static const char vrs[] = "AEASATCSDADSDTFDFLISLOLTOBODOFOLOVOWPNSHSLSQSSSTSVTMUCUIULUNURUSUTUV"
                              "ZZXXOXaa??\0\0  --A1";
    size_t choice = (size_t)dice_roll(draft->dice, (sizeof vrs - 1) / 2);
    if (draft->spot->vr[0] != '\0')
        memcpy(draft->out->data + draft->spot->at + 4, vrs + 2 * choice, 2);
    else
        put_tag(draft, draft->spot->at, (uint32_t)dice_roll(draft->dice, 0x00400000));
}

static void mutate_tag(const struct draft *draft)
{
    static const uint32_t tags[] = {0xfffee000u, 0xfffee00du, 0xfffee0ddu, 0x7fe00010u, 0x00080005u,
                                    0x00280103u, 0x00091001u, 0x00090010u, 0x00080000u, 0x00020010u,
                                    0x00041220u, 0x00000000u, 0xfffcfffcu, 0x7fe00008u, 0x00081115u,
                                    0x60003000u, 0x50000010u, 0x00283006u, 0xffffffffu, 0x00280106u};
    uint64_t roll = dice_roll(draft->dice, 4);
    uint32_t tag = tags[dice_roll(draft->dice, sizeof tags / sizeof *tags)];
    if (roll == 0)
        tag = (draft->spot->tag & 0xffff0000u) | (uint32_t)dice_roll(draft->dice, 0x10000);
    else if (roll == 1)
        tag = draft->spot->tag + (uint32_t)dice_roll(draft->dice, 5) - 2;
    put_tag(draft, draft->spot->at, tag);
}

static void mutate_swap(const struct draft *draft)
{
    const struct seed *seed = draft->seed;
    const struct spot *other = &seed->spots[dice_roll(draft->dice, seed->spot_count)];
    const struct spot *first = draft->spot->at < other->at ? draft->spot : other;
    const struct spot *second = first == other ? draft->spot : other;
    if (first->end > second->at)
        return;
    size_t a = first->end - first->at, b = second->end - second->at, between = second->at - first->end;
    char *place = draft->out->data + first->at;
    memcpy(place, seed->bytes + second->at, b);
    memcpy(place + b, seed->bytes + first->end, between);
    memcpy(place + b + between, seed->bytes + first->at, a);
}

static void mutate_cut(const struct draft *draft)
{
    size_t length = draft->out->length - draft->spot->at;
    buffer_truncate(draft->out, draft->spot->at + (size_t)dice_roll(draft->dice, length < 24 ? length : 24));
}

static void mutate_value(const struct draft *draft)
{
    const struct spot *spot = draft->spot;
    for (uint64_t i = dice_roll(draft->dice, 3) + 1; i > 0 && spot->end > spot->value; i--)
        draft->out->data[spot->value + (size_t)dice_roll(draft->dice, spot->end - spot->value)] =
            (char)(unsigned char)dice_roll(draft->dice, 256);
}

static void mutate_duplicate(const struct draft *draft)
{
    const struct spot *to = &draft->seed->spots[dice_roll(draft->dice, draft->seed->spot_count)];
    size_t at = dice_roll(draft->dice, 2) == 0 ? draft->spot->at : to->at;
    insert(draft, at, draft->seed->bytes + draft->spot->at, draft->spot->end - draft->spot->at);
}

static void delimiter(const struct draft *draft, size_t at, uint32_t tag)
{
    static const char none[8];
    insert(draft, at, none, sizeof none);
    put_tag(draft, at, tag);
}

static void mutate_undefined(const struct draft *draft)
{
    const struct spot *spot = draft->spot;
    uint64_t roll = dice_roll(draft->dice, 4);
    put_number(draft, spot->length_at, UNDEFINED, spot->length_bytes);
    if (roll == 0)
        delimiter(draft, spot->end, 0xfffee0ddu);
    else if (roll == 1)
        delimiter(draft, spot->end, 0xfffee00du);
}

/* A delimiter where there is one, else a header or a whole element. */
static void mutate_drop(const struct draft *draft)
{
    const struct seed *seed = draft->seed;
    const struct spot *spot = draft->spot;
    for (int i = 0; i < 16 && spot->tag >> 16 != 0xfffe; i++)
        spot = &seed->spots[dice_roll(draft->dice, seed->spot_count)];
    size_t end = dice_roll(draft->dice, 2) == 0 ? spot->value : spot->end;
    take_out(draft, spot->at, end - spot->at);
}

static void put_header(const struct draft *draft, struct buffer *bytes, uint32_t tag, uint32_t length)
{
    const struct draft header = {draft->seed, draft->dice, bytes, draft->spot};
    bool has_vr = !draft->seed->implicit_vr && tag >> 16 != 0xfffe;
    size_t at = bytes->length;
    buffer_append(bytes, "\0\0\0\0SQ\0\0\0\0\0\0", has_vr ? 12 : 8);
    put_tag(&header, at, tag);
    put_number(&header, at + (has_vr ? 8 : 4), length, 4);
}

/* The element becomes that of an item of a sequence, one level or many. */
static void mutate_nest(const struct draft *draft)
{
    const struct spot *spot = draft->spot;
    size_t length = spot->end - spot->at;
    uint64_t levels = dice_roll(draft->dice, 8) == 0 ? 1 + dice_roll(draft->dice, 40) : 1;
    for (uint64_t i = 0; i < levels; i++) {
        struct buffer head = {0};
        bool has_length = dice_roll(draft->dice, 2) == 0, item_has_length = dice_roll(draft->dice, 2) == 0;
        size_t item_tail = item_has_length ? 0 : 8;
        put_header(draft, &head, dice_roll(draft->dice, 2) == 0 ? 0x00081115u : 0x0040a730u,
                   has_length ? (uint32_t)(8 + length + item_tail) : UNDEFINED);
        put_header(draft, &head, 0xfffee000u, item_has_length ? (uint32_t)length : UNDEFINED);
        size_t end = spot->at + length;
        if (!has_length)
            delimiter(draft, end, 0xfffee0ddu);
        if (!item_has_length)
            delimiter(draft, end, 0xfffee00du);
        insert(draft, spot->at, head.data, head.length);
        length += head.length + item_tail + (has_length ? 0 : 8);
        buffer_clear(&head);
    }
}

static void mutate_insert(const struct draft *draft)
{
    char bytes[16];
    size_t count = 1 + (size_t)dice_roll(draft->dice, sizeof bytes);
    for (size_t i = 0; i < count; i++)
        bytes[i] = dice_roll(draft->dice, 2) == 0 ? 0 : (char)(unsigned char)dice_roll(draft->dice, 256);
    insert(draft, dice_roll(draft->dice, 2) == 0 ? draft->spot->at : draft->spot->value, bytes, count);
}

/* Another character set, where one is given: what it says of the texts behind it changes. */
static void mutate_charset(const struct draft *draft)
{
    static const char *const sets[] = {"ISO_IR 100",
                                       "ISO_IR 101",
                                       "ISO_IR 109",
                                       "ISO_IR 110",
                                       "ISO_IR 144",
                                       "ISO_IR 127",
                                       "ISO_IR 126",
                                       "ISO_IR 138",
                                       "ISO_IR 148",
                                       "ISO_IR 203",
                                       "ISO_IR 166",
                                       "ISO_IR 13",
                                       "ISO_IR 192",
                                       "GB18030",
                                       "GBK",
                                       "\\ISO 2022 IR 87",
                                       "ISO 2022 IR 13\\ISO 2022 IR 87",
                                       "\\ISO 2022 IR 149",
                                       "\\ISO 2022 IR 58",
                                       "ISO 2022 IR 100\\ISO 2022 IR 144",
                                       "\\ISO 2022 IR 159",
                                       "ISO_IR 6",
                                       "ISO_IR 999",
                                       "latin1"};
    char value[64];
    for (size_t i = 0; i < draft->seed->spot_count; i++) {
        const struct spot *spot = &draft->seed->spots[i];
        if (spot->tag != 0x00080005u)
            continue;
        const char *set = sets[dice_roll(draft->dice, sizeof sets / sizeof *sets)];
        size_t length = strlen(set);
        memcpy(value, set, length);
        if (length % 2 != 0)
            value[length++] = ' ';
        take_out(draft, spot->value, spot->end - spot->value);
        insert(draft, spot->value, value, length);
        put_number(draft, spot->length_at, length, spot->length_bytes);
        return;
    }
}

/* Bytes above 127 and escape sequences in a text. */
static void mutate_text(const struct draft *draft)
{
    static const char escapes[][5] = {"\x1b(B", "\x1b(J", "\x1b$B", "\x1b)I", "\x1b$)C", "\x1b$)A",
                                      "\x1b-A", "\x1b-L", "\x1b-F", "\\",     "^",       "="};
    const struct spot *spot = draft->spot;
    size_t length = spot->end - spot->value;
    for (size_t i = 0; i < length && i < 64; i++) {
        uint64_t roll = dice_roll(draft->dice, 8);
        const char *escape = escapes[dice_roll(draft->dice, sizeof escapes / sizeof *escapes)];
        if (roll == 0 && strlen(escape) <= length - i)
            memcpy(draft->out->data + spot->value + i, escape, strlen(escape));
        else if (roll < 4)
            draft->out->data[spot->value + i] = (char)(unsigned char)(0x80 + dice_roll(draft->dice, 128));
    }
}

static void mutate_byte(const struct draft *draft)
{
    size_t from = draft->seed->data_set;
    for (uint64_t i = 1 + dice_roll(draft->dice, 3); i > 0; i--) {
        size_t at = from + (size_t)dice_roll(draft->dice, draft->out->length - from);
        draft->out->data[at] = (char)(unsigned char)dice_roll(draft->dice, 256);
    }
}

static void deflate_data_set(const struct seed *seed, struct buffer *out)
{
    struct buffer plain = {0};
    z_stream stream = {0};
    buffer_append(&plain, out->data + seed->data_set, out->length - seed->data_set);
    buffer_truncate(out, seed->data_set);
    if (deflateInit2(&stream, 1, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    size_t room = deflateBound(&stream, plain.length);
    stream.next_in = (Bytef *)plain.data;
    stream.avail_in = (uInt)plain.length;
    stream.next_out = (Bytef *)buffer_reserve(out, room + 1);
    stream.avail_out = (uInt)room;
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
        abort();
    out->length += room - stream.avail_out;
    if (out->length % 2 != 0)
        buffer_append_char(out, 0); /* PS3.5 A.5 */
    (void)deflateEnd(&stream);
    buffer_clear(&plain);
}

void seed_splice(const struct seed *seed, size_t at, size_t end, const void *bytes, size_t length,
                 struct buffer *out)
{
    buffer_truncate(out, 0);
    buffer_append(out, seed->bytes, at);
    buffer_append(out, bytes, length);
    buffer_append(out, seed->bytes + end, seed->length - end);
    if (seed->deflated)
        deflate_data_set(seed, out);
}

enum mutation seed_mutate(const struct seed *seed, struct dice *dice, struct buffer *out)
{
    static void (*const mutations[MUTATIONS])(const struct draft *) = {
        [MUTATE_LENGTH] = mutate_length,
        [MUTATE_VR] = mutate_vr,
        [MUTATE_TAG] = mutate_tag,
        [MUTATE_SWAP] = mutate_swap,
        [MUTATE_CUT] = mutate_cut,
        [MUTATE_VALUE] = mutate_value,
        [MUTATE_DUPLICATE] = mutate_duplicate,
        [MUTATE_UNDEFINED] = mutate_undefined,
        [MUTATE_DROP] = mutate_drop,
        [MUTATE_NEST] = mutate_nest,
        [MUTATE_INSERT] = mutate_insert,
        [MUTATE_CHARSET] = mutate_charset,
        [MUTATE_TEXT] = mutate_text,
        [MUTATE_BYTE] = mutate_byte,
    };
    struct draft draft = {seed, dice, out, &seed->spots[dice_roll(dice, seed->spot_count)]};
    enum mutation chosen = (enum mutation)dice_roll(dice, MUTATIONS);
    buffer_truncate(out, 0);
    buffer_append(out, seed->bytes, seed->length);
    if (dice_roll(dice, 4) == 0) {
        mutate_value(&draft);
        draft.spot = &seed->spots[dice_roll(dice, seed->spot_count)];
    }
    mutations[chosen](&draft);
    if (seed->deflated)
        deflate_data_set(seed, out);
    return chosen;
}
