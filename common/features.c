#include "common/features.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/alloc.h"
#include "common/log.h"

#define FEATURES_MAX 16777216 /* bytes */

const char **features_split(char *text, bool as_it_is)
{
    size_t count = 0, capacity = 64;
    const char **names = xcalloc(capacity, sizeof *names);
    char *line = text, *end = text + strlen(text);
    while (line < end) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        char *stop = newline != NULL ? newline : end;
        char *next = newline != NULL ? newline + 1 : end;
        while (!as_it_is && stop > line && strchr(" \t\r", stop[-1]) != NULL)
            stop--;
        while (!as_it_is && line < stop && strchr(" \t", *line) != NULL)
            line++;
        *stop = '\0';
        if (*line != '\0') {
            if (count + 2 > capacity) {
                capacity *= 2;
                names = xrealloc_array(names, capacity, sizeof *names);
            }
            names[count++] = line;
        }
        line = next;
    }
    names[count] = NULL;
    return names;
}

bool features_read(const struct settings *settings, struct buffer *text, bool *wanted, struct error *err)
{
    bool ok = false;
    *wanted = false;
    if (!settings->specific_headers_only)
        return true;
    const char *path = settings->feature_set_file != NULL ? settings->feature_set_file : "featureset.txt";
    FILE *in = fopen(path, "re");
    if (in == NULL && errno == ENOENT) {
        log_event(LOG_LEVEL_WARN, "common", "features_not_found", "reason=%s",
                  log_text("FeatureSetFile is missing; all columns are kept"));
        return true;
    }
    if (in == NULL)
        return error_errno(err, ERROR_FATAL, "FeatureSetFile: cannot open the file");
    while (text->length < FEATURES_MAX) {
        size_t n = fread(buffer_reserve(text, 65536), 1, 65536, in);
        if (n == 0)
            break;
        text->length += n;
    }
    if (ferror(in) != 0) {
        (void)error_errno(err, ERROR_FATAL, "FeatureSetFile: cannot read the file");
        goto out;
    }
    if (text->length >= FEATURES_MAX ||
        (text->length > 0 && memchr(text->data, '\0', text->length) != NULL)) {
        (void)error_set(err, ERROR_FATAL, "FeatureSetFile: not a list of attribute names");
        goto out;
    }
    buffer_append_char(text, '\0');
    *wanted = true;
    ok = true;
out:
    (void)fclose(in);
    return ok;
}
