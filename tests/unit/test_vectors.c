/* Functions on vectors of 64 bytes against those for any processor: the same bytes. Where this processor has
 * no such vectors there is nothing to compare, and each test says that it was skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/alloc.h"
#include "tests/hide_vectors.h"
#include "worker/decoder/png/pngout.h"
#include "worker/decoder/png/pngout_filter.h"
#include "worker/decoder/png/pngout_runs.h"
#include "worker/decoder/png/pngout_wide.h"

static uint32_t noise = 1;

static uint32_t dice(uint32_t below)
{
    noise = noise * 1664525 + 1013904223;
    return (noise >> 8) % below;
}

static void skip_without_vectors(void)
{
    if (!vectors_are_512())
        skip();
}

/* ---- literals ------------------------------------------------------------------------------------ */

static void write_singly(struct pngout_bits *out, const struct pngout_code *codes, const uint8_t *in,
                         size_t length)
{
    for (size_t i = 0; i < length; i++) {
        pngout_bits_put(out, codes[in[i]].bits, codes[in[i]].length);
        pngout_bits_flush(out);
    }
}

/* Behind 0 to 7 bits that wait, into no more room than is asked for. */
static void check_literals(const struct pngout_code *codes, const uint8_t *in, size_t length)
{
    struct pngout_wide wide;
    const size_t room = (length * PNGOUT_WIDE_CODE_BITS_MAX + 7) / 8 + 1 + PNGOUT_BITS_SLACK;
    uint8_t *a = xmalloc(room), *b = xmalloc(room), *copy = xmalloc(length);
    memcpy(copy, in, length); /* so that a sanitizer sees what is read behind it */
    const uint32_t count = dice(8);
    struct pngout_bits singly = {.at = a, .bits = dice(1u << count), .count = count}, at_once = singly;
    at_once.at = b;
    write_singly(&singly, codes, copy, length);
    pngout_wide_make(&wide, codes);
    pngout_wide_write(&at_once, &wide, copy, length);
    assert_int_equal(at_once.at - b, singly.at - a);
    assert_memory_equal(a, b, (size_t)(singly.at - a));
    assert_int_equal(at_once.count, singly.count);
    assert_int_equal(at_once.bits, singly.bits);
    /* The words in front of the room's end are not left behind. */
    size_t end = (size_t)(singly.at - a);
    b = realloc(b, end + PNGOUT_BITS_SLACK);
    at_once = (struct pngout_bits){.at = b, .count = count};
    pngout_wide_write(&at_once, &wide, copy, length);
    free(a);
    free(b);
    free(copy);
}

/* Values as rare as that, so that codes are of every length. */
static void make_codes(struct pngout_code *codes, uint32_t spread)
{
    uint32_t counts[256];
    for (size_t i = 0; i < 256; i++)
        counts[i] = 1 + dice(1u << dice(spread));
    pngout_huffman(counts, 256, PNGOUT_WIDE_CODE_BITS_MAX, codes);
}

static void test_literals(void **state)
{
    (void)state;
    skip_without_vectors();
    struct pngout_code codes[256];
    uint8_t in[700], longest = 0, shortest = 0;
    for (uint32_t round = 0; round < 3000; round++) {
        make_codes(codes, 1 + dice(24));
        for (size_t i = 0; i < 256; i++) {
            longest = codes[i].length > codes[longest].length ? (uint8_t)i : longest;
            shortest = codes[i].length < codes[shortest].length ? (uint8_t)i : shortest;
        }
        for (size_t i = 0; i < sizeof in; i++) {
            uint32_t kind = round % 4;
            in[i] = kind == 0   ? (uint8_t)dice(256)
                    : kind == 1 ? longest
                    : kind == 2 ? shortest
                                : (i / 20 % 2 == 0 ? longest : (uint8_t)dice(256));
        }
        check_literals(codes, in, 1 + dice(sizeof in));
    }
    for (size_t length = 1; length < 200; length++)
        check_literals(codes, in, length);
}

/* Of 256 values, two have a code of one bit: eight literals are eight bits, the least there is. */
static void test_literals_of_one_bit(void **state)
{
    (void)state;
    skip_without_vectors();
    const uint32_t counts[256] = {[7] = 5, [200] = 6};
    struct pngout_code codes[256];
    uint8_t in[1000];
    pngout_huffman(counts, 256, PNGOUT_WIDE_CODE_BITS_MAX, codes);
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = dice(2) == 0 ? 7 : 200;
    for (size_t length = 1; length <= sizeof in; length += 1 + dice(60))
        check_literals(codes, in, length);
}

/* ---- rows, runs, counts ---------------------------------------------------------------------------- */

static void test_filters(void **state)
{
    (void)state;
    skip_without_vectors();
    static const size_t steps[] = {1, 2, 3, 6};
    for (uint32_t round = 0; round < 2000; round++) {
        size_t step = steps[dice(4)], length = step * (1 + dice(150));
        uint8_t *row = xmalloc(length), *above = xmalloc(length), *a = xmalloc(length), *b = xmalloc(length);
        uint32_t values = 1 + dice(256);
        for (size_t i = 0; i < length; i++) {
            row[i] = (uint8_t)dice(values);
            above[i] = (uint8_t)(dice(3) == 0 ? row[i] : dice(values));
        }
        pngout_filter_row(PNGOUT_FILTER_PAETH, a, row, above, length, step);
        hide_vectors = true;
        pngout_filter_row(PNGOUT_FILTER_PAETH, b, row, above, length, step);
        hide_vectors = false;
        assert_memory_equal(a, b, length);
        free(row);
        free(above);
        free(a);
        free(b);
    }
}

