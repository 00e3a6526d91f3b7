/* JPEG-LS of every depth, interleave mode and deviation: streams that CharLS itself encodes, since no other
 * encoder at hand makes them all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <charls/charls.h>
#include <cmocka.h>

#include "worker/decoder/codec.h"

#define ROWS 19u
#define COLUMNS 23u
#define STREAM_BYTES 32768u

static const charls_interleave_mode modes[] = {CHARLS_INTERLEAVE_MODE_NONE, CHARLS_INTERLEAVE_MODE_LINE,
                                               CHARLS_INTERLEAVE_MODE_SAMPLE};

/* Slopes and noise over the whole range. */
static uint32_t value_of(uint32_t row, uint32_t column, uint32_t sample, uint32_t bits)
{
    uint32_t most = (1u << bits) - 1;
    uint32_t slope = (row * 3 + column * (sample + 1)) * most / 128;
    uint32_t noise = (row * 7919 + column * 104729 + sample * 31) % 97 * most / 2000;
    return row == 0 && column < 2 ? column * most : (slope + noise) & most;
}

/* The place of a sample as CharLS takes it: by plane when nothing is interleaved, else pixel by pixel. */
static size_t place_of(uint32_t row, uint32_t column, uint32_t sample, uint32_t samples, bool by_plane)
{
    size_t pixel = (size_t)row * COLUMNS + column;
    return by_plane ? sample * (size_t)ROWS * COLUMNS + pixel : pixel * samples + sample;
}

static size_t encode(uint8_t *stream, uint32_t bits, uint32_t samples, charls_interleave_mode mode, int near)
{
    static uint16_t words[ROWS * COLUMNS * 3];
    static uint8_t bytes[ROWS * COLUMNS * 3];
    bool by_plane = mode == CHARLS_INTERLEAVE_MODE_NONE;
    for (uint32_t row = 0; row < ROWS; row++)
        for (uint32_t column = 0; column < COLUMNS; column++)
            for (uint32_t sample = 0; sample < samples; sample++) {
                size_t place = place_of(row, column, sample, samples, by_plane);
                words[place] = (uint16_t)value_of(row, column, sample, bits);
                bytes[place] = (uint8_t)words[place];
            }
    const charls_frame_info info = {COLUMNS, ROWS, (int32_t)bits, (int32_t)samples};
    size_t count = (size_t)ROWS * COLUMNS * samples, length = 0;
    charls_jpegls_encoder *encoder = charls_jpegls_encoder_create();
    assert_int_equal(charls_jpegls_encoder_set_frame_info(encoder, &info), 0);
    assert_int_equal(charls_jpegls_encoder_set_near_lossless(encoder, near), 0);
    assert_int_equal(charls_jpegls_encoder_set_interleave_mode(encoder, mode), 0);
    assert_int_equal(charls_jpegls_encoder_set_destination_buffer(encoder, stream, STREAM_BYTES), 0);
    assert_int_equal(charls_jpegls_encoder_encode_from_buffer(
                         encoder, bits > 8 ? (void *)words : (void *)bytes, bits > 8 ? count * 2 : count, 0),
                     0);
    assert_int_equal(charls_jpegls_encoder_get_bytes_written(encoder, &length), 0);
    charls_jpegls_encoder_destroy(encoder);
    return length;
}

static void check(const struct codec_samples *out, uint32_t bits, uint32_t near)
{
    assert_int_equal(out->precision, bits);
    assert_int_equal(out->bytes, bits > 8 ? 2 : 1);
    for (uint32_t row = 0; row < ROWS; row++)
        for (uint32_t column = 0; column < COLUMNS; column++)
            for (uint32_t sample = 0; sample < out->samples; sample++) {
                size_t place = place_of(row, column, sample, out->samples, false);
                uint32_t value =
                    bits > 8 ? ((const uint16_t *)out->data)[place] : ((const uint8_t *)out->data)[place];
                uint32_t wanted = value_of(row, column, sample, bits);
                assert_in_range(value > wanted ? value - wanted : wanted - value, 0, near);
            }
}

static void round_trips(uint32_t samples, int near)
{
    static uint8_t stream[STREAM_BYTES];
    struct codec_samples out = {0};
    struct error err = {0};
    for (uint32_t bits = near == 0 ? 2 : 4; bits <= 16; bits++) {
        for (size_t i = 0; i < (samples == 1 ? 1 : sizeof modes / sizeof modes[0]); i++) {
            struct codec_frame frame = {.rows = ROWS,
                                        .columns = COLUMNS,
                                        .samples = samples,
                                        .bits_allocated = bits > 8 ? 16 : 8,
                                        .bits_stored = bits};
            size_t length = encode(stream, bits, samples, modes[i], near);
            if (!codec_jpegls(stream, length, &frame, &out, &err))
                fail_msg("%u bits, %u samples, mode %zu, near %d: %s", bits, samples, i, near, err.text);
            check(&out, bits, (uint32_t)near);
        }
    }
    codec_samples_clear(&out);
}

static void test_lossless_comes_back(void **state)
{
    (void)state;
    round_trips(1, 0);
    round_trips(3, 0);
}

static void test_near_lossless_keeps_its_word(void **state)
{
    (void)state;
    for (int near = 1; near <= 5; near += 2) {
        round_trips(1, near);
        round_trips(3, near);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lossless_comes_back),
        cmocka_unit_test(test_near_lossless_keeps_its_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
