/* JPEG-LS as CharLS writes it: of every depth, interleave mode and deviation, with parameters and colour
 * transforms; what comes out is compared with the original, and with what CharLS itself decodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <charls/charls.h>
#include <cmocka.h>

#include "worker/decoder/codec/codec.h"

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

/* ---- against CharLS's decoder ----------------------------------------------------------------- */

struct setup {
    charls_frame_info info;
    charls_interleave_mode mode;
    int near, transform, content;
    charls_jpegls_pc_parameters preset; /* all 0: none is written */
};

#define SAMPLES_MAX (64u * 64u * 4u)

/* xorshift64*: the same everywhere. */
static uint32_t dice(uint64_t *state, uint32_t below)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)(*state * 2685821657736338717u >> 32) % below;
}

/* Samples of whole noise, of slopes with some, flat with a few that are not, or edges; CharLS takes them as
 * 16 or as 8 bits. */
static size_t make_samples(const struct setup *setup, void *samples, uint64_t *state)
{
    const uint32_t preset_most = (uint32_t)setup->preset.maximum_sample_value;
    const uint32_t most = preset_most ? preset_most : (1u << setup->info.bits_per_sample) - 1;
    const size_t count = (size_t)setup->info.width * setup->info.height * (size_t)setup->info.component_count;
    for (size_t i = 0; i < count; i++) {
        const size_t column = i % setup->info.width;
        const uint32_t slope = (uint32_t)(i / 7 + column * 3) * (1 + most / 200);
        const uint32_t values[] = {dice(state, most + 1), (slope + dice(state, 1 + most / 50)) % (most + 1),
                                   dice(state, 31) == 0 ? dice(state, most + 1) : most / 2,
                                   column / 9 % 2 == 0 ? most - (dice(state, 5) == 0) : dice(state, 5) == 0};
        const uint32_t value = values[setup->content];
        if (setup->info.bits_per_sample > 8)
            ((uint16_t *)samples)[i] = (uint16_t)value;
        else
            ((uint8_t *)samples)[i] = (uint8_t)value;
    }
    return setup->info.bits_per_sample > 8 ? count * 2 : count;
}

/* The stream's length, or 0 where CharLS does not write such a one. */
static size_t encode_setup(const struct setup *setup, const void *samples, size_t size, uint8_t *stream,
                           size_t room)
{
    static const charls_jpegls_pc_parameters none;
    size_t length = 0;
    charls_jpegls_encoder *encoder = charls_jpegls_encoder_create();
    assert_int_equal(charls_jpegls_encoder_set_frame_info(encoder, &setup->info), 0);
    assert_int_equal(charls_jpegls_encoder_set_near_lossless(encoder, setup->near), 0);
    assert_int_equal(charls_jpegls_encoder_set_interleave_mode(encoder, setup->mode), 0);
    assert_int_equal(charls_jpegls_encoder_set_color_transformation(
                         encoder, (charls_color_transformation)setup->transform),
                     0);
    if (memcmp(&setup->preset, &none, sizeof none) != 0)
        assert_int_equal(charls_jpegls_encoder_set_preset_coding_parameters(encoder, &setup->preset), 0);
    assert_int_equal(charls_jpegls_encoder_set_destination_buffer(encoder, stream, room), 0);
    if (charls_jpegls_encoder_encode_from_buffer(encoder, samples, size, 0) == 0)
        assert_int_equal(charls_jpegls_encoder_get_bytes_written(encoder, &length), 0);
    charls_jpegls_encoder_destroy(encoder);
    return length;
}

static void decode_by_charls(const uint8_t *stream, size_t length, void *samples, size_t size)
{
    charls_jpegls_decoder *decoder = charls_jpegls_decoder_create();
    assert_int_equal(charls_jpegls_decoder_set_source_buffer(decoder, stream, length), 0);
    assert_int_equal(charls_jpegls_decoder_read_header(decoder), 0);
    assert_int_equal(charls_jpegls_decoder_decode_to_buffer(decoder, samples, size, 0), 0);
    charls_jpegls_decoder_destroy(decoder);
}

