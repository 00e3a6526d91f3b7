#include "common/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"

#define CAPACITY_MAX 1000000u

/* A message, in one of two lists: waiting, or received and not yet acknowledged. The second list exists only
 * to free at close what nobody acknowledged; it is doubly linked because messages are acknowledged in any
 * order. */
struct node {
    struct node *previous;
    struct node *next;
    size_t length;
    char bytes[];
};

struct list {
    struct node *first;
    struct node *last;
};

struct memory_queue {
    struct queue base;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t may_send;
    pthread_cond_t may_receive;
    struct list waiting;
    struct list received;
    size_t waiting_count, received_count;
    size_t capacity;
    int event; /* readable while something waits, or when finished */
    bool finished;
};

static struct memory_queue *memory(struct queue *q)
{
    assert(q->transport == &queue_memory);
    return (struct memory_queue *)q; /* `base` is the first member */
}

/* A mutex of our own that fails is our mistake, not the world's. */
static void lock(struct memory_queue *m)
{
    int failed = pthread_mutex_lock(&m->mutex);
    assert(failed == 0);
    (void)failed;
}

static void unlock(struct memory_queue *m)
{
    int failed = pthread_mutex_unlock(&m->mutex);
    assert(failed == 0);
    (void)failed;
}

static void list_append(struct list *list, struct node *node)
{
    node->next = NULL;
    node->previous = list->last;
    if (list->last != NULL)
        list->last->next = node;
    else
        list->first = node;
    list->last = node;
}

static void list_remove(struct list *list, struct node *node)
{
    if (node->previous != NULL)
        node->previous->next = node->next;
    else
        list->first = node->next;
    if (node->next != NULL)
        node->next->previous = node->previous;
    else
        list->last = node->previous;
}

static void list_free(struct list *list)
{
    while (list->first != NULL) {
        struct node *node = list->first;
        list->first = node->next;
        free(node);
    }
    list->last = NULL;
}

/* The eventfd's counter is 0 or 1: raised when the first message comes, lowered when the last one goes. */
static void event_raise(struct memory_queue *m)
{
    const uint64_t one = 1;
    ssize_t n = write(m->event, &one, sizeof one);
    assert(n == (ssize_t)sizeof one);
    (void)n;
}

static void event_lower(struct memory_queue *m)
{
    uint64_t count;
    ssize_t n = read(m->event, &count, sizeof count);
    assert(n == (ssize_t)sizeof count);
    (void)n;
}

bool queue_memory_open(struct queue **q, size_t capacity, struct error *err)
{
    *q = NULL;
    assert(capacity > 0 && capacity <= CAPACITY_MAX);
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        return error_errno(err, ERROR_FATAL, "cannot make an event descriptor");

    struct memory_queue *m = xcalloc(1, sizeof *m);
    m->base.transport = &queue_memory;
    m->event = event;
    m->capacity = capacity;
    /* Waits are measured on the clock that nobody sets. */
    pthread_condattr_t clock;
    int failed = pthread_condattr_init(&clock);
    failed |= pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    failed |= pthread_mutex_init(&m->mutex, NULL);
    failed |= pthread_cond_init(&m->may_send, NULL);
    failed |= pthread_cond_init(&m->may_receive, &clock);
    (void)pthread_condattr_destroy(&clock);
    if (failed != 0) {
        (void)close(event);
        free(m);
        return error_set(err, ERROR_FATAL, "cannot make a lock for the queue");
    }
    *q = &m->base;
    return true;
}

static bool memory_send(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                        struct error *err)
{
    struct memory_queue *m = memory(q);
    (void)to; /* one lane: the order is that of sending, whatever the key */
    struct node *node = xmalloc(sizeof *node + length);
    node->length = length;
    if (length > 0)
        memcpy(node->bytes, bytes, length);

    lock(m);
    while (!m->finished && m->waiting_count == m->capacity)
        (void)pthread_cond_wait(&m->may_send, &m->mutex);
    if (m->finished) {
        unlock(m);
        free(node);
        return error_set(err, ERROR_FATAL, "queue is finished");
    }
    list_append(&m->waiting, node);
    if (m->waiting_count++ == 0)
        event_raise(m);
    (void)pthread_cond_signal(&m->may_receive);
    unlock(m);
    return true;
}

