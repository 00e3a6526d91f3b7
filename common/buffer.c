#include "common/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"

void buffer_clear(struct buffer *buf)
{
    if (buf == NULL)
        return;
    free(buf->data);
    *buf = (struct buffer){0};
}

char *buffer_reserve(struct buffer *buf, size_t more)
{
    if (buf->capacity - buf->length < more || buf->data == NULL) { /* a place also for nothing */
        size_t wanted = buf->length + more;
        size_t capacity = buf->capacity < 256 ? 256 : buf->capacity;
        while (capacity < wanted)
            capacity = capacity > SIZE_MAX / 2 ? wanted : capacity * 2;
        buf->data = xrealloc(buf->data, capacity);
        buf->capacity = capacity;
    }
    return buf->data + buf->length;
}

void buffer_append_format(struct buffer *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char small[512];
    int length = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (length < 0)
        return;
    if ((size_t)length < sizeof small) {
        buffer_append(buf, small, (size_t)length);
        return;
    }
    char *place = buffer_reserve(buf, (size_t)length + 1);
    va_start(args, format);
    (void)vsnprintf(place, (size_t)length + 1, format, args);
    va_end(args);
    buf->length += (size_t)length;
}

void buffer_append_u64(struct buffer *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buffer_append(buf, digits + at, sizeof digits - at);
}

void buffer_append_i64(struct buffer *buf, int64_t value)
{
    if (value < 0) {
        buffer_append_char(buf, '-');
        buffer_append_u64(buf, -(uint64_t)value);
    } else {
        buffer_append_u64(buf, (uint64_t)value);
    }
}

const char *buffer_text(struct buffer *buf)
{
    *buffer_reserve(buf, 1) = '\0';
    return buf->data;
}
