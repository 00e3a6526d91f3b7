/* librdkafka's queue is emptied into a short list of our own, which outlives pauses; what does not fit stays
 * where it is, and after a second of that the partitions are paused, so that polling can go on: membership
 * hangs on it. A pause makes librdkafka drop what it has fetched and fetch it again, so it is not made
 * lightly. */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/log.h"
#include "common/meter.h"
#include "common/queue_kafka_parts.h"

#define WAITING_MAX 64
#define WAITING_BYTES_MAX (16u << 20)
#define RESUME_BELOW 16
#define WINDOW_MAX 65536u /* behind a message that is never done no more than this are given out */
#define POLL_AT_LEAST_MS 1000
#define POLL_MOST 1000 /* in one go */
#define STEP_MS 100    /* commits and the like are looked after that often while receive() waits */
#define RENEWALS_MAX 5
#define RENEWAL_SPAN_MS 60000
#define ASK_AT_OPEN_MS 5000 /* for the topic, so that a wrong name or password is told at once */

struct kafka_receiver *queue_kafka_receiver_of(struct queue *q)
{
    assert(q->transport == &queue_kafka_receiver);
    return (struct kafka_receiver *)q; /* the queue is the first member of the first member */
}

int queue_kafka_compare(const void *a, const void *b)
{
    int32_t x = ((const struct partition *)a)->id, y = ((const struct partition *)b)->id;
    return (x > y) - (x < y);
}

struct partition *queue_kafka_find(struct kafka_receiver *receiver, int32_t id)
{
    const struct partition key = {.id = id};
    if (receiver->partition_count == 0)
        return NULL;
    return bsearch(&key, receiver->partitions, receiver->partition_count, sizeof key, queue_kafka_compare);
}

/* ---- lists ----------------------------------------------------------------------------------------- */

static void append(struct taken_list *list, struct taken *taken)
{
    taken->next = NULL;
    taken->previous = list->last;
    if (list->last != NULL)
        list->last->next = taken;
    else
        list->first = taken;
    list->last = taken;
    list->count++;
    list->bytes += taken->length;
}

static void detach(struct taken_list *list, struct taken *taken)
{
    if (taken->previous != NULL)
        taken->previous->next = taken->next;
    else
        list->first = taken->next;
    if (taken->next != NULL)
        taken->next->previous = taken->previous;
    else
        list->last = taken->previous;
    list->count--;
    list->bytes -= taken->length;
}

static void free_list(struct taken_list *list)
{
    while (list->first != NULL) {
        struct taken *taken = list->first;
        detach(list, taken);
        free(taken);
    }
}

void queue_kafka_drop_waiting(struct kafka_receiver *receiver)
{
    free_list(&receiver->waiting);
}

void queue_kafka_drop_partition(struct kafka_receiver *receiver, int32_t id)
{
    struct taken *next;
    for (struct taken *taken = receiver->waiting.first; taken != NULL; taken = next) {
        next = taken->next;
        if (taken->partition == id) {
            detach(&receiver->waiting, taken);
            free(taken);
        }
    }
}

/* ---- from librdkafka ------------------------------------------------------------------------------- */

static void set_paused(struct kafka_receiver *receiver, bool is_paused)
{
    rd_kafka_t *handle = receiver->kafka.client.handle;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)receiver->partition_count);
    for (size_t i = 0; i < receiver->partition_count; i++)
        (void)rd_kafka_topic_partition_list_add(list, receiver->kafka.topic, receiver->partitions[i].id);
    /* Fails for a partition that is no longer ours only. */
    (void)(is_paused ? rd_kafka_pause_partitions(handle, list) : rd_kafka_resume_partitions(handle, list));
    rd_kafka_topic_partition_list_destroy(list);
    receiver->is_paused = is_paused;
}

/* An offset seen before: fetched again, or the partition was made anew, or cut, and counts from a lower
 * offset. The broker's end of the log tells. */
static bool log_began_anew(const struct kafka_receiver *receiver, const struct partition *partition)
{
    int64_t low = -1, high = -1;
    rd_kafka_resp_err_t code = rd_kafka_get_watermark_offsets(
        receiver->kafka.client.handle, receiver->kafka.topic, partition->id, &low, &high);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0 && high < partition->window.next;
}

