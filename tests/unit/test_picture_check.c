/* picture_check: a picture is published only if it begins and ends as a PNG of the claimed size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/picture_check.h"

/* 2 columns, 1 row of 8-bit grey; the samples are not looked at, so that IDAT may hold anything. */
static const uint8_t small[] = {
    0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0, 0, 2, 0, 0, 0, 1, 8,
    0,    0,   0,   0,   0xd1, 0x49, 0x20, 0x56, 0, 0, 0, 1,  'I', 'D', 'A', 'T', 7, 1, 2, 3, 4, 0, 0, 0, 0,
    'I',  'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
#define COLUMNS_AT 16
#define DEPTH_AT 24
#define CHECKSUM_AT 29

static uint32_t crc(const uint8_t *bytes, size_t length)
{
    uint32_t sum = UINT32_MAX;
    for (size_t i = 0; i < length * 8; i++) {
        if (i % 8 == 0)
            sum ^= bytes[i / 8];
        sum = sum % 2 != 0 ? sum / 2 ^ 0xedb88320u : sum / 2;
    }
    return ~sum;
}

static struct wire_frame claim(void)
{
    return (struct wire_frame){.png_bytes = sizeof small, .columns = 2, .rows = 1};
}

/* NULL: the picture is taken; else why it is not. */
static const char *fault_of(const uint8_t *bytes, size_t length, const struct wire_frame *frame)
{
    static char text[256];
    const struct options options = {.max_pixels = 1000};
    struct error err;
    char path[] = "/tmp/niffler-picture-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(write(descriptor, bytes, length), (ssize_t)length);
    bool ok = picture_check(descriptor, frame, &options, &err);
    (void)close(descriptor);
    if (ok)
        return NULL;
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_int_equal(err.category, CATEGORY_DECODER);
    assert_string_equal(err.code, CODE_DECODER_PROTOCOL);
    (void)memcpy(text, err.text, sizeof text);
    return text;
}

/* With one byte changed, and IHDR's checksum made right again. */
static const char *fault_with(size_t at, uint8_t value, const struct wire_frame *frame)
{
    uint8_t bytes[sizeof small];
    memcpy(bytes, small, sizeof small);
    bytes[at] = value;
    uint32_t sum = crc(bytes + 12, 17);
    for (size_t i = 0; i < 4; i++)
        bytes[CHECKSUM_AT + i] = (uint8_t)(sum >> (24 - 8 * i));
    return fault_of(bytes, sizeof bytes, frame);
}

static void a_whole_picture_is_taken(void **state)
{
    (void)state;
    struct wire_frame frame = claim();
    assert_null(fault_of(small, sizeof small, &frame));
    assert_null(fault_with(DEPTH_AT, 16, &frame));
    assert_null(fault_with(DEPTH_AT + 1, 2, &frame));
}

static void every_cut_and_every_changed_byte_is_refused(void **state)
{
    (void)state;
    struct wire_frame frame = claim();
    for (size_t length = 0; length < sizeof small; length++) {
        assert_non_null(fault_of(small, length, &frame));
        struct wire_frame honest = claim();
        honest.png_bytes = length;
        assert_non_null(fault_of(small, length, &honest));
    }
    for (size_t at = 0; at < sizeof small; at++) {
        uint8_t bytes[sizeof small];
        memcpy(bytes, small, sizeof small);
        bytes[at] ^= 0x40;
        bool is_between = at >= 33 && at < sizeof small - 12;
        assert_int_equal(fault_of(bytes, sizeof bytes, &frame) == NULL, is_between);
    }
}

static void claims_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct wire_frame frame = claim();
    assert_string_equal(fault_with(COLUMNS_AT + 3, 3, &frame),
                        "the picture has not the columns and rows reported");
    assert_string_equal(fault_with(COLUMNS_AT + 7, 3, &frame),
                        "the picture has not the columns and rows reported");
    frame.columns = 0;
    assert_string_equal(fault_with(COLUMNS_AT + 3, 0, &frame),
                        "the picture has not the columns and rows reported");
    frame.columns = 2 + (4 << 8);
    assert_string_equal(fault_with(COLUMNS_AT + 2, 4, &frame), "the picture has more than MaxPixels");
    frame = claim();
    for (size_t at = DEPTH_AT; at < DEPTH_AT + 5; at++)
        assert_string_equal(fault_with(at, 3, &frame), "the picture is of a kind that no decoder writes");
    frame.png_bytes++;
    assert_string_equal(fault_of(small, sizeof small, &frame), "the picture has not the size reported");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_picture_is_taken),
        cmocka_unit_test(every_cut_and_every_changed_byte_is_refused),
        cmocka_unit_test(claims_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
