#include "worker/decoder/codec/codec_jpegls_bits.h"

#define ONES UINT64_C(0x0101010101010101)

/* Bits that are not yet a whole word of the copy. */
struct pending {
    uint8_t *out;
    uint64_t word; /* from the top, zeros below */
    uint32_t count;
};

static void store(uint8_t *out, uint64_t word)
{
    word = htobe64(word);
    memcpy(out, &word, sizeof word);
}

/* Whether a byte of the word is FF: its complement has a byte 0. */
static bool has_ff(uint64_t word)
{
    return ((~word - ONES) & word & (ONES << 7)) != 0;
}

/* Append the low `count` bits of a byte, at most 8. */
static void append(struct pending *pending, uint32_t byte, uint32_t count)
{
    if (pending->count > 48) {
        store(pending->out, pending->word);
        pending->out += pending->count / 8;
        pending->word <<= pending->count & ~7u;
        pending->count &= 7;
    }
    pending->word |= (uint64_t)byte << (64 - pending->count - count);
    pending->count += count;
}

/* As many whole words as hold no FF. Returns the first byte not taken. */
static size_t append_words(struct pending *pending, const uint8_t *stream, size_t at, size_t length)
{
    const uint32_t shift = pending->count;
    while (length - at >= 8) {
        uint64_t word;
        memcpy(&word, stream + at, sizeof word);
        if (has_ff(word))
            break;
        word = be64toh(word);
        store(pending->out, pending->word | word >> shift);
        pending->out += 8;
        pending->word = word << (63 - shift) << 1;
        at += 8;
    }
    return at;
}

size_t jpegls_unstuff(const uint8_t *stream, size_t at, size_t length, uint8_t *out, struct jpegls_bits *bits)
{
    struct pending pending = {.out = out};
    while (at < length) {
        at = append_words(&pending, stream, at, length);
        while (at < length && stream[at] != 0xFF)
            append(&pending, stream[at++], 8);
        /* A marker, or the half of one: the bits of an FF without what follows it are no data either. */
        if (length - at < 2 || stream[at + 1] >= 0x80)
            break;
        append(&pending, 0xFF, 8);
        append(&pending, stream[at + 1], 7);
        at += 2;
    }
    *bits = (struct jpegls_bits){.bytes = out, .end = (uint64_t)(pending.out - out) * 8 + pending.count};
    store(pending.out, pending.word);
    memset(pending.out + 8, 0, JPEGLS_PADDING - 8);
    return at;
}

bool jpegls_bits_rest_is_zero(const struct jpegls_bits *bits, uint64_t at)
{
    for (; at < bits->end; at += JPEGLS_PEEKED)
        if (jpegls_bits_peek(bits->bytes, at) >> (64 - JPEGLS_PEEKED) != 0)
            return false;
    return true;
}
