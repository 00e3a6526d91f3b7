#include "common/crash.h"

#ifdef NIFFLER_CRASH_POINTS
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The number behind the name in NIFFLER_CRASH; 0 where that names another place, or none. */
static uint64_t wanted(const char *name)
{
    const char *text = getenv("NIFFLER_CRASH");
    size_t length = strlen(name);
    if (text == NULL || strncmp(text, name, length) != 0 || text[length] != ':')
        return 0;
    return strtoull(text + length + 1, NULL, 10);
}

const char *crash_member(void)
{
    return getenv("NIFFLER_CRASH_MEMBER");
}

/* Each visit is a byte of the file that is named as the place is: as many as were there before it. */
static uint64_t visit_among_lives(const char *folder, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    off_t end = file >= 0 && write(file, ".", 1) == 1 ? lseek(file, 0, SEEK_CUR) : 0;
    if (file >= 0)
        (void)close(file);
    return (uint64_t)end;
}

void crash_point(const char *name)
{
    static atomic_ullong visits; /* one place is wanted in a process, so one count will do */
    const char *folder = getenv("NIFFLER_CRASH_COUNTS");
    uint64_t number = wanted(name);
    if (number == 0)
        return;
    uint64_t visit = folder != NULL ? visit_among_lives(folder, name) : atomic_fetch_add(&visits, 1) + 1;
    if (visit == number)
        (void)raise(SIGKILL);
}

void crash_at_number(const char *name, uint64_t number)
{
    const char *text = getenv("NIFFLER_CRASH");
    if (text != NULL && strncmp(text, name, strlen(name)) == 0 && wanted(name) == number)
        (void)raise(SIGKILL);
}
#else
typedef int crash_points_are_off; /* a translation unit may not be empty */
#endif
