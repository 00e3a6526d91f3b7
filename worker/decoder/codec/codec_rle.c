#include "worker/decoder/codec/codec.h"

#include <string.h>

#include "common/alloc.h"
#include "worker/decoder/vectors.h"
#include "worker/decoder/vectors_512.h"

#define HEADER_BYTES 64u
#define MAX_SEGMENTS 15u
#define LONGEST_RUN 128u                 /* bytes that two bytes of a stream can stand for */
#define NO_OPERATION 128u                /* the control byte that stands for nothing       */
#define PLANES_BYTES ((size_t)16 * 1024) /* as many bytes of all segments as stay close to the core */

/* A segment that is being expanded. */
struct segment {
    const uint8_t *at;
    const uint8_t *end;
    size_t left; /* bytes of the run begun that are still to be put out */
    bool is_literal;
};

static uint32_t u32_little(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Runs as long as there is room for the longest, in the segment and in front of `end`, so that a run is
 * written in steps of 16 bytes whatever its length. Most are short, and which of the two kinds comes next
 * cannot be foretold: both take the same steps. */
static uint8_t *expand_ahead(struct segment *segment, uint8_t *out, const uint8_t *end)
{
    const uint8_t *at = segment->at;
    while (segment->end - at > (ptrdiff_t)LONGEST_RUN && end - out >= (ptrdiff_t)LONGEST_RUN) {
        const uint32_t control = at[0];
        const bool is_literal = control < NO_OPERATION;
        const uint32_t run = is_literal ? control + 1 : 257 - control;
        const uint64_t same = is_literal ? 0 : ~(uint64_t)0, value = at[1] * 0x0101010101010101u;
        if (control == NO_OPERATION) {
            at++;
            continue;
        }
        for (uint32_t i = 0; i < run; i += 16) {
            uint64_t words[2];
            memcpy(words, at + 1 + i, sizeof words);
            words[0] = (words[0] & ~same) | (value & same);
            words[1] = (words[1] & ~same) | (value & same);
            memcpy(out + i, words, sizeof words);
        }
        out += run;
        at += is_literal ? 1 + run : 2;
    }
    segment->at = at;
    return out;
}

#ifdef VECTORS_512
/* In steps of 64: hardly a run takes two. */
VECTORS_512 static uint8_t *expand_ahead_512(struct segment *segment, uint8_t *out, const uint8_t *end)
{
    const uint8_t *at = segment->at;
    while (segment->end - at > (ptrdiff_t)LONGEST_RUN && end - out >= (ptrdiff_t)LONGEST_RUN) {
        const uint32_t control = at[0];
        const bool is_literal = control < NO_OPERATION;
        const uint32_t run = is_literal ? control + 1 : 257 - control;
        const __mmask64 same = is_literal ? 0 : ~UINT64_C(0);
        const __m512i value = _mm512_set1_epi8((char)at[1]);
        if (control == NO_OPERATION) {
            at++;
            continue;
        }
        for (uint32_t i = 0; i < run; i += 64)
            _mm512_storeu_si512(out + i, _mm512_mask_mov_epi8(_mm512_loadu_si512(at + 1 + i), same, value));
        out += run;
        at += is_literal ? 1 + run : 2;
    }
    segment->at = at;
    return out;
}
#else
#define expand_ahead_512 expand_ahead
#endif

/* Put out what is left of a run, up to `room` bytes of it; returns how many. */
static size_t expand_rest(struct segment *segment, uint8_t *out, size_t room)
{
    size_t count = segment->left < room ? segment->left : room;
    if (count == 0)
        return 0;
    if (segment->is_literal) {
        const size_t there = (size_t)(segment->end - segment->at);
        if (count > there)
            count = segment->left = there;
        memcpy(out, segment->at, count);
        segment->at += count;
    } else {
        memset(out, segment->at[-1], count);
    }
    segment->left -= count;
    return count;
}

/* The next `count` bytes of a segment; returns how many of them it lacks, which become 0. */
static size_t expand(struct segment *segment, uint8_t *out, size_t count)
{
    uint8_t *end = out + count;
    while (out < end) {
        out += expand_rest(segment, out, (size_t)(end - out));
        if (segment->left == 0)
            out = vectors_are_512() ? expand_ahead_512(segment, out, end) : expand_ahead(segment, out, end);
        if (out == end || segment->left > 0)
            continue;
        if (segment->end - segment->at < 2)
            break;
        const uint32_t control = *segment->at++;
        segment->is_literal = control < NO_OPERATION;
        if (control == NO_OPERATION)
            continue;
        segment->left = segment->is_literal ? control + 1 : 257 - control;
        if (!segment->is_literal)
            segment->at++;
    }
    memset(out, 0, (size_t)(end - out));
    return (size_t)(end - out);
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

/* Weave planes, `distance` bytes apart, to samples. Two and three are the common numbers; the compiler makes
 * vectors of them. */
FOR_EACH_VECTOR_WIDTH static void weave(uint8_t *restrict out, const uint8_t *restrict planes,
                                        size_t distance, size_t count, size_t step)
{
    const uint8_t *second = planes + distance, *third = second + distance;
    if (step == 2) {
        for (size_t i = 0; i < count; i++) {
            out[2 * i] = planes[i];
            out[2 * i + 1] = second[i];
        }
        return;
    }
    if (step == 3) {
        for (size_t i = 0; i < count; i++) {
            out[3 * i] = planes[i];
            out[3 * i + 1] = second[i];
            out[3 * i + 2] = third[i];
        }
        return;
    }
    for (size_t k = 0; k < step; k++)
        for (size_t i = 0; i < count; i++)
            out[i * step + k] = planes[k * distance + i];
}

/* All segments of the frame to the places of their bytes; returns how many bytes were lacking. Some of each
 * at a time, so that they need not go through memory twice. */
static uint64_t expand_all(struct segment *segments, const struct codec_samples *out)
{
    uint8_t planes[PLANES_BYTES], *data = out->data;
    const size_t pixels = (size_t)out->rows * out->columns, step = (size_t)out->bytes * out->samples;
    const size_t distance = PLANES_BYTES / step;
    uint64_t lacking = 0;
    if (step == 1)
        return expand(&segments[0], data, pixels);
    for (size_t done = 0; done < pixels; done += distance) {
        const size_t count = pixels - done < distance ? pixels - done : distance;
        for (uint32_t i = 0; i < step; i++)
            lacking += expand(&segments[i], planes + byte_place(i, out->bytes) * distance, count);
        weave(data + done * step, planes, distance, count, step);
    }
    return lacking;
}

static uint64_t expand_bits(struct segment *segment, const struct codec_samples *out)
{
    size_t samples = codec_samples_count(out), bytes = samples / 8 + (samples % 8 != 0);
    uint8_t *data = out->data, *packed = data + (samples - bytes);
    uint64_t lacking = expand(segment, packed, bytes);
    unpack_bits(data, packed, samples);
    return lacking;
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
    uint64_t needed = one_bit ? (pixels * frame->samples + 7) / 8 : pixels;
    uint32_t wanted = one_bit ? 1 : bytes * frame->samples, count = 0;
    const char *overruled;
    if (wanted > MAX_SEGMENTS)
        return error_input(err, CATEGORY_UNDECODABLE, CODE_UNSUPPORTED_PIXELS, "%u RLE segments", wanted);
    for (uint32_t i = 0; i < MAX_SEGMENTS; i++)
        segments[i] = (struct segment){.at = stream, .end = stream}; /* empty */
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
    out->missing = one_bit ? expand_bits(&segments[0], out) : expand_all(segments, out);
    out->ends_early = out->missing > 0;
    if (out->ends_early && (!frame->allow_truncated || out->missing == needed * wanted))
        return error_input(
            err, CATEGORY_CONTRADICTION, CODE_TOO_SHORT, "%llu of %llu bytes are in the RLE segments",
            (unsigned long long)(needed * wanted - out->missing), (unsigned long long)(needed * wanted));
    return true;
}
