#include "worker/decoder/codec.h"

#include <string.h>

#include "common/alloc.h"

#define HEADER_BYTES 64u
#define MAX_SEGMENTS 15u
#define LONGEST_RUN 128u /* bytes that two bytes of a stream can stand for */

struct segment {
    const uint8_t *at;
    const uint8_t *end;
};

static uint32_t u32_little(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Fill `count` bytes, `stride` apart, from a segment. The stride is that of one byte of one sample in the
 * finished frame, so that no second pass has to weave the segments together; the common 1 is a block copy. */
static bool expand(struct segment segment, uint8_t *out, size_t count, size_t stride)
{
    const uint8_t *at = segment.at;
    while (count > 0) {
        if (segment.end - at < 2)
            return false;
        uint8_t control = *at++;
        if (control == 128)
            continue;
        size_t run = control < 128 ? (size_t)control + 1 : 257 - (size_t)control;
        if (run > count)
            run = count;
        if (control < 128) {
            size_t there = (size_t)(segment.end - at);
            size_t take = run < there ? run : there;
            if (stride == 1)
                memcpy(out, at, take);
            else
                for (size_t i = 0; i < take; i++)
                    out[i * stride] = at[i];
            if (take < run)
                return false;
            at += take;
        } else {
            uint8_t value = *at++;
            if (stride == 1)
                memset(out, value, run);
            else
                for (size_t i = 0; i < run; i++)
                    out[i * stride] = value;
        }
        count -= run;
        if (count > 0)
            out += run * stride;
    }
    return true;
}

/* The segments' places, checked: each begins behind the header, none before the one ahead of it. */
static bool find_segments(const uint8_t *stream, size_t length, uint32_t wanted, struct segment *segments,
                          struct error *err)
{
    if (length < HEADER_BYTES)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "the RLE header is cut");
    uint32_t count = u32_little(stream);
    if (count == 0 || count > MAX_SEGMENTS)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "%u RLE segments", count);
    if (count != wanted)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                           "%u RLE segments where the header means %u", count, wanted);
    for (uint32_t i = 0; i < count; i++) {
        size_t start = u32_little(stream + 4 + 4 * i);
        size_t end = i + 1 < count ? u32_little(stream + 8 + 4 * i) : length;
        if (start > length)
            return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "RLE segment %u is missing", i);
        if (start < HEADER_BYTES || end < start)
            return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "RLE segment %u has no valid place", i);
        segments[i].at = stream + start;
        segments[i].end = stream + (end < length ? end : length);
    }
    return true;
}

/* Where a byte of a segment goes: segments are the bytes of a sample, the most significant first (PS3.5 G.2),
 * and `out` is in the order of this machine. */
static size_t byte_place(uint32_t segment, uint32_t bytes)
{
    uint32_t sample = segment / bytes, significance = bytes - 1 - segment % bytes;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)sample * bytes + significance;
#else
    return (size_t)sample * bytes + (bytes - 1 - significance);
#endif
}

/* Bits, the least significant first, to a byte each. The packed bits were put at the end of the buffer by the
 * caller, so that the frame needs no second one: the byte being read is never behind the ones being written.
 */
static void unpack_bits(uint8_t *out, const uint8_t *packed, size_t count)
{
    for (size_t i = 0; i < count;) {
        uint8_t bits = packed[i / 8];
        size_t end = i + 8 < count ? i + 8 : count;
        for (; i < end; i++, bits = (uint8_t)(bits >> 1))
            out[i] = bits & 1;
    }
}

bool codec_rle(const uint8_t *stream, size_t length, const struct codec_frame *frame,
               struct codec_samples *out, struct error *err)
{
    struct segment segments[MAX_SEGMENTS];
    bool one_bit = frame->bits_allocated == 1;
    uint32_t bytes = one_bit ? 1 : frame->bits_allocated / 8;
    if (!one_bit && (bytes == 0 || bytes == 3 || bytes > 4 || frame->bits_allocated % 8 != 0))
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS, "%u bits allocated in RLE",
                           frame->bits_allocated);
    uint64_t pixels = (uint64_t)frame->rows * frame->columns;
    uint64_t samples = pixels * frame->samples;
    uint64_t needed = one_bit ? (samples + 7) / 8 : pixels;
    if (!find_segments(stream, length, one_bit ? 1 : bytes * frame->samples, segments, err))
        return false;
    /* A header may promise a frame of gigabytes over a stream of bytes: refused before memory is asked for.
     */
    if (needed / (LONGEST_RUN / 2) > length)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT,
                           "%zu bytes of RLE cannot hold the frame", length);
    if (!codec_samples_reserve(out, frame->rows, frame->columns, frame->samples, bytes, err))
        return false;
    out->precision = frame->bits_stored;
    uint8_t *data = out->data;
    if (one_bit) {
        uint8_t *packed = data + (size_t)(samples - needed);
        if (!expand(segments[0], packed, (size_t)needed, 1))
            return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "the RLE segment is too short");
        unpack_bits(data, packed, (size_t)samples);
        return true;
    }
    size_t stride = (size_t)bytes * frame->samples;
    for (uint32_t i = 0; i < bytes * frame->samples; i++)
        if (!expand(segments[i], data + byte_place(i, bytes), (size_t)pixels, stride))
            return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "RLE segment %u is too short", i);
    return true;
}
