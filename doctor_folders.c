/* Permissions and mount options are not asked for but tried: what stat() and access() say of NFS, user
 * namespaces and full disks is not what a write() says. */
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/files.h"
#include "common/meter.h"
#include "common/nolink.h"

#define OWN_FOLDER ".niffler-png"
#define TRIAL_BYTES 65536
#define FEW_BYTES (UINT64_C(1) << 30)
#define FEW_FILES 10000u

struct folder {
    const char *check; /* the word for the report */
    const char *space_check;
    const char *key; /* the setting */
    const char *path;
    bool is_made_by_us; /* a command makes it where it is missing */
};

static void fill_trial(unsigned char *bytes)
{
    uint32_t number = (uint32_t)getpid();
    for (size_t i = 0; i < TRIAL_BYTES; i++) {
        number = number * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(number >> 24);
    }
}

static bool write_trial(int dir, const char *name, const unsigned char *bytes, struct error *err)
{
    int descriptor = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0)
        return error_errno(err, ERROR_RETRY, "cannot make a file");
    bool ok = true;
    for (size_t done = 0; ok && done < TRIAL_BYTES;) {
        ssize_t count = write(descriptor, bytes + done, TRIAL_BYTES - done);
        if (count < 0 && errno == EINTR)
            continue;
        ok = count > 0 || error_errno(err, ERROR_RETRY, "cannot write");
        done += ok ? (size_t)count : 0;
    }
    if (ok && fsync(descriptor) != 0)
        ok = error_errno(err, ERROR_RETRY, "cannot fsync a file");
    /* NFS tells of a full disk only now. */
    if (close(descriptor) != 0 && ok)
        ok = error_errno(err, ERROR_RETRY, "cannot close a file");
    return ok;
}

static bool read_trial(int dir, const char *name, const unsigned char *bytes, struct error *err)
{
    unsigned char *back = xmalloc(TRIAL_BYTES);
    size_t length = 0;
    bool ok = false;
    int descriptor = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) {
        (void)error_errno(err, ERROR_RETRY, "cannot open the file that was written");
        goto out;
    }
    while (length < TRIAL_BYTES) {
        ssize_t count = read(descriptor, back + length, TRIAL_BYTES - length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            (void)error_errno(err, ERROR_RETRY, "cannot read the file that was written");
            goto out;
        }
        if (count == 0)
            break;
        length += (size_t)count;
    }
    if (length != TRIAL_BYTES || memcmp(back, bytes, TRIAL_BYTES) != 0) {
        (void)error_set(err, ERROR_RETRY, "what is read back is not what was written");
        goto out;
    }
    ok = true;
out:
    if (descriptor >= 0)
        (void)close(descriptor);
    free(back);
    return ok;
}

/* Everything that publishing a picture does; *number is errno of what failed. */
static bool try_writing(int root, int *number, struct error *err)
{
    unsigned char *bytes = xmalloc(TRIAL_BYTES);
    char *draft = xasprintf("doctor-%ld.part", (long)getpid());
    char *name = xasprintf("doctor-%ld", (long)getpid());
    bool ok = false;
    int dir = -1;
    fill_trial(bytes);
    if (nolink_mkdir(root, OWN_FOLDER, 0700) != 0 && errno != EEXIST) {
        (void)error_errno(err, ERROR_RETRY, "cannot make the folder " OWN_FOLDER);
        goto out;
    }
    dir = nolink_open(root, OWN_FOLDER, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0) {
        (void)error_errno(err, ERROR_RETRY, "cannot open " OWN_FOLDER);
        goto out;
    }
    if (!write_trial(dir, draft, bytes, err))
        goto out;
    if (renameat(dir, draft, dir, name) != 0) {
        (void)error_errno(err, ERROR_RETRY, "cannot rename a file");
        goto out;
    }
    if (fsync(dir) != 0) {
        (void)error_errno(err, ERROR_RETRY, "cannot fsync a folder");
        goto out;
    }
    if (!read_trial(dir, name, bytes, err))
        goto out;
    if (unlinkat(dir, name, 0) != 0) {
        (void)error_errno(err, ERROR_RETRY, "cannot remove a file");
        goto out;
    }
    ok = true;
out:
    *number = errno; /* of the failure: what follows has its own */
    if (dir >= 0) {
        (void)unlinkat(dir, draft, 0);
        (void)unlinkat(dir, name, 0);
        (void)close(dir);
    }
    free(name);
    free(draft);
    free(bytes);
    return ok;
}

/* What to do, by errno: nobody should have to look up EROFS. */
static const char *advice(int number)
{
    switch (number) {
    case EROFS:
        return "mount it writable";
    case EACCES:
    case EPERM:
        return "give the user that runs this the right to write there";
    case ENOSPC:
    case EDQUOT:
        return "make room, or raise the quota";
    case ESTALE:
    case EIO:
        return "look at the mount and its server";
    default:
        return "see that the folder can be written by the user that runs this";
    }
}

