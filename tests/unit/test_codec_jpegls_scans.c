/* JPEG-LS streams of every shape that ITU-T T.87 allows, by the writer of the tests; those that are cut, and
 * those that are damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/jpegls_writer.h"
#include "worker/decoder/codec/codec.h"

#define SAMPLES_MAX 16384u
#define STREAM_MAX 262144u

static uint64_t dice(uint64_t *state, uint64_t below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u % below;
}

/* ---- pictures --------------------------------------------------------------------------------------- */

enum content {
    CONTENT_NOISE,
    CONTENT_SLOPES,
    CONTENT_FLAT, /* long runs, and a few samples that end them */
    CONTENT_EDGES,
    CONTENT_STRIPES, /* whole rows alike: runs to the end of the line */
    CONTENT_COUNT
};

static uint16_t value_of(enum content content, int row, int column, int component, int maxval,
                         uint64_t *state)
{
    const uint64_t most = (uint64_t)maxval + 1;
    switch (content) {
    case CONTENT_NOISE:
        return (uint16_t)dice(state, most);
    case CONTENT_SLOPES:
        return (uint16_t)(((uint64_t)(row * 3 + column * (component + 2)) * most / 97 +
                           dice(state, 1 + most / 64)) %
                          most);
    case CONTENT_FLAT:
        return (uint16_t)(dice(state, 23) == 0 ? dice(state, most) : most / 3);
    case CONTENT_EDGES:
        return (uint16_t)((row / 5 + column / 7 + component) % 2 == 0 ? most - 1 - (dice(state, 9) == 0)
                                                                      : dice(state, 9) == 0);
    default:
        return (uint16_t)((uint64_t)(row / 2) * most / 17 % most);
    }
}

static void fill(struct jls_picture *picture, enum content content, int maxval, uint64_t seed)
{
    uint16_t *next = picture->samples;
    uint64_t state = seed * 7919 + 20261125;
    for (int row = 0; row < picture->rows; row++)
        for (int column = 0; column < picture->columns; column++)
            for (int i = 0; i < picture->components; i++)
                *next++ = value_of(content, row, column, i, maxval, &state);
}

/* ---- decoding ----------------------------------------------------------------------------------------- */

static struct codec_frame frame_of(const struct jls_picture *picture, bool allow_truncated)
{
    return (struct codec_frame){.rows = (uint32_t)picture->rows,
                                .columns = (uint32_t)picture->columns,
                                .samples = (uint32_t)picture->components,
                                .bits_allocated = picture->precision > 8 ? 16 : 8,
                                .bits_stored = (uint32_t)picture->precision,
                                .allow_truncated = allow_truncated};
}

/* Decode `length` bytes from a copy of exactly that size. */
static bool decode(const uint8_t *bytes, size_t length, const struct jls_picture *picture,
                   bool allow_truncated, struct codec_samples *out, struct error *err)
{
    const struct codec_frame frame = frame_of(picture, allow_truncated);
    uint8_t *copy = test_malloc(length > 0 ? length : 1);
    memcpy(copy, bytes, length);
    bool ok = codec_jpegls(copy, length, &frame, out, err);
    test_free(copy);
    return ok;
}

/* How many samples, from the first one on, are those of the picture. */
static size_t right_samples(const struct codec_samples *out, const struct jls_picture *picture)
{
    size_t count = codec_samples_count(out), i = 0;
    assert_int_equal(out->precision, picture->precision);
    assert_int_equal(out->bytes, picture->precision > 8 ? 2 : 1);
    while (i < count && codec_sample(out, i) == picture->samples[i])
        i++;
    return i;
}

static void check(const struct jls_stream *stream, const struct jls_picture *picture, const char *what)
{
    struct codec_samples out = {0};
    struct error err = {0};
    if (!decode(stream->bytes, stream->length, picture, false, &out, &err))
        fail_msg("%s: %s", what, err.text);
    size_t right = right_samples(&out, picture);
    if (right != codec_samples_count(&out))
        fail_msg("%s: sample %zu is %lld, not %u", what, right, (long long)codec_sample(&out, right),
                 picture->samples[right]);
    assert_false(out.ends_early);
    codec_samples_clear(&out);
}

struct fixture {
    uint16_t samples[SAMPLES_MAX];
    uint8_t bytes[STREAM_MAX];
    struct jls_picture picture;
    struct jls_stream stream;
};

