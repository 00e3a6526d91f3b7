/* manual.h: what the program says of itself: --help and the man page, from its tables. */
#ifndef NIFFLER_MANUAL_H
#define NIFFLER_MANUAL_H

#include <stdio.h>

#include "common/command.h"

/* Print what --help shows; `commands` ends with a row without a name. */
void manual_help(const struct command *commands, FILE *out);

/* Print what --help shows behind the name of a command: its part first, then the settings. */
void manual_help_command(const struct command *command, FILE *out);

/* Print the man page, in mdoc(7). */
void manual_page(const struct command *commands, FILE *out);

#endif
