/* Processes and threads: new ones, the worker, and the own one's rights and limits. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/takeover/takeover.h"

/* Done when the file is there: nobody is left to say so. */
static bool try_exec(const struct scene *scene)
{
    char program[] = "/usr/bin/touch", path[sizeof scene->path];
    (void)strcpy(path, scene->path);
    char *arguments[] = {program, path, NULL}, *none[] = {NULL};
    return execve(program, arguments, none) == 0;
}

/* A program that no path leads to. */
static bool try_exec_memory(const struct scene *scene)
{
    static const char script[] = "#!/bin/sh\n/usr/bin/touch \"$1\"\n";
    char name[] = "nobody", path[sizeof scene->path], empty[] = "";
    (void)strcpy(path, scene->path);
    char *arguments[] = {name, path, NULL}, *none[] = {NULL};
    int descriptor = memfd_create(name, 0);
    return descriptor >= 0 && write(descriptor, script, sizeof script - 1) > 0 &&
           syscall(SYS_execveat, descriptor, empty, arguments, none, AT_EMPTY_PATH) == 0;
}

static bool ends_well(pid_t child)
{
    int status;
    return child > 0 && waitpid(child, &status, __WALL) == child;
}

static bool try_fork(const struct scene *scene)
{
    (void)scene;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return ends_well(child);
}

static bool try_vfork(const struct scene *scene)
{
    (void)scene;
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL); /* vfork() is one of these */
    if (child == 0)
        _exit(0);
    return ends_well(child);
}

static bool try_clone3(const struct scene *scene)
{
    (void)scene;
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0)
        _exit(0);
    return ends_well(child);
}

static void *nothing(void *context)
{
    return context;
}

static bool try_thread(const struct scene *scene)
{
    pthread_t thread;
    (void)scene;
    errno = pthread_create(&thread, NULL, nothing, NULL);
    return errno == 0 && pthread_join(thread, NULL) == 0;
}

static bool try_ptrace(const struct scene *scene)
{
    /* Let go again: whoever is traced stops at each signal. */
    return ptrace(PTRACE_SEIZE, scene->worker, NULL, NULL) == 0 &&
           ptrace(PTRACE_INTERRUPT, scene->worker, NULL, NULL) == 0 &&
           waitpid(scene->worker, NULL, __WALL) == scene->worker &&
           ptrace(PTRACE_DETACH, scene->worker, NULL, NULL) == 0;
}

static bool try_read_worker(const struct scene *scene)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    /* No address of ours is one of the worker's: EFAULT says that we were let in. */
    return process_vm_readv(scene->worker, &here, 1, &there, 1, 0) == 1 || errno == EFAULT;
}

static bool try_kill_worker(const struct scene *scene)
{
    return kill(scene->worker, 0) == 0; /* whether we could */
}

static bool try_kill_group(const struct scene *scene)
{
    (void)scene;
    return kill(0, 0) == 0;
}

static bool try_kill_all(const struct scene *scene)
{
    (void)scene;
    return kill(-1, 0) == 0;
}

static bool try_kill_thread(const struct scene *scene)
{
    return syscall(SYS_tgkill, scene->worker, scene->worker, 0) == 0;
}

static bool try_pidfd(const struct scene *scene)
{
    return syscall(SYS_pidfd_open, scene->worker, 0) >= 0;
}

static bool try_pidfd_getfd(const struct scene *scene)
{
    int worker = (int)syscall(SYS_pidfd_open, scene->worker, 0);
    return worker >= 0 && syscall(SYS_pidfd_getfd, worker, 0, 0) >= 0;
}

static bool try_prctl(const struct scene *scene)
{
    (void)scene;
    return prctl(PR_SET_DUMPABLE, 1) == 0;
}

static bool try_forget_worker(const struct scene *scene)
{
    (void)scene;
    return prctl(PR_SET_PDEATHSIG, 0) == 0;
}

static bool try_setuid(const struct scene *scene)
{
    (void)scene;
    return setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1) == 0; /* changes nothing */
}

static bool try_capabilities(const struct scene *scene)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    (void)scene;
    return syscall(SYS_capget, &header, data) == 0 && syscall(SYS_capset, &header, data) == 0;
}

static bool try_unshare(const struct scene *scene)
{
    (void)scene;
    return unshare(CLONE_NEWUSER) == 0;
}

static bool try_setns(const struct scene *scene)
{
    int worker = (int)syscall(SYS_pidfd_open, scene->worker, 0);
    return worker >= 0 && setns(worker, CLONE_NEWUTS) == 0;
}

static bool try_setrlimit(const struct scene *scene)
{
    struct rlimit more = {1000, 1000};
    (void)scene;
    return setrlimit(RLIMIT_NOFILE, &more) == 0;
}

static bool try_limit_worker(const struct scene *scene)
{
    struct rlimit now;
    return prlimit(scene->worker, RLIMIT_CORE, NULL, &now) == 0 &&
           prlimit(scene->worker, RLIMIT_CORE, &now, NULL) == 0;
}

static bool try_personality(const struct scene *scene)
{
    (void)scene;
    return personality(READ_IMPLIES_EXEC) != -1;
}

static bool try_ignore_signals(const struct scene *scene)
{
    (void)scene;
    return sigaction(SIGXCPU, &(struct sigaction){.sa_handler = SIG_IGN}, NULL) == 0;
}

static bool try_timer(const struct scene *scene)
{
    (void)scene;
    return setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {1000, 0}}, NULL) == 0;
}

static bool try_priority(const struct scene *scene)
{
    return setpriority(PRIO_PROCESS, (id_t)scene->worker, 1) == 0;
}

static bool try_group(const struct scene *scene)
{
    (void)scene;
    return setpgid(0, 0) == 0;
}

const struct attempt attempts_on_processes[] = {
    {"exec", try_exec},
    {"exec-memory", try_exec_memory},
    {"fork", try_fork},
    {"vfork", try_vfork},
    {"clone3", try_clone3},
    {"thread", try_thread},
    {"ptrace-worker", try_ptrace},
    {"read-worker", try_read_worker},
    {"kill-worker", try_kill_worker},
    {"kill-group", try_kill_group},
    {"kill-all", try_kill_all},
    {"kill-thread", try_kill_thread},
    {"pidfd", try_pidfd},
    {"pidfd-getfd", try_pidfd_getfd},
    {"prctl", try_prctl},
    {"forget-worker", try_forget_worker},
    {"setuid", try_setuid},
    {"capabilities", try_capabilities},
    {"unshare", try_unshare},
    {"setns", try_setns},
    {"setrlimit", try_setrlimit},
    {"limit-worker", try_limit_worker},
    {"personality", try_personality},
    {"ignore-signals", try_ignore_signals},
    {"timer", try_timer},
    {"priority", try_priority},
    {"group", try_group},
    {NULL, NULL},
};
