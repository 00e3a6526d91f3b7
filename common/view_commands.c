#include "common/view_commands.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define KEY_WORDS 32 /* bits of view_command.key_words */

struct view_commands *view_commands_new(void)
{
    struct view_commands *commands = xcalloc(1, sizeof *commands);
    commands->users = 1;
    return commands;
}

void view_commands_add(struct view_commands *commands, size_t count, const char *const *words,
                       uint32_t key_words)
{
    assert(count > 0);
    commands->commands = xrealloc_array(commands->commands, commands->count + 1, sizeof *commands->commands);
    commands->commands[commands->count++] = (struct view_command){commands->words.length, count, key_words};
    for (size_t i = 0; i < count; i++)
        buffer_append(&commands->words, words[i], strlen(words[i]) + 1);
}

void view_commands_release(struct view_commands *commands)
{
    if (commands == NULL || --commands->users > 0)
        return;
    buffer_clear(&commands->words);
    free(commands->commands);
    free(commands);
}

static bool is_key(const struct view_command *command, size_t word)
{
    return word < KEY_WORDS && (command->key_words >> word & 1u) != 0;
}

static void send_one(const struct view_command *command, const char *at, const char *prefix,
                     struct redis *redis)
{
    struct buffer keys = {0};
    size_t prefix_length = strlen(prefix);
    const char **words = xcalloc(command->count, sizeof *words);
    size_t *lengths = xcalloc(command->count, sizeof *lengths);
    for (size_t i = 0; i < command->count; i++) {
        words[i] = at;
        lengths[i] = strlen(at);
        at += lengths[i] + 1;
        if (!is_key(command, i))
            continue;
        buffer_append(&keys, prefix, prefix_length);
        buffer_append(&keys, words[i], lengths[i]);
        lengths[i] += prefix_length;
    }
    /* Only now: the buffer moved while it grew. */
    size_t offset = 0;
    for (size_t i = 0; i < command->count; i++) {
        if (!is_key(command, i))
            continue;
        words[i] = keys.data + offset;
        offset += lengths[i];
    }
    redis_send(redis, command->count, words, lengths);
    free(lengths);
    free(words);
    buffer_clear(&keys);
}

void view_commands_send(const struct view_commands *commands, const char *prefix, struct redis *redis)
{
    for (size_t c = 0; c < commands->count; c++) {
        const struct view_command *command = &commands->commands[c];
        send_one(command, commands->words.data + command->first_byte, prefix, redis);
    }
}
