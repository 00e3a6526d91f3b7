/* Sending over a Kafka that fails: what can be tried again is, for as long as it takes; what cannot is told
 * in one sentence, and nothing is acknowledged before it is delivered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fault/kafka_broker.h"

#define FAST "session.timeout.ms=6000\nheartbeat.interval.ms=200\n"

enum { PRODUCE = 0 }; /* the request's number in Kafka's protocol */

static const struct queue_address anywhere = {0};

static void expect_failure(struct queue *q, enum error_kind kind, const char *topic, const char *hint)
{
    struct error err;
    assert_false(queue_flush(q, &err));
    assert_int_equal(err.kind, kind);
    if (strstr(err.text, topic) == NULL || strstr(err.text, hint) == NULL)
        fail_msg("'%s' lacks '%s' or '%s'", err.text, topic, hint);
    assert_false(queue_send(q, &anywhere, "x", 1, &err)); /* and it stays so */
    assert_int_equal(err.kind, kind);
    assert_false(queue_serve(q, &err));
    assert_false(state_of(q).is_ready);
}

static void test_forwarded_is_acknowledged_with_the_delivery(void **context)
{
    (void)context;
    enum { COUNT = 20 };
    struct broker broker;
    struct error err;
    struct queue *source;
    broker_open(&broker, 1, FAST);
    assert_true(queue_memory_open(&source, COUNT, &err));
    struct queue *to = open_sender(&broker);
    rd_kafka_mock_push_request_errors(
        broker.cluster, PRODUCE, 6, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
    for (unsigned i = 0; i < COUNT; i++) {
        send_number(source, 0, i);
        struct queue_message message = receive(source, 0);
        assert_true(queue_forward(to, &anywhere, message.bytes, message.length, source, &message, &err));
        assert_null(message.bytes);
    }
    serve(to);
    assert_int_equal(state_of(source).in_flight, COUNT); /* refused so far */
    assert_int_equal(state_of(to).unanswered, COUNT);
    flush(to);
    assert_int_equal(state_of(source).in_flight, 0);
    assert_int_equal(state_of(to).unanswered, 0);
    struct queue *from = open_receiver(&broker, false);
    for (unsigned i = 0; i < COUNT; i++) {
        struct queue_message message = receive(from, LONG_MS);
        assert_int_equal(number_of(&message), i); /* each once, in order */
        ack(from, &message);
    }
    assert_null(receive(from, 300).bytes);
    queue_close(from);
    queue_close(to);
    queue_close(source);
    broker_close(&broker);
}

static void test_permanent_errors_are_named(void **context)
{
    (void)context;
    static const struct {
        rd_kafka_resp_err_t code;
        const char *hint;
    } cases[] = {
        {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, "max.message.bytes"},
        {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "permission"},
        {RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS, "INVALID_REQUIRED_ACKS"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct broker broker;
        struct error err;
        struct queue *source;
        broker_open(&broker, 1, FAST);
        assert_true(queue_memory_open(&source, 1, &err));
        struct queue *to = open_sender(&broker);
        rd_kafka_mock_push_request_errors(broker.cluster, PRODUCE, 1, cases[i].code);
        send_text(source, 0, "task");
        struct queue_message message = receive(source, 0);
        assert_true(queue_forward(to, &anywhere, "record", 6, source, &message, &err));
        expect_failure(to, ERROR_FATAL, broker.topic, cases[i].hint);
        assert_int_equal(state_of(source).in_flight, 1); /* it will come again */
        queue_close(to);
        queue_close(source);
        broker_close(&broker);
    }
}

static void test_a_topic_that_goes(void **context)
{
    (void)context;
    struct broker broker;
    broker_open(&broker, 1,
                FAST "topic.metadata.propagation.max.ms=500\ntopic.metadata.refresh.interval.ms=300\n");
    struct queue *to = open_sender(&broker);
    send_text(to, 0, "x");
    flush(to);
    rd_kafka_mock_topic_set_error(broker.cluster, broker.topic, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    rd_kafka_resp_err_t unknown[200]; /* to each attempt */
    for (size_t i = 0; i < 200; i++)
        unknown[i] = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    rd_kafka_mock_push_request_errors_array(broker.cluster, PRODUCE, 200, unknown);
    send_text(to, 0, "y");
    expect_failure(to, ERROR_FATAL, broker.topic, "--create-topics");
    queue_close(to);
    broker_close(&broker);
}

/* What was sent may be doubled or out of order then: a defect, and the end of this process. */
static void test_lost_order_is_a_bug(void **context)
{
    (void)context;
    struct broker broker;
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker);
    rd_kafka_mock_push_request_errors(broker.cluster, PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    send_text(to, 0, "x");
    expect_failure(to, ERROR_BUG, "order", "OUT_OF_ORDER");
    queue_close(to);
    broker_close(&broker);
}

static void test_opening_what_is_not_there(void **context)
{
    (void)context;
    struct broker broker;
    struct error err;
    struct queue *q;
    broker_open(&broker, 1, FAST);
    struct queue_kafka_options options = {.settings = &broker.settings, .topic = broker.topic};
    rd_kafka_mock_topic_set_error(broker.cluster, broker.topic, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    for (int i = 0; i < 2; i++) {
        options.group = i == 0 ? NULL : broker.group;
        assert_false(queue_kafka_open(&q, &options, LONG_MS, &err));
        assert_null(q);
        assert_int_equal(err.kind, ERROR_FATAL);
        assert_non_null(strstr(err.text, broker.topic));
        assert_non_null(strstr(err.text, "--create-topics"));
    }
    rd_kafka_mock_topic_set_error(broker.cluster, broker.topic, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_false(queue_kafka_open(&q, &options, LONG_MS, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_non_null(strstr(err.text, "permission"));
    struct kafka_topic topic;
    rd_kafka_mock_topic_set_error(broker.cluster, broker.topic, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    assert_true(kafka_describe_topic(&broker.settings, broker.topic, LONG_MS, &topic, &err));
    assert_int_equal(topic.partitions, 0);
    broker_close(&broker);
}

static void test_no_broker(void **context)
{
    (void)context;
    struct broker broker;
    struct error err;
    struct queue *q;
    broker_open(&broker, 1, FAST);
    struct queue_kafka_options options = {.settings = &broker.settings, .topic = broker.topic};
    (void)snprintf(broker.brokers, sizeof broker.brokers, "127.0.0.1:1");
    int64_t start = meter_now_ms();
    assert_false(queue_kafka_open(&q, &options, 700, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_non_null(strstr(err.text, "127.0.0.1:1"));
    assert_in_range(meter_now_ms() - start, 600, 3000);
    options.group = broker.group;
    assert_true(queue_kafka_open(&q, &options, 300, &err)); /* it waits while receiving */
    assert_null(receive(q, 300).bytes);
    assert_false(state_of(q).is_ready);
    assert_true(state_of(q).errors > 0);
    queue_close(q);
    assert_true(meter_now_ms() - start < 10000);
    broker_close(&broker);
}

static void test_a_broker_that_comes_back(void **context)
{
    (void)context;
    struct broker broker;
    struct error err;
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker), *from = open_receiver(&broker, true);
    send_text(to, 0, "before");
    struct queue_message message = receive(from, LONG_MS);
    check_text(&message, "before");
    ack(from, &message);
    assert_true(state_of(to).is_ready && state_of(from).is_ready);
    assert_int_equal(rd_kafka_mock_broker_set_down(broker.cluster, -1), 0);
    send_text(to, 0, "while it is down");
    int64_t end = meter_now_ms() + 3000;
    while (meter_now_ms() < end) {
        assert_true(queue_serve(to, &err));
        assert_null(receive(from, 100).bytes);
    }
    assert_int_equal(state_of(to).unanswered, 1);
    assert_false(state_of(to).is_ready);
    assert_false(state_of(from).is_ready);
    assert_int_equal(rd_kafka_mock_broker_set_up(broker.cluster, -1), 0);
    int64_t back = meter_now_ms();
    do {
        assert_true(queue_serve(to, &err));
        message = receive(from, 50);
    } while (message.bytes == NULL && meter_now_ms() - back < 5000);
    check_text(&message, "while it is down");
    ack(from, &message);
    flush(to);
    assert_true(meter_now_ms() - back < 5000);
    assert_true(state_of(to).is_ready && state_of(from).is_ready);
    queue_close(from);
    queue_close(to);
    broker_close(&broker);
}

static void test_sending_blocks_while_full(void **context)
{
    (void)context;
    enum { COUNT = 60 };
    struct broker broker;
    broker_open(&broker, 1, FAST "queue.buffering.max.messages=10\n");
    struct queue *to = open_sender(&broker), *from = open_receiver(&broker, false);
    for (unsigned i = 0; i < COUNT; i++) {
        send_number(to, 0, i);
        assert_in_range(state_of(to).unanswered, 1, 10);
    }
    flush(to);
    for (unsigned i = 0; i < COUNT; i++) {
        struct queue_message message = receive(from, LONG_MS);
        assert_int_equal(number_of(&message), i);
        ack(from, &message);
    }
    queue_close(from);
    queue_close(to);
    broker_close(&broker);
}

static void test_the_config_file(void **context)
{
    (void)context;
    static const struct {
        const char *lines;
        const char *expected; /* NULL: taken */
    } cases[] = {
        {"# remark\n\n linger.ms = 5 \nsession.timeout.ms=7000\r\nsasl.password=secret-value\n", NULL},
        {"linger.ms=5\nlinger.mss=5\n", "line 2: librdkafka has no property 'linger.mss'"},
        {"linger.ms=secret-value\n", "line 1: librdkafka does not take the value of 'linger.ms'"},
        {"secret-value\n", "line 1: not a line of the form name=value"},
        {"enable.auto.commit=secret-value\n", "'enable.auto.commit' may not be set"},
        {"enable.auto.offset.store=true\n", "'enable.auto.offset.store' may not be set"},
        {"enable.idempotence=false\n", "'enable.idempotence' may not be set"},
        {"group.id=x\n", "KafkaWorkerGroup"},
        {"bootstrap.servers=x\n", "KafkaBrokers"},
        {"rebalance_cb=x\n", "'rebalance_cb' may not be set"},
        {"acks=1\n", "'acks' may not be set"},
        {"=x\n", "no property ''"},
    };
    struct broker broker;
    struct error err;
    broker_open(&broker, 1, "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct queue *q;
        const struct queue_kafka_options options = {.settings = &broker.settings, .topic = broker.topic};
        broker_config(&broker, cases[i].lines);
        bool ok = queue_kafka_open(&q, &options, LONG_MS, &err);
        if (ok != (cases[i].expected == NULL) || (!ok && strstr(err.text, cases[i].expected) == NULL))
            fail_msg("case %zu: '%s'", i, ok ? "taken" : err.text);
        assert_true(ok || err.kind == ERROR_FATAL);
        assert_true(ok || strstr(err.text, "secret-value") == NULL);
        queue_close(q);
    }
    broker.settings.kafka_config_file = (char[]){"/nowhere/kafka.properties"};
    struct queue *q;
    const struct queue_kafka_options options = {.settings = &broker.settings, .topic = broker.topic};
    assert_false(queue_kafka_open(&q, &options, LONG_MS, &err));
    assert_non_null(strstr(err.text, "cannot open KafkaConfigFile '/nowhere/kafka.properties'"));
    broker.settings.kafka_config_file = NULL;
    broker.settings.kafka_brokers = NULL;
    assert_false(queue_kafka_open(&q, &options, LONG_MS, &err));
    assert_string_equal(err.text, "KafkaBrokers is not set");
    broker_close(&broker);
}

/* SASL/OAUTHBEARER: the token is read when it is needed. The mock cluster asks for none, so that one which is
 * taken leads to no answer, and not to a refusal. */
static void test_the_token_file(void **context)
{
    (void)context;
    static const struct {
        const char *token; /* NULL: no file */
        const char *expected;
    } cases[] = {
        {NULL, "cannot open KafkaTokenFile"},
        {" \n", "is empty"},
        /* {"alg":"none"} {"sub":"fleet","exp":1000000000}, and the same until 2100 */
        {"eyJhbGciOiJub25lIn0.eyJzdWIiOiJmbGVldCIsImV4cCI6MTAwMDAwMDAwMH0.", "unexpired"},
        {"\n eyJhbGciOiJub25lIn0.eyJzdWIiOiJmbGVldCIsImV4cCI6NDEwMjQ0NDgwMH0. \n",
         "SASL Handshake not supported"},
        {"secret-and-opaque", "SASL Handshake not supported"},
        {"a.secret-%%%.b", "SASL Handshake not supported"},
    };
    struct broker broker;
    struct error err;
    char path[96];
    broker_open(&broker, 1, "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n");
    (void)snprintf(path, sizeof path, "%s/token", broker.folder);
    broker.settings.kafka_token_file = path;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct queue *q;
        const struct queue_kafka_options options = {.settings = &broker.settings, .topic = broker.topic};
        if (cases[i].token != NULL)
            make_file(broker.dir, "token", cases[i].token);
        assert_false(queue_kafka_open(&q, &options, LONG_MS, &err));
        if (err.kind != ERROR_FATAL || strstr(err.text, cases[i].expected) == NULL)
            fail_msg("case %zu: %s", i, err.text);
        assert_null(strstr(err.text, "secret"));
    }
    broker_close(&broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forwarded_is_acknowledged_with_the_delivery),
        cmocka_unit_test(test_permanent_errors_are_named),
        cmocka_unit_test(test_a_topic_that_goes),
        cmocka_unit_test(test_lost_order_is_a_bug),
        cmocka_unit_test(test_opening_what_is_not_there),
        cmocka_unit_test(test_no_broker),
        cmocka_unit_test(test_a_broker_that_comes_back),
        cmocka_unit_test(test_sending_blocks_while_full),
        cmocka_unit_test(test_the_config_file),
        cmocka_unit_test(test_the_token_file),
    };
    return cmocka_run_group_tests_name("sending over Kafka", tests, NULL, NULL);
}
