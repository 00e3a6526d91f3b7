/* Limits by setrlimit(). */
#include "worker/decoder/sandbox_parts.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "worker/wire.h"

#define STACK_BYTES ((rlim_t)8 << 20)
/* 0 to 4, an input, an output, those of the requests that came ahead, and of one more. */
#define DESCRIPTORS (WIRE_FREE_DESCRIPTOR + (2 + WIRE_AHEAD_MOST) * WIRE_MAX_DESCRIPTORS)

/* The soft limit; the hard one becomes the same unless `may_rise`: then whoever started us may raise it
 * again, and so may we, if it were not for seccomp. */
static bool limit(int resource, rlim_t value, bool may_rise, struct error *err)
{
    struct rlimit now;
    if (getrlimit(resource, &now) != 0)
        return error_errno(err, ERROR_FATAL, "cannot read resource limit %d", resource);
    if (now.rlim_max == RLIM_INFINITY || value < now.rlim_max) { /* else somebody has been stricter */
        now.rlim_cur = value;
        now.rlim_max = may_rise ? now.rlim_max : value;
    } else {
        now.rlim_cur = now.rlim_max;
    }
    if (setrlimit(resource, &now) != 0)
        return error_errno(err, ERROR_FATAL, "cannot set resource limit %d", resource);
    return true;
}

#ifndef __SANITIZE_ADDRESS__
/* Address space in use now: the libraries and what they have set up do not count against a file. */
static uint64_t mapped_bytes(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm != NULL) {
        if (fscanf(statm, "%lu", &pages) != 1)
            pages = 0;
        (void)fclose(statm);
    }
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
#endif

static bool limit_memory(uint64_t bytes, struct error *err)
{
#ifdef __SANITIZE_ADDRESS__ /* whose shadow memory alone is 20 TB of address space */
    (void)bytes;
    (void)err;
    return true;
#else
    return bytes == 0 || limit(RLIMIT_AS, (rlim_t)(mapped_bytes() + bytes), false, err);
#endif
}

static bool limit_cpu(uint32_t seconds, struct error *err)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return error_errno(err, ERROR_FATAL, "cannot read the CPU time");
    rlim_t used = (rlim_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
    return limit(RLIMIT_CPU, used + 1 + seconds, true, err);
}

bool sandbox_set_limits(const struct sandbox_limits *limits, struct confinement *confinement,
                        struct error *err)
{
    if (!limit_memory(limits->memory_bytes, err) || !limit_cpu(limits->cpu_seconds, err) ||
        !limit(RLIMIT_FSIZE, (rlim_t)limits->file_bytes, true, err) || !limit(RLIMIT_CORE, 0, false, err) ||
        !limit(RLIMIT_NPROC, 0, false, err) || !limit(RLIMIT_NOFILE, DESCRIPTORS, false, err) ||
        !limit(RLIMIT_STACK, STACK_BYTES, false, err) || !limit(RLIMIT_MEMLOCK, 0, false, err) ||
        !limit(RLIMIT_MSGQUEUE, 0, false, err))
        return false;
    sandbox_note(confinement, CONFINEMENT_LIMITS, 0);
    return true;
}