static struct fixture *begin(int rows, int columns, int components, int precision)
{
    struct fixture *f = test_calloc(1, sizeof *f);
    assert_in_range((size_t)rows * (size_t)columns * (size_t)components, 1, SAMPLES_MAX);
    f->picture = (struct jls_picture){rows, columns, components, precision, f->samples};
    f->stream = (struct jls_stream){.bytes = f->bytes, .room = sizeof f->bytes};
    return f;
}

/* ---- what T.87 allows ------------------------------------------------------------------------------------
 */

/* H.3 of the standard, stream and samples. */
static void test_example_of_the_standard(void **state)
{
    static const uint8_t stream[] = {0xFF, 0xD8, 0xFF, 0xF7, 0x00, 0x0B, 0x08, 0x00, 0x04, 0x00, 0x04, 0x01,
                                     0x01, 0x11, 0x00, 0xFF, 0xDA, 0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x00,
                                     0x00, 0xC0, 0x00, 0x00, 0x6C, 0x80, 0x20, 0x8E, 0x01, 0xC0, 0x00, 0x00,
                                     0x57, 0x40, 0x00, 0x00, 0x6E, 0xE6, 0x00, 0x00, 0x01, 0xBC, 0x18, 0x00,
                                     0x00, 0x05, 0xD8, 0x00, 0x00, 0x91, 0x60, 0xFF, 0xD9};
    static const uint16_t samples[] = {0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145};
    static const struct jls_scan scan = {0, 1, 0, 0, 0};
    static const struct jls_preset defaults;
    (void)state;
    struct fixture *f = begin(4, 4, 1, 8);
    memcpy(f->samples, samples, sizeof samples);
    jls_put_all(&f->stream, &f->picture, &scan, &defaults);
    assert_int_equal(f->stream.length, sizeof stream);
    assert_memory_equal(f->bytes, stream, sizeof stream);
    check(&f->stream, &f->picture, "H.3");
    test_free(f);
}

struct kind {
    int components, interleave;
};

static const struct kind kinds[] = {{1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}, {2, 2},
                                    {3, 0}, {3, 1}, {3, 2}, {4, 0}, {4, 1}, {4, 2}};

static void round_trip(const struct kind *kind, enum content content, int precision, int rows, int columns,
                       struct jls_scan scan, const struct jls_preset *preset)
{
    char what[200];
    struct fixture *f = begin(rows, columns, kind->components, precision);
    const int maxval = preset->maxval ? preset->maxval : (1 << precision) - 1;
    fill(&f->picture, content, maxval, (uint64_t)(precision * 100 + scan.near));
    scan.interleave = kind->interleave;
    (void)snprintf(
        what, sizeof what,
        "%d x %d of %d, interleave %d, content %d, %d bits, near %d, interval %d, preset %d %d %d %d %d",
        columns, rows, kind->components, kind->interleave, (int)content, precision, scan.near, scan.interval,
        preset->maxval, preset->t1, preset->t2, preset->t3, preset->reset);
    jls_put_all(&f->stream, &f->picture, &scan, preset);
    check(&f->stream, &f->picture, what);
    test_free(f);
}

static void test_every_precision_and_interleave(void **state)
{
    static const struct jls_preset defaults;
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int precision = 2; precision <= 16; precision++)
            for (int content = 0; content < CONTENT_COUNT; content++)
                round_trip(&kinds[i], content, precision, 37, 41, (struct jls_scan){.near = 0}, &defaults);
}

static void test_every_nearness(void **state)
{
    static const struct jls_preset defaults;
    static const int nears[] = {1, 2, 3, 5, 11, 60, 127, 255};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int precision = 2; precision <= 16; precision += 1 + precision % 2)
            for (size_t k = 0; k < sizeof nears / sizeof nears[0]; k++)
                for (int content = 0; content < CONTENT_COUNT && nears[k] <= ((1 << precision) - 1) / 2;
                     content++)
                    round_trip(&kinds[i], content, precision, 23, 29, (struct jls_scan){.near = nears[k]},
                               &defaults);
}

static void test_every_small_size(void **state)
{
    static const struct jls_preset defaults;
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int rows = 1; rows <= 6; rows++)
            for (int columns = 1; columns <= 34; columns += columns < 10 ? 1 : 8)
                for (int content = 0; content < CONTENT_COUNT; content++)
                    round_trip(&kinds[i], content, 8 + rows, rows, columns, (struct jls_scan){.near = 0},
                               &defaults);
}

