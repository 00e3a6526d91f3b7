/* No confinement: the decoder stays its own process, which its worker ends at the deadline. For systems that
 * are not Linux, and for what measures or tests the difference. */
#include "worker/decoder/sandbox.h"

#include <errno.h>

bool sandbox_enter(const struct sandbox_limits *limits, pid_t worker, int first_free,
                   struct confinement *confinement, struct error *err)
{
    (void)limits;
    (void)worker;
    (void)first_free;
    (void)err;
    *confinement = (struct confinement){0};
    for (unsigned part = 0; part < CONFINEMENT_PARTS; part++)
        confinement->number[part] = ENOSYS;
    return true;
}
