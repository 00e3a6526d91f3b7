/* One commit at a time is under way, with its own queue for the answer. What may be given out follows from
 * what was answered for, never from what was asked: a broker that did not hear of a message cannot tell the
 * next owner. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/log.h"
#include "common/meter.h"
#include "common/queue_kafka_parts.h"

/* Offsets that may be given out before the next commit is answered: enough for a commit's way at 10,000 a
 * second, and no more, since after two deaths so many go alone. */
#define LOOKAHEAD 512
#define READ_MS 1000   /* for what the owner before left; then again after as long */
#define RETRY_MS 200   /* after a commit that failed */
#define ALL_MS 3600000 /* an idle group's positions are forgotten after days: told again each hour */
#define PEACE_MS 2000  /* for the last commit */

/* ---- what there is to say -------------------------------------------------------------------------- */

/* The position to commit; -1: not known yet. Of a partition without messages and without a commit it is the
 * end of the log, once librdkafka has learnt that this is its beginning too. */
static int64_t position_of(const struct kafka_receiver *receiver, const struct partition *partition)
{
    int64_t low = -1, high = -1;
    if (partition->window.is_begun)
        return window_position(&partition->window);
    if (partition->start >= 0)
        return partition->start;
    rd_kafka_resp_err_t code = rd_kafka_get_watermark_offsets(
        receiver->kafka.client.handle, receiver->kafka.topic, partition->id, &low, &high);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR && low == high && high >= 0 ? high : -1;
}

/* Up to where messages may be given out. While suspects are, no further than they reach: each death would
 * make the stretch longer otherwise. */
static int64_t until_of(const struct partition *partition, int64_t position)
{
    int64_t reached = partition->given > position ? partition->given : position;
    if (suspects_include(&partition->suspects, position))
        return partition->suspects.until > reached ? partition->suspects.until : reached;
    if (partition->is_open && partition->said.until >= reached + LOOKAHEAD / 2)
        return partition->said.until;
    return reached + LOOKAHEAD;
}

static void state(const struct kafka_receiver *receiver, struct partition *partition, bool is_peace,
                  struct statement *statement)
{
    *statement = (struct statement){.position = position_of(receiver, partition), .alone = -1};
    if (!receiver->marks_suspects)
        partition->suspects = (struct suspects){.offset = -1};
    suspects_advance(&partition->suspects, statement->position);
    if (is_peace || !receiver->marks_suspects) {
        suspects_format_peace(&partition->suspects, statement->text);
        return;
    }
    statement->until = until_of(partition, statement->position);
    statement->alone = partition->wish;
    suspects_format_open(&partition->suspects, statement->until, partition->wish >= 0, statement->text);
}

/* ---- commit ---------------------------------------------------------------------------------------- */

static void on_answer(rd_kafka_t *handle, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list,
                      void *serial)
{
    struct kafka_client *client = rd_kafka_opaque(handle);
    struct kafka_receiver *receiver = client->owner;
    rd_kafka_resp_err_t failed = code;
    int64_t now = meter_now_ms();
    if ((uintptr_t)serial != (uintptr_t)receiver->commit_serial || !receiver->is_committing)
        return; /* of a share that is gone */
    receiver->is_committing = false;
    for (int i = 0; list != NULL && i < list->cnt; i++) {
        struct partition *partition = queue_kafka_find(receiver, list->elems[i].partition);
        if (failed == RD_KAFKA_RESP_ERR_NO_ERROR)
            failed = list->elems[i].err;
        if (partition == NULL || !partition->is_asked || code != RD_KAFKA_RESP_ERR_NO_ERROR ||
            list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        partition->said = partition->asked;
        partition->is_open = true;
    }
    if (failed == RD_KAFKA_RESP_ERR_NO_ERROR) {
        receiver->committed_ms = now;
        CRASH_POINT("queue.commit_answered");
        return;
    }
    receiver->commit_failures++;
    receiver->commit_soon = true;
    receiver->commit_retry_ms = now + RETRY_MS;
    kafka_client_trouble(client, "commit", failed, NULL);
}

/* Send what has changed, or all. Returns false when there is nothing to say. */
static bool commit(struct kafka_receiver *receiver, bool is_all, bool is_peace)
{
    rd_kafka_t *handle = receiver->kafka.client.handle;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)receiver->partition_count);
    for (size_t i = 0; i < receiver->partition_count; i++) {
        struct partition *partition = &receiver->partitions[i];
        struct statement *asked = &partition->asked;
        partition->is_asked = false;
        /* What the one before left must be read before it is written over. */
        if (!partition->is_known && receiver->marks_suspects)
            continue;
        state(receiver, partition, is_peace, asked);
        bool is_said = partition->is_open && asked->position == partition->said.position &&
                       strcmp(asked->text, partition->said.text) == 0;
        if (asked->position < 0 || (is_said && !is_all))
            continue;
        rd_kafka_topic_partition_t *entry =
            rd_kafka_topic_partition_list_add(list, receiver->kafka.topic, partition->id);
        size_t length = strlen(asked->text);
        entry->offset = asked->position;
        entry->metadata = rd_kafka_mem_malloc(handle, length);
        memcpy(entry->metadata, asked->text, length);
        entry->metadata_size = length;
        partition->is_asked = true;
    }
    bool is_sent = false;
    if (list->cnt > 0) {
        receiver->commit_serial++;
        rd_kafka_resp_err_t code = rd_kafka_commit_queue(handle, list, receiver->answers, on_answer,
                                                         (void *)(uintptr_t)receiver->commit_serial);
        is_sent = code == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (!is_sent)
            kafka_client_trouble(&receiver->kafka.client, "commit", code, NULL);
    }
    receiver->is_committing = is_sent;
    rd_kafka_topic_partition_list_destroy(list);
    CRASH_POINT("queue.commit_sent");
    return is_sent;
}

