#include "common/command.h"

#include <assert.h>
#include <string.h>

const char *command_value(const struct command_line *line, const char *name)
{
    const struct command_argument *arguments = line->command->arguments;
    size_t i = 0;
    while (arguments[i].name != NULL && strcmp(arguments[i].name, name) != 0)
        i++;
    assert(arguments[i].name != NULL);
    return line->values[i];
}

int command_exit_status(const struct error *err)
{
    return err->kind == ERROR_BUG ? EXIT_STATUS_BUG : EXIT_STATUS_WORLD_FAILED;
}
