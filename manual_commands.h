/* manual_commands.h: what --help and the man page say of each command beside its arguments; for manual*.c. */
#ifndef NIFFLER_MANUAL_COMMANDS_H
#define NIFFLER_MANUAL_COMMANDS_H

#include <stddef.h>
#include <stdio.h>

#include "common/command.h"

struct manual_status {
    int status;
    const char *text; /* NULL: the end of a list */
};

struct manual_example {
    const char *command; /* whose it is; NULL: the end of the list */
    const char *sentence;
    const char *typed;
};

#define MANUAL_STATUSES_MAX 6

struct manual_command {
    const char *name;
    const char *text;     /* sentences */
    const char *settings; /* which it cannot do without */
    struct manual_status statuses[MANUAL_STATUSES_MAX];
};

/* Of all commands; each ends with a row of NULL. */
extern const struct manual_status manual_statuses[];
extern const struct manual_example manual_examples[];

/* What is said of a command; NULL: nothing, which is a mistake of ours. */
const struct manual_command *manual_find(const char *name);

/* Print how the command is called: " [--watch] [JOB]". */
void manual_usage(const struct command *command, FILE *out);

/* Parts of the man page. */
void manual_page_commands(const struct command *commands, FILE *out);
void manual_page_fleet(FILE *out);
void manual_page_statuses(const struct manual_status *status, FILE *out);

#endif
