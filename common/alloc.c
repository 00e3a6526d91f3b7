#include "common/alloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define LARGE_BYTES (2 * HUGE_PAGE_BYTES)

/* Bookkeeping that cannot be had leaves nothing sensible to do; no destructor may run, since the
 * state it would save is the one being changed. */
static void *or_die(void *memory)
{
    if (memory == NULL) {
        static const char text[] = "niffler-png: out of memory\n";
        ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
        (void)written;
        _exit(ALLOC_EXIT_STATUS);
    }
    return memory;
}

void *xmalloc(size_t size)
{
    return or_die(malloc(size > 0 ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
    return or_die(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *xrealloc(void *memory, size_t size)
{
    return or_die(realloc(memory, size > 0 ? size : 1));
}

void *xrealloc_array(void *memory, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return or_die(NULL);
    return xrealloc(memory, bytes);
}

char *xstrdup(const char *text)
{
    return xmemdup_text(text, strlen(text));
}

char *xmemdup_text(const void *bytes, size_t length)
{
    char *copy = xmalloc(length + 1);
    if (length > 0)
        memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

char *xasprintf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    return or_die(length < 0 ? NULL : text);
}

/* On pages of 2 MB where the kernel has them: the first touch of a large image is a tenth of its time, one
 * page of 4 KB after the other. */
static void *large(size_t bytes)
{
    size_t whole = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    void *memory = aligned_alloc(HUGE_PAGE_BYTES, whole);
    if (memory != NULL)
        (void)madvise(memory, whole, MADV_HUGEPAGE);
    return memory;
}

bool alloc_pixels(void **memory, size_t count, size_t size, size_t limit, struct error *err)
{
    size_t bytes;
    *memory = NULL;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY,
                           "%zu times %zu bytes is beyond any memory", count, size);
    if (limit > 0 && bytes > limit)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "%zu bytes needed, the limit is %zu",
                           bytes, limit);
    if (bytes >= LARGE_BYTES)
        *memory = large(bytes);
    else
        *memory = malloc(bytes > 0 ? bytes : 1);
    if (*memory == NULL)
        return error_input(err, CATEGORY_DECODER, CODE_LIMIT_MEMORY, "%zu bytes are not to be had", bytes);
    return true;
}