void queue_kafka_commit_peace(struct kafka_receiver *receiver)
{
    int64_t end = meter_now_ms() + PEACE_MS;
    if (receiver->kafka.client.failure.kind != ERROR_NONE || !commit(receiver, false, true))
        return;
    while (receiver->is_committing && meter_now_ms() < end)
        (void)rd_kafka_queue_poll_callback(receiver->answers, 50);
    if (receiver->is_committing)
        kafka_client_trouble(&receiver->kafka.client, "commit", RD_KAFKA_RESP_ERR__TIMED_OUT, NULL);
    CRASH_POINT("queue.peace_committed");
}

/* ---- what the owner before left -------------------------------------------------------------------- */

static void inherit(struct kafka_receiver *receiver, struct partition *partition,
                    const rd_kafka_topic_partition_t *left)
{
    char *text = left->metadata == NULL ? NULL : xmemdup_text(left->metadata, left->metadata_size);
    partition->is_known = true;
    partition->start = left->offset >= 0 ? left->offset : -1;
    partition->suspects = (struct suspects){.offset = -1};
    if (receiver->marks_suspects && left->offset >= 0 &&
        suspects_inherit(&partition->suspects, text, left->offset) && partition->suspects.deaths > 0)
        log_event(LOG_LEVEL_WARN, "kafka", "kafka_suspects",
                  "topic=%s partition=%" PRId32 " deaths=%u from=%" PRId64 " until=%" PRId64,
                  log_text(receiver->kafka.topic), partition->id, partition->suspects.deaths, left->offset,
                  partition->suspects.until);
    free(text);
    receiver->commit_soon = true;
    CRASH_POINT("queue.left_read");
}

static void read_left(struct kafka_receiver *receiver)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)receiver->partition_count);
    for (size_t i = 0; i < receiver->partition_count; i++) {
        if (!receiver->partitions[i].is_known)
            (void)rd_kafka_topic_partition_list_add(list, receiver->kafka.topic, receiver->partitions[i].id);
    }
    if (list->cnt > 0) {
        rd_kafka_resp_err_t code = rd_kafka_committed(receiver->kafka.client.handle, list, READ_MS);
        for (int i = 0; code == RD_KAFKA_RESP_ERR_NO_ERROR && i < list->cnt; i++) {
            const rd_kafka_topic_partition_t *left = &list->elems[i];
            if (left->err == RD_KAFKA_RESP_ERR_NO_ERROR)
                inherit(receiver, queue_kafka_find(receiver, left->partition), left);
            else
                kafka_client_trouble(&receiver->kafka.client, "read_committed", left->err, NULL);
        }
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            kafka_client_trouble(&receiver->kafka.client, "read_committed", code, NULL);
    }
    receiver->read_due_ms = meter_now_ms() + READ_MS;
    rd_kafka_topic_partition_list_destroy(list);
}

void queue_kafka_serve_commits(struct kafka_receiver *receiver)
{
    int64_t now = meter_now_ms();
    if (!receiver->is_member || receiver->is_revoking ||
        rd_kafka_assignment_lost(receiver->kafka.client.handle) != 0)
        return;
    if (now >= receiver->read_due_ms)
        read_left(receiver);
    if (receiver->is_committing || now < receiver->commit_retry_ms)
        return;
    bool is_all = now >= receiver->commit_all_due_ms;
    if (!is_all && !receiver->commit_soon && now < receiver->commit_due_ms)
        return;
    receiver->commit_soon = false;
    receiver->commit_due_ms = now + receiver->commit_ms;
    if (is_all)
        receiver->commit_all_due_ms = now + ALL_MS;
    (void)commit(receiver, is_all, false);
}

/* ---- may it be given out? -------------------------------------------------------------------------- */

bool queue_kafka_may_give(struct kafka_receiver *receiver, struct partition *partition, int64_t offset,
                          bool is_suspect)
{
    bool may = partition->is_open;
    /* A name that still stands from before would be blamed for what is given out now. */
    for (size_t i = 0; i < receiver->partition_count; i++) {
        const struct partition *other = &receiver->partitions[i];
        bool is_this = is_suspect && other == partition && other->said.alone == offset;
        may = may && (other->said.alone < 0 || is_this);
    }
    if (is_suspect && partition->wish != offset && partition->is_open) {
        partition->suspects.alone = suspects_deaths(&partition->suspects, offset);
        partition->suspects.offset = offset;
        partition->wish = offset;
        receiver->commit_soon = true;
    }
    if (is_suspect)
        may = may && partition->said.alone == offset;
    else
        may = may && offset < partition->said.until;
    if (!may || (!is_suspect && offset + LOOKAHEAD / 4 >= partition->said.until))
        receiver->commit_soon = true;
    return may;
}
