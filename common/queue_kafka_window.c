#include "common/queue_kafka_window.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

#define FIRST_CAPACITY 64u
#define DEATHS_MAX 1000000u
#define DEATHS_ALONE 2u /* from the second death on: the first may have had any cause */

/* ---- the window ------------------------------------------------------------------------------------ */

static struct window_entry *entry(const struct window *window, uint64_t number)
{
    return &window->entries[number & (window->capacity - 1)];
}

void window_clear(struct window *window)
{
    free(window->entries);
    *window = (struct window){0};
}

static void grow(struct window *window)
{
    struct window wider = *window;
    wider.capacity = window->capacity == 0 ? FIRST_CAPACITY : window->capacity * 2;
    wider.entries = xcalloc(wider.capacity, sizeof *wider.entries);
    for (uint64_t i = window->first; i < window->end; i++)
        *entry(&wider, i) = *entry(window, i);
    free(window->entries);
    *window = wider;
}

bool window_take(struct window *window, int64_t offset, uint64_t *number)
{
    if (window->is_begun && offset < window->next)
        return false;
    if (window->end - window->first == window->capacity)
        grow(window);
    *number = window->end++;
    *entry(window, *number) = (struct window_entry){.offset = offset};
    window->next = offset + 1;
    window->is_begun = true;
    return true;
}

void window_done(struct window *window, uint64_t number)
{
    assert(number >= window->first && number < window->end);
    entry(window, number)->is_done = true;
    while (window->first < window->end && entry(window, window->first)->is_done)
        window->first++;
}

int64_t window_position(const struct window *window)
{
    assert(window->is_begun);
    return window->first < window->end ? entry(window, window->first)->offset : window->next;
}

/* ---- suspects -------------------------------------------------------------------------------------- */

static const struct suspects nobody = {.offset = -1};

bool suspects_include(const struct suspects *suspects, int64_t offset)
{
    return suspects->deaths >= DEATHS_ALONE && offset < suspects->until;
}

unsigned suspects_deaths(const struct suspects *suspects, int64_t offset)
{
    return suspects->offset == offset ? suspects->alone : 0;
}

void suspects_advance(struct suspects *suspects, int64_t position)
{
    if (suspects->deaths == 0 || position >= suspects->until)
        *suspects = nobody;
    if (suspects->offset < position) {
        suspects->offset = -1;
        suspects->alone = 0;
    }
}

/* " NUMBER" at *text, which moves behind it. */
static bool read_number(const char **text, int64_t limit, int64_t *number)
{
    const char *place = *text;
    if (*place++ != ' ' || *place < '0' || *place > '9')
        return false;
    *number = 0;
    for (; *place >= '0' && *place <= '9'; place++) {
        int digit = *place - '0';
        if (*number > (limit - digit) / 10)
            return false;
        *number = *number * 10 + digit;
    }
    *text = place;
    return true;
}

struct note {
    bool is_open;
    bool is_alone; /* suspects.offset was in flight */
    struct suspects suspects;
};

static bool read_note(struct note *note, const char *text)
{
    int64_t deaths, alone;
    *note = (struct note){.suspects = nobody};
    if (*text != 'c' && *text != 'o')
        return false;
    note->is_open = *text++ == 'o';
    if (*text == '\0')
        return !note->is_open;
    if (!read_number(&text, DEATHS_MAX, &deaths) || !read_number(&text, INT64_MAX - 1, &note->suspects.until))
        return false;
    note->suspects.deaths = (unsigned)deaths;
    if (*text == '\0')
        return true;
    if (!read_number(&text, INT64_MAX - 1, &note->suspects.offset) || !read_number(&text, DEATHS_MAX, &alone))
        return false;
    note->suspects.alone = (unsigned)alone;
    note->is_alone = note->is_open && *text == '\0';
    return *text == '\0' || (note->is_open && strcmp(text, " w") == 0);
}

bool suspects_inherit(struct suspects *suspects, const char *text, int64_t committed)
{
    struct note note;
    *suspects = nobody;
    if (text == NULL || !read_note(&note, text))
        return false;
    *suspects = note.suspects;
    if (note.is_open && suspects->deaths < DEATHS_MAX)
        suspects->deaths++;
    if (note.is_alone && suspects->alone < DEATHS_MAX)
        suspects->alone++;
    suspects_advance(suspects, committed);
    return note.is_open;
}

void suspects_format_peace(const struct suspects *suspects, char text[SUSPECTS_TEXT])
{
    if (suspects->deaths == 0)
        (void)snprintf(text, SUSPECTS_TEXT, "c");
    else if (suspects->offset < 0)
        (void)snprintf(text, SUSPECTS_TEXT, "c %u %" PRId64, suspects->deaths, suspects->until);
    else
        (void)snprintf(text, SUSPECTS_TEXT, "c %u %" PRId64 " %" PRId64 " %u", suspects->deaths,
                       suspects->until, suspects->offset, suspects->alone);
}

void suspects_format_open(const struct suspects *suspects, int64_t until, bool is_alone,
                          char text[SUSPECTS_TEXT])
{
    if (until < suspects->until)
        until = suspects->until;
    if (suspects->offset < 0)
        (void)snprintf(text, SUSPECTS_TEXT, "o %u %" PRId64, suspects->deaths, until);
    else
        (void)snprintf(text, SUSPECTS_TEXT, "o %u %" PRId64 " %" PRId64 " %u%s", suspects->deaths, until,
                       suspects->offset, suspects->alone, is_alone ? "" : " w");
}
