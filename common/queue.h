/* queue.h: a place to send messages to and to receive them from.
 *
 * Every transport promises, and tests/contract/test_queue.c checks:
 *  1. At least once. A message comes again until it is acknowledged.
 *  2. queue_send() copies the bytes.
 *  3. queue_flush() returning true means: the transport answers for all that was sent. queue_is_durable()
 *     says whether that survives a crash of this machine.
 *  4. A received message is borrowed until it is acknowledged, or queue_close().
 *  5. Messages may be acknowledged in any order; what a crash brings again is each one not acknowledged, and
 *     perhaps some behind it.
 *  6. No function is called from a signal handler; none calls back.
 *  7. A transport may be used by one sending and one receiving thread at the same time.
 *  8. queue_send() blocks while the transport is full: that is the backpressure.
 *  9. queue_serve() does what must be done from time to time (keeping a membership alive, committing,
 *     taking answers); whoever uses a queue calls it, or queue_receive(), at least once a second.
 * 10. A message that was in flight when its receivers died is a suspect: it is given out alone, with
 *     `deaths` telling how many receivers died while nothing else was in flight. */
#ifndef NIFFLER_COMMON_QUEUE_H
#define NIFFLER_COMMON_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct queue_transport;

/* Every transport's own struct begins with this one. */
struct queue {
    const struct queue_transport *transport;
};

struct queue_message {
    const char *bytes; /* NULL: no message came in time */
    size_t length;
    unsigned deaths; /* rule 10 */
    void *token;     /* the transport's own */
};

/* Where a message goes. Messages of one key keep their order among each other. Without a key, `lane` spreads
 * them evenly: over Kafka, partition lane mod P. */
struct queue_address {
    const char *key; /* NULL: none */
    uint64_t lane;
};

/* What there is to know of a transport, for readiness and metrics. */
struct queue_state {
    bool is_ready;       /* connected and, for a receiver, given its share (which may be empty) */
    uint64_t unanswered; /* sent, not yet answered for */
    uint64_t in_flight;  /* received, not yet acknowledged */
    uint64_t assigned;   /* partitions */
    uint64_t paused;     /* of them, held back */
    uint64_t rebalances; /* assignments so far */
    uint64_t commit_failures;
    uint64_t errors;       /* of the connection, so far */
    uint64_t committed_ms; /* of meter_now_ms(): the last commit that was answered for; 0: none */
    int64_t lag;           /* messages that wait in the partitions assigned; -1: not known */
};

/* What a transport provides; each queue_*.c exports exactly one of these. */
struct queue_transport {
    bool is_durable;
    bool (*send)(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                 struct error *err);
    bool (*forward)(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                    struct queue *source, struct queue_message *message, struct error *err);
    bool (*flush)(struct queue *q, struct error *err);
    void (*finish)(struct queue *q);
    bool (*receive)(struct queue *q, int timeout_ms, struct queue_message *message, struct error *err);
    bool (*is_finished)(struct queue *q);
    bool (*ack)(struct queue *q, struct queue_message *message, struct error *err);
    bool (*serve)(struct queue *q, struct error *err);
    void (*state)(struct queue *q, struct queue_state *state);
    size_t (*longest)(struct queue *q);
    int (*descriptor)(struct queue *q);
    void (*close)(struct queue *q);
};

extern const struct queue_transport queue_memory;

/* A queue inside this process; `capacity` messages may wait (1 to 1,000,000). Not durable: what is not
 * acknowledged is gone with queue_close(), and whoever starts again must find out for himself what is still
 * to do. Fails with ERROR_FATAL. The other transport is opened by queue_kafka.h. */
MUST_CHECK bool queue_memory_open(struct queue **q, size_t capacity, struct error *err);
bool queue_is_durable(const struct queue *q);

/* Send one message. Fails with ERROR_FATAL once somebody has called queue_finish() or the transport has
 * failed for good (it says why), with ERROR_INPUT when the message is longer than queue_longest(). */
MUST_CHECK bool queue_send(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                           struct error *err);

/* Send one message in answer to `message`, which was received from `source` and is taken: it is acknowledged
 * once the transport answers for the bytes, and not before. Fails as queue_send(); `message` is the caller's
 * again then. Both queues are used by the calling thread only. */
MUST_CHECK bool queue_forward(struct queue *q, const struct queue_address *to, const void *bytes,
                              size_t length, struct queue *source, struct queue_message *message,
                              struct error *err);

/* Wait until the transport answers for all that was sent, as long as that takes. Fails with ERROR_FATAL. */
MUST_CHECK bool queue_flush(struct queue *q, struct error *err);

/* The longest message that can be sent, in bytes. */
size_t queue_longest(struct queue *q);

/* No more will be sent, or taken: senders that wait fail, receivers get what is there and then
 * queue_is_finished(). May be called by either side, and again. */
void queue_finish(struct queue *q);

/* Receive one message, waiting at most timeout_ms (0: not at all; negative: until one comes or the queue is
 * finished). message->bytes is NULL if none came. Fails with ERROR_FATAL. */
MUST_CHECK bool queue_receive(struct queue *q, int timeout_ms, struct queue_message *message,
                              struct error *err);
bool queue_is_finished(struct queue *q);
MUST_CHECK bool queue_ack(struct queue *q, struct queue_message *message, struct error *err);

/* Rule 9. Never waits. Fails with ERROR_FATAL when the transport has failed for good. */
MUST_CHECK bool queue_serve(struct queue *q, struct error *err);

void queue_state(struct queue *q, struct queue_state *state);

/* A descriptor that polls readable while a message or an answer may be there, and from the moment the queue
 * is finished. Borrowed; to be polled only, not read. */
int queue_descriptor(struct queue *q);

/* Accepts NULL. No other thread may use the queue any more; received messages that were not acknowledged are
 * freed. What was sent and not flushed may be lost. */
void queue_close(struct queue *q);

#endif
