/* Slices: each path is in one, always in the same; they are of about one size; what is no slice is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "producer/slice.h"

static void texts(void **state)
{
    static const struct {
        const char *text;
        bool is_slice;
        uint32_t index, count;
    } cases[] = {
        {"0/1", true, 0, 1},        {"0/7", true, 0, 7},
        {"6/7", true, 6, 7},        {"99999/100000", true, 99999, 100000},
        {"7/7", false, 0, 0},       {"1/0", false, 0, 0},
        {"0/0", false, 0, 0},       {"0/100001", false, 0, 0},
        {"1", false, 0, 0},         {"", false, 0, 0},
        {"/", false, 0, 0},         {"1/", false, 0, 0},
        {"/7", false, 0, 0},        {"1/7/", false, 0, 0},
        {"-1/7", false, 0, 0},      {"+1/7", false, 0, 0},
        {" 1/7", false, 0, 0},      {"1/7 ", false, 0, 0},
        {"1.0/7", false, 0, 0},     {"1/4294967303", false, 0, 0},
        {"0/0000007", false, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice slice;
        struct error err;
        bool ok = slice_parse(cases[i].text, &slice, &err);
        if (ok != cases[i].is_slice)
            fail_msg("'%s'", cases[i].text);
        if (ok) {
            assert_int_equal(slice.index, cases[i].index);
            assert_int_equal(slice.count, cases[i].count);
        } else {
            assert_int_equal(err.kind, ERROR_FATAL);
        }
    }
}

static void counts(void **state)
{
    struct error err;
    uint32_t count;
    (void)state;
    assert_true(slice_parse_count("1", &count, &err));
    assert_true(slice_parse_count("100000", &count, &err));
    assert_int_equal(count, 100000);
    static const char *const wrong[] = {"0", "100001", "", "7 ", "-1", "seven", "1/7"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(slice_parse_count(wrong[i], &count, &err));
}

static uint32_t slice_of(const char *path, uint32_t count)
{
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++)
        if (slice_has(&(struct slice){i, count}, path)) {
            assert_int_equal(found, UINT32_MAX); /* in no two */
            found = i;
        }
    assert_int_not_equal(found, UINT32_MAX);
    return found;
}

/* Names as scanners give them, which differ in a digit or two. */
static void each_file_is_in_one_slice_and_slices_are_even(void **state)
{
    enum { FILES = 7000, MOST = 16 };
    (void)state;
    for (uint32_t count = 1; count <= MOST; count++) {
        unsigned sizes[MOST] = {0};
        for (unsigned i = 0; i < FILES; i++) {
            char path[64];
            (void)snprintf(path, sizeof path, "p%u/s1/IM%05u.dcm", i / 500, i % 500);
            sizes[slice_of(path, count)]++;
        }
        for (uint32_t i = 0; i < count; i++) {
            unsigned even = FILES / count;
            if (sizes[i] < even - even / 5 || sizes[i] > even + even / 5)
                fail_msg("slice %u/%u has %u files", i, count, sizes[i]);
        }
    }
}

/* Slices of two versions of the program, or of two machines, go together: these numbers never change. */
static void slices_are_the_same_everywhere(void **state)
{
    static const struct {
        const char *path;
        uint32_t of_7, of_1000;
    } cases[] = {
        {"a/b.dcm", 2, 245},
        {"IM00001", 3, 948},
        {"\xff\xfe folder/", 2, 831},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(slice_of(cases[i].path, 7), cases[i].of_7);
        assert_int_equal(slice_of(cases[i].path, 1000), cases[i].of_1000);
    }
}

static void without_slices_all_files_are_ours(void **state)
{
    (void)state;
    assert_true(slice_has(&(struct slice){0, 0}, "a"));
    assert_true(slice_has(&(struct slice){0, 1}, "a"));
}

static uint64_t digest_of(const char *const *paths, size_t count)
{
    uint64_t digest = 0;
    for (size_t i = 0; i < count; i++)
        digest = slice_scan_digest(digest, paths[i]);
    return digest;
}

static void a_digest_tells_scans_apart(void **state)
{
    (void)state;
    const char *const all[] = {"a", "b", "c"}, *const same[] = {"a", "b", "c"}, *const fewer[] = {"a", "c"},
                      *const renamed[] = {"a", "b", "d"}, *const turned[] = {"b", "a", "c"};
    assert_true(digest_of(all, 3) == digest_of(same, 3));
    assert_true(digest_of(all, 3) != digest_of(fewer, 2));
    assert_true(digest_of(all, 3) != digest_of(renamed, 3));
    assert_true(digest_of(all, 3) != digest_of(turned, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(counts),
        cmocka_unit_test(each_file_is_in_one_slice_and_slices_are_even),
        cmocka_unit_test(slices_are_the_same_everywhere),
        cmocka_unit_test(without_slices_all_files_are_ours),
        cmocka_unit_test(a_digest_tells_scans_apart),
    };
    return cmocka_run_group_tests_name("slice", tests, NULL, NULL);
}
