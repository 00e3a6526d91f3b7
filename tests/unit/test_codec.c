/* The codecs alone: streams with known samples, and streams that are cut, swollen, or lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/codec_streams.h"
#include "worker/decoder/codec/codec.h"
#include "worker/decoder/image/colour.h"
#include "worker/decoder/codec/jpeg_header.h"
#include "worker/decoder/codec/native.h"

#define ROWS 8u
#define COLUMNS 16u

static uint32_t grey_8(uint32_t row, uint32_t column)
{
    return (row * 16 + column * 3) & 255;
}

static uint32_t grey_12(uint32_t row, uint32_t column)
{
    return row * 200 + column * 60;
}

static uint32_t grey_16(uint32_t row, uint32_t column)
{
    return (row * 4001 + column * 257 + 7) & 65535;
}

static uint32_t rgb(uint32_t row, uint32_t column, uint32_t sample)
{
    return sample == 0 ? row * 30 : sample == 1 ? column * 15 : row * column;
}

static struct codec_frame frame_of(uint32_t samples, uint32_t bits)
{
    return (struct codec_frame){.rows = ROWS,
                                .columns = COLUMNS,
                                .samples = samples,
                                .bits_allocated = bits > 8 ? 16 : 8,
                                .bits_stored = bits};
}

/* A copy of exactly `length` bytes on the heap, so that a sanitizer sees a read of one too many. */
static uint8_t *exact_copy(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = test_malloc(length > 0 ? length : 1);
    memcpy(copy, bytes, length);
    return copy;
}

typedef bool codec_fn(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                      struct codec_samples *out, struct error *err);

static bool jpeg(const uint8_t *stream, size_t length, const struct codec_frame *frame,
                 struct codec_samples *out, struct error *err)
{
    return codec_dcmtk(stream, length, "1.2.840.10008.1.2.4.50", frame, out, err);
}

static bool decode(codec_fn *codec, const uint8_t *stream, size_t length, const struct codec_frame *frame,
                   struct codec_samples *out, struct error *err)
{
    uint8_t *copy = exact_copy(stream, length);
    bool ok = codec(copy, length, frame, out, err);
    test_free(copy);
    return ok;
}

static uint32_t sample_of(const struct codec_samples *samples, size_t index)
{
    return samples->bytes == 1 ? ((const uint8_t *)samples->data)[index]
                               : ((const uint16_t *)samples->data)[index];
}

