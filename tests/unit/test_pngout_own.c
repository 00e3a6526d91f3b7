/* Our own compressors and their codes: valid for zlib whatever the bytes, and never beyond their room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/alloc.h"
#include "tests/hide_vectors.h"
#include "worker/decoder/png/pngout_deflate.h"
#include "worker/decoder/png/pngout_huffman.h"
#include "worker/decoder/png/pngout_matches.h"
#include "worker/decoder/png/pngout_runs.h"

static uint32_t noise = 1;

static uint32_t dice(uint32_t below)
{
    noise = noise * 1664525 + 1013904223;
    return (noise >> 8) % below;
}

/* ---- codes -------------------------------------------------------------------------------------- */

/* A complete prefix code: the sum of 2^-length is 1, and the commoner symbol is never the longer one. */
static void check_code(const uint32_t *counts, size_t count, uint32_t limit)
{
    struct pngout_code codes[PNGOUT_HUFFMAN_SYMBOLS_MAX];
    uint64_t sum = 0;
    size_t used = 0;
    pngout_huffman(counts, count, limit, codes);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(codes[i].length > 0, counts[i] > 0);
        assert_true(codes[i].length <= limit);
        used += counts[i] > 0;
        if (codes[i].length > 0)
            sum += UINT64_C(1) << (limit - codes[i].length);
        for (size_t k = 0; k < count; k++)
            if (counts[k] > counts[i] && counts[i] > 0)
                assert_true(codes[k].length <= codes[i].length);
    }
    assert_int_equal(sum, used == 0 ? 0 : used == 1 ? UINT64_C(1) << (limit - 1) : UINT64_C(1) << limit);
}

static void test_codes_are_complete(void **state)
{
    (void)state;
    uint32_t counts[PNGOUT_HUFFMAN_SYMBOLS_MAX] = {0};
    check_code(counts, 5, 7);
    counts[3] = 9;
    check_code(counts, 5, 7);
    counts[0] = 1;
    check_code(counts, 5, 7);
    /* Fibonacci's numbers make the deepest tree there is. */
    for (size_t i = 0; i < 40; i++)
        counts[i] = i < 2 ? 1 : counts[i - 1] + counts[i - 2];
    for (uint32_t limit = 6; limit <= 15; limit++)
        check_code(counts, 40, limit);
    for (int round = 0; round < 200; round++) {
        size_t count = 1 + dice(PNGOUT_HUFFMAN_SYMBOLS_MAX);
        for (size_t i = 0; i < count; i++)
            counts[i] = dice(4) == 0 ? 0 : 1 + dice(1u << dice(20));
        check_code(counts, count, 9 + dice(7));
    }
}

