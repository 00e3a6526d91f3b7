/* main.c: the command table, and what is the same for all commands: help, settings, exit status.
 *
 * Niffler's ImageExtractor.py has no commands: it takes flags, or the config.json of the current folder, and
 * extracts. So do we where no command is named. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/aggregate_fleet.h"
#include "aggregator/status.h"
#include "common/alloc.h"
#include "common/buffer.h"
#include "common/settings.h"
#include "common/settings_table.h"
#include "common/shown.h"
#include "doctor.h"
#include "extract.h"
#include "manual.h"
#include "merge.h"
#include "probe.h"
#include "producer/control.h"
#include "producer/produce_fleet.h"
#include "producer/topics.h"
#include "worker/work_fleet.h"

static const struct command commands[] = {
    {"extract", extract_run, "Convert all files of DICOMHome on this machine; goes on where it was ended.",
     extract_arguments},
    {"merge", merge_run, "Write the tables of the slices that several machines have extracted.",
     merge_arguments},
    {"produce", produce_run,
     "Publish a data set's files to Kafka, for workers to convert; prints the job's id.", produce_arguments},
    {"topics", topics_run, "Make the topics in Kafka that are missing, before the first job.",
     topics_arguments},
    {"work", work_fleet_run, "Convert the files of any number of jobs, as Kafka gives them.", NULL},
    {"aggregate", aggregate_run, "Gather what workers did into the tables of each job.", aggregate_arguments},
    {"status", status_run, "Show the progress of jobs, as Redis has it.", status_arguments},
    {"cancel", cancel_run, "Do no more of a job; its tables hold what was done.", cancel_arguments},
    {"requeue", requeue_run, "Do the failed files of a job that is complete again.", requeue_arguments},
    {"doctor", doctor_run,
     "Say of each folder and server in the settings whether it can be used; changes nothing.",
     doctor_arguments},
    {"health", health_run, "Ask a worker or aggregator of this machine whether it is ready: for probes.",
     health_arguments},
    {NULL, NULL, NULL, NULL},
};

#define SHOWN_BYTES 40 /* of a stranger's word */

enum wish { WISH_RUN, WISH_HELP, WISH_VERSION, WISH_MAN, WISH_SHOW_SETTINGS };

struct arguments {
    enum wish wish;
    bool has_name;            /* a command was named */
    struct command_line line; /* line.command is NULL where none was named */
    const char *config_path;  /* borrowed; NULL: not given */
    char **flags;             /* those of settings; owned, the texts borrowed */
    int flag_count;
};

