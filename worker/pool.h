/* pool.h: N decoder processes: start, deadline, kill, replace.
 *
 *         start            pool_send()         pool_release()
 *        ───────► [IDLE] ──────────► [BUSY] ──────────────► [IDLE]
 *           ▲                          │ crash │ deadline │ nonsense
 *           │   started again          ▼       ▼          ▼
 *           └────────────────────── [DEAD]  → POOL_DIED with the cause, for the file's record
 *
 * While it is at a file, a decoder can be sent the next ones ahead: it goes on to each at once, without being
 * woken, and pool_release() leaves it BUSY. From the second on its replies do not wake us either: it rings
 * when it will be out of work soon (worker/wire.h), and then they are all there.
 *
 * A decoder is killed (with its whole process group) when it passes its deadline, answers what is no message,
 * answers unasked, or closes its pipe; another one takes its place. Of its limits, those on CPU time and on
 * the length of a file are moved from here, since it can move none itself (worker/confinement.h). The
 * deadline counts only while this process itself ran, and a waiting answer is read first. One thread; that
 * thread must live as long as the decoders do (they die with it). */
#ifndef NIFFLER_WORKER_POOL_H
#define NIFFLER_WORKER_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "worker/wire.h"

/* The longest reply beyond the metadata limit: fixed fields, and 24 bytes of frame for each element. */
#define POOL_REPLY_OVERHEAD_BYTES (64u << 20)

struct pool_options {
    const char *program;   /* path of niffler-png-decoder                           */
    unsigned count;        /* decoders                                              */
    uint64_t memory_bytes; /* address space of each, beyond its libraries           */
    uint32_t seconds;      /* CPU and wall-clock time of a header or a frame        */
    uint32_t file_seconds; /* wall-clock time of a file with all its frames; 0: any */
    uint64_t reply_bytes;  /* the longest reply; a longer one is nonsense           */
    uint64_t file_bytes;   /* the longest file that it may write, at first          */
    uint32_t files;        /* behind so many a decoder is replaced; 0: never        */
    bool is_confined;      /* take none that lacks a required part of its confinement */
};

struct pool;

/* Start all decoders and wait until they are ready. Fails with ERROR_FATAL: the program cannot be run, or
 * ends at once; it cannot be confined (is_confined). */
MUST_CHECK bool pool_start(struct pool **pool, const struct pool_options *options, struct error *err);
void pool_stop(struct pool *pool); /* kills and reaps; accepts NULL */

/* What is in force of the confinement in every decoder so far. */
const struct confinement *pool_confinement(const struct pool *pool);

/* A slot that is IDLE, or -1. */
int pool_idle_slot(const struct pool *pool);

/* A slot that is IDLE and whose decoder has had no file, or -1. Where there is none, an idle decoder is
 * replaced by such a one, which pool_wait() waits for. */
int pool_fresh_slot(struct pool *pool);
/* From now on the slot's decoder can write no file longer than `bytes`; its write() fails with EFBIG. For a
 * task whose limit is not that of pool_options. */
void pool_limit_output(struct pool *pool, int slot, uint64_t bytes);

/* Send a request (wire_write_…()) with its descriptors (borrowed; the decoder gets copies), and start the
 * deadline. The slot is BUSY then. A decoder that is gone is reported by pool_wait(). `is_new_file` counts
 * towards its replacement. */
void pool_send(struct pool *pool, int slot, const struct buffer *request, const int *descriptors,
               size_t descriptor_count, bool is_new_file);

/* Send a later file's request ahead, while the decoder is at one; `rings` in it is pool_next_rings(). Events
 * are of the earlier file until pool_release(), with which the limits of the next one begin; when the decoder
 * dies before that, that file was not begun. */
bool pool_may_send_ahead(const struct pool *pool, int slot);
bool pool_next_rings(const struct pool *pool, int slot);
void pool_send_ahead(struct pool *pool, int slot, const struct buffer *request, const int *descriptors,
                     size_t descriptor_count);

/* Whether a decoder has so much ahead that it is not listened to until it rings, which it does before that
 * is done. */
bool pool_has_quiet(const struct pool *pool);

/* Whether a decoder has sent more than the message in the last event, or is gone: when it was asked nothing
 * more, that would be taken for its answer to the next request. */
bool pool_has_more(const struct pool *pool, int slot);

/* The file is done: IDLE again, or BUSY with the next one that was sent ahead. */
void pool_release(struct pool *pool, int slot);

/* Kill the decoder and start another one: what it has, and what it was sent ahead, is to be sent again. */
void pool_renew(struct pool *pool, int slot);

enum pool_event_kind {
    POOL_NOTHING,    /* time over            */
    POOL_DESCRIPTOR, /* the other descriptor */
    POOL_REPLY,      /* a whole message      */
    POOL_DIED,       /* see `cause`          */
};

struct pool_event {
    enum pool_event_kind kind;
    int slot;
    enum wire_type type; /* of a reply                                                 */
    const uint8_t *body; /* borrowed until the next pool_wait(), pool_send() or pool_release() */
    size_t length;
    bool is_fresh; /* of a reply or a death: the decoder had no file before this one */
    struct error
        cause; /* ERROR_INPUT, category 4: crash_signal, limit_time, limit_memory, decoder_protocol */
};

/* Wait for one event, at most timeout_ms (-1: for ever).
 *   others        further descriptors to wait for (readable), or -1 in their place; event.slot is its index
 * Fails with ERROR_FATAL when decoders end as soon as they are started, several times on end, or cannot be
 * confined (is_confined). */
MUST_CHECK bool pool_wait(struct pool *pool, int timeout_ms, const int *others, size_t other_count,
                          struct pool_event *event, struct error *err);

/* The reply in `event` is nonsense after all: kill the decoder and turn the event into POOL_DIED. */
void pool_reject(struct pool *pool, struct pool_event *event, const struct error *why);

#endif
