/* places.h: the folders of the jobs that a worker serves, opened beneath its own roots.
 *
 * A message names folders relative to InputRoot and OutputRoot, and is a stranger's: nothing in it, and no
 * link on the way, leads out of them. The most recent PLACES_MAX jobs, and all that are in use, stay open. */
#ifndef NIFFLER_WORKER_PLACES_H
#define NIFFLER_WORKER_PLACES_H

#include "common/error.h"
#include "common/task.h"
#include "worker/draft.h"

#define PLACES_MAX 16

/* How long what is known of a job's end is believed. */
#define PLACES_RECHECK_MS 1000

/* How long a job's folders may be missing while the roots are there; its tasks are dead letters then. */
#define PLACES_MISSING_MS 60000

struct place {
    int input_dir;
    struct draft_output output;
    unsigned users;
    char *key;    /* of the cache */
    char *synced; /* the folder that, with those above it, was put on disk last; NULL: none */
    int64_t used_ms, checked_ms;
    int64_t missing_ms;   /* since when its folders are missing; 0: they are there */
    int64_t closed_round; /* tasks up to this round need not be done; -1: none */
};

struct places;

/* Open the roots. Fails with ERROR_FATAL. */
MUST_CHECK bool places_open(struct places **places, const char *input_root, const char *output_root,
                            struct error *err);
void places_close(struct places *places); /* accepts NULL; no place may be in use */

/* The folders of a task's job, in use until places_release(). Fails with ERROR_INPUT: the task names folders
 * outside the roots, or such as are missing for PLACES_MISSING_MS; ERROR_RETRY: they, or the roots, cannot be
 * opened now. */
MUST_CHECK bool places_use(struct places *places, const struct task *task, struct place **place,
                           struct error *err);
void places_release(struct place *place); /* accepts NULL */

/* Put the name of a file below the output folder on disk, and those of the folders it lies in. Fails with
 * ERROR_RETRY. */
MUST_CHECK bool places_sync_name(struct place *place, const char *path, struct error *err);

/* The storage failed: all folders, and the roots, are opened anew when they are next used. Handles of storage
 * that was away may stay useless after its return. */
void places_forget(struct places *places);

/* Whether the job is over (complete, or cancelled), so that this task need not be done. places_look_again()
 * lets the next call look for itself. */
bool places_is_over(struct place *place, const struct task *task);
void places_look_again(struct place *place);

#endif
