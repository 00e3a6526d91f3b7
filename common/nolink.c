#include "common/nolink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/alloc.h"

#define FOLDER_FLAGS (O_PATH | O_DIRECTORY | O_CLOEXEC)

int nolink_openat2(int dir, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)flags, .mode = mode, .resolve = resolve};
    long descriptor;
    int tries = 16; /* EAGAIN: a folder was renamed meanwhile, and the kernel could not be sure */
    do {
        descriptor = syscall(SYS_openat2, dir, path, &how, sizeof how);
    } while (descriptor < 0 && (errno == EAGAIN || errno == EINTR) && --tries > 0);
    return (int)descriptor;
}

static void close_keeping_errno(int descriptor)
{
    int number = errno;
    if (descriptor >= 0)
        (void)close(descriptor);
    errno = number;
}

static bool climbs(const char *path)
{
    for (const char *at = path; *at != '\0'; at += strspn(at, "/")) {
        size_t length = strcspn(at, "/");
        if (length == 2 && at[0] == '.' && at[1] == '.')
            return true;
        at += length;
    }
    return false;
}

/* O_DIRECTORY tells of a link as of any other file that is no folder. */
static int open_step(int dir, const char *name, int flags, mode_t mode)
{
    struct stat status;
    int descriptor = openat(dir, name, flags | O_NOFOLLOW, mode);
    if (descriptor < 0 && errno == ENOTDIR)
        errno = fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode) ? ELOOP
                                                                                                 : ENOTDIR;
    return descriptor;
}

/* For kernels without openat2(), or where a filter denies it. */
static int open_by_component(int dir, const char *path, int flags, mode_t mode)
{
    char *names = xstrdup(path), *at = names + strspn(names, "/");
    int folder = path[0] == '/' ? open("/", FOLDER_FLAGS) : dir;
    int descriptor = -1;
    while (folder == AT_FDCWD || folder >= 0) {
        char *end = at + strcspn(at, "/"), *next = end + strspn(end, "/");
        bool is_last = *next == '\0';
        *end = '\0';
        int opened = is_last ? open_step(folder, *at != '\0' ? at : ".", flags, mode)
                             : open_step(folder, at, FOLDER_FLAGS, 0);
        if (folder != dir)
            close_keeping_errno(folder);
        if (is_last) {
            descriptor = opened;
            break;
        }
        folder = opened;
        at = next;
    }
    free(names);
    return descriptor;
}

int nolink_open(int dir, const char *path, int flags, mode_t mode)
{
    flags |= O_CLOEXEC | ((flags & O_PATH) != 0 ? 0 : O_NOCTTY);
    bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    if (climbs(path)) {
        errno = EXDEV;
        return -1;
    }
    int descriptor = nolink_openat2(dir, path, flags, creates ? mode : 0,
                                    RESOLVE_NO_SYMLINKS | (path[0] == '/' ? 0 : RESOLVE_BENEATH));
    if (descriptor >= 0 || (errno != ENOSYS && errno != EPERM))
        return descriptor;
    return open_by_component(dir, path, flags, mode);
}

int nolink_open_file(int dir, const char *path, int flags, mode_t mode)
{
    struct stat status;
    int descriptor = nolink_open(dir, path, flags | O_NONBLOCK, mode);
    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        goto out;
    if (S_ISREG(status.st_mode) && status.st_nlink <= 1)
        return descriptor;
    errno = S_ISREG(status.st_mode) ? EMLINK : ENXIO;
out:
    close_keeping_errno(descriptor);
    return -1;
}

/* The folder that the last name of a path lies in, to be closed by leave(); -1 with errno. *name is borrowed
 * from the path. */
static int enter(int dir, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash == NULL ? path : slash + 1;
    if (strcmp(*name, "..") == 0 || **name == '\0') {
        errno = **name == '\0' ? ENOENT : EXDEV;
        return -1;
    }
    if (slash == NULL)
        return dir;
    char *folder = xmemdup_text(path, slash == path ? 1 : (size_t)(slash - path));
    int descriptor = nolink_open(dir, folder, O_PATH | O_DIRECTORY, 0);
    int number = errno;
    free(folder);
    errno = number;
    return descriptor;
}

static void leave(int dir, int folder)
{
    if (folder != dir)
        close_keeping_errno(folder);
}

static bool is_entered(int folder)
{
    return folder >= 0 || folder == AT_FDCWD;
}

int nolink_mkdir(int dir, const char *path, mode_t mode)
{
    const char *name;
    int folder = enter(dir, path, &name);
    int result = is_entered(folder) ? mkdirat(folder, name, mode) : -1;
    leave(dir, folder);
    return result;
}

int nolink_rename(int dir, const char *from, const char *to)
{
    const char *from_name, *to_name;
    int from_folder = enter(dir, from, &from_name);
    int to_folder = is_entered(from_folder) ? enter(dir, to, &to_name) : -1;
    int result = is_entered(to_folder) ? renameat(from_folder, from_name, to_folder, to_name) : -1;
    leave(dir, to_folder);
    leave(dir, from_folder);
    return result;
}

int nolink_unlink(int dir, const char *path, int flags)
{
    const char *name;
    int folder = enter(dir, path, &name);
    int result = is_entered(folder) ? unlinkat(folder, name, flags) : -1;
    leave(dir, folder);
    return result;
}

int nolink_stat(int dir, const char *path, struct stat *status)
{
    const char *name;
    int folder = enter(dir, path, &name);
    int result = is_entered(folder) ? fstatat(folder, name, status, AT_SYMLINK_NOFOLLOW) : -1;
    leave(dir, folder);
    return result;
}
