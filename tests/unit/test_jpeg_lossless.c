/* The decoder of lossless JPEG: every shape of stream against the samples and against DCMTK, and that what is
 * damaged or unusual is left to DCMTK. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/codec_streams.h"
#include "tests/unit/dcmtk_jpeg.h"
#include "tests/unit/jpeg_encoder.h"
#include "worker/decoder/codec/codec.h"
#include "worker/decoder/codec/jpeg_header.h"

#define PREDICTORS 7u

/* A small generator, the same everywhere. */
static uint32_t dice(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % below);
}

static size_t sample_count(const struct jpeg_encoding *how)
{
    return (size_t)how->rows * how->columns * how->components;
}

/* Slopes with noise of every size, and jumps from end to end: differences of all categories. */
static uint16_t *make_samples(const struct jpeg_encoding *how)
{
    const uint32_t most = (1u << how->precision) - 1;
    uint64_t state = how->precision * 100 + how->predictor;
    uint16_t *samples = test_malloc(sample_count(how) * sizeof *samples);
    for (size_t i = 0; i < sample_count(how); i++) {
        uint32_t noise = dice(&state, (1u << dice(&state, how->precision + 1)));
        uint32_t slope = (uint32_t)(i * 3 / how->components);
        samples[i] = (uint16_t)((dice(&state, 9) == 0 ? most - noise : slope + noise) & most);
    }
    if (how->precision == 16 && how->columns > 3) {
        samples[how->components] = (uint16_t)(samples[0] + 32768); /* the only difference of category 16 */
        samples[3 * how->components] = (uint16_t)(samples[2 * how->components] + 32768);
    }
    return samples;
}

/* Decode a copy of exactly this length by our decoder alone. */
static bool decode(const uint8_t *stream, size_t length, struct codec_samples *out)
{
    struct jpeg_header header;
    struct error err;
    uint8_t *copy = test_malloc(length > 0 ? length : 1);
    memcpy(copy, stream, length);
    bool ok = jpeg_header_read(copy, length, &header, &err) && codec_jpeg_lossless_takes(&header);
    if (ok) {
        assert_true(codec_samples_reserve(out, header.rows, header.columns, header.components,
                                          header.precision <= 8 ? 1 : 2, &err));
        out->precision = header.precision;
        memset(out->data, 0xA5, codec_samples_count(out) * out->bytes);
        ok = codec_jpeg_lossless(copy, length, &header, out);
    }
    test_free(copy);
    return ok;
}

static void check_samples(const struct jpeg_encoding *how, const uint16_t *samples,
                          const struct codec_samples *out)
{
    assert_int_equal(codec_samples_count(out), sample_count(how));
    for (size_t i = 0; i < sample_count(how); i++) {
        const uint32_t wanted = (uint32_t)samples[i] >> how->shift << how->shift;
        const int64_t got = codec_sample(out, i);
        if (got != (int64_t)wanted)
            fail_msg("precision %u, predictor %u, scans %s, tables %s: sample %zu is %lld, not %u",
                     how->precision, how->predictor, how->scans, how->tables, i, (long long)got, wanted);
    }
}

/* DCMTK finds the stream whole too, and gives the same samples. */
static void check_against_dcmtk(const uint8_t *stream, size_t length, const struct codec_samples *out)
{
    size_t size = codec_samples_count(out) * out->bytes;
    uint8_t *theirs = test_malloc(size);
    assert_true(dcmtk_jpeg(stream, length, out->precision, theirs, size));
    assert_memory_equal(theirs, out->data, size);
    test_free(theirs);
}

static void check(const struct jpeg_encoding *how)
{
    struct jpeg_encoder encoder = {.count = 0};
    struct codec_samples out = {0};
    uint16_t *samples = make_samples(how);
    jpeg_encode(&encoder, how, samples);
    const uint8_t *stream = (const uint8_t *)encoder.stream.data;
    if (!decode(stream, encoder.stream.length, &out))
        fail_msg("precision %u, predictor %u, scans %s, tables %s: not decoded", how->precision,
                 how->predictor, how->scans, how->tables);
    check_samples(how, samples, &out);
    check_against_dcmtk(stream, encoder.stream.length, &out);
    codec_samples_clear(&out);
    buffer_clear(&encoder.stream);
    test_free(samples);
}