static void test_sequences(void **state)
{
    (void)state;
    skip_without_vectors();
    const size_t most = PNGOUT_BLOCK_BYTES;
    uint8_t *in = xmalloc(most);
    struct pngout_sequences *a = xcalloc(1, sizeof *a), *b = xcalloc(1, sizeof *b);
    for (uint32_t round = 0; round < 150; round++) {
        size_t length = dice(2) == 0 ? most : 1 + dice((uint32_t)most);
        uint32_t values = 1 + dice(256), repeats = dice(100), rare = dice(2) * 5000;
        for (size_t i = 0; i < length; i++) {
            uint32_t value = dice(values);
            in[i] = (uint8_t)(i > 0 && dice(100) < repeats ? in[i - 1] : value & dice(values));
        }
        for (uint32_t i = 0; i < length / 5000 && rare > 0; i++)
            in[dice((uint32_t)length)] = (uint8_t)dice(256);
        bool may_estimate = dice(4) > 0;
        pngout_runs_find(a, in, 0, length, may_estimate);
        hide_vectors = true;
        pngout_runs_find(b, in, 0, length, may_estimate);
        hide_vectors = false;
        assert_int_equal(a->count, b->count);
        assert_int_equal(a->is_estimate, b->is_estimate);
        assert_memory_equal(a->counts, b->counts, sizeof a->counts);
        assert_memory_equal(a->sequences, b->sequences, a->count * sizeof a->sequences[0]);
    }
    free(a);
    free(b);
    free(in);
}

/* ---- pictures -------------------------------------------------------------------------------------- */

struct picture {
    size_t row_bytes;
    uint8_t *bytes;
};

static void give_row(void *context, uint32_t row, uint8_t *out)
{
    const struct picture *picture = context;
    memcpy(out, picture->bytes + row * picture->row_bytes, picture->row_bytes);
}

static uint8_t *write_png(const struct picture *picture, const struct pngout_shape *shape,
                          enum png_compression compression, size_t *length)
{
    struct pngout *png = pngout_new();
    struct error err;
    uint64_t written;
    int descriptor = memfd_create("picture", MFD_CLOEXEC);
    struct picture source = *picture;
    assert_true(descriptor >= 0);
    pngout_set_compression(png, compression);
    assert_true(pngout_write(png, descriptor, shape, NULL, give_row, &source, &written, &err));
    *length = (size_t)written;
    uint8_t *bytes = xmalloc(*length);
    assert_int_equal(pread(descriptor, bytes, *length, 0), (ssize_t)*length);
    (void)close(descriptor);
    pngout_free(png);
    return bytes;
}

/* A slope with noise, a body on black, few values: every compressor and filter is chosen for some. */
static uint8_t sample_byte(int kind, size_t x, size_t y, size_t i)
{
    if (kind == 0)
        return (uint8_t)(x + y + dice(16));
    if (kind == 1)
        return (uint8_t)((x / 3 - 70) * (x / 3 - 70) + (y - 60) * (y - 60) > 3000 ? 0 : 90 + dice(40));
    return (uint8_t)(kind == 2 ? dice(256) : (x / 9 + y / 5 + i) % 7 * 30);
}

static void test_pictures(void **state)
{
    (void)state;
    skip_without_vectors();
    for (int kind = 0; kind < 4; kind++)
        for (uint32_t samples = 1; samples <= 3; samples += 2)
            for (uint32_t bits = 8; bits <= 16; bits += 8)
                for (enum png_compression compression = PNG_COMPRESSION_FAST;
                     compression <= PNG_COMPRESSION_SMALL; compression++) {
                    const struct pngout_shape shape = {401, 300, samples, bits};
                    struct picture picture = {.row_bytes = (size_t)401 * samples * bits / 8};
                    picture.bytes = xmalloc(picture.row_bytes * shape.height);
                    for (size_t i = 0; i < picture.row_bytes * shape.height; i++)
                        picture.bytes[i] =
                            sample_byte(kind, i % picture.row_bytes, i / picture.row_bytes, i % 2);
                    size_t a_length, b_length;
                    uint8_t *a = write_png(&picture, &shape, compression, &a_length);
                    hide_vectors = true;
                    uint8_t *b = write_png(&picture, &shape, compression, &b_length);
                    hide_vectors = false;
                    assert_int_equal(a_length, b_length);
                    assert_memory_equal(a, b, a_length);
                    free(a);
                    free(b);
                    free(picture.bytes);
                }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals), cmocka_unit_test(test_literals_of_one_bit),
        cmocka_unit_test(test_filters),  cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_pictures),
    };
    return cmocka_run_group_tests_name("vectors", tests, NULL, NULL);
}
