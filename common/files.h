/* files.h: opening beneath a root, and files that appear whole or not at all. */
#ifndef NIFFLER_COMMON_FILES_H
#define NIFFLER_COMMON_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/error.h"

/* Close what is open (-1: nothing), and note that it is no more. */
static inline void files_close(int *descriptor)
{
    if (*descriptor >= 0)
        (void)close(*descriptor);
    *descriptor = -1;
}

/* Open a folder for use as `root` or `dir` below: *descriptor is close-on-exec, the caller closes it; -1 on
 * failure. Fails with ERROR_FATAL; the text names the path, which is one of the settings'. */
MUST_CHECK bool files_open_folder(const char *path, int *descriptor, struct error *err);

/* The same for a path that realpath() gave: a link in it has been put there since, and is not followed. */
MUST_CHECK bool files_open_real_folder(const char *path, int *descriptor, struct error *err);

/* Make a folder that a person names, with its parents, where it is missing (links are followed), and open it.
 * *real is its path without links, new; NULL on failure. Fails with ERROR_RETRY or ERROR_FATAL. */
MUST_CHECK bool files_make_real_folder(const char *path, char **real, int *descriptor, struct error *err);

/* Whether `path` still names the very folder that is open: another one may be mounted there by now, or none.
 */
bool files_is_folder(const char *path, int descriptor);

/* Open the folder `path` below `root`, by the kernel's own rule: nothing in it, no link either, leads out.
 * "." is the root itself. Fails with ERROR_INPUT: it would lead out; ERROR_RETRY: it cannot be opened now. */
MUST_CHECK bool files_open_folder_beneath(int root, const char *path, int *descriptor, struct error *err);

/* Whether a path is relative and without "..": whatever a message says must be. Links are another matter. */
bool files_is_beneath(const char *path);

/* Make the folders of `path` (below `dir`) and its parents where they are missing, mode 0700 and the umask.
 * Fails with ERROR_RETRY. */
MUST_CHECK bool files_make_folders(int dir, const char *path, struct error *err);

/* Where links below a root may lead. */
struct files_roots {
    int root;              /* of DICOMHome                                                    */
    const int *link_roots; /* folders beneath which a link's target may also lie              */
    size_t link_root_count;
    bool anywhere;     /* links may lead anywhere (compatibility)                         */
    bool by_component; /* walk component by component though openat2() is there: for tests */
};

/* Open a regular file for reading at `path` relative to roots->root, never leaving it by "..", by an absolute
 * path or through a link that is not allowed. Never blocks on a FIFO. *status is fstat()'s answer. A link
 * whose target lies beneath the root stays in it, however it is written. Where a link has led
 * out of its own folder is told by /proc and a real path below PATH_MAX; otherwise it counts as outside.
 * Fails with ERROR_INPUT, category 1: CODE_INPUT_MISSING (also a link in a circle), CODE_INPUT_DENIED,
 * CODE_OUTSIDE_ROOT, CODE_INPUT_SPECIAL, CODE_INPUT_IO; with ERROR_RETRY when this process has no descriptors
 * or memory left, or the storage as a whole is gone. *descriptor is -1 then. The texts hold no path. */
MUST_CHECK bool files_open_input(const struct files_roots *roots, const char *path, int *descriptor,
                                 struct stat *status, struct error *err);

/* Follow the link `name` in the folder `dir`, which lies where it may: *descriptor is an O_PATH descriptor of
 * what it leads to, -1 on failure. Fails as files_open_input(). */
MUST_CHECK bool files_follow_link(const struct files_roots *roots, int dir, const char *name, int *descriptor,
                                  struct error *err);

/* A file being written: made beside its final place under a name of its own, renamed when whole. Zeroed:
 * closed. */
struct files_draft {
    int dir; /* borrowed */
    FILE *stream;
    char *path; /* final, relative to dir */
    char *temporary;
};

/* Begin (mode 0600 and the umask where `is_private`, else 0666 and the umask), and finish: flush, fsync,
 * rename, fsync of the folder. A draft that is not finished is removed by files_draft_abandon(), which is
 * safe to call at any time; what a crash leaves is a file whose name begins with FILES_DRAFT_PREFIX. Fail
 * with ERROR_RETRY; a full disk is told by errno's words. */
#define FILES_DRAFT_PREFIX ".niffler-draft-"
MUST_CHECK bool files_draft_begin(struct files_draft *draft, int dir, const char *path, bool is_private,
                                  struct error *err);
MUST_CHECK bool files_draft_finish(struct files_draft *draft, struct error *err);
void files_draft_abandon(struct files_draft *draft);

/* Take the lock file `path` below `dir` (made where it is missing) until *descriptor is closed or the process
 * ends. It is close-on-exec, so that a child does not keep the lock. Fails with ERROR_RETRY: it is held, and
 * the text names the process that does, or the storage is full, read-only or gone; ERROR_FATAL. */
MUST_CHECK bool files_lock(int dir, const char *path, int *descriptor, struct error *err);

/* The same, but any number of processes may hold it in this way, and none in the other meanwhile. The text of
 * the file stays as it is. */
MUST_CHECK bool files_lock_shared(int dir, const char *path, int *descriptor, struct error *err);

/* Turn a lock that is held into one of the other kind, without giving it up in between. False: others share
 * it, and it stays shared. */
bool files_lock_change(int descriptor, bool is_shared);

/* Copy a whole file to `path` below `dir` (replacing it), through a temporary name, mode 0600 and the umask.
 * `is_synced`: its content is put on disk first. The input's position does not matter and is not moved. Fails
 * with ERROR_RETRY when the output cannot be written; ERROR_INPUT, category 1, CODE_INPUT_IO when the input
 * cannot be read. */
MUST_CHECK bool files_copy(int input, int dir, const char *path, bool is_synced, struct error *err);

/* Put the names in the folder that holds `path` (below `dir`) on disk; with `and_above` also those in the
 * folders above it, `dir` the last. Fails with ERROR_RETRY. */
MUST_CHECK bool files_sync_folder(int dir, const char *path, bool and_above, struct error *err);

/* Remove the files of `folder` (below `dir`) whose names begin with `prefix`: what a process that was killed
 * has left. Only for whoever holds the lock. A folder that is not there is swept. */
void files_sweep(int dir, const char *folder, const char *prefix);

#endif
