/* openat2_denied.h: a kernel without openat2(), or a filter that does not let it pass. For tests that are
 * linked with
 * --wrap=syscall. */
#ifndef NIFFLER_TESTS_UNIT_OPENAT2_DENIED_H
#define NIFFLER_TESTS_UNIT_OPENAT2_DENIED_H

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>

static int openat2_denial; /* errno; 0: it is there */

long __real_syscall(long number, ...);
long __wrap_syscall(long number, int dir, const char *path, void *how, size_t size);
long __wrap_syscall(long number, int dir, const char *path, void *how, size_t size)
{
    if (number == SYS_openat2 && openat2_denial != 0) {
        errno = openat2_denial;
        return -1;
    }
    return __real_syscall(number, dir, path, how, size);
}

#endif
