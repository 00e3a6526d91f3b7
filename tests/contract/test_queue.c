/* What common/queue.h promises, for every transport. Rule 1's "comes again" is for durable transports;
 * memory: is none, and must say so. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/queue.h"

#define LONG_MS 10000 /* longer than anything here takes */

static const struct queue_address anywhere = {0};

static struct queue *open_memory(size_t capacity)
{
    struct queue *q;
    struct error err;
    assert_true(queue_memory_open(&q, capacity, &err));
    return q;
}

static void send_text(struct queue *q, const char *text)
{
    struct error err;
    const struct queue_address to = {.key = "key"};
    assert_true(queue_send(q, &to, text, strlen(text), &err));
}

static struct queue_message receive(struct queue *q, int timeout_ms)
{
    struct queue_message message;
    struct error err;
    assert_true(queue_receive(q, timeout_ms, &message, &err));
    return message;
}

static void ack(struct queue *q, struct queue_message *message)
{
    struct error err;
    assert_true(queue_ack(q, message, &err));
    assert_null(message->bytes);
}

static void check_text(const struct queue_message *message, const char *text)
{
    assert_non_null(message->bytes);
    assert_int_equal(message->length, strlen(text));
    assert_memory_equal(message->bytes, text, message->length);
}

static bool is_readable(struct queue *q)
{
    struct pollfd fd = {.fd = queue_descriptor(q), .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void sleep_ms(long ms)
{
    struct timespec wait = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&wait, NULL);
}

static void test_open_and_close(void **state)
{
    (void)state;
    struct queue *q = open_memory(1000000);
    assert_false(queue_is_durable(q));
    queue_close(q);
    queue_close(NULL);
}

/* Rule of queue_forward(): the source's message is acknowledged with the answer for the new one. */
static void test_forwarding_acknowledges(void **state)
{
    (void)state;
    struct queue *from = open_memory(2), *to = open_memory(2);
    struct queue_state counts;
    struct error err;
    send_text(from, "task");
    struct queue_message task = receive(from, 0);
    queue_state(from, &counts);
    assert_int_equal(counts.in_flight, 1);
    assert_true(queue_forward(to, &anywhere, "record", 6, from, &task, &err));
    assert_null(task.bytes);
    queue_state(from, &counts);
    assert_int_equal(counts.in_flight, 0);
    struct queue_message record = receive(to, 0);
    check_text(&record, "record");
    ack(to, &record);
    send_text(from, "task");
    task = receive(from, 0);
    queue_finish(to);
    assert_false(queue_forward(to, &anywhere, "record", 6, from, &task, &err));
    check_text(&task, "task"); /* ours again */
    queue_close(from);
    queue_close(to);
}

static void test_order_and_copies(void **state)
{
    (void)state;
    struct queue *q = open_memory(10);
    struct error err;
    char text[] = "first";
    send_text(q, text);
    memset(text, 'x', sizeof text); /* sent means copied */
    send_text(q, "second");
    assert_true(queue_send(q, &anywhere, "", 0, &err));
    assert_true(queue_flush(q, &err));
    struct queue_message a = receive(q, 0), b = receive(q, 0), c = receive(q, 0);
    check_text(&a, "first");
    check_text(&b, "second");
    check_text(&c, "");
    assert_null(receive(q, 0).bytes);
    ack(q, &b); /* in any order; the others stay borrowed */
    check_text(&a, "first");
    ack(q, &c);
    ack(q, &a);
    queue_close(q);
}

static void test_close_with_messages_of_every_state(void **state)
{
    (void)state;
    struct queue *q = open_memory(10);
    for (int i = 0; i < 6; i++)
        send_text(q, "message");
    struct queue_message one = receive(q, 0);
    (void)receive(q, 0);
    ack(q, &one);
    queue_close(q); /* the sanitizers see what would be left */
}

static void test_receiving_waits_for_its_time(void **state)
{
    (void)state;
    struct queue *q = open_memory(1);
    double start = seconds();
    assert_null(receive(q, 0).bytes);
    assert_true(seconds() - start < 1);
    start = seconds();
    assert_null(receive(q, 120).bytes);
    assert_true(seconds() - start >= 0.119);
    queue_close(q);
}

static void test_descriptor_is_readable_while_messages_wait(void **state)
{
    (void)state;
    struct queue *q = open_memory(3);
    assert_false(is_readable(q));
    send_text(q, "a");
    send_text(q, "b");
    assert_true(is_readable(q));
    struct queue_message a = receive(q, 0);
    assert_true(is_readable(q));
    struct queue_message b = receive(q, 0);
    assert_false(is_readable(q));
    ack(q, &a);
    ack(q, &b);
    queue_finish(q);
    assert_true(is_readable(q));
    queue_close(q);
}

static void test_finish(void **state)
{
    (void)state;
    struct queue *q = open_memory(3);
    struct error err;
    send_text(q, "last");
    queue_finish(q);
    queue_finish(q);
    assert_false(queue_is_finished(q));
    assert_false(queue_send(q, &anywhere, "x", 1, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    struct queue_message last = receive(q, LONG_MS);
    check_text(&last, "last");
    assert_true(queue_is_finished(q));
    assert_true(is_readable(q));
    assert_null(receive(q, LONG_MS).bytes); /* does not wait */
    assert_null(receive(q, -1).bytes);
    ack(q, &last);
    queue_close(q);
}

/* ---- two threads ----------------------------------------------------------------------------------- */

struct sender {
    struct queue *q;
    unsigned count;
    unsigned sent; /* atomically */
    enum error_kind failure;
};

static void *send_numbers(void *context)
{
    struct sender *sender = context;
    struct error err;
    for (unsigned i = 0; i < sender->count; i++) {
        if (!queue_send(sender->q, &anywhere, &i, sizeof i, &err)) {
            sender->failure = err.kind;
            return NULL;
        }
        __atomic_add_fetch(&sender->sent, 1, __ATOMIC_SEQ_CST);
    }
    queue_finish(sender->q);
    return NULL;
}

static void test_sending_blocks_while_full(void **state)
{
    (void)state;
    struct sender sender = {.q = open_memory(3), .count = 5};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_numbers, &sender), 0);
    while (__atomic_load_n(&sender.sent, __ATOMIC_SEQ_CST) < 3)
        sleep_ms(1);
    sleep_ms(50);
    assert_int_equal(__atomic_load_n(&sender.sent, __ATOMIC_SEQ_CST), 3);
    for (unsigned i = 0; i < 5; i++) {
        struct queue_message message = receive(sender.q, LONG_MS);
        assert_memory_equal(message.bytes, &i, sizeof i);
        ack(sender.q, &message);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    queue_close(sender.q);
}

static void test_finish_frees_a_blocked_sender(void **state)
{
    (void)state;
    struct sender sender = {.q = open_memory(1), .count = 5};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_numbers, &sender), 0);
    while (__atomic_load_n(&sender.sent, __ATOMIC_SEQ_CST) < 1)
        sleep_ms(1);
    queue_finish(sender.q); /* as a receiver that stops early does */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(sender.failure, ERROR_FATAL);
    queue_close(sender.q);
}

