/* queue_kafka_window.h: what of a partition was taken and what of it is done; and what a commit says of
 * suspects.
 *
 * Pure bookkeeping, without Kafka. Offsets only grow; between two may lie some that do not exist. */
#ifndef NIFFLER_COMMON_QUEUE_KAFKA_WINDOW_H
#define NIFFLER_COMMON_QUEUE_KAFKA_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct window_entry {
    int64_t offset;
    bool is_done;
};

/* A ring of what was taken, from the first that is not done on. */
struct window {
    struct window_entry *entries;
    size_t capacity; /* 0, or a power of two */
    uint64_t first;  /* the number of the first entry, counted since the beginning */
    uint64_t end;    /* of the one behind the last */
    int64_t next;    /* the offset behind the last one taken */
    bool is_begun;   /* something was taken: `next` means something */
};

void window_clear(struct window *window);

/* Take `offset`; *number is how window_done() knows it. Returns false when it was taken before. */
bool window_take(struct window *window, int64_t offset, uint64_t *number);
void window_done(struct window *window, uint64_t number);

/* The first offset that is not done: what is to be committed. Of a window that is begun. */
int64_t window_position(const struct window *window);

/* What the metadata of a commit remembers of deaths: queue_kafka.h. */
struct suspects {
    unsigned deaths; /* of receivers, while something below `until` was in flight */
    int64_t until;
    int64_t offset; /* was in flight alone when some of them died; -1: none */
    unsigned alone; /* how many */
};

#define SUSPECTS_TEXT 128

/* Whether `offset` is to be given out alone. */
bool suspects_include(const struct suspects *suspects, int64_t offset);

/* How many receivers died while nothing but `offset` was in flight. */
unsigned suspects_deaths(const struct suspects *suspects, int64_t offset);

/* Read what the owner before left at the position `committed`, and count its death if it did not part in
 * peace. Text that nobody of ours wrote remembers nothing. Returns whether it died. */
bool suspects_inherit(struct suspects *suspects, const char *text, int64_t committed);

/* `position` is reached: forget what lies behind. */
void suspects_advance(struct suspects *suspects, int64_t position);

/* The text of a commit: in peace, or open with `until` (at least suspects->until is written) and, where
 * is_alone, suspects->offset in flight alone. */
void suspects_format_peace(const struct suspects *suspects, char text[SUSPECTS_TEXT]);
void suspects_format_open(const struct suspects *suspects, int64_t until, bool is_alone,
                          char text[SUSPECTS_TEXT]);

#endif