static void take_message(struct kafka_receiver *receiver, const rd_kafka_message_t *message)
{
    uint64_t number;
    struct partition *partition = queue_kafka_find(receiver, message->partition);
    if (partition == NULL || receiver->is_revoking)
        return;
    if (!window_take(&partition->window, message->offset, &number)) {
        if (!log_began_anew(receiver, partition))
            return;
        queue_kafka_begin_anew(receiver, partition);
        if (!window_take(&partition->window, message->offset, &number))
            return;
    }
    if (!partition->is_open)
        receiver->commit_soon = true;
    struct taken *taken = xmalloc(sizeof *taken + message->len);
    *taken = (struct taken){.share = partition->share,
                            .number = number,
                            .offset = message->offset,
                            .partition = message->partition,
                            .length = message->payload == NULL ? 0 : message->len};
    if (taken->length > 0)
        memcpy(taken->bytes, message->payload, taken->length);
    append(&receiver->waiting, taken);
    CRASH_POINT("queue.message_taken");
}

/* What is wrong before anything ever came is set up wrongly; later it is waited for. */
static void take_error(struct kafka_receiver *receiver, const rd_kafka_message_t *message)
{
    struct kafka_client *client = &receiver->kafka.client;
    bool is_new = !receiver->had_partitions;
    struct error err;
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        return;
    if (is_new && message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        (void)kafka_client_no_topic(receiver->kafka.topic, &err);
        kafka_client_fail(client, err.kind, "%s", err.text);
    } else if (is_new && message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
        kafka_client_fail(client, ERROR_FATAL,
                          "no permission to read Kafka's topic '%s'; the user needs Read and Describe on it",
                          receiver->kafka.topic);
    } else if (is_new && message->err == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED) {
        kafka_client_fail(client, ERROR_FATAL,
                          "no permission to join Kafka's group '%s'; the user needs Read on it",
                          receiver->group);
    }
    receiver->is_unread |= strstr(rd_kafka_message_errstr(message), "committed offsets") != NULL;
    kafka_client_trouble(client, "receive", message->err, rd_kafka_message_errstr(message));
}

static bool is_full(const struct kafka_receiver *receiver)
{
    return receiver->waiting.count >= WAITING_MAX || receiver->waiting.bytes >= WAITING_BYTES_MAX;
}

static void take_messages(struct kafka_receiver *receiver)
{
    int64_t now = meter_now_ms();
    if (receiver->is_paused && receiver->waiting.count < RESUME_BELOW)
        set_paused(receiver, false);
    if (is_full(receiver) && !receiver->is_paused) {
        if (now - receiver->polled_ms < POLL_AT_LEAST_MS)
            return;
        set_paused(receiver, true);
    }
    for (int i = 0; i < POLL_MOST; i++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(receiver->kafka.client.handle, 0);
        receiver->polled_ms = now;
        if (message == NULL)
            return;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            take_message(receiver, message);
        else
            take_error(receiver, message);
        rd_kafka_message_destroy(message);
        if (is_full(receiver) && !receiver->is_paused)
            return;
    }
    queue_kafka_raise(&receiver->kafka); /* there may be more */
}

/* ---- giving out ------------------------------------------------------------------------------------ */

/* The message to give out now; NULL: none. Per partition they go in order: what may not be given out yet
 * holds back those behind it. A suspect waits until all else is done, and all else waits until it is. */
static struct taken *choose(struct kafka_receiver *receiver)
{
    if (receiver->kafka.is_finished || receiver->is_revoking || receiver->alone != NULL)
        return NULL;
    for (struct taken *taken = receiver->waiting.first; taken != NULL; taken = taken->next) {
        struct partition *partition = queue_kafka_find(receiver, taken->partition);
        assert(partition != NULL && partition->share == taken->share);
        if (taken->number - partition->window.first >= WINDOW_MAX)
            continue;
        if (!receiver->marks_suspects)
            return taken;
        bool is_suspect = suspects_include(&partition->suspects, taken->offset);
        if (is_suspect && partition->is_open && receiver->given.count > 0)
            return NULL;
        if (queue_kafka_may_give(receiver, partition, taken->offset, is_suspect))
            return taken;
        if (is_suspect && partition->is_open)
            return NULL;
    }
    return NULL;
}

