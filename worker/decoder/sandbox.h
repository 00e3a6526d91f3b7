/* sandbox.h: what a decoder gives up before it reads the first untrusted byte.
 *
 * The build picks one sandbox_*.c; no #ifdef reaches a caller. README.privsep of OpenSSH is the model. */
#ifndef NIFFLER_WORKER_DECODER_SANDBOX_H
#define NIFFLER_WORKER_DECODER_SANDBOX_H

#include <stdint.h>

#include "common/error.h"

struct sandbox_limits {
    uint64_t memory_bytes; /* address space beyond what is mapped at the call (RLIMIT_AS) */
};

/* Enter confinement, for good: limits on memory, files, processes and core dumps; dies with its parent;
 * cannot gain privileges. Fails with ERROR_FATAL. */
MUST_CHECK bool sandbox_enter(const struct sandbox_limits *limits, struct error *err);

/* Give the process `seconds` of CPU time more, counted from now (RLIMIT_CPU). */
MUST_CHECK bool sandbox_allow_cpu(uint32_t seconds, struct error *err);

#endif
