/* sample_matrix_palette.c: tables of unrelated entries, so that a wrong index is a wrong colour, and
 * segmented ones whose lines meet whole numbers only, since PS3.3 C.7.9.2.2 does not say how to round. */
#include "tests/samples/sample_matrix.h"

#include <assert.h>

enum { LINE = 50, LONE = 1, DISCRETE = 3 };
_Static_assert(LONE + 2 * (DISCRETE + LINE) == MATRIX_SEGMENTED_COUNT, "what the segments below expand to");

/* Where a line begins, and its rise from entry to entry; that of blue falls. */
static int32_t line_start(const struct matrix_palette *palette, uint32_t channel)
{
    return palette->bits == 8 ? (int32_t)(channel == 2 ? 250 : 5 + channel)
                              : (int32_t)(channel == 2 ? 60000 : 500 + 1000 * channel);
}

static int32_t line_rise(const struct matrix_palette *palette, uint32_t channel)
{
    int32_t rise = channel == 0 ? 2 : channel == 1 ? 4 : -3;
    return palette->bits == 8 ? rise : rise * 301;
}

static uint16_t unrelated(const struct matrix_palette *palette, uint32_t channel, uint32_t index)
{
    uint32_t value = (index + 1) * 2654435761u + channel * 40503u * 65536u;
    return (uint16_t)(palette->bits == 8 ? value >> 24 : value >> 16);
}

uint16_t matrix_palette_entry(const struct matrix_palette *palette, uint32_t channel, uint32_t index)
{
    if (!palette->is_segmented || index < LONE)
        return unrelated(palette, channel, index);
    uint32_t inside = (index - LONE) % (DISCRETE + LINE);
    if (inside < DISCRETE - 1)
        return unrelated(palette, channel, inside);
    int32_t step = (int32_t)(inside - (DISCRETE - 1));
    return (uint16_t)(line_start(palette, channel) + step * line_rise(palette, channel));
}

/* Numbers as the palette's data: a word each, or of 8 bits two to a word, the first in the low byte (PS3.3
 * C.7.6.3.1.6). */
static void put_numbers(struct dataset *ds, uint32_t tag, const struct matrix_palette *palette,
                        const uint16_t *numbers, size_t count)
{
    if (palette->bits == 16) {
        dataset_put_words(ds, tag, "OW", numbers, count);
        return;
    }
    struct buffer bytes = {0};
    for (size_t i = 0; i < count; i++)
        buffer_append_char(&bytes, (char)(unsigned char)numbers[i]);
    dataset_put_bytes(ds, tag, "OW", bytes.data, bytes.length);
    buffer_clear(&bytes);
}

/* A lone entry; three discrete ones; a line; and the last two again by an indirect segment. */
static void put_segments(struct dataset *ds, uint32_t channel, const struct matrix_palette *palette)
{
    uint16_t numbers[32];
    size_t count = 0;
    numbers[count++] = 0;
    numbers[count++] = LONE;
    numbers[count++] = unrelated(palette, channel, 0);
    size_t repeated_from = count * palette->bits / 8;
    numbers[count++] = 0;
    numbers[count++] = DISCRETE;
    for (uint32_t i = 0; i < DISCRETE; i++)
        numbers[count++] = matrix_palette_entry(palette, channel, LONE + i);
    numbers[count++] = 1;
    numbers[count++] = LINE;
    numbers[count++] = matrix_palette_entry(palette, channel, LONE + DISCRETE + LINE - 1);
    numbers[count++] = 2;
    numbers[count++] = 2;
    numbers[count++] = (uint16_t)repeated_from; /* the least significant part first */
    for (uint32_t more = palette->bits == 16 ? 1 : 3; more > 0; more--)
        numbers[count++] = 0;
    assert(count <= sizeof(numbers) / sizeof(*numbers));
    put_numbers(ds, TAG(0x0028, 0x1221 + channel), palette, numbers, count);
}

void matrix_put_palette(struct dataset *ds, const struct matrix_palette *palette, bool is_signed)
{
    static uint16_t entries[65536];
    const uint16_t descriptor[3] = {(uint16_t)palette->count, (uint16_t)palette->first, palette->bits};
    assert(!palette->is_segmented || palette->count == MATRIX_SEGMENTED_COUNT);
    for (uint32_t channel = 0; channel < 3; channel++) {
        dataset_put_words(ds, TAG(0x0028, 0x1101 + channel), is_signed ? "SS" : "US", descriptor, 3);
        for (uint32_t i = 0; i < palette->count; i++)
            entries[i] = matrix_palette_entry(palette, channel, i);
        if (palette->is_segmented)
            put_segments(ds, channel, palette);
        else
            put_numbers(ds, TAG(0x0028, 0x1201 + channel), palette, entries, palette->count);
    }
}
