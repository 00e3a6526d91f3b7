/* bench_memory.h: the most memory that this process had. */
#ifndef NIFFLER_BENCH_BENCH_MEMORY_H
#define NIFFLER_BENCH_BENCH_MEMORY_H

#include <stdio.h>
#include <string.h>

/* In kB; -1: not known. Not ru_maxrss of getrusage(): that also holds what the process had that started this
 * one, before it became this program. */
static inline long bench_peak_memory_kb(void)
{
    char line[128];
    long kilobytes = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && kilobytes < 0 && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0 && sscanf(line + 6, "%ld", &kilobytes) != 1)
            break;
    }
    if (status != NULL)
        (void)fclose(status);
    return kilobytes;
}

#endif
