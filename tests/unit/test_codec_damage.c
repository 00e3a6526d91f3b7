/* The codecs with streams that end early, where that is allowed, and RLE with segments that are not what they
 * should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/codec_streams.h"
#include "worker/decoder/codec/codec.h"

#define ROWS 8u
#define COLUMNS 16u

typedef bool codec_fn(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                      struct codec_samples *out, struct error *err);

static bool jpeg(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                 struct codec_samples *out, struct error *err)
{
    return codec_dcmtk(stream, length, "1.2.840.10008.1.2.4.70", frame, out, err);
}

/* ---- streams that end early ------------------------------------------------------------------- */

struct kind {
    codec_fn *codec;
    const uint8_t *stream;
    size_t size;
    uint32_t bits, samples;
    bool by_rows; /* what is decoded is exact, from the top */
};

static const struct kind kinds[] = {
    {jpeg, jpeg_lossless_16, sizeof jpeg_lossless_16, 16, 1, true},
    {jpeg, jpeg_lossless_rgb, sizeof jpeg_lossless_rgb, 8, 3, true},
    {jpeg, jpeg_baseline_8, sizeof jpeg_baseline_8, 8, 1, false},
    {jpeg, jpeg_extended_12, sizeof jpeg_extended_12, 12, 1, false},
    {codec_jpegls, jpegls_16, sizeof jpegls_16, 16, 1, true},
    {codec_jpegls, jpegls_rgb, sizeof jpegls_rgb, 8, 3, true},
    {codec_jpeg2000, j2k_16, sizeof j2k_16, 16, 1, false},
    {codec_jpeg2000, jp2_rgb, sizeof jp2_rgb, 8, 3, false},
};

static struct codec_frame frame_of(const struct kind *kind, bool allow_truncated)
{
    return (struct codec_frame){.rows = ROWS,
                                .columns = COLUMNS,
                                .samples = kind->samples,
                                .bits_allocated = kind->bits > 8 ? 16 : 8,
                                .bits_stored = kind->bits,
                                .allow_truncated = allow_truncated};
}

/* Decode the first `length` bytes from a copy of exactly that size. */
static bool decode(const struct kind *kind, size_t length, bool allow_truncated, struct codec_samples *out,
                   struct error *err)
{
    struct codec_frame frame = frame_of(kind, allow_truncated);
    uint8_t *copy = test_malloc(length > 0 ? length : 1);
    memcpy(copy, kind->stream, length);
    bool ok = kind->codec(copy, length, &frame, out, err);
    test_free(copy);
    return ok;
}

static size_t size_of(const struct codec_samples *samples)
{
    return codec_samples_count(samples) * samples->bytes;
}

/* Cut at each byte: refused, or decoded and marked; the more is there, the more rows are right. */
static void test_streams_that_end_early(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const struct kind *kind = &kinds[i];
        struct codec_samples whole = {0}, cut = {0};
        struct error err;
        size_t decoded = 0, rows_before = 0;
        assert_true(decode(kind, kind->size, true, &whole, &err));
        assert_false(whole.ends_early);
        size_t row_bytes = size_of(&whole) / ROWS;
        for (size_t length = 0; length + 2 < kind->size; length++) {
            bool strict = decode(kind, length, false, &cut, &err);
            if (!decode(kind, length, true, &cut, &err)) {
                assert_false(strict);
                assert_int_equal(err.kind, ERROR_INPUT);
                assert_int_equal(decoded, 0); /* once there is a picture, it does not get worse */
                continue;
            }
            assert_int_equal(size_of(&cut), size_of(&whole));
            assert_true(cut.ends_early || strict);
            decoded++;
            size_t rows = 0;
            while (rows < ROWS && memcmp((const char *)cut.data + rows * row_bytes,
                                         (const char *)whole.data + rows * row_bytes, row_bytes) == 0)
                rows++;
            if (kind->by_rows)
                assert_true(rows >= rows_before);
            rows_before = rows;
        }
        assert_in_range(decoded, 15, kind->size);
        assert_in_range(rows_before, kind->by_rows ? ROWS - 1 : 0, ROWS);
        codec_samples_clear(&whole);
        codec_samples_clear(&cut);
    }
}