/* Table of RFC 1951 3.2.5: the first length of some symbols, and their extra bits. */
static void test_lengths(void **state)
{
    (void)state;
    static const struct {
        uint32_t length;
        uint16_t symbol;
        uint8_t bits;
    } rows[] = {{3, 257, 0},   {4, 258, 0},   {10, 264, 0},  {11, 265, 1},  {13, 266, 1},
                {17, 268, 1},  {19, 269, 2},  {35, 273, 3},  {67, 277, 4},  {115, 280, 4},
                {131, 281, 5}, {163, 282, 5}, {195, 283, 5}, {227, 284, 5}, {258, 285, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pngout_coded found = pngout_length(rows[i].length);
        assert_int_equal(found.symbol, rows[i].symbol);
        assert_int_equal(found.extra_bits, rows[i].bits);
        assert_int_equal(found.extra, 0);
    }
    for (uint32_t length = 3; length < 257; length++) { /* each follows the one before */
        struct pngout_coded a = pngout_length(length), b = pngout_length(length + 1);
        bool same = a.symbol == b.symbol;
        assert_int_equal(same ? b.extra : b.symbol, same ? a.extra + 1 : a.symbol + 1);
    }
    for (uint32_t run = 3; run < 2000; run++)
        for (uint32_t left = run; left > 0;) {
            uint32_t piece = pngout_length_piece(left);
            assert_true(piece >= 3 && piece <= 258 && piece <= left);
            left -= piece;
        }
}

/* ---- streams ------------------------------------------------------------------------------------ */

static size_t compress_by(const struct pngout_deflate *deflate, const struct pngout_layout *layout,
                          const uint8_t *in, size_t length, uint8_t *out, size_t capacity)
{
    void *state = deflate->new_state();
    size_t size = deflate->compress(state, layout, in, length, out, capacity);
    deflate->free_state(state);
    return size;
}

static size_t compress_into(const uint8_t *in, size_t length, uint8_t *out, size_t capacity)
{
    return compress_by(&pngout_deflate_runs, NULL, in, length, out, capacity);
}

static size_t check_stream_by(const struct pngout_deflate *deflate, const struct pngout_layout *layout,
                              const uint8_t *in, size_t length)
{
    size_t capacity = length + length / 8 + 1000;
    uint8_t *out = xmalloc(capacity), *back = xmalloc(length + 1);
    size_t size = compress_by(deflate, layout, in, length, out, capacity);
    uLongf produced = length + 1;
    assert_true(size > 0);
    assert_int_equal(uncompress(back, &produced, out, size), Z_OK);
    assert_int_equal(produced, length);
    assert_memory_equal(back, in, length);
    free(out);
    free(back);
    return size;
}

static size_t check_stream(const uint8_t *in, size_t length)
{
    return check_stream_by(&pngout_deflate_runs, NULL, in, length);
}

static void test_streams_of_every_kind(void **state)
{
    (void)state;
    const size_t most = 3 * PNGOUT_BLOCK_BYTES / 2;
    uint8_t *in = xmalloc(most);
    for (int kind = 0; kind < 6; kind++) {
        size_t lengths[] = {1,   2, 3, 4, 7, 8, 9, 300, 65535, PNGOUT_BLOCK_BYTES, PNGOUT_BLOCK_BYTES + 1,
                            most};
        for (size_t i = 0; i < most; i++)
            in[i] = (uint8_t)(kind == 0   ? 0
                              : kind == 1 ? dice(256)
                              : kind == 2 ? dice(3)
                              : kind == 3 ? (i / (1 + i % 700)) % 5
                              : kind == 4 ? (dice(600) == 0 ? dice(256)
                                             : i == 0       ? 7
                                                            : in[i - 1])
                                          : i / 6 % 97);
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
            (void)check_stream(in, lengths[i]);
    }
    /* Runs of each length, between bytes that differ. */
    size_t used = 0;
    for (uint32_t run = 1; run < 600; run++) {
        memset(in + used, (int)(run % 251), run);
        used += run;
    }
    (void)check_stream(in, used);
    free(in);
}

static void test_sizes(void **state)
{
    (void)state;
    static uint8_t in[100000];
    memset(in, 0, sizeof in);
    assert_true(check_stream(in, sizeof in) < 200); /* one run */
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)dice(256);
    assert_true(check_stream(in, sizeof in) < sizeof in + 30); /* noise is stored */
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(dice(2) == 0 ? 0 : 1 + dice(2));
    /* Codes of one and of two bits are 1.5 a byte; runs are short. */
    assert_true(check_stream(in, sizeof in) < sizeof in / 4);
}

/* Exactly as much room as there is: a sanitizer sees the first byte beyond. */
static void test_little_room(void **state)
{
    (void)state;
    static uint8_t in[5000];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(dice(3) == 0 ? dice(256) : 0);
    size_t needed = check_stream(in, sizeof in);
    for (size_t capacity = 0; capacity < needed + 64; capacity += 1 + dice(40)) {
        uint8_t *out = xmalloc(capacity);
        size_t size = compress_into(in, sizeof in, out, capacity);
        assert_true(size == 0 || (size == needed && size <= capacity));
        free(out);
    }
}