static void test_parameters_of_the_writers_own(void **state)
{
    static const struct {
        int precision, near;
        struct jls_preset preset;
    } cases[] = {
        {8, 0, {255, 0, 0, 0, 0}},        {8, 0, {200, 0, 0, 0, 0}},         {8, 0, {0, 9, 9, 9, 31}},
        {8, 0, {0, 1, 2, 255, 3}},        {8, 2, {0, 3, 3, 250, 255}},       {8, 3, {17, 0, 0, 0, 0}},
        {8, 0, {1, 0, 0, 0, 0}},          {8, 0, {2, 1, 1, 1, 4}},           {12, 0, {4000, 0, 0, 0, 0}},
        {12, 0, {4095, 20, 70, 280, 0}},  {12, 7, {3000, 8, 100, 3000, 5}},  {16, 0, {65534, 0, 0, 0, 0}},
        {16, 0, {4095, 0, 0, 0, 0}},      {16, 0, {65535, 18, 67, 276, 64}}, {16, 9, {50000, 0, 0, 0, 1000}},
        {16, 0, {0, 1, 1, 65535, 65535}}, {2, 0, {3, 1, 2, 3, 0}},           {2, 1, {3, 0, 0, 0, 3}},
        {5, 0, {16, 0, 0, 0, 0}},         {9, 0, {256, 0, 0, 0, 0}},         {16, 255, {511, 0, 0, 0, 0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
            for (int content = 0; content < CONTENT_COUNT; content++)
                round_trip(&kinds[i], content, cases[k].precision, 31, 33,
                           (struct jls_scan){.near = cases[k].near}, &cases[k].preset);
}

static void test_restart_intervals(void **state)
{
    static const struct jls_preset defaults, own = {0, 3, 5, 90, 16};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int interval = 1; interval <= 40; interval += 1 + interval / 3)
            for (int content = 0; content < CONTENT_COUNT; content++) {
                round_trip(&kinds[i], content, 8, 36 + content, 19,
                           (struct jls_scan){.near = 0, .interval = interval}, &defaults);
                round_trip(&kinds[i], content, 12, 37 + content, 19,
                           (struct jls_scan){.near = 2, .interval = interval}, &own);
            }
}

/* Scans of some components, in an order of their own, with parameters of their own. */
static void test_scans_that_differ(void **state)
{
    static const struct jls_preset defaults, own = {0, 5, 9, 100, 20};
    static const struct jls_scan scans[] = {{2, 2, 2, 0, 0}, {1, 1, 0, 3, 0}, {0, 1, 0, 0, 7}};
    (void)state;
    struct fixture *f = begin(40, 33, 4, 10);
    fill(&f->picture, CONTENT_SLOPES, 1023, 1);
    jls_put_frame(&f->stream, &f->picture);
    jls_put_scan(&f->stream, &f->picture, &scans[0], &defaults);
    jls_put_preset(&f->stream, &own);
    jls_put_scan(&f->stream, &f->picture, &scans[1], &own);
    jls_put_interval(&f->stream, 7, 2);
    jls_put_scan(&f->stream, &f->picture, &scans[2], &own);
    jls_u16(&f->stream, 0xFFD9);
    check(&f->stream, &f->picture, "scans that differ");
    test_free(f);
}

/* ---- what is refused -------------------------------------------------------------------------------------
 */

/* One byte of a good stream changed to what is not allowed. */
static void test_headers_that_are_refused(void **state)
{
    static const struct {
        size_t place;
        uint8_t value;
        const char *text;
    } cases[] = {
        {1, 0xD9, "no start of image"},
        {3, 0xC3, "another kind of JPEG"},
        {5, 10, "the frame header is cut"},
        {6, 1, "a JPEG-LS stream of 1 bits"},
        {6, 17, "a JPEG-LS stream of 17 bits"},
        {8, 9, "the header says"},
        {10, 8, "the header says"},
        {11, 2, "the frame header is cut"},
        {13, 0x21, "components of unequal size"},
        {16, 0xF7, "two frame headers"},
        {18, 12, "parameters are cut"},
        {19, 2, "a mapping table"},
        {19, 3, "a mapping table"},
        {19, 4, "parameters of no known kind"},
        {20, 1, "parameters that are not allowed"},
        {22, 1, "parameters that are not allowed"},
        {25, 2, "parameters that are not allowed"},
        {26, 1, "parameters that are not allowed"},
        {28, 2, "parameters that are not allowed"},
        {29, 2, "parameters that are not allowed"},
        {32, 0xFF, "a segment is cut"},
        {34, 0, "the scan header is cut"},
        {34, 2, "the scan header is cut"},
        {36, 1, "a mapping table"},
        {37, 128, "parameters that are not allowed"},
        {38, 3, "not interleaved in a known way"},
        {39, 1, "a point transform"},
    };
    static const struct jls_preset preset = {255, 3, 7, 21, 64};
    static const struct jls_scan scan = {0, 1, 0, 0, 0};
    (void)state;
    struct fixture *f = begin(8, 7, 1, 8);
    fill(&f->picture, CONTENT_SLOPES, 255, 1);
    jls_put_all(&f->stream, &f->picture, &scan, &preset);
    check(&f->stream, &f->picture, "unchanged");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct codec_samples out = {0};
        struct error err = {0};
        const uint8_t before = f->bytes[cases[i].place];
        f->bytes[cases[i].place] = cases[i].value;
        if (decode(f->bytes, f->stream.length, &f->picture, true, &out, &err))
            fail_msg("byte %zu = %u is taken", cases[i].place, cases[i].value);
        if (strstr(err.text, cases[i].text) == NULL)
            fail_msg("byte %zu = %u: '%s'", cases[i].place, cases[i].value, err.text);
        assert_int_equal(err.kind, ERROR_INPUT);
        f->bytes[cases[i].place] = before;
        codec_samples_clear(&out);
    }
    test_free(f);
}

/* ---- streams that end early
 * -------------------------------------------------------------------------------- */

/* Cut at each byte: a failure, or where that is allowed all samples that the bytes hold, and 0 behind them.
 */
static void cut_everywhere(const struct kind *kind, int interval, int precision)
{
    static const struct jls_preset defaults;
    const struct jls_scan scan = {.interleave = kind->interleave, .interval = interval};
    struct fixture *f = begin(12, 17, kind->components, precision);
    struct codec_samples out = {0};
    size_t before = 0, decoded = 0;
    fill(&f->picture, CONTENT_SLOPES, (1 << precision) - 1, 3);
    for (size_t i = 0; i < 12u * 17u * (size_t)kind->components; i++)
        f->samples[i] |= 1; /* so that no sample of the picture is 0 */
    jls_put_all(&f->stream, &f->picture, &scan, &defaults);
    for (size_t length = 0; length < f->stream.length - 2; length++) {
        struct error err = {0};
        if (decode(f->bytes, length, &f->picture, false, &out, &err))
            assert_int_equal(right_samples(&out, &f->picture), codec_samples_count(&out));
        else
            assert_int_equal(err.kind, ERROR_INPUT);
        if (!decode(f->bytes, length, &f->picture, true, &out, &err)) {
            if (decoded > 0)
                fail_msg("%d of %d, %d bits, interval %d, cut at %zu of %zu: %s", kind->interleave,
                         kind->components, precision, interval, length, f->stream.length, err.text);
            continue;
        }
        decoded++;
        size_t count = codec_samples_count(&out), right = 0;
        for (size_t i = 0; i < count; i++) {
            const int64_t sample = codec_sample(&out, i);
            assert_true(sample == f->samples[i] || sample == 0);
            right += sample != 0;
        }
        assert_true(right >= before && right > 0);
        assert_true(out.ends_early || right == count);
        before = right;
    }
    assert_in_range(before, 12 * 17 * (size_t)kind->components - 40, 12 * 17 * (size_t)kind->components);
    codec_samples_clear(&out);
    test_free(f);
}

static void test_streams_cut_at_each_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        cut_everywhere(&kinds[i], 0, 8);
        cut_everywhere(&kinds[i], 5, 8);
        cut_everywhere(&kinds[i], 0, 13);
    }
}

