/* decoder_process.h: one process of niffler-png-decoder: its start, its limits, its end. For pool.c.
 *
 * It sets its limits itself when it starts, and can move none of them afterwards (worker/decoder/sandbox.h):
 * the two that go with a request are moved from here. */
#ifndef NIFFLER_WORKER_DECODER_PROCESS_H
#define NIFFLER_WORKER_DECODER_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"

struct decoder_limits {
    uint64_t memory_bytes; /* address space beyond its libraries    */
    uint32_t seconds;      /* CPU time, from its start              */
    uint64_t file_bytes;   /* the longest file that it may write    */
};

struct decoder_process {
    pid_t pid;           /* 0: none                                                       */
    int requests;        /* our end of the socket; -1: closed                             */
    int replies;         /* of the pipe, without waiting (O_NONBLOCK); -1: closed         */
    bool was_alive;      /* when it was ended: the SIGKILL is ours                        */
    bool is_stuck;       /* its limits could not be moved: it is to be ended behind its file */
    int64_t limited_ms;  /* when the limit on its CPU time was moved last                 */
    uint64_t file_bytes; /* its limit on the length of a file                             */
};

/* Start one; *process is none. The thread that calls must live as long as the decoder does. Fails with
 * ERROR_FATAL; it is none then. */
MUST_CHECK bool decoder_process_start(struct decoder_process *process, const char *program,
                                      const struct decoder_limits *limits, struct error *err);

/* From now on it has `seconds` of CPU time, and some more, or may write files of at most `bytes`. */
void decoder_process_limit_cpu(struct decoder_process *process, uint32_t seconds);
void decoder_process_limit_file(struct decoder_process *process, uint64_t bytes);

/* Kill it with its process group, unless it has ended by itself; reap it, and return its wait status. Accepts
 * none. */
int decoder_process_end(struct decoder_process *process);

#endif
