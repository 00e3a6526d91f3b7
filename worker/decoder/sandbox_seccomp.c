/* The system calls that decoding needs; any other ends the process (SIGSYS), which its worker tells from a
 * crash. */
#include "worker/decoder/sandbox_parts.h"

#include <errno.h>
#include <linux/futex.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/wire.h"

#define MAP_KIND (MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS)

struct rule {
    int call;
    unsigned count; /* of the conditions, all of which must hold */
    struct scmp_arg_cmp when[2];
};

#define EQUAL(argument, value)                          \
    {                                                   \
        argument, SCMP_CMP_EQ, (scmp_datum_t)(value), 0 \
    }
#define MASKED(argument, mask, value)                                             \
    {                                                                             \
        argument, SCMP_CMP_MASKED_EQ, (scmp_datum_t)(mask), (scmp_datum_t)(value) \
    }

#ifdef __SANITIZE_ADDRESS__
/* What the sanitizers do besides: they give back the memory of their own books, ask by a pipe whether an
 * address can be read, and look where the stack of signals lies. Their reports look for the names of what is
 * loaded, and go on without them. */
static int add_rules_of_sanitizer(scmp_filter_ctx filter)
{
    const int refused[] = {SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(readlink), SCMP_SYS(newfstatat),
                           SCMP_SYS(prlimit64)};
    int status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(madvise), 0);
    if (status == 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(pipe2), 1, SCMP_A1(SCMP_CMP_EQ, 0));
    if (status == 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sigaltstack), 0);
    if (status == 0) /* whether stderr is a terminal */
        status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl), 1,
                                  SCMP_A1(SCMP_CMP_EQ, TCGETS));
    for (size_t i = 0; i < sizeof refused / sizeof *refused && status == 0; i++)
        status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), refused[i], 0);
    return -status;
}
#else
static int add_rules_of_sanitizer(scmp_filter_ctx filter)
{
    (void)filter;
    return 0;
}
#endif

/* Returns errno. */
static int add_rules(scmp_filter_ctx filter)
{
    const struct rule rules[] = {
        /* Descriptors that are open. No call makes a new one but recvmsg(), and that from the worker only. */
        {SCMP_SYS(recvmsg), 1, {EQUAL(0, WIRE_CONTROL_DESCRIPTOR)}},
        {SCMP_SYS(read), 0, {{0}}},
        {SCMP_SYS(pread64), 0, {{0}}},
        {SCMP_SYS(write), 0, {{0}}},
        {SCMP_SYS(writev), 0, {{0}}},
        {SCMP_SYS(lseek), 0, {{0}}},
        {SCMP_SYS(close), 0, {{0}}},

        /* Memory that nobody shares and nothing executes. */
        {SCMP_SYS(brk), 0, {{0}}},
        {SCMP_SYS(mmap), 2, {MASKED(2, PROT_EXEC, 0), MASKED(3, MAP_KIND, MAP_PRIVATE | MAP_ANONYMOUS)}},
        {SCMP_SYS(mremap), 0, {{0}}},
        {SCMP_SYS(munmap), 0, {{0}}},
        {SCMP_SYS(madvise), 1, {EQUAL(2, MADV_HUGEPAGE)}}, /* common/alloc.c */
        {SCMP_SYS(madvise), 1, {EQUAL(2, MADV_DONTNEED)}}, /* malloc_trim() */

        /* The C++ library wakes whoever waited for its once-only initialisations, though nobody does. */
        {SCMP_SYS(futex), 1, {EQUAL(1, FUTEX_WAKE_PRIVATE)}},

        /* Where the kernel's page of time does not answer. */
        {SCMP_SYS(clock_gettime), 0, {{0}}},

        /* abort(), so that it is a crash of its own kind: signals to oneself. */
        {SCMP_SYS(getpid), 0, {{0}}},
        {SCMP_SYS(gettid), 0, {{0}}},
        {SCMP_SYS(rt_sigprocmask), 0, {{0}}},
        {SCMP_SYS(tgkill), 2, {EQUAL(0, getpid()), EQUAL(1, gettid())}},
        {SCMP_SYS(exit_group), 0, {{0}}},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        int status =
            seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].count, rules[i].when);
        if (status != 0)
            return -status;
    }
    return add_rules_of_sanitizer(filter);
}

void sandbox_enter_seccomp(struct confinement *confinement)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int status = filter != NULL ? 0 : -EOPNOTSUPP;
    if (status == 0)
        status = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    /* Kernels before 5.16 would slow the process down, lest it read what is in its own memory by a side
     * channel. */
    if (status == 0)
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    if (status == 0)
        status = -add_rules(filter);
    if (status == 0)
        status = seccomp_load(filter);
    if (filter != NULL)
        seccomp_release(filter);
    sandbox_note(confinement, CONFINEMENT_SECCOMP, -status);
}
