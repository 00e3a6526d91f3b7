/* Descriptors, capabilities, and the bond to the worker. */
#include "worker/decoder/sandbox_parts.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of 1000: behind a decoder comes nothing that is dearer than its worker. */
#define OOM_SCORE 800

/* Only upwards: a container may have set a higher one, and lowering it takes a capability. Returns errno. */
static int raise_oom_score(void)
{
    char text[16];
    FILE *file = fopen("/proc/self/oom_score_adj", "r+e");
    if (file == NULL)
        return errno;
    errno = 0;
    int number = 0;
    if (fgets(text, sizeof text, file) == NULL)
        number = errno != 0 ? errno : EIO;
    else if (strtol(text, NULL, 10) < OOM_SCORE &&
             (fseek(file, 0, SEEK_SET) != 0 || fprintf(file, "%d\n", OOM_SCORE) < 0 || fflush(file) != 0))
        number = errno;
    (void)fclose(file);
    return number;
}

/* Root without capabilities owns root's files still, but overrules nobody's permissions. */
static bool drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return syscall(SYS_capset, &header, none) == 0;
}

bool sandbox_give_up_privileges(pid_t worker, int first_free, struct confinement *confinement,
                                struct error *err)
{
    closefrom(first_free); /* ends the process where it cannot */
    sandbox_note(confinement, CONFINEMENT_DESCRIPTORS, 0);
    sandbox_note(confinement, CONFINEMENT_OOM_SCORE,
                 raise_oom_score()); /* while we may write below /proc/self */
    if (getpgrp() != getpid() && setpgid(0, 0) != 0)
        return error_errno(err, ERROR_FATAL, "cannot get a process group");
    if (!drop_capabilities() || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0)
        return error_errno(err, ERROR_FATAL, "cannot give up privileges");
    if (getppid() != worker) /* it ended before the bond was made */
        return error_set(err, ERROR_FATAL, "the worker has ended");
    sandbox_note(confinement, CONFINEMENT_PRIVILEGES, 0);
    return true;
}
