/* log.h: one event per line.
 *
 *     2026-11-22T10:52:03.114Z warn worker event=decoder_killed after_ms=30000
 *
 * Fixed event names; values are quoted when they hold blanks, control characters are escaped. No attribute
 * values and no paths at info or above: patient names are in both. Lines go to stderr, or to the descriptor
 * given. Any thread. */
#ifndef NIFFLER_COMMON_LOG_H
#define NIFFLER_COMMON_LOG_H

#include <stdint.h>

#include "common/error.h"

enum log_level {
    LOG_LEVEL_ERROR, /* a person must act              */
    LOG_LEVEL_WARN,  /* we coped                       */
    LOG_LEVEL_INFO,  /* start, stop, totals            */
    LOG_LEVEL_DEBUG, /* per file                       */
};

/* Where lines go and from which level on; both may be called again. `descriptor` is borrowed. A second
 * descriptor of -1 means none. */
void log_open(int descriptor, int second_descriptor, enum log_level level);

/* One line. `module` is the folder ("worker"); `fields` is a printf format of key=value pairs, whose text
 * values come from log_text(). */
void log_event(enum log_level level, const char *module, const char *event, const char *fields, ...)
    PRINTF_LIKE(4, 5);

/* Quote and escape `text` for a field, into one of four rotating buffers of the calling thread; cut at 400
 * bytes. */
const char *log_text(const char *text);

#endif
