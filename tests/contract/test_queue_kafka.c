/* What common/queue.h promises, over Kafka: librdkafka's mock cluster, or the real broker that
 * NIFFLER_KAFKA_BROKERS names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fault/kafka_broker.h"

#define FAST "session.timeout.ms=6000\nheartbeat.interval.ms=200\n"

static void test_order_copies_and_acknowledgement(void **context)
{
    (void)context;
    struct broker broker;
    struct error err;
    char text[128];
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker);
    assert_true(queue_is_durable(to));
    char first[] = "first";
    send_text(to, 0, first);
    memset(first, 'x', sizeof first); /* sent means copied */
    send_text(to, 0, "second");
    send_text(to, 0, ""); /* empty is not absent */
    send_text(to, 0, "fourth");
    flush(to);
    assert_int_equal(state_of(to).unanswered, 0);

    struct queue *from = open_receiver(&broker, true);
    assert_true(queue_is_durable(from));
    struct queue_message a = receive(from, LONG_MS), b = receive(from, LONG_MS), c = receive(from, LONG_MS);
    check_text(&a, "first");
    check_text(&b, "second");
    check_text(&c, "");
    assert_int_equal(state_of(from).in_flight, 3);
    ack(from, &b); /* in any order; the others stay borrowed */
    check_text(&a, "first");
    ack(from, &c);
    serve_for(from, 500);
    assert_int_equal(committed(&broker, 0, text), 0); /* the first is not done */
    assert_int_equal(text[0], 'o');
    ack(from, &a);
    serve_for(from, 500);
    assert_int_equal(committed(&broker, 0, text), 3);
    struct queue_message d = receive(from, LONG_MS);
    check_text(&d, "fourth");
    assert_null(receive(from, 100).bytes);
    assert_int_equal(state_of(from).lag, 1);
    queue_close(from); /* not acknowledged: it comes again */
    assert_int_equal(committed(&broker, 0, text), 3);
    assert_string_equal(text, "c");

    from = open_receiver(&broker, true);
    d = receive(from, LONG_MS);
    check_text(&d, "fourth");
    assert_int_equal(d.deaths, 0);
    ack(from, &d);
    assert_null(receive(from, 300).bytes);
    queue_close(from);
    assert_int_equal(committed(&broker, 0, text), 4);
    assert_true(queue_flush(to, &err));
    queue_close(to);
    queue_close(NULL);
    broker_close(&broker);
}

/* By poll() on the descriptor only, as a worker does. */
static void test_descriptor_tells_of_every_message(void **context)
{
    (void)context;
    enum { COUNT = 3000, HELD = 7 };
    struct broker broker;
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker), *from = open_receiver(&broker, true);
    struct queue_message held[HELD] = {{0}};
    unsigned sent = 0, next = 0;
    int64_t end = meter_now_ms() + LONG_MS;
    while (next < COUNT && meter_now_ms() < end) {
        struct pollfd fds[] = {{.fd = queue_descriptor(from), .events = POLLIN},
                               {.fd = queue_descriptor(to), .events = POLLIN}};
        int ready = poll(fds, 2, 1000);
        for (int i = 0; i < 100 && sent < COUNT; i++)
            send_number(to, 0, sent++);
        serve(to);
        struct queue_message message = receive(from, 0);
        if (message.bytes == NULL)
            continue;
        assert_true(ready > 0); /* nothing comes unannounced */
        assert_int_equal(number_of(&message), next);
        struct queue_message *place = &held[next++ % HELD];
        if (place->bytes != NULL)
            ack(from, place);
        *place = message;
    }
    assert_int_equal(next, COUNT);
    queue_close(to);
    queue_close(from);
    broker_close(&broker);
}

