/* Landlock without a single rule: whatever it handles is denied. By the raw system calls, since the C library
 * has no functions for them, and by numbers of our own, since Debian's headers are older than the kernels we
 * meet. */
#include "worker/decoder/sandbox_parts.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct landlock_ruleset_attr as of version 6; older kernels are told a shorter size. */
struct ruleset {
    uint64_t files;
    uint64_t network; /* from version 4 on */
    uint64_t scoped;  /* from version 6 on */
};

/* Rights that came with each version: the first bits of `files`. */
static uint64_t file_rights(int version)
{
    unsigned count = 13; /* execute, read, write, list, remove, make */
    if (version >= 2)
        count = 14; /* refer: move from folder to folder */
    if (version >= 3)
        count = 15; /* truncate */
    if (version >= 5)
        count = 16; /* ioctl on devices */
    return (UINT64_C(1) << count) - 1;
}

#define BIND_AND_CONNECT_TCP 3u
#define ABSTRACT_SOCKETS_AND_SIGNALS 3u

void sandbox_enter_landlock(struct confinement *confinement)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    int number = version > 0 ? 0 : errno;
    if (number == 0) {
        struct ruleset rules = {.files = file_rights((int)version)};
        size_t size = sizeof rules.files;
        if (version >= 4) {
            rules.network = BIND_AND_CONNECT_TCP;
            size += sizeof rules.network;
        }
        if (version >= 6) {
            rules.scoped = ABSTRACT_SOCKETS_AND_SIGNALS;
            size += sizeof rules.scoped;
        }
        long ruleset = syscall(SYS_landlock_create_ruleset, &rules, size, 0);
        if (ruleset < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
            number = errno;
        if (ruleset >= 0)
            (void)close((int)ruleset);
    }
    sandbox_note(confinement, CONFINEMENT_LANDLOCK, number);
    sandbox_note(confinement, CONFINEMENT_LANDLOCK_TCP, number == 0 && version < 4 ? ENOSYS : number);
    sandbox_note(confinement, CONFINEMENT_LANDLOCK_SCOPE, number == 0 && version < 6 ? ENOSYS : number);
    confinement->landlock_abi = number == 0 ? (uint32_t)version : 0;
}
