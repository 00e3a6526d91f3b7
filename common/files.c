#include "common/files.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/alloc.h"

#define NAME_BYTES_MAX 1024u /* Linux allows 255, but what FUSE shows of NTFS may have more */
#define COPY_BYTES (256u << 10)
#define DRAFT_BUFFER_BYTES (256u << 10)

/* O_NONBLOCK: opening a FIFO must not wait for its writer. O_NOCTTY: nor may a terminal become ours. */
#define INPUT_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static void close_if_open(int *descriptor)
{
    if (*descriptor >= 0)
        (void)close(*descriptor);
    *descriptor = -1;
}

bool files_open_folder(const char *path, int *descriptor, struct error *err)
{
    *descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*descriptor < 0)
        return error_errno(err, ERROR_FATAL, "cannot open folder '%s'", path);
    return true;
}

/* Make one folder; one that is there already is as good. False with errno. */
static bool make_folder(int dir, const char *path)
{
    struct stat status;
    if (mkdirat(dir, path, 0700) == 0)
        return true;
    if (errno != EEXIST || fstatat(dir, path, &status, 0) != 0)
        return false;
    errno = ENOTDIR;
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
        (void)error_errno(err, ERROR_FATAL, "cannot make a folder for the output");
    free(partial);
    return ok;
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
        errno = number;
        return error_errno(err, ERROR_FATAL, "cannot open an input file");
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

bool files_follow_link(const struct files_roots *roots, int dir, const char *name, int *descriptor,
                       struct error *err)
{
    /* O_PATH touches nothing: no device wakes up, no permission to read is needed yet. */
    *descriptor = openat(dir, name, O_PATH | O_CLOEXEC);
    if (*descriptor < 0)
        return open_failed(errno, err);
    if (is_allowed(roots, *descriptor))
        return true;
    close_if_open(descriptor);
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
        close_if_open(next);
        return false;
    }
    if (!S_ISLNK(status.st_mode))
        return true;
    close_if_open(next);
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
    close_if_open(&handle);
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
            ok = open_last(roots, dir >= 0 ? dir : roots->root, name, descriptor, err);
            goto out;
        }
        int next = -1;
        if (!step(roots, dir >= 0 ? dir : roots->root, name, &next, err))
            goto out;
        close_if_open(&dir);
        dir = next;
    }
out:
    close_if_open(&dir);
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

/* By the kernel's own rule, which no race gets around. Returns the descriptor, or -1 with errno. */
static int open_beneath(int root, const char *path)
{
    struct open_how how = {.flags = INPUT_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long descriptor;
    int tries = 16; /* EAGAIN: a folder was renamed meanwhile, and the kernel could not be sure */
    do {
        descriptor = syscall(SYS_openat2, root, path, &how, sizeof how);
    } while (descriptor < 0 && (errno == EAGAIN || errno == EINTR) && --tries > 0);
    return (int)descriptor;
}

bool files_open_input(const struct files_roots *roots, const char *path, int *descriptor, struct stat *status,
                      struct error *err)
{
    *descriptor = -1;
    if (!is_relative_without_dots(path))
        return error_input(err, CATEGORY_NOT_USABLE, CODE_OUTSIDE_ROOT, "path leads out of DICOMHome");
    if (!roots->by_component)
        *descriptor = open_beneath(roots->root, path);
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
        close_if_open(descriptor);
    return ok;
}

/* ---- files that appear whole ----------------------------------------------------------------------- */

/* A name of its own beside `path`: not the final name with a suffix, which could exceed 255 bytes. Returns
 * new. */
static char *temporary_name(const char *path)
{
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint64_t)getpid(); /* O_EXCL tells when that was not enough */
    const char *slash = strrchr(path, '/');
    size_t folder = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    assert(folder <= INT_MAX);
    return xasprintf("%.*s" FILES_DRAFT_PREFIX "%016llx", (int)folder, path, (unsigned long long)random);
}

/* Returns the descriptor of a new file and its new name, or -1 with errno. */
static int create_temporary(int dir, const char *path, mode_t mode, char **temporary)
{
    *temporary = temporary_name(path);
    int descriptor =
        openat(dir, *temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, mode);
    if (descriptor < 0) {
        int number = errno;
        free(*temporary);
        *temporary = NULL;
        errno = number;
    }
    return descriptor;
}

bool files_draft_begin(struct files_draft *draft, int dir, const char *path, bool is_private,
                       struct error *err)
{
    *draft = (struct files_draft){.dir = dir};
    int descriptor = create_temporary(dir, path, is_private ? 0600 : 0666, &draft->temporary);
    if (descriptor < 0)
        return error_errno(err, ERROR_FATAL, "cannot write '%s'", path);
    draft->path = xstrdup(path);
    draft->stream = fdopen(descriptor, "w");
    if (draft->stream == NULL) {
        (void)error_errno(err, ERROR_FATAL, "cannot write '%s'", path);
        close_if_open(&descriptor);
        files_draft_abandon(draft);
        return false;
    }
    (void)setvbuf(draft->stream, NULL, _IOFBF, DRAFT_BUFFER_BYTES);
    return true;
}

