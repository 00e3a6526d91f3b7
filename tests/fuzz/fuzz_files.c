/* Paths beneath a root with links of every kind: what files_open_input() opens is compared with a decision
 * made by realpath(), link by link. Nothing outside of what is allowed may ever be opened.
 *
 *     choice of roots, then bytes: below 32 the name of a file or link of the tree, else themselves */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/files.h"
#include "tests/fuzz/fuzz.h"

static const char *const tokens[] = {
    "/",       "..",        ".",        "a",     "dir",     "deep",    "b",      "in",
    "out",     "up_in",     "absolute", "loop",  "allowed", "fifo",    "gone",   "self",
    "out_dir", "out_again", "magic",    "root",  "secret",  "near",    "linked", "outside",
    "in/deep", "../root",   "back",     "chain", "chain2",  "sibling", "//",     "denied",
};

static struct tree {
    char base[64]; /* holds the root and what lies beside it */
    int root, linked;
} tree;

static void make_file(const char *path)
{
    int descriptor = openat(tree.root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (descriptor < 0 || write(descriptor, path, strlen(path)) < 0 || close(descriptor) != 0)
        abort();
}

static void make_link(const char *target, const char *path)
{
    if (symlinkat(target, tree.root, path) != 0)
        abort();
}

static void make_folder(const char *path)
{
    if (mkdirat(tree.root, path, 0700) != 0)
        abort();
}

static void remove_tree(void)
{
    pid_t child = fork();
    if (child == 0) {
        (void)execlp("rm", "rm", "-rf", "--", tree.base, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(child, NULL, 0);
}

static void make_tree(void)
{
    char path[PATH_MAX];
    (void)snprintf(tree.base, sizeof tree.base, "/tmp/niffler-files-XXXXXX");
    if (mkdtemp(tree.base) == NULL || atexit(remove_tree) != 0)
        abort();
    static const char *const folders[] = {"root", "near", "outside", "linked", "rooted"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", tree.base, folders[i]);
        if (mkdir(path, 0700) != 0)
            abort();
    }
    (void)snprintf(path, sizeof path, "%s/root", tree.base);
    tree.root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)snprintf(path, sizeof path, "%s/linked", tree.base);
    tree.linked = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_folder("dir");
    make_folder("dir/deep");
    make_file("a");
    make_file("b");
    make_file("dir/a");
    make_file("dir/deep/b");
    make_file("../outside/secret");
    make_file("../outside/a");
    make_file("../linked/b");
    make_file("../near/a");
    make_folder("../linked/dir");
    make_file("../linked/dir/a");
    if (mkfifoat(tree.root, "fifo", 0600) != 0)
        abort();
    make_link("dir", "in");
    make_link("../outside/secret", "out");
    make_link("../outside", "out_dir");
    make_link("../root/dir/deep/b", "up_in");
    (void)snprintf(path, sizeof path, "%s/root/dir", tree.base);
    make_link(path, "absolute");
    make_link("loop", "loop");
    make_link("../linked", "allowed");
    make_link("nowhere", "gone");
    make_link(".", "self");
    make_link("../root", "dir/root");
    make_link("../../root", "dir/deep/root");
    make_link("/proc/self/root", "magic");
    make_link("in", "chain");
    make_link("out_dir", "chain2");
    make_link("../root/a", "../outside/back");
    make_link("../root", "../outside/root");
    make_link("../root/dir", "../linked/back");
    make_link("../outside", "../linked/outside");
    make_link("out_dir/../root/a", "out_again");
    make_link("../near", "near");
    make_file("../rooted/a"); /* its name begins as the root's does */
    make_link("../rooted", "sibling");
}

/* ---- the other decision ---- */

static bool lies_in(const char *path, const char *folder)
{
    char whole[128];
    (void)snprintf(whole, sizeof whole, "%s/%s", tree.base, folder);
    size_t length = strlen(whole);
    return strncmp(path, whole, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Whether the file may be opened: no ".." and no beginning "/" in the path itself, and every link on the way
 * leads to where links may lead. *status is that of the file, *links how many there are on the way. */
static bool decide(const struct files_roots *roots, const char *path, struct stat *status, unsigned *links)
{
    char so_far[2 * PATH_MAX], real[PATH_MAX];
    if (path[0] == '/' || path[0] == '\0')
        return false;
    size_t length = (size_t)snprintf(so_far, sizeof so_far, "%s/root", tree.base);
    while (*path != '\0') {
        size_t name = strcspn(path, "/");
        if (name == 2 && path[0] == '.' && path[1] == '.')
            return false;
        so_far[length++] = '/';
        memcpy(so_far + length, path, name);
        length += name;
        so_far[length] = '\0';
        path += name;
        path += strspn(path, "/");
        struct stat link;
        if (lstat(so_far, &link) != 0)
            return false;
        if (!S_ISLNK(link.st_mode))
            continue;
        if (realpath(so_far, real) == NULL)
            return false;
        if (!roots->anywhere && !lies_in(real, "root") &&
            !(roots->link_root_count > 0 && lies_in(real, "linked")))
            return false;
        length = (size_t)snprintf(so_far, sizeof so_far, "%s", real);
        ++*links;
    }
    return stat(so_far, status) == 0 && S_ISREG(status->st_mode);
}

static void check(const struct files_roots *roots, const char *path)
{
    struct stat expected = {0}, opened = {0};
    struct error err;
    int descriptor = -1;
    unsigned links = 0;
    bool may = decide(roots, path, &expected, &links);
    bool ok = files_open_input(roots, path, &descriptor, &opened, &err);
    if (ok != (descriptor >= 0))
        abort();
    if (ok && (!may || expected.st_ino != opened.st_ino || expected.st_dev != opened.st_dev))
        abort(); /* something else than what is allowed */
    /* The kernel follows 40 links at once, some of which lead to others. */
    if (!ok && may && links < 10 && path[strlen(path) - 1] != '/')
        abort(); /* refused although allowed */
    if (!ok && (err.kind != ERROR_INPUT || err.category != CATEGORY_NOT_USABLE))
        abort();
    if (descriptor >= 0)
        (void)close(descriptor);
    /* A folder of a job: no link leads out at all. */
    if (files_open_folder_beneath(tree.root, path, &descriptor, &err)) {
        char link[64], real[PATH_MAX];
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = readlink(link, real, sizeof real - 1);
        real[length > 0 ? length : 0] = '\0';
        if (!lies_in(real, "root"))
            abort();
        (void)close(descriptor);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer path = {0};
    if (tree.base[0] == '\0')
        make_tree();
    if (size == 0)
        return 0;
    for (size_t i = 1; i < size && data[i] != '\0' && path.length < PATH_MAX - 512; i++) {
        if (data[i] <= sizeof tokens / sizeof *tokens)
            buffer_append_text(&path, tokens[data[i] - 1]);
        else
            buffer_append_char(&path, (char)data[i]);
    }
    const struct files_roots roots = {.root = tree.root,
                                      .link_roots = &tree.linked,
                                      .link_root_count = data[0] & 1,
                                      .anywhere = data[0] % 8 == 6,
                                      .by_component = (data[0] & 8) != 0};
    check(&roots, buffer_text(&path));
    buffer_clear(&path);
    return 0;
}