static void test_an_estimate_is_near_the_size(void **state)
{
    (void)state;
    static uint8_t in[60000];
    struct pngout_sequences *runs = xcalloc(1, sizeof *runs);
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < sizeof in; i++)
            in[i] = (uint8_t)(kind == 0 ? dice(30) : kind == 1 ? dice(1 + dice(200)) : i / 5 % 50);
        pngout_runs_find(runs, in, 0, sizeof in, false);
        double estimate = pngout_sequences_size(runs), size = (double)check_stream(in, sizeof in);
        assert_true(size > estimate * 0.99 && size < estimate * 1.05 + 250);
    }
    free(runs);
}

/* The simplest search there is. */
static void check_sequences(const struct pngout_sequences *runs, const uint8_t *in, size_t begin, size_t end)
{
    size_t literal = begin, found = 0;
    uint64_t literals = 0;
    for (size_t at = begin == 0 ? 1 : begin; at < end;) {
        size_t run = 0;
        while (at + run < end && in[at + run] == in[at - 1])
            run++;
        if (run < PNGOUT_RUN_MIN) {
            at++;
            continue;
        }
        assert_true(found < runs->count);
        assert_int_equal(runs->sequences[found].literals, at - literal);
        assert_int_equal(runs->sequences[found].length, run);
        literals += at - literal;
        found++;
        at = literal = at + run;
    }
    assert_int_equal(found, runs->count - 1);
    assert_int_equal(runs->sequences[found].literals, end - literal);
    assert_int_equal(runs->sequences[found].length, 0);
    assert_int_equal(runs->literals, literals + end - literal);
}

static void test_every_run_is_found(void **state)
{
    (void)state;
    static uint8_t in[4000];
    struct pngout_sequences *runs = xcalloc(1, sizeof *runs);
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t length = 1 + dice(sizeof in - 1), values = 1 + dice(5), repeats = 1 + dice(90);
        for (size_t i = 0; i < length; i++)
            in[i] = (uint8_t)(i > 0 && dice(100) < repeats ? in[i - 1] : dice(values));
        size_t begin = dice(2) * dice(length);
        pngout_runs_find(runs, in, begin, length, false);
        check_sequences(runs, in, begin, length);
    }
    free(runs);
}

/* An eighth of the literals is counted: where that says little of the others, the stream is longer, but
 * whole, and within its room. */
static void test_estimated_codes(void **state)
{
    (void)state;
    const size_t length = 3 * PNGOUT_BLOCK_BYTES;
    uint8_t *in = xmalloc(length);
    struct pngout_sequences *runs = xcalloc(1, sizeof *runs);
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < length; i++) {
            bool is_counted = i / 1024 % 4 == 0;
            in[i] = (uint8_t)(kind == 0   ? dice(256) & dice(256)
                              : kind == 1 ? (is_counted ? dice(240) : 240 + dice(16))
                                          : (is_counted ? dice(250) & dice(250) : 255 - (i & 1)));
        }
        pngout_runs_find(runs, in, 0, PNGOUT_BLOCK_BYTES, true);
        assert_true(runs->is_estimate);
        for (size_t i = 0; i < 256; i++)
            assert_true(runs->counts[i] > 0);
        size_t capacity = 2 * length;
        uint8_t *out = xmalloc(capacity), *back = xmalloc(length);
        size_t size = compress_into(in, length, out, capacity);
        uLongf produced = length;
        assert_true(size > 0 && size < 14 * length / 8);
        assert_int_equal(uncompress(back, &produced, out, size), Z_OK);
        assert_memory_equal(back, in, length);
        free(out);
        free(back);
    }
    /* Of few values, those that an eighth does not have are counted in the rest, and others have no code. */
    for (size_t i = 0; i < length; i++)
        in[i] = (uint8_t)dice(150);
    for (size_t i = 1024; i < 8192; i += 300)
        in[i] = 200;
    pngout_runs_find(runs, in, 0, PNGOUT_BLOCK_BYTES, true);
    assert_true(runs->is_estimate);
    for (size_t i = 0; i < 256; i++)
        assert_true(i == 200 ? runs->counts[i] == 24 : (runs->counts[i] > 0) == (i < 150));
    (void)check_stream(in, PNGOUT_BLOCK_BYTES);
    free(runs);
    free(in);
}

