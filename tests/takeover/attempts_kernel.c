/* Large interfaces of the kernel, where most of its faults were found, and ways around a filter of system
 * calls. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "tests/takeover/takeover.h"

static bool try_io_uring(const struct scene *scene)
{
    struct io_uring_params parameters = {0};
    (void)scene;
    return syscall(SYS_io_uring_setup, 4, &parameters) >= 0;
}

static bool try_bpf(const struct scene *scene)
{
    union bpf_attr attributes = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    (void)scene;
    return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes) >= 0;
}

static bool try_perf(const struct scene *scene)
{
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE,
                                         .size = sizeof attributes,
                                         .config = PERF_COUNT_SW_TASK_CLOCK,
                                         .exclude_kernel = 1};
    (void)scene;
    return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0) >= 0;
}

static bool try_userfault(const struct scene *scene)
{
    (void)scene;
    return syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY) >= 0;
}

static bool try_keys(const struct scene *scene)
{
    (void)scene;
    return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1) >= 0;
}

static bool try_epoll(const struct scene *scene)
{
    (void)scene;
    return epoll_create1(0) >= 0;
}

static bool try_system_name(const struct scene *scene)
{
    struct utsname name;
    (void)scene;
    return uname(&name) == 0;
}

static bool try_system_load(const struct scene *scene)
{
    struct sysinfo info;
    (void)scene;
    return sysinfo(&info) == 0;
}

static bool try_sleep(const struct scene *scene)
{
    (void)scene;
    return nanosleep(&(struct timespec){0, 1}, NULL) == 0;
}

static bool try_another_filter(const struct scene *scene)
{
    (void)scene;
    return syscall(SYS_seccomp, 2 /* SECCOMP_GET_ACTION_AVAIL */, 0, &(unsigned){0x7fff0000u}) == 0;
}

static bool try_landlock(const struct scene *scene)
{
    (void)scene;
    return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

/* Another table of system calls: numbers there mean something else. */
static bool try_calls_of_32_bits(const struct scene *scene)
{
    (void)scene;
#ifdef __x86_64__
    long answer;
    __asm__ volatile("int $0x80" : "=a"(answer) : "a"(20L /* getpid */) : "memory", "r8", "r9", "r10", "r11");
    return answer > 0;
#else
    errno = ENOSYS;
    return false;
#endif
}

const struct attempt attempts_on_kernel[] = {
    {"io-uring", try_io_uring},
    {"bpf", try_bpf},
    {"perf", try_perf},
    {"userfault", try_userfault},
    {"keys", try_keys},
    {"epoll", try_epoll},
    {"system-name", try_system_name},
    {"system-load", try_system_load},
    {"sleep", try_sleep},
    {"another-filter", try_another_filter},
    {"landlock", try_landlock},
    {"calls-of-32-bits", try_calls_of_32_bits},
    {NULL, NULL},
};
