#include "common/queue_kafka.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/queue_kafka_parts.h"

bool queue_kafka_open(struct queue **q, const struct queue_kafka_options *options, int patience_ms,
                      struct error *err)
{
    *q = NULL;
    if (options->group == NULL)
        return queue_kafka_send_open(q, options, patience_ms, err);
    return queue_kafka_receive_open(q, options, patience_ms, err);
}

void queue_kafka_raise(struct kafka_queue *kafka)
{
    const uint64_t one = 1;
    if (kafka->is_raised)
        return;
    kafka->is_raised = true;
    ssize_t n = write(kafka->event, &one, sizeof one);
    assert(n == (ssize_t)sizeof one || errno == EAGAIN); /* full: raised in any case */
    (void)n;
}

/* Lowered first and looked into afterwards: what comes in between raises it again. */
void queue_kafka_lower(struct kafka_queue *kafka)
{
    uint64_t count;
    kafka->is_raised = false;
    ssize_t n = read(kafka->event, &count, sizeof count);
    assert(n == (ssize_t)sizeof count || errno == EAGAIN);
    (void)n;
}

void queue_kafka_wait(const struct kafka_queue *kafka, int timeout_ms)
{
    struct pollfd fd = {.fd = kafka->event, .events = POLLIN};
    (void)poll(&fd, 1, timeout_ms); /* a signal ends it early: the caller looks again */
}

void queue_kafka_clear(struct kafka_queue *kafka)
{
    kafka_client_close(&kafka->client);
    if (kafka->event >= 0)
        (void)close(kafka->event);
    kafka->event = -1;
    free(kafka->topic);
    kafka->topic = NULL;
}

static struct kafka_queue *kafka_of(struct queue *q)
{
    assert(q->transport == &queue_kafka_sender || q->transport == &queue_kafka_receiver);
    return (struct kafka_queue *)q; /* `base` is the first member */
}

bool queue_kafka_is_finished(struct queue *q)
{
    return kafka_of(q)->is_finished;
}

int queue_kafka_descriptor(struct queue *q)
{
    return kafka_of(q)->event;
}

void queue_kafka_finish(struct queue *q)
{
    struct kafka_queue *kafka = kafka_of(q);
    kafka->is_finished = true;
    queue_kafka_raise(kafka);
}

bool queue_kafka_no_send(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                         struct error *err)
{
    (void)to;
    (void)bytes;
    (void)length;
    return error_set(err, ERROR_BUG, "the queue '%s' was opened to receive", kafka_of(q)->topic);
}

bool queue_kafka_no_forward(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                            struct queue *source, struct queue_message *message, struct error *err)
{
    (void)source;
    (void)message;
    return queue_kafka_no_send(q, to, bytes, length, err);
}

bool queue_kafka_no_flush(struct queue *q, struct error *err)
{
    return queue_kafka_no_send(q, NULL, NULL, 0, err);
}

bool queue_kafka_no_receive(struct queue *q, int timeout_ms, struct queue_message *message, struct error *err)
{
    (void)timeout_ms;
    (void)message;
    return error_set(err, ERROR_BUG, "the queue '%s' was opened to send", kafka_of(q)->topic);
}

bool queue_kafka_no_ack(struct queue *q, struct queue_message *message, struct error *err)
{
    return queue_kafka_no_receive(q, 0, message, err);
}
