#include "common/queue.h"

#include <string.h>

/* The only place that knows which transports exist. */
static const struct queue_transport *const transports[] = {&queue_memory};

bool queue_open(struct queue **q, const char *url, struct error *err)
{
    *q = NULL;
    for (size_t i = 0; i < sizeof transports / sizeof transports[0]; i++) {
        if (strncmp(url, transports[i]->scheme, strlen(transports[i]->scheme)) == 0)
            return transports[i]->open(q, url, err);
    }
    return error_set(err, ERROR_FATAL, "unknown transport '%.40s'", url);
}

bool queue_is_durable(const struct queue *q)
{
    return q->transport->is_durable;
}

bool queue_send(struct queue *q, const char *key, const void *bytes, size_t length, struct error *err)
{
    return q->transport->send(q, key, bytes, length, err);
}

bool queue_flush(struct queue *q, struct error *err)
{
    return q->transport->flush(q, err);
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

int queue_descriptor(struct queue *q)
{
    return q->transport->descriptor(q);
}

void queue_close(struct queue *q)
{
    if (q != NULL)
        q->transport->close(q);
}
