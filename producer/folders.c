#include "producer/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/files.h"

char *folders_real(const char *setting, const char *path, struct error *err)
{
    struct stat status;
    char *real = realpath(path, NULL);
    if (real == NULL) {
        (void)error_errno(err, ERROR_FATAL, "%s: cannot find the folder '%s'", setting, path);
    } else if (stat(real, &status) == 0 && !S_ISDIR(status.st_mode)) {
        (void)error_set(err, ERROR_FATAL, "%s: '%s' is not a folder", setting, path);
        free(real);
        real = NULL;
    }
    return real;
}

/* Levels of `inner` below `outer`; 0 when they are the same; -1 when it does not lie below. */
static int levels_below(const char *outer, const char *inner)
{
    size_t length = strcmp(outer, "/") == 0 ? 0 : strlen(outer);
    if (strncmp(outer, inner, length) != 0 || (inner[length] != '/' && inner[length] != '\0'))
        return -1;
    int levels = 0;
    for (const char *c = inner + length; *c != '\0'; c++)
        levels += *c == '/' && c[1] != '\0';
    return levels;
}

/* Outputs must not be read as inputs. With a Depth that does not reach it, an OutputDirectory inside
 * DICOMHome is harmless: the config.json that Niffler ships has it so. */
bool folders_check(const char *input, const char *output, int depth, struct error *err)
{
    int levels = levels_below(input, output);
    if (levels >= 0 && (depth < 0 || depth >= levels))
        return error_set(err, ERROR_FATAL,
                         levels == 0
                             ? "OutputDirectory and DICOMHome are the same folder; choose another one"
                             : "OutputDirectory lies inside DICOMHome, where its files would be read as "
                               "inputs; choose another one, or a Depth that does not reach it");
    if (levels < 0 && levels_below(output, input) >= 0)
        return error_set(err, ERROR_FATAL,
                         "DICOMHome lies inside OutputDirectory; choose another OutputDirectory");
    return true;
}

const char *folders_below(const char *root_setting, const char *root, const char *setting, const char *path,
                          struct error *err)
{
    if (levels_below(root, path) >= 0) {
        const char *rest = path + (strcmp(root, "/") == 0 ? 0 : strlen(root));
        rest += strspn(rest, "/");
        return *rest == '\0' ? "." : rest;
    }
    (void)error_set(err, ERROR_FATAL, "%s does not lie below %s", setting, root_setting);
    return NULL;
}

/* `there` is a real path. What is exchanged for a link meanwhile is not followed. */
static bool make_folders_in(const char *there, const char *rest, struct error *err)
{
    int dir;
    if (!files_open_real_folder(there, &dir, err))
        return false;
    bool ok = rest[strspn(rest, "/.")] == '\0' || files_make_folders(dir, rest, err);
    (void)close(dir);
    return ok;
}

/* The part of the path that is there decides; what follows it may not climb back. */
bool folders_make_below(const char *root_setting, const char *root, const char *setting, const char *path,
                        struct error *err)
{
    char *there = xstrdup(path), *real = realpath(there, NULL);
    bool ok = false;
    while (real == NULL && errno == ENOENT) {
        char *slash = strrchr(there, '/');
        if (slash == NULL || slash == there) {
            real = realpath(slash == NULL ? "." : "/", NULL);
            there[slash == NULL ? 0 : 1] = '\0';
            break;
        }
        *slash = '\0';
        real = realpath(there, NULL);
    }
    const char *rest = path + strlen(there) + strspn(path + strlen(there), "/");
    if (real == NULL)
        (void)error_errno(err, ERROR_FATAL, "%s: cannot find the folder '%s'", setting, path);
    else if (!files_is_beneath(rest))
        (void)error_set(err, ERROR_FATAL, "%s does not lie below %s", setting, root_setting);
    else
        ok = folders_below(root_setting, root, setting, real, err) != NULL &&
             (make_folders_in(real, rest, err) || error_prefix(err, "%s", setting));
    free(there);
    free(real);
    return ok;
}