/* ---- sound streams ---------------------------------------------------------------------------------- */

static void test_every_precision_and_predictor(void **state)
{
    (void)state;
    static const char *const tables[] = {"000", "111", "222", "012"};
    for (uint32_t precision = 2; precision <= 16; precision++)
        for (uint32_t predictor = 1; predictor <= PREDICTORS; predictor++)
            for (uint32_t components = 1; components <= 3; components += 2)
                for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
                    struct jpeg_encoding how = {11,        23,        components,
                                                precision, predictor, .tables = tables[i]};
                    how.scans = components == 1 ? "0" : "012";
                    check(&how);
                }
}

static void test_point_transforms(void **state)
{
    (void)state;
    for (uint32_t precision = 2; precision <= 16; precision += 2)
        for (uint32_t shift = 1; shift < precision; shift++)
            for (uint32_t components = 1; components <= 3; components += 2) {
                struct jpeg_encoding how = {7,
                                            9,
                                            components,
                                            precision,
                                            1 + shift % PREDICTORS,
                                            shift,
                                            0,
                                            components == 1 ? "0" : "012",
                                            "101",
                                            false};
                check(&how);
            }
}

static void test_restarts(void **state)
{
    (void)state;
    for (uint32_t predictor = 1; predictor <= PREDICTORS; predictor++)
        for (uint32_t interval = 1; interval <= 25; interval += 3) {
            struct jpeg_encoding grey = {25, 9, 1, 12, predictor, 0, interval, "0", "1", false};
            struct jpeg_encoding colour = {25, 9, 3, 8, predictor, 0, interval, "012", "021", true};
            check(&grey);
            check(&colour);
        }
}

static void test_components_in_several_scans(void **state)
{
    (void)state;
    static const char *const scans[] = {"0,1,2", "2,0,1", "01,2", "0,12", "02,1"};
    for (uint32_t predictor = 1; predictor <= PREDICTORS; predictor++)
        for (size_t i = 0; i < sizeof scans / sizeof scans[0]; i++)
            for (uint32_t precision = 8; precision <= 16; precision += 8) {
                struct jpeg_encoding how = {9,        13,    3,     precision, predictor, 0, i == 1 ? 3 : 0,
                                            scans[i], "102", i == 2};
                check(&how);
            }
    struct jpeg_encoding two = {9, 13, 2, 12, 4, 0, 0, "01", "00", true};
    struct jpeg_encoding four = {9, 13, 4, 12, 4, 0, 0, "0123", "1111", true};
    check(&two);
    check(&four);
}

/* Wider and longer than what is unstuffed at a time, and as narrow as can be. */
static void test_sizes(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{1, 1}, {1, 2},     {2, 1},     {300, 1},  {1, 4},
                                        {5, 5}, {400, 300}, {3, 20000}, {2, 65500}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (uint32_t components = 1; components <= 3; components += 2) {
            struct jpeg_encoding how = {sizes[i][0],
                                        sizes[i][1],
                                        components,
                                        16,
                                        1 + (uint32_t)i % PREDICTORS,
                                        0,
                                        0,
                                        components == 1 ? "0" : "012",
                                        i % 2 == 0 ? "111" : "222",
                                        false};
            check(&how);
        }
}

static void test_streams_of_other_writers(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    assert_true(decode(jpeg_lossless_16, sizeof jpeg_lossless_16, &out));
    check_against_dcmtk(jpeg_lossless_16, sizeof jpeg_lossless_16, &out);
    assert_true(decode(jpeg_lossless_rgb, sizeof jpeg_lossless_rgb, &out));
    check_against_dcmtk(jpeg_lossless_rgb, sizeof jpeg_lossless_rgb, &out);
    codec_samples_clear(&out);
}

/* ---- others ----------------------------------------------------------------------------------------- */

static const struct jpeg_encoding small = {8, 6, 1, 12, 1, 0, 2, "0", "1", true};

/* The small stream, with `count` bytes at the first place of `where` replaced. */
struct change {
    const char *name;
    const char *where;
    size_t where_length;
    ptrdiff_t offset; /* from there */
    const char *bytes;
    size_t count;
};

