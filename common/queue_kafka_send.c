#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/kafka.h"
#include "common/queue_kafka_parts.h"

#define FRAMING_BYTES \
    1024 /* of a topic's max.message.bytes, for what is around a message: headers, its key */
#define MESSAGE_MAX 1000000000
#define WAIT_MS 100

struct kafka_sender {
    struct kafka_queue kafka;
    rd_kafka_topic_t *object;
    uint32_t partitions; /* when it was opened: a lane stays where it is if some are added */
    size_t longest;
    uint64_t unanswered;
    bool is_closing;
};

/* Whose message is acknowledged with the answer. */
struct delivery {
    struct queue *source;
    struct queue_message message;
};

static struct kafka_sender *sender_of(struct queue *q)
{
    assert(q->transport == &queue_kafka_sender);
    return (struct kafka_sender *)q; /* the queue is the first member of the first member */
}

/* ---- answers --------------------------------------------------------------------------------------- */

/* librdkafka has tried again what may be tried again: what arrives here is for good. */
static void fail(struct kafka_sender *sender, rd_kafka_resp_err_t code, size_t length)
{
    struct kafka_client *client = &sender->kafka.client;
    const char *topic = sender->kafka.topic;
    switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        kafka_client_fail(
            client, ERROR_FATAL,
            "Kafka's topic '%s' does not take a message of %zu bytes; raise its max.message.bytes", topic,
            length);
        break;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        kafka_client_fail(client, ERROR_FATAL,
                          "Kafka's topic '%s' is gone; 'niffler-png produce --create-topics' makes it",
                          topic);
        break;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        kafka_client_fail(
            client, ERROR_FATAL,
            "no permission to write to Kafka's topic '%s'; the user needs Write and Describe on it", topic);
        break;
    default:
        if (rd_kafka_fatal_error(client->handle, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            (void)rd_kafka_poll(client->handle, 0);
            kafka_client_fail(client, ERROR_BUG,
                              "the order of what was sent to Kafka's topic '%s' is lost: %s", topic,
                              rd_kafka_err2str(code));
        } else {
            kafka_client_fail(client, ERROR_FATAL, "Kafka's topic '%s' does not take a message: %s (%s)",
                              topic, rd_kafka_err2str(code), rd_kafka_err2name(code));
        }
    }
}

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *report, void *context)
{
    struct kafka_sender *sender = ((struct kafka_client *)context)->owner;
    struct delivery *delivery = report->_private;
    struct error err;
    (void)handle;
    assert(sender->unanswered > 0);
    sender->unanswered--;
    CRASH_POINT("queue.answered");
    /* While it closes nobody may be there any more to acknowledge to. */
    if (report->err != RD_KAFKA_RESP_ERR_NO_ERROR && !sender->is_closing)
        fail(sender, report->err, report->len);
    else if (delivery != NULL && !sender->is_closing &&
             !queue_ack(delivery->source, &delivery->message, &err))
        kafka_client_fail(&sender->kafka.client, err.kind, "%s", err.text);
    free(delivery);
    CRASH_POINT("queue.answer_taken");
}

/* Take the answers that are there. A failure for good ends what is still under way: its messages come again
 * from where they came. */
static bool take_answers(struct kafka_sender *sender, int timeout_ms, struct error *err)
{
    queue_kafka_lower(&sender->kafka);
    while (rd_kafka_poll(sender->kafka.client.handle, timeout_ms) > 0)
        timeout_ms = 0;
    if (sender->kafka.is_finished)
        queue_kafka_raise(&sender->kafka);
    return kafka_client_check(&sender->kafka.client, err);
}

/* ---- sending --------------------------------------------------------------------------------------- */

static rd_kafka_resp_err_t produce(struct kafka_sender *sender, const struct queue_address *to,
                                   const void *bytes, size_t length, struct delivery *delivery)
{
    int32_t partition =
        to->key != NULL ? RD_KAFKA_PARTITION_UA : (int32_t)(to->lane % (uint64_t)sender->partitions);
    static const char nothing[1] = {0}; /* an empty message is not a message without a value */
    union {
        const void *constant;
        void *copied; /* librdkafka's prototype is for all its flags; with F_COPY it only reads */
    } payload = {.constant = length > 0 ? bytes : nothing};
    int failed = rd_kafka_produce(sender->object, partition, RD_KAFKA_MSG_F_COPY, payload.copied, length,
                                  to->key, to->key != NULL ? strlen(to->key) : 0, delivery);
    return failed == 0 ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_last_error();
}

static bool send_message(struct kafka_sender *sender, const struct queue_address *to, const void *bytes,
                         size_t length, struct delivery *delivery, struct error *err)
{
    if (length > sender->longest)
        return error_set(err, ERROR_INPUT,
                         "a message of %zu bytes is longer than the %zu of Kafka's topic '%s'", length,
                         sender->longest, sender->kafka.topic);
    if (sender->kafka.is_finished)
        return error_set(err, ERROR_FATAL, "queue is finished");
    if (!take_answers(sender, 0, err))
        return false;
    rd_kafka_resp_err_t code;
    while ((code = produce(sender, to, bytes, length, delivery)) == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        /* This thread may have a receiver too, whose membership must live on: rule 9. */
        if (delivery != NULL && !queue_serve(delivery->source, err))
            return false;
        if (!take_answers(sender, WAIT_MS, err))
            return false;
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fail(sender, code, length);
        return kafka_client_check(&sender->kafka.client, err);
    }
    sender->unanswered++;
    CRASH_POINT("queue.sent");
    return true;
}

static bool sender_send(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                        struct error *err)
{
    return send_message(sender_of(q), to, bytes, length, NULL, err);
}