/* False where CharLS does not write such a stream. */
static bool compare(const struct setup *setup, uint64_t *state)
{
    static uint16_t original[SAMPLES_MAX], theirs[SAMPLES_MAX];
    static uint8_t stream[SAMPLES_MAX * 8];
    const bool is_wide = setup->info.bits_per_sample > 8;
    const size_t samples = (size_t)setup->info.component_count,
                 pixels = (size_t)setup->info.width * setup->info.height,
                 size = make_samples(setup, original, state),
                 length = encode_setup(setup, original, size, stream, sizeof stream);
    if (length == 0)
        return false;
    decode_by_charls(stream, length, theirs, size);
    const struct codec_frame frame = {.rows = setup->info.height,
                                      .columns = setup->info.width,
                                      .samples = (uint32_t)samples,
                                      .bits_allocated = is_wide ? 16 : 8,
                                      .bits_stored = (uint32_t)setup->info.bits_per_sample};
    struct codec_samples out = {0};
    struct error err = {0};
    bool ok = codec_jpegls(stream, length, &frame, &out, &err);
    for (size_t i = 0; ok && i < pixels * samples; i++) {
        const size_t place =
            setup->mode == CHARLS_INTERLEAVE_MODE_NONE ? i % samples * pixels + i / samples : i;
        ok = codec_sample(&out, i) == (is_wide ? theirs[place] : ((uint8_t *)theirs)[place]);
    }
    if (!ok)
        fail_msg(
            "%u x %u of %zu, %d bits, mode %d, near %d, content %d, transform %d, preset %d %d %d %d %d: %s",
            setup->info.width, setup->info.height, samples, setup->info.bits_per_sample, (int)setup->mode,
            setup->near, setup->content, setup->transform, setup->preset.maximum_sample_value,
            setup->preset.threshold1, setup->preset.threshold2, setup->preset.threshold3,
            setup->preset.reset_value, err.text);
    codec_samples_clear(&out);
    return true;
}

/* Thresholds that T.87 allows, or some of them left to the default. */
static void choose_preset(struct setup *setup, uint64_t *state)
{
    /* What goes beyond this CharLS 2.4.1 writes wrong: another MAXVAL fails an assertion of its own, another
     * RESET with interleaved samples is taken for a picture of one component, and it keeps 8 bits of RESET.
     */
    const uint32_t reset = setup->mode == CHARLS_INTERLEAVE_MODE_SAMPLE ? 64 : 3 + dice(state, 253);
    const uint32_t most = (1u << setup->info.bits_per_sample) - 1, near = (uint32_t)setup->near;
    const uint32_t t1 = near + 1 + dice(state, (most - near) / 2 + 1),
                   t2 = t1 + dice(state, (most - t1) / 2 + 1), t3 = t2 + dice(state, most - t2 + 1);
    setup->preset =
        (charls_jpegls_pc_parameters){(int32_t)most, (int32_t)t1, (int32_t)t2, (int32_t)t3, (int32_t)reset};
}

static void test_charls_decodes_the_same(void **state)
{
    uint64_t seed = 20261125;
    size_t compared = 0;
    (void)state;
    for (int round = 0; round < 6000; round++) {
        const int bits = 2 + (int)dice(&seed, 15), components = 1 + (int)dice(&seed, 4);
        struct setup setup = {.info = {1 + dice(&seed, 64), 1 + dice(&seed, 64), bits, components},
                              .mode = modes[dice(&seed, 3)],
                              .content = (int)dice(&seed, 4)};
        if (components <= 2)
            setup.mode = CHARLS_INTERLEAVE_MODE_NONE; /* CharLS interleaves no two */
        const uint32_t near_most = bits > 9 ? 255 : ((1u << bits) - 1) / 2;
        setup.near = dice(&seed, 2) == 0
                         ? 0
                         : (int)dice(&seed, dice(&seed, 2) == 0 ? near_most + 1 : 4) % (int)(near_most + 1);
        if (dice(&seed, 3) == 0)
            choose_preset(&setup, &seed);
        compared += compare(&setup, &seed);
    }
    assert_in_range(compared, 5000, 6000);
}

static void test_colour_transforms(void **state)
{
    uint64_t seed = 20261126;
    size_t compared = 0;
    (void)state;
    for (int transform = 1; transform <= 3; transform++)
        for (int bits = 8; bits <= 16; bits += 8)
            for (size_t mode = 0; mode < 3; mode++)
                for (int content = 0; content < 4; content++) {
                    const struct setup setup = {{41, 37, bits, 3}, modes[mode], content % 2 == 0 ? 0 : 3,
                                                transform,         content,     {0}};
                    compared += compare(&setup, &seed);
                }
    assert_in_range(compared, 48, 72);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lossless_comes_back),
        cmocka_unit_test(test_near_lossless_keeps_its_word),
        cmocka_unit_test(test_charls_decodes_the_same),
        cmocka_unit_test(test_colour_transforms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
