/* Seeds: where the headers of a valid file are, found by stepping from one to the next without regard to
 * nesting, which is why this is no third reader. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/alloc.h"
#include "tests/differential/mutate.h"

#define UNDEFINED 0xffffffffu
#define PIXELS 0x7fe00010u
#define PIXEL_BYTES_KEPT 32u
#define META_MOST 4096u
#define INFLATED_MOST ((size_t)1 << 20)

static uint32_t number(const uint8_t *p, unsigned size, bool big_endian)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)p[i] << (8 * (big_endian ? size - 1 - i : i));
    return value;
}

static bool is_long_vr(const char vr[2])
{
    static const char list[] = "OBODOFOLOVOWSQSVUCUNURUTUV";
    for (const char *at = list; *at != '\0'; at += 2)
        if (vr[0] == at[0] && vr[1] == at[1])
            return true;
    return false;
}

/* The header at `at`; false: none that lies within. */
static bool read_spot(const struct seed *seed, size_t at, bool implicit_vr, bool big, struct spot *spot)
{
    const uint8_t *p = seed->bytes + at;
    size_t left = seed->length - at;
    if (left < 8)
        return false;
    *spot = (struct spot){.at = at, .value = at + 8, .length_at = at + 4, .length_bytes = 4};
    spot->tag = number(p, 2, big) << 16 | number(p + 2, 2, big);
    if (!implicit_vr && spot->tag >> 16 != 0xfffe) {
        memcpy(spot->vr, p + 4, 2);
        bool is_long = is_long_vr(spot->vr);
        spot->length_at = at + (is_long ? 8 : 6);
        spot->length_bytes = is_long ? 4 : 2;
        spot->value = at + (is_long ? 12 : 8);
    }
    if (spot->value > seed->length)
        return false;
    uint32_t length = number(seed->bytes + spot->length_at, spot->length_bytes, big);
    spot->end = length == UNDEFINED && spot->length_bytes == 4 ? spot->value : spot->value + length;
    return spot->end <= seed->length;
}

static bool is_container(const struct seed *seed, const struct spot *spot)
{
    const uint8_t *p = seed->bytes + spot->value;
    if (spot->tag == 0xfffee000u || (spot->vr[0] == 'S' && spot->vr[1] == 'Q'))
        return true;
    return spot->vr[0] == '\0' && spot->end - spot->value >= 8 && number(p, 2, seed->big_endian) == 0xfffe &&
           number(p + 2, 2, seed->big_endian) == 0xe000;
}

static bool find_spots(struct seed *seed)
{
    bool in_fragments = false;
    struct spot spot;
    for (size_t at = seed->data_set; at < seed->length;) {
        if (!read_spot(seed, at, seed->implicit_vr, seed->big_endian, &spot))
            return false;
        seed->spots = xrealloc_array(seed->spots, seed->spot_count + 1, sizeof *seed->spots);
        seed->spots[seed->spot_count++] = spot;
        if (spot.tag == PIXELS && spot.end == spot.value)
            in_fragments = true;
        if (spot.tag == 0xfffee0ddu)
            in_fragments = false;
        at = is_container(seed, &spot) && !in_fragments ? spot.value : spot.end;
    }
    return seed->spot_count > 2;
}

static void put_length(struct seed *seed, const struct spot *spot, uint32_t length)
{
    for (unsigned i = 0; i < spot->length_bytes; i++)
        seed->bytes[spot->length_at + i] =
            (uint8_t)(length >> (8 * (seed->big_endian ? spot->length_bytes - 1 - i : i)));
}

/* Whether the spot lies in a container of defined length, which would have to become shorter with it. */
static bool is_enclosed(const struct seed *seed, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (is_container(seed, &seed->spots[i]) && seed->spots[i].end > seed->spots[index].at)
            return true;
    return false;
}

