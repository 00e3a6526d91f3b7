/* draft.h: a picture while a decoder writes it: a file of its own in OUTPUTS_INCOMING, renamed when
 * whole.
 *
 * A draft that nobody used is used for the next picture. All paths are below the output folder. */
#ifndef NIFFLER_WORKER_DRAFT_H
#define NIFFLER_WORKER_DRAFT_H

#include <stdint.h>

#include "common/error.h"

#define DRAFT_NAME_SIZE 40

/* An output folder, and those in it that were used last: the pictures of a series go to one folder. */
struct draft_output {
    int dir;
    int incoming;      /* OUTPUTS_INCOMING; -1: not open, as those below */
    int target;        /* where the last picture went */
    char *target_path; /* owned */
    int64_t target_ms; /* since when it is open */
};
#define DRAFT_OUTPUT_INIT                       \
    {                                           \
        .dir = -1, .incoming = -1, .target = -1 \
    }

void draft_output_close(struct draft_output *output);

struct draft {
    int descriptor; /* -1: none */
    char name[DRAFT_NAME_SIZE];
};

/* See that there is an empty file to write to; `name` is for a new one, and unique among all workers of the
 * folder. Fails with ERROR_RETRY. */
MUST_CHECK bool draft_prepare(struct draft *draft, struct draft_output *output, const char *name,
                              struct error *err);

/* Whether the storage has room for `bytes` and takes some: what a decoder says about it is not believed
 * alone. The content of the draft is spoilt. */
bool draft_can_grow(const struct draft *draft, uint64_t bytes);

/* Move a whole picture to its place, making the folders it needs; `is_synced`: its content is put on disk
 * first, its name is not. Fails with ERROR_RETRY. */
MUST_CHECK bool draft_publish(struct draft *draft, struct draft_output *output, const char *path,
                              bool is_synced, struct error *err);

/* Remove it, if there is one. */
void draft_drop(struct draft *draft, const struct draft_output *output);

#endif