/* A header without coded data is no picture, and neither is what an earlier one left in memory. */
static void test_streams_without_data_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const struct kind *kind = &kinds[i];
        struct codec_samples out = {0};
        struct error err;
        size_t length = 0;
        while (length < kind->size && !decode(kind, length, true, &out, &err))
            length++;
        assert_in_range(length, 20, kind->size - 1);
        const uint8_t *start =
            kind->codec == codec_jpeg2000 ? (const uint8_t *)"\xFF\x93" : (const uint8_t *)"\xFF\xDA";
        const uint8_t *scan = memmem(kind->stream, kind->size, start, 2);
        assert_non_null(scan);
        assert_true(length > (size_t)(scan - kind->stream) + 2);
        codec_samples_clear(&out);
    }
}

/* A grid of tiles of which one is there (ISO/IEC 15444-1 B.3): what the library makes of the others is no
 * picture.
 */
static void test_missing_tiles(void **state)
{
    (void)state;
    uint8_t stream[sizeof j2k_16];
    struct kind kind = kinds[6];
    struct codec_samples out = {0};
    struct error err;
    memcpy(stream, j2k_16, sizeof stream);
    kind.stream = stream;
    assert_true(decode(&kind, sizeof stream, false, &out, &err));
    assert_int_equal(stream[27], COLUMNS); /* XTsiz */
    stream[27] = COLUMNS / 2;
    assert_false(decode(&kind, sizeof stream, false, &out, &err));
    assert_string_equal(err.code, CODE_TOO_SHORT);
    assert_true(decode(&kind, sizeof stream, true, &out, &err));
    assert_true(out.ends_early);
    codec_samples_clear(&out);
}

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Size, components and tiles are looked at before the library asks for memory by them: 2^32 tiles, or 16,384
 * components of each of them. */
static void test_sizes_of_codestreams(void **state)
{
    (void)state;
    static const struct {
        uint32_t columns, rows, tile_columns, tile_rows, components;
        const char *code;
    } cases[] = {
        {COLUMNS, ROWS, COLUMNS, ROWS, 1, NULL},
        {COLUMNS + 1, ROWS, COLUMNS + 1, ROWS, 1, CODE_MALFORMED},
        {COLUMNS, 0xFFFFFFFF, COLUMNS, ROWS, 1, CODE_MALFORMED},
        {0, ROWS, COLUMNS, ROWS, 1, CODE_MALFORMED},
        {COLUMNS, ROWS, 1, 1, 16384, CODE_MALFORMED},
        {COLUMNS, ROWS, 0, 0, 1, CODE_CODEC},
        {0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF, 0xFFFF, 1, CODE_MALFORMED},
    };
    uint8_t stream[sizeof j2k_16];
    struct codec_samples out = {0};
    struct error err = {0};
    struct kind kind = kinds[6];
    kind.stream = stream;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memcpy(stream, j2k_16, sizeof stream);
        put_u32(stream + 8, cases[i].columns);
        put_u32(stream + 12, cases[i].rows);
        put_u32(stream + 24, cases[i].tile_columns);
        put_u32(stream + 28, cases[i].tile_rows);
        stream[40] = (uint8_t)(cases[i].components >> 8);
        stream[41] = (uint8_t)cases[i].components;
        bool ok = decode(&kind, sizeof stream, false, &out, &err);
        assert_int_equal(ok, cases[i].code == NULL);
        if (!ok)
            assert_string_equal(err.code, cases[i].code);
    }
    /* Twice as many tiles, of one pixel each, as can be numbered. */
    const struct codec_frame frame = {.rows = 65535, .columns = 2, .samples = 1, .bits_allocated = 16};
    memcpy(stream, j2k_16, sizeof stream);
    put_u32(stream + 8, 2);
    put_u32(stream + 12, 65535);
    put_u32(stream + 24, 1);
    put_u32(stream + 28, 1);
    assert_false(codec_jpeg2000(stream, sizeof stream, &frame, &out, &err));
    assert_string_equal(err.text, "the JPEG 2000 stream has no tiles, or more than can be numbered");
    codec_samples_clear(&out);
}

/* ---- RLE -------------------------------------------------------------------------------------- */

struct rle_stream {
    uint32_t count; /* as the header says */
    uint32_t places[4];
    const char *data; /* behind the header  */
    size_t length;
};

struct rle_case {
    const char *name;
    struct rle_stream stream;
    uint32_t bits_allocated;
    const char *strict; /* the four bytes of the frame, NULL: refused */
    const char *lenient;
    uint64_t missing; /* lenient */
};

