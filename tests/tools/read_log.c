/* What a program reads itself: a library to be loaded before it (LD_PRELOAD), which appends to the file that
 * NIFFLER_READ_LOG names a line "PID BYTES PATH" for each read or mapping of a file whose name ends in .dcm.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static void find(const char *name, void *function, size_t size)
{
    void *place = dlsym(RTLD_NEXT, name);
    if (place == NULL)
        abort();
    memcpy(function, &place, size);
}

static void note(int descriptor, ssize_t bytes)
{
    char link[64], path[4096], line[4200];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 4 || memcmp(path + length - 4, ".dcm", 4) != 0)
        return;
    path[length] = '\0';
    const char *name = getenv("NIFFLER_READ_LOG");
    int log = name != NULL ? open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    int count = snprintf(line, sizeof line, "%ld %zd %s\n", (long)getpid(), bytes, path);
    if (log < 0 || write(log, line, (size_t)count) != count)
        abort(); /* a log with holes would prove nothing */
    (void)close(log);
}

ssize_t read(int descriptor, void *place, size_t size)
{
    ssize_t (*real)(int, void *, size_t);
    find("read", &real, sizeof real);
    ssize_t count = real(descriptor, place, size);
    note(descriptor, count);
    return count;
}

ssize_t pread(int descriptor, void *place, size_t size, off_t at)
{
    ssize_t (*real)(int, void *, size_t, off_t);
    find("pread64", &real, sizeof real);
    ssize_t count = real(descriptor, place, size, at);
    note(descriptor, count);
    return count;
}

ssize_t readv(int descriptor, const struct iovec *places, int count)
{
    ssize_t (*real)(int, const struct iovec *, int);
    find("readv", &real, sizeof real);
    ssize_t bytes = real(descriptor, places, count);
    note(descriptor, bytes);
    return bytes;
}

void *mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t at)
{
    void *(*real)(void *, size_t, int, int, int, off_t);
    find("mmap64", &real, sizeof real);
    if (descriptor >= 0)
        note(descriptor, (ssize_t)size);
    return real(address, size, protection, flags, descriptor, at);
}
