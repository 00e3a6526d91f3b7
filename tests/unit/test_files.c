/* Opening beneath a root, in both of its ways; drafts, the lock, copies. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/alloc.h"
#include "common/files.h"
#include "tests/unit/folder.h"

/* base/root is the root, base/shared the link root, base/outside neither. */
struct place {
    char path[64];
    int base;
    int root;
    int shared;
};

static int make_place(void **state)
{
    struct place *place = xcalloc(1, sizeof *place);
    place->base = folder_new(place->path);
    make_folder(place->base, "root");
    make_folder(place->base, "root2"); /* begins with the same letters */
    make_folder(place->base, "shared");
    make_folder(place->base, "outside");
    make_file(place->base, "shared/file", "shared");
    make_file(place->base, "outside/file", "outside");
    make_file(place->base, "root2/file", "outside");
    place->root = openat(place->base, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place->shared = openat(place->base, "shared", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_folder(place->root, "a");
    make_folder(place->root, "a/b");
    make_file(place->root, "plain", "plain");
    make_file(place->root, "a/b/deep", "deep");
    *state = place;
    return 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    (void)close(place->root);
    (void)close(place->shared);
    folder_remove(place->path, place->base);
    free(place);
    return 0;
}

/* What opening gives: the file's content, or the code of the failure. In both ways, which must agree. */
static void expect(const struct place *place, bool with_link_root, bool anywhere, const char *path,
                   const char *answer)
{
    for (int by_component = 0; by_component <= 1; by_component++) {
        struct files_roots roots = {.root = place->root,
                                    .link_roots = &place->shared,
                                    .link_root_count = with_link_root ? 1 : 0,
                                    .anywhere = anywhere,
                                    .by_component = by_component != 0};
        int descriptor = 0;
        struct stat status;
        struct error err;
        char content[32] = "";
        if (!files_open_input(&roots, path, &descriptor, &status, &err)) {
            assert_int_equal(descriptor, -1);
            assert_int_equal(err.kind, ERROR_INPUT);
            assert_int_equal(err.category, CATEGORY_NOT_USABLE);
            assert_string_equal(err.code, answer);
            assert_null(strstr(err.text, place->path));
            continue;
        }
        ssize_t length = read(descriptor, content, sizeof content - 1);
        assert_true(length >= 0);
        assert_int_equal(status.st_size, length);
        assert_string_equal(content, answer);
        assert_int_equal(fcntl(descriptor, F_GETFD), FD_CLOEXEC);
        (void)close(descriptor);
    }
}

static void test_plain_paths(void **state)
{
    const struct place *place = *state;
    expect(place, false, false, "plain", "plain");
    expect(place, false, false, "a/b/deep", "deep");
    expect(place, false, false, "a//b/./deep", "deep");
    expect(place, false, false, "absent", CODE_INPUT_MISSING);
    expect(place, false, false, "absent/deep", CODE_INPUT_MISSING);
    expect(place, false, false, "plain/deep", CODE_INPUT_MISSING);
    expect(place, false, false, "", CODE_INPUT_MISSING);
    expect(place, false, false, "a/b", CODE_INPUT_SPECIAL);
    expect(place, false, false, ".", CODE_INPUT_SPECIAL);
}

static void test_paths_that_leave_the_root(void **state)
{
    const struct place *place = *state;
    char absolute[128];
    (void)snprintf(absolute, sizeof absolute, "%s/root/plain", place->path);
    for (int anywhere = 0; anywhere <= 1; anywhere++) {
        expect(place, true, anywhere != 0, "../outside/file", CODE_OUTSIDE_ROOT);
        expect(place, true, anywhere != 0, "../root/plain", CODE_OUTSIDE_ROOT);
        expect(place, true, anywhere != 0, "a/../plain", CODE_OUTSIDE_ROOT);
        expect(place, true, anywhere != 0, "a/..", CODE_OUTSIDE_ROOT);
        expect(place, true, anywhere != 0, "/etc/hostname", CODE_OUTSIDE_ROOT);
        expect(place, true, anywhere != 0, absolute, CODE_OUTSIDE_ROOT);
    }
    make_file(place->root, "..a", "dots");
    expect(place, false, false, "..a", "dots");
}

static void test_links_within_the_root(void **state)
{
    const struct place *place = *state;
    char absolute[128];
    (void)snprintf(absolute, sizeof absolute, "%s/root/a", place->path);
    make_link(place->root, "a/b/deep", "relative");
    make_link(place->root, "../plain", "a/up");
    make_link(place->root, absolute, "absolute");
    make_link(place->root, "../root/plain", "out-and-in");
    expect(place, false, false, "relative", "deep");
    expect(place, false, false, "a/up", "plain");
    expect(place, false, false, "absolute/b/deep", "deep");
    expect(place, false, false, "out-and-in", "plain");
}

static void test_links_that_leave_the_root(void **state)
{
    const struct place *place = *state;
    char absolute[128];
    (void)snprintf(absolute, sizeof absolute, "%s/outside/file", place->path);
    make_link(place->root, "../outside/file", "to-file");
    make_link(place->root, "../outside", "to-folder");
    make_link(place->root, absolute, "by-name");
    make_link(place->root, "../root2/file", "alike");
    make_link(place->root, "../shared/file", "to-shared-file");
    make_link(place->root, "../shared", "to-shared");
    make_link(place->base, "../outside/file", "shared/further");
    static const char *const outside[] = {"to-file", "to-folder/file", "by-name", "alike",
                                          "to-shared/further"};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        expect(place, false, false, outside[i], CODE_OUTSIDE_ROOT);
        expect(place, true, false, outside[i], CODE_OUTSIDE_ROOT);
        expect(place, false, true, outside[i], "outside");
    }
    expect(place, false, false, "to-shared-file", CODE_OUTSIDE_ROOT);
    expect(place, true, false, "to-shared-file", "shared");
    expect(place, true, false, "to-shared/file", "shared");
    expect(place, true, true, "to-shared/file", "shared");
    expect(place, false, false, "to-folder/absent", CODE_OUTSIDE_ROOT); /* says nothing about what is there */
}

static void test_links_that_lead_nowhere(void **state)
{
    const struct place *place = *state;
    make_link(place->root, "absent", "dangling");
    make_link(place->root, "circle-2", "circle-1");
    make_link(place->root, "circle-1", "circle-2");
    make_link(place->root, ".", "self");
    expect(place, false, false, "dangling", CODE_INPUT_MISSING);
    expect(place, false, true, "dangling", CODE_INPUT_MISSING);
    expect(place, false, false, "circle-1", CODE_INPUT_MISSING);
    expect(place, false, false, "self/self/plain", "plain");
    expect(place, false, false, "self", CODE_INPUT_SPECIAL);
}

static void test_special_files_do_not_block(void **state)
{
    const struct place *place = *state;
    assert_int_equal(mkfifoat(place->root, "fifo", 0644), 0);
    make_link(place->root, "fifo", "to-fifo");
    make_link(place->root, "/dev/null", "to-device");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/root/socket", place->path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    expect(place, false, false, "fifo", CODE_INPUT_SPECIAL);
    expect(place, false, false, "to-fifo", CODE_INPUT_SPECIAL);
    expect(place, false, false, "socket", CODE_INPUT_SPECIAL);
    expect(place, false, false, "to-device", CODE_OUTSIDE_ROOT);
    expect(place, false, true, "to-device", CODE_INPUT_SPECIAL);
    (void)close(listener);
}

static void test_permissions(void **state)
{
    const struct place *place = *state;
    make_folder(place->root, "closed");
    make_file(place->root, "closed/file", "closed");
    assert_int_equal(fchmodat(place->root, "plain", 0, 0), 0);
    assert_int_equal(fchmodat(place->root, "closed", 0, 0), 0);
    bool is_root = geteuid() == 0;
    if (is_root)
        assert_int_equal(seteuid(UNPRIVILEGED), 0);
    expect(place, false, false, "plain", CODE_INPUT_DENIED);
    expect(place, false, false, "closed/file", CODE_INPUT_DENIED);
    if (is_root)
        assert_int_equal(seteuid(0), 0);
}

static void test_no_descriptors_left_is_not_the_files_fault(void **state)
{
    const struct place *place = *state;
    struct files_roots roots = {.root = place->root};
    struct rlimit before;
    int descriptor;
    struct stat status;
    struct error err;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    (void)close(next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool ok = files_open_input(&roots, "plain", &descriptor, &status, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(ok);
    assert_int_equal(err.kind, ERROR_RETRY);
}

/* 40 folders of 200 letters: 8 KB of path. */
static void test_path_longer_than_the_kernel_takes(void **state)
{
    const struct place *place = *state;
    char name[201], *path = xstrdup("");
    memset(name, 'n', 200);
    name[200] = '\0';
    int dir = dup(place->root);
    for (int i = 0; i < 40; i++) {
        make_folder(dir, name);
        int next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        (void)close(dir);
        dir = next;
        char *longer = xasprintf("%s%s/", path, name);
        free(path);
        path = longer;
    }
    make_file(dir, "file", "far");
    (void)close(dir);
    char *longer = xasprintf("%sfile", path);
    expect(place, false, false, longer, "far");
    free(longer);
    free(path);
}

/* ---- folders --------------------------------------------------------------------------------------- */

static void test_folders(void **state)
{
    const struct place *place = *state;
    struct error err;
    struct stat status;
    int descriptor;
    assert_true(files_make_folders(place->root, "x/y/z", &err));
    assert_true(files_make_folders(place->root, "x/y/z", &err));
    assert_true(files_make_folders(place->root, "x/y/w", &err));
    assert_true(files_make_folders(place->root, "a", &err));
    assert_int_equal(fstatat(place->root, "x/y/w", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_false(files_make_folders(place->root, "plain", &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_false(files_make_folders(place->root, "plain/x/y", &err));
    assert_false(files_open_folder("/nonexistent", &descriptor, &err));
    assert_int_equal(descriptor, -1);
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_non_null(strstr(err.text, "/nonexistent"));
    assert_true(files_open_folder(place->path, &descriptor, &err));
    (void)close(descriptor);
}

/* ---- drafts ---------------------------------------------------------------------------------------- */

static void check_content(int dir, const char *path, const char *expected)
{
    char content[64] = "";
    int descriptor = openat(dir, path, O_RDONLY | O_CLOEXEC);
    assert_true(descriptor >= 0);
    assert_true(read(descriptor, content, sizeof content - 1) >= 0);
    assert_string_equal(content, expected);
    (void)close(descriptor);
}

static size_t count_entries(int dir)
{
    size_t count = 0;
    DIR *stream = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert_non_null(stream);
    while (readdir(stream) != NULL)
        count++;
    (void)closedir(stream);
    return count - 2;
}

static void test_drafts(void **state)
{
    const struct place *place = *state;
    struct error err;
    struct files_draft draft;
    struct stat status;
    size_t before = count_entries(place->root);
    mode_t mask = umask(022);

    assert_true(files_draft_begin(&draft, place->root, "plain", false, &err));
    assert_true(fputs("new", draft.stream) >= 0);
    assert_int_equal(fflush(draft.stream), 0);
    check_content(place->root, "plain", "plain"); /* not before it is whole */
    assert_int_equal(count_entries(place->root), before + 1);
    assert_true(files_draft_finish(&draft, &err));
    check_content(place->root, "plain", "new");
    assert_int_equal(count_entries(place->root), before);
    assert_int_equal(fstatat(place->root, "plain", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0644);

    assert_true(files_draft_begin(&draft, place->root, "a/secret", true, &err));
    assert_true(files_draft_finish(&draft, &err));
    assert_int_equal(fstatat(place->root, "a/secret", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);

    assert_true(files_draft_begin(&draft, place->root, "plain", false, &err));
    files_draft_abandon(&draft);
    files_draft_abandon(&draft);
    files_draft_abandon(NULL);
    check_content(place->root, "plain", "new");
    assert_int_equal(count_entries(place->root), before);

    assert_false(files_draft_begin(&draft, place->root, "absent/file", false, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    files_draft_abandon(&draft);
    (void)umask(mask);
}

static void test_draft_with_the_longest_name(void **state)
{
    const struct place *place = *state;
    struct error err;
    struct files_draft draft;
    char name[256];
    memset(name, 'x', 255);
    name[255] = '\0';
    assert_true(files_draft_begin(&draft, place->root, name, false, &err));
    assert_true(files_draft_finish(&draft, &err));
    check_content(place->root, name, "");
}

/* Writing fails some time before the end, and again at the end. */
static void test_draft_that_cannot_be_written(void **state)
{
    const struct place *place = *state;
    struct error err;
    struct files_draft draft;
    struct rlimit before;
    size_t entries = count_entries(place->root);
    char line[1000];
    memset(line, 'x', sizeof line);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    for (size_t lines = 5; lines <= 5000; lines *= 1000) {
        assert_true(files_draft_begin(&draft, place->root, "plain", false, &err));
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        for (size_t i = 0; i < lines; i++)
            (void)fwrite(line, sizeof line, 1, draft.stream);
        bool ok = files_draft_finish(&draft, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_false(ok);
        assert_int_equal(err.kind, ERROR_RETRY);
        assert_non_null(strstr(err.text, "File too large"));
        check_content(place->root, "plain", "plain");
        assert_int_equal(count_entries(place->root), entries);
    }
}

/* ---- the lock and copies --------------------------------------------------------------------------- */

static void test_lock(void **state)
{
    const struct place *place = *state;
    struct error err;
    int first, second;
    char holder[32];
    assert_true(files_lock(place->root, "lock", &first, &err));
    assert_int_equal(fcntl(first, F_GETFD), FD_CLOEXEC);
    assert_false(files_lock(place->root, "lock", &second, &err));
    assert_int_equal(second, -1);
    assert_int_equal(err.kind, ERROR_RETRY);
    (void)snprintf(holder, sizeof holder, "process %ld", (long)getpid());
    assert_non_null(strstr(err.text, holder));

    pid_t child = fork(); /* another process is refused just so */
    assert_true(child >= 0);
    if (child == 0)
        _exit(files_lock(place->root, "lock", &second, &err) ? 1 : strstr(err.text, holder) == NULL ? 2 : 0);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);

    (void)close(first);
    assert_true(files_lock(place->root, "lock", &second, &err));
    (void)close(second);
    assert_false(files_lock(place->root, "absent/lock", &second, &err));
}

static void test_shared_lock(void **state)
{
    const struct place *place = *state;
    struct error err;
    int first, second, alone;
    assert_true(files_lock_shared(place->root, "lock", &first, &err));
    assert_int_equal(fcntl(first, F_GETFD), FD_CLOEXEC);
    assert_true(files_lock_shared(place->root, "lock", &second, &err));
    assert_false(files_lock(place->root, "lock", &alone, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_non_null(strstr(err.text, "several processes"));
    assert_false(files_lock_change(first, false)); /* the other has it, too: it stays as it was */
    assert_false(files_lock(place->root, "lock", &alone, &err));
    (void)close(second);
    assert_true(files_lock_change(first, false));
    assert_false(files_lock_shared(place->root, "lock", &second, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_true(files_lock_change(first, true));
    assert_true(files_lock_shared(place->root, "lock", &second, &err));
    (void)close(first);
    (void)close(second);
    assert_true(files_lock(place->root, "lock", &alone, &err));
    (void)close(alone);
}

static void test_copies(void **state)
{
    const struct place *place = *state;
    struct error err;
    size_t length = 700001, before = count_entries(place->root);
    char *bytes = xmalloc(length), *back = xmalloc(length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(i * 31 + i / 977);
    int input = openat(place->root, "large", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(input, bytes, length), length); /* its position is now the end */
    assert_true(files_copy(input, place->root, "copy", false, &err));
    assert_true(files_copy(input, place->root, "copy", false, &err));
    assert_int_equal(count_entries(place->root), before + 2);
    int copy = openat(place->root, "copy", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(copy, back, length), length);
    assert_int_equal(read(copy, back, 1), 0);
    assert_memory_equal(back + 1, bytes + 1, length - 1);

    assert_false(files_copy(input, place->root, "absent/copy", false, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_false(files_copy(place->root, place->root, "copy", true, &err)); /* a folder cannot be read */
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_string_equal(err.code, CODE_INPUT_IO);
    assert_int_equal(count_entries(place->root), before + 2);
    (void)close(copy);
    (void)close(input);
    free(bytes);
    free(back);
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACE(test_plain_paths),
        WITH_PLACE(test_paths_that_leave_the_root),
        WITH_PLACE(test_links_within_the_root),
        WITH_PLACE(test_links_that_leave_the_root),
        WITH_PLACE(test_links_that_lead_nowhere),
        WITH_PLACE(test_special_files_do_not_block),
        WITH_PLACE(test_permissions),
        WITH_PLACE(test_no_descriptors_left_is_not_the_files_fault),
        WITH_PLACE(test_path_longer_than_the_kernel_takes),
        WITH_PLACE(test_folders),
        WITH_PLACE(test_drafts),
        WITH_PLACE(test_draft_with_the_longest_name),
        WITH_PLACE(test_draft_that_cannot_be_written),
        WITH_PLACE(test_lock),
        WITH_PLACE(test_shared_lock),
        WITH_PLACE(test_copies),
    };
    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
