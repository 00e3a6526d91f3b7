/* One value: from text to its canonical form, and from that into its field.
 *
 * Two steps rather than one, since the canonical form is also what --show-settings prints and what the
 * fingerprint is made of: "yes", "1" and "True" must not count as three different settings. */
#include "common/settings_table.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/alloc.h"

static const char unlimited[] = "unlimited";

/* The enumerations are stored through `unsigned`. */
_Static_assert(sizeof(enum pixel_scaling) == sizeof(unsigned), "an enumeration has the size of unsigned");
_Static_assert(sizeof(enum log_level) == sizeof(unsigned), "an enumeration has the size of unsigned");
_Static_assert((int)FLATTEN_SERIES == 2 && (int)PIXEL_SCALING_STORED == 2 && (int)VALUE_FORMAT_NIFFLER == 1 &&
                   (int)SMTP_START_TLS_OFF == 1 && (int)LOG_LEVEL_DEBUG == 3,
               "the choices of settings_table.c are in the order of the enumerations");

static bool parse_bool(const char *text, bool *value)
{
    static const char *const words[] = {"false", "true", "no", "yes", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *value = i % 2 == 1;
            return true;
        }
    }
    return false;
}

/* Digits only, with an optional '-': strtoll() alone would also take blanks, '+' and what stands behind. */
static bool parse_whole(const char *text, size_t length, int64_t *value)
{
    char digits[24];
    size_t sign = length > 0 && text[0] == '-' ? 1 : 0;
    if (length == sign || length >= sizeof digits || strspn(text + sign, "0123456789") < length - sign)
        return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    errno = 0;
    *value = strtoll(digits, NULL, 10);
    return errno == 0;
}

static bool parse_size(const char *text, int64_t *value)
{
    static const char suffixes[] = "KMG";
    size_t length = strlen(text);
    int64_t unit = 1;
    const char *suffix = length > 0 ? strchr(suffixes, text[length - 1] & ~0x20) : NULL;
    if (suffix != NULL && *suffix != '\0') {
        unit = INT64_C(1) << (10 * (suffix - suffixes + 1));
        length--;
    }
    return parse_whole(text, length, value) && !__builtin_mul_overflow(*value, unit, value);
}

static bool is_within(const struct settings_row *row, int64_t value)
{
    return value >= row->minimum && value <= row->maximum;
}

/* 0, a fraction below 1, or a whole number; "2.0" is one, as a front end may send it. */
static bool parse_share(const struct settings_row *row, const char *text, double *value)
{
    size_t length = strlen(text);
    if (length == 0 || length > 20 || strspn(text, "0123456789.") != length)
        return false;
    char *end;
    *value = strtod(text, &end);
    if (*end != '\0' || *value > (double)row->maximum)
        return false;
    return *value < 1 || *value == (double)(int64_t)*value;
}

static bool parse_choice(const struct settings_row *row, const char *text, unsigned *value)
{
    for (unsigned i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(row->choices[i], text) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}

static bool parse_frames(const struct settings_row *row, const char *text, enum frames_choice *choice,
                         uint32_t *number)
{
    static const char *const words[] = {
        [FRAMES_ALL] = "all", [FRAMES_FIRST] = "first", [FRAMES_MIDDLE] = "middle"};
    *number = 0;
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], text) == 0) {
            *choice = (enum frames_choice)i;
            return true;
        }
    }
    int64_t value;
    if (!parse_whole(text, strlen(text), &value) || !is_within(row, value))
        return false;
    *choice = FRAMES_NUMBER;
    *number = (uint32_t)value;
    return true;
}

/* An empty entry would stand for the current folder, by accident more often than not. */
static bool are_folders(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && text[0] != ':' && text[length - 1] != ':' && strstr(text, "::") == NULL;
}

static char *size_text(int64_t value)
{
    static const char suffixes[] = {'G', 'M', 'K'};
    for (int i = 0; i < 3; i++) {
        int64_t unit = INT64_C(1) << (30 - 10 * i);
        if (value >= unit && value % unit == 0)
            return xasprintf("%" PRId64 "%c", value / unit, suffixes[i]);
    }
    return xasprintf("%" PRId64, value);
}

static char *canonical_size(const struct settings_row *row, const char *text)
{
    int64_t value;
    if (row->minimum == 0 && (strcmp(text, unlimited) == 0 || strcmp(text, "0") == 0))
        return xstrdup(unlimited);
    return parse_size(text, &value) && is_within(row, value) ? size_text(value) : NULL;
}

char *settings_canonical(const struct settings_row *row, const char *text)
{
    bool flag;
    int64_t whole;
    double share;
    unsigned choice;
    enum frames_choice frames;
    uint32_t number;
    switch (row->type) {
    case SETTINGS_BOOL:
        return parse_bool(text, &flag) ? xstrdup(flag ? "true" : "false") : NULL;
    case SETTINGS_INTEGER:
    case SETTINGS_COUNT:
        return parse_whole(text, strlen(text), &whole) && is_within(row, whole) ? xasprintf("%" PRId64, whole)
                                                                                : NULL;
    case SETTINGS_SIZE:
        return canonical_size(row, text);
    case SETTINGS_SHARE:
        return parse_share(row, text, &share) ? xasprintf("%.15g", share) : NULL;
    case SETTINGS_TEXT:
        return xstrdup(text);
    case SETTINGS_FOLDERS:
        return are_folders(text) ? xstrdup(text) : NULL;
    case SETTINGS_CHOICE:
        return parse_choice(row, text, &choice) ? xstrdup(text) : NULL;
    case SETTINGS_FRAMES:
        if (!parse_frames(row, text, &frames, &number))
            return NULL;
        return frames == FRAMES_NUMBER ? xasprintf("%" PRIu32, number) : xstrdup(text);
    case SETTINGS_WINDOW:
        return settings_parse_window(text, &(struct options){0}) ? xstrdup(text) : NULL;
    }
    assert(false); /* a type that is not in the enumeration */
    return NULL;
}

