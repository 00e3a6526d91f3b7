/* command.h: what a command of niffler-png is, and how it is called.
 *
 *     niffler-png COMMAND [ARGUMENT] [--switch] [--name VALUE] [--Key VALUE]...
 *
 * What begins with a capital is a setting (settings.h), the same for all commands; the rest are arguments of
 * the one command, which its table names. */
#ifndef NIFFLER_COMMON_COMMAND_H
#define NIFFLER_COMMON_COMMAND_H

#include "common/error.h"
#include "common/settings.h"

enum exit_status {
    EXIT_STATUS_DONE = 0,         /* everything was converted                        */
    EXIT_STATUS_SOME_FAILED = 1,  /* finished, some files failed                     */
    EXIT_STATUS_USAGE = 2,        /* wrong usage or settings, or nothing to convert  */
    EXIT_STATUS_WORLD_FAILED = 3, /* disk full, a decoder that cannot be started …   */
    EXIT_STATUS_BUG = 70,
};

#define COMMAND_ARGUMENTS_MAX 8

struct command_argument {
    const char *name;  /* "--watch"; without dashes it is the argument behind the command: "JOB" */
    const char *value; /* what --help calls its value; NULL: a switch, or the argument itself      */
    bool is_required;
    const char *help;
};

struct command_line {
    const struct command *command;
    const char
        *values[COMMAND_ARGUMENTS_MAX]; /* by the order of the table; NULL: not given; "" for a switch */
};

struct command {
    const char *name; /* a verb */
    bool (*run)(const struct settings *settings, const struct command_line *line, int *exit_status,
                struct error *err);
    const char *sentence;
    const struct command_argument *arguments; /* ends with a row without a name; NULL: none */
};

/* The value of an argument ("" of a switch that was given), or NULL where it was not given. `name` is one of
 * the table's. */
const char *command_value(const struct command_line *line, const char *name);

/* The exit status for an error that ends a command: ERROR_BUG is 70, else 3. */
int command_exit_status(const struct error *err);

#endif