static void test_receiving_waits_for_its_time_and_finish_ends_it(void **context)
{
    (void)context;
    struct broker broker;
    struct error err;
    struct queue_address anywhere = {0};
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker), *from = open_receiver(&broker, false);
    int64_t start = meter_now_ms();
    assert_null(receive(from, 0).bytes);
    assert_true(meter_now_ms() - start < 2000);
    start = meter_now_ms();
    assert_null(receive(from, 300).bytes);
    assert_true(meter_now_ms() - start >= 299);
    queue_finish(from);
    queue_finish(from);
    assert_true(queue_is_finished(from));
    assert_null(receive(from, -1).bytes); /* does not wait */
    struct pollfd fd = {.fd = queue_descriptor(from), .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 1);
    assert_false(queue_is_finished(to));
    queue_finish(to);
    assert_false(queue_send(to, &anywhere, "x", 1, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    queue_close(from);
    queue_close(to);
    broker_close(&broker);
}

/* Lanes spread evenly; a key stays in one partition, in order. */
static void test_lanes_and_keys(void **context)
{
    (void)context;
    enum { COUNT = 400, PARTITIONS = 4 };
    struct broker broker;
    struct error err;
    char text[128];
    broker_open(&broker, PARTITIONS, FAST);
    struct queue *to = open_sender(&broker);
    for (unsigned i = 0; i < COUNT; i++)
        send_number(to, i, i);
    flush(to);
    struct queue *from = open_receiver(&broker, false);
    unsigned next[PARTITIONS];
    for (unsigned i = 0; i < PARTITIONS; i++)
        next[i] = i;
    for (unsigned i = 0; i < COUNT; i++) {
        struct queue_message message = receive(from, LONG_MS);
        unsigned number = number_of(&message);
        assert_int_equal(number, next[number % PARTITIONS]); /* in the order of their lane */
        next[number % PARTITIONS] += PARTITIONS;
        ack(from, &message);
    }
    assert_int_equal(state_of(from).assigned, PARTITIONS);
    const struct queue_address job = {.key = "job-1", .lane = 77};
    for (unsigned i = 0; i < 50; i++)
        assert_true(queue_send(to, &job, "k", 1, &err));
    flush(to);
    for (unsigned i = 0; i < 50; i++) {
        struct queue_message message = receive(from, LONG_MS);
        check_text(&message, "k");
        ack(from, &message);
    }
    queue_close(from);
    unsigned keyed = 0;
    for (int32_t i = 0; i < PARTITIONS; i++) {
        int64_t end = committed(&broker, i, text);
        assert_true(end == COUNT / PARTITIONS || end == COUNT / PARTITIONS + 50);
        keyed += end != COUNT / PARTITIONS;
    }
    assert_int_equal(keyed, 1);
    queue_close(to);
    broker_close(&broker);
}

static void test_messages_that_are_too_long(void **context)
{
    (void)context;
    struct broker broker;
    struct error err;
    const struct queue_address anywhere = {0};
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker), *from = open_receiver(&broker, false);
    size_t longest = queue_longest(to);
    assert_true(longest > 900000);
    char *bytes = calloc(1, longest + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < longest; i++)
        bytes[i] = (char)(i * 2654435761u >> 13); /* hard to compress */
    assert_false(queue_send(to, &anywhere, bytes, longest + 1, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_true(queue_send(to, &anywhere, bytes, longest, &err));
    flush(to);
    struct queue_message message = receive(from, LONG_MS);
    assert_int_equal(message.length, longest);
    assert_memory_equal(message.bytes, bytes, longest);
    ack(from, &message);
    free(bytes);
    queue_close(to);
    queue_close(from);
    broker_close(&broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_copies_and_acknowledgement),
        cmocka_unit_test(test_descriptor_tells_of_every_message),
        cmocka_unit_test(test_receiving_waits_for_its_time_and_finish_ends_it),
        cmocka_unit_test(test_lanes_and_keys),
        cmocka_unit_test(test_messages_that_are_too_long),
    };
    return cmocka_run_group_tests_name("queue over Kafka", tests, NULL, NULL);
}
