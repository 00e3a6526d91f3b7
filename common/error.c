#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fill(struct error *err, enum error_kind kind, const char *format, va_list args)
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

bool error_errno(struct error *err, enum error_kind kind, const char *format, ...)
{
    int number = errno;
    va_list args;
    va_start(args, format);
    fill(err, kind, format, args);
    va_end(args);
    size_t length = strlen(err->text);
    char reason[128];
    (void)snprintf(err->text + length, sizeof err->text - length, ": %s",
                   strerror_r(number, reason, sizeof reason));
    errno = number;
    return false;
}

bool error_prefix(struct error *err, const char *format, ...)
{
    char whole[sizeof err->text];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(whole, sizeof whole, format, args);
    va_end(args);
    size_t length = strlen(whole);
    (void)snprintf(whole + length, sizeof whole - length, ": %s", err->text);
    memcpy(err->text, whole, sizeof whole);
    return false;
}

const char *error_kind_name(enum error_kind kind)
{
    static const char *const names[] = {"none", "input", "retry", "fatal", "bug"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}
