/* view_commands.h: what view.c does with the commands that were put (view.h). */
#ifndef NIFFLER_COMMON_VIEW_COMMANDS_H
#define NIFFLER_COMMON_VIEW_COMMANDS_H

#include <stdint.h>

#include "common/buffer.h"
#include "common/redis.h"
#include "common/view.h"

struct view_command {
    size_t first_byte; /* of `words` */
    size_t count;
    uint32_t key_words;
};

struct view_commands {
    struct buffer words; /* each with its NUL */
    struct view_command *commands;
    size_t count;
    unsigned users; /* the table of a view and its thread; under the view's lock once put */
};

/* One user less; the last one frees. Accepts NULL. */
void view_commands_release(struct view_commands *commands);

/* Put them into the pipeline, keys with the prefix. */
void view_commands_send(const struct view_commands *commands, const char *prefix, struct redis *redis);

#endif
