/* queue_kafka.h: the queue over Kafka (librdkafka).
 *
 * A queue sends to a topic, or receives from one as a member of a group. Receiving:
 *
 *     assigned ─► committed position and metadata read ─► "open" committed ─► messages given out
 *     each partition has a window: what was given out, and whether it was acknowledged; what is committed is
 *     the first offset not acknowledged, every KafkaCommitMs, once an hour in any case, on revocation and at
 *     the end
 *
 * librdkafka commits nothing by itself. Of 2.0.2's faults (design notes beside each place in the source): no
 * batch consume, eager `range` assignment, a client.id of its own, a watchdog around the close.
 *
 * A receiver that is not asked for messages keeps up to 64, and then pauses its partitions. When they are to
 * go to another member it gives out nothing more and waits up to 5 s for what is in flight; what is
 * acknowledged later, or of partitions that are lost, comes again elsewhere. queue_finish() makes a receiver
 * give out nothing more at once; queue_close() takes up to 5 s. A sender is closed before the receiver whose
 * messages it forwards. queue_serve() of a receiver that was just given partitions may wait for up to a
 * second, for the positions that were committed before.
 *
 * Suspects (rule 10 of queue.h). The commit's metadata is the memory of those that came before:
 *
 *     c [DEATHS UNTIL [OFFSET ALONE]]      closed or revoked in peace: nobody died since what it remembers
 *     o DEATHS UNTIL [OFFSET ALONE [w]]    open: offsets below UNTIL may have been given out; DEATHS
 * receivers died in that stretch; OFFSET was being handled alone (w: waits to be), and ALONE receivers had
 * died of it before
 *
 * A new owner that finds "o" counts one death more. From the second on, every message below UNTIL is given
 * out alone, after a commit that names it has been answered for; nothing else is given out before the name is
 * gone again. A position behind UNTIL forgets it all. A member that loses its share (frozen, cut off) counts
 * as dead: nobody can tell the two apart. */
#ifndef NIFFLER_COMMON_QUEUE_KAFKA_H
#define NIFFLER_COMMON_QUEUE_KAFKA_H

#include "common/queue.h"
#include "common/settings.h"

struct queue_kafka_options {
    const struct settings *settings; /* brokers, KafkaConfigFile …; borrowed until the queue is closed */
    const char *topic;
    const char *group;   /* NULL: send; else receive */
    bool marks_suspects; /* rule 10; else messages are never given out alone, and deaths is 0 */
};

/* Fails with ERROR_FATAL: a property that librdkafka does not take (named), a topic that is not there (named,
 * with what to do), no permission. A broker that is not there yet is waited for, up to `patience_ms` (-1: for
 * ever; ERROR_RETRY then), when sending; a receiver waits in queue_receive(). */
MUST_CHECK bool queue_kafka_open(struct queue **q, const struct queue_kafka_options *options, int patience_ms,
                                 struct error *err);

#endif
