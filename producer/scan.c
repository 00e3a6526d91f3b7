#include "producer/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/buffer.h"
#include "common/files.h"
#include "producer/scan_sort.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC)
#define SORT_BYTES_MIN (1u << 20)
#define PATH_PIECE_BYTES 2048u /* of a long path, opened at a time; well below PATH_MAX */

/* A folder on the way down. Its identity serves to notice circles, and to be sure that a folder closed in
 * between and opened again is still the same one. */
struct level {
    int folder; /* -1: closed for the time being */
    dev_t device;
    ino_t inode;
    size_t path_length; /* of its own path with the `/`; 0 at the root */
    struct scan_names names;
};

struct walk {
    const struct scan_options *options;
    scan_file_fn *each;
    void *context;
    struct files_roots roots;
    int *link_roots;
    struct buffer path;
    struct level *levels;
    size_t count;
    size_t capacity;
};

static struct level *top(struct walk *walk)
{
    return &walk->levels[walk->count - 1];
}

/* Errors that are about this process, not about one file. */
static bool is_exhausted(int number)
{
    return number == EMFILE || number == ENFILE || number == ENOMEM;
}

static const char *problem_of(int number)
{
    switch (number) {
    case EACCES:
    case EPERM:
        return CODE_INPUT_DENIED;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
        return CODE_INPUT_MISSING;
    default:
        return CODE_INPUT_IO;
    }
}

/* ---- telling the caller ---------------------------------------------------------------------------- */

static void set_path(struct walk *walk, const char *name)
{
    buffer_truncate(&walk->path, top(walk)->path_length);
    buffer_append_text(&walk->path, name);
}

static bool report_file(struct walk *walk, const struct stat *status, struct error *err)
{
    struct scan_file file = {.path = buffer_text(&walk->path),
                             .size_bytes = (uint64_t)status->st_size,
                             .mtime_ns =
                                 (int64_t)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec};
    return walk->each(walk->context, &file, err);
}

static bool report_problem(struct walk *walk, const char *code, struct error *err)
{
    struct scan_file file = {.path = buffer_text(&walk->path), .problem_code = code};
    return walk->each(walk->context, &file, err);
}

/* ---- reading a folder ------------------------------------------------------------------------------ */

static bool matches(const struct walk *walk, const char *name)
{
    const char *pattern = walk->options->pattern;
    if (pattern[0] == '*' && pattern[1] == '\0')
        return true; /* names with a dot in front are gone already */
    return fnmatch(pattern, name, FNM_NOESCAPE | FNM_PERIOD) == 0;
}

/* Whether an entry is a folder or a link to one. Only links, and file systems that do not say what an entry
 * is, cost a system call here. What a link leads to is judged when it is visited; here it only finds its
 * place in the order. */
