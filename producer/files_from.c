#include "producer/files_from.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/files.h"
#include "producer/scan.h"
#include "producer/scan_sort.h"

/* The path relative to DICOMHome; NULL where it leads out. */
static const char *relative_to(const char *const *homes, const char *path)
{
    for (; path[0] == '/' && *homes != NULL; homes++) {
        size_t length = strlen(*homes);
        while (length > 0 && (*homes)[length - 1] == '/')
            length--;
        if (strncmp(path, *homes, length) == 0 && path[length] == '/') {
            path += length;
            path += strspn(path, "/");
        }
    }
    while (path[0] == '.' && path[1] == '/') {
        path += 2;
        path += strspn(path, "/");
    }
    size_t length = strlen(path);
    return files_is_beneath(path) && length > 0 && length <= SCAN_NAME_BYTES ? path : NULL;
}

static bool read_lines(FILE *in, const char *const *homes, struct scan_names *names, struct error *err)
{
    char *line = NULL;
    size_t size = 0;
    uint64_t number = 0;
    ssize_t length;
    bool ok = false;
    while ((length = getline(&line, &size, in)) >= 0) {
        number++;
        if (length > 0 && line[length - 1] == '\n')
            line[--length] = '\0';
        if (length == 0)
            continue;
        const char *path = strlen(line) == (size_t)length ? relative_to(homes, line) : NULL;
        if (path == NULL) {
            (void)error_set(err, ERROR_FATAL, "--FilesFrom: line %llu is not a path below DICOMHome",
                            (unsigned long long)number);
            goto out;
        }
        if (!scan_names_add(names, path, false, err))
            goto out;
    }
    ok = !ferror(in) || error_errno(err, ERROR_FATAL, "--FilesFrom: cannot read the list");
out:
    free(line);
    return ok;
}

static bool give_sorted(struct scan_names *names, files_from_fn *each, void *context, struct error *err)
{
    struct buffer last = {0};
    const char *name;
    bool ok = false;
    for (;;) {
        if (!scan_names_next(names, &name, err))
            goto out;
        if (name == NULL)
            break;
        if (last.length > 0 && strcmp(buffer_text(&last), name) == 0)
            continue;
        buffer_truncate(&last, 0);
        buffer_append_text(&last, name);
        if (!each(context, buffer_text(&last), err))
            goto out;
    }
    ok = true;
out:
    buffer_clear(&last);
    return ok;
}

bool files_from_each(const char *path, const char *const *homes, const char *scratch, files_from_fn *each,
                     void *context, struct error *err)
{
    struct scan_names names;
    bool is_standard = strcmp(path, "-") == 0;
    FILE *in = is_standard ? stdin : fopen(path, "re");
    if (in == NULL)
        return error_errno(err, ERROR_FATAL, "--FilesFrom: cannot open '%s'", path);
    scan_names_init(&names, SCAN_SORT_BYTES, scratch);
    bool ok = read_lines(in, homes, &names, err) && scan_names_sort(&names, err) &&
              give_sorted(&names, each, context, err);
    scan_names_clear(&names);
    if (!is_standard)
        (void)fclose(in);
    return ok;
}
