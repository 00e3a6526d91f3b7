/* kafka.h: connecting to Kafka, and its topics; for queue_kafka.c and for whoever looks after topics. */
#ifndef NIFFLER_COMMON_KAFKA_H
#define NIFFLER_COMMON_KAFKA_H

#include <stdint.h>

#include "common/error.h"
#include "common/settings.h"

/* Make topics that are missing (`names` ends with NULL), for messages of up to 16 MiB that are kept for 7
 * days; one that is there is left as it is. Fails with ERROR_RETRY (no broker within patience_ms; -1: waits
 * for ever) or ERROR_FATAL. */
MUST_CHECK bool kafka_create_topics(const struct settings *settings, const char *const *names,
                                    unsigned partitions, unsigned replication, int patience_ms,
                                    struct error *err);

#define KAFKA_NOT_TOLD \
    INT64_MIN /* by a broker that does not support the question, or for want of permission */

struct kafka_topic {
    unsigned partitions;   /* 0: no such topic */
    int64_t retention_ms;  /* -1: for ever; KAFKA_NOT_TOLD */
    int64_t longest_bytes; /* max.message.bytes; KAFKA_NOT_TOLD */
};

/* What the broker says of a topic. Fails as kafka_create_topics(). */
MUST_CHECK bool kafka_describe_topic(const struct settings *settings, const char *name, int patience_ms,
                                     struct kafka_topic *topic, struct error *err);

/* How many brokers answer, and how long the offsets of a group without members are kept
 * (or KAFKA_NOT_TOLD). */
MUST_CHECK bool kafka_describe_cluster(const struct settings *settings, int patience_ms, unsigned *brokers,
                                       int64_t *offsets_retention_minutes, struct error *err);

#endif
