#include "common/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/nolink.h"

#define NAME_BYTES_MAX 1024u /* Linux allows 255, but what FUSE shows of NTFS may have more */

/* O_NONBLOCK: opening a FIFO must not wait for its writer. O_NOCTTY: nor may a terminal become ours. */
#define INPUT_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

bool files_is_folder(const char *path, int descriptor)
{
    struct stat named, opened;
    return stat(path, &named) == 0 && fstat(descriptor, &opened) == 0 && named.st_dev == opened.st_dev &&
           named.st_ino == opened.st_ino;
}

bool files_open_folder(const char *path, int *descriptor, struct error *err)
{
    *descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*descriptor < 0)
        return error_errno(err, ERROR_FATAL, "cannot open folder '%s'", path);
    return true;
}

bool files_open_real_folder(const char *path, int *descriptor, struct error *err)
{
    *descriptor = nolink_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (*descriptor < 0)
        return error_errno(err, ERROR_FATAL, "cannot open folder '%s'", path);
    return true;
}

/* Make one folder; one that is there already is as good. False with errno. What a person names (AT_FDCWD) may
 * go through links, what we name below a folder may not. */
static bool make_folder(int dir, const char *path)
{
    struct stat status;
    bool is_named = dir == AT_FDCWD;
    if ((is_named ? mkdirat(dir, path, 0700) : nolink_mkdir(dir, path, 0700)) == 0)
        return true;
    if (errno != EEXIST || (is_named ? stat(path, &status) : nolink_stat(dir, path, &status)) != 0)
        return false;
    errno = S_ISLNK(status.st_mode) ? ELOOP : ENOTDIR;
    return S_ISDIR(status.st_mode);
}

bool files_make_folders(int dir, const char *path, struct error *err)
{
    /* Nearly always all of it is there already, or only the last part is missing. */
    if (make_folder(dir, path))
        return true;
    char *partial = xstrdup(path);
    char *slash = partial;
    bool ok = errno == ENOENT;
    while (ok && (slash = strchr(slash + 1, '/')) != NULL) {
        *slash = '\0';
        ok = make_folder(dir, partial);
        *slash = '/';
    }
    ok = ok && make_folder(dir, path);
    if (!ok)
        (void)error_errno(err, ERROR_RETRY, "cannot make a folder for the output");
    free(partial);
    return ok;
}

bool files_make_real_folder(const char *path, char **real, int *descriptor, struct error *err)
{
    *descriptor = -1;
    *real = NULL;
    if (!files_make_folders(AT_FDCWD, path, err))
        return false;
    *real = realpath(path, NULL);
    if (*real == NULL)
        return error_errno(err, ERROR_FATAL, "cannot open folder '%s'", path);
    if (files_open_real_folder(*real, descriptor, err))
        return true;
    free(*real);
    *real = NULL;
    return false;
}

/* ---- opening beneath a root ------------------------------------------------------------------------ */

/* What an open() that failed means for the file. */
static bool open_failed(int number, struct error *err)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
        return error_input(err, CATEGORY_NOT_USABLE, CODE_INPUT_MISSING, "file is not there");
    case EACCES:
    case EPERM:
        return error_input(err, CATEGORY_NOT_USABLE, CODE_INPUT_DENIED, "file may not be read");
    case EXDEV:
        return error_input(err, CATEGORY_NOT_USABLE, CODE_OUTSIDE_ROOT, "link leads out of DICOMHome");
    case ENXIO:
    case ENODEV:
        return error_input(err, CATEGORY_NOT_USABLE, CODE_INPUT_SPECIAL, "not a regular file");
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ESTALE: /* the storage is gone, not this file */
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
        errno = number;
        return error_errno(err, ERROR_RETRY, "cannot open an input file");
    default:
        errno = number;
        (void)error_errno(err, ERROR_INPUT, "cannot open file");
        err->category = CATEGORY_NOT_USABLE;
        err->code = CODE_INPUT_IO;
        return false;
    }
}

/* The real path of an open descriptor into `path` (PATH_MAX bytes). False where /proc is absent or the path
 * too long. */
static bool real_path(int descriptor, char *path)
{
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length <= 0 || length >= PATH_MAX || path[0] != '/')
        return false;
    path[length] = '\0';
    return true;
}

