/* Paths of tasks, which strangers may have made: none leads out of the root, none blocks, whichever way is
 * taken. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "common/files.h"
#include "tests/unit/folder.h"

#define OUT CODE_OUTSIDE_ROOT
#define MISSING CODE_INPUT_MISSING
#define SPECIAL CODE_INPUT_SPECIAL

/* The path, and what it gives: the content of a file within, or the code of the failure. Below the root are
 * the links that make_root() lays. */
static const struct {
    const char *path, *answer;
} rows[] = {
    /* climbing */
    {"..", OUT},
    {"../outside", OUT},
    {"../outside/file", OUT},
    {"../root/file", OUT},
    {"../../../../../../../../etc/passwd", OUT},
    {"a/../file", OUT},
    {"a/../../outside/file", OUT},
    {"a/b/../../../outside/file", OUT},
    {"./../outside/file", OUT},
    {"a/./../../outside/file", OUT},
    {"a//..//..//outside/file", OUT},
    {"absent/../../outside/file", OUT},
    {"file/../../outside/file", OUT},
    {"link-file/../../outside/file", OUT},
    {"a/..", OUT},
    {"a/../", OUT},
    {"../", OUT},
    {"..//", OUT},
    {".././", OUT},
    /* absolute */
    {"/", OUT},
    {"//", OUT},
    {"/etc/passwd", OUT},
    {"//etc/passwd", OUT},
    {"/proc/self/environ", OUT},
    {"/proc/self/root/etc/passwd", OUT},
    {"/proc/self/fd/0", OUT},
    {"/proc/self/cwd/file", OUT},
    {"/dev/stdin", OUT},
    {"/dev/zero", OUT},
    {"/./file", OUT},
    /* names that only look like it */
    {"...", "dots"},
    {"..file", "dots"},
    {"file..", "dots"},
    {"a/...", MISSING},
    {".. ", MISSING},
    {" ..", MISSING},
    {"..\n", MISSING},
    {"..\\..\\outside\\file", MISSING},
    {"a\\..\\..\\outside", MISSING},
    {"C:\\Windows\\win.ini", MISSING},
    {"\\\\host\\share\\file", MISSING},
    {"file:///etc/passwd", MISSING},
    {"%2e%2e/outside/file", MISSING},
    {"%2e%2e%2foutside%2ffile", MISSING},
    {"\xc0\xae\xc0\xae/outside/file", MISSING}, /* overlong dots */
    {"\xef\xbc\x8e\xef\xbc\x8e/outside/file", MISSING},
    {"\xe2\x80\xa5/outside/file", MISSING},
    {"~/file", MISSING},
    {"~root/file", MISSING},
    {"$HOME/file", MISSING},
    {"-rf", MISSING},
    {"*", MISSING},
    {"", MISSING},
    {".", SPECIAL},
    {"./", SPECIAL},
    {"a/", SPECIAL},
    {"a/.", SPECIAL},
    {"file/", MISSING},
    {"file/.", MISSING},
    {"./file", "inside"},
    {".//a//b//.//file", "deep"},
    /* through links */
    {"link-out", OUT},
    {"link-out/file", OUT},
    {"link-out/absent", OUT},
    {"link-file", OUT},
    {"link-absolute", OUT},
    {"link-absolute/file", OUT},
    {"link-up/outside/file", OUT},
    {"link-up/root/file", OUT}, /* though it comes back */
    {"link-root/etc/passwd", OUT},
    {"link-chain/file", OUT},
    {"a/link-chain/file", OUT},
    {"link-proc/environ", OUT},
    {"link-proc/root/etc/passwd", OUT},
    {"link-proc/cwd/file", OUT},
    {"link-fd/0", OUT},
    {"link-null", OUT},
    {"link-zero", OUT},
    {"link-loop", MISSING},
    {"link-loop/file", MISSING},
    {"link-self/link-self/file", "inside"},
    {"link-self/link-out/file", OUT},
    {"link-dangling", MISSING},
    {"link-within/file", "deep"},
    /* what is no file */
    {"fifo", SPECIAL},
    {"a/fifo", SPECIAL},
    {"link-fifo", SPECIAL},
    {"socket", SPECIAL},
    {"fifo/file", MISSING},
};

