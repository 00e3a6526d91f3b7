#include "worker/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/files.h"
#include "common/meter.h"
#include "common/nolink.h"
#include "common/outputs.h"

/* A folder is looked up by its name so often: what was moved away meanwhile gets no more pictures. */
#define TARGET_MS 1000

static void forget_target(struct draft_output *output)
{
    files_close(&output->target);
    free(output->target_path);
    output->target_path = NULL;
}

void draft_output_close(struct draft_output *output)
{
    files_close(&output->dir);
    files_close(&output->incoming);
    forget_target(output);
}

void draft_drop(struct draft *draft, const struct draft_output *output)
{
    if (draft->descriptor < 0)
        return;
    (void)close(draft->descriptor);
    (void)nolink_unlink(output->incoming, draft->name, 0);
    draft->descriptor = -1;
}

bool draft_can_grow(const struct draft *draft, uint64_t bytes)
{
    static const char trial[65536];
    struct statvfs space;
    if (fstatvfs(draft->descriptor, &space) != 0)
        return false;
    /* A quota, a mount that became read-only or a server that is away are not in those numbers. */
    bool has_room = space.f_blocks == 0 || (uint64_t)space.f_bavail * space.f_frsize >= bytes;
    return has_room && pwrite(draft->descriptor, trial, sizeof trial, 0) == (ssize_t)sizeof trial &&
           fdatasync(draft->descriptor) == 0;
}

/* The folder is not there, or another one is in its place. */
static bool open_incoming(struct draft_output *output, struct error *err)
{
    files_close(&output->incoming);
    if (!files_make_folders(output->dir, OUTPUTS_INCOMING, err))
        return false;
    output->incoming = nolink_open(output->dir, OUTPUTS_INCOMING, O_PATH | O_DIRECTORY, 0);
    return output->incoming >= 0;
}

bool draft_prepare(struct draft *draft, struct draft_output *output, const char *name, struct error *err)
{
    if (draft->descriptor >= 0) {
        if (ftruncate(draft->descriptor, 0) == 0 && lseek(draft->descriptor, 0, SEEK_SET) == 0)
            return true;
        draft_drop(draft, output);
    }
    (void)snprintf(draft->name, sizeof draft->name, "%s", name);
    for (int attempt = 0; attempt < 3; attempt++) { /* others may remove the folder, empty as it is */
        if (output->incoming >= 0)
            draft->descriptor = nolink_open(output->incoming, name, O_RDWR | O_CREAT | O_EXCL, 0666);
        if (draft->descriptor >= 0)
            return true;
        if ((output->incoming >= 0 && errno != ENOENT) || !open_incoming(output, err))
            break;
    }
    return error_errno(err, ERROR_RETRY, "cannot write to the output folder");
}

/* The folder that the first `length` bytes of the path name; -1 with errno. */
static int open_target(struct draft_output *output, const char *path, size_t length)
{
    int64_t now = meter_now_ms();
    if (length == 0)
        return output->dir;
    bool is_known = output->target_path != NULL && now - output->target_ms < TARGET_MS &&
                    strncmp(output->target_path, path, length) == 0 && output->target_path[length] == '\0';
    if (is_known)
        return output->target;
    forget_target(output);
    char *folder = xmemdup_text(path, length);
    output->target = nolink_open(output->dir, folder, O_PATH | O_DIRECTORY, 0);
    output->target_path = folder;
    output->target_ms = now;
    return output->target;
}

bool draft_publish(struct draft *draft, struct draft_output *output, const char *path, bool is_synced,
                   struct error *err)
{
    const char *slash = strrchr(path, '/');
    size_t folder_length = slash != NULL ? (size_t)(slash - path) : 0;
    const char *name = slash != NULL ? slash + 1 : path;
    int number = 0;
    if (is_synced && fdatasync(draft->descriptor) != 0)
        return error_errno(err, ERROR_RETRY, "cannot put a picture on disk");
    for (int attempt = 0; attempt < 2; attempt++) {
        int target = open_target(output, path, folder_length);
        if (target >= 0 && renameat(output->incoming, draft->name, target, name) == 0) {
            files_close(&draft->descriptor);
            return true;
        }
        number = errno;
        forget_target(output);
        char *folder = xmemdup_text(path, folder_length);
        bool made = number == ENOENT && folder_length > 0 && files_make_folders(output->dir, folder, err);
        free(folder);
        if (!made)
            break;
    }
    errno = number;
    return error_errno(err, ERROR_RETRY, "cannot move a picture to its place in the output folder");
}