static uint32_t difference(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

static void check_grey(const struct codec_samples *out, uint32_t (*wanted)(uint32_t, uint32_t),
                       uint32_t tolerance)
{
    assert_int_equal(out->rows, ROWS);
    assert_int_equal(out->columns, COLUMNS);
    assert_int_equal(out->samples, 1);
    for (uint32_t row = 0; row < ROWS; row++)
        for (uint32_t column = 0; column < COLUMNS; column++)
            assert_in_range(difference(sample_of(out, row * COLUMNS + column), wanted(row, column)), 0,
                            tolerance);
}

static void check_rgb(const struct codec_samples *out, uint32_t tolerance)
{
    assert_int_equal(out->samples, 3);
    assert_int_equal(out->bytes, 1);
    for (uint32_t row = 0; row < ROWS; row++)
        for (uint32_t column = 0; column < COLUMNS; column++)
            for (uint32_t sample = 0; sample < 3; sample++)
                assert_in_range(difference(sample_of(out, 3 * (row * COLUMNS + column) + sample),
                                           rgb(row, column, sample)),
                                0, tolerance);
}

/* ---- compressed streams ----------------------------------------------------------------------- */

static const struct {
    const char *name;
    codec_fn *codec;
    const uint8_t *stream;
    size_t length;
    uint32_t samples, bits, tolerance;
} streams[] = {
    {"JPEG lossless, 16 bits", jpeg, jpeg_lossless_16, sizeof jpeg_lossless_16, 1, 16, 0},
    {"JPEG lossless, predictor 6, RGB", jpeg, jpeg_lossless_rgb, sizeof jpeg_lossless_rgb, 3, 8, 0},
    {"JPEG extended, 12 bits", jpeg, jpeg_extended_12, sizeof jpeg_extended_12, 1, 12, 2},
    {"JPEG baseline", jpeg, jpeg_baseline_8, sizeof jpeg_baseline_8, 1, 8, 2},
    {"JPEG progressive", jpeg, jpeg_progressive_8, sizeof jpeg_progressive_8, 1, 8, 2},
    {"JPEG baseline, YCbCr", jpeg, jpeg_baseline_ycc, sizeof jpeg_baseline_ycc, 3, 8, 4},
    {"JPEG-LS, 16 bits", codec_jpegls, jpegls_16, sizeof jpegls_16, 1, 16, 0},
    {"JPEG-LS, RGB", codec_jpegls, jpegls_rgb, sizeof jpegls_rgb, 3, 8, 0},
    {"JPEG-LS under a JPEG transfer syntax", jpeg, jpegls_16, sizeof jpegls_16, 1, 16, 0},
    {"JPEG 2000, 16 bits", codec_jpeg2000, j2k_16, sizeof j2k_16, 1, 16, 0},
    {"JPEG XL, 16 bits", codec_jpegxl, jxl_16, sizeof jxl_16, 1, 16, 0},
    {"JPEG XL, 12 bits, container", codec_jpegxl, jxl_12, sizeof jxl_12, 1, 12, 0},
    {"JPEG XL, RGB", codec_jpegxl, jxl_rgb, sizeof jxl_rgb, 3, 8, 0},
    {"JP2, RGB", codec_jpeg2000, jp2_rgb, sizeof jp2_rgb, 3, 8, 0},
};
#define STREAM_COUNT (sizeof streams / sizeof streams[0])

static void test_streams_give_their_samples(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    struct error err = {0};
    for (size_t i = 0; i < STREAM_COUNT; i++) {
        struct codec_frame frame = frame_of(streams[i].samples, streams[i].bits);
        print_message("%s\n", streams[i].name);
        assert_true(decode(streams[i].codec, streams[i].stream, streams[i].length, &frame, &out, &err));
        assert_int_equal(out.precision, streams[i].bits);
        assert_int_equal(out.warnings, 0);
        assert_false(out.is_signed);
        if (out.colour == CODEC_COLOUR_YCBCR)
            colour_ycbcr_to_rgb(&out, COLOUR_FULL);
        if (streams[i].samples == 3)
            check_rgb(&out, streams[i].tolerance);
        else
            check_grey(&out,
                       streams[i].bits == 16   ? grey_16
                       : streams[i].bits == 12 ? grey_12
                                               : grey_8,
                       streams[i].tolerance);
    }
    codec_samples_clear(&out);
}

static void test_colour_is_what_the_stream_says(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    struct error err;
    struct codec_frame frame = frame_of(3, 8);
    assert_true(decode(jpeg, jpeg_baseline_ycc, sizeof jpeg_baseline_ycc, &frame, &out, &err));
    assert_int_equal(out.colour, CODEC_COLOUR_YCBCR);
    assert_true(decode(jpeg, jpeg_lossless_rgb, sizeof jpeg_lossless_rgb, &frame, &out, &err));
    assert_int_equal(out.colour, CODEC_COLOUR_AS_HEADER);
    assert_true(decode(codec_jpeg2000, jp2_rgb, sizeof jp2_rgb, &frame, &out, &err));
    assert_int_equal(out.colour, CODEC_COLOUR_RGB);
    codec_samples_clear(&out);
}

static void test_streams_that_contradict_the_header_are_refused(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    for (size_t i = 0; i < STREAM_COUNT; i++) {
        for (int which = 0; which < 3; which++) {
            struct codec_frame frame = frame_of(streams[i].samples, streams[i].bits);
            struct error err = {0};
            if (which == 0)
                frame.rows++;
            else if (which == 1)
                frame.columns--;
            else
                frame.samples = 4 - frame.samples;
            assert_false(decode(streams[i].codec, streams[i].stream, streams[i].length, &frame, &out, &err));
            assert_int_equal(err.kind, ERROR_INPUT);
            assert_int_equal(err.category, CATEGORY_CONTRADICTION);
            assert_string_equal(err.code, CODE_MALFORMED);
        }
    }
    codec_samples_clear(&out);
}

/* Cut anywhere, a stream is refused, or what it gives is right: the last bytes may be a marker that nothing
 * needs. */
static void test_cut_streams_make_nothing_up(void **state)
{
    (void)state;
    struct codec_samples whole = {0}, out = {0};
    for (size_t i = 0; i < STREAM_COUNT; i++) {
        struct codec_frame frame = frame_of(streams[i].samples, streams[i].bits);
        struct error err = {0};
        size_t accepted = 0;
        assert_true(decode(streams[i].codec, streams[i].stream, streams[i].length, &frame, &whole, &err));
        for (size_t length = 0; length < streams[i].length; length++) {
            if (decode(streams[i].codec, streams[i].stream, length, &frame, &out, &err)) {
                assert_memory_equal(out.data, whole.data, codec_samples_count(&whole) * whole.bytes);
                accepted++;
            } else {
                assert_int_equal(err.kind, ERROR_INPUT);
            }
        }
        assert_in_range(accepted, 0, 8);
    }
    codec_samples_clear(&whole);
    codec_samples_clear(&out);
}

static void test_missing_end_marker_is_no_damage(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    struct error err = {0};
    struct codec_frame frame = frame_of(1, 16);
    size_t end = sizeof jpeg_lossless_16;
    while (jpeg_lossless_16[end - 1] != 0xD9 || jpeg_lossless_16[end - 2] != 0xFF)
        end--;
    assert_true(decode(jpeg, jpeg_lossless_16, end - 2, &frame, &out, &err));
    check_grey(&out, grey_16, 0);
    assert_false(decode(jpeg, jpeg_lossless_16, end - 12, &frame, &out, &err));
    assert_string_equal(err.code, CODE_TOO_SHORT);
    codec_samples_clear(&out);
}

/* Any byte changed to anything: no crash, no hang, an error of kind input or samples of the right shape. */
static void test_damaged_streams_are_survived(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    for (size_t i = 0; i < STREAM_COUNT; i++) {
        struct codec_frame frame = frame_of(streams[i].samples, streams[i].bits);
        uint8_t *copy = exact_copy(streams[i].stream, streams[i].length);
        for (size_t at = 0; at < streams[i].length; at++) {
            static const uint8_t masks[] = {0x01, 0x80, 0xFF};
            for (size_t m = 0; m < sizeof masks; m++) {
                struct error err = {0};
                copy[at] ^= masks[m];
                if (streams[i].codec(copy, streams[i].length, &frame, &out, &err))
                    assert_int_equal(codec_samples_count(&out), (size_t)ROWS * COLUMNS * streams[i].samples);
                else
                    assert_int_equal(err.kind, ERROR_INPUT);
                copy[at] ^= masks[m];
            }
        }
        test_free(copy);
    }
    codec_samples_clear(&out);
}

/* FF01 stands alone in a stream. DCMTK's scanner for the precision never gets past one. */
static void test_tem_marker_does_not_hang(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    struct error err = {0};
    struct codec_frame frame = frame_of(1, 8);
    uint8_t stream[sizeof jpeg_baseline_8 + 2];
    memcpy(stream, jpeg_baseline_8, 2);
    memcpy(stream + 2, "\xFF\x01", 2);
    memcpy(stream + 4, jpeg_baseline_8 + 2, sizeof jpeg_baseline_8 - 2);
    assert_true(decode(jpeg, stream, sizeof stream, &frame, &out, &err));
    check_grey(&out, grey_8, 2);
    codec_samples_clear(&out);
}

static void test_jpeg_header_colour(void **state)
{
    (void)state;
    struct jpeg_header header = {.components = 3, .adobe_transform = -1, .ids = {1, 2, 3}};
    assert_int_equal(jpeg_header_is_ycbcr(&header), -1);
    header.has_jfif = true;
    assert_int_equal(jpeg_header_is_ycbcr(&header), 1);
    header.is_lossless = true;
    assert_int_equal(jpeg_header_is_ycbcr(&header), -1);
    header = (struct jpeg_header){.components = 3, .adobe_transform = 0, .ids = {1, 2, 3}};
    assert_int_equal(jpeg_header_is_ycbcr(&header), 0);
    header.adobe_transform = 1;
    assert_int_equal(jpeg_header_is_ycbcr(&header), 1);
    header = (struct jpeg_header){.components = 3, .adobe_transform = -1, .ids = {'R', 'G', 'B'}};
    assert_int_equal(jpeg_header_is_ycbcr(&header), 0);
    header.components = 1;
    assert_int_equal(jpeg_header_is_ycbcr(&header), -1);
}

/* ---- RLE -------------------------------------------------------------------------------------- */

#define RLE_HEADER 64u

struct rle {
    uint8_t bytes[1024];
    size_t length;
    uint32_t segments;
};

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void rle_begin(struct rle *rle)
{
    *rle = (struct rle){.length = RLE_HEADER};
}

static void rle_segment(struct rle *rle, const void *bytes, size_t length)
{
    assert_true(rle->length + length <= sizeof rle->bytes);
    memcpy(rle->bytes + rle->length, bytes, length);
    put_u32(rle->bytes + 4 + 4 * (size_t)rle->segments, (uint32_t)rle->length);
    put_u32(rle->bytes, ++rle->segments);
    rle->length += length;
}

static struct codec_frame rle_frame(uint32_t columns, uint32_t samples, uint32_t bits)
{
    return (struct codec_frame){
        .rows = 1, .columns = columns, .samples = samples, .bits_allocated = bits, .bits_stored = bits};
}

static void test_rle_runs_and_literals(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    struct error err;
    struct rle rle;
    struct codec_frame frame = rle_frame(7, 1, 8);
    rle_begin(&rle);
    /* Literal of 2, no operation, run of 4, literal of 1; and bytes too many. */
    rle_segment(&rle, "\x01\x0A\x0B\x80\xFD\x0C\x00\x0D\x00\x63", 10);
    assert_true(decode(codec_rle, rle.bytes, rle.length, &frame, &out, &err));
    assert_memory_equal(out.data, "\x0A\x0B\x0C\x0C\x0C\x0C\x0D", 7);
    assert_int_equal(out.bytes, 1);
    codec_samples_clear(&out);
}

static void test_rle_weaves_bytes_and_samples(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    struct error err;
    struct rle rle;
    struct codec_frame frame = rle_frame(2, 3, 16);
    rle_begin(&rle);
    for (uint32_t sample = 0; sample < 3; sample++) {
        uint8_t high[3] = {1, (uint8_t)(0x10 + sample), (uint8_t)(0x20 + sample)};
        uint8_t low[3] = {1, (uint8_t)(0xA0 + sample), (uint8_t)(0xB0 + sample)};
        rle_segment(&rle, high, 3);
        rle_segment(&rle, low, 3);
    }
    assert_true(decode(codec_rle, rle.bytes, rle.length, &frame, &out, &err));
    const uint16_t wanted[6] = {0x10A0, 0x11A1, 0x12A2, 0x20B0, 0x21B1, 0x22B2};
    assert_memory_equal(out.data, wanted, sizeof wanted);

    frame = rle_frame(1, 1, 32);
    rle_begin(&rle);
    for (int i = 0; i < 4; i++)
        rle_segment(&rle, (const uint8_t[]){0, (uint8_t)(0x81 + i)}, 2);
    assert_true(decode(codec_rle, rle.bytes, rle.length, &frame, &out, &err));
    const uint32_t word = 0x81828384;
    assert_memory_equal(out.data, &word, 4);
    codec_samples_clear(&out);
}

static void test_rle_single_bits(void **state)
{
    (void)state;
    struct codec_samples out = {0};
    struct error err;
    struct rle rle;
    struct codec_frame frame = rle_frame(19, 1, 1);
    rle_begin(&rle);
    rle_segment(&rle, "\x02\xB1\x01\x06", 4);
    assert_true(decode(codec_rle, rle.bytes, rle.length, &frame, &out, &err));
    static const uint8_t wanted[19] = {1, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1};
    assert_memory_equal(out.data, wanted, sizeof wanted);
    codec_samples_clear(&out);
}

static void refuse_rle(const struct rle *rle, size_t length, const struct codec_frame *frame,
                       const char *code)
{
    struct codec_samples out = {0};
    struct error err = {0};
    assert_false(decode(codec_rle, rle->bytes, length, frame, &out, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_string_equal(err.code, code);
    codec_samples_clear(&out);
}

static void test_rle_that_is_short_or_wrong_is_refused(void **state)
{
    (void)state;
    struct rle rle;
    struct codec_frame frame = rle_frame(7, 1, 8);
    rle_begin(&rle);
    rle_segment(&rle, "\x06\x01\x02\x03\x04\x05\x06\x07", 8);
    refuse_rle(&rle, rle.length - 1, &frame, CODE_TOO_SHORT); /* a literal cut */
    refuse_rle(&rle, RLE_HEADER, &frame, CODE_TOO_SHORT);
    refuse_rle(&rle, RLE_HEADER - 1, &frame, CODE_TOO_SHORT);
    refuse_rle(&rle, 0, &frame, CODE_TOO_SHORT);
    struct codec_frame wide = rle_frame(7, 1, 16);
    refuse_rle(&rle, rle.length, &wide, CODE_MALFORMED); /* one segment, two needed */
    struct codec_frame bomb = rle_frame(60000, 1, 8);
    bomb.rows = 60000;
    refuse_rle(&rle, rle.length, &bomb, CODE_TOO_SHORT); /* before memory is asked for */
    put_u32(rle.bytes + 4, 63);
    refuse_rle(&rle, rle.length, &frame, CODE_CODEC);
    put_u32(rle.bytes + 4, 0xFFFFFFFF);
    refuse_rle(&rle, rle.length, &frame, CODE_TOO_SHORT);
    put_u32(rle.bytes, 16);
    refuse_rle(&rle, rle.length, &frame, CODE_CODEC);
    put_u32(rle.bytes, 0);
    refuse_rle(&rle, rle.length, &frame, CODE_CODEC);
}

/* ---- containers ------------------------------------------------------------------------------- */

static void test_extract_shifts_masks_and_signs(void **state)
{
    (void)state;
    uint16_t words[4] = {0xF80F, 0x0FF0, 0x8008, 0x7FFF};
    struct codec_samples samples = {.data = words, .rows = 1, .columns = 4, .samples = 1, .bytes = 2};
    native_extract(&samples, 4, 12, true);
    const int16_t wanted[4] = {-128, 255, -2048, 2047};
    assert_memory_equal(words, wanted, sizeof wanted);
    assert_true(samples.is_signed);
    uint8_t bytes[2] = {0xF5, 0x0A};
    samples = (struct codec_samples){.data = bytes, .rows = 1, .columns = 2, .samples = 1, .bytes = 1};
    native_extract(&samples, 0, 4, false);
    assert_memory_equal(bytes, "\x05\x0A", 2);
}

static void test_packed_samples(void **state)
{
    (void)state;
    /* 12 bits, the least significant first: 0x321, 0x654, 0x987. */
    static const uint8_t packed[5] = {0x21, 0x43, 0x65, 0x87, 0x09};
    uint8_t *exact = exact_copy(packed, sizeof packed);
    uint16_t out[3];
    native_unpack_bits(out, 2, exact, 0, 3, 12);
    assert_int_equal(out[0], 0x321);
    assert_int_equal(out[1], 0x654);
    assert_int_equal(out[2], 0x987);
    native_unpack_bits(out, 2, exact, 12, 2, 12);
    assert_int_equal(out[0], 0x654);
    uint8_t bits[5];
    native_unpack_bits(bits, 1, exact, 35, 5, 1);
    assert_memory_equal(bits, "\1\0\0\0\0", 5);
    test_free(exact);
}

/* Every triple of bytes whose luma is a multiple of 5, against the formula in double arithmetic. */
static void test_ycbcr_of_bytes_is_the_formula(void **state)
{
    (void)state;
    for (int y = 0; y < 256; y += 5) {
        for (int cb = 0; cb < 256; cb++) {
            uint8_t row[256 * 3];
            struct codec_samples samples = {
                .data = row, .rows = 1, .columns = 256, .samples = 3, .bytes = 1, .precision = 8};
            for (int cr = 0; cr < 256; cr++) {
                row[3 * cr] = (uint8_t)y;
                row[3 * cr + 1] = (uint8_t)cb;
                row[3 * cr + 2] = (uint8_t)cr;
            }
            colour_ycbcr_to_rgb(&samples, COLOUR_FULL);
            for (int cr = 0; cr < 256; cr++) {
                double b = cb - 128.0, r = cr - 128.0;
                const double rgb_wanted[3] = {y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b};
                for (int sample = 0; sample < 3; sample++) {
                    double value = rgb_wanted[sample] + 0.5 + 1e-9; /* a tie is up, however a double errs */
                    int wanted = value < 0 ? 0 : value >= 256 ? 255 : (int)value;
                    if (row[3 * cr + sample] != wanted)
                        fail_msg("%d %d %d sample %d: %d, not %d", y, cb, cr, sample, row[3 * cr + sample],
                                 wanted);
                }
            }
        }
    }
}

static void test_families(void **state)
{
    (void)state;
    const char *reason = NULL;
    assert_int_equal(codec_family("", NULL), CODEC_NATIVE);
    assert_int_equal(codec_family("1.2.840.10008.1.2", NULL), CODEC_NATIVE);
    assert_int_equal(codec_family("1.2.840.10008.1.2.5", NULL), CODEC_RLE);
    assert_int_equal(codec_family("1.2.840.10008.1.2.4.80", NULL), CODEC_JPEGLS);
    assert_int_equal(codec_family("1.2.840.10008.1.2.4.202", NULL), CODEC_JPEG2000);
    assert_int_equal(codec_family("1.2.840.10008.1.2.4.111", NULL), CODEC_JPEGXL);
    assert_int_equal(codec_family("1.2.840.10008.1.2.4.102", &reason), CODEC_NOT_DECODED);
    assert_string_equal(reason, "MPEG-4 video");
    assert_int_equal(codec_family("1.2.840.10008.1.2.4", NULL), CODEC_NOT_KNOWN);
    assert_int_equal(codec_family("1.2.3", NULL), CODEC_NOT_KNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams_give_their_samples),
        cmocka_unit_test(test_colour_is_what_the_stream_says),
        cmocka_unit_test(test_streams_that_contradict_the_header_are_refused),
        cmocka_unit_test(test_cut_streams_make_nothing_up),
        cmocka_unit_test(test_missing_end_marker_is_no_damage),
        cmocka_unit_test(test_damaged_streams_are_survived),
        cmocka_unit_test(test_tem_marker_does_not_hang),
        cmocka_unit_test(test_jpeg_header_colour),
        cmocka_unit_test(test_rle_runs_and_literals),
        cmocka_unit_test(test_rle_weaves_bytes_and_samples),
        cmocka_unit_test(test_rle_single_bits),
        cmocka_unit_test(test_rle_that_is_short_or_wrong_is_refused),
        cmocka_unit_test(test_extract_shifts_masks_and_signs),
        cmocka_unit_test(test_packed_samples),
        cmocka_unit_test(test_ycbcr_of_bytes_is_the_formula),
        cmocka_unit_test(test_families),
    };
    codec_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
