/* view.h: absolute values for people, kept in Redis by a thread of its own.
 *
 * Whoever has something to show puts its newest values here, and never waits: the thread writes what changed,
 * at most 5 times a second a name, and everything again every 2 seconds and after each new connection, so
 * that a Redis that was empty, full, read-only, slow or gone shows what is right within 5 seconds of its
 * return. Nothing depends on it; failures are one line of the log a minute. All functions accept NULL.
 * Any thread. */
#ifndef NIFFLER_COMMON_VIEW_H
#define NIFFLER_COMMON_VIEW_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/settings.h"

struct view;

/* With RedisUrl not set, *view is NULL and that is no failure. Fails with ERROR_FATAL: a URL that is none,
 * TLS that this build has not (says so), a password file that cannot be read. Redis itself need not be there.
 */
MUST_CHECK bool view_open(struct view **view, const struct settings *settings, struct error *err);

/* One thing that is shown: the Redis commands that write it, in full, each time. */
struct view_commands;
struct view_commands *view_commands_new(void);

/* Add a command of `count` words; copies. Words that name keys are given without the prefix and marked by
 * key_words (bit i: word i is a key, and gets RedisPrefix). */
void view_commands_add(struct view_commands *commands, size_t count, const char *const *words,
                       uint32_t key_words);

/* Show `commands` (taken) under `name`, in place of what was shown under it before. `is_lasting`: written
 * again and again until replaced or dropped; else until it has been written once. */
void view_put(struct view *view, const char *name, struct view_commands *commands, bool is_lasting);
void view_drop(struct view *view, const char *name); /* what is in Redis ends by its own time to live */

/* Whether the last write was answered. */
bool view_is_up(struct view *view);

/* Waits at most wait_ms for what was put and not yet written. */
void view_close(struct view *view, int wait_ms);

#endif