/* What a disk gives for the part of a file that was never written. */
static void test_zeros_behind_a_cut(void **state)
{
    static const struct jls_preset defaults;
    static const struct jls_scan scan = {0, 1, 0, 0, 0};
    (void)state;
    struct fixture *f = begin(40, 40, 1, 12);
    struct codec_samples out = {0};
    struct error err = {0};
    fill(&f->picture, CONTENT_NOISE, 4095, 5);
    jls_put_all(&f->stream, &f->picture, &scan, &defaults);
    memset(f->bytes + f->stream.length / 2, 0, f->stream.length / 2 + 1);
    assert_false(decode(f->bytes, f->stream.length, &f->picture, false, &out, &err));
    assert_string_equal(err.code, CODE_TOO_SHORT);
    assert_true(decode(f->bytes, f->stream.length, &f->picture, true, &out, &err));
    assert_true(out.ends_early);
    assert_in_range(right_samples(&out, &f->picture), 700, 900);
    codec_samples_clear(&out);
    test_free(f);
}

/* More coded data than samples is damage that would otherwise go unseen. */
static void test_data_that_is_left_over(void **state)
{
    static const struct jls_preset defaults;
    static const struct jls_scan scan = {0, 1, 0, 0, 0};
    (void)state;
    struct fixture *f = begin(20, 20, 1, 8);
    struct codec_samples out = {0};
    struct error err = {0};
    fill(&f->picture, CONTENT_NOISE, 255, 5);
    jls_put_all(&f->stream, &f->picture, &scan, &defaults);
    f->stream.length -= 2;
    jls_u16(&f->stream, 0x0000); /* fill, with no end of image */
    check(&f->stream, &f->picture, "zeros at the end");
    f->stream.length -= 2;
    jls_u16(&f->stream, 0x1234);
    assert_false(decode(f->bytes, f->stream.length, &f->picture, true, &out, &err));
    assert_string_equal(err.code, CODE_CODEC);
    codec_samples_clear(&out);
    test_free(f);
}

