#include "common/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"

#define CAPACITY_MAX 1000000u

/* A thread that is woken for each message costs more than what is done with a small one. So messages change
 * hands in lots: the receiver takes all that wait with one locking and gives out of those without another; it
 * reports what it gave out once in a while, and a sender that found the queue full is woken then; and a
 * receiver that waits is woken for a lot of messages, or looks for itself every LINGER_MS. */
#define LOTS_IN_CAPACITY 4
#define LOT_MAX 64
#define LINGER_MS 50

/* A message, in one of three lists: waiting, taken by the receiver, or given out and not yet acknowledged.
 * The last list exists only to free at close what nobody acknowledged; it is doubly linked because messages
 * are acknowledged in any order. */
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
    pthread_mutex_t mutex; /* guards all down to the receiver's own */
    pthread_cond_t may_send;
    pthread_cond_t may_receive;
    struct list waiting;
    size_t waiting_count; /* those that were taken and not reported as given out are among them */
    size_t capacity, lot;
    int event; /* readable while something waits, or when finished: from when somebody asked for it */
    bool has_event, finished;
    bool is_awaited; /* the receiver sleeps */

    /* The receiving thread's own; the counts may be read by others. */
    struct list taken, received;
    _Atomic size_t unreported; /* given out of `taken` since the last report; changed with the lock, too */
    _Atomic size_t received_count;
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
    if (!m->has_event)
        return;
    ssize_t n = write(m->event, &one, sizeof one);
    assert(n == (ssize_t)sizeof one);
    (void)n;
}

static void event_lower(struct memory_queue *m)
{
    uint64_t count;
    if (!m->has_event)
        return;
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
    m->lot = capacity / LOTS_IN_CAPACITY < 1         ? 1
             : capacity / LOTS_IN_CAPACITY > LOT_MAX ? LOT_MAX
                                                     : capacity / LOTS_IN_CAPACITY;
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
    if (m->is_awaited && m->waiting_count >= m->lot)
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

/* ---- receiving ---- */

static struct timespec time_after(struct timespec at, int64_t ms)
{
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

static bool is_earlier(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* Wait until a lot is there, or something after LINGER_MS, or the queue is finished, or the time is over. The
 * lock is held. */
static void wait_for_messages(struct memory_queue *m, int timeout_ms)
{
    struct timespec now;
    if (timeout_ms == 0 || m->waiting_count > 0)
        return;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    struct timespec deadline = time_after(now, timeout_ms > 0 ? timeout_ms : 0);
    m->is_awaited = true;
    while (m->waiting_count == 0 && !m->finished) {
        struct timespec until = time_after(now, LINGER_MS);
        bool is_last = timeout_ms > 0 && is_earlier(&deadline, &until);
        if (is_last)
            until = deadline;
        int woken = 0;
        while (m->waiting_count < m->lot && !m->finished && woken != ETIMEDOUT)
            woken = pthread_cond_timedwait(&m->may_receive, &m->mutex, &until);
        if (is_last && woken == ETIMEDOUT)
            break;
        now = until;
    }
    m->is_awaited = false;
}

/* What was given out makes room. The lock is held. */
static void report(struct memory_queue *m)
{
    size_t count = atomic_load_explicit(&m->unreported, memory_order_relaxed);
    if (count == 0)
        return;
    if (m->waiting_count == m->capacity)
        (void)pthread_cond_broadcast(&m->may_send);
    m->waiting_count -= count;
    atomic_store_explicit(&m->unreported, 0, memory_order_relaxed);
    if (m->waiting_count == 0 && !m->finished)
        event_lower(m);
}

/* Take all that waits. */
static void take(struct memory_queue *m, int timeout_ms)
{
    lock(m);
    report(m);
    wait_for_messages(m, timeout_ms);
    m->taken = m->waiting;
    m->waiting = (struct list){0};
    unlock(m);
}

static bool memory_receive(struct queue *q, int timeout_ms, struct queue_message *message, struct error *err)
{
    struct memory_queue *m = memory(q);
    (void)err;
    if (m->taken.first == NULL)
        take(m, timeout_ms);
    struct node *node = m->taken.first;
    if (node == NULL)
        return true;
    list_remove(&m->taken, node);
    list_append(&m->received, node);
    atomic_fetch_add_explicit(&m->received_count, 1, memory_order_relaxed);
    *message = (struct queue_message){.bytes = node->bytes, .length = node->length, .token = node};
    size_t given = atomic_fetch_add_explicit(&m->unreported, 1, memory_order_relaxed) + 1;
    if (given >= m->lot || m->taken.first == NULL) {
        lock(m);
        report(m);
        unlock(m);
    }
    return true;
}

static bool memory_is_finished(struct queue *q)
{
    struct memory_queue *m = memory(q);
    if (m->taken.first != NULL)
        return false;
    lock(m);
    bool finished = m->finished && m->waiting.first == NULL;
    unlock(m);
    return finished;
}

static bool memory_ack(struct queue *q, struct queue_message *message, struct error *err)
{
    struct memory_queue *m = memory(q);
    struct node *node = message->token;
    (void)err;
    assert(node != NULL); /* acknowledged twice, or never received */
    list_remove(&m->received, node);
    atomic_fetch_sub_explicit(&m->received_count, 1, memory_order_relaxed);
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
    state->lag = (int64_t)(m->waiting_count - atomic_load_explicit(&m->unreported, memory_order_relaxed));
    unlock(m);
    state->in_flight = atomic_load_explicit(&m->received_count, memory_order_relaxed);
}

static size_t memory_longest(struct queue *q)
{
    (void)q;
    return SIZE_MAX;
}

static int memory_descriptor(struct queue *q)
{
    struct memory_queue *m = memory(q);
    if (m->has_event)
        return m->event;
    lock(m);
    m->has_event = true;
    if (m->waiting_count > 0 || m->finished)
        event_raise(m);
    unlock(m);
    return m->event;
}

static void memory_close(struct queue *q)
{
    struct memory_queue *m = memory(q);
    list_free(&m->waiting);
    list_free(&m->taken);
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