static bool sender_forward(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                           struct queue *source, struct queue_message *message, struct error *err)
{
    struct delivery *delivery = xmalloc(sizeof *delivery);
    *delivery = (struct delivery){.source = source, .message = *message};
    if (!send_message(sender_of(q), to, bytes, length, delivery, err)) {
        free(delivery);
        return false;
    }
    *message = (struct queue_message){0};
    return true;
}

static bool sender_flush(struct queue *q, struct error *err)
{
    struct kafka_sender *sender = sender_of(q);
    while (sender->unanswered > 0) {
        if (!take_answers(sender, WAIT_MS, err))
            return false;
    }
    return kafka_client_check(&sender->kafka.client, err);
}

static bool sender_serve(struct queue *q, struct error *err)
{
    return take_answers(sender_of(q), 0, err);
}

static size_t sender_longest(struct queue *q)
{
    return sender_of(q)->longest;
}

static void sender_state(struct queue *q, struct queue_state *state)
{
    struct kafka_sender *sender = sender_of(q);
    const struct kafka_client *client = &sender->kafka.client;
    state->is_ready =
        kafka_client_is_up(client) && client->failure.kind == ERROR_NONE && !sender->kafka.is_finished;
    state->unanswered = sender->unanswered;
    state->errors = client->errors;
}

/* ---- open and close -------------------------------------------------------------------------------- */

static void sender_close(struct queue *q)
{
    struct kafka_sender *sender = sender_of(q);
    sender->is_closing = true;
    if (sender->kafka.client.handle != NULL) {
        rd_kafka_queue_t *answers = rd_kafka_queue_get_main(sender->kafka.client.handle);
        rd_kafka_queue_io_event_enable(answers, -1, NULL, 0);
        rd_kafka_queue_destroy(answers);
        (void)rd_kafka_purge(sender->kafka.client.handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        while (sender->unanswered > 0 && rd_kafka_poll(sender->kafka.client.handle, WAIT_MS) >= 0)
            continue;
    }
    if (sender->object != NULL)
        rd_kafka_topic_destroy(sender->object);
    queue_kafka_clear(&sender->kafka);
    free(sender);
}

/* Make librdkafka take messages as long as the topic does, and say how long ours may be. */
static bool set_longest(rd_kafka_conf_t *conf, int64_t longest, size_t *ours, struct error *err)
{
    char text[32];
    size_t size = sizeof text;
    if (longest == KAFKA_NOT_TOLD) {
        if (rd_kafka_conf_get(conf, "message.max.bytes", text, &size) != RD_KAFKA_CONF_OK)
            return error_set(err, ERROR_BUG, "librdkafka does not tell message.max.bytes");
        longest = strtoll(text, NULL, 10);
    }
    if (longest > MESSAGE_MAX)
        longest = MESSAGE_MAX;
    if (longest < 2 * FRAMING_BYTES)
        return error_set(err, ERROR_FATAL, "max.message.bytes of %" PRId64 " is too short for any message",
                         longest);
    (void)snprintf(text, sizeof text, "%" PRId64, longest);
    *ours = (size_t)longest - FRAMING_BYTES;
    return kafka_config_set(conf, "message.max.bytes", text, err);
}

static bool connect_sender(struct kafka_sender *sender, const struct queue_kafka_options *options,
                           const struct kafka_topic *topic, struct error *err)
{
    static const uint64_t one = 1;
    rd_kafka_conf_t *conf;
    if (!kafka_config_new(&conf, options->settings, KAFKA_SENDS, err))
        return false;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    if (!set_longest(conf, topic->longest_bytes, &sender->longest, err)) {
        rd_kafka_conf_destroy(conf);
        return error_prefix(err, "Kafka's topic '%s'", options->topic);
    }
    if (!kafka_client_open(&sender->kafka.client, conf, options->settings, KAFKA_SENDS, sender, err))
        return false;
    rd_kafka_queue_t *answers = rd_kafka_queue_get_main(sender->kafka.client.handle);
    rd_kafka_queue_io_event_enable(answers, sender->kafka.event, &one, sizeof one);
    rd_kafka_queue_destroy(answers);
    sender->object = rd_kafka_topic_new(sender->kafka.client.handle, options->topic, NULL);
    if (sender->object == NULL)
        return error_set(err, ERROR_FATAL, "'%s' cannot be the name of a topic", options->topic);
    return true;
}

bool queue_kafka_send_open(struct queue **q, const struct queue_kafka_options *options, int patience_ms,
                           struct error *err)
{
    struct kafka_topic topic;
    if (!kafka_describe_topic(options->settings, options->topic, patience_ms, &topic, err))
        return false;
    if (topic.partitions == 0)
        return kafka_client_no_topic(options->topic, err);
    struct kafka_sender *sender = xcalloc(1, sizeof *sender);
    sender->kafka.base.transport = &queue_kafka_sender;
    sender->kafka.topic = xstrdup(options->topic);
    sender->partitions = topic.partitions;
    sender->kafka.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (sender->kafka.event < 0)
        (void)error_errno(err, ERROR_FATAL, "cannot make an event descriptor");
    else if (connect_sender(sender, options, &topic, err)) {
        *q = &sender->kafka.base;
        return true;
    }
    sender_close(&sender->kafka.base);
    return false;
}

const struct queue_transport queue_kafka_sender = {
    .is_durable = true,
    .send = sender_send,
    .forward = sender_forward,
    .flush = sender_flush,
    .finish = queue_kafka_finish,
    .receive = queue_kafka_no_receive,
    .is_finished = queue_kafka_is_finished,
    .ack = queue_kafka_no_ack,
    .serve = sender_serve,
    .state = sender_state,
    .longest = sender_longest,
    .descriptor = queue_kafka_descriptor,
    .close = sender_close,
};