/* ---- damage
 * -------------------------------------------------------------------------------------------------- */

/* Any bytes: an answer in time, no access beyond a buffer (under the sanitizers), all samples within the
 * precision. */
static void damage(const struct jls_stream *stream, const struct jls_picture *picture, uint64_t *state)
{
    struct codec_samples out = {0};
    struct error err = {0};
    uint8_t *copy = test_malloc(stream->length);
    memcpy(copy, stream->bytes, stream->length);
    for (uint64_t changes = 1 + dice(state, 4); changes > 0; changes--) {
        const size_t place = (size_t)dice(state, dice(state, 3) == 0 ? 50 : stream->length);
        copy[place] = (uint8_t)(dice(state, 2) == 0 ? copy[place] ^ 1u << dice(state, 8) : dice(state, 256));
    }
    const size_t length = stream->length - (dice(state, 4) == 0 ? (size_t)dice(state, stream->length) : 0);
    if (decode(copy, length, picture, dice(state, 2) == 0, &out, &err)) {
        assert_in_range(out.precision, 2, 16);
        for (size_t i = 0; i < codec_samples_count(&out); i++)
            assert_true(codec_sample(&out, i) < 1 << out.precision);
    } else {
        assert_int_equal(err.kind, ERROR_INPUT);
    }
    codec_samples_clear(&out);
    test_free(copy);
}

static void test_damaged_streams(void **state)
{
    static const struct jls_preset presets[] = {{0, 0, 0, 0, 0}, {0, 3, 9, 100, 65535}, {4000, 0, 0, 0, 0}};
    uint64_t seed = 20261125;
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        for (size_t k = 0; k < sizeof presets / sizeof presets[0]; k++) {
            const int precision = k == 0 ? 8 : k == 1 ? 16 : 12;
            struct fixture *f = begin(16, 24, kinds[i].components, precision);
            const struct jls_scan scan = {
                .interleave = kinds[i].interleave, .near = i % 2 == 0 ? 0 : 2, .interval = k == 0 ? 0 : 5};
            const int content = (int)((i + k) % CONTENT_COUNT);
            fill(&f->picture, content, presets[k].maxval ? presets[k].maxval : (1 << precision) - 1, i);
            jls_put_all(&f->stream, &f->picture, &scan, &presets[k]);
            for (int round = 0; round < 600; round++)
                damage(&f->stream, &f->picture, &seed);
            test_free(f);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_of_the_standard),
        cmocka_unit_test(test_every_precision_and_interleave),
        cmocka_unit_test(test_every_nearness),
        cmocka_unit_test(test_every_small_size),
        cmocka_unit_test(test_parameters_of_the_writers_own),
        cmocka_unit_test(test_restart_intervals),
        cmocka_unit_test(test_scans_that_differ),
        cmocka_unit_test(test_headers_that_are_refused),
        cmocka_unit_test(test_streams_cut_at_each_byte),
        cmocka_unit_test(test_zeros_behind_a_cut),
        cmocka_unit_test(test_data_that_is_left_over),
        cmocka_unit_test(test_damaged_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
