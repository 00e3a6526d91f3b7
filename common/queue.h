/* queue.h: a place to send messages to and to receive them from.
 *
 * Every transport promises, and tests/contract/test_queue.c checks:
 *  1. At least once. A message comes again until it is acknowledged.
 *  2. queue_send() copies the bytes.
 *  3. queue_flush() returning true means: the transport answers for all that was sent. queue_is_durable()
 * says whether that survives a crash of this machine.
 *  4. A received message is borrowed until it is acknowledged, or queue_close().
 *  5. Messages may be acknowledged in any order; what a crash brings again is each one not acknowledged.
 *  6. No function is called from a signal handler; none calls back.
 *  7. A transport may be used by one sending and one receiving thread at the same time.
 *  8. queue_send() blocks while the transport is full: that is the backpressure. */
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
    void *token; /* the transport's own */
};

/* What a transport provides; each queue_*.c exports exactly one of these. */
struct queue_transport {
    const char *scheme; /* "memory:" */
    bool is_durable;
    bool (*open)(struct queue **q, const char *url, struct error *err);
    bool (*send)(struct queue *q, const char *key, const void *bytes, size_t length, struct error *err);
    bool (*flush)(struct queue *q, struct error *err);
    void (*finish)(struct queue *q);
    bool (*receive)(struct queue *q, int timeout_ms, struct queue_message *message, struct error *err);
    bool (*is_finished)(struct queue *q);
    bool (*ack)(struct queue *q, struct queue_message *message, struct error *err);
    int (*descriptor)(struct queue *q);
    void (*close)(struct queue *q);
};

extern const struct queue_transport queue_memory;

/* Open by URL scheme. Fails with ERROR_FATAL.
 *     memory:N   inside this process; N messages may wait (1 to 1,000,000). Not durable: what is not
 * acknowledged is gone with queue_close(), and whoever starts again must find out for himself what is still
 * to do. */
MUST_CHECK bool queue_open(struct queue **q, const char *url, struct error *err);
bool queue_is_durable(const struct queue *q);

/* Send one message; `key` (NULL: none) keeps messages of one key in order. Fails with ERROR_FATAL once
 * somebody has called queue_finish(), else ERROR_RETRY. */
MUST_CHECK bool queue_send(struct queue *q, const char *key, const void *bytes, size_t length,
                           struct error *err);
MUST_CHECK bool queue_flush(struct queue *q, struct error *err);

/* No more will be sent, or taken: senders that wait fail, receivers get what is there and then
 * queue_is_finished(). May be called by either side, and again. */
void queue_finish(struct queue *q);

/* Receive one message, waiting at most timeout_ms (0: not at all; negative: until one comes or the queue is
 * finished). message->bytes is NULL if none came. */
MUST_CHECK bool queue_receive(struct queue *q, int timeout_ms, struct queue_message *message,
                              struct error *err);
bool queue_is_finished(struct queue *q);
MUST_CHECK bool queue_ack(struct queue *q, struct queue_message *message, struct error *err);

/* A descriptor that polls readable while a message may be there, and from the moment the queue is finished.
 * Borrowed; to be polled only, not read. */
int queue_descriptor(struct queue *q);

/* Accepts NULL. No other thread may use the queue any more; received messages that were not acknowledged are
 * freed. */
void queue_close(struct queue *q);

#endif