/* Pixel data and fragments keep their first bytes only. */
static void cut_pixels(struct seed *seed)
{
    bool in_fragments = false;
    for (size_t i = seed->spot_count; i > 0; i--) {
        const struct spot *spot = &seed->spots[i - 1];
        if (spot->tag == 0xfffee0ddu && i > 2 && seed->spots[i - 2].tag == 0xfffee000u &&
            seed->spots[i - 2].end == spot->at)
            in_fragments = true;
        else if (spot->tag != 0xfffee000u)
            in_fragments = false;
        size_t length = spot->end - spot->value;
        bool is_pixels = spot->tag == PIXELS || (in_fragments && spot->tag == 0xfffee000u);
        if (!is_pixels || length <= PIXEL_BYTES_KEPT || is_enclosed(seed, i - 1))
            continue;
        put_length(seed, spot, PIXEL_BYTES_KEPT);
        memmove(seed->bytes + spot->value + PIXEL_BYTES_KEPT, seed->bytes + spot->end,
                seed->length - spot->end);
        seed->length -= length - PIXEL_BYTES_KEPT;
    }
}

/* Replace the data set by what it inflates to. */
static bool inflate_data_set(struct seed *seed)
{
    uint8_t *larger = xmalloc(seed->data_set + INFLATED_MOST);
    z_stream stream = {0};
    memcpy(larger, seed->bytes, seed->data_set);
    bool ok = inflateInit2(&stream, -MAX_WBITS) == Z_OK;
    stream.next_in = seed->bytes + seed->data_set;
    stream.avail_in = (uInt)(seed->length - seed->data_set);
    stream.next_out = larger + seed->data_set;
    stream.avail_out = (uInt)INFLATED_MOST;
    ok = ok && inflate(&stream, Z_FINISH) == Z_STREAM_END;
    seed->length = seed->data_set + stream.total_out;
    (void)inflateEnd(&stream);
    free(seed->bytes);
    seed->bytes = larger;
    return ok;
}

/* The meta header: its end, and the encoding that the transfer syntax means. */
static bool read_meta_header(struct seed *seed)
{
    char syntax[65] = "";
    struct spot spot;
    size_t at = 132;
    if (seed->length < at || memcmp(seed->bytes + 128, "DICM", 4) != 0)
        return false;
    while (at < seed->length && read_spot(seed, at, false, false, &spot) && spot.tag >> 16 == 2) {
        size_t length = spot.end - spot.value;
        if (spot.tag == 0x00020010u && length < sizeof syntax)
            memcpy(syntax, seed->bytes + spot.value, length);
        at = spot.end;
    }
    while (syntax[0] != '\0' && syntax[strlen(syntax) - 1] == ' ')
        syntax[strlen(syntax) - 1] = '\0';
    seed->data_set = at;
    seed->implicit_vr = strcmp(syntax, "1.2.840.10008.1.2") == 0;
    seed->big_endian = strcmp(syntax, "1.2.840.10008.1.2.2") == 0;
    seed->deflated = strcmp(syntax, "1.2.840.10008.1.2.1.99") == 0;
    return syntax[0] != '\0' && at < META_MOST;
}

bool seed_read(struct seed *seed, const uint8_t *bytes, size_t length)
{
    *seed = (struct seed){.length = length};
    seed->bytes = xmalloc(length + 1);
    memcpy(seed->bytes, bytes, length);
    bool ok = read_meta_header(seed) && (!seed->deflated || inflate_data_set(seed)) && find_spots(seed);
    if (!ok)
        seed_clear(seed);
    return ok;
}

bool seed_make(struct seed *seed, const uint8_t *bytes, size_t length, size_t most)
{
    if (!seed_read(seed, bytes, length))
        return false;
    cut_pixels(seed);
    seed->spot_count = 0;
    bool ok = seed->length <= most && find_spots(seed);
    if (!ok)
        seed_clear(seed);
    return ok;
}

void seed_clear(struct seed *seed)
{
    free(seed->bytes);
    free(seed->spots);
    *seed = (struct seed){0};
}