static void *finish_later(void *context)
{
    sleep_ms(50);
    queue_finish(context);
    return NULL;
}

static void test_finish_wakes_a_waiting_receiver(void **state)
{
    (void)state;
    struct queue *q = open_memory(1);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, finish_later, q), 0);
    double start = seconds();
    assert_null(receive(q, -1).bytes);
    assert_true(seconds() - start < LONG_MS / 1000.0);
    assert_true(queue_is_finished(q));
    assert_int_equal(pthread_join(thread, NULL), 0);
    queue_close(q);
}

/* Messages change hands in lots: fewer than a lot are not kept back. */
static void *send_one_later(void *context)
{
    sleep_ms(50);
    send_text(context, "one");
    return NULL;
}

static void test_one_message_is_not_kept_back(void **state)
{
    (void)state;
    struct queue *q = open_memory(1000);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_one_later, q), 0);
    double start = seconds();
    struct queue_message one = receive(q, LONG_MS);
    check_text(&one, "one");
    assert_true(seconds() - start < LONG_MS / 2000.0);
    ack(q, &one);
    assert_int_equal(pthread_join(thread, NULL), 0);
    queue_close(q);
}

static void test_counts_are_those_of_messages_not_of_lots(void **state)
{
    (void)state;
    struct queue *q = open_memory(1000);
    struct queue_state counts;
    for (int i = 0; i < 300; i++)
        send_text(q, "message");
    for (int i = 0; i < 300; i++) {
        struct queue_message message = receive(q, 0);
        queue_state(q, &counts);
        assert_int_equal(counts.lag, 299 - i);
        assert_int_equal(counts.in_flight, 1);
        ack(q, &message);
    }
    queue_close(q);
}

/* By poll() only, as a worker does, with up to 7 messages held back before they are acknowledged. */
static void test_many_messages_between_two_threads(void **state)
{
    (void)state;
    enum { COUNT = 50000, HELD = 7 };
    struct sender sender = {.q = open_memory(16), .count = COUNT};
    struct queue_message held[HELD] = {{0}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_numbers, &sender), 0);
    unsigned next = 0;
    while (!queue_is_finished(sender.q)) {
        struct pollfd fd = {.fd = queue_descriptor(sender.q), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, LONG_MS), 1);
        struct queue_message message = receive(sender.q, 0);
        if (message.bytes == NULL)
            continue;
        assert_memory_equal(message.bytes, &next, sizeof next);
        struct queue_message *place = &held[next++ % HELD];
        if (place->bytes != NULL)
            ack(sender.q, place);
        *place = message;
    }
    assert_int_equal(next, COUNT);
    assert_int_equal(pthread_join(thread, NULL), 0);
    queue_close(sender.q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_and_close),
        cmocka_unit_test(test_forwarding_acknowledges),
        cmocka_unit_test(test_order_and_copies),
        cmocka_unit_test(test_close_with_messages_of_every_state),
        cmocka_unit_test(test_receiving_waits_for_its_time),
        cmocka_unit_test(test_descriptor_is_readable_while_messages_wait),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_sending_blocks_while_full),
        cmocka_unit_test(test_finish_frees_a_blocked_sender),
        cmocka_unit_test(test_finish_wakes_a_waiting_receiver),
        cmocka_unit_test(test_one_message_is_not_kept_back),
        cmocka_unit_test(test_counts_are_those_of_messages_not_of_lots),
        cmocka_unit_test(test_many_messages_between_two_threads),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
