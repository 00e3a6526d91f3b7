/* The walk: which files, in which order, with which problems; and in how much memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

#include <cmocka.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "producer/scan.h"
#include "tests/unit/folder.h"

/* base/root is scanned; base/outside lies beside it. */
struct place {
    char path[64];
    char root_path[80];
    int base;
    int root;
};

static int make_place(void **state)
{
    struct place *place = xcalloc(1, sizeof *place);
    place->base = folder_new(place->path);
    make_folder(place->base, "root");
    make_folder(place->base, "outside");
    make_file(place->base, "outside/o.dcm", "12345");
    place->root = openat(place->base, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)snprintf(place->root_path, sizeof place->root_path, "%s/root", place->path);
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    (void)close(place->root);
    folder_remove(place->path, place->base);
    free(place);
    return 0;
}

/* ---- the answer as one text: "path|", or "path!problem|" ------------------------------------------- */

struct seen {
    struct buffer text;
    struct buffer last;
    size_t count;
    size_t stop_after; /* 0: never */
};

static bool note(void *context, const struct scan_file *file, struct error *err)
{
    struct seen *seen = context;
    /* strictly ascending, byte by byte: so nothing comes twice either */
    assert_true(seen->count == 0 || strcmp(buffer_text(&seen->last), file->path) < 0);
    buffer_truncate(&seen->last, 0);
    buffer_append_text(&seen->last, file->path);
    buffer_append_text(&seen->text, file->path);
    if (file->problem_code != NULL) {
        buffer_append_format(&seen->text, "!%s", file->problem_code);
        assert_int_equal(file->size_bytes, 0);
    }
    buffer_append_char(&seen->text, '|');
    if (++seen->count == seen->stop_after)
        return error_set(err, ERROR_RETRY, "enough");
    return true;
}

static void clear(struct seen *seen)
{
    buffer_clear(&seen->text);
    buffer_clear(&seen->last);
}

static struct scan_options options_of(const struct place *place)
{
    return (struct scan_options){
        .root = place->root_path, .depth = -1, .pattern = "*", .scratch = place->path};
}

static void expect(const struct scan_options *options, const char *expected)
{
    struct seen seen = {0};
    struct error err = {0};
    if (!scan_tree(options, note, &seen, &err))
        fail_msg("%s", err.text);
    assert_string_equal(buffer_text(&seen.text), expected);
    clear(&seen);
}

static void expect_all(const struct place *place, const char *expected)
{
    struct scan_options options = options_of(place);
    expect(&options, expected);
}