static void give(struct kafka_receiver *receiver, struct taken *taken, struct queue_message *message)
{
    struct partition *partition = queue_kafka_find(receiver, taken->partition);
    detach(&receiver->waiting, taken);
    append(&receiver->given, taken);
    partition->given = taken->offset + 1;
    *message = (struct queue_message){.bytes = taken->bytes, .length = taken->length, .token = taken};
    if (receiver->marks_suspects && suspects_include(&partition->suspects, taken->offset)) {
        receiver->alone = taken;
        message->deaths = suspects_deaths(&partition->suspects, taken->offset);
        CRASH_POINT("queue.given_alone");
    }
    CRASH_POINT("queue.given");
}

/* Readable while something can be given out; librdkafka raises it for what it has. */
static void update_event(struct kafka_receiver *receiver)
{
    if (receiver->kafka.is_finished || choose(receiver) != NULL)
        queue_kafka_raise(&receiver->kafka);
}

static bool connect_receiver(struct kafka_receiver *receiver, const struct queue_kafka_options *options,
                             int patience_ms, struct error *err);

/* A broker that was frozen answers questions of before, too: to join the group a second time under the same
 * name is to be fenced by oneself, which librdkafka takes for its end. So the receiver begins again, as
 * another member. Where it is fenced again and again, somebody else has its name. */
