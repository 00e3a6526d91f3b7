/* RLE of frames that take more than one step: runs of every kind and length in every layout of samples,
 * against an expansion byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/hide_vectors.h"
#include "worker/decoder/codec/codec.h"

#define HEADER 64u
#define SEGMENTS_MOST 15u

static uint32_t dice(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % below);
}

/* A frame as it is made: its stream, and the bytes of each segment. */
struct rle {
    uint8_t *stream;
    size_t length, room;
    uint8_t *planes; /* `pixels` bytes of each */
    size_t pixels;
};

static void put_u32(uint8_t *at, size_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void put(struct rle *rle, uint32_t byte)
{
    assert_true(rle->length < rle->room);
    rle->stream[rle->length++] = (uint8_t)byte;
}

/* A segment of `pixels` bytes and, where a run goes on, some more. `longest` limits the runs. */
static void put_segment(struct rle *rle, uint32_t segment, uint32_t longest, uint64_t *state)
{
    uint8_t *plane = rle->planes + segment * rle->pixels;
    put_u32(rle->stream, segment + 1);
    put_u32(rle->stream + 4 + 4 * (size_t)segment, rle->length);
    for (size_t done = 0; done < rle->pixels;) {
        const uint32_t kind = dice(state, 20), run = 1 + dice(state, longest);
        if (kind == 0) {
            put(rle, 128);
            continue;
        }
        const bool is_literal = kind < 10 || run == 1;
        put(rle, is_literal ? run - 1 : 257 - run);
        uint32_t byte = dice(state, 256);
        for (uint32_t i = 0; i < run; i++) {
            if (is_literal)
                byte = dice(state, 256);
            if (is_literal || i == 0)
                put(rle, byte);
            if (done < rle->pixels)
                plane[done++] = (uint8_t)byte;
        }
    }
}

static void make(struct rle *rle, const struct codec_frame *frame, uint32_t segments, uint32_t longest,
                 uint64_t *state)
{
    rle->pixels = (size_t)frame->rows * frame->columns;
    rle->room = HEADER + segments * (3 * rle->pixels + 200);
    rle->length = HEADER;
    rle->stream = test_calloc(1, rle->room);
    rle->planes = test_calloc(segments, rle->pixels);
    for (uint32_t i = 0; i < segments; i++)
        put_segment(rle, i, longest, state);
}

static void clear(struct rle *rle)
{
    test_free(rle->stream);
    test_free(rle->planes);
}

/* Decode the first `length` bytes from a copy of that size. */
static bool decode(const struct rle *rle, size_t length, const struct codec_frame *frame,
                   struct codec_samples *out)
{
    struct error err;
    uint8_t *copy = test_malloc(length);
    memcpy(copy, rle->stream, length);
    bool ok = codec_rle(copy, length, frame, out, &err);
    test_free(copy);
    return ok;
}

/* Segments hold the bytes of a sample from the most significant on (PS3.5 G.2). */
static uint32_t sample_of(const struct rle *rle, uint32_t bytes, uint32_t sample, size_t pixel)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < bytes; i++)
        value = value << 8 | rle->planes[(sample * bytes + i) * rle->pixels + pixel];
    return value;
}

static void check(const struct rle *rle, const struct codec_samples *out)
{
    for (size_t pixel = 0; pixel < rle->pixels; pixel++)
        for (uint32_t sample = 0; sample < out->samples; sample++) {
            const size_t index = pixel * out->samples + sample;
            if ((uint32_t)codec_sample(out, index) != sample_of(rle, out->bytes, sample, pixel))
                fail_msg("%u samples of %u bytes: sample %zu is wrong", out->samples, out->bytes, index);
        }
}

static const struct {
    uint32_t rows, columns;
} sizes[] = {{1, 1}, {1, 127}, {3, 43}, {2, 65}, {16, 129}, {64, 64}, {97, 171}, {130, 300}};

static void test_every_layout(void **state)
{
    (void)state;
    static const uint32_t longest[] = {1, 3, 17, 128};
    struct codec_samples out = {0};
    uint64_t dices = 7;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (uint32_t bits = 8; bits <= 32; bits *= 2)
            for (uint32_t samples = 1; samples <= 3; samples++)
                for (size_t k = 0; k < sizeof longest / sizeof longest[0]; k++) {
                    struct codec_frame frame = {sizes[i].rows, sizes[i].columns, samples, bits, bits, false,
                                                false};
                    struct rle rle;
                    make(&rle, &frame, samples * bits / 8, longest[k], &dices);
                    assert_true(decode(&rle, rle.length, &frame, &out));
                    assert_int_equal(out.missing, 0);
                    check(&rle, &out);
                    clear(&rle);
                }
    codec_samples_clear(&out);
}

/* Cut in its last segment: refused, or what is lacking is 0 and counted. */
static void test_cut_segments(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    uint64_t dices = 11;
    for (uint32_t bits = 8; bits <= 32; bits *= 2)
        for (uint32_t round = 0; round < 60; round++) {
            struct codec_frame frame = {97, 171, 1 + round % 3, bits, bits, false, false};
            const uint32_t segments = frame.samples * bits / 8;
            struct rle rle;
            make(&rle, &frame, segments, 128, &dices);
            size_t last = 0;
            for (int i = 0; i < 4; i++)
                last |= (size_t)rle.stream[4 * (size_t)segments + (size_t)i] << (8 * i);
            size_t length = last + 1 + dice(&dices, (uint32_t)(rle.length - last) - 1);
            frame.allow_truncated = true;
            if (!decode(&rle, length, &frame, &out)) {
                assert_int_equal(segments, 1); /* nothing of it was there */
                clear(&rle);
                continue;
            }
            assert_in_range(out.missing, 0, rle.pixels);
            assert_int_equal(out.ends_early, out.missing > 0);
            memset(rle.planes + segments * rle.pixels - out.missing, 0, out.missing);
            check(&rle, &out);
            frame.allow_truncated = false;
            assert_int_equal(decode(&rle, length, &frame, &out), out.missing == 0);
            clear(&rle);
        }
    codec_samples_clear(&out);
}

/* Four samples of four bytes would need a segment more than a header can name. */
static void test_too_many_segments(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    struct codec_frame frame = {1, 1, 4, 32, 32, false, true};
    struct error err;
    uint8_t stream[HEADER + 4 * (SEGMENTS_MOST + 1)] = {SEGMENTS_MOST};
    for (uint32_t i = 0; i < SEGMENTS_MOST; i++)
        put_u32(stream + 4 + 4 * (size_t)i, HEADER + 2 * i);
    assert_false(codec_rle(stream, sizeof stream, &frame, &out, &err));
    assert_string_equal(err.code, CODE_UNSUPPORTED_PIXELS);
    codec_samples_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_layout),
        cmocka_unit_test(test_cut_segments),
        cmocka_unit_test(test_too_many_segments),
    };
    int failed = cmocka_run_group_tests_name("codec_rle", tests, NULL, NULL);
    hide_vectors = true; /* the same without vectors of 64 bytes */
    return failed + cmocka_run_group_tests_name("codec_rle, narrow", tests, NULL, NULL);
}
