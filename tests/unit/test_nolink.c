/* Calls that follow no link: what they do, with openat2() and without it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "common/nolink.h"
#include "tests/unit/folder.h"
#include "tests/unit/openat2_denied.h"

struct place {
    char path[64];
    int base, out;
};

/* base/out is the folder, base/outside is not to be touched. */
static int make_place(void **state)
{
    static struct place place;
    place.base = folder_new(place.path);
    make_folder(place.base, "out");
    make_folder(place.base, "outside");
    make_file(place.base, "outside/file", "outside");
    place.out = openat(place.base, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_folder(place.out, "a");
    make_folder(place.out, "a/b");
    make_file(place.out, "a/b/file", "inside");
    make_link(place.out, "../outside", "link");
    make_link(place.out, "../../outside", "a/link");
    make_link(place.out, "a", "within");
    make_link(place.out, "a/b/file", "to-file");
    *state = &place;
    return 0;
}

static int remove_place(void **state)
{
    const struct place *place = *state;
    (void)close(place->out);
    folder_remove(place->path, place->base);
    return 0;
}

static bool is_there(int dir, const char *path)
{
    struct stat status;
    return fstatat(dir, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A result that shall be a failure, with its errno. */
#define EXPECT_ERRNO(call, number)       \
    do {                                 \
        errno = 0;                       \
        assert_int_equal(call, -1);      \
        assert_int_equal(errno, number); \
    } while (0)

static void expect_refused(const struct place *place, const char *path, int number)
{
    struct stat status;
    int out = place->out;
    EXPECT_ERRNO(nolink_open(out, path, O_RDONLY, 0), number);
    EXPECT_ERRNO(nolink_open(out, path, O_WRONLY | O_TRUNC, 0), number);
    EXPECT_ERRNO(nolink_open_file(out, path, O_RDONLY, 0), number);
    char below[256];
    (void)snprintf(below, sizeof below, "%s/file", path);
    EXPECT_ERRNO(nolink_open(out, below, O_RDONLY, 0), number);
    EXPECT_ERRNO(nolink_unlink(out, below, 0), number);
    EXPECT_ERRNO(nolink_rename(out, below, "got"), number);
    EXPECT_ERRNO(nolink_stat(out, below, &status), number);
    (void)snprintf(below, sizeof below, "%s/new", path);
    EXPECT_ERRNO(nolink_open(out, below, O_WRONLY | O_CREAT | O_EXCL, 0600), number);
    EXPECT_ERRNO(nolink_mkdir(out, below, 0700), number);
    EXPECT_ERRNO(nolink_rename(out, "a/b/file", below), number);
    assert_false(is_there(place->base, "outside/new"));
    assert_true(is_there(place->base, "outside/file"));
    assert_true(is_there(place->out, "a/b/file"));
}

static void test_links_are_not_followed(void **state)
{
    const struct place *place = *state;
    expect_refused(place, "link", ELOOP);
    expect_refused(place, "a/link", ELOOP);
    expect_refused(place, "within", ELOOP); /* nor those that stay within */
    EXPECT_ERRNO(nolink_open(place->out, "within/b", O_RDONLY | O_DIRECTORY, 0), ELOOP);
    EXPECT_ERRNO(nolink_open(place->out, "link", O_RDONLY | O_DIRECTORY, 0), ELOOP);
    EXPECT_ERRNO(nolink_open(place->out, "to-file", O_RDONLY, 0), ELOOP);
    EXPECT_ERRNO(nolink_open(place->out, "a/b/file/c", O_RDONLY, 0), ENOTDIR);
    EXPECT_ERRNO(nolink_open(place->out, "absent/c", O_RDONLY, 0), ENOENT);
}

static void test_paths_that_climb_are_refused(void **state)
{
    const struct place *place = *state;
    expect_refused(place, "..", EXDEV);
    expect_refused(place, "../outside", EXDEV);
    expect_refused(place, "a/../../outside", EXDEV);
    EXPECT_ERRNO(nolink_unlink(place->out, "a/..", AT_REMOVEDIR), EXDEV);
    EXPECT_ERRNO(nolink_unlink(place->out, "", 0), ENOENT);
    EXPECT_ERRNO(nolink_unlink(place->out, "a/", AT_REMOVEDIR), ENOENT);
}

static void test_links_themselves(void **state)
{
    const struct place *place = *state;
    struct stat status;
    assert_int_equal(nolink_stat(place->out, "a/link", &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(nolink_rename(place->out, "a/link", "a/b/moved"), 0);
    assert_int_equal(nolink_unlink(place->out, "a/b/moved", 0), 0);
    assert_false(is_there(place->out, "a/b/moved"));
    assert_true(is_there(place->base, "outside/file"));
}

static void test_plain_paths(void **state)
{
    const struct place *place = *state;
    struct stat status;
    char absolute[128], content[16] = "";
    int file = nolink_open(place->out, "a/./b//new", O_RDWR | O_CREAT | O_EXCL, 0640);
    assert_true(file >= 0);
    assert_int_equal(fcntl(file, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fstat(file, &status), 0);
    assert_int_equal(status.st_mode & 0777 & ~0640u, 0);
    (void)close(file);
    EXPECT_ERRNO(nolink_open(place->out, "a/b/new", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
    assert_int_equal(nolink_mkdir(place->out, "a/b/c", 0700), 0);
    EXPECT_ERRNO(nolink_mkdir(place->out, "a/b/c", 0700), EEXIST);
    assert_int_equal(nolink_rename(place->out, "a/b/new", "a/b/c/newer"), 0);
    assert_int_equal(nolink_stat(place->out, "a/b/c/newer", &status), 0);
    assert_int_equal(nolink_unlink(place->out, "a/b/c/newer", 0), 0);
    assert_int_equal(nolink_unlink(place->out, "a/b/c", AT_REMOVEDIR), 0);
    (void)snprintf(absolute, sizeof absolute, "%s/out/a/b/file", place->path);
    file = nolink_open(AT_FDCWD, absolute, O_RDONLY, 0);
    assert_int_equal(read(file, content, sizeof content), 6);
    assert_string_equal(content, "inside");
    (void)close(file);
    (void)snprintf(absolute, sizeof absolute, "%s/out/within/b/file", place->path);
    EXPECT_ERRNO(nolink_open(AT_FDCWD, absolute, O_RDONLY, 0), ELOOP);
    EXPECT_ERRNO(nolink_unlink(AT_FDCWD, absolute, 0), ELOOP);
    (void)snprintf(absolute, sizeof absolute, "%s/out/a/b/file", place->path);
    assert_int_equal(nolink_unlink(AT_FDCWD, absolute, 0), 0);
    file = nolink_open(place->out, ".", O_TMPFILE | O_RDWR, 0600);
    assert_true(file >= 0 || errno == EOPNOTSUPP);
    if (file >= 0)
        (void)close(file);
}

/* A file with a second name elsewhere would be written there as well; a FIFO would wait for ever. */
static void test_files_of_their_own(void **state)
{
    const struct place *place = *state;
    char content[16] = "";
    assert_int_equal(linkat(place->base, "outside/file", place->out, "hard", 0), 0);
    assert_int_equal(mkfifoat(place->out, "fifo", 0600), 0);
    EXPECT_ERRNO(nolink_open_file(place->out, "hard", O_WRONLY | O_APPEND, 0), EMLINK);
    EXPECT_ERRNO(nolink_open_file(place->out, "fifo", O_RDONLY, 0), ENXIO);
    EXPECT_ERRNO(nolink_open_file(place->out, "fifo", O_WRONLY | O_CREAT, 0600), ENXIO);
    EXPECT_ERRNO(nolink_open_file(place->out, "a", O_RDONLY, 0), ENXIO);
    int file = nolink_open_file(place->out, "a/b/file", O_RDWR | O_CREAT, 0600);
    assert_int_equal(read(file, content, sizeof content), 6);
    (void)close(file);
}

static int deny_nothing(void **state)
{
    openat2_denial = 0;
    return make_place(state);
}

static int deny_as_old_kernels(void **state)
{
    openat2_denial = ENOSYS;
    return make_place(state);
}

static int deny_as_filters(void **state)
{
    openat2_denial = EPERM;
    return make_place(state);
}

#define IN_ALL_WAYS(test)                                                         \
    cmocka_unit_test_setup_teardown(test, deny_nothing, remove_place),            \
        cmocka_unit_test_setup_teardown(test, deny_as_old_kernels, remove_place), \
        cmocka_unit_test_setup_teardown(test, deny_as_filters, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_ALL_WAYS(test_links_are_not_followed), IN_ALL_WAYS(test_paths_that_climb_are_refused),
        IN_ALL_WAYS(test_links_themselves),       IN_ALL_WAYS(test_plain_paths),
        IN_ALL_WAYS(test_files_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