static void say_space(struct doctor *doctor, const struct folder *folder, int root)
{
    struct statvfs space;
    if (fstatvfs(root, &space) != 0) {
        doctor_say(doctor, DOCTOR_WARN, folder->space_check, "%s '%s': the free space is not told: %s",
                   folder->key, folder->path, strerror(errno));
        return;
    }
    if (space.f_blocks == 0)
        return; /* it does not count them */
    uint64_t bytes = (uint64_t)space.f_bavail * space.f_frsize;
    bool has_files = space.f_files > 0; /* some file systems do not count them */
    bool is_short = bytes < FEW_BYTES || (has_files && space.f_favail < FEW_FILES);
    char files[64] = "";
    if (has_files)
        (void)snprintf(files, sizeof files, " and %" PRIu64 " files", (uint64_t)space.f_favail);
    doctor_say(doctor, is_short ? DOCTOR_WARN : DOCTOR_OK, folder->space_check,
               "%s '%s': room for %.1f GiB%s%s", folder->key, folder->path,
               (double)bytes / (double)(UINT64_C(1) << 30), files, is_short ? ": make more" : "");
}

static void check_writable(struct doctor *doctor, const struct folder *folder)
{
    struct error err = {0};
    struct stat status;
    if (folder->path == NULL || folder->path[0] == '\0') {
        doctor_say(doctor, DOCTOR_SKIP, folder->check, "%s is not set", folder->key);
        return;
    }
    if (folder->is_made_by_us && stat(folder->path, &status) != 0 && errno == ENOENT) {
        doctor_say(doctor, DOCTOR_WARN, folder->check,
                   "%s '%s' is missing: it will be made, unless a file system was to be mounted there",
                   folder->key, folder->path);
        return;
    }
    int root;
    if (!files_open_folder(folder->path, &root, &err)) {
        doctor_say(doctor, DOCTOR_FAIL, folder->check, "%s: %s: make or mount it", folder->key, err.text);
        return;
    }
    int64_t start_ms = meter_now_ms();
    int number = 0;
    if (!try_writing(root, &number, &err))
        doctor_say(doctor, DOCTOR_FAIL, folder->check, "%s '%s': %s: %s", folder->key, folder->path, err.text,
                   advice(number));
    else
        doctor_say(doctor, DOCTOR_OK, folder->check,
                   "%s '%s': written, fsynced, renamed, read back and removed in %" PRId64 " ms", folder->key,
                   folder->path, meter_now_ms() - start_ms);
    say_space(doctor, folder, root);
    (void)close(root);
}

/* Listing is not enough: a folder without x shows names that cannot be opened. */
static void check_readable(struct doctor *doctor, const struct folder *folder)
{
    struct error err = {0};
    struct stat status;
    int root;
    if (folder->path == NULL || folder->path[0] == '\0') {
        doctor_say(doctor, DOCTOR_SKIP, folder->check, "%s is not set", folder->key);
        return;
    }
    if (!files_open_folder(folder->path, &root, &err)) {
        doctor_say(doctor, DOCTOR_FAIL, folder->check, "%s: %s: make or mount it", folder->key, err.text);
        return;
    }
    DIR *stream = fdopendir(root);
    if (stream == NULL) {
        doctor_say(doctor, DOCTOR_FAIL, folder->check, "%s '%s': %s", folder->key, folder->path,
                   strerror(errno));
        (void)close(root);
        return;
    }
    const struct dirent *entry;
    do {
        errno = 0;
        entry = readdir(stream);
    } while (entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    if (entry == NULL && errno != 0)
        doctor_say(doctor, DOCTOR_FAIL, folder->check, "%s '%s' cannot be listed: %s", folder->key,
                   folder->path, strerror(errno));
    else if (entry == NULL)
        doctor_say(doctor, DOCTOR_WARN, folder->check, "%s '%s' is empty: is it mounted?", folder->key,
                   folder->path);
    else if (fstatat(root, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        doctor_say(doctor, DOCTOR_FAIL, folder->check,
                   "%s '%s' can be listed, but not entered: %s: give the user that runs this the right to",
                   folder->key, folder->path, strerror(errno));
    else
        doctor_say(doctor, DOCTOR_OK, folder->check, "%s '%s' can be read", folder->key, folder->path);
    (void)closedir(stream);
}

void doctor_check_folders(struct doctor *doctor)
{
    const struct settings *settings = doctor->settings;
    const struct folder readable[] = {
        {"input", NULL, "DICOMHome", settings->dicom_home, false},
        {"input_root", NULL, "InputRoot", settings->input_root, false},
    };
    const struct folder writable[] = {
        {"output", "output_space", "OutputDirectory", settings->output_directory, true},
        {"output_root", "output_root_space", "OutputRoot", settings->output_root, false},
        {"state", "state_space", "StateDirectory", settings->state_directory, true},
    };
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
        check_readable(doctor, &readable[i]);
    for (size_t i = 0; i < sizeof writable / sizeof *writable; i++)
        check_writable(doctor, &writable[i]);
}