#define BYTES(text) (text), sizeof(text) - 1
#define TABLE_1 "\xFF\xC4\0\x24\1"

static void test_what_is_left_to_dcmtk(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"arithmetic coding", BYTES("\xFF\xC3"), 1, BYTES("\xCB")},
        {"a hierarchical process", BYTES("\xFF\xC3"), 1, BYTES("\xC7")},
        {"predictor 0", BYTES("\xFF\xDA\0\x08"), 7, BYTES("\0")},
        {"predictor 8", BYTES("\xFF\xDA\0\x08"), 7, BYTES("\x8")},
        {"a spectral end", BYTES("\xFF\xDA\0\x08"), 8, BYTES("\1")},
        {"a point transform of all bits", BYTES("\xFF\xDA\0\x08"), 9, BYTES("\x0C")},
        {"an approximation", BYTES("\xFF\xDA\0\x08"), 9, BYTES("\x10")},
        {"another component", BYTES("\xFF\xDA\0\x08"), 5, BYTES("\2")},
        {"two components of one", BYTES("\xFF\xDA\0\x08"), 4, BYTES("\2")},
        {"a table that never came", BYTES("\xFF\xDA\0\x08"), 6, BYTES("\x30")},
        {"table 4", BYTES("\xFF\xDA\0\x08"), 6, BYTES("\x40")},
        {"a restart interval of parts of rows", BYTES("\xFF\xDD\0\4"), 5, BYTES("\7")},
        {"a restart interval of other rows", BYTES("\xFF\xDD\0\4"), 5, BYTES("\6")},
        {"the wrong restart marker", BYTES("\xFF\xD1"), 1, BYTES("\xD2")},
        {"a restart marker too early", BYTES("\xFF\xD0"), -2, BYTES("\xFF\xD0")},
        {"no restart marker", BYTES("\xFF\xD0"), 0, BYTES("\x12\x34")},
        {"an end of image inside", BYTES("\xFF\xD1"), 1, BYTES("\xD9")},
        {"no end of image", BYTES("\xFF\xD9"), 0, BYTES("\x55\x55")},
        {"a height that comes later", BYTES("\xFF\xD9"), 0, BYTES("\xFF\xDC")},
        {"a table of arithmetic conditions", BYTES("\xFF\xDD\0\4"), 1, BYTES("\xCC")},
        {"a table of a class that is none", BYTES(TABLE_1), 4, BYTES("\x21")},
        {"a table id that is none", BYTES(TABLE_1), 4, BYTES("\4")},
        {"a table cut", BYTES(TABLE_1), 20, BYTES("\1")},
        {"codes that do not fit", BYTES(TABLE_1), 5, BYTES("\3\0\4")},
        {"a code of ones", BYTES(TABLE_1), 7, BYTES("\x8\1\1\1\1\1\1\1\1\1\0")},
        {"category 17", BYTES(TABLE_1), 21, BYTES("\x11")},
    };
    struct codec_samples out = {0};
    struct jpeg_encoder encoder = {.count = 0};
    uint16_t *samples = make_samples(&small);
    jpeg_encode(&encoder, &small, samples);
    uint8_t *stream = (uint8_t *)encoder.stream.data, *copy = test_malloc(encoder.stream.length);
    size_t length = encoder.stream.length;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        memcpy(copy, stream, length);
        assert_true(decode(copy, length, &out));
        uint8_t *at = memmem(copy, length, changes[i].where, changes[i].where_length);
        assert_non_null(at);
        memcpy(at + changes[i].offset, changes[i].bytes, changes[i].count);
        if (decode(copy, length, &out))
            fail_msg("decoded: %s", changes[i].name);
    }
    codec_samples_clear(&out);
    buffer_clear(&encoder.stream);
    test_free(copy);
    test_free(samples);
}

static void test_sampling(void **state)
{
    (void)state;
    struct jpeg_header header = {.process = 3, .components = 3, .sampling = {0x11, 0x11, 0x11}};
    assert_true(codec_jpeg_lossless_takes(&header));
    header.sampling[0] = 0x21;
    assert_false(codec_jpeg_lossless_takes(&header));
    header.components = 1;
    assert_false(codec_jpeg_lossless_takes(&header));
    header.sampling[0] = 0x11;
    for (header.process = 0; header.process < 16; header.process++)
        assert_int_equal(codec_jpeg_lossless_takes(&header), header.process == 3);
    header.process = 3;
    header.is_ls = true;
    assert_false(codec_jpeg_lossless_takes(&header));
}