static bool decode_rle(const struct rle_case *c, bool allow_truncated, struct codec_samples *out,
                       struct error *err)
{
    uint32_t pixels = 32 / c->bits_allocated;
    struct codec_frame frame = {.rows = 1,
                                .columns = pixels,
                                .samples = 1,
                                .bits_allocated = c->bits_allocated,
                                .bits_stored = c->bits_allocated,
                                .allow_truncated = allow_truncated};
    size_t length = 64 + c->stream.length;
    uint8_t *stream = test_calloc(1, length);
    for (uint32_t i = 0; i < 4; i++) {
        stream[4 * i] = (uint8_t)(i == 0 ? c->stream.count : c->stream.places[i - 1]);
        stream[4 * i + 1] = (uint8_t)((i == 0 ? c->stream.count : c->stream.places[i - 1]) >> 8);
    }
    memcpy(stream + 64, c->stream.data, c->stream.length);
    bool ok = codec_rle(stream, length, &frame, out, err);
    test_free(stream);
    return ok;
}

#define DATA(text) (text), sizeof(text) - 1

static void test_rle_segments(void **state)
{
    static const struct rle_case cases[] = {
        {"in order", {1, {64}, DATA("\3\1\2\3\4")}, 8, "\1\2\3\4", "\1\2\3\4", 0},
        {"padded", {1, {64}, DATA("\3\1\2\3\4\0")}, 8, "\1\2\3\4", "\1\2\3\4", 0},
        {"longer than the frame", {1, {64}, DATA("\5\1\2\3\4\5\6")}, 8, "\1\2\3\4", "\1\2\3\4", 0},
        {"a run beyond the frame", {1, {64}, DATA("\1\1\2\x81\7")}, 8, "\1\2\7\7", "\1\2\7\7", 0},
        {"a segment too many", {2, {64, 69}, DATA("\3\1\2\3\4\3\5\6\7\x8")}, 8, "\1\2\3\4", "\1\2\3\4", 0},
        {"two segments", {2, {64, 67}, DATA("\1\1\3\1\2\4")}, 16, "\2\1\4\3", "\2\1\4\3", 0},
        {"an odd segment", {2, {64, 68}, DATA("\1\1\3\0\1\2\4")}, 16, "\2\1\4\3", "\2\1\4\3", 0},
        {"counted one, but with two places",
         {1, {64, 67}, DATA("\1\1\3\1\2\4")},
         16,
         "\2\1\4\3",
         "\2\1\4\3",
         0},
        {"counted none", {0, {64, 67}, DATA("\1\1\3\1\2\4")}, 16, NULL, "\2\1\4\3", 0},
        {"one of two", {1, {64}, DATA("\1\1\3")}, 16, NULL, "\0\1\0\3", 2},
        {"the second beyond the end", {2, {64, 999}, DATA("\1\1\3")}, 16, NULL, "\0\1\0\3", 2},
        {"the first nowhere", {1, {9999}, DATA("\3\1\2\3\4")}, 8, NULL, "\1\2\3\4", 0},
        {"the second before the first", {2, {67, 64}, DATA("\1\1\3\1\2\4")}, 16, NULL, NULL, 0},
        {"cut in a literal", {1, {64}, DATA("\3\1\2")}, 8, NULL, "\1\2\0\0", 2},
        {"cut in a run", {1, {64}, DATA("\0\1\x81")}, 8, NULL, "\1\0\0\0", 3},
        {"nothing in it", {1, {64}, DATA("\x80\x80")}, 8, NULL, NULL, 4},
        {"no data", {1, {64}, DATA("")}, 8, NULL, NULL, 4},
    };
    (void)state;
    struct codec_samples out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int allow = 0; allow < 2; allow++) {
            const char *wanted = allow ? cases[i].lenient : cases[i].strict;
            struct error err = {0};
            bool ok = decode_rle(&cases[i], allow == 1, &out, &err);
            if (ok != (wanted != NULL) || (ok && memcmp(out.data, wanted, 4) != 0))
                fail_msg("%s, %s: %s", cases[i].name, allow ? "lenient" : "strict",
                         ok ? "other bytes" : err.text);
            if (!ok)
                assert_int_equal(err.kind, ERROR_INPUT);
            else
                assert_int_equal(out.missing, allow ? cases[i].missing : 0);
            if (ok)
                memset(out.data, 0xAA, 4); /* to show what the next leaves alone */
        }
    }
    codec_samples_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_that_end_early),
        cmocka_unit_test(test_streams_without_data_are_refused),
        cmocka_unit_test(test_missing_tiles),
        cmocka_unit_test(test_sizes_of_codestreams),
        cmocka_unit_test(test_rle_segments),
    };
    codec_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
