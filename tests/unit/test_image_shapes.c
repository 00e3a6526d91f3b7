/* Combinations of the Image Pixel module that are rare, retired or wrong: what each gives, or why not. */
#include "tests/unit/codec_streams.h"
#include "tests/unit/image_files.h"

struct combination {
    struct shape shape;
    const char *vr;
    const char *bytes;
    size_t length;
    const char *samples; /* of the frame, as bytes; NULL: refused with `code` */
    size_t samples_length;
    const char *code;
};

static void check(struct fixture *fixture, const struct combination *combinations, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct combination *c = &combinations[i];
        struct file file;
        struct error err;
        begin(&file, &c->shape);
        put_pixels(&file, c->vr, c->bytes, c->length);
        bool ok = inspect(fixture, &file, &defaults, &err);
        if (c->samples == NULL) {
            assert_false(ok);
            assert_string_equal(err.code, c->code);
            assert_int_equal(err.kind, ERROR_INPUT);
            continue;
        }
        if (!ok)
            fail_msg("combination %zu: %s", i, err.text);
        const struct codec_samples *samples = read_frame(fixture, 0);
        assert_int_equal(codec_samples_count(samples) * samples->bytes, c->samples_length);
        assert_memory_equal(samples->data, c->samples, c->samples_length);
    }
}

#define BYTES(text) (text), sizeof(text) - 1
#define GIVES(text) BYTES(text), NULL
#define REFUSED(code) NULL, 0, (code)

static void test_bits_of_several_samples(void **state)
{
    static const struct combination combinations[] = {
        /* Two pixels of three bits, pixel by pixel and plane by plane: 1 0 1, 0 1 1. */
        {{EXPLICIT_LITTLE, "RGB", 3, 0, 1, 1, 2, 1, 1, 0, 0}, "OB", BYTES("\x35\0"), GIVES("\1\0\1\0\1\1")},
        {{EXPLICIT_LITTLE, "RGB", 3, 1, 1, 1, 2, 1, 1, 0, 0}, "OB", BYTES("\x39\0"), GIVES("\1\0\1\0\1\1")},
        /* Planes of samples of twelve bits: 123, 456 / 789, ABC / DEF, 012. */
        {{EXPLICIT_LITTLE, "RGB", 3, 1, 1, 1, 2, 12, 12, 11, 0},
         "OW",
         BYTES("\x23\x61\x45\x89\xC7\xAB\xEF\x2D\x01\0"),
         GIVES("\x23\x01\x89\x07\xEF\x0D\x56\x04\xBC\x0A\x12\x00")},
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 2, 12, 12, 11, 0},
         "OW",
         BYTES("\x23\x61\x45\0"),
         GIVES("\x23\x01\x56\x04")},
        {{EXPLICIT_LITTLE, "RGB", 3, 0, 1, 2, 2, 1, 1, 0, 0}, "OB", BYTES("\x35"), REFUSED(CODE_TOO_SHORT)},
    };
    check(*state, combinations, sizeof combinations / sizeof combinations[0]);
}

/* PS3.3 C.7.6.3.1.2; grey where the chroma is in the middle. */
static void test_halved_chroma(void **state)
{
    static const struct combination combinations[] = {
        {{EXPLICIT_LITTLE, "YBR_FULL_422", 3, 0, 1, 1, 2, 16, 16, 15, 0},
         "OW",
         BYTES("\1\2\3\4\0\x80\0\x80"),
         GIVES("\1\2\1\2\1\2\3\4\3\4\3\4")},
        {{EXPLICIT_BIG, "YBR_FULL_422", 3, 0, 1, 1, 2, 16, 16, 15, 0},
         "OW",
         BYTES("\2\1\4\3\x80\0\x80\0"),
         GIVES("\1\2\1\2\1\2\3\4\3\4\3\4")},
        /* An odd number of columns has no pairs: full chroma, or not enough. */
        {{EXPLICIT_LITTLE, "YBR_FULL_422", 3, 0, 1, 1, 3, 8, 8, 7, 0},
         "OB",
         BYTES("\1\x80\x80\2\x80\x80\3\x80\x80\0"),
         GIVES("\1\1\1\2\2\2\3\3\3")},
        {{EXPLICIT_LITTLE, "YBR_FULL_422", 3, 0, 1, 1, 3, 8, 8, 7, 0},
         "OB",
         BYTES("\1\2\x80\x80\3\0\x80\x80"),
         REFUSED(CODE_TOO_SHORT)},
        /* Retired: 16 is black, 235 white. */
        {{EXPLICIT_LITTLE, "YBR_PARTIAL_422", 3, 0, 1, 1, 2, 8, 8, 7, 0},
         "OB",
         BYTES("\x10\xEB\x80\x80"),
         GIVES("\0\0\0\xFF\xFF\xFF")},
        {{EXPLICIT_LITTLE, "YBR_PARTIAL_420", 3, 0, 1, 2, 2, 8, 8, 7, 0},
         "OB",
         BYTES("\1\2\x80\x80\3\4"),
         REFUSED(CODE_UNSUPPORTED_PIXELS)},
    };
    check(*state, combinations, sizeof combinations / sizeof combinations[0]);
}

