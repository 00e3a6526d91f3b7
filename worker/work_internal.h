/* work_internal.h: what work.c (beginning and ending files, the loop) and work_answer.c (what decoders
 * answer) share. */
#ifndef NIFFLER_WORKER_WORK_INTERNAL_H
#define NIFFLER_WORKER_WORK_INTERNAL_H

#include "worker/draft.h"
#include "worker/work.h"
#include "worker/work_file.h"

struct slot {
    struct work_file *file; /* NULL: idle */
    struct draft draft;
    struct place *place; /* of the draft; NULL: there is none */
    int64_t idle_since_ms;
};

struct work {
    struct work_options options;
    struct pool *pool;
    struct metadata *md;
    struct naming *naming;
    struct places *places;
    struct files_roots link_rules;
    int *link_roots;
    struct slot *slots;
    unsigned busy;
    struct work_list spare;
    struct work_list lone; /* to be tried again, alone */
    struct work_list held; /* met a storage that failed */
    bool is_alone;         /* the file in the decoders is to be the only one */
    bool is_stopping, is_abandoned;
    bool is_full;           /* as many records as may be are under way */
    bool waits_for_storage; /* since a file met it, until one goes through */
    int64_t probe_ms;       /* when to try again */
    int64_t drain_until_ms;
    struct buffer request, json, path;
    char id[20];
    uint64_t drafts, files;
};

/* See that the slot has an empty draft in the output folder of its file's job. Fails with ERROR_RETRY. */
MUST_CHECK bool work_prepare_draft(struct work *work, struct slot *slot, struct error *err);
void work_drop_draft(struct slot *slot);

/* The storage failed (`cause`, ERROR_RETRY): the file waits, unacknowledged, and nothing new is begun. Fails
 * with the cause itself where it is another, or where nobody waits; the file is freed then. */
MUST_CHECK bool work_hold(struct work *work, struct work_file *file, const struct error *cause,
                          struct error *err);

/* All is known of the file: its record goes out. The file is the list of spare ones' again. */
MUST_CHECK bool work_finish(struct work *work, struct work_file *file, struct error *err);

/* Give idle decoders their next files. */
MUST_CHECK bool work_fill_idle(struct work *work, struct error *err);

/* Handle a reply or a death. Each fails as work_step(). */
MUST_CHECK bool work_take_event(struct work *work, struct pool_event *event, struct error *err);

#endif