struct place {
    char path[64];
    int base, root, listener;
};

static void make_root(struct place *place)
{
    char absolute[96];
    place->base = folder_new(place->path);
    make_folder(place->base, "root");
    make_folder(place->base, "outside");
    make_file(place->base, "outside/file", "outside");
    int root = place->root = openat(place->base, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_folder(root, "a");
    make_folder(root, "a/b");
    make_file(root, "file", "inside");
    make_file(root, "a/b/file", "deep");
    make_file(root, "...", "dots");
    make_file(root, "..file", "dots");
    make_file(root, "file..", "dots");
    make_link(root, "../outside", "link-out");
    make_link(root, "../outside/file", "link-file");
    (void)snprintf(absolute, sizeof absolute, "%s/outside", place->path);
    make_link(root, absolute, "link-absolute");
    make_link(root, "..", "link-up");
    make_link(root, "/", "link-root");
    make_link(root, "link-out", "link-chain");
    make_link(root, "../link-chain", "a/link-chain");
    make_link(root, "/proc/self", "link-proc");
    make_link(root, "/proc/self/fd", "link-fd");
    make_link(root, "/dev/null", "link-null");
    make_link(root, "/dev/zero", "link-zero");
    make_link(root, "link-loop", "link-loop");
    make_link(root, ".", "link-self");
    make_link(root, "absent", "link-dangling");
    make_link(root, "a/b", "link-within");
    assert_int_equal(mkfifoat(root, "fifo", 0600), 0);
    assert_int_equal(mkfifoat(root, "a/fifo", 0600), 0);
    make_link(root, "fifo", "link-fifo");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/root/socket", place->path);
    place->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(place->listener, (struct sockaddr *)&address, sizeof address), 0);
}

static void try_path(const struct place *place, bool by_component, const char *path, const char *answer)
{
    const struct files_roots roots = {.root = place->root, .by_component = by_component};
    int descriptor = 0;
    struct stat status;
    struct error err;
    char content[32] = "";
    if (files_open_input(&roots, path, &descriptor, &status, &err)) {
        assert_true(read(descriptor, content, sizeof content - 1) >= 0);
        (void)close(descriptor);
    } else {
        assert_int_equal(descriptor, -1);
        assert_int_equal(err.kind, ERROR_INPUT);
        (void)snprintf(content, sizeof content, "%s", err.code);
    }
    if (strcmp(content, answer) != 0)
        fail_msg("'%s' gives %s, not %s (by component: %d)", path, content, answer, by_component);
}

static void no_path_leads_out(void **state)
{
    (void)state;
    struct place place;
    make_root(&place);
    assert_true(sizeof rows / sizeof *rows >= 60);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        try_path(&place, false, rows[i].path, rows[i].answer);
        try_path(&place, true, rows[i].path, rows[i].answer);
    }
    /* Long ones: of climbs, of names, of a name. */
    static char path[40000];
    for (size_t at = 0; at + 3 < sizeof path; at += 3)
        memcpy(path + at, "../", 3);
    try_path(&place, false, path, OUT);
    try_path(&place, true, path, OUT);
    for (size_t at = 0; at + 2 < sizeof path; at += 2)
        memcpy(path + at, "x/", 2);
    try_path(&place, false, path, MISSING);
    try_path(&place, true, path, MISSING);
    memset(path, 'x', sizeof path - 1);
    try_path(&place, false, path, MISSING);
    try_path(&place, true, path, MISSING);
    (void)close(place.listener);
    (void)close(place.root);
    folder_remove(place.path, place.base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_path_leads_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
