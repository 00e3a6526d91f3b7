#include "worker/pool_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static bool spawn(const struct pool_options *options, int requests, int replies, pid_t *pid,
                  struct error *err)
{
    char memory[24], seconds[16], file[24], worker[24];
    (void)snprintf(memory, sizeof memory, "%llu", (unsigned long long)options->memory_bytes);
    (void)snprintf(seconds, sizeof seconds, "%u", options->seconds);
    char name[] = "niffler-png-decoder", control[] = "--control";
    (void)snprintf(file, sizeof file, "%llu", (unsigned long long)options->file_bytes);
    (void)snprintf(worker, sizeof worker, "%ld", (long)getpid());
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
        failed = posix_spawn(pid, options->program, &actions, &attributes, argv, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    errno = failed;
    return failed == 0 || error_errno(err, ERROR_FATAL, "cannot start the decoder '%s'", options->program);
}

static void close_if_open(int *descriptor)
{
    if (*descriptor >= 0)
        (void)close(*descriptor);
    *descriptor = -1;
}

/* A number that no descriptor of the child takes while the others are still to be put in their places. */
static bool move_away(int *descriptor)
{
    if (*descriptor >= WIRE_FREE_DESCRIPTOR)
        return true;
    int moved = fcntl(*descriptor, F_DUPFD_CLOEXEC, WIRE_FREE_DESCRIPTOR);
    close_if_open(descriptor);
    *descriptor = moved;
    return moved >= 0;
}

bool pool_spawn(const struct pool_options *options, struct pool_process *process, struct error *err)
{
    int socket[2] = {-1, -1}, pipe[2] = {-1, -1}; /* [0] is ours */
    pid_t pid = 0;
    bool ok = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socket) == 0 &&
              pipe2(pipe, O_CLOEXEC) == 0 && move_away(&socket[1]) && move_away(&pipe[1]);
    if (!ok)
        (void)error_errno(err, ERROR_FATAL, "cannot make a socket and a pipe for a decoder");
    ok = ok && spawn(options, socket[1], pipe[1], &pid, err);
    close_if_open(&socket[1]);
    close_if_open(&pipe[1]);
    if (!ok) {
        close_if_open(&socket[0]);
        close_if_open(&pipe[0]);
        return false;
    }
    *process = (struct pool_process){pid, socket[0], pipe[0]};
    return true;
}
