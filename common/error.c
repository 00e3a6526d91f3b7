#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void fill(struct error *err, enum error_kind kind,
                                                       const char *format, va_list args)
{
    err->kind = kind;
    err->category = CATEGORY_NONE;
    err->code = NULL;
    (void)vsnprintf(err->text, sizeof err->text, format, args);
}

bool error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, kind, format, args);
    va_end(args);
    return false;
}

bool error_input(struct error *err, enum category category, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, ERROR_INPUT, format, args);
    va_end(args);
    err->category = category;
    err->code = code;
    return false;
}

/* Add to a text of sizeof err->text bytes; what does not fit is cut. */
static void append(char *text, const char *more)
{
    size_t used = strlen(text), room = sizeof((struct error *)NULL)->text - used - 1, length = strlen(more);
    memcpy(text + used, more, length < room ? length : room);
    text[used + (length < room ? length : room)] = '\0';
}

bool error_errno(struct error *err, enum error_kind kind, const char *format, ...)
{
    int number = errno;
    char reason[128];
    va_list args;
    va_start(args, format);
    fill(err, kind, format, args);
    va_end(args);
    append(err->text, ": ");
    append(err->text, strerror_r(number, reason, sizeof reason));
    errno = number;
    return false;
}

bool error_prefix(struct error *err, const char *format, ...)
{
    char old[sizeof err->text];
    va_list args;
    memcpy(old, err->text, sizeof old);
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    append(err->text, ": ");
    append(err->text, old);
    return false;
}

const char *error_kind_name(enum error_kind kind)
{
    static const char *const names[] = {"none", "input", "retry", "fatal", "bug"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}