static bool is_folder(int folder, const struct dirent *entry)
{
    struct stat status;
    if (entry->d_type == DT_DIR)
        return true;
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
        return false;
    return fstatat(folder, entry->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
}

static bool take_entry(struct walk *walk, struct level *level, const struct dirent *entry, struct error *err)
{
    const struct scan_options *options = walk->options;
    const char *name = entry->d_name;
    bool has_dot = name[0] == '.';
    if (has_dot && (options->pattern[0] != '.' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
        return true;
    /* `level` is the last one, so its depth is the count before it. */
    size_t depth = walk->count - 1;
    bool wants_folders = options->depth < 0 || depth < (size_t)options->depth;
    bool wants_files = options->depth < 0 || depth == (size_t)options->depth;
    if (is_folder(level->folder, entry))
        return !wants_folders || has_dot || scan_names_add(&level->names, name, true, err);
    return !wants_files || !matches(walk, name) || scan_names_add(&level->names, name, false, err);
}

/* Read the names of the last level. *problem is an errno value where reading ended early; what was read
 * counts. */
static bool read_names(struct walk *walk, int *problem, struct error *err)
{
    struct level *level = top(walk);
    *problem = 0;
    int copy = fcntl(level->folder, F_DUPFD_CLOEXEC, 0); /* closedir() takes it along */
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (stream == NULL) {
        (void)error_errno(err, ERROR_FATAL, "cannot read a folder");
        if (copy >= 0)
            (void)close(copy);
        return false;
    }
    bool ok = true;
    while (ok) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL) {
            *problem = errno;
            break;
        }
        ok = take_entry(walk, level, entry, err);
    }
    (void)closedir(stream);
    return ok && scan_names_sort(&level->names, err);
}

/* ---- going down and up ----------------------------------------------------------------------------- */

static bool is_on_the_way(const struct walk *walk, const struct stat *status)
{
    for (size_t i = 0; i < walk->count; i++) {
        if (walk->levels[i].inode == status->st_ino && walk->levels[i].device == status->st_dev)
            return true;
    }
    return false;
}

/* What the folders above leave of SCAN_SORT_BYTES, so that the bound holds for all of them together. */
static size_t names_limit(const struct walk *walk)
{
    size_t used = 0;
    for (size_t i = 0; i < walk->count; i++)
        used += scan_names_memory(&walk->levels[i].names);
    return used + SORT_BYTES_MIN < SCAN_SORT_BYTES ? SCAN_SORT_BYTES - used : SORT_BYTES_MIN;
}

/* Add a level for `folder`, which is taken over. Its path stands in walk->path already. */
static bool push(struct walk *walk, int folder, const struct stat *status, struct error *err)
{
    struct level level = {.folder = folder,
                          .device = status->st_dev,
                          .inode = status->st_ino,
                          .path_length = walk->path.length};
    scan_names_init(&level.names, names_limit(walk), walk->options->scratch);
    if (walk->count == walk->capacity) {
        walk->capacity = walk->capacity < 16 ? 16 : walk->capacity * 2;
        walk->levels = xrealloc_array(walk->levels, walk->capacity, sizeof *walk->levels);
    }
    walk->levels[walk->count++] = level;
    /* The root stays open: it is where the others are found again. */
    if (walk->count > SCAN_OPEN_FOLDERS + 1) {
        struct level *far = &walk->levels[walk->count - 1 - SCAN_OPEN_FOLDERS];
        (void)close(far->folder);
        far->folder = -1;
    }
    int problem;
    if (!read_names(walk, &problem, err))
        return false;
    if (problem == 0)
        return true;
    if (walk->count > 1)
        return report_problem(walk, CODE_INPUT_IO, err);
    errno = problem;
    return error_errno(err, ERROR_FATAL, "cannot read folder '%s'", walk->options->root);
}

static bool is_level(int folder, const struct level *level)
{
    struct stat status;
    return fstat(folder, &status) == 0 && status.st_ino == level->inode && status.st_dev == level->device;
}

static void pop(struct walk *walk)
{
    struct level *level = top(walk);
    if (walk->count > 1 && level->folder >= 0 && level[-1].folder < 0) {
        /* The short way back; where a link led down it leads elsewhere, and find_again() has to do it. */
        int parent = openat(level->folder, "..", FOLDER_FLAGS);
        if (parent >= 0 && is_level(parent, &level[-1]))
            level[-1].folder = parent;
        else if (parent >= 0)
            (void)close(parent);
    }
    if (level->folder >= 0)
        (void)close(level->folder);
    scan_names_clear(&level->names);
    walk->count--;
}

/* Open the last level's folder again by its path, piece by piece, since it may exceed PATH_MAX. */
static bool find_again(struct walk *walk)
{
    struct level *level = top(walk);
    char *path = xmemdup_text(walk->path.data, level->path_length);
    char *at = path;
    int folder = -1;
    do {
        char *end = at + strlen(at);
        if (end - at > (ptrdiff_t)PATH_PIECE_BYTES)
            end = memrchr(at, '/', PATH_PIECE_BYTES);
        if (end == NULL)
            break;
        bool is_last = *end == '\0';
        *end = '\0';
        int next = openat(folder < 0 ? walk->levels[0].folder : folder, at, FOLDER_FLAGS);
        if (folder >= 0)
            (void)close(folder);
        folder = next;
        at = is_last ? end : end + 1;
    } while (folder >= 0 && *at != '\0');
    free(path);
    if (folder >= 0 && is_level(folder, level)) {
        level->folder = folder;
        return true;
    }
    if (folder >= 0)
        (void)close(folder);
    return false;
}

/* ---- visiting -------------------------------------------------------------------------------------- */

/* Through a link, to where it may lead. False with *problem where it may not or cannot; false with *problem
 * NULL is an error. */
static bool follow(struct walk *walk, const char *name, int *handle, const char **problem, struct error *err)
{
    *problem = NULL;
    if (files_follow_link(&walk->roots, top(walk)->folder, name, handle, err))
        return true;
    if (err->kind == ERROR_INPUT)
        *problem = err->code;
    return false;
}

static bool visit_file(struct walk *walk, const char *name, struct error *err)
{
    struct stat status;
    set_path(walk, name);
    if (walk->options->wants != NULL && !walk->options->wants(walk->context, buffer_text(&walk->path)))
        return true;
    if (fstatat(top(walk)->folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        /* Gone since the folder was read: as if it had gone before. */
        return errno == ENOENT || report_problem(walk, problem_of(errno), err);
    }
    if (S_ISLNK(status.st_mode)) {
        int handle;
        const char *problem;
        if (!follow(walk, name, &handle, &problem, err))
            return problem != NULL && report_problem(walk, problem, err);
        int failed = fstat(handle, &status);
        (void)close(handle);
        if (failed != 0)
            return report_problem(walk, CODE_INPUT_IO, err);
    }
    if (!S_ISREG(status.st_mode))
        return report_problem(walk, CODE_INPUT_SPECIAL, err);
    return report_file(walk, &status, err);
}

/* Open a folder below the last level. False with *problem (vanished: an empty text) or, as an error, without.
 */
static bool open_below(struct walk *walk, const char *name, int *folder, const char **problem,
                       struct error *err)
{
    *problem = NULL;
    *folder = openat(top(walk)->folder, name, FOLDER_FLAGS | O_NOFOLLOW);
    if (*folder >= 0)
        return true;
    if (errno == ENOTDIR || errno == ELOOP) {
        int handle;
        if (!follow(walk, name, &handle, problem, err))
            return false;
        *folder = openat(handle, ".", FOLDER_FLAGS);
        int number = errno;
        (void)close(handle);
        if (*folder >= 0)
            return true;
        errno = number;
    }
    if (is_exhausted(errno))
        return error_errno(err, ERROR_FATAL, "cannot open a folder");
    *problem = errno == ENOENT ? "" : problem_of(errno);
    return false;
}

static bool visit_folder(struct walk *walk, const char *name_with_slash, struct error *err)
{
    int folder;
    struct stat status;
    const char *problem;
    set_path(walk, name_with_slash);
    char *name = xmemdup_text(name_with_slash, strlen(name_with_slash) - 1);
    bool opened = open_below(walk, name, &folder, &problem, err);
    free(name);
    if (!opened)
        return problem != NULL && (problem[0] == '\0' || report_problem(walk, problem, err));
    if (fstat(folder, &status) != 0 || is_on_the_way(walk, &status)) {
        (void)close(folder);
        return true;
    }
    return push(walk, folder, &status, err);
}

static bool visit(struct walk *walk, const char *name, struct error *err)
{
    struct level *level = top(walk);
    if (level->folder < 0 && !find_again(walk)) {
        /* Renamed or removed while we were further down: its names are known, what they were is not. */
        set_path(walk, name);
        return report_problem(walk, CODE_INPUT_MISSING, err);
    }
    if (name[strlen(name) - 1] == '/')
        return visit_folder(walk, name, err);
    return visit_file(walk, name, err);
}

static bool walk_all(struct walk *walk, struct error *err)
{
    while (walk->count > 0) {
        const char *name;
        if (!scan_names_next(&top(walk)->names, &name, err))
            return false;
        if (name == NULL)
            pop(walk);
        else if (!visit(walk, name, err))
            return false;
    }
    return true;
}

static bool open_link_roots(struct walk *walk, struct error *err)
{
    const char *const *paths = walk->options->link_roots;
    size_t count = 0;
    while (paths != NULL && paths[count] != NULL)
        count++;
    walk->link_roots = xcalloc(count + 1, sizeof *walk->link_roots);
    for (size_t i = 0; i < count; i++) {
        if (!files_open_folder(paths[i], &walk->link_roots[i], err))
            return false;
        walk->roots.link_root_count = i + 1;
    }
    walk->roots.link_roots = walk->link_roots;
    return true;
}

bool scan_tree(const struct scan_options *options, scan_file_fn *each, void *context, struct error *err)
{
    struct walk walk = {.options = options, .each = each, .context = context};
    struct stat status;
    bool ok = false;
    int root = -1;
    walk.roots.anywhere = options->links_anywhere;
    if (!files_open_folder(options->root, &root, err))
        return false;
    walk.roots.root = root;
    if (fstat(root, &status) != 0) {
        (void)error_errno(err, ERROR_FATAL, "cannot read folder '%s'", options->root);
        (void)close(root);
        return false;
    }
    if (!open_link_roots(&walk, err)) {
        (void)close(root);
        goto out;
    }
    ok = push(&walk, root, &status, err) && walk_all(&walk, err);
out:
    while (walk.count > 0)
        pop(&walk);
    for (size_t i = 0; i < walk.roots.link_root_count; i++)
        (void)close(walk.link_roots[i]);
    free(walk.link_roots);
    free(walk.levels);
    buffer_clear(&walk.path);
    return ok;
}