static void test_order_is_that_of_whole_paths(void **state)
{
    const struct place *place = *state;
    static const char *const folders[] = {"a", "a/b", "B", "z", "z/y", "z/y/x"};
    static const char *const files[] = {"a.dcm", "a-b", "a0",      "a/b.dcm", "a/b/c", "a/b0", "B/1",
                                        "B/10",  "B/2", "z/y/x/w", "z/y.x",   "A",     "~",    "!"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        make_folder(place->root, folders[i]);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        make_file(place->root, files[i], "");
    expect_all(place, "!|A|B/1|B/10|B/2|a-b|a.dcm|a/b.dcm|a/b/c|a/b0|a0|z/y.x|z/y/x/w|~|");
}

static void test_empty_root(void **state)
{
    const struct place *place = *state;
    expect_all(place, "");
    make_folder(place->root, "empty");
    expect_all(place, "");
}

static bool check_facts(void *context, const struct scan_file *file, struct error *err)
{
    (void)err;
    size_t *count = context;
    assert_string_equal(file->path, "f");
    assert_int_equal(file->size_bytes, 5);
    assert_int_equal(file->mtime_ns, INT64_C(1234567890123456789));
    assert_null(file->problem_code);
    ++*count;
    return true;
}

static void test_size_and_time(void **state)
{
    const struct place *place = *state;
    struct scan_options options = options_of(place);
    struct timespec times[2] = {{0, UTIME_OMIT}, {1234567890, 123456789}};
    struct error err;
    size_t count = 0;
    make_file(place->root, "f", "12345");
    assert_int_equal(utimensat(place->root, "f", times, 0), 0);
    assert_true(scan_tree(&options, check_facts, &count, &err));
    assert_int_equal(count, 1);
}

static void test_depth_and_pattern(void **state)
{
    const struct place *place = *state;
    struct scan_options options = options_of(place);
    make_folder(place->root, "1");
    make_folder(place->root, "1/2");
    make_folder(place->root, "1/2/3");
    make_folder(place->root, "1/folder.dcm");
    static const char *const files[] = {"0.dcm", "0.txt", "1/1.dcm", "1/1.DCM", "1/2/2.dcm", "1/2/3/3.dcm"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        make_file(place->root, files[i], "");
    options.pattern = "*.dcm";
    expect(&options, "0.dcm|1/1.dcm|1/2/2.dcm|1/2/3/3.dcm|");
    options.depth = 0;
    expect(&options, "0.dcm|");
    options.depth = 1;
    expect(&options, "1/1.dcm|");
    options.depth = 2;
    expect(&options, "1/2/2.dcm|");
    options.depth = 3;
    expect(&options, "1/2/3/3.dcm|");
    options.depth = 4;
    expect(&options, "");
    options.depth = -1;
    options.pattern = "[0-1].*";
    expect(&options, "0.dcm|0.txt|1/1.DCM|1/1.dcm|");
    options.pattern = "?.[dt]?[!m]";
    expect(&options, "0.txt|");
}

static void test_names_with_a_dot_in_front(void **state)
{
    const struct place *place = *state;
    struct scan_options options = options_of(place);
    make_folder(place->root, ".hidden");
    make_file(place->root, ".hidden/f.dcm", "");
    make_file(place->root, ".f.dcm", "");
    make_file(place->root, "f.dcm", "");
    make_file(place->root, "...", "");
    expect(&options, "f.dcm|");
    options.pattern = "*.dcm";
    expect(&options, "f.dcm|");
    options.depth = 1;
    expect(&options, "");
    options.depth = -1;
    options.pattern = ".*";
    expect(&options, "...|.f.dcm|");
}

static void test_strange_names(void **state)
{
    const struct place *place = *state;
    char longest[256], expected[700];
    memset(longest, 'x', 255);
    longest[255] = '\0';
    static const char *const names[] = {"new\nline",   "comma,",  "quote\"'", "\xff\xfe invalid",
                                        "back\\slash", " blank ", "tab\t",    "-rf",
                                        "\x01",        "%s%n"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        make_file(place->root, names[i], "");
    make_file(place->root, longest, "");
    (void)snprintf(expected, sizeof expected,
                   "\x01|\x20"
                   "blank |%%s%%n|-rf|back\\slash|comma,|new\nline|quote\"'|tab\t|%s|\xff\xfe invalid|",
                   longest);
    expect_all(place, expected);
    struct scan_options options = options_of(place);
    options.pattern = "*invalid";
    expect(&options, "\xff\xfe invalid|");
    options.pattern = "back\\*"; /* the backslash is a character like any other */
    expect(&options, "back\\slash|");
}

/* Every file is asked about, in order; those that are not wanted are not looked at. */
static bool is_wanted(void *context, const char *path)
{
    struct seen *seen = context;
    buffer_append_format(&seen->last, "%s?", path);
    return strchr(path, 'x') == NULL;
}

static bool note_wanted(void *context, const struct scan_file *file, struct error *err)
{
    struct seen *seen = context;
    (void)err;
    buffer_append_format(&seen->text, "%s%s|", file->path, file->problem_code != NULL ? "!" : "");
    return true;
}

static void test_files_of_others_are_passed_over(void **state)
{
    const struct place *place = *state;
    struct scan_options options = options_of(place);
    struct seen seen = {0};
    struct error err = {0};
    make_folder(place->root, "x");
    make_file(place->root, "a", "");
    make_file(place->root, "bx", "");
    make_file(place->root, "x/c", "");
    assert_int_equal(symlinkat("absent", place->root, "lx"), 0); /* a problem, if it were looked at */
    assert_int_equal(symlinkat("absent", place->root, "m"), 0);
    options.wants = is_wanted;
    assert_true(scan_tree(&options, note_wanted, &seen, &err));
    assert_string_equal(buffer_text(&seen.last), "a?bx?lx?m?x/c?");
    assert_string_equal(buffer_text(&seen.text), "a|m!|");
    clear(&seen);
}

static void test_links_are_followed(void **state)
{
    const struct place *place = *state;
    char absolute[128];
    (void)snprintf(absolute, sizeof absolute, "%s/a", place->root_path);
    make_folder(place->root, "a");
    make_file(place->root, "a/f", "12345");
    make_link(place->root, "a/f", "file");
    make_link(place->root, "a", "folder");
    make_link(place->root, absolute, "absolute");
    make_link(place->root, "absent", "dangling");
    make_link(place->root, "loop", "loop");
    expect_all(place, "a/f|absolute/f|dangling!input_missing|file|folder/f|loop!input_missing|");
}

static void test_circles_are_walked_once(void **state)
{
    const struct place *place = *state;
    make_folder(place->root, "a");
    make_folder(place->root, "a/b");
    make_file(place->root, "a/b/f", "");
    make_link(place->root, ".", "a/b/self");
    make_link(place->root, "..", "a/b/up");
    make_link(place->root, "../..", "a/b/top");
    make_link(place->root, place->root_path, "a/by-name");
    expect_all(place, "a/b/f|");
    make_link(place->root, "a/b", "beside"); /* no circle, but leads into them */
    expect_all(place, "a/b/f|beside/f|");
}

static void test_links_out_of_the_root(void **state)
{
    const struct place *place = *state;
    struct scan_options options = options_of(place);
    char shared[80];
    (void)snprintf(shared, sizeof shared, "%s/outside", place->path);
    const char *const link_roots[] = {"/usr/share", shared, NULL}, *const other_roots[] = {"/usr/share",
                                                                                           NULL};
    make_file(place->root, "f.dcm", "");
    make_link(place->root, "../outside/o.dcm", "out.dcm");
    make_link(place->root, "../outside", "out");
    make_link(place->root, "/etc/hostname", "etc.txt");
    make_link(place->base, "../root/f.dcm", "outside/back.dcm");
    expect(&options, "etc.txt!outside_root|f.dcm|out.dcm!outside_root|out/!outside_root|");
    options.link_roots = other_roots;
    expect(&options, "etc.txt!outside_root|f.dcm|out.dcm!outside_root|out/!outside_root|");
    options.link_roots = link_roots;
    expect(&options, "etc.txt!outside_root|f.dcm|out.dcm|out/back.dcm|out/o.dcm|");
    options.pattern = "*.dcm";
    expect(&options, "f.dcm|out.dcm|out/back.dcm|out/o.dcm|");
    options.link_roots = NULL;
    expect(&options, "f.dcm|out.dcm!outside_root|out/!outside_root|"); /* a folder whatever the pattern */
    options.depth = 0;
    expect(&options, "f.dcm|out.dcm!outside_root|");
    options.depth = -1;
    options.links_anywhere = true;
    options.pattern = "*";
    expect(&options, "etc.txt|f.dcm|out.dcm|out/back.dcm|out/o.dcm|");
}

static void test_special_files(void **state)
{
    const struct place *place = *state;
    struct scan_options options = options_of(place);
    assert_int_equal(mkfifoat(place->root, "fifo", 0644), 0);
    make_link(place->root, "fifo", "to-fifo.dcm");
    expect(&options, "fifo!input_special|to-fifo.dcm!input_special|");
    options.pattern = "*.dcm";
    expect(&options, "to-fifo.dcm!input_special|");
}

static void test_folders_that_may_not_be_read(void **state)
{
    const struct place *place = *state;
    struct scan_options options = options_of(place);
    struct error err;
    struct seen seen = {0};
    make_folder(place->root, "closed");
    make_file(place->root, "closed.dcm", "");
    make_file(place->root, "closed0", "");
    make_file(place->root, "closed/f", "");
    make_folder(place->root, "names-only");
    make_file(place->root, "names-only/f", "");
    make_link(place->root, "closed", "to-closed");
    assert_int_equal(fchmodat(place->root, "closed", 0, 0), 0);
    assert_int_equal(fchmodat(place->root, "names-only", 0444, 0), 0);
    bool is_root = geteuid() == 0;
    if (is_root)
        assert_int_equal(seteuid(UNPRIVILEGED), 0);
    options.scratch = "/tmp";
    expect(&options,
           "closed.dcm|closed/!input_denied|closed0|names-only/f!input_denied|to-closed/!input_denied|");
    assert_false(scan_tree(&(struct scan_options){.root = "/nonexistent", .depth = -1, .pattern = "*"}, note,
                           &seen, &err));
    char closed[100];
    (void)snprintf(closed, sizeof closed, "%s/closed", place->root_path);
    options.root = closed;
    assert_false(scan_tree(&options, note, &seen, &err));
    if (is_root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(err.kind, ERROR_FATAL);
    clear(&seen);
}

static void test_roots_that_are_none(void **state)
{
    const struct place *place = *state;
    struct scan_options options = options_of(place);
    const char *const link_roots[] = {"/nonexistent", NULL};
    struct seen seen = {0};
    struct error err;
    options.link_roots = link_roots;
    assert_false(scan_tree(&options, note, &seen, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_non_null(strstr(err.text, "/nonexistent"));
    options.link_roots = NULL;
    options.root = "/etc/hostname";
    assert_false(scan_tree(&options, note, &seen, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    clear(&seen);
}

static void test_the_callers_error_ends_the_walk(void **state)
{
    const struct place *place = *state;
    struct scan_options options = options_of(place);
    struct seen seen = {.stop_after = 2};
    struct error err;
    make_folder(place->root, "a");
    make_file(place->root, "a/1", "");
    make_file(place->root, "a/2", "");
    make_file(place->root, "a/3", "");
    assert_false(scan_tree(&options, note, &seen, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_string_equal(buffer_text(&seen.text), "a/1|a/2|");
    clear(&seen);
}

/* ---- deep and wide --------------------------------------------------------------------------------- */

static size_t open_descriptors(void)
{
    size_t count = 0;
    DIR *stream = opendir("/proc/self/fd");
    assert_non_null(stream);
    while (readdir(stream) != NULL)
        count++;
    (void)closedir(stream);
    return count - 3;
}

struct deep {
    size_t files;
    size_t most_descriptors;
    size_t longest_path;
};

static bool note_deep(void *context, const struct scan_file *file, struct error *err)
{
    struct deep *deep = context;
    (void)err;
    assert_null(file->problem_code);
    size_t length = strlen(file->path), descriptors = open_descriptors();
    deep->files++;
    deep->longest_path = length > deep->longest_path ? length : deep->longest_path;
    deep->most_descriptors = descriptors > deep->most_descriptors ? descriptors : deep->most_descriptors;
    return true;
}

/* 300 levels with names of 50 bytes, 15 KB of path; on each level a file before and one after the folder, so
 * that the closed ones are needed again. Every 40th way down is through a link. */
static void test_deep_tree(void **state)
{
    const struct place *place = *state;
    enum { LEVELS = 300 };
    struct scan_options options = options_of(place);
    struct deep deep = {0};
    struct error err = {0};
    char name[51];
    memset(name, 'm', 50);
    name[50] = '\0';
    int dir = dup(place->root);
    for (int i = 0; i < LEVELS; i++) {
        make_file(dir, "a", "");
        make_file(dir, "z", "");
        const char *real = i % 40 == 20 ? ".hidden" : name;
        make_folder(dir, real);
        if (real != name)
            make_link(dir, real, name);
        int next = openat(dir, real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        (void)close(dir);
        dir = next;
    }
    (void)close(dir);
    size_t before = open_descriptors();
    if (!scan_tree(&options, note_deep, &deep, &err))
        fail_msg("%s", err.text);
    assert_int_equal(deep.files, 2 * LEVELS);
    assert_int_equal(deep.longest_path, (LEVELS - 1) * 51 + 1);
    assert_true(deep.most_descriptors <= before + SCAN_OPEN_FOLDERS + 1);
    assert_int_equal(open_descriptors(), before);
}

/* While the walk is far down, a folder further up that it has closed is renamed and another takes its place:
 * its remaining names are reported, not looked up in the wrong folder. */
struct swap {
    int root;
    size_t missing, good;
    bool done;
};

static bool swap_folders(void *context, const struct scan_file *file, struct error *err)
{
    struct swap *swap = context;
    (void)err;
    if (!swap->done && strlen(file->path) > 2 * (SCAN_OPEN_FOLDERS + 10)) {
        assert_int_equal(renameat(swap->root, "d", swap->root, ".moved"), 0);
        make_folder(swap->root, "d");
        make_file(swap->root, "d/z", "another");
        swap->done = true;
    }
    if (file->problem_code == NULL) {
        swap->good++;
        assert_int_equal(file->size_bytes, 0);
    } else {
        assert_string_equal(file->problem_code, CODE_INPUT_MISSING);
        swap->missing++;
    }
    return true;
}

static void test_folder_renamed_during_the_walk(void **state)
{
    const struct place *place = *state;
    enum { LEVELS = SCAN_OPEN_FOLDERS + 20 };
    struct scan_options options = options_of(place);
    struct swap swap = {.root = place->root};
    struct error err = {0};
    int dir = dup(place->root);
    for (int i = 0; i < LEVELS; i++) {
        if (i == 1 || i == LEVELS - 1)
            make_file(dir, "z", "");
        if (i == LEVELS - 1)
            make_file(dir, "a", "");
        make_folder(dir, "d");
        int next = openat(dir, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        (void)close(dir);
        dir = next;
    }
    (void)close(dir);
    if (!scan_tree(&options, swap_folders, &swap, &err))
        fail_msg("%s", err.text);
    assert_true(swap.done);
    /* ".." leads back to the renamed one, which is the same folder still: all three files are found, or one
     * is missing */
    assert_int_equal(swap.good + swap.missing, 3);
    assert_true(swap.good >= 2);
}

static bool count_file(void *context, const struct scan_file *file, struct error *err)
{
    (void)err;
    char expected[32];
    size_t *count = context;
    (void)snprintf(expected, sizeof expected, "%06zu.dcm", (*count)++);
    assert_string_equal(file->path, expected);
    return true;
}

static void test_ten_thousand_files_in_one_folder(void **state)
{
    const struct place *place = *state;
    enum { COUNT = 10000 };
    struct scan_options options = options_of(place);
    struct error err;
    size_t count = 0;
    for (size_t i = 0; i < COUNT; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%06zu.dcm", i * 7919 % COUNT);
        int descriptor = openat(place->root, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(descriptor >= 0);
        (void)close(descriptor);
    }
    assert_true(scan_tree(&options, count_file, &count, &err));
    assert_int_equal(count, COUNT);
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACE(test_order_is_that_of_whole_paths),
        WITH_PLACE(test_empty_root),
        WITH_PLACE(test_size_and_time),
        WITH_PLACE(test_depth_and_pattern),
        WITH_PLACE(test_names_with_a_dot_in_front),
        WITH_PLACE(test_strange_names),
        WITH_PLACE(test_files_of_others_are_passed_over),
        WITH_PLACE(test_links_are_followed),
        WITH_PLACE(test_circles_are_walked_once),
        WITH_PLACE(test_links_out_of_the_root),
        WITH_PLACE(test_special_files),
        WITH_PLACE(test_folders_that_may_not_be_read),
        WITH_PLACE(test_roots_that_are_none),
        WITH_PLACE(test_the_callers_error_ends_the_walk),
        WITH_PLACE(test_deep_tree),
        WITH_PLACE(test_folder_renamed_during_the_walk),
        WITH_PLACE(test_ten_thousand_files_in_one_folder),
    };
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
