/* Limits by setrlimit() and prctl(). */
#include "worker/decoder/sandbox.h"

#include <stdio.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define STACK_BYTES ((rlim_t)8 << 20)
#define DESCRIPTORS 16 /* 0 to 4, an input, an output, and what libraries open for a moment */

static bool limit(int resource, rlim_t soft, rlim_t hard, struct error *err)
{
    struct rlimit old;
    if (getrlimit(resource, &old) != 0)
        return error_errno(err, ERROR_FATAL, "cannot read resource limit %d", resource);
    if (old.rlim_max != RLIM_INFINITY && hard > old.rlim_max)
        hard = old.rlim_max; /* whoever started us may have been stricter */
    struct rlimit new = {.rlim_cur = soft < hard ? soft : hard, .rlim_max = hard};
    if (setrlimit(resource, &new) != 0)
        return error_errno(err, ERROR_FATAL, "cannot set resource limit %d", resource);
    return true;
}

/* Address space in use now: the libraries and what they have set up do not count against a file. */
#ifndef __SANITIZE_ADDRESS__
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

bool sandbox_enter(const struct sandbox_limits *limits, struct error *err)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_DUMPABLE, 0) != 0)
        return error_errno(err, ERROR_FATAL, "cannot give up privileges");
#ifndef __SANITIZE_ADDRESS__ /* whose shadow memory alone is 20 TB of address space */
    rlim_t memory = (rlim_t)(mapped_bytes() + limits->memory_bytes);
    if (limits->memory_bytes > 0 && !limit(RLIMIT_AS, memory, memory, err))
        return false;
#else
    (void)limits;
#endif
    return limit(RLIMIT_CORE, 0, 0, err) && limit(RLIMIT_NPROC, 0, 0, err) &&
           limit(RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS, err) &&
           limit(RLIMIT_STACK, STACK_BYTES, STACK_BYTES, err);
}

bool sandbox_allow_cpu(uint32_t seconds, struct error *err)
{
    struct rusage usage;
    struct rlimit now;
    if (getrusage(RUSAGE_SELF, &usage) != 0 || getrlimit(RLIMIT_CPU, &now) != 0)
        return error_errno(err, ERROR_FATAL, "cannot read the CPU time");
    rlim_t used = (rlim_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
    return limit(RLIMIT_CPU, used + 1 + seconds, now.rlim_max, err);
}
