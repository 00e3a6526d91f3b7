#include "worker/decoder/codec/native.h"

#include <string.h>

#include "worker/decoder/vectors.h"

void native_swap(void *bytes, size_t count, uint32_t unit)
{
    if (unit == 2) {
        uint16_t *at = bytes;
        for (size_t i = 0; i < count; i++)
            at[i] = __builtin_bswap16(at[i]);
    } else if (unit == 4) {
        uint32_t *at = bytes;
        for (size_t i = 0; i < count; i++)
            at[i] = __builtin_bswap32(at[i]);
    } else if (unit == 8) {
        uint64_t *at = bytes;
        for (size_t i = 0; i < count; i++)
            at[i] = __builtin_bswap64(at[i]);
    }
}

/* The loops below are written once for each width, so that the compiler sees a constant stride. memcpy()
 * because a frame's first byte may lie at any address. */
#define INTERLEAVE(width)                                                \
    for (size_t i = 0; i < pixels; i++, to += (size_t)samples * (width)) \
    memcpy(to, from + i * (width), (width))

void native_interleave(void *out, const void *in, size_t pixels, uint32_t samples, uint32_t bytes)
{
    for (uint32_t sample = 0; sample < samples; sample++) {
        const uint8_t *from = (const uint8_t *)in + (size_t)sample * pixels * bytes;
        uint8_t *to = (uint8_t *)out + (size_t)sample * bytes;
        switch (bytes) {
        case 1:
            INTERLEAVE(1);
            break;
        case 2:
            INTERLEAVE(2);
            break;
        case 4:
            INTERLEAVE(4);
            break;
        default:
            INTERLEAVE(8);
            break;
        }
    }
}

void native_widen_422(void *out, const void *in, size_t pairs, uint32_t bytes)
{
    static const uint32_t order[6] = {0, 2, 3, 1, 2, 3};
    const uint8_t *from = in;
    uint8_t *to = out;
    for (size_t i = 0; i < pairs; i++, from += 4 * (size_t)bytes)
        for (uint32_t sample = 0; sample < 6; sample++, to += bytes)
            memcpy(to, from + (size_t)order[sample] * bytes, bytes);
}

static void unpack_single_bits(uint8_t *out, const uint8_t *in, uint64_t first_bit, size_t count)
{
    in += first_bit / 8;
    uint32_t bit = (uint32_t)(first_bit % 8);
    for (size_t i = 0; i < count; in++, bit = 0)
        for (uint32_t bits = (uint32_t)*in >> bit; bit < 8 && i < count; bit++, bits >>= 1)
            out[i++] = bits & 1;
}

void native_unpack_bits(void *out, uint32_t bytes, const uint8_t *in, uint64_t first_bit, size_t count,
                        uint32_t bits)
{
    if (bits == 1 && bytes == 1) {
        unpack_single_bits(out, in, first_bit, count);
        return;
    }
    /* A byte is read only when a bit of it is needed, so that nothing behind the end is touched. */
    uint64_t held = 0;
    uint32_t have = 0;
    in += first_bit / 8;
    if (first_bit % 8 != 0 && count > 0) {
        have = 8 - (uint32_t)(first_bit % 8);
        held = (uint64_t)*in++ >> (first_bit % 8);
    }
    for (size_t i = 0; i < count; i++) {
        for (; have < bits; have += 8)
            held |= (uint64_t)*in++ << have;
        uint32_t value = (uint32_t)(held & (((uint64_t)1 << bits) - 1));
        held >>= bits;
        have -= bits;
        if (bytes == 1)
            ((uint8_t *)out)[i] = (uint8_t)value;
        else if (bytes == 2)
            ((uint16_t *)out)[i] = (uint16_t)value;
        else
            ((uint32_t *)out)[i] = value;
    }
}

void native_pick_bit(uint8_t *packed, const uint8_t *in, uint64_t first_bit, size_t count, uint32_t bits,
                     uint32_t bit, bool big_endian)
{
    /* In a container of 2 or 4 bytes, this turns the number of a byte into that from the other end. */
    uint64_t turn = big_endian ? bits / 8 - 1 : 0, at = first_bit + bit;
    memset(packed, 0, (count + 7) / 8);
    for (size_t i = 0; i < count; i++, at += bits)
        packed[i / 8] |= (uint8_t)((in[at / 8 ^ turn] >> (at % 8) & 1) << (i % 8));
}

/* The sign is extended by (x ^ s) - s, s being the sign's bit: no shift of a negative number, and the same
 * vector instructions for every width. */
#define DEFINE_EXTRACT(name, type)                                                                       \
    FOR_EACH_VECTOR_WIDTH static void name(type *at, size_t count, uint32_t shift, type mask, type sign) \
    {                                                                                                    \
        for (size_t i = 0; i < count; i++) {                                                             \
            type value = (type)((type)(at[i] >> shift) & mask);                                          \
            at[i] = (type)((type)(value ^ sign) - sign);                                                 \
        }                                                                                                \
    }

DEFINE_EXTRACT(extract_8, uint8_t)
DEFINE_EXTRACT(extract_16, uint16_t)
DEFINE_EXTRACT(extract_32, uint32_t)

void native_extract(struct codec_samples *samples, uint32_t shift, uint32_t bits, bool is_signed)
{
    size_t count = codec_samples_count(samples);
    uint32_t width = samples->bytes * 8;
    samples->is_signed = is_signed;
    if (samples->is_float || bits == 0 || (shift == 0 && bits >= width))
        return;
    if (bits > width)
        bits = width;
    uint32_t mask = (uint32_t)(((uint64_t)1 << bits) - 1), sign = is_signed ? 1u << (bits - 1) : 0;
    if (samples->bytes == 1)
        extract_8(samples->data, count, shift, (uint8_t)mask, (uint8_t)sign);
    else if (samples->bytes == 2)
        extract_16(samples->data, count, shift, (uint16_t)mask, (uint16_t)sign);
    else if (samples->bytes == 4)
        extract_32(samples->data, count, shift, mask, sign);
}
