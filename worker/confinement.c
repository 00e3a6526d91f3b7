#include "worker/confinement.h"

#include <string.h>

const char *const confinement_names[CONFINEMENT_PARTS] = {
    [CONFINEMENT_PRIVILEGES] = "privileges",
    [CONFINEMENT_DESCRIPTORS] = "descriptors",
    [CONFINEMENT_LIMITS] = "limits",
    [CONFINEMENT_OOM_SCORE] = "oom_score",
    [CONFINEMENT_LANDLOCK] = "landlock",
    [CONFINEMENT_LANDLOCK_TCP] = "landlock_tcp",
    [CONFINEMENT_LANDLOCK_SCOPE] = "landlock_scope",
    [CONFINEMENT_SECCOMP] = "seccomp",
};

bool confinement_is_required(enum confinement_part part)
{
    return part != CONFINEMENT_OOM_SCORE && part != CONFINEMENT_LANDLOCK_TCP &&
           part != CONFINEMENT_LANDLOCK_SCOPE;
}

const char *confinement_advice(enum confinement_part part)
{
    switch (part) {
    case CONFINEMENT_OOM_SCORE:
        return "mount /proc";
    case CONFINEMENT_LANDLOCK:
        return "use a kernel from 5.13 on with landlock among its LSMs, and a container runtime that allows "
               "it";
    case CONFINEMENT_LANDLOCK_TCP:
        return "use a kernel from 6.7 on";
    case CONFINEMENT_LANDLOCK_SCOPE:
        return "use a kernel from 6.12 on";
    case CONFINEMENT_SECCOMP:
        return "use a kernel with CONFIG_SECCOMP_FILTER, and a container runtime that allows seccomp()";
    default:
        return "use Linux";
    }
}

bool confinement_check(const struct confinement *confinement, struct error *err)
{
    for (unsigned part = 0; part < CONFINEMENT_PARTS; part++)
        if (confinement_is_required(part) && confinement->in_force[part] == 0) {
            int number = confinement->number[part];
            return error_set(
                err, ERROR_FATAL,
                "decoders cannot be confined: no %s here%s%s%s: %s, or set Sandbox to best-effort",
                confinement_names[part], number != 0 ? " (" : "", number != 0 ? strerror(number) : "",
                number != 0 ? ")" : "", confinement_advice(part));
        }
    return true;
}

void confinement_intersect(struct confinement *all, const struct confinement *other)
{
    for (unsigned part = 0; part < CONFINEMENT_PARTS; part++)
        if (all->in_force[part] != 0 && other->in_force[part] == 0) {
            all->in_force[part] = 0;
            all->number[part] = other->number[part];
        }
    if (other->landlock_abi < all->landlock_abi)
        all->landlock_abi = other->landlock_abi;
}

void confinement_append(const struct confinement *confinement, bool in_force, struct buffer *out)
{
    const char *comma = "";
    for (unsigned part = 0; part < CONFINEMENT_PARTS; part++)
        if ((confinement->in_force[part] != 0) == in_force) {
            buffer_append_text(out, comma);
            buffer_append_text(out, confinement_names[part]);
            comma = ",";
        }
    if (*comma == '\0')
        buffer_append_text(out, "none");
}
