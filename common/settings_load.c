/* Settings from their sources: config.json, environment, flags, and the defaults for what is left.
 *
 * A value goes through settings_canonical() when its source is read, so that a mistake is reported even where
 * another source overrules it; fields are filled last, when Compatibility, which alters the defaults, is
 * known. */
#include "common/settings_table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/alloc.h"

#define CONFIG_NAME "config.json"
#define CONFIG_BYTES_MAX \
    (1u << 20)         /* a thousand times what all keys need: whatever is longer is another file */
#define SHOWN_BYTES 40 /* of a wrong value in a sentence */

static const char niffler_example_address[] = "test@test.test";

/* Where a value is read from, for its sentence: "config.json", "the environment", "a flag". */
struct source {
    enum settings_origin origin;
    const char *name;
};

/* Printable and short, whatever it was. */
static void shorten(const char *text, char shown[SHOWN_BYTES + 4])
{
    size_t length = strnlen(text, SHOWN_BYTES);
    while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--; /* not in the middle of a character */
    for (size_t i = 0; i < length; i++)
        shown[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    memcpy(shown + length, text[length] != '\0' ? "..." : "", text[length] != '\0' ? 4 : 1);
}

static bool refuse(const struct settings_row *row, const struct source *source, const char *found,
                   struct error *err)
{
    struct buffer allowed = {0};
    settings_describe(row, &allowed);
    error_set(err, ERROR_FATAL, "cannot use %s as '%s' (from %s): allowed is %s", found, row->key,
              source->name, buffer_text(&allowed));
    buffer_clear(&allowed);
    return false;
}

/* What needs more than the row says. A mail server's URL may not hold a password: it would show in the
 * process list. */
static bool check_text(const struct settings_row *row, const struct source *source, const char *text,
                       struct error *err)
{
    if (row->offset == offsetof(struct settings, smtp_url) && strchr(text, '@') != NULL)
        return error_set(
            err, ERROR_FATAL,
            "cannot use '%s' (from %s): it holds a user or a password, which belong into 'SmtpUser' and "
            "'SmtpPasswordFile'",
            row->key, source->name);
    const char *at = row->offset == offsetof(struct settings, redis_url) ? strrchr(text, '@') : NULL;
    const char *user = at != NULL ? strstr(text, "://") : NULL;
    if (user != NULL && memchr(user + 3, ':', (size_t)(at - user - 3)) != NULL)
        return error_set(err, ERROR_FATAL,
                         "cannot use '%s' (from %s): it holds a password, which belongs into "
                         "'RedisPasswordFile'",
                         row->key, source->name);
    return true;
}

static bool assign(struct settings *settings, size_t index, const struct source *source, const char *text,
                   struct error *err)
{
    const struct settings_row *row = &settings_table[index];
    char *canonical;
    if (!check_text(row, source, text, err))
        return false;
    if (strcmp(row->key, settings_key_flattened_to_level) == 0)
        canonical = xstrdup(text); /* what is allowed depends on Compatibility: finish_level() */
    else
        canonical = settings_canonical(row, text);
    if (canonical == NULL) {
        char shown[SHOWN_BYTES + 4];
        char found[sizeof shown + 2];
        shorten(text, shown);
        (void)snprintf(found, sizeof found, "'%s'", shown);
        return refuse(row, source, found, err);
    }
    free(settings->values[index].text);
    settings->values[index].text = canonical;
    settings->values[index].origin = source->origin;
    return true;
}

/* ---- config.json ----------------------------------------------------------------------------------- */

static const char *json_type_text(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    case JSON_NULL:
        return "null";
    }
    return "nothing known";
}

static bool takes_numbers(const struct settings_row *row)
{
    return row->type != SETTINGS_TEXT && row->type != SETTINGS_FOLDERS && row->type != SETTINGS_CHOICE;
}

/* A list of folders, as ':' between them. Returns new, or NULL. */
static char *join_folders(const json_t *list)
{
    struct buffer joined = {0};
    char *text = NULL;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *folder = json_string_value(json_array_get(list, i));
        if (folder == NULL || folder[0] == '\0' || strchr(folder, ':') != NULL)
            goto out;
        if (i > 0)
            buffer_append_char(&joined, ':');
        buffer_append_text(&joined, folder);
    }
    text = xstrdup(json_array_size(list) > 0 ? buffer_text(&joined) : "none");
out:
    buffer_clear(&joined);
    return text;
}

/* The text of a JSON value where its type fits the row. Returns new, or NULL. */
static char *json_text(const struct settings_row *row, const json_t *value)
{
    if (json_is_string(value))
        return xstrdup(json_string_value(value));
    if (json_is_boolean(value) && row->type == SETTINGS_BOOL)
        return xstrdup(json_is_true(value) ? "true" : "false");
    if (json_is_integer(value) && takes_numbers(row))
        return xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value) && takes_numbers(row))
        return xasprintf("%.15g", json_real_value(value));
    if (json_is_array(value) && row->type == SETTINGS_FOLDERS)
        return join_folders(value);
    return NULL;
}