/* Table of RFC 1951 3.2.5 again: the first distance of some symbols. */
static void test_distances(void **state)
{
    (void)state;
    static const struct {
        uint32_t distance;
        uint16_t symbol;
        uint32_t bits;
    } rows[] = {{1, 0, 0},  {4, 3, 0},    {5, 4, 1},    {7, 5, 1},      {9, 6, 2},
                {25, 9, 3}, {193, 15, 6}, {513, 18, 8}, {8193, 26, 12}, {24577, 29, 13}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pngout_coded found = pngout_distance(rows[i].distance);
        assert_int_equal(found.symbol, rows[i].symbol);
        assert_int_equal(found.extra_bits, rows[i].bits);
        assert_int_equal(found.extra, 0);
    }
    for (uint32_t distance = 1; distance < PNGOUT_DISTANCE_MAX;
         distance++) { /* each follows the one before */
        struct pngout_coded a = pngout_distance(distance), b = pngout_distance(distance + 1);
        bool same = a.symbol == b.symbol;
        assert_int_equal(same ? b.extra : b.symbol, same ? a.extra + 1 : a.symbol + 1);
    }
}

/* Rows of every kind of pixel: noise, few values, rows that repeat others, drawings; longer than a block, and
 * with repetitions just within and just beyond 32 KB. */
static void test_matches_in_every_layout(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 2, 3, 6};
    const size_t most = 3 * PNGOUT_BLOCK_BYTES / 2;
    uint8_t *in = xmalloc(most);
    for (size_t i = 0; i < 4; i++) {
        for (int kind = 0; kind < 6; kind++) {
            size_t pixels = kind == 4 ? 1 : kind == 5 ? PNGOUT_DISTANCE_MAX / steps[i] : 1 + dice(900);
            const struct pngout_layout layout = {1 + pixels * steps[i], steps[i]};
            size_t rows = 1 + dice((uint32_t)(most / layout.row_bytes)), length = rows * layout.row_bytes;
            for (size_t at = 0; at < length; at++) {
                uint32_t value = kind == 0 ? dice(256) : kind == 1 ? dice(4) : (uint32_t)(at / 7 % 50);
                bool repeats = kind == 3 || kind == 5;
                in[at] = repeats && at >= layout.row_bytes && dice(50) > 0 ? in[at - layout.row_bytes]
                                                                           : (uint8_t)value;
            }
            size_t size = check_stream_by(&pngout_deflate_matches, &layout, in, length);
            if (kind == 3 && rows > 4)
                assert_true(size < length);
        }
    }
    free(in);
}

/* What the search counts as it goes is what stands between the repetitions that it found. */
static void test_matches_count_their_literals(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 2, 3, 6};
    uint8_t *in = xmalloc(PNGOUT_BLOCK_BYTES);
    struct pngout_matches *matches = xcalloc(1, sizeof *matches);
    struct pngout_sequences *found = xcalloc(1, sizeof *found);
    for (uint32_t round = 0; round < 200; round++) {
        size_t step = steps[round % 4], length = 1 + dice(round < 8 ? PNGOUT_BLOCK_BYTES : 6000);
        const struct pngout_layout layout = {1 + step * (1 + dice(300)), step};
        uint32_t values = 1 + dice(256), repeats = dice(40);
        for (size_t i = 0; i < length; i++)
            in[i] = (uint8_t)(i >= 600 && i / 50 % 40 < repeats ? in[i - 600] : dice(values));
        pngout_matches_begin(matches);
        for (size_t begin = 0, end; begin < length; begin = end) {
            uint32_t counts[256] = {0};
            size_t at = begin;
            end = begin + 1 + dice((uint32_t)(length - begin));
            pngout_matches_find(matches, found, &layout, in, begin, end);
            for (size_t i = 0; i < found->count; i++) {
                for (uint32_t k = 0; k < found->sequences[i].literals; k++)
                    counts[in[at + k]]++;
                at += found->sequences[i].literals + found->sequences[i].length;
            }
            assert_int_equal(at, end);
            assert_memory_equal(found->counts, counts, sizeof counts);
        }
    }
    free(found);
    free(matches);
    free(in);
}

