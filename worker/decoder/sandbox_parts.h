/* sandbox_parts.h: the parts of sandbox_enter(), for sandbox.c; in the order in which they can be entered. */
#ifndef NIFFLER_WORKER_DECODER_SANDBOX_PARTS_H
#define NIFFLER_WORKER_DECODER_SANDBOX_PARTS_H

#include "worker/decoder/sandbox.h"

/* Each notes in *confinement what took hold of its parts. */

/* Close descriptors, raise the badness towards the kernel's killer, drop capabilities, bind to the worker.
 * Fails with ERROR_FATAL. */
MUST_CHECK bool sandbox_give_up_privileges(pid_t worker, int first_free, struct confinement *confinement,
                                           struct error *err);

/* Fails with ERROR_FATAL. */
MUST_CHECK bool sandbox_set_limits(const struct sandbox_limits *limits, struct confinement *confinement,
                                   struct error *err);

void sandbox_enter_landlock(struct confinement *confinement);
void sandbox_enter_seccomp(struct confinement *confinement);

/* Set in *confinement that `part` is in force (number 0), or what refused it. */
void sandbox_note(struct confinement *confinement, enum confinement_part part, int number);

#endif
