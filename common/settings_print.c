/* Settings for people: --show-settings, --help, the man page, and the fingerprint. */
#include "common/settings_table.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/shown.h"
#include "common/typeset.h"

static const char *origin_text(enum settings_origin origin)
{
    switch (origin) {
    case SETTINGS_FROM_DEFAULT:
        return "default";
    case SETTINGS_FROM_COMPATIBILITY:
        return "Compatibility";
    case SETTINGS_FROM_CONFIG:
        return "config.json";
    case SETTINGS_FROM_ENVIRONMENT:
        return "environment";
    case SETTINGS_FROM_FLAG:
        return "flag";
    }
    return "unknown";
}

void settings_show(const struct settings *settings, FILE *out)
{
    for (size_t i = 0; i < settings_table_count; i++) {
        (void)fprintf(out, "%s = ", settings_table[i].key);
        shown_print(out, settings->values[i].text);
        (void)fprintf(out, "  (from %s)\n", origin_text(settings->values[i].origin));
    }
}

static bool alters_output(const struct settings *settings, const struct settings_row *row)
{
    return row->effect == SETTINGS_ALTERS_OUTPUT ||
           (row->effect == SETTINGS_ALTERS_IF_NIFFLER && settings->options.compatibility_niffler);
}

char *settings_fingerprint(const struct settings *settings)
{
    struct buffer out = {0};
    for (size_t i = 0; i < settings_table_count; i++) {
        if (!alters_output(settings, &settings_table[i]))
            continue;
        buffer_append_format(&out, "%s=", settings_table[i].key);
        /* A line break in a folder's name must not look like the next setting. */
        for (const char *at = settings->values[i].text; *at != '\0'; at++) {
            if (*at == '\n' || *at == '\\')
                buffer_append_char(&out, '\\');
            buffer_append_char(&out, *at == '\n' ? 'n' : *at);
        }
        buffer_append_char(&out, '\n');
    }
    /* Whether a name was asked for by its pattern decides what counts as failed, also when the pattern is the
     * default's. */
    buffer_append_format(&out, "pattern_given=%d\n", settings->options.pattern_given ? 1 : 0);
    char *text = xmemdup_text(out.data, out.length);
    buffer_clear(&out);
    return text;
}

static unsigned core_count(void)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) > 0)
        return (unsigned)CPU_COUNT(&cores);
    /* More cores than a cpu_set_t holds. */
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

unsigned settings_decoder_count(const struct settings *settings)
{
    unsigned cores = core_count();
    double wanted = settings->use_processes;
    if (wanted <= 0)
        return cores;
    if (wanted < 1)
        wanted = floor(wanted * cores);
    if (wanted < 1)
        return 1;
    return wanted < cores ? (unsigned)wanted : cores;
}

static const char *argument_name(const struct settings_row *row)
{
    static const char *const names[] = {
        [SETTINGS_BOOL] = "true|false", [SETTINGS_INTEGER] = "N", [SETTINGS_COUNT] = "N",
        [SETTINGS_SIZE] = "SIZE",       [SETTINGS_SHARE] = "N",   [SETTINGS_TEXT] = "TEXT",
        [SETTINGS_FOLDERS] = "FOLDERS", [SETTINGS_CHOICE] = "",   [SETTINGS_FRAMES] = "all|first|middle|N",
    };
    return row->argument != NULL ? row->argument : names[row->type];
}

static void append_argument(const struct settings_row *row, struct buffer *out)
{
    if (row->type != SETTINGS_CHOICE) {
        buffer_append_text(out, argument_name(row));
        return;
    }
    for (size_t i = 0; row->choices[i] != NULL; i++)
        buffer_append_format(out, "%s%s", i > 0 ? "|" : "", row->choices[i]);
}

static void append_defaults(const struct settings_row *row, struct buffer *out)
{
    if (row->standard[0] != '\0')
        buffer_append_format(out, "Default: %s", row->standard);
    else
        buffer_append_text(out, "Not set by default");
    if (row->niffler != NULL)
        buffer_append_format(out, "; under Compatibility: niffler %s", row->niffler);
}

void settings_help(FILE *out)
{
    struct buffer line = {0};
    const char *section = "";
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct settings_row *row = &settings_table[i];
        char name[64];
        settings_environment_name(row->key, name, sizeof name);
        if (row->section != section)
            (void)fprintf(out, "\n%s\n", row->section);
        section = row->section;
        buffer_truncate(&line, 0);
        append_argument(row, &line);
        (void)fprintf(out, "  --%s %s\n", row->key, buffer_text(&line));
        typeset_wrapped(row->help, 8, out);
        buffer_truncate(&line, 0);
        append_defaults(row, &line);
        buffer_append_format(&line, " [%s]", name);
        typeset_wrapped(buffer_text(&line), 8, out);
    }
    buffer_clear(&line);
}

void settings_man(FILE *out)
{
    struct buffer line = {0};
    const char *section = "";
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct settings_row *row = &settings_table[i];
        char name[64];
        settings_environment_name(row->key, name, sizeof name);
        if (row->section != section) {
            if (i > 0)
                (void)fputs(".El\n", out);
            (void)fprintf(out, ".Ss %s\n.Bl -tag -width Ds\n", row->section);
        }
        section = row->section;
        buffer_truncate(&line, 0);
        append_argument(row, &line);
        (void)fprintf(out, ".It Cm %s Ar %s\n", row->key, buffer_text(&line));
        typeset_roff(row->help, out);
        buffer_truncate(&line, 0);
        append_defaults(row, &line);
        buffer_append_text(&line, ".");
        typeset_roff(buffer_text(&line), out);
        (void)fprintf(out, "Environment:\n.Ev %s .\n", name);
    }
    (void)fputs(".El\n", out);
    buffer_clear(&line);
}