static void test_matches_in_little_room(void **state)
{
    (void)state;
    static uint8_t in[5010];
    const struct pngout_layout layout = {501, 2};
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i > 40 && dice(3) > 0 ? in[i - 40] : dice(256));
    size_t needed = check_stream_by(&pngout_deflate_matches, &layout, in, sizeof in);
    for (size_t capacity = 0; capacity < needed + 64; capacity += 1 + dice(40)) {
        uint8_t *out = xmalloc(capacity);
        size_t size = compress_by(&pngout_deflate_matches, &layout, in, sizeof in, out, capacity);
        assert_true(size == 0 || (size == needed && size <= capacity));
        free(out);
    }
}

/* Twelve bytes are looked up by a mixture of their two words, of which pixels can be made up that agree in it
 * and differ in the first byte, or in the second: such are no repetition. */
static void test_pixels_made_to_deceive_the_search(void **state)
{
    (void)state;
    const uint64_t factor = UINT64_C(0xD6E8FEB86659FD93), wanted = UINT64_C(0x0123456789ABCDEF);
    const struct pngout_layout layout = {1 + 600 * 6, 6};
    const size_t length = 20 * layout.row_bytes;
    uint32_t inverse = 1; /* of the factor's lower half, modulo 2^32 */
    for (int i = 0; i < 5; i++)
        inverse *= 2 - (uint32_t)factor * inverse;
    for (uint32_t step = 1; step <= 256; step *= 256) {
        uint8_t *in = xmalloc(length);
        for (size_t i = 0; i < length; i++)
            in[i] = (uint8_t)dice(256);
        for (size_t row = 0; row < 20; row++) {
            for (size_t at = 1; at + 12 <= layout.row_bytes; at += 24) {
                uint32_t middle = (uint32_t)(row * 1000 + at) * step;
                uint64_t product = middle * factor;
                uint32_t words[3] = {(uint32_t)wanted ^ (uint32_t)product, middle, 0};
                words[2] = ((uint32_t)(wanted >> 32) ^ middle) - (uint32_t)(product >> 32);
                words[2] *= inverse;
                for (size_t i = 0; i < 12; i++)
                    in[row * layout.row_bytes + at + i] = (uint8_t)(words[i / 4] >> (8 * (i % 4)));
            }
        }
        (void)check_stream_by(&pngout_deflate_matches, &layout, in, length);
        free(in);
    }
}

/* The same rows give the same bytes, whatever was compressed before. */
static void test_matches_forget(void **state)
{
    (void)state;
    static uint8_t in[60000], first[80000], second[80000];
    const struct pngout_layout layout = {301, 3};
    void *compressor = pngout_deflate_matches.new_state();
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)(i > 900 && dice(4) > 0 ? in[i - 900] : dice(9));
    size_t size = pngout_deflate_matches.compress(compressor, &layout, in, 59899, first, sizeof first);
    (void)pngout_deflate_matches.compress(compressor, &layout, in + 100, 30100, second, sizeof second);
    assert_int_equal(pngout_deflate_matches.compress(compressor, &layout, in, 59899, second, sizeof second),
                     size);
    assert_memory_equal(first, second, size);
    pngout_deflate_matches.free_state(compressor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes_are_complete),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_streams_of_every_kind),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_little_room),
        cmocka_unit_test(test_an_estimate_is_near_the_size),
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_matches_in_every_layout),
        cmocka_unit_test(test_matches_count_their_literals),
        cmocka_unit_test(test_matches_in_little_room),
        cmocka_unit_test(test_matches_forget),
        cmocka_unit_test(test_pixels_made_to_deceive_the_search),
        cmocka_unit_test(test_every_run_is_found),
        cmocka_unit_test(test_estimated_codes),
    };
    int failed = cmocka_run_group_tests_name("pngout_own", tests, NULL, NULL);
    hide_vectors = true; /* the same without vectors of 64 bytes */
    return failed + cmocka_run_group_tests_name("pngout_own, narrow", tests, NULL, NULL);
}
