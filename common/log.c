/* Lines are put together in a buffer on the stack and leave in one write(): lines of several threads and
 * processes then do not mix, without a lock that a dying thread could hold. */
#include "common/log.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/utf8.h"

#define LINE_BYTES 2048
#define TEXT_BYTES 400
#define TEXT_BUFFERS 4

/* Where the process logs to is a property of the process: the one place where the program keeps such a state.
 */
static struct {
    atomic_int descriptor;
    atomic_int second_descriptor;
    atomic_int level;
    atomic_bool is_terminal; /* a meter may have drawn on the line */
} target = {.descriptor = STDERR_FILENO, .second_descriptor = -1, .level = LOG_LEVEL_INFO};

/* On a terminal, over a meter's bar: to the start of the line, and clear it. */
static const char clear_line[] = "\r\033[K";

void log_open(int descriptor, int second_descriptor, enum log_level level)
{
    atomic_store(&target.descriptor, descriptor);
    atomic_store(&target.second_descriptor, second_descriptor);
    atomic_store(&target.level, (int)level);
    atomic_store(&target.is_terminal, descriptor >= 0 && isatty(descriptor) == 1);
}

/* Nobody can be told that the log cannot be written; the work goes on. */
static void write_all(int descriptor, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = write(descriptor, bytes, length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return;
        bytes += count;
        length -= (size_t)count;
    }
}

static size_t append_time(char *line, size_t size)
{
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t length = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &utc);
    return length + (size_t)snprintf(line + length, size - length, ".%03ldZ", now.tv_nsec / 1000000);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error";
    case LOG_LEVEL_WARN:
        return "warn";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_DEBUG:
        return "debug";
    }
    return "unknown";
}

/* snprintf() at `length`; a line too long is cut, with room left for the line feed. */
static size_t append_arguments(char *line, size_t length, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
static size_t append_arguments(char *line, size_t length, const char *format, va_list arguments)
{
    size_t room = LINE_BYTES - 1 - length;
    int count = vsnprintf(line + length, room, format, arguments);
    if (count < 0)
        return length;
    return length + ((size_t)count < room ? (size_t)count : room - 1);
}

void log_event(enum log_level level, const char *module, const char *event, const char *fields, ...)
{
    if ((int)level > atomic_load(&target.level))
        return;
    char line[sizeof clear_line + LINE_BYTES];
    char *text = line + sizeof clear_line - 1;
    memcpy(line, clear_line, sizeof clear_line - 1);
    size_t length = append_time(text, LINE_BYTES);
    length += (size_t)snprintf(text + length, LINE_BYTES - length, " %s %.40s event=%.80s", level_name(level),
                               module, event);
    if (fields != NULL && fields[0] != '\0') {
        text[length++] = ' ';
        va_list arguments;
        va_start(arguments, fields);
        length = append_arguments(text, length, fields, arguments);
        va_end(arguments);
    }
    /* A caller that forgot log_text() may not break the line. */
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    }
    text[length++] = '\n';
    int descriptor = atomic_load(&target.descriptor);
    int second = atomic_load(&target.second_descriptor);
    if (descriptor >= 0 && atomic_load(&target.is_terminal))
        write_all(descriptor, line, length + sizeof clear_line - 1);
    else if (descriptor >= 0)
        write_all(descriptor, text, length);
    if (second >= 0)
        write_all(second, text, length);
}

/* Whether a character may stand in a line as it is: printable, and no C1 control (U+0080 to U+009F), which
 * terminals obey as they obey ESC. */
static bool is_harmless(const char *text, size_t length)
{
    const unsigned char *bytes = (const unsigned char *)text;
    if (length == 1)
        return bytes[0] >= 0x20 && bytes[0] < 0x7f && bytes[0] != '"' && bytes[0] != '\\';
    return length > 2 || (length == 2 && (bytes[0] != 0xc2 || bytes[1] >= 0xa0));
}

static size_t escape(char *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    out[0] = '\\';
    if (byte == '"' || byte == '\\') {
        out[1] = (char)byte;
        return 2;
    }
    if (byte == '\n' || byte == '\r' || byte == '\t') {
        out[1] = byte == '\n' ? 'n' : byte == '\r' ? 'r' : 't';
        return 2;
    }
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return 4;
}

const char *log_text(const char *text)
{
    enum { CHARACTER_BYTES = 16, END_BYTES = 5 }; /* four escaped bytes; `..."` and the NUL */
    static _Thread_local char buffers[TEXT_BUFFERS][1 + TEXT_BYTES + CHARACTER_BYTES + END_BYTES];
    static _Thread_local unsigned next;
    char *buffer = buffers[next++ % TEXT_BUFFERS];
    char *out = buffer + 1; /* room for the opening quote */
    size_t length = 0;
    size_t left = strlen(text);
    bool is_quoted = left == 0;
    while (left > 0 && length < TEXT_BYTES) {
        size_t step = utf8_step(text, left);
        size_t used = step > 0 ? step : 1;
        bool is_plain = step > 0 && is_harmless(text, step);
        is_quoted = is_quoted || !is_plain || *text == ' ' || *text == '=';
        if (is_plain)
            memcpy(out + length, text, used);
        length += is_plain ? used : 0;
        for (size_t i = 0; i < used && !is_plain; i++)
            length += escape(out + length, (unsigned char)text[i]);
        text += used;
        left -= used;
    }
    if (left > 0) {
        memcpy(out + length, "...", 3);
        length += 3;
    }
    if (is_quoted)
        out[length++] = '"';
    out[length] = '\0';
    buffer[0] = '"';
    return is_quoted ? buffer : out;
}
