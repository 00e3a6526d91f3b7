/* Files that appear whole or not at all, the lock, and copies. */
#include "common/files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/nolink.h"

#define COPY_BYTES (256u << 10)
#define DRAFT_BUFFER_BYTES (256u << 10)

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
    int descriptor = nolink_open(dir, *temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
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
        return error_errno(err, ERROR_RETRY, "cannot write '%s'", path);
    draft->path = xstrdup(path);
    draft->stream = fdopen(descriptor, "w");
    if (draft->stream == NULL) {
        (void)error_errno(err, ERROR_RETRY, "cannot write '%s'", path);
        files_close(&descriptor);
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
    int descriptor = nolink_open(dir, slash == NULL ? "." : folder, O_RDONLY | O_DIRECTORY, 0);
    bool ok = descriptor >= 0 && (fsync(descriptor) == 0 || errno == EINVAL);
    int number = errno;
    files_close(&descriptor);
    free(folder);
    errno = number;
    return ok;
}

bool files_sync_folder(int dir, const char *path, bool and_above, struct error *err)
{
    char *folder = xstrdup(path);
    char *slash = folder;
    bool ok = true;
    while (ok && slash != NULL) {
        ok = sync_folder_of(dir, folder) || error_errno(err, ERROR_RETRY, "cannot put a folder on disk");
        slash = and_above ? strrchr(folder, '/') : NULL;
        if (slash != NULL)
            *slash = '\0';
    }
    free(folder);
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
        (void)error_errno(err, ERROR_RETRY, "cannot write '%s'", draft->path);
        goto out;
    }
    int closed = fclose(draft->stream);
    draft->stream = NULL;
    if (closed != 0 || nolink_rename(draft->dir, draft->temporary, draft->path) != 0 ||
        !sync_folder_of(draft->dir, draft->path)) {
        (void)error_errno(err, ERROR_RETRY, "cannot write '%s'", draft->path);
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
        (void)nolink_unlink(draft->dir, draft->temporary, 0);
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

static bool is_shared_by_others(int descriptor)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(descriptor, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_RDLCK;
}

static bool lock_is_held(int descriptor, const char *path, struct error *err)
{
    if (is_shared_by_others(descriptor)) /* who wrote into it last is not who holds it */
        return error_set(err, ERROR_RETRY, "'%s' is locked by several processes", path);
    char holder[32];
    ssize_t length = pread(descriptor, holder, sizeof holder - 1, 0);
    holder[length > 0 ? length : 0] = '\0';
    long pid = strtol(holder, NULL, 10);
    if (pid <= 0)
        return error_set(err, ERROR_RETRY, "'%s' is locked by another process", path);
    return error_set(err, ERROR_RETRY, "'%s' is locked by process %ld", path, pid);
}

/* What may pass: full, read-only for now, or gone. A right that is missing is set up wrongly. */
static bool is_storage_trouble(int number)
{
    return number == ENOSPC || number == EDQUOT || number == EROFS || number == EIO || number == ESTALE;
}

/* A lock of the open file, not of the process: it is not lost when some library opens and closes the same
 * file. */
static bool set_lock(int descriptor, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    return fcntl(descriptor, F_OFD_SETLK, &lock) == 0;
}

static bool take_lock(int dir, const char *path, short type, int *descriptor, struct error *err)
{
    *descriptor = nolink_open_file(dir, path, O_RDWR | O_CREAT, 0600);
    if (*descriptor < 0)
        return error_errno(err, is_storage_trouble(errno) ? ERROR_RETRY : ERROR_FATAL,
                           "cannot open lock '%s'", path);
    if (set_lock(*descriptor, type))
        return true;
    if (errno == EAGAIN || errno == EACCES)
        (void)lock_is_held(*descriptor, path, err);
    else
        (void)error_errno(err, ERROR_FATAL, "cannot lock '%s'", path);
    files_close(descriptor);
    return false;
}

bool files_lock_shared(int dir, const char *path, int *descriptor, struct error *err)
{
    return take_lock(dir, path, F_RDLCK, descriptor, err);
}

bool files_lock_change(int descriptor, bool is_shared)
{
    return set_lock(descriptor, is_shared ? F_RDLCK : F_WRLCK);
}

bool files_lock(int dir, const char *path, int *descriptor, struct error *err)
{
    bool ok = false;
    char holder[32];
    if (!take_lock(dir, path, F_WRLCK, descriptor, err))
        return false;
    int length = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
    if (ftruncate(*descriptor, 0) != 0 || !write_all(*descriptor, holder, (size_t)length)) {
        (void)error_errno(err, is_storage_trouble(errno) ? ERROR_RETRY : ERROR_FATAL,
                          "cannot write lock '%s'", path);
        goto out;
    }
    ok = true;
out:
    if (!ok)
        files_close(descriptor);
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
            (void)error_errno(err, ERROR_RETRY, "cannot write a copy");
            goto out;
        }
        at += n;
    }
    ok = true;
out:
    free(chunk);
    return ok;
}

bool files_copy(int input, int dir, const char *path, bool is_synced, struct error *err)
{
    char *temporary = NULL;
    bool ok = false;
    int output = create_temporary(dir, path, 0600, &temporary);
    if (output < 0)
        return error_errno(err, ERROR_RETRY, "cannot write a copy");
    if (!copy_bytes(input, output, err))
        goto out;
    if (is_synced && fdatasync(output) != 0) {
        (void)error_errno(err, ERROR_RETRY, "cannot write a copy");
        goto out;
    }
    int closed = close(output);
    output = -1;
    if (closed != 0 || nolink_rename(dir, temporary, path) != 0) {
        (void)error_errno(err, ERROR_RETRY, "cannot write a copy");
        goto out;
    }
    ok = true;
out:
    files_close(&output);
    if (!ok)
        (void)nolink_unlink(dir, temporary, 0);
    free(temporary);
    return ok;
}

/* ---- sweeping ---- */

void files_sweep(int dir, const char *folder, const char *prefix)
{
    int descriptor = nolink_open(dir, folder, O_RDONLY | O_DIRECTORY, 0);
    DIR *entries = descriptor >= 0 ? fdopendir(descriptor) : NULL;
    if (entries == NULL) {
        files_close(&descriptor);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(descriptor, entry->d_name, 0);
    (void)closedir(entries);
}