static bool memory_forward(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                           struct queue *source, struct queue_message *message, struct error *err)
{
    return memory_send(q, to, bytes, length, err) && queue_ack(source, message, err);
}

static bool memory_flush(struct queue *q, struct error *err)
{
    (void)q; /* what was sent is already where it will be received from */
    (void)err;
    return true;
}

static void memory_finish(struct queue *q)
{
    struct memory_queue *m = memory(q);
    lock(m);
    if (!m->finished) {
        m->finished = true;
        if (m->waiting_count == 0)
            event_raise(m);
        (void)pthread_cond_broadcast(&m->may_send);
        (void)pthread_cond_broadcast(&m->may_receive);
    }
    unlock(m);
}

static struct timespec deadline_after(int timeout_ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

/* Wait until something is there, the queue is finished, or the time is over. The lock is held. */
static void wait_for_message(struct memory_queue *m, int timeout_ms)
{
    if (timeout_ms == 0)
        return;
    struct timespec deadline = {0};
    if (timeout_ms > 0)
        deadline = deadline_after(timeout_ms);
    while (m->waiting_count == 0 && !m->finished) {
        if (timeout_ms < 0)
            (void)pthread_cond_wait(&m->may_receive, &m->mutex);
        else if (pthread_cond_timedwait(&m->may_receive, &m->mutex, &deadline) == ETIMEDOUT)
            return;
    }
}

static bool memory_receive(struct queue *q, int timeout_ms, struct queue_message *message, struct error *err)
{
    struct memory_queue *m = memory(q);
    (void)err;
    lock(m);
    wait_for_message(m, timeout_ms);
    struct node *node = m->waiting.first;
    if (node != NULL) {
        list_remove(&m->waiting, node);
        list_append(&m->received, node);
        m->received_count++;
        if (--m->waiting_count == 0 && !m->finished)
            event_lower(m);
        (void)pthread_cond_signal(&m->may_send);
        *message = (struct queue_message){.bytes = node->bytes, .length = node->length, .token = node};
    }
    unlock(m);
    return true;
}

static bool memory_is_finished(struct queue *q)
{
    struct memory_queue *m = memory(q);
    lock(m);
    bool finished = m->finished && m->waiting_count == 0;
    unlock(m);
    return finished;
}

static bool memory_ack(struct queue *q, struct queue_message *message, struct error *err)
{
    struct memory_queue *m = memory(q);
    struct node *node = message->token;
    (void)err;
    assert(node != NULL); /* acknowledged twice, or never received */
    lock(m);
    list_remove(&m->received, node);
    m->received_count--;
    unlock(m);
    free(node);
    *message = (struct queue_message){0};
    return true;
}

static bool memory_serve(struct queue *q, struct error *err)
{
    (void)q;
    (void)err;
    return true;
}

static void memory_state(struct queue *q, struct queue_state *state)
{
    struct memory_queue *m = memory(q);
    lock(m);
    state->is_ready = !m->finished;
    state->lag = (int64_t)m->waiting_count;
    state->in_flight = m->received_count;
    unlock(m);
}

static size_t memory_longest(struct queue *q)
{
    (void)q;
    return SIZE_MAX;
}

static int memory_descriptor(struct queue *q)
{
    return memory(q)->event;
}

static void memory_close(struct queue *q)
{
    struct memory_queue *m = memory(q);
    list_free(&m->waiting);
    list_free(&m->received);
    (void)pthread_cond_destroy(&m->may_send);
    (void)pthread_cond_destroy(&m->may_receive);
    (void)pthread_mutex_destroy(&m->mutex);
    (void)close(m->event);
    free(m);
}

const struct queue_transport queue_memory = {
    .is_durable = false,
    .send = memory_send,
    .forward = memory_forward,
    .flush = memory_flush,
    .finish = memory_finish,
    .receive = memory_receive,
    .is_finished = memory_is_finished,
    .ack = memory_ack,
    .serve = memory_serve,
    .state = memory_state,
    .longest = memory_longest,
    .descriptor = memory_descriptor,
    .close = memory_close,
};