static const struct command *find_command(const char *name)
{
    for (const struct command *command = commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

static bool find_wish(const char *argument, enum wish *wish)
{
    static const struct {
        const char *flag;
        enum wish wish;
    } wishes[] = {
        {"--help", WISH_HELP},       {"-h", WISH_HELP},
        {"--man", WISH_MAN},         {"--show-settings", WISH_SHOW_SETTINGS},
        {"--version", WISH_VERSION},
    };
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++) {
        if (strcmp(wishes[i].flag, argument) == 0) {
            *wish = wishes[i].wish;
            return true;
        }
    }
    return false;
}

/* The command: the first argument, or `extract` where Niffler would have started. NULL: there is none. */
static bool take_command(struct arguments *arguments, int argc, char **argv, struct error *err)
{
    arguments->has_name = argc > 1 && argv[1][0] != '-';
    if (arguments->has_name) {
        arguments->line.command = find_command(argv[1]);
        if (arguments->line.command == NULL)
            return error_set(err, ERROR_FATAL, "unknown command '%.40s': see niffler-png --help", argv[1]);
    } else if (argc > 1 || access("config.json", F_OK) == 0) {
        arguments->line.command = find_command("extract");
    }
    return true;
}

/* An argument of the command itself: *found, and *taken, the words it took. */
static bool take_own(struct command_line *line, int left, char **argv, int *taken, struct error *err)
{
    const struct command_argument *known = line->command != NULL ? line->command->arguments : NULL;
    const char *word = argv[0];
    size_t length = strcspn(word, "=");
    bool is_flag = word[0] == '-' && word[1] == '-';
    *taken = 0;
    for (size_t i = 0; known != NULL && known[i].name != NULL; i++) {
        const struct command_argument *argument = &known[i];
        if (!is_flag && argument->name[0] != '-' && line->values[i] == NULL) {
            line->values[i] = word;
            *taken = 1;
            return true;
        }
        if (!is_flag || strlen(argument->name) != length || strncmp(argument->name, word, length) != 0)
            continue;
        bool has_value = word[length] == '=';
        if (argument->value == NULL && has_value)
            return error_set(err, ERROR_FATAL, "flag '%s' takes no value", argument->name);
        if (argument->value != NULL && !has_value && (left < 2 || strncmp(argv[1], "--", 2) == 0))
            return error_set(err, ERROR_FATAL, "flag '%s' needs a value", argument->name);
        line->values[i] = argument->value == NULL ? "" : has_value ? word + length + 1 : argv[1];
        *taken = argument->value == NULL || has_value ? 1 : 2;
        return true;
    }
    return true;
}

static bool has_argument(const struct command *command, const char *word, size_t length)
{
    const struct command_argument *argument = command->arguments;
    while (argument != NULL && argument->name != NULL &&
           (strlen(argument->name) != length || strncmp(argument->name, word, length) != 0))
        argument++;
    return argument != NULL && argument->name != NULL;
}

static bool begins_setting(const char *name, size_t length)
{
    size_t i = 0;
    while (i < settings_table_count && strncmp(settings_table[i].key, name, length) != 0)
        i++;
    return i < settings_table_count;
}

/* A flag that is neither the command's own nor a setting: whose it is, or what it may have been meant for.
 * Before anything is said of its value. */
static bool check_known(const struct arguments *arguments, const char *word, struct error *err)
{
    const struct command *command = arguments->line.command;
    size_t length = strcspn(word, "=");
    if (length <= 2 || begins_setting(word + 2, length - 2))
        return true;
    for (const struct command *other = commands; other->name != NULL; other++)
        if (has_argument(other, word, length))
            return error_set(err, ERROR_FATAL,
                             "flag '%.*s' is one of %s, not of %s: see niffler-png %s --help", (int)length,
                             word, other->name, command->name, command->name);
    char *name = xmemdup_text(word + 2, length - 2 < SHOWN_BYTES ? length - 2 : SHOWN_BYTES);
    struct buffer own = {0};
    const struct command_argument *argument = command->arguments;
    for (; argument != NULL && argument->name != NULL; argument++)
        if (argument->name[0] == '-')
            buffer_append_format(&own, "%s %s", own.length > 0 ? "," : "", argument->name);
    if (own.length == 0)
        (void)error_set(err, ERROR_FATAL, "unknown flag '--%s': the nearest known one is '--%s'", name,
                        settings_nearest(name));
    else
        (void)error_set(err, ERROR_FATAL, "unknown flag '--%s': the nearest setting is '--%s', and %s has%s",
                        name, settings_nearest(name), command->name, buffer_text(&own));
    buffer_clear(&own);
    free(name);
    return false;
}

static bool check_required(const struct command_line *line, struct error *err)
{
    const struct command_argument *known = line->command != NULL ? line->command->arguments : NULL;
    for (size_t i = 0; known != NULL && known[i].name != NULL; i++)
        if (known[i].is_required && line->values[i] == NULL)
            return error_set(err, ERROR_FATAL, "%s needs %s: see niffler-png --help", line->command->name,
                             known[i].name);
    return true;
}

/* Sort the arguments into wishes, --config, the command's own and the flags of settings. A flag is kept
 * together with its value, so that a value is never taken for one of ours. */
static bool take_arguments(struct arguments *arguments, int argc, char **argv, struct error *err)
{
    static const char config[] = "--config";
    if (!take_command(arguments, argc, argv, err))
        return false;
    arguments->flags = xcalloc((size_t)argc + 1, sizeof *arguments->flags);
    for (int i = arguments->has_name ? 2 : 1; i < argc; i++) {
        char *argument = argv[i];
        size_t length = strcspn(argument, "=");
        bool has_value = argument[length] == '=';
        bool is_config = length == strlen(config) && strncmp(argument, config, length) == 0;
        bool next_is_value = i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0;
        if (find_wish(argument, &arguments->wish))
            continue;
        int taken;
        if (!take_own(&arguments->line, argc - i, argv + i, &taken, err))
            return false;
        if (taken > 0) {
            i += taken - 1;
            continue;
        }
        bool is_flag = strncmp(argument, "--", 2) == 0;
        if (is_flag && !is_config && !check_known(arguments, argument, err))
            return false;
        if (is_flag && !has_value && !next_is_value)
            return error_set(err, ERROR_FATAL, "flag '%.40s' needs a value", argument);
        if (is_config) {
            arguments->config_path = has_value ? argument + length + 1 : argv[++i];
            continue;
        }
        arguments->flags[arguments->flag_count++] = argument;
        if (is_flag && !has_value)
            arguments->flags[arguments->flag_count++] = argv[++i];
    }
    return true;
}

/* Load the settings, and show them or run the command with them. */
static bool run(const struct arguments *arguments, int *exit_status, struct error *err)
{
    struct settings settings = {0};
    bool ok = false;
    *exit_status = EXIT_STATUS_USAGE;
    if (!settings_load(&settings, arguments->config_path, arguments->flag_count, arguments->flags, err))
        goto out;
    if (arguments->wish == WISH_SHOW_SETTINGS) {
        settings_show(&settings, stdout);
        *exit_status = EXIT_STATUS_DONE;
        ok = true;
        goto out;
    }
    if (!check_required(&arguments->line, err))
        goto out;
    ok = arguments->line.command->run(&settings, &arguments->line, exit_status, err);
out:
    settings_clear(&settings);
    return ok;
}

static bool obey(const struct arguments *arguments, int *exit_status, struct error *err)
{
    *exit_status = EXIT_STATUS_DONE;
    switch (arguments->wish) {
    case WISH_HELP:
        if (arguments->has_name)
            manual_help_command(arguments->line.command, stdout);
        else
            manual_help(commands, stdout);
        return true;
    case WISH_MAN:
        manual_page(commands, stdout);
        return true;
    case WISH_VERSION:
        (void)puts("niffler-png " NIFFLER_VERSION);
        return true;
    case WISH_RUN:
    case WISH_SHOW_SETTINGS:
        break;
    }
    if (arguments->line.command == NULL) {
        manual_help(commands, stderr);
        *exit_status = EXIT_STATUS_USAGE;
        return true;
    }
    return run(arguments, exit_status, err);
}

/* The standard error may be a log, and an error's text may name what a stranger called his file. */
static void print_error(const struct error *err)
{
    (void)fputs("niffler-png: ", stderr);
    shown_print(stderr, err->text);
    (void)fputc('\n', stderr);
}

static void end_at_once(int number)
{
    _exit(128 + number);
}

/* The kernel spares the first process of a container the signals that it does not handle: Ctrl-C and
 * `docker stop` would do nothing to a command that leaves them as they are. Those that drain block them, and
 * take them in their own time. */
static void take_signals_as_first_process(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = end_at_once};
    for (size_t i = 0; getpid() == 1 && i < sizeof numbers / sizeof numbers[0]; i++)
        (void)sigaction(numbers[i], &action, NULL);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct error err = {0};
    int exit_status = EXIT_STATUS_USAGE;
    take_signals_as_first_process();
    if (!take_arguments(&arguments, argc, argv, &err) || !obey(&arguments, &exit_status, &err))
        print_error(&err);
    free(arguments.flags);
    /* Results that did not arrive are no results. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && exit_status == EXIT_STATUS_DONE) {
        (void)fputs("niffler-png: cannot write to the standard output\n", stderr);
        exit_status = EXIT_STATUS_WORLD_FAILED;
    }
    return exit_status;
}
