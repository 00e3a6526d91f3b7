/* folder.h: a temporary folder for a test, and making and removing what is in it. Failures fail the test. */
#ifndef NIFFLER_TESTS_UNIT_FOLDER_H
#define NIFFLER_TESTS_UNIT_FOLDER_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNPRIVILEGED 65534 /* nobody: for tests of permissions that root does not feel */

static inline int folder_new(char path[64])
{
    memcpy(path, "/tmp/niffler-test.XXXXXX", sizeof "/tmp/niffler-test.XXXXXX");
    assert_non_null(mkdtemp(path));
    assert_int_equal(chmod(path, 0755), 0);
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(descriptor >= 0);
    return descriptor;
}

/* Empty the folder behind `dir`, and close it. Walks without recursion: it goes down where it can and starts
 * again from the top, moving deep folders up, so that no depth is too deep. */
static inline void folder_empty(int dir)
{
    for (bool again = true; again;) {
        again = false;
        DIR *stream = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        assert_non_null(stream);
        for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
            const char *name = entry->d_name;
            if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || unlinkat(dir, name, 0) == 0)
                continue;
            assert_int_equal(fchmodat(dir, name, 0700, 0), 0);
            if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
                continue;
            again = true;
            int below = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            assert_true(below >= 0);
            DIR *inner = fdopendir(below);
            assert_non_null(inner);
            for (const struct dirent *child; (child = readdir(inner)) != NULL;) {
                static unsigned long number;
                char moved[32];
                if (strcmp(child->d_name, ".") == 0 || strcmp(child->d_name, "..") == 0)
                    continue;
                if (unlinkat(below, child->d_name, 0) == 0)
                    continue;
                (void)snprintf(moved, sizeof moved, "moved-%lu", number++);
                assert_int_equal(fchmodat(below, child->d_name, 0700, 0), 0);
                assert_int_equal(renameat(below, child->d_name, dir, moved), 0);
            }
            (void)closedir(inner);
        }
        (void)closedir(stream);
    }
    (void)close(dir);
}

static inline void folder_remove(const char *path, int dir)
{
    folder_empty(dir);
    assert_int_equal(rmdir(path), 0);
}

static inline void make_file(int dir, const char *path, const char *content)
{
    int descriptor = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, content, strlen(content)), strlen(content));
    assert_int_equal(close(descriptor), 0);
}

static inline void make_folder(int dir, const char *path)
{
    assert_int_equal(mkdirat(dir, path, 0755), 0);
}

static inline void make_link(int dir, const char *target, const char *path)
{
    assert_int_equal(symlinkat(target, dir, path), 0);
}

#endif