static bool assign_members(struct settings *settings, json_t *object, const struct source *source,
                           struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        size_t index = settings_find(key);
        if (index == settings_table_count) {
            char shown[SHOWN_BYTES + 4];
            shorten(key, shown);
            return error_set(err, ERROR_FATAL,
                             "unknown setting '%s' (from %s): the nearest known one is '%s'", shown,
                             source->name, settings_nearest(key));
        }
        char *text = json_text(&settings_table[index], value);
        if (text == NULL)
            return refuse(&settings_table[index], source, json_type_text(value), err);
        bool ok = assign(settings, index, source, text, err);
        free(text);
        if (!ok)
            return false;
    }
    return true;
}

/* The whole content; *found is false when there is no such file. A pipe will do, too. */
static bool read_config(const char *path, struct buffer *content, bool *found, struct error *err)
{
    bool ok = false;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    *found = descriptor >= 0 || errno != ENOENT;
    if (!*found)
        return true;
    if (descriptor < 0)
        return error_errno(err, ERROR_FATAL, "cannot open settings '%.100s'", path);
    for (;;) {
        char *place = buffer_reserve(content, 1u << 14);
        ssize_t count = read(descriptor, place, 1u << 14);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            error_errno(err, ERROR_FATAL, "cannot read settings '%.100s'", path);
            goto out;
        }
        if (count == 0)
            break;
        content->length += (size_t)count;
        if (content->length > CONFIG_BYTES_MAX) {
            error_set(err, ERROR_FATAL,
                      "cannot use settings '%.100s': longer than 1 MiB, which no settings are", path);
            goto out;
        }
    }
    ok = true;
out:
    (void)close(descriptor);
    return ok;
}

