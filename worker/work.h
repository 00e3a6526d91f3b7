/* work.h: task -> decoder -> PNG and record -> acknowledge, in that order.
 *
 * A worker is stateless: nothing of a job is kept here but finished PNGs in the job's output folder. What
 * each kind of failure leads to:
 *
 *     the input (ERROR_INPUT)          a record that says so; the file is copied to failed-dicom/<category>
 *     a decoder died                   the same, category 4; another decoder takes its place
 *     the output (no space, read-only) ERROR_FATAL: the worker stops, nothing is acknowledged
 *
 * PNGs are written under a temporary name in extracted-images/.incoming and renamed when whole: the final
 * place is known only when the header has been read, and by then the decoder is already at work. */
#ifndef NIFFLER_WORKER_WORK_H
#define NIFFLER_WORKER_WORK_H

#include "common/error.h"
#include "common/queue.h"
#include "worker/pool.h"

struct work_options {
    struct queue *tasks;
    struct queue *results;
    struct pool_options pool;
    bool links_anywhere;           /* this machine's own rule, never from a message */
    const char *const *link_roots; /* NULL, or NULL-terminated                      */
    int stop_descriptor;           /* readable: stop; -1: none                      */
};

/* Start the decoders. Call before any thread exists. Fails with ERROR_FATAL. */
struct work;
MUST_CHECK bool work_open(struct work **work, const struct work_options *options, struct error *err);

/* Serve tasks until the queue is finished, or the stop descriptor becomes readable (*stopped): then no new
 * task is begun, and those in the decoders are finished. Fails with ERROR_FATAL or ERROR_BUG. */
MUST_CHECK bool work_run(struct work *work, bool *stopped, struct error *err);

void work_close(struct work *work); /* accepts NULL */

#endif
