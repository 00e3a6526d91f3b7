/* Revocation is answered late on purpose: rd_kafka_assign(NULL) ends it, and may be called outside the
 * callback (librdkafka waits in WAIT_UNASSIGN_CALL, where it goes on with heartbeats). Until then what is in
 * flight may be finished and committed, so that the next owner does not do it again. */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/log.h"
#include "common/meter.h"
#include "common/queue_kafka_parts.h"

#define REVOKE_MS 5000 /* for messages in flight, when their partitions are to go */
#define LEAVE_MS 5000  /* a broker that does not answer is not waited for any longer */
#define SLICE_MS 50
#define UNSUBSCRIBE_SLICE_MS 5

void queue_kafka_forget_share(struct kafka_receiver *receiver)
{
    queue_kafka_drop_waiting(receiver);
    for (size_t i = 0; i < receiver->partition_count; i++)
        window_clear(&receiver->partitions[i].window);
    free(receiver->partitions);
    receiver->partitions = NULL;
    receiver->partition_count = 0;
    receiver->share++;
    receiver->is_committing = false;
    receiver->commit_soon = false;
    receiver->commit_serial++;
    receiver->is_revoking = false;
    receiver->is_paused = false;
    receiver->is_unread = false;
    receiver->is_member = false;
    /* receiver->alone, if any, is still in flight: nothing is given out beside it. */
}

static void begin(struct kafka_receiver *receiver, struct partition *partition)
{
    partition->share = ++receiver->share;
    partition->start = -1;
    partition->given = -1;
    partition->wish = -1;
    partition->suspects.offset = -1;
    partition->said.alone = -1;
    partition->said.position = -1;
}

void queue_kafka_begin_anew(struct kafka_receiver *receiver, struct partition *partition)
{
    int32_t id = partition->id;
    log_event(LOG_LEVEL_WARN, "kafka", "kafka_log_cut", "partition=%" PRId32, id);
    queue_kafka_drop_partition(receiver, id);
    window_clear(&partition->window);
    *partition = (struct partition){.id = id, .is_known = true};
    begin(receiver, partition);
}

static void on_assigned(struct kafka_receiver *receiver, const rd_kafka_topic_partition_list_t *list)
{
    rd_kafka_t *handle = receiver->kafka.client.handle;
    queue_kafka_forget_share(receiver);
    receiver->partition_count = (size_t)list->cnt;
    receiver->partitions = xcalloc(receiver->partition_count + 1, sizeof *receiver->partitions);
    for (size_t i = 0; i < receiver->partition_count; i++) {
        receiver->partitions[i].id = list->elems[i].partition;
        begin(receiver, &receiver->partitions[i]);
    }
    qsort(receiver->partitions, receiver->partition_count, sizeof *receiver->partitions, queue_kafka_compare);
    receiver->is_member = true;
    receiver->had_partitions = receiver->had_partitions || list->cnt > 0;
    receiver->rebalances++;
    receiver->read_due_ms = 0;
    receiver->commit_retry_ms = 0;
    rd_kafka_resp_err_t code = rd_kafka_assign(handle, list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        kafka_client_trouble(&receiver->kafka.client, "assignment", code, NULL);
    /* A pause of an earlier assignment would last on. */
    rd_kafka_topic_partition_list_t *copy = rd_kafka_topic_partition_list_copy(list);
    (void)rd_kafka_resume_partitions(handle, copy);
    rd_kafka_topic_partition_list_destroy(copy);
    log_event(LOG_LEVEL_INFO, "kafka", "kafka_assigned", "topic=%s partitions=%zu",
              log_text(receiver->kafka.topic), receiver->partition_count);
    CRASH_POINT("queue.assigned");
}

/* Give the share back. One that is lost belongs to others already: nothing is committed. */
static void unassign(struct kafka_receiver *receiver)
{
    bool is_lost = rd_kafka_assignment_lost(receiver->kafka.client.handle) != 0;
    if (!is_lost)
        queue_kafka_commit_peace(receiver);
    log_event(is_lost ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "kafka", "kafka_revoked",
              "topic=%s partitions=%zu unfinished=%zu lost=%s", log_text(receiver->kafka.topic),
              receiver->partition_count, receiver->given.count, is_lost ? "yes" : "no");
    queue_kafka_forget_share(receiver);
    rd_kafka_resp_err_t code = rd_kafka_assign(receiver->kafka.client.handle, NULL);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        kafka_client_trouble(&receiver->kafka.client, "assignment", code, NULL);
    CRASH_POINT("queue.revoked");
}

void queue_kafka_rebalance(rd_kafka_t *handle, rd_kafka_resp_err_t code,
                           rd_kafka_topic_partition_list_t *list, void *context)
{
    struct kafka_receiver *receiver = ((struct kafka_client *)context)->owner;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !receiver->is_closing) {
        on_assigned(receiver, list);
    } else if (code == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS && !receiver->is_closing &&
               rd_kafka_assignment_lost(handle) == 0) {
        receiver->is_revoking = true;
        receiver->revoke_until_ms = meter_now_ms() + REVOKE_MS;
        queue_kafka_drop_waiting(receiver);
        queue_kafka_raise(&receiver->kafka);
        CRASH_POINT("queue.revoking");
    } else {
        unassign(receiver);
    }
}

/* Whether something of the present share is in flight; what is left of earlier ones does not count. */
static bool is_busy(struct kafka_receiver *receiver)
{
    for (const struct taken *taken = receiver->given.first; taken != NULL; taken = taken->next) {
        const struct partition *partition = queue_kafka_find(receiver, taken->partition);
        if (partition != NULL && partition->share == taken->share)
            return true;
    }
    return false;
}