/* Editors on Windows put a byte order mark in front. */
static size_t byte_order_mark(const struct buffer *content)
{
    return content->length >= 3 && memcmp(content->data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

static bool load_config(struct settings *settings, const char *config_path, struct error *err)
{
    const char *path = config_path != NULL ? config_path : CONFIG_NAME;
    struct buffer content = {0};
    json_t *root = NULL;
    char *name = NULL;
    bool ok = false;
    bool found = false;
    if (!read_config(path, &content, &found, err))
        goto out;
    if (!found) {
        ok = config_path == NULL ||
             error_set(err, ERROR_FATAL, "cannot open settings '%.100s': there is no such file", path);
        goto out;
    }
    size_t mark = byte_order_mark(&content);
    json_error_t problem;
    root = json_loadb(buffer_text(&content) + mark, content.length - mark, JSON_REJECT_DUPLICATES, &problem);
    if (root == NULL) {
        error_set(err, ERROR_FATAL, "cannot read settings '%.100s', line %d, column %d: %.100s", path,
                  problem.line, problem.column, problem.text);
        goto out;
    }
    if (!json_is_object(root)) {
        error_set(err, ERROR_FATAL,
                  "cannot use settings '%.100s': expected is an object {\"key\": value}, found is %s", path,
                  json_type_text(root));
        goto out;
    }
    name = xasprintf("%.60s", path);
    const struct source source = {SETTINGS_FROM_CONFIG, name};
    ok = assign_members(settings, root, &source, err);
out:
    free(name);
    json_decref(root);
    buffer_clear(&content);
    return ok;
}

/* ---- environment and flags --------------------------------------------------------------------------- */

static bool load_environment(struct settings *settings, struct error *err)
{
    char name[64];
    const struct source source = {SETTINGS_FROM_ENVIRONMENT, name};
    for (size_t i = 0; i < settings_table_count; i++) {
        settings_environment_name(settings_table[i].key, name, sizeof name);
        const char *text = getenv(name);
        if (text != NULL && text[0] != '\0' && !assign(settings, i, &source, text, err))
            return false;
    }
    return true;
}

/* Row of a flag's name, which may be cut short where one key alone begins so. */
static bool find_flag(const char *name, size_t length, size_t *index, struct error *err)
{
    struct buffer candidates = {0};
    size_t count = 0;
    bool ok = false;
    for (size_t i = 0; i < settings_table_count; i++) {
        const char *key = settings_table[i].key;
        if (strncmp(key, name, length) != 0)
            continue;
        *index = i;
        if (strlen(key) == length) {
            ok = true;
            goto out;
        }
        buffer_append_format(&candidates, "%s'--%s'", count++ > 0 ? ", " : "", key);
    }
    char *text = xmemdup_text(name, length);
    char shown[SHOWN_BYTES + 4];
    shorten(text, shown);
    if (count == 0)
        error_set(err, ERROR_FATAL, "unknown flag '--%s': the nearest known one is '--%s'", shown,
                  settings_nearest(text));
    else if (count > 1)
        error_set(err, ERROR_FATAL, "ambiguous flag '--%s': it may be one of %.180s", shown,
                  buffer_text(&candidates));
    free(text);
    ok = count == 1;
out:
    buffer_clear(&candidates);
    return ok;
}

static bool load_flags(struct settings *settings, int argc, char **argv, struct error *err)
{
    for (int i = 0; i < argc; i++) {
        const char *flag = argv[i];
        char shown[SHOWN_BYTES + 4];
        shorten(flag, shown);
        if (strncmp(flag, "--", 2) != 0)
            return error_set(err, ERROR_FATAL, "unexpected argument '%s': settings are given as --Key value",
                             shown);
        const char *name = flag + 2;
        size_t length = strcspn(name, "=");
        const char *text = name[length] == '=' ? name + length + 1 : NULL;
        size_t index = 0;
        if (length == 0)
            return error_set(err, ERROR_FATAL, "unexpected argument '%s': settings are given as --Key value",
                             shown);
        if (!find_flag(name, length, &index, err))
            return false;
        if (text == NULL && (i + 1 == argc || strncmp(argv[i + 1], "--", 2) == 0))
            return error_set(err, ERROR_FATAL, "flag '--%s' needs a value", settings_table[index].key);
        if (text == NULL)
            text = argv[++i];
        const struct source source = {SETTINGS_FROM_FLAG, "a flag"};
        if (!assign(settings, index, &source, text, err))
            return false;
    }
    return true;
}

/* ---- defaults, and into the fields --------------------------------------------------------------------- */

static const char *row_default(const struct settings_row *row, bool niffler)
{
    return niffler && row->niffler != NULL ? row->niffler : row->standard;
}

static void fill_default(struct settings_value *value, const struct settings_row *row, bool niffler)
{
    if (value->text != NULL)
        return;
    const char *text = row_default(row, niffler);
    value->text = settings_canonical(row, text);
    value->origin = niffler && row->niffler != NULL ? SETTINGS_FROM_COMPATIBILITY : SETTINGS_FROM_DEFAULT;
    assert(value->text != NULL);
}

/* Niffler takes any text it does not know as the level of series. */
static bool finish_level(struct settings *settings, bool niffler, struct error *err)
{
    static const char *const origins[] = {[SETTINGS_FROM_CONFIG] = CONFIG_NAME,
                                          [SETTINGS_FROM_ENVIRONMENT] = "the environment",
                                          [SETTINGS_FROM_FLAG] = "a flag"};
    size_t index = settings_find(settings_key_flattened_to_level);
    struct settings_value *value = &settings->values[index];
    if (value->text == NULL)
        return true;
    char *given = value->text;
    value->text = settings_canonical(&settings_table[index], given);
    if (value->text == NULL && niffler)
        value->text = xstrdup("series");
    bool ok = value->text != NULL;
    if (!ok) {
        const struct source source = {value->origin, origins[value->origin]};
        char shown[SHOWN_BYTES + 4];
        char found[sizeof shown + 2];
        shorten(given, shown);
        (void)snprintf(found, sizeof found, "'%s'", shown);
        refuse(&settings_table[index], &source, found, err);
    }
    free(given);
    return ok;
}

static bool finish(struct settings *settings, struct error *err)
{
    size_t compatibility = settings_find(settings_key_compatibility);
    size_t pattern = settings_find(settings_key_file_pattern);
    fill_default(&settings->values[compatibility], &settings_table[compatibility], false);
    bool niffler = strcmp(settings->values[compatibility].text, "niffler") == 0;
    if (!finish_level(settings, niffler, err))
        return false;
    for (size_t i = 0; i < settings_table_count; i++) {
        fill_default(&settings->values[i], &settings_table[i], niffler);
        settings_store(settings, &settings_table[i], settings->values[i].text);
    }
    settings->options.compatibility_niffler = niffler;
    settings->file_pattern_given = settings->values[pattern].origin != SETTINGS_FROM_DEFAULT;
    settings->options.pattern_given = settings->file_pattern_given;
    if (settings->your_email != NULL && strcmp(settings->your_email, niffler_example_address) == 0) {
        free(settings->your_email);
        settings->your_email = NULL;
    }
    return true;
}

bool settings_load(struct settings *settings, const char *config_path, int argc, char **argv,
                   struct error *err)
{
    memset(settings, 0, sizeof *settings);
    settings->values = xcalloc(settings_table_count, sizeof *settings->values);
    return load_config(settings, config_path, err) && load_environment(settings, err) &&
           load_flags(settings, argc, argv, err) && finish(settings, err);
}

bool settings_check_given(const struct settings *settings, const char *const *keys, struct error *err)
{
    for (; *keys != NULL; keys++) {
        const struct settings_row *row = &settings_table[settings_find(*keys)];
        assert(row->type == SETTINGS_TEXT);
        if (*(char *const *)((const char *)settings + row->offset) == NULL)
            return error_set(err, ERROR_FATAL, "'%s' is not set: give it in config.json or as --%s %s",
                             row->key, row->key, row->argument);
    }
    return true;
}

void settings_clear(struct settings *settings)
{
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct settings_row *row = &settings_table[i];
        if (row->type == SETTINGS_TEXT)
            free(*(char **)((char *)settings + row->offset));
        if (settings->values != NULL)
            free(settings->values[i].text);
    }
    for (size_t i = 0; settings->link_roots != NULL && settings->link_roots[i] != NULL; i++)
        free(settings->link_roots[i]);
    free(settings->link_roots);
    free(settings->values);
    memset(settings, 0, sizeof *settings);
}