static void test_places_of_bits(void **state)
{
    static const struct combination combinations[] = {
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 1, 16, 12, 15, 0},
         "OW",
         BYTES("\x3F\x12"),
         GIVES("\x23\x01")},
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 1, 16, 12, 13, 1},
         "OW",
         BYTES("\xFC\xFF"),
         GIVES("\xFF\xFF")},
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 2, 8, 4, 7, 0},
         "OB",
         BYTES("\x5A\xF0"),
         GIVES("\5\17")},
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 1, 16, 12, 10, 0},
         "OW",
         BYTES("\0\0"),
         REFUSED(CODE_MALFORMED)},
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 1, 16, 12, 16, 0},
         "OW",
         BYTES("\0\0"),
         REFUSED(CODE_MALFORMED)},
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 1, 16, 17, 16, 0},
         "OW",
         BYTES("\0\0"),
         REFUSED(CODE_MALFORMED)},
    };
    check(*state, combinations, sizeof combinations / sizeof combinations[0]);
}

static void test_lengths_and_representations(void **state)
{
    static const struct combination combinations[] = {
        /* Odd, with its padding, with more than that, and without. */
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 3, 8, 8, 7, 0},
         "OB",
         BYTES("\1\2\3\0"),
         GIVES("\1\2\3")},
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 3, 8, 8, 7, 0},
         "OB",
         BYTES("\1\2\3\0\0"),
         GIVES("\1\2\3")},
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 3, 8, 8, 7, 0}, "OB", BYTES("\1\2\3"), GIVES("\1\2\3")},
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 3, 8, 8, 7, 0},
         "UN",
         BYTES("\1\2\3\0"),
         GIVES("\1\2\3")},
        {{EXPLICIT_BIG, "MONOCHROME2", 1, 0, 1, 1, 3, 8, 8, 7, 0}, "OB", BYTES("\1\2\3"), GIVES("\1\2\3")},
        {{EXPLICIT_BIG, "MONOCHROME2", 1, 0, 1, 1, 3, 8, 8, 7, 0}, "OW", BYTES("\2\1\4\3"), GIVES("\1\2\3")},
        {{EXPLICIT_BIG, "MONOCHROME2", 1, 0, 1, 1, 2, 8, 8, 7, 0}, "OW", BYTES("\2\1"), GIVES("\1\2")},
        {{EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 1, 16, 16, 15, 0}, "UN", BYTES("\1\2"), GIVES("\1\2")},
        /* SamplesPerPixel is absent: the photometric interpretation tells. */
        {{EXPLICIT_LITTLE, "RGB", 0, 0, 1, 1, 1, 8, 8, 7, 0}, "OB", BYTES("\1\2\3\0"), GIVES("\1\2\3")},
        {{EXPLICIT_LITTLE, "MONOCHROME1", 0, 0, 1, 1, 1, 8, 8, 7, 0}, "OB", BYTES("\1\0"), GIVES("\1")},
        {{EXPLICIT_LITTLE, "", 0, 0, 1, 1, 1, 8, 8, 7, 0}, "OB", BYTES("\1\0"), GIVES("\1")},
        {{EXPLICIT_LITTLE, "RGB", 1, 0, 1, 1, 1, 8, 8, 7, 0}, "OB", BYTES("\1\0"), REFUSED(CODE_MALFORMED)},
        {{EXPLICIT_LITTLE, "RGB", 2, 0, 1, 1, 1, 8, 8, 7, 0},
         "OB",
         BYTES("\1\0"),
         REFUSED(CODE_UNSUPPORTED_PIXELS)},
    };
    check(*state, combinations, sizeof combinations / sizeof combinations[0]);
}

