/* work_internal.h: what work.c (beginning and ending files, the loop), work_answer.c (what decoders answer)
 * and work_deliver.c (records that are sent) share. */
#ifndef NIFFLER_WORKER_WORK_INTERNAL_H
#define NIFFLER_WORKER_WORK_INTERNAL_H

#include "common/job.h"
#include "worker/ahead.h"
#include "worker/draft.h"
#include "worker/storm.h"
#include "worker/syncer.h"
#include "worker/work.h"
#include "worker/work_file.h"

/* A decoder's file, or one that it was sent ahead. */
struct slot {
    struct work_file *file; /* NULL: none */
    struct draft draft;
    struct place *place; /* of the draft; NULL: there is none */
    int64_t idle_since_ms;
};

#define WORK_LINE_SLOTS (1 + WIRE_AHEAD_MOST)

/* Of a decoder: the file that it has, and behind it those that it was sent ahead. */
struct line {
    struct slot slots[WORK_LINE_SLOTS]; /* a ring */
    unsigned first, count;
    struct ahead ahead;
};

/* Whether the decoders themselves are broken, when most files crash them. While it is not PROBE_NONE no file
 * is begun, and none that crashes is judged. */
struct work_probe {
    enum {
        PROBE_NONE,
        PROBE_DUE,     /* as soon as no decoder is busy                       */
        PROBE_RUNNING, /* `slot` has our own picture                          */
        PROBE_FAILED,  /* it crashed, too: the worker waits, and tries again  */
    } state;
    int slot;
    int input, output; /* the picture, and its PNG: files in memory; -1: none */
    bool has_failed;   /* before the one that runs                            */
    int64_t again_ms;
};

struct pending;
struct pending_list {
    struct pending *first, **end;
    size_t count, bytes;
};

struct work {
    struct work_options options;
    struct pool *pool;
    struct metadata *md;
    struct naming *naming;
    struct places *places;
    struct files_roots link_rules;
    int *link_roots;
    struct line *lines;   /* of each decoder */
    unsigned ahead_limit; /* of each */
    unsigned busy;        /* decoders that have a file */
    struct work_list spare;
    struct work_list lone; /* to be tried again, alone */
    struct work_list held; /* to be begun again: met a storage that failed; were behind one that crashed */
    bool is_alone;         /* the file in the decoders is to be the only one */
    bool is_stopping, is_abandoned;
    bool is_full;           /* as many records as may be are under way */
    bool waits_for_storage; /* since a file met it, until one goes through */
    int64_t probe_ms;       /* when to try again */
    int64_t drain_until_ms;
    struct storm storm;
    struct work_probe probe;
    struct error defect; /* ERROR_NONE, or why the worker stops by itself */
    struct buffer request, json, path;
    struct syncer *syncer; /* NULL: records wait for no disk */
    struct pending_list unsynced, syncing, spare_pending;
    int64_t unsynced_since_ms;
    char id[20];
    uint64_t drafts, files;
    uint32_t asked; /* files that decoders were given */
};

/* The slot of the decoder's file (0), or of what was sent ahead (1 …). */
static inline struct slot *work_slot(const struct work *work, int decoder, unsigned n)
{
    struct line *line = &work->lines[decoder];
    return &line->slots[(line->first + n) % WORK_LINE_SLOTS];
}

/* See that the slot has an empty draft in the output folder of its file's job. Fails with ERROR_RETRY. */
MUST_CHECK bool work_prepare_draft(struct work *work, struct slot *slot, struct error *err);
void work_drop_draft(struct slot *slot);

/* The storage failed (`cause`, ERROR_RETRY): the file waits, unacknowledged, and nothing new is begun. Fails
 * with the cause itself where it is another, or where nobody waits; the file is freed then. */
MUST_CHECK bool work_hold(struct work *work, struct work_file *file, const struct error *cause,
                          struct error *err);

/* A file has gone through since the storage failed. */
void work_storage_is_back(struct work *work);

/* Send the record in work->json and acknowledge the file's task, both of which are taken; under Durability:
 * batch once what the file left in the output folder is on disk. Fails as work_step(). */
MUST_CHECK bool work_deliver(struct work *work, struct work_file *file, struct error *err);

/* Send the records whose pictures have come to the disk; where it did not take them, their files, and those
 * of pictures made meanwhile, are held. Fails as work_step(). */
MUST_CHECK bool work_take_synced(struct work *work, struct error *err);

/* Begin to put pictures on disk, if it is time to. */
void work_begin_sync(struct work *work);

bool work_is_unsynced_full(const struct work *work); /* no file is to be begun */
int work_sync_timeout_ms(const struct work *work, int timeout_ms);
void work_free_pending(struct work *work);

/* All is known of the file: its record goes out. The file is the list of spare ones' again. */
MUST_CHECK bool work_finish(struct work *work, struct work_file *file, struct error *err);

void work_probe_init(struct work *work);
void work_probe_clear(struct work *work);

/* A file is done, or crashed its decoder for the first time. Where most of the last ones did, a probe is due.
 */
void work_probe_count(struct work *work, bool has_crashed);

/* Begin the probe if it is time to. Fails with ERROR_FATAL. */
MUST_CHECK bool work_probe_begin(struct work *work, struct error *err);

/* Handle an event of its slot. Where it fails and nobody waits (no storage_probe_seconds), the worker stops,
 * with work->defect. */
void work_probe_take(struct work *work, struct pool_event *event);

/* Give idle decoders their next files, and others those that they are sent ahead. Fails as work_step(). */
MUST_CHECK bool work_fill(struct work *work, struct error *err);

/* What was sent ahead to a decoder that is gone was not begun: it waits its turn again. */
void work_take_back_ahead(struct work *work, int decoder);

/* Handle a reply or a death. Each fails as work_step(). */
MUST_CHECK bool work_take_event(struct work *work, struct pool_event *event, struct error *err);

#endif