static bool is_beneath(const char *path, int folder)
{
    char root[PATH_MAX];
    if (!real_path(folder, root))
        return false;
    size_t length = strlen(root);
    if (length == 1) /* "/" */
        return true;
    return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* Judging the descriptor and not the path leaves nobody time to exchange the link in between. */
static bool is_allowed(const struct files_roots *roots, int descriptor)
{
    char path[PATH_MAX];
    if (roots->anywhere)
        return true;
    if (!real_path(descriptor, path))
        return false;
    if (is_beneath(path, roots->root))
        return true;
    for (size_t i = 0; i < roots->link_root_count; i++) {
        if (is_beneath(path, roots->link_roots[i]))
            return true;
    }
    return false;
}

/* By the kernel's own rule, which no race gets around. Returns the descriptor, or -1 with errno. */
static int open_beneath(int dir, const char *path, int flags)
{
    return nolink_openat2(dir, path, flags, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

bool files_follow_link(const struct files_roots *roots, int dir, const char *name, int *descriptor,
                       struct error *err)
{
    /* O_PATH touches nothing: no device wakes up, no permission to read is needed yet. What lies beneath
     * `dir` lies where it may, and needs no judging by a real path, which has its limits. */
    *descriptor = roots->by_component ? -1 : open_beneath(dir, name, O_PATH | O_CLOEXEC);
    if (*descriptor >= 0)
        return true;
    *descriptor = openat(dir, name, O_PATH | O_CLOEXEC);
    if (*descriptor < 0)
        return open_failed(errno, err);
    if (is_allowed(roots, *descriptor))
        return true;
    files_close(descriptor);
    return open_failed(EXDEV, err);
}

/* The file behind an O_PATH descriptor, opened for reading. */
static bool reopen(int handle, int *descriptor, struct error *err)
{
    struct stat status;
    if (fstat(handle, &status) != 0)
        return open_failed(errno, err);
    if (!S_ISREG(status.st_mode))
        return open_failed(ENXIO, err);
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    *descriptor = open(link, INPUT_FLAGS);
    if (*descriptor < 0)
        return open_failed(errno, err);
    return true;
}

/* One folder further down, through a link if it is one. */
static bool step(const struct files_roots *roots, int dir, const char *name, int *next, struct error *err)
{
    struct stat status;
    *next = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (*next < 0)
        return open_failed(errno, err);
    if (fstat(*next, &status) != 0) {
        (void)open_failed(errno, err);
        files_close(next);
        return false;
    }
    if (!S_ISLNK(status.st_mode))
        return true;
    files_close(next);
    return files_follow_link(roots, dir, name, next, err);
}

static bool open_last(const struct files_roots *roots, int dir, const char *name, int *descriptor,
                      struct error *err)
{
    *descriptor = openat(dir, name, INPUT_FLAGS | O_NOFOLLOW);
    if (*descriptor >= 0)
        return true;
    if (errno != ELOOP)
        return open_failed(errno, err);
    int handle = -1;
    if (!files_follow_link(roots, dir, name, &handle, err))
        return false;
    bool ok = reopen(handle, descriptor, err);
    files_close(&handle);
    return ok;
}

/* The slow and general way: every component opened on its own, every link judged by where it led. For kernels
 * without openat2(), for links that leave the root, and for paths longer than the kernel takes at once. */
static bool open_by_component(const struct files_roots *roots, const char *path, int *descriptor,
                              struct error *err)
{
    int dir = -1;
    bool ok = false;
    for (;;) {
        path += strspn(path, "/");
        size_t length = strcspn(path, "/");
        char name[NAME_BYTES_MAX + 1];
        if (length > NAME_BYTES_MAX || length == 0) {
            (void)open_failed(ENOENT, err);
            goto out;
        }
        memcpy(name, path, length);
        name[length] = '\0';
        path += length;
        if (path[strspn(path, "/")] == '\0') {
            struct stat status;
            if (path[0] == '/' &&
                fstatat(dir >= 0 ? dir : roots->root, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                S_ISREG(status.st_mode)) {
                (void)open_failed(ENOTDIR, err); /* as the kernel takes a slash at the end */
                goto out;
            }
            ok = open_last(roots, dir >= 0 ? dir : roots->root, name, descriptor, err);
            goto out;
        }
        int next = -1;
        if (!step(roots, dir >= 0 ? dir : roots->root, name, &next, err))
            goto out;
        files_close(&dir);
        dir = next;
    }
out:
    files_close(&dir);
    return ok;
}

/* Paths come from messages: only links may ever lead anywhere else, never the path itself. */
static bool is_relative_without_dots(const char *path)
{
    if (path[0] == '/')
        return false;
    for (const char *at = path; *at != '\0'; at += strspn(at, "/")) {
        size_t length = strcspn(at, "/");
        if (length == 2 && at[0] == '.' && at[1] == '.')
            return false;
        at += length;
    }
    return true;
}

bool files_is_beneath(const char *path)
{
    return is_relative_without_dots(path);
}

bool files_open_folder_beneath(int root, const char *path, int *descriptor, struct error *err)
{
    *descriptor = -1;
    if (!is_relative_without_dots(path))
        return error_set(err, ERROR_INPUT, "the folder does not lie below the root");
    *descriptor = open_beneath(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*descriptor < 0 && (errno == ENOSYS || errno == EPERM)) /* without it: no link at all on the way */
        *descriptor = nolink_open(root, path, O_RDONLY | O_DIRECTORY, 0);
    if (*descriptor >= 0)
        return true;
    if (errno == EXDEV || errno == ELOOP)
        return error_set(err, ERROR_INPUT, "the folder does not lie below the root");
    return error_errno(err, ERROR_RETRY, "cannot open the folder of a job");
}

bool files_open_input(const struct files_roots *roots, const char *path, int *descriptor, struct stat *status,
                      struct error *err)
{
    *descriptor = -1;
    if (!is_relative_without_dots(path))
        return error_input(err, CATEGORY_NOT_USABLE, CODE_OUTSIDE_ROOT, "path leads out of DICOMHome");
    if (!roots->by_component)
        *descriptor = open_beneath(roots->root, path, INPUT_FLAGS);
    if (*descriptor < 0) {
        bool general = roots->by_component || errno == EXDEV || errno == EAGAIN || errno == ENOSYS ||
                       errno == EPERM || errno == ENAMETOOLONG;
        if (!general)
            return open_failed(errno, err);
        if (!open_by_component(roots, path, descriptor, err))
            return false;
    }
    bool ok = false;
    if (fstat(*descriptor, status) != 0)
        (void)open_failed(errno, err);
    else if (!S_ISREG(status->st_mode))
        (void)open_failed(ENXIO, err);
    else
        ok = true;
    if (!ok)
        files_close(descriptor);
    return ok;
}
