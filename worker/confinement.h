/* confinement.h: the parts of a decoder's confinement, as it reports them to its worker.
 *
 * A decoder enters all of them before it reads its first byte of a file (worker/decoder/sandbox.h), and says
 * in its first message which ones took hold: a kernel or a container may lack some. */
#ifndef NIFFLER_WORKER_CONFINEMENT_H
#define NIFFLER_WORKER_CONFINEMENT_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"

enum confinement_part {
    CONFINEMENT_PRIVILEGES, /* no capabilities, none to be gained, nobody may look in, dies with its worker */
    CONFINEMENT_DESCRIPTORS,    /* all closed but those it was passed                                    */
    CONFINEMENT_LIMITS,         /* memory, CPU time, file size, descriptors, processes, core dumps, stack */
    CONFINEMENT_OOM_SCORE,      /* where the machine is out of memory, the kernel ends decoders first     */
    CONFINEMENT_LANDLOCK,       /* no path can be opened, made, changed or removed   (Linux 5.13)         */
    CONFINEMENT_LANDLOCK_TCP,   /* no TCP port can be bound or reached               (Linux 6.7)          */
    CONFINEMENT_LANDLOCK_SCOPE, /* no signals or abstract sockets to other processes (Linux 6.12)         */
    CONFINEMENT_SECCOMP,        /* system calls beyond those that decoding needs end the process          */
    CONFINEMENT_PARTS
};

struct confinement {
    uint8_t in_force[CONFINEMENT_PARTS]; /* 0 or 1                                        */
    int32_t number[CONFINEMENT_PARTS];   /* errno of what refused; 0: in force, or not there */
    uint32_t landlock_abi;               /* version of the kernel's interface; 0: none    */
};

/* Fixed words, such as "landlock_tcp": for the log, the metric and `niffler-png doctor`. */
extern const char *const confinement_names[CONFINEMENT_PARTS];

/* Whether `Sandbox: required` insists on it. What it does not: the two parts of Landlock that came later,
 * whose work seccomp does as well, and the order in which a kernel without memory ends processes. */
bool confinement_is_required(enum confinement_part part);

/* Whether all required parts are in force. Fails with ERROR_FATAL: the text names the first that is not, and
 * what to do. */
MUST_CHECK bool confinement_check(const struct confinement *confinement, struct error *err);

/* Keep in *all what is in force in *other as well. */
void confinement_intersect(struct confinement *all, const struct confinement *other);

/* Append the names of the parts that are in force, or that are not, with commas between; "none". */
void confinement_append(const struct confinement *confinement, bool in_force, struct buffer *out);

/* What to do about a part that is missing: half a sentence. */
const char *confinement_advice(enum confinement_part part);

#endif
