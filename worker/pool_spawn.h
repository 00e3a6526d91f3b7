/* pool_spawn.h: a decoder as a process: its program, its arguments and the two ways to it. */
#ifndef NIFFLER_WORKER_POOL_SPAWN_H
#define NIFFLER_WORKER_POOL_SPAWN_H

#include <sys/types.h>

#include "common/error.h"
#include "worker/pool.h"

struct pool_process {
    pid_t pid;
    int requests; /* our end of the socket; the caller owns both */
    int replies;  /* of the pipe                                 */
};

/* Start one, in a process group of its own. Whether it comes up is seen by what it answers. Fails with
 * ERROR_FATAL. */
MUST_CHECK bool pool_spawn(const struct pool_options *options, struct pool_process *process,
                           struct error *err);

#endif
