/* --help: of all commands, or of one. */
#include <string.h>

#include "common/buffer.h"
#include "common/typeset.h"
#include "manual.h"
#include "manual_commands.h"

#define COMMAND_WIDTH 11
#define ARGUMENT_WIDTH 18
#define STATUS_WIDTH 4

static void print_arguments(const struct command *command, size_t indent, FILE *out)
{
    const struct command_argument *argument = command->arguments;
    struct buffer label = {0};
    for (; argument != NULL && argument->name != NULL; argument++) {
        buffer_truncate(&label, 0);
        buffer_append_text(&label, argument->name);
        if (argument->value != NULL)
            buffer_append_format(&label, " %s", argument->value);
        typeset_item(buffer_text(&label), indent, ARGUMENT_WIDTH, argument->help, out);
    }
    buffer_clear(&label);
}

static void print_statuses(const struct manual_status *status, FILE *out)
{
    (void)fputs("\nExit status\n", out);
    for (; status->text != NULL; status++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%d", status->status);
        typeset_item(number, 2, STATUS_WIDTH, status->text, out);
    }
}

/* `command`: NULL: of all. */
static void print_examples(const char *command, FILE *out)
{
    (void)fputs("\nExamples\n", out);
    for (const struct manual_example *example = manual_examples; example->command != NULL; example++)
        if (command == NULL || strcmp(command, example->command) == 0)
            (void)fprintf(out, "  %s:\n    %s\n", example->sentence, example->typed);
}

static void print_settings(FILE *out)
{
    (void)fputs("\nFlags that are not settings\n"
                "  --config FILE     read the settings from FILE, not from ./config.json\n"
                "  --show-settings   print every setting and where it comes from, and do nothing\n"
                "  --help            print this; behind a command, that command's part first\n"
                "  --version         print the version\n"
                "  --man             print the manual page: niffler-png --man | man -l -\n\n"
                "Settings, each a flag, a key of config.json (without the --), and a variable of the\n"
                "environment (in brackets). A flag goes before the environment, that before\n"
                "config.json. --Key=VALUE is the same as --Key VALUE, and the beginning of a key will\n"
                "do where no other begins so. A command passes over settings that it does not use.\n",
                out);
    settings_help(out);
}

void manual_help_command(const struct command *command, FILE *out)
{
    const struct manual_command *more = manual_find(command->name);
    (void)fprintf(out, "Usage: niffler-png %s", command->name);
    manual_usage(command, out);
    (void)fputs(" [--config FILE] [--Key VALUE]...\n\n", out);
    typeset_wrapped(command->sentence, 0, out);
    if (more != NULL)
        typeset_wrapped(more->text, 0, out);
    if (command->arguments != NULL)
        (void)fputs("\nArguments\n", out);
    print_arguments(command, 2, out);
    if (more != NULL) {
        (void)fputs("\nSettings it needs\n", out);
        typeset_wrapped(more->settings, 2, out);
        print_statuses(more->statuses, out);
    }
    print_examples(command->name, out);
    print_settings(out);
}

void manual_help(const struct command *commands, FILE *out)
{
    (void)fputs("niffler-png: DICOM files to PNG pictures and tables of metadata\n\n"
                "Usage: niffler-png [COMMAND] [ARGUMENT]... [--config FILE] [--Key VALUE]...\n"
                "       niffler-png [COMMAND] --help | --version | --show-settings | --man\n\n"
                "Commands, and what each takes beside the settings (niffler-png COMMAND --help says more)\n",
                out);
    for (size_t i = 0; commands[i].name != NULL; i++) {
        typeset_item(commands[i].name, 2, COMMAND_WIDTH, commands[i].sentence, out);
        print_arguments(&commands[i], 2 + COMMAND_WIDTH, out);
    }
    (void)fputs("  Without a command, and with a config.json in the current folder or flags: extract.\n",
                out);
    print_settings(out);
    print_statuses(manual_statuses, out);
    print_examples(NULL, out);
}