static bool become_another_member(struct kafka_receiver *receiver, struct error *err)
{
    struct kafka_client *client = &receiver->kafka.client;
    const struct queue_kafka_options options = {.settings = client->settings,
                                                .topic = receiver->kafka.topic,
                                                .group = receiver->group,
                                                .marks_suspects = receiver->marks_suspects};
    int64_t now = meter_now_ms();
    if (now - receiver->renewed_ms >= RENEWAL_SPAN_MS)
        receiver->renewals = 0;
    receiver->renewed_ms = now;
    if (++receiver->renewals > RENEWALS_MAX)
        return error_set(err, ERROR_FATAL,
                         "another member of Kafka's group '%s' has the same group.instance.id",
                         receiver->group);
    log_event(LOG_LEVEL_WARN, "kafka", "kafka_fenced", "topic=%s", log_text(receiver->kafka.topic));
    rd_kafka_queue_io_event_enable(receiver->events, -1, NULL, 0);
    rd_kafka_queue_io_event_enable(receiver->answers, -1, NULL, 0);
    queue_kafka_forget_share(receiver);
    rd_kafka_queue_destroy(receiver->answers);
    rd_kafka_queue_destroy(receiver->events);
    receiver->events = receiver->answers = NULL;
    rd_kafka_destroy_flags(client->handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    client->handle = NULL;
    return connect_receiver(receiver, &options, POLL_AT_LEAST_MS, err);
}

/* Whether the membership has come to an end, of which librdkafka tells in more than one way. */
static bool check_membership(struct kafka_receiver *receiver, struct error *err)
{
    char text[256];
    rd_kafka_resp_err_t cause = rd_kafka_fatal_error(receiver->kafka.client.handle, text, sizeof text);
    if (cause == RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    if (cause == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID)
        return become_another_member(receiver, err);
    return error_set(err, ERROR_FATAL, "Kafka ends this membership (%s): %s", rd_kafka_err2name(cause), text);
}

static bool step(struct kafka_receiver *receiver, struct error *err)
{
    if (!check_membership(receiver, err))
        return false;
    queue_kafka_lower(&receiver->kafka);
    while (rd_kafka_queue_poll_callback(receiver->answers, 0) > 0)
        continue;
    take_messages(receiver);
    queue_kafka_serve_group(receiver);
    queue_kafka_serve_commits(receiver);
    return kafka_client_check(&receiver->kafka.client, err);
}

static bool receiver_serve(struct queue *q, struct error *err)
{
    struct kafka_receiver *receiver = queue_kafka_receiver_of(q);
    bool ok = step(receiver, err);
    update_event(receiver);
    return ok;
}

static bool receiver_receive(struct queue *q, int timeout_ms, struct queue_message *message,
                             struct error *err)
{
    struct kafka_receiver *receiver = queue_kafka_receiver_of(q);
    int64_t start = meter_now_ms();
    bool ok;
    for (;;) {
        ok = step(receiver, err);
        struct taken *taken = ok ? choose(receiver) : NULL;
        if (taken != NULL)
            give(receiver, taken, message);
        int64_t left = timeout_ms < 0 ? INT_MAX : start + timeout_ms - meter_now_ms();
        if (!ok || taken != NULL || left <= 0 || receiver->kafka.is_finished)
            break;
        queue_kafka_wait(&receiver->kafka, left < STEP_MS ? (int)left : STEP_MS);
    }
    update_event(receiver);
    return ok;
}

static bool receiver_ack(struct queue *q, struct queue_message *message, struct error *err)
{
    struct kafka_receiver *receiver = queue_kafka_receiver_of(q);
    struct taken *taken = message->token;
    (void)err;
    assert(taken != NULL); /* acknowledged twice, or never received */
    struct partition *partition = queue_kafka_find(receiver, taken->partition);
    if (partition != NULL && partition->share == taken->share) {
        window_done(&partition->window, taken->number);
        if (partition->wish == taken->offset) {
            partition->wish = -1;
            receiver->commit_soon = true; /* nothing is given out before its name is gone */
        }
    }
    if (receiver->alone == taken)
        receiver->alone = NULL;
    detach(&receiver->given, taken);
    free(taken);
    *message = (struct queue_message){0};
    CRASH_POINT("queue.acknowledged");
    if (receiver->is_revoking || receiver->commit_soon || receiver->waiting.count > 0)
        queue_kafka_raise(&receiver->kafka); /* something may follow */
    return true;
}

/* ---- state, open and close ------------------------------------------------------------------------- */

/* Of the partitions whose end is known. */
static int64_t lag_of(struct kafka_receiver *receiver)
{
    int64_t lag = receiver->is_member && receiver->partition_count == 0 ? 0 : -1;
    for (size_t i = 0; i < receiver->partition_count; i++) {
        const struct partition *partition = &receiver->partitions[i];
        int64_t low = -1, high = -1;
        int64_t position =
            partition->window.is_begun ? window_position(&partition->window) : partition->start;
        if (rd_kafka_get_watermark_offsets(receiver->kafka.client.handle, receiver->kafka.topic,
                                           partition->id, &low, &high) != RD_KAFKA_RESP_ERR_NO_ERROR ||
            high < 0)
            continue;
        if (position < low)
            position = low;
        lag = (lag < 0 ? 0 : lag) + (high > position ? high - position : 0);
    }
    return lag;
}

static void receiver_state(struct queue *q, struct queue_state *state)
{
    struct kafka_receiver *receiver = queue_kafka_receiver_of(q);
    const struct kafka_client *client = &receiver->kafka.client;
    state->is_ready = receiver->is_member && !receiver->is_revoking && !receiver->kafka.is_finished &&
                      client->failure.kind == ERROR_NONE && kafka_client_is_up(client);
    state->in_flight = receiver->given.count;
    state->assigned = receiver->partition_count;
    state->paused = receiver->is_paused ? receiver->partition_count : 0;
    state->rebalances = receiver->rebalances;
    state->commit_failures = receiver->commit_failures;
    state->errors = client->errors;
    state->committed_ms = (uint64_t)receiver->committed_ms;
    state->lag = lag_of(receiver);
}

static size_t receiver_longest(struct queue *q)
{
    (void)q;
    return 0; /* it does not send */
}

void queue_kafka_receiver_free(struct kafka_receiver *receiver)
{
    free_list(&receiver->waiting);
    free_list(&receiver->given);
    for (size_t i = 0; i < receiver->partition_count; i++)
        window_clear(&receiver->partitions[i].window);
    free(receiver->partitions);
    queue_kafka_clear(&receiver->kafka);
    free(receiver->group);
    free(receiver);
}

static void receiver_close(struct queue *q)
{
    struct kafka_receiver *receiver = queue_kafka_receiver_of(q);
    if (receiver->kafka.client.handle != NULL)
        queue_kafka_leave(receiver);
    else
        queue_kafka_receiver_free(receiver);
}

/* A topic that is not there, or a wrong password, is best told at once; a broker that is not there is waited
 * for in queue_receive(). */
static bool ask_for_topic(struct kafka_receiver *receiver, int patience_ms, struct error *err)
{
    unsigned partitions;
    bool is_known;
    int most = patience_ms < 0 || patience_ms > ASK_AT_OPEN_MS ? ASK_AT_OPEN_MS : patience_ms;
    if (!kafka_client_count_partitions(&receiver->kafka.client, receiver->kafka.topic, most, &partitions,
                                       &is_known, err))
        return err->kind == ERROR_RETRY;
    return is_known || kafka_client_no_topic(receiver->kafka.topic, err);
}

/* Messages that come while the group is left: nobody takes them any more. Without this callback
 * librdkafka 2.0.2 takes it for a mistake that rd_kafka_queue_poll_callback() meets one, and aborts. Polling
 * does not call it. */
static void drop_message(rd_kafka_message_t *message, void *context)
{
    (void)message; /* librdkafka's own */
    (void)context;
}

static bool connect_receiver(struct kafka_receiver *receiver, const struct queue_kafka_options *options,
                             int patience_ms, struct error *err)
{
    static const uint64_t one = 1;
    rd_kafka_conf_t *conf;
    if (!kafka_config_new(&conf, options->settings, KAFKA_RECEIVES, err))
        return false;
    rd_kafka_conf_set_rebalance_cb(conf, queue_kafka_rebalance);
    rd_kafka_conf_set_consume_cb(conf, drop_message);
    if (!kafka_config_set(conf, "group.id", options->group, err)) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    struct kafka_client *client = &receiver->kafka.client;
    if (!kafka_client_open(client, conf, options->settings, KAFKA_RECEIVES, receiver, err) ||
        !ask_for_topic(receiver, patience_ms, err))
        return false;
    if (rd_kafka_poll_set_consumer(client->handle) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, ERROR_BUG, "librdkafka does not join its queues");
    receiver->events = rd_kafka_queue_get_consumer(client->handle);
    receiver->answers = rd_kafka_queue_new(client->handle);
    rd_kafka_queue_io_event_enable(receiver->events, receiver->kafka.event, &one, sizeof one);
    rd_kafka_queue_io_event_enable(receiver->answers, receiver->kafka.event, &one, sizeof one);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(list, options->topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(client->handle, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return error_set(err, ERROR_FATAL, "cannot subscribe to Kafka's topic '%s': %s", options->topic,
                         rd_kafka_err2str(code));
    return true;
}

bool queue_kafka_receive_open(struct queue **q, const struct queue_kafka_options *options, int patience_ms,
                              struct error *err)
{
    struct kafka_receiver *receiver = xcalloc(1, sizeof *receiver);
    receiver->kafka.base.transport = &queue_kafka_receiver;
    receiver->kafka.topic = xstrdup(options->topic);
    receiver->group = xstrdup(options->group);
    receiver->marks_suspects = options->marks_suspects;
    receiver->commit_ms = options->settings->kafka_commit_ms;
    receiver->kafka.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (receiver->kafka.event < 0)
        (void)error_errno(err, ERROR_FATAL, "cannot make an event descriptor");
    else if (connect_receiver(receiver, options, patience_ms, err)) {
        *q = &receiver->kafka.base;
        return true;
    }
    receiver_close(&receiver->kafka.base);
    return false;
}

const struct queue_transport queue_kafka_receiver = {
    .is_durable = true,
    .send = queue_kafka_no_send,
    .forward = queue_kafka_no_forward,
    .flush = queue_kafka_no_flush,
    .finish = queue_kafka_finish,
    .receive = receiver_receive,
    .is_finished = queue_kafka_is_finished,
    .ack = receiver_ack,
    .serve = receiver_serve,
    .state = receiver_state,
    .longest = receiver_longest,
    .descriptor = queue_kafka_descriptor,
    .close = receiver_close,
};
