#include "worker/decoder_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/files.h"
#include "common/meter.h"
#include "worker/wire.h"

#define LIMIT_EVERY_MS 1000 /* of CPU time, which counts in whole seconds */

static bool spawn(const char *program, const struct decoder_limits *limits, int requests, int replies,
                  pid_t *pid, struct error *err)
{
    char memory[24], seconds[16], file[24], worker[24];
    (void)snprintf(memory, sizeof memory, "%llu", (unsigned long long)limits->memory_bytes);
    (void)snprintf(seconds, sizeof seconds, "%u", limits->seconds);
    (void)snprintf(file, sizeof file, "%llu", (unsigned long long)limits->file_bytes);
    (void)snprintf(worker, sizeof worker, "%ld", (long)getpid());
    char name[] = "niffler-png-decoder", control[] = "--control";
    char *argv[] = {name, control, memory, seconds, file, worker, NULL};
    char *environment[] = {NULL};
    /* A decoder says nothing of its own accord; what its libraries print may hold attribute values. */
    bool keep_stderr = getenv("NIFFLER_DECODER_STDERR") != NULL;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attributes) != 0)
        return error_set(err, ERROR_FATAL, "cannot prepare to start a decoder");
    int failed = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    failed |= posix_spawn_file_actions_adddup2(&actions, 0, 1);
    if (!keep_stderr)
        failed |= posix_spawn_file_actions_adddup2(&actions, 0, 2);
    failed |= posix_spawn_file_actions_adddup2(&actions, requests, WIRE_CONTROL_DESCRIPTOR);
    failed |= posix_spawn_file_actions_adddup2(&actions, replies, WIRE_REPLY_DESCRIPTOR);
    failed |= posix_spawnattr_setsigmask(&attributes, &none);
    failed |= posix_spawnattr_setsigdefault(&attributes, &all);
    failed |= posix_spawnattr_setpgroup(&attributes, 0);
    failed |= posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                        POSIX_SPAWN_SETPGROUP);
    if (failed == 0)
        failed = posix_spawn(pid, program, &actions, &attributes, argv, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    errno = failed;
    return failed == 0 || error_errno(err, ERROR_FATAL, "cannot start the decoder '%s'", program);
}

/* A number that no descriptor of the child takes while the others are still to be put in their places. */
static bool move_away(int *descriptor)
{
    if (*descriptor >= WIRE_FREE_DESCRIPTOR)
        return true;
    int moved = fcntl(*descriptor, F_DUPFD_CLOEXEC, WIRE_FREE_DESCRIPTOR);
    files_close(descriptor);
    *descriptor = moved;
    return moved >= 0;
}

bool decoder_process_start(struct decoder_process *process, const char *program,
                           const struct decoder_limits *limits, struct error *err)
{
    int socket[2] = {-1, -1}, pipe[2] = {-1, -1}; /* [0] is ours */
    pid_t pid = 0;
    bool ok = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socket) == 0 &&
              pipe2(pipe, O_CLOEXEC) == 0 && fcntl(pipe[0], F_SETFL, O_NONBLOCK) == 0 &&
              move_away(&socket[1]) && move_away(&pipe[1]);
    if (!ok)
        (void)error_errno(err, ERROR_FATAL, "cannot make a socket and a pipe for a decoder");
    else
        (void)fcntl(pipe[0], F_SETPIPE_SZ, WIRE_PIPE_BYTES); /* less is enough, too */
    ok = ok && spawn(program, limits, socket[1], pipe[1], &pid, err);
    files_close(&socket[1]);
    files_close(&pipe[1]);
    if (!ok) {
        files_close(&socket[0]);
        files_close(&pipe[0]);
        return false;
    }
    *process = (struct decoder_process){.pid = pid,
                                        .requests = socket[0],
                                        .replies = pipe[0],
                                        .limited_ms = meter_now_ms(), /* by itself, when it has begun */
                                        .file_bytes = limits->file_bytes};
    return true;
}

int decoder_process_end(struct decoder_process *process)
{
    int status = 0;
    if (process->pid <= 0)
        return 0;
    files_close(&process->requests);
    files_close(&process->replies);
    /* A decoder that has ended by itself keeps its own status: it is a zombie until it is waited for. */
    pid_t reaped = waitpid(process->pid, &status, WNOHANG);
    process->was_alive = reaped == 0;
    if (reaped == 0) {
        (void)kill(-process->pid, SIGKILL);
        (void)kill(process->pid, SIGKILL);
        while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    process->pid = 0;
    return status;
}

/* The hard limit stays: only root could raise it again. */
static void set_soft_limit(struct decoder_process *process, enum __rlimit_resource resource, rlim_t value)
{
    struct rlimit now;
    if (process->pid <= 0) /* that would be ourselves */
        return;
    if (prlimit(process->pid, resource, NULL, &now) == 0) {
        now.rlim_cur = value < now.rlim_max ? value : now.rlim_max;
        if (prlimit(process->pid, resource, &now, NULL) == 0)
            return;
    }
    process->is_stuck |= errno != ESRCH;
}

/* Not for each request: between two that are nearer than that it cannot use up what was added. */
void decoder_process_limit_cpu(struct decoder_process *process, uint32_t seconds)
{
    int64_t now = meter_now_ms();
    clockid_t clock;
    struct timespec used;
    if (now - process->limited_ms < LIMIT_EVERY_MS)
        return;
    process->limited_ms = now;
    if (clock_getcpuclockid(process->pid, &clock) == 0 && clock_gettime(clock, &used) == 0)
        set_soft_limit(process, RLIMIT_CPU, (rlim_t)used.tv_sec + 2 + seconds);
}

void decoder_process_limit_file(struct decoder_process *process, uint64_t bytes)
{
    if (process->file_bytes == bytes)
        return;
    process->file_bytes = bytes;
    set_soft_limit(process, RLIMIT_FSIZE, (rlim_t)bytes);
}