/* librdkafka 2.0.2 gives up on an assignment whose committed offsets it could not read (a coordinator that
 * moves or comes back answers NOT_COORDINATOR): it reports the error once, and fetches nothing for ever. What
 * we have read ourselves says where to begin; assigning the same share with these offsets makes it begin. */
static void begin_unread(struct kafka_receiver *receiver)
{
    rd_kafka_t *handle = receiver->kafka.client.handle;
    for (size_t i = 0; i < receiver->partition_count; i++)
        if (!receiver->partitions[i].is_known)
            return; /* queue_kafka_serve_commits() goes on reading */
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)receiver->partition_count);
    for (size_t i = 0; i < receiver->partition_count; i++) {
        const struct partition *partition = &receiver->partitions[i];
        rd_kafka_topic_partition_list_add(list, receiver->kafka.topic, partition->id)->offset =
            partition->window.is_begun ? partition->window.next
            : partition->start >= 0    ? partition->start
                                       : RD_KAFKA_OFFSET_BEGINNING;
    }
    rd_kafka_resp_err_t code = rd_kafka_assign(handle, list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        kafka_client_trouble(&receiver->kafka.client, "assignment", code, NULL);
    rd_kafka_topic_partition_list_destroy(list);
    receiver->is_unread = false;
    receiver->is_paused = false;
}

void queue_kafka_serve_group(struct kafka_receiver *receiver)
{
    if (receiver->is_unread && receiver->is_member && !receiver->is_revoking &&
        rd_kafka_assignment_lost(receiver->kafka.client.handle) == 0)
        begin_unread(receiver);
    if (!receiver->is_revoking)
        return;
    bool is_lost = rd_kafka_assignment_lost(receiver->kafka.client.handle) != 0;
    if (is_lost || meter_now_ms() >= receiver->revoke_until_ms || !is_busy(receiver))
        unassign(receiver);
}

/* ---- the end --------------------------------------------------------------------------------------- */

static bool is_in_group(rd_kafka_t *handle)
{
    char *id = rd_kafka_memberid(handle);
    bool is_in = id != NULL && id[0] != '\0';
    if (id != NULL)
        rd_kafka_mem_free(handle, id);
    return is_in;
}

/* Members with a name do not leave the group when they close, but when they unsubscribe. */
static void unsubscribe(rd_kafka_t *handle, int64_t end_ms)
{
    if (!is_in_group(handle) || rd_kafka_unsubscribe(handle) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    while (is_in_group(handle) && meter_now_ms() < end_ms) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(handle, UNSUBSCRIBE_SLICE_MS);
        if (message != NULL)
            rd_kafka_message_destroy(message);
    }
}

/* Callbacks are called. Messages that were fetched lie in this queue too, and rd_kafka_queue_poll_callback()
 * aborts the process at the first one. */
static void serve_rest(rd_kafka_queue_t *rest)
{
    rd_kafka_message_t *message = rd_kafka_consume_queue(rest, SLICE_MS);
    if (message != NULL)
        rd_kafka_message_destroy(message);
}

/* Close by a queue of ours, with an eye on the clock: rd_kafka_consumer_close() has no time limit. Returns
 * whether the group was left. */
static bool leave_group(struct kafka_receiver *receiver)
{
    rd_kafka_t *handle = receiver->kafka.client.handle;
    int64_t end = meter_now_ms() + LEAVE_MS;
    rd_kafka_queue_io_event_enable(receiver->events, -1, NULL, 0);
    rd_kafka_queue_io_event_enable(receiver->answers, -1, NULL, 0);
    if (receiver->is_member && rd_kafka_assignment_lost(handle) == 0)
        queue_kafka_commit_peace(receiver);
    queue_kafka_forget_share(receiver);
    unsubscribe(handle, end);
    rd_kafka_queue_t *rest = rd_kafka_queue_new(handle);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(handle, rest);
    while (error == NULL && rd_kafka_consumer_closed(handle) == 0 && meter_now_ms() < end)
        serve_rest(rest);
    CRASH_POINT("queue.left");
    if (error != NULL)
        rd_kafka_error_destroy(error);
    rd_kafka_queue_destroy(rest);
    rd_kafka_queue_destroy(receiver->answers);
    rd_kafka_queue_destroy(receiver->events);
    return rd_kafka_consumer_closed(handle) != 0;
}

static void *destroy(void *context)
{
    struct kafka_receiver *receiver = context;
    rd_kafka_destroy_flags(receiver->kafka.client.handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    receiver->kafka.client.handle = NULL;
    queue_kafka_receiver_free(receiver);
    return NULL;
}

/* rd_kafka_destroy() waits for the answers of a broker that is frozen, for a minute or more: a thread does
 * that, the only one of ours, and dies with the process. librdkafka's threads use the client until then. */
static bool destroy_aside(struct kafka_receiver *receiver)
{
    sigset_t all, before;
    pthread_t thread;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the threads of the program */
    bool ok = pthread_create(&thread, NULL, destroy, receiver) == 0;
    if (ok)
        (void)pthread_detach(thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

void queue_kafka_leave(struct kafka_receiver *receiver)
{
    receiver->is_closing = true;
    bool is_left = receiver->events == NULL || leave_group(receiver);
    if (!is_left)
        log_event(LOG_LEVEL_WARN, "kafka", "kafka_not_left", "topic=%s", log_text(receiver->kafka.topic));
    if (is_left || !destroy_aside(receiver))
        (void)destroy(receiver);
}