/* The folder that holds `path`, so that the rename itself survives a power cut. Some file systems know no
 * fsync of a folder and say EINVAL. */
static bool sync_folder_of(int dir, const char *path)
{
    char *folder = xstrdup(path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        *slash = '\0';
    int descriptor = openat(dir, slash == NULL ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = descriptor >= 0 && (fsync(descriptor) == 0 || errno == EINVAL);
    int number = errno;
    close_if_open(&descriptor);
    free(folder);
    errno = number;
    return ok;
}

bool files_draft_finish(struct files_draft *draft, struct error *err)
{
    assert(draft->stream != NULL);
    bool ok = false;
    /* A write that failed some time ago left no number; trying once more tells whether the disk is full. */
    bool failed = ferror(draft->stream) != 0;
    clearerr(draft->stream);
    errno = EIO;
    if (fflush(draft->stream) != 0 || failed || fsync(fileno(draft->stream)) != 0) {
        (void)error_errno(err, ERROR_FATAL, "cannot write '%s'", draft->path);
        goto out;
    }
    int closed = fclose(draft->stream);
    draft->stream = NULL;
    if (closed != 0 || renameat(draft->dir, draft->temporary, draft->dir, draft->path) != 0 ||
        !sync_folder_of(draft->dir, draft->path)) {
        (void)error_errno(err, ERROR_FATAL, "cannot write '%s'", draft->path);
        goto out;
    }
    free(draft->temporary);
    draft->temporary = NULL;
    ok = true;
out:
    files_draft_abandon(draft);
    return ok;
}

void files_draft_abandon(struct files_draft *draft)
{
    if (draft == NULL)
        return;
    if (draft->stream != NULL)
        (void)fclose(draft->stream);
    if (draft->temporary != NULL)
        (void)unlinkat(draft->dir, draft->temporary, 0);
    free(draft->temporary);
    free(draft->path);
    *draft = (struct files_draft){0};
}

/* ---- the lock -------------------------------------------------------------------------------------- */

static bool write_all(int descriptor, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = write(descriptor, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes += n;
        length -= (size_t)n;
    }
    return true;
}

static bool lock_is_held(int descriptor, const char *path, struct error *err)
{
    char holder[32];
    ssize_t length = pread(descriptor, holder, sizeof holder - 1, 0);
    holder[length > 0 ? length : 0] = '\0';
    long pid = strtol(holder, NULL, 10);
    if (pid <= 0)
        return error_set(err, ERROR_FATAL, "'%s' is locked by another process", path);
    return error_set(err, ERROR_FATAL, "'%s' is locked by process %ld", path, pid);
}

bool files_lock(int dir, const char *path, int *descriptor, struct error *err)
{
    bool ok = false;
    *descriptor = openat(dir, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0600);
    if (*descriptor < 0)
        return error_errno(err, ERROR_FATAL, "cannot open lock '%s'", path);
    /* A lock of the open file, not of the process: it is not lost when some library opens and closes the same
     * file. */
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(*descriptor, F_OFD_SETLK, &lock) != 0) {
        if (errno == EAGAIN || errno == EACCES)
            (void)lock_is_held(*descriptor, path, err);
        else
            (void)error_errno(err, ERROR_FATAL, "cannot lock '%s'", path);
        goto out;
    }
    char holder[32];
    int length = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    if (ftruncate(*descriptor, 0) != 0 || !write_all(*descriptor, holder, (size_t)length)) {
        (void)error_errno(err, ERROR_FATAL, "cannot write lock '%s'", path);
        goto out;
    }
    ok = true;
out:
    if (!ok)
        close_if_open(descriptor);
    return ok;
}

/* ---- copies ---------------------------------------------------------------------------------------- */

static bool copy_bytes(int input, int output, struct error *err)
{
    char *chunk = xmalloc(COPY_BYTES);
    bool ok = false;
    off_t at = 0;
    for (;;) {
        ssize_t n = pread(input, chunk, COPY_BYTES, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            (void)error_errno(err, ERROR_INPUT, "cannot read file");
            err->category = CATEGORY_NOT_USABLE;
            err->code = CODE_INPUT_IO;
            goto out;
        }
        if (n == 0)
            break;
        if (!write_all(output, chunk, (size_t)n)) {
            (void)error_errno(err, ERROR_FATAL, "cannot write a copy");
            goto out;
        }
        at += n;
    }
    ok = true;
out:
    free(chunk);
    return ok;
}

bool files_copy(int input, int dir, const char *path, struct error *err)
{
    char *temporary = NULL;
    bool ok = false;
    int output = create_temporary(dir, path, 0600, &temporary);
    if (output < 0)
        return error_errno(err, ERROR_FATAL, "cannot write a copy");
    if (!copy_bytes(input, output, err))
        goto out;
    int closed = close(output);
    output = -1;
    if (closed != 0 || renameat(dir, temporary, dir, path) != 0) {
        (void)error_errno(err, ERROR_FATAL, "cannot write a copy");
        goto out;
    }
    ok = true;
out:
    close_if_open(&output);
    if (!ok)
        (void)unlinkat(dir, temporary, 0);
    free(temporary);
    return ok;
}
