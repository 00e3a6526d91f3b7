/* work.h: task -> decoder -> PNG and record -> acknowledge, in that order.
 *
 * A worker is stateless: nothing of a job is kept here but finished PNGs in the job's output folder. What
 * each kind of failure leads to:
 *
 *     a task that cannot be read       ERROR_INPUT: to the dead letters, with the reason
 *     a job that is over               the task is acknowledged, and nothing is done
 *     the input (ERROR_INPUT)          a record that says so; the file is copied to failed-dicom/<category>
 *     a decoder crashed                once more, alone in a fresh one; then a record, category 4
 *     most of the last files did that  a picture of our own is decoded; if that crashes too, nothing is
 *                                      begun or judged until it does not, or the worker stops
 *     a decoder met a limit            a record, category 4; another decoder takes its place
 *     the storage (ERROR_RETRY)        nothing new is begun and nothing is acknowledged until one of the
 * files that met it goes through; or, where asked, the worker stops the worker itself died of it     a
 * record, category 4, when it has done so WORK_DEATHS_MAX times alone
 *
 * PNGs are written under a temporary name in extracted-images/.incoming and renamed when whole: the final
 * place is known only when the header has been read, and by then the decoder is already at work. */
#ifndef NIFFLER_WORKER_WORK_H
#define NIFFLER_WORKER_WORK_H

#include "common/error.h"
#include "common/metrics.h"
#include "common/queue.h"
#include "common/settings.h"
#include "worker/pool.h"

#define WORK_DEATHS_MAX 3

/* Records that are under way to the transport: so many, and no new file is begun. */
#define WORK_UNANSWERED_MAX 2000

#define WORK_DRAIN_FOREVER UINT32_MAX

struct work_options {
    struct queue *tasks;
    struct queue *results;
    struct queue
        *dead; /* dead letters; NULL: nobody but us writes tasks, and one that cannot be read is a bug */
    const char *input_root; /* folders beneath which those of all jobs lie */
    const char *output_root;
    struct pool_options pool;
    bool links_anywhere;            /* this machine's own rule, never from a message */
    const char *const *link_roots;  /* NULL, or NULL-terminated                      */
    int stop_descriptor;            /* a signalfd; readable: stop; -1: none          */
    uint32_t drain_seconds;         /* for the files that were begun, after that     */
    uint32_t storage_probe_seconds; /* between attempts; 0: storage that fails ends the run */
    enum durability durability;     /* of what lies in output folders when its record is sent */
    struct metrics *metrics;        /* NULL: none */
};

/* Start the decoders. Call before any thread exists. Fails with ERROR_FATAL. */
struct work;
MUST_CHECK bool work_open(struct work **work, const struct work_options *options, struct error *err);

/* Set the queues, where work_open() came before they could be opened: decoders start before any thread
 * exists. */
void work_set_queues(struct work *work, struct queue *tasks, struct queue *results, struct queue *dead);

struct work_status {
    bool is_over; /* nothing more will be done: stopped, or the queue is finished */
    bool is_stopping;
    bool is_waiting_for_storage;
    bool is_broken;   /* decoders crash on a picture of our own: nothing is begun until they do not */
    unsigned busy;    /* decoders at work */
    unsigned in_hand; /* files begun, or waiting for storage or their second try */
    uint64_t files;   /* done in this life */
};

/* One round: serve the queues, give idle decoders their files, and wait at most timeout_ms for an event and
 * handle it. Fails with ERROR_FATAL, ERROR_BUG, or (without storage_probe_seconds) ERROR_RETRY. */
MUST_CHECK bool work_step(struct work *work, int timeout_ms, struct work_status *status, struct error *err);

/* Steps until it is over. *stopped: by the stop descriptor; then no new task is begun, and those in the
 * decoders are finished as far as drain_seconds allows; a second signal ends that, too. */
MUST_CHECK bool work_run(struct work *work, bool *stopped, struct error *err);

/* After work_run() has failed: pictures that were finished before are put on disk, and their records sent, as
 * far as that still goes. */
void work_settle(struct work *work);

void work_close(struct work *work); /* accepts NULL; what was not acknowledged is not done */

#endif
