/* sandbox.h: what a decoder gives up before it reads the first untrusted byte.
 *
 * The build picks: on Linux sandbox.c with sandbox_privileges.c, sandbox_limits.c, sandbox_landlock.c and
 * sandbox_seccomp.c; elsewhere sandbox_none.c. No #ifdef reaches a caller. README.privsep of OpenSSH is the
 * model.
 *
 * Whoever takes over a decoder has its descriptors (an input, a draft, the socket and the pipe to the worker)
 * and its memory, and may compute, read, write and end. He cannot open, make or remove anything, reach a
 * network, another process or a device, start a process or a thread, map memory to execute, or raise a limit.
 * All that libraries load late (code pages of iconv, tables) has been loaded by then. */
#ifndef NIFFLER_WORKER_DECODER_SANDBOX_H
#define NIFFLER_WORKER_DECODER_SANDBOX_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "worker/confinement.h"

struct sandbox_limits {
    uint64_t memory_bytes; /* address space beyond what is mapped at the call (RLIMIT_AS)             */
    uint32_t cpu_seconds;  /* from now (RLIMIT_CPU); the worker moves it on with each request          */
    uint64_t file_bytes;   /* the longest file that can be written (RLIMIT_FSIZE); the same            */
};

/* Enter confinement, for good.
 *   worker       the process whose end is the decoder's; if it is gone already, the decoder ends at once
 *   first_free   descriptors from this one on are closed
 *   *confinement what took hold: parts that the kernel or a container refuses are missing in it
 * Fails with ERROR_FATAL where a limit that every Linux has cannot be set. */
MUST_CHECK bool sandbox_enter(const struct sandbox_limits *limits, pid_t worker, int first_free,
                              struct confinement *confinement, struct error *err);

#endif
