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
 * finished frame, so that no second pass has to weave the segments together; the common 1 is a block copy.
 * Returns how many bytes the segment lacked. */
static size_t expand(struct segment segment, uint8_t *out, size_t count, size_t stride)
{
    const uint8_t *at = segment.at;
    while (count > 0) {
        if (segment.end - at < 2)
            return count;
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
                return count - take;
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
    return 0;
}

/* The place of a segment's first byte, or 0 where the header gives none that could be. */
static size_t place_of(const uint8_t *stream, size_t length, uint32_t segment)
{
    size_t place = u32_little(stream + 4 + 4 * segment);
    return place >= HEADER_BYTES && place <= length ? place : 0;
}

/* Whether `wanted` segments have places though the header counts fewer: the first at its only place (PS3.5
 * G.5), each other behind the one before. */
static bool has_places(const uint8_t *stream, size_t length, uint32_t wanted)
{
    for (uint32_t i = 1; i < wanted; i++)
        if (place_of(stream, length, i) <= place_of(stream, length, i - 1))
            return false;
    return place_of(stream, length, 0) == HEADER_BYTES;
}

/* How many of the wanted segments are there; what was overruled to find that. */
static bool count_segments(const uint8_t *stream, size_t length, uint32_t wanted, bool allow_truncated,
                           uint32_t *count, const char **overruled, struct error *err)
{
    *overruled = NULL;
    if (length < HEADER_BYTES)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "the RLE header is cut");
    *count = u32_little(stream);
    if (*count > MAX_SEGMENTS || (*count == 0 && !allow_truncated))
        return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "%u RLE segments", *count);
    if (*count == wanted)
        return true;
    *overruled = *count > wanted ? "more RLE segments than samples need"
                                 : "RLE segment count overruled by the segments' places";
    if (*count > wanted || has_places(stream, length, wanted)) {
        *count = wanted;
        return true;
    }
    *overruled = NULL;
    return allow_truncated || error_input(err, CATEGORY_CONTRADICTION, CODE_MALFORMED,
                                          "%u RLE segments where the header means %u", *count, wanted);
}

/* The segments' places, checked: each begins behind the header, none before the one ahead of it. One behind
 * the end of the stream is empty, with allow_truncated. */
static bool find_segments(const uint8_t *stream, size_t length, uint32_t count, bool allow_truncated,
                          struct segment *segments, struct error *err)
{
    size_t begin = HEADER_BYTES;
    uint32_t listed = u32_little(stream) > count ? u32_little(stream) : count;
    for (uint32_t i = 0; i < count; i++) {
        size_t start = u32_little(stream + 4 + 4 * i);
        size_t end = i + 1 < listed ? u32_little(stream + 8 + 4 * i) : length;
        if (allow_truncated && i == 0 && place_of(stream, length, 0) == 0)
            start = HEADER_BYTES; /* where else (PS3.5 G.5) */
        bool is_missing = start > length, is_wrong = start < begin || end < start;
        if (is_missing && allow_truncated)
            continue;
        if (is_missing)
            return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "RLE segment %u is missing", i);
        if (is_wrong)
            return error_input(err, CATEGORY_UNDECODABLE, CODE_CODEC, "RLE segment %u has no valid place", i);
        begin = start;
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

/* All segments of the frame to the places of their bytes; returns how many bytes were lacking. */
static uint64_t expand_all(const struct segment *segments, uint32_t count, const struct codec_samples *out)
{
    size_t pixels = (size_t)out->rows * out->columns, stride = (size_t)out->bytes * out->samples;
    uint64_t lacking = 0;
    for (uint32_t i = 0; i < count; i++)
        lacking += expand(segments[i], (uint8_t *)out->data + byte_place(i, out->bytes), pixels, stride);
    return lacking;
}

static uint64_t expand_bits(struct segment segment, const struct codec_samples *out)
{
    size_t samples = codec_samples_count(out), bytes = samples / 8 + (samples % 8 != 0);
    uint8_t *data = out->data, *packed = data + (samples - bytes);
    uint64_t lacking = expand(segment, packed, bytes, 1);
    unpack_bits(data, packed, samples);
    return lacking;
}

bool codec_rle(const uint8_t *stream, size_t length, const struct codec_frame *frame,
               struct codec_samples *out, struct error *err)
{
    static const uint8_t nothing[1];
    struct segment segments[MAX_SEGMENTS];
    bool one_bit = frame->bits_allocated == 1;
    uint32_t bytes = one_bit ? 1 : frame->bits_allocated / 8;
    if (!one_bit && (bytes == 0 || bytes == 3 || bytes > 4 || frame->bits_allocated % 8 != 0))
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS, "%u bits allocated in RLE",
                           frame->bits_allocated);
    uint64_t pixels = (uint64_t)frame->rows * frame->columns;
    uint64_t needed = one_bit ? (pixels * frame->samples + 7) / 8 : pixels;
    uint32_t wanted = one_bit ? 1 : bytes * frame->samples, count;
    const char *overruled;
    for (uint32_t i = 0; i < MAX_SEGMENTS; i++)
        segments[i] = (struct segment){nothing, nothing};
    if (!count_segments(stream, length, wanted, frame->allow_truncated, &count, &overruled, err) ||
        !find_segments(stream, length, count, frame->allow_truncated, segments, err))
        return false;
    /* A header may promise a frame of gigabytes over a stream of bytes: refused before memory is asked for.
     */
    if (needed / (LONGEST_RUN / 2) > length && !frame->allow_truncated)
        return error_input(err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT,
                           "%zu bytes of RLE cannot hold the frame", length);
    if (!codec_samples_reserve(out, frame->rows, frame->columns, frame->samples, bytes, err))
        return false;
    out->precision = frame->bits_stored;
    out->overruled = place_of(stream, length, 0) == 0 ? "the first RLE segment's place overruled" : overruled;
    if (frame->allow_truncated)
        memset(out->data, 0, codec_samples_count(out) * out->bytes);
    out->missing = one_bit ? expand_bits(segments[0], out) : expand_all(segments, wanted, out);
    out->ends_early = out->missing > 0;
    if (out->ends_early && (!frame->allow_truncated || out->missing == needed * wanted))
        return error_input(
            err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "%llu of %llu bytes are in the RLE segments",
            (unsigned long long)(needed * wanted - out->missing), (unsigned long long)(needed * wanted));
    return true;
}
