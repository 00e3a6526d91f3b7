/* The order of the parts: each one needs something that a later one takes away. */
#include "worker/decoder/sandbox_parts.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void sandbox_note(struct confinement *confinement, enum confinement_part part, int number)
{
    confinement->in_force[part] = number == 0;
    confinement->number[part] = number;
}

static int compare(const void *a, const void *b)
{
    return *(const unsigned char *)a - *(const unsigned char *)b;
}

/* What the C library would do the first time that it is needed, and cannot do any more. */
static void do_late_things_early(void)
{
    unsigned char much[2048] = {0};
    /* Out of memory it would make another arena, and count the processors for that. */
    (void)mallopt(M_ARENA_MAX, 1);
    /* A library's message on stdout would ask what kind of file that is. */
    (void)setvbuf(stdout, NULL, _IONBF, 0);
    /* A sort of more than 1,024 bytes would ask how much memory the machine has (glibc before 2.37). */
    qsort(much, sizeof much, 1, compare);
    /* gmtime(), for the date of a colour profile, would read the time zone. */
    tzset();
}

bool sandbox_enter(const struct sandbox_limits *limits, pid_t worker, int first_free,
                   struct confinement *confinement, struct error *err)
{
    *confinement = (struct confinement){0};
    do_late_things_early();
    if (!sandbox_give_up_privileges(worker, first_free, confinement, err) ||
        !sandbox_set_limits(limits, confinement, err))
        return false;
    sandbox_enter_landlock(confinement);
    sandbox_enter_seccomp(confinement);
    return true;
}
