/* queue_kafka_parts.h: what the files queue_kafka_*.c share.
 *
 *     queue_kafka.c           opening; what senders and receivers have in common
 *     queue_kafka_send.c      the sender
 *     queue_kafka_receive.c   the receiver: taking from librdkafka, giving out, acknowledgements
 *     queue_kafka_group.c     its membership: partitions come and go; the end
 *     queue_kafka_commit.c    its commits, and what those before it left
 *     queue_kafka_window.c    bookkeeping
 *
 * No function blocks but where it says so. */
#ifndef NIFFLER_COMMON_QUEUE_KAFKA_PARTS_H
#define NIFFLER_COMMON_QUEUE_KAFKA_PARTS_H

#include <librdkafka/rdkafka.h>

#include "common/kafka_client.h"
#include "common/queue.h"
#include "common/queue_kafka.h"
#include "common/queue_kafka_window.h"

/* What sender and receiver begin with. */
struct kafka_queue {
    struct queue base;
    struct kafka_client client;
    char *topic;
    int event;      /* raised by librdkafka when its queue is no longer empty, and by us */
    bool is_raised; /* by us, since it was last lowered */
    bool is_finished;
};

void queue_kafka_raise(struct kafka_queue *kafka);
void queue_kafka_lower(struct kafka_queue *kafka); /* before librdkafka's queue is looked into */
void queue_kafka_clear(struct kafka_queue *kafka); /* closes and frees what is in it */

/* Wait until the event is raised, or `timeout_ms` have passed. */
void queue_kafka_wait(const struct kafka_queue *kafka, int timeout_ms);

bool queue_kafka_send_open(struct queue **q, const struct queue_kafka_options *options, int patience_ms,
                           struct error *err);
bool queue_kafka_receive_open(struct queue **q, const struct queue_kafka_options *options, int patience_ms,
                              struct error *err);

/* What the other kind does not do: ERROR_BUG. */
bool queue_kafka_no_send(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                         struct error *err);
bool queue_kafka_no_forward(struct queue *q, const struct queue_address *to, const void *bytes, size_t length,
                            struct queue *source, struct queue_message *message, struct error *err);
bool queue_kafka_no_flush(struct queue *q, struct error *err);
bool queue_kafka_no_receive(struct queue *q, int timeout_ms, struct queue_message *message,
                            struct error *err);
bool queue_kafka_no_ack(struct queue *q, struct queue_message *message, struct error *err);
bool queue_kafka_is_finished(struct queue *q);
int queue_kafka_descriptor(struct queue *q);
void queue_kafka_finish(struct queue *q);

/* ---- the receiver ---------------------------------------------------------------------------------- */

/* A message of ours: a copy, so that nothing of librdkafka's is held for long (what is held would block its
 * close before 2.1). In the list of those that wait or of those given out. */
struct taken {
    struct taken *previous;
    struct taken *next;
    uint64_t share;  /* of receiver->share: that of another one is acknowledged to nobody */
    uint64_t number; /* in the window */
    int64_t offset;
    int32_t partition;
    size_t length;
    char bytes[];
};

struct taken_list {
    struct taken *first;
    struct taken *last;
    size_t count;
    size_t bytes;
};

/* What one commit says, and what the last one that was answered for said. */
struct statement {
    int64_t position;
    int64_t until; /* offsets below may be given out */
    int64_t alone; /* the offset that is named as in flight alone; -1: none */
    char text[SUSPECTS_TEXT];
};

struct partition {
    int32_t id;
    uint64_t share; /* of the tokens that count */
    struct window window;
    bool is_known; /* what the one before left has been read */
    int64_t start; /* the position committed then; -1: none */
    struct suspects suspects;
    int64_t given; /* the offset behind the last one given out; -1: none yet */
    int64_t wish;  /* to be given out alone, or given out so; -1: none */
    bool is_open;  /* some statement of ours was answered for */
    struct statement said;
    struct statement asked; /* of the commit that is under way */
    bool is_asked;
};

struct kafka_receiver {
    struct kafka_queue kafka;
    char *group;
    bool marks_suspects;
    int64_t commit_ms;
    rd_kafka_queue_t *events;  /* messages, rebalances, errors */
    rd_kafka_queue_t *answers; /* to commits: never behind messages that nobody wants yet */

    struct partition *partitions; /* in the order of their numbers */
    size_t partition_count;
    uint64_t share;      /* counts assignments, and logs that began anew */
    bool is_member;      /* given a share, perhaps an empty one */
    bool had_partitions; /* at any time: topic and permissions were right */
    bool is_revoking;    /* the share is to be given back, once what is in flight is done */
    int64_t revoke_until_ms;
    bool is_closing;

    struct taken_list waiting;
    struct taken_list given;
    struct taken *alone; /* in flight alone */
    bool is_paused;
    int64_t polled_ms; /* librdkafka's queue was last looked into */
    int64_t read_due_ms;
    bool is_unread; /* librdkafka could not read where to begin, and does not begin: we tell it */

    unsigned renewals; /* as another member, since renewed_ms */
    int64_t renewed_ms;

    uint64_t commit_serial;
    bool is_committing; /* commit_serial is not answered for */
    bool commit_soon;   /* somebody waits for it */
    int64_t commit_due_ms;
    int64_t commit_retry_ms; /* not before */
    int64_t commit_all_due_ms;

    uint64_t rebalances;
    uint64_t commit_failures;
    int64_t committed_ms;
};

extern const struct queue_transport queue_kafka_sender;
extern const struct queue_transport queue_kafka_receiver;

struct kafka_receiver *queue_kafka_receiver_of(struct queue *q);
struct partition *queue_kafka_find(struct kafka_receiver *receiver, int32_t id);
int queue_kafka_compare(const void *a, const void *b); /* partitions, by number */
void queue_kafka_drop_waiting(struct kafka_receiver *receiver);

/* Free those that wait of one partition. */
void queue_kafka_drop_partition(struct kafka_receiver *receiver, int32_t id);

void queue_kafka_receiver_free(struct kafka_receiver *receiver);

/* Nothing is ours any more; what is in flight is acknowledged to nobody. */
void queue_kafka_forget_share(struct kafka_receiver *receiver);

/* group: the callback of librdkafka; what follows when time has come; the end, which takes the receiver and
 * blocks for up to 5 s. */
void queue_kafka_rebalance(rd_kafka_t *handle, rd_kafka_resp_err_t code,
                           rd_kafka_topic_partition_list_t *list, void *client);
void queue_kafka_serve_group(struct kafka_receiver *receiver);
void queue_kafka_leave(struct kafka_receiver *receiver);

/* The log of a partition began anew, at a lower offset: what was known of it no longer holds. */
void queue_kafka_begin_anew(struct kafka_receiver *receiver, struct partition *partition);

/* commit: what is due, if anything is. Blocks for up to a second while it reads what was left. */
void queue_kafka_serve_commits(struct kafka_receiver *receiver);

/* Commit the last positions, in peace, and wait for the answer for up to two seconds. */
void queue_kafka_commit_peace(struct kafka_receiver *receiver);

/* Whether the statements that were answered for allow `partition` to give out `offset` now; otherwise asks
 * for a commit that will. */
bool queue_kafka_may_give(struct kafka_receiver *receiver, struct partition *partition, int64_t offset,
                          bool is_suspect);

#endif
