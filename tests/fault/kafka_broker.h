/* kafka_broker.h: a Kafka for tests: librdkafka's mock cluster, or the real one that NIFFLER_KAFKA_BROKERS
 * names; and short forms of what tests do with queues. Failures fail the test. */
#ifndef NIFFLER_TESTS_FAULT_KAFKA_BROKER_H
#define NIFFLER_TESTS_FAULT_KAFKA_BROKER_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/kafka.h"
#include "common/meter.h"
#include "common/queue_kafka.h"
#include "tests/unit/folder.h"

#define LONG_MS 30000 /* longer than anything here takes */

struct broker {
    rd_kafka_t *owner;                /* of the mock cluster */
    rd_kafka_mock_cluster_t *cluster; /* NULL: a real one */
    struct settings settings;
    char brokers[256];
    char folder[64];
    int dir;
    char config_path[96];
    char topic[64];
    char group[64];
};

static inline void sleep_ms(long ms)
{
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&wait, NULL);
}

/* Names of their own: a real broker keeps what an earlier test left. */
static inline void broker_name(struct broker *broker)
{
    uint32_t number = 0;
    assert_int_equal(getrandom(&number, sizeof number, 0), sizeof number);
    (void)snprintf(broker->topic, sizeof broker->topic, "test-topic-%08x", number);
    (void)snprintf(broker->group, sizeof broker->group, "test-group-%08x", number);
}

static inline void broker_config(struct broker *broker, const char *properties)
{
    make_file(broker->dir, "kafka.properties", properties);
}

/* `properties` are the lines of KafkaConfigFile. */
static inline void broker_open(struct broker *broker, int partitions, const char *properties)
{
    const char *real = getenv("NIFFLER_KAFKA_BROKERS");
    char text[256];
    struct error err;
    memset(broker, 0, sizeof *broker);
    broker->dir = folder_new(broker->folder);
    (void)snprintf(broker->config_path, sizeof broker->config_path, "%s/kafka.properties", broker->folder);
    broker_config(broker, properties);
    broker_name(broker);
    broker->settings = (struct settings){
        .kafka_brokers = broker->brokers, .kafka_commit_ms = 100, .kafka_config_file = broker->config_path};
    if (real != NULL) {
        const char *const names[] = {broker->topic, NULL};
        (void)snprintf(broker->brokers, sizeof broker->brokers, "%s", real);
        assert_true(kafka_create_topics(&broker->settings, names, (unsigned)partitions, 1, LONG_MS, &err));
        return;
    }
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "log_level", "3", text, sizeof text), 0);
    broker->owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    assert_non_null(broker->owner);
    broker->cluster = rd_kafka_mock_cluster_new(broker->owner, 1);
    assert_non_null(broker->cluster);
    (void)snprintf(broker->brokers, sizeof broker->brokers, "%s",
                   rd_kafka_mock_cluster_bootstraps(broker->cluster));
    assert_int_equal(rd_kafka_mock_topic_create(broker->cluster, broker->topic, partitions, 1), 0);
}

static inline void broker_close(struct broker *broker)
{
    if (broker->cluster != NULL) {
        rd_kafka_mock_cluster_destroy(broker->cluster);
        rd_kafka_destroy(broker->owner);
    }
    folder_remove(broker->folder, broker->dir);
}

static inline struct queue *open_sender(struct broker *broker)
{
    struct queue *q = NULL;
    struct error err;
    const struct queue_kafka_options options = {.settings = &broker->settings, .topic = broker->topic};
    if (!queue_kafka_open(&q, &options, LONG_MS, &err))
        fail_msg("%s", err.text);
    return q;
}

static inline struct queue *open_receiver(struct broker *broker, bool marks_suspects)
{
    struct queue *q = NULL;
    struct error err;
    const struct queue_kafka_options options = {.settings = &broker->settings,
                                                .topic = broker->topic,
                                                .group = broker->group,
                                                .marks_suspects = marks_suspects};
    if (!queue_kafka_open(&q, &options, LONG_MS, &err))
        fail_msg("%s", err.text);
    return q;
}

static inline void send_text(struct queue *q, uint64_t lane, const char *text)
{
    struct error err;
    const struct queue_address to = {.lane = lane};
    if (!queue_send(q, &to, text, strlen(text), &err))
        fail_msg("%s", err.text);
}

static inline void send_number(struct queue *q, uint64_t lane, unsigned number)
{
    char text[16];
    (void)snprintf(text, sizeof text, "%u", number);
    send_text(q, lane, text);
}

static inline void flush(struct queue *q)
{
    struct error err;
    if (!queue_flush(q, &err))
        fail_msg("%s", err.text);
}

static inline struct queue_message receive(struct queue *q, int timeout_ms)
{
    struct queue_message message;
    struct error err;
    if (!queue_receive(q, timeout_ms, &message, &err))
        fail_msg("%s", err.text);
    return message;
}

static inline void serve(struct queue *q)
{
    struct error err;
    if (!queue_serve(q, &err))
        fail_msg("%s", err.text);
}

static inline void serve_for(struct queue *q, int64_t ms)
{
    int64_t end = meter_now_ms() + ms;
    while (meter_now_ms() < end) {
        struct pollfd fd = {.fd = queue_descriptor(q), .events = POLLIN};
        (void)poll(&fd, 1, 50);
        serve(q);
        if (fd.revents != 0)
            sleep_ms(5); /* what waits is not taken here */
    }
}

static inline void ack(struct queue *q, struct queue_message *message)
{
    struct error err;
    assert_true(queue_ack(q, message, &err));
    assert_null(message->bytes);
}

static inline void check_text(const struct queue_message *message, const char *text)
{
    if (message->bytes == NULL)
        fail_msg("no message came; expected '%s'", text);
    if (message->length != strlen(text) || memcmp(message->bytes, text, message->length) != 0)
        fail_msg("'%.*s' came, not '%s'", (int)message->length, message->bytes, text);
}

static inline unsigned number_of(const struct queue_message *message)
{
    char text[16];
    assert_non_null(message->bytes);
    assert_in_range(message->length, 1, sizeof text - 1);
    memcpy(text, message->bytes, message->length);
    text[message->length] = '\0';
    return (unsigned)strtoul(text, NULL, 10);
}

static inline struct queue_state state_of(struct queue *q)
{
    struct queue_state state;
    queue_state(q, &state);
    return state;
}

/* What the group has committed of a partition: its offset (-1: nothing) and `text`, its metadata. */
static inline int64_t committed(struct broker *broker, int32_t partition, char text[128])
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", broker->brokers, reason, sizeof reason), 0);
    assert_int_equal(rd_kafka_conf_set(conf, "group.id", broker->group, reason, sizeof reason), 0);
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    assert_non_null(handle);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_t *entry = rd_kafka_topic_partition_list_add(list, broker->topic, partition);
    assert_int_equal(rd_kafka_committed(handle, list, LONG_MS), 0);
    assert_int_equal(entry->err, 0);
    int64_t offset = entry->offset < 0 ? -1 : entry->offset;
    (void)snprintf(text, 128, "%.*s", (int)entry->metadata_size,
                   entry->metadata == NULL ? "" : (const char *)entry->metadata);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return offset;
}

#endif