static void describe_choices(const struct settings_row *row, struct buffer *out)
{
    for (size_t i = 0; row->choices[i] != NULL; i++) {
        if (i > 0)
            buffer_append_text(out, row->choices[i + 1] == NULL ? " or " : ", ");
        buffer_append_text(out, row->choices[i]);
    }
}

static void describe_sizes(const struct settings_row *row, struct buffer *out)
{
    char *lowest = size_text(row->minimum);
    char *highest = size_text(row->maximum);
    if (row->minimum == 0)
        buffer_append_format(out, "%s or ", unlimited);
    buffer_append_format(out, "a whole number from %s to %s (K, M and G multiply by 1024)",
                         row->minimum == 0 ? "1" : lowest, highest);
    free(lowest);
    free(highest);
}

void settings_describe(const struct settings_row *row, struct buffer *out)
{
    switch (row->type) {
    case SETTINGS_BOOL:
        buffer_append_text(out, "true or false (also yes or no, 1 or 0)");
        break;
    case SETTINGS_INTEGER:
    case SETTINGS_COUNT:
        buffer_append_format(out, "a whole number from %" PRId64 " to %" PRId64, row->minimum, row->maximum);
        break;
    case SETTINGS_SIZE:
        describe_sizes(row, out);
        break;
    case SETTINGS_SHARE:
        buffer_append_text(out, "0, a fraction below 1, or a whole number");
        break;
    case SETTINGS_TEXT:
        buffer_append_text(out, "text");
        break;
    case SETTINGS_FOLDERS:
        buffer_append_text(out, "none, anywhere, or folders with ':' between them");
        break;
    case SETTINGS_CHOICE:
        describe_choices(row, out);
        break;
    case SETTINGS_FRAMES:
        buffer_append_text(out, "all, first, middle, or the number of a frame from 1");
        break;
    case SETTINGS_WINDOW:
        buffer_append_text(out, "index:n, center,width (the width at least 1), auto, " SETTINGS_PRESETS);
        break;
    }
}

/* NULL-terminated copies of the entries. */
static char **split_folders(const char *text)
{
    size_t count = 1;
    for (const char *at = text; *at != '\0'; at++)
        count += *at == ':' ? 1 : 0;
    char **folders = xcalloc(count + 1, sizeof *folders);
    for (size_t i = 0; i < count; i++) {
        size_t length = strcspn(text, ":");
        folders[i] = xmemdup_text(text, length);
        text += length + 1;
    }
    return folders;
}

static void store_folders(struct settings *settings, char ***field, const char *canonical)
{
    settings->links_anywhere = strcmp(canonical, "anywhere") == 0;
    bool are_named = !settings->links_anywhere && strcmp(canonical, "none") != 0;
    *field = are_named ? split_folders(canonical) : NULL;
}

/* What the text stands for; only texts from settings_canonical() come here, so that parsing cannot fail. */
void settings_store(struct settings *settings, const struct settings_row *row, const char *canonical)
{
    if (row->offset == SETTINGS_NO_FIELD)
        return;
    void *field = (char *)settings + row->offset;
    bool parsed = true;
    int64_t whole = 0;
    switch (row->type) {
    case SETTINGS_BOOL:
        parsed = parse_bool(canonical, field);
        break;
    case SETTINGS_INTEGER:
        parsed = parse_whole(canonical, strlen(canonical), &whole);
        *(int *)field = (int)whole;
        break;
    case SETTINGS_COUNT:
        parsed = parse_whole(canonical, strlen(canonical), &whole);
        *(uint32_t *)field = (uint32_t)whole;
        break;
    case SETTINGS_SIZE:
        parsed = strcmp(canonical, unlimited) == 0 || parse_size(canonical, &whole);
        *(uint64_t *)field = (uint64_t)whole;
        break;
    case SETTINGS_SHARE:
        parsed = parse_share(row, canonical, field);
        break;
    case SETTINGS_TEXT:
        *(char **)field = canonical[0] != '\0' ? xstrdup(canonical) : NULL;
        break;
    case SETTINGS_FOLDERS:
        store_folders(settings, field, canonical);
        break;
    case SETTINGS_CHOICE: {
        unsigned choice = 0;
        parsed = parse_choice(row, canonical, &choice);
        memcpy(field, &choice, sizeof choice);
        break;
    }
    case SETTINGS_FRAMES:
        parsed = parse_frames(row, canonical, &settings->options.frames, &settings->options.frame_number);
        break;
    case SETTINGS_WINDOW:
        parsed = settings_parse_window(canonical, &settings->options);
        break;
    }
    assert(parsed);
    (void)parsed;
}
