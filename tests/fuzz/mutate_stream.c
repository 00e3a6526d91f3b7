/* Changes to a compressed frame and to what the header says of it. */
#include <string.h>

#include "tests/differential/mutate.h"
#include "tests/fuzz/mutators.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SEGMENTS_MAX 64

struct stream {
    uint8_t *data;
    size_t size, most;
    struct dice dice;
    size_t segments[SEGMENTS_MAX]; /* places of their 0xFF */
    size_t count;
};

static uint32_t big(const uint8_t *at, size_t bytes)
{
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

/* Where a segment ends: behind its marker where its length leads out of the stream. */
static size_t end_of(const struct stream *s, size_t at)
{
    if (at + 4 > s->size)
        return at + 2;
    size_t end = at + 2 + big(s->data + at + 2, 2);
    return end > s->size ? at + 2 : end;
}

static void find_segments(struct stream *s)
{
    s->count = 0;
    for (size_t at = STREAM_HEADER_BYTES; at + 2 <= s->size && s->count < SEGMENTS_MAX;) {
        uint8_t marker = s->data[at + 1];
        if (s->data[at] != 0xff || marker == 0x00 || marker == 0xff) {
            at++;
            continue;
        }
        s->segments[s->count++] = at;
        bool is_alone =
            marker == 0x01 || (marker >= 0xd0 && marker <= 0xd9) || marker == 0x4f || marker == 0x93;
        at = is_alone ? at + 2 : end_of(s, at);
    }
}

static void insert(struct stream *s, size_t at, const uint8_t *bytes, size_t length)
{
    uint8_t copy[512];
    if (length > sizeof copy || s->size + length > s->most || at > s->size)
        return;
    memcpy(copy, bytes, length);
    memmove(s->data + at + length, s->data + at, s->size - at);
    memcpy(s->data + at, copy, length);
    s->size += length;
}

static void take_out(struct stream *s, size_t at, size_t end)
{
    memmove(s->data + at, s->data + end, s->size - end);
    s->size -= end - at;
}

static uint8_t edge_byte(struct stream *s)
{
    static const uint8_t edges[] = {0,  1,  2,  3,  4,    5,    7,    8,    9,    11, 12, 15,  16,  17,  24,
                                    31, 32, 33, 38, 0x11, 0x21, 0x22, 0x41, 0x44, 63, 64, 127, 128, 254, 255};
    return dice_roll(&s->dice, 3) == 0 ? (uint8_t)dice_roll(&s->dice, 256)
                                       : edges[dice_roll(&s->dice, COUNT(edges))];
}

static void change_geometry(struct stream *s)
{
    uint64_t field = dice_roll(&s->dice, 6);
    if (field < 2) {
        s->data[2 * field] = edge_byte(s);
        s->data[2 * field + 1] = dice_roll(&s->dice, 4) == 0 ? edge_byte(s) : 0;
    } else {
        s->data[field + 2] = edge_byte(s);
    }
}

/* A number in a segment: of 1, 2 or 4 bytes. */
static void change_number(struct stream *s, size_t at, size_t end)
{
    static const uint32_t words[] = {0, 1, 2, 3, 8, 16, 17, 255, 256, 32767, 32768, 65535};
    size_t width = (size_t)1 << dice_roll(&s->dice, 3);
    if (at + 2 + width > end)
        return;
    size_t place = at + 2 + (size_t)dice_roll(&s->dice, end - at - 1 - width);
    uint32_t word = words[dice_roll(&s->dice, COUNT(words))];
    if (width == 1)
        word = edge_byte(s);
    else if (width == 4 && dice_roll(&s->dice, 2) == 0)
        word = ~word;
    for (size_t i = 0; i < width; i++)
        s->data[place + i] = (uint8_t)(word >> (8 * (width - 1 - i)));
}

static void change_segment(struct stream *s)
{
    static const uint8_t markers[] = {0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc7, 0xc9, 0xcb, 0xcc,
                                      0xd0, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xe0, 0xee, 0xf7,
                                      0xf8, 0xfe, 0x01, 0x51, 0x52, 0x53, 0x5c, 0x5d, 0x5e, 0x5f,
                                      0x60, 0x61, 0x90, 0x91, 0x92, 0x50, 0x4f, 0x93};
    size_t at = s->segments[dice_roll(&s->dice, s->count)],
           other = s->segments[dice_roll(&s->dice, s->count)];
    size_t end = end_of(s, at);
    const uint8_t marker[] = {0xff, markers[dice_roll(&s->dice, COUNT(markers))], 0, edge_byte(s)};
    switch (dice_roll(&s->dice, 9)) {
    case 0:
        insert(s, other, s->data + at, end - at);
        break;
    case 1:
        take_out(s, at, end);
        break;
    case 2:
        s->data[at + 1] = marker[1];
        break;
    case 3:
        insert(s, dice_roll(&s->dice, 2) == 0 ? other : (size_t)dice_roll(&s->dice, s->size), marker,
               dice_roll(&s->dice, 2) == 0 ? 2 : 4);
        break;
    default:
        change_number(s, at, end);
    }
}

/* The header says what the stream says. */
static void agree(struct stream *s)
{
    find_segments(s);
    for (size_t i = 0; i < s->count; i++) {
        const uint8_t *at = s->data + s->segments[i];
        uint8_t marker = at[1];
        size_t left = s->size - s->segments[i];
        uint32_t rows, columns, samples, bits;
        if (((marker >= 0xc0 && marker <= 0xcf && marker % 4 != 0) || marker == 0xc0 || marker == 0xf7) &&
            left >= 10) {
            bits = at[4];
            rows = big(at + 5, 2);
            columns = big(at + 7, 2);
            samples = at[9];
        } else if (marker == 0x51 && left >= 41) {
            columns = big(at + 6, 4) - big(at + 14, 4);
            rows = big(at + 10, 4) - big(at + 18, 4);
            samples = big(at + 38, 2);
            bits = (at[40] & 0x7fu) + 1;
        } else {
            continue;
        }
        const uint32_t values[] = {rows & 0xff,  rows >> 8, columns & 0xff,
                                   columns >> 8, samples,   bits <= 8 ? 8 : bits <= 16 ? 16 : 32,
                                   bits};
        for (size_t k = 0; k < COUNT(values); k++)
            s->data[k] = (uint8_t)values[k];
        return;
    }
}

size_t mutate_stream(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    struct stream s = {
        .data = data, .size = size, .most = most, .dice = {(uint64_t)seed * 0x9E3779B97F4A7C15u + 1}};
    uint64_t roll = dice_roll(&s.dice, 8);
    if (size <= STREAM_HEADER_BYTES)
        return LLVMFuzzerMutate(data, size, most);
    find_segments(&s);
    if (roll == 0)
        change_geometry(&s);
    else if (roll < 5 && s.count > 0)
        change_segment(&s);
    else
        s.size =
            STREAM_HEADER_BYTES + LLVMFuzzerMutate(data + STREAM_HEADER_BYTES, size - STREAM_HEADER_BYTES,
                                                   most - STREAM_HEADER_BYTES);
    if (dice_roll(&s.dice, 2) == 0 && roll != 0)
        agree(&s);
    return s.size;
}
