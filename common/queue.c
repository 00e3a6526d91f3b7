#include "common/queue.h"

bool queue_is_durable(const struct queue *q)
{
    return q->transport->is_durable;
}

bool queue_send(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                struct error *err)
{
    return q->transport->send(q, to, bytes, length, err);
}

bool queue_forward(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                   struct queue *source, struct queue_message *message, struct error *err)
{
    return q->transport->forward(q, to, bytes, length, source, message, err);
}

bool queue_flush(struct queue *q, struct error *err)
{
    return q->transport->flush(q, err);
}

size_t queue_longest(struct queue *q)
{
    return q->transport->longest(q);
}

void queue_finish(struct queue *q)
{
    q->transport->finish(q);
}

bool queue_receive(struct queue *q, int timeout_ms, struct queue_message *message, struct error *err)
{
    *message = (struct queue_message){0};
    return q->transport->receive(q, timeout_ms, message, err);
}

bool queue_is_finished(struct queue *q)
{
    return q->transport->is_finished(q);
}

bool queue_ack(struct queue *q, struct queue_message *message, struct error *err)
{
    return q->transport->ack(q, message, err);
}

bool queue_serve(struct queue *q, struct error *err)
{
    return q->transport->serve(q, err);
}

void queue_state(struct queue *q, struct queue_state *state)
{
    *state = (struct queue_state){.lag = -1};
    q->transport->state(q, state);
}

int queue_descriptor(struct queue *q)
{
    return q->transport->descriptor(q);
}

void queue_close(struct queue *q)
{
    if (q != NULL)
        q->transport->close(q);
}
