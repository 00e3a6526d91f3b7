/* The names of one folder: their order, in memory and in runs on disk, and how much memory a million take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/alloc.h"
#include "producer/scan.h"
#include "producer/scan_sort.h"

/* gcc and clang say it differently. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WITH_SANITIZER true
#elif defined(__has_feature)
#define WITH_SANITIZER (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define WITH_SANITIZER false
#endif

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Random names, folders among them, with limits that give one run, a few, or hundreds. */
static void test_sorting_in_runs(void **state)
{
    (void)state;
    static const size_t limits[] = {1u << 30, 60000, 5000, 600};
    enum { COUNT = 5000 };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct scan_names names;
        struct error err;
        unsigned seed = 11;
        char *expected[COUNT];
        scan_names_init(&names, limits[i], "/tmp");
        for (size_t j = 0; j < COUNT; j++) {
            size_t length = 1 + (size_t)rand_r(&seed) % 250;
            char name[260];
            for (size_t k = 0; k < length; k++)
                name[k] = (char)(1 + rand_r(&seed) % 255);
            for (char *slash; (slash = memchr(name, '/', length)) != NULL;)
                *slash = '.';
            name[length] = '\0';
            bool is_folder = rand_r(&seed) % 3 == 0;
            assert_true(scan_names_add(&names, name, is_folder, &err));
            expected[j] = xasprintf("%s%s", name, is_folder ? "/" : "");
        }
        assert_true(scan_names_sort(&names, &err));
        assert_int_equal(names.run_count == 0, i == 0);
        qsort(expected, COUNT, sizeof expected[0], compare_texts);
        const char *name;
        for (size_t j = 0; j < COUNT; j++) {
            assert_true(scan_names_next(&names, &name, &err));
            assert_non_null(name);
            assert_string_equal(name, expected[j]);
            free(expected[j]);
        }
        for (int again = 0; again < 2; again++) {
            assert_true(scan_names_next(&names, &name, &err));
            assert_null(name);
        }
        scan_names_clear(&names);
    }
    scan_names_clear(NULL);
}

static void test_sorting_without_a_place_for_runs(void **state)
{
    (void)state;
    struct scan_names names;
    struct error err;
    scan_names_init(&names, 100, "/nonexistent");
    bool ok = true;
    for (int i = 0; i < 20 && ok; i++)
        ok = scan_names_add(&names, "some name", false, &err);
    assert_false(ok);
    assert_int_equal(err.kind, ERROR_FATAL);
    scan_names_clear(&names);
}

/* A million names of 25 bytes in one folder. Sanitizers keep their own books of memory, so there the names
 * are counted and their order checked only. */
static void test_a_million_names_under_64_mb(void **state)
{
    (void)state;
    enum { COUNT = 1000000 };
    struct scan_names names;
    struct error err;
    char name[40], previous[40] = "";
    const char *next;
    scan_names_init(&names, SCAN_SORT_BYTES, "/tmp");
    for (uint64_t i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof name, "IM-%018llu.dcm",
                       (unsigned long long)(i * UINT64_C(11400714819323198485) >> 20));
        assert_true(scan_names_add(&names, name, false, &err));
    }
    assert_true(scan_names_sort(&names, &err));
    assert_true(names.run_count > 0);
    size_t count = 0;
    for (;;) {
        assert_true(scan_names_next(&names, &next, &err));
        if (next == NULL)
            break;
        assert_true(strcmp(previous, next) <= 0);
        (void)snprintf(previous, sizeof previous, "%s", next);
        count++;
    }
    assert_int_equal(count, COUNT);
    scan_names_clear(&names);
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    print_message("peak of the whole process: %ld KB\n", usage.ru_maxrss);
    if (!WITH_SANITIZER)
        assert_true(usage.ru_maxrss < 64 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorting_in_runs),
        cmocka_unit_test(test_sorting_without_a_place_for_runs),
        cmocka_unit_test(test_a_million_names_under_64_mb),
    };
    return cmocka_run_group_tests_name("scan_sort", tests, NULL, NULL);
}
