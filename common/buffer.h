/* buffer.h: bytes that grow.
 *
 * A zeroed struct is an empty buffer. The bytes are borrowed until the next call that changes the
 * buffer. Growth that fails ends the process, so whatever a stranger's file or message may fill is
 * measured against a limit by the caller first. */
#ifndef NIFFLER_COMMON_BUFFER_H
#define NIFFLER_COMMON_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/error.h"

struct buffer {
    char *data;
    size_t length;   /* bytes in use     */
    size_t capacity; /* bytes allocated  */
};

void buffer_clear(struct buffer *buf); /* frees; the struct is empty afterwards */

/* Make room for `more` bytes behind the end and return the place, never NULL; the caller raises `length`. */
char *buffer_reserve(struct buffer *buf, size_t more);

/* Cut to `length` bytes, keeping the memory for the next use. */
static inline void buffer_truncate(struct buffer *buf, size_t length)
{
    buf->length = length;
}

static inline void buffer_append(struct buffer *buf, const void *bytes, size_t length)
{
    if (buf->capacity - buf->length < length)
        (void)buffer_reserve(buf, length);
    if (length > 0)
        memcpy(buf->data + buf->length, bytes, length);
    buf->length += length;
}

static inline void buffer_append_char(struct buffer *buf, char c)
{
    if (buf->length == buf->capacity)
        (void)buffer_reserve(buf, 1);
    buf->data[buf->length++] = c;
}

static inline void buffer_append_text(struct buffer *buf, const char *text)
{
    buffer_append(buf, text, strlen(text));
}

void buffer_append_format(struct buffer *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/* Decimal digits of a number; faster than buffer_append_format(). */
void buffer_append_u64(struct buffer *buf, uint64_t value);
void buffer_append_i64(struct buffer *buf, int64_t value);

/* The content as a C string: a NUL stands behind it (not counted in `length`). Borrowed. */
const char *buffer_text(struct buffer *buf);

#endif
