/* Runs a program as a container or an old kernel would, which refuses some system calls.
 *
 *     without_calls PART[,PART...] PROGRAM [ARGUMENT...]
 *
 *     landlock         no Landlock: ENOSYS, an old kernel
 *     landlock-denied  the same: EPERM, an old container runtime
 *     seccomp          no further filters
 *     close_range      ENOSYS, an old kernel
 *
 * The decoder itself has no switch for that. */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const struct {
    const char *part;
    int call;
    int number;
    int argument; /* of the call, or -1: always */
} refused[] = {
    {"landlock", SCMP_SYS(landlock_create_ruleset), ENOSYS, -1},
    {"landlock", SCMP_SYS(landlock_restrict_self), ENOSYS, -1},
    {"landlock-denied", SCMP_SYS(landlock_create_ruleset), EPERM, -1},
    {"landlock-denied", SCMP_SYS(landlock_restrict_self), EPERM, -1},
    {"seccomp", SCMP_SYS(seccomp), EINVAL, -1},
    {"seccomp", SCMP_SYS(prctl), EINVAL, PR_SET_SECCOMP},
    {"close_range", SCMP_SYS(close_range), ENOSYS, -1},
};

int main(int argc, char **argv)
{
    int added = 0;
    if (argc < 3) {
        (void)fprintf(stderr, "usage: without_calls PART[,PART...] PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int status = filter != NULL ? 0 : -1;
    for (char *rest = NULL, *part = strtok_r(argv[1], ",", &rest); part != NULL;
         part = strtok_r(NULL, ",", &rest))
        for (size_t i = 0; i < sizeof refused / sizeof *refused && status == 0; i++) {
            if (strcmp(refused[i].part, part) != 0)
                continue;
            struct scmp_arg_cmp argument = {0, SCMP_CMP_EQ, (scmp_datum_t)refused[i].argument, 0};
            status = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)refused[i].number),
                                            refused[i].call, refused[i].argument >= 0, &argument);
            added++;
        }
    if (status != 0 || added == 0 || seccomp_load(filter) != 0) {
        (void)fprintf(stderr, "without_calls: cannot filter '%s'\n", argv[1]);
        return 2;
    }
    (void)execvp(argv[2], argv + 2);
    (void)fprintf(stderr, "without_calls: cannot run '%s': %s\n", argv[2], strerror(errno));
    return 2;
}