static void test_numbers_of_frames(void **state)
{
    static const struct {
        const char *text;
        uint32_t frames;
    } cases[] = {{NULL, 1},  {"", 1},   {"0", 1}, {"1A", 1},         {"-3", 1},
                 {" 2 ", 2}, {"+2", 2}, {"2", 2}, {"4294967298", 1}, {"99999999999999999999", 1}};
    struct fixture *fixture = *state;
    struct shape shape = {EXPLICIT_LITTLE, "MONOCHROME2", 1, 0, 1, 1, 2, 8, 8, 7, 0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct file file;
        begin_with_frames(&file, &shape, cases[i].text);
        put_pixels(&file, "OB", "\1\2\3\4", 4);
        open_image(fixture, &file);
        assert_int_equal(image_facts(fixture->image)->frame_count, cases[i].frames);
        assert_memory_equal(read_frame(fixture, cases[i].frames - 1)->data,
                            cases[i].frames == 1 ? "\1\2" : "\3\4", 2);
    }
}

/* Fragments under UN of undefined length (PS3.5 6.2.2) are fragments nevertheless. */
static void test_fragments_of_unknown_representation(void **state)
{
    struct shape shape = {"1.2.840.10008.1.2.1.98", "MONOCHROME2", 1, 0, 1, 1, 2, 8, 8, 7, 0};
    struct file file;
    begin(&file, &shape);
    put_header(&file, 0x7FE00010, "UN", 0xFFFFFFFF, false);
    put_fragment(&file, "", 0);
    put_fragment(&file, "\1\2", 2);
    end_fragments(&file);
    open_image(*state, &file);
    assert_memory_equal(read_frame(*state, 0)->data, "\1\2", 2);
}

/* Containers of 16 bits that were compressed as they are, with 12 bits stored: PS3.5 8.1.1. */
static void test_compressed_containers(void **state)
{
    static const struct {
        uint32_t high, representation;
        int overlay_position; /* -1: no overlay; the plane is in the pixel data */
        bool has_overlay_data, is_extracted;
    } cases[] = {
        {11, 0, -1, false, false}, {15, 0, -1, false, true},  {13, 1, -1, false, true},
        {11, 0, 12, false, true},  {11, 1, 15, false, true},  {11, 0, 12, true, false},
        {11, 0, 5, false, false},  {11, 0, 16, false, false}, /* inside the samples; beyond the container */
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct shape shape = {"1.2.840.10008.1.2.4.80", "MONOCHROME2", 1, 0, 1, 8, 16, 16, 12, cases[i].high,
                              cases[i].representation};
        struct file file;
        uint16_t plain[8 * 16];
        struct codec_samples samples = {0};
        const struct codec_frame frame = {8, 16, 1, 16, 16, false, false};
        struct error err;
        assert_true(codec_jpegls(jpegls_16, sizeof jpegls_16, &frame, &samples, &err));
        memcpy(plain, samples.data, sizeof plain);
        codec_samples_clear(&samples);
        begin(&file, &shape);
        if (cases[i].overlay_position >= 0)
            put_us(&file, 0x60000102, (uint32_t)cases[i].overlay_position);
        if (cases[i].has_overlay_data) {
            put_header(&file, 0x60003000, "OW", 2, false);
            put(&file, "\1\0", 2);
        }
        begin_fragments(&file, no_offsets, 0);
        put_fragment(&file, jpegls_16, sizeof jpegls_16);
        end_fragments(&file);
        open_image(fixture, &file);
        const struct codec_samples *found = read_frame(fixture, 0);
        for (size_t k = 0; k < 8 * 16; k++) {
            uint32_t bits = plain[k] >> (cases[i].high - 11) & 0xFFF;
            int32_t wanted = (int32_t)(bits >= 0x800 && cases[i].representation == 1 ? bits - 0x1000 : bits);
            if (!cases[i].is_extracted)
                wanted = cases[i].representation == 1 ? (int16_t)plain[k] : plain[k];
            if (codec_sample(found, k) != wanted)
                fail_msg("case %zu: sample %zu is %lld, not %d", i, k, (long long)codec_sample(found, k),
                         wanted);
        }
        assert_int_equal(strstr(fixture->notes, "whole containers") != NULL, cases[i].is_extracted);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bits_of_several_samples), TEST(test_halved_chroma),
        TEST(test_places_of_bits),          TEST(test_lengths_and_representations),
        TEST(test_numbers_of_frames),       TEST(test_fragments_of_unknown_representation),
        TEST(test_compressed_containers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