/* Cut anywhere, the stream is left to DCMTK; but for the marker at the end. */
static void test_cut_streams(void **state)
{
    (void)state;
    static const struct jpeg_encoding hows[] = {{8, 6, 1, 12, 1, 0, 2, "0", "1", true},
                                                {8, 6, 3, 8, 4, 0, 0, "012", "012", false},
                                                {8, 6, 3, 8, 7, 0, 3, "0,1,2", "000", false}};
    struct codec_samples out = {0};
    for (size_t i = 0; i < sizeof hows / sizeof hows[0]; i++) {
        struct jpeg_encoder encoder = {.count = 0};
        uint16_t *samples = make_samples(&hows[i]);
        jpeg_encode(&encoder, &hows[i], samples);
        const uint8_t *stream = (const uint8_t *)encoder.stream.data;
        for (size_t length = 0; length + 2 < encoder.stream.length; length++)
            assert_false(decode(stream, length, &out));
        assert_true(decode(stream, encoder.stream.length - 2, &out));
        check_samples(&hows[i], samples, &out);
        assert_false(decode(stream, encoder.stream.length - 1, &out));
        buffer_clear(&encoder.stream);
        test_free(samples);
    }
    codec_samples_clear(&out);
}

/* What is decoded of changed streams is what DCMTK makes of them, and whole in its eyes. */
static void test_changed_streams(void **state)
{
    (void)state;
    static const struct jpeg_encoding hows[] = {
        {8, 6, 1, 12, 1, 0, 2, "0", "1", true},    {5, 9, 1, 16, 6, 0, 0, "0", "2", false},
        {4, 5, 3, 8, 4, 0, 0, "012", "012", true}, {4, 5, 3, 8, 7, 1, 2, "0,1,2", "110", false},
        {5, 7, 1, 8, 5, 0, 1, "0", "0", true},     {6, 6, 1, 10, 3, 2, 0, "0", "1", true}};
    struct codec_samples out = {0};
    uint64_t dices = 1;
    size_t decoded = 0, left = 0;
    for (size_t i = 0; i < sizeof hows / sizeof hows[0]; i++) {
        struct jpeg_encoder encoder = {.count = 0};
        uint16_t *samples = make_samples(&hows[i]);
        jpeg_encode(&encoder, &hows[i], samples);
        size_t length = encoder.stream.length;
        uint8_t *stream = (uint8_t *)encoder.stream.data, *copy = test_malloc(length + 1);
        for (int round = 0; round < 4000; round++) {
            size_t at = dice(&dices, (uint32_t)length), now = length;
            memcpy(copy, stream, length);
            uint32_t kind = dice(&dices, 4);
            if (kind == 0)
                copy[at] ^= (uint8_t)(1u << dice(&dices, 8));
            else if (kind == 1)
                copy[at] = (uint8_t)dice(&dices, 256);
            else if (kind == 2)
                memmove(copy + at, copy + at + 1, --now - at); /* one byte less */
            else
                memmove(copy + at + 1, copy + at, now++ - at); /* one byte twice */
            if (!decode(copy, now, &out)) {
                left++;
                continue;
            }
            check_against_dcmtk(copy, now, &out);
            decoded++;
        }
        buffer_clear(&encoder.stream);
        test_free(samples);
        test_free(copy);
    }
    print_message("%zu decoded, %zu left to DCMTK\n", decoded, left);
    assert_in_range(decoded, 1000, SIZE_MAX);
    assert_in_range(left, 1000, SIZE_MAX);
    codec_samples_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_precision_and_predictor),
        cmocka_unit_test(test_point_transforms),
        cmocka_unit_test(test_restarts),
        cmocka_unit_test(test_components_in_several_scans),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_streams_of_other_writers),
        cmocka_unit_test(test_what_is_left_to_dcmtk),
        cmocka_unit_test(test_sampling),
        cmocka_unit_test(test_cut_streams),
        cmocka_unit_test(test_changed_streams),
    };
    codec_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
