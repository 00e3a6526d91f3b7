/* kafka_client.h: a librdkafka client as the settings describe it; for kafka.c and queue_kafka_*.c only.
 *
 * Properties come in three layers: what suits us, then KafkaConfigFile, then what the promises of queue.h
 * rest on; a line of the file that would alter the last is refused. The value of a property is never shown.
 *
 * A client belongs to one thread. librdkafka's own threads come in at two places only: the log, and the state
 * of the connections. */
#ifndef NIFFLER_COMMON_KAFKA_CLIENT_H
#define NIFFLER_COMMON_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdint.h>

#include "common/error.h"
#include "common/settings.h"

#define KAFKA_CLIENT_CAUSES 32      /* told apart by the throttle of the log */
#define KAFKA_CLIENT_CONNECTIONS 64 /* told apart by name */

enum kafka_role { KAFKA_ASKS, KAFKA_SENDS, KAFKA_RECEIVES };

struct kafka_client {
    rd_kafka_t *handle;
    const struct settings *settings; /* borrowed */
    enum kafka_role role;
    void *owner;          /* for the callbacks of the role */
    struct error failure; /* ERROR_NONE, or why it has failed for good */
    uint64_t errors;
    char last_reason[200]; /* of an error of the connection */
    struct {
        int code;
        int64_t shown_ms;
    } shown[KAFKA_CLIENT_CAUSES];
    atomic_llong log_shown_ms[KAFKA_CLIENT_CAUSES];
    atomic_bool is_up[KAFKA_CLIENT_CONNECTIONS];
    atomic_bool was_up; /* some broker took us, its checks passed */
};

/* Make the properties of a role; the caller gives them to kafka_client_open() or destroys them. Fails with
 * ERROR_FATAL: the sentence names file, line and property. */
MUST_CHECK bool kafka_config_new(rd_kafka_conf_t **conf, const struct settings *settings,
                                 enum kafka_role role, struct error *err);
MUST_CHECK bool kafka_config_set(rd_kafka_conf_t *conf, const char *name, const char *value,
                                 struct error *err);

/* Begin to connect; `conf` is taken. The client lies where it will stay. Fails with ERROR_FATAL. */
MUST_CHECK bool kafka_client_open(struct kafka_client *client, rd_kafka_conf_t *conf,
                                  const struct settings *settings, enum kafka_role role, void *owner,
                                  struct error *err);

/* Accepts a zeroed struct. */
void kafka_client_close(struct kafka_client *client);

/* Whether it still works; else *err says why it has failed for good. */
MUST_CHECK bool kafka_client_check(const struct kafka_client *client, struct error *err);

/* It has failed for good. The first reason stays. */
void kafka_client_fail(struct kafka_client *client, enum error_kind kind, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Something failed that may come right by itself: counted, and logged once a minute for each code. `during`
 * is one of few words. */
void kafka_client_trouble(struct kafka_client *client, const char *during, rd_kafka_resp_err_t code,
                          const char *reason);

/* Whether a broker is connected. */
bool kafka_client_is_up(const struct kafka_client *client);

/* Ask for `topic` (NULL: for the brokers only) until an answer comes; the caller destroys *metadata. Fails
 * with ERROR_RETRY after `patience_ms` (-1: never), and as kafka_client_check(). */
MUST_CHECK bool kafka_client_ask(struct kafka_client *client, const char *topic, int patience_ms,
                                 const struct rd_kafka_metadata **metadata, struct error *err);

/* How many partitions `topic` has; *is_known tells whether there is such a topic. Fails as
 * kafka_client_ask(), and with ERROR_FATAL: no permission. */
MUST_CHECK bool kafka_client_count_partitions(struct kafka_client *client, const char *topic, int patience_ms,
                                              unsigned *partitions, bool *is_known, struct error *err);

/* The sentence for a topic that is not there. Returns false. */
bool kafka_client_no_topic(const char *topic, struct error *err);

/* KafkaTokenFile, for SASL/OAUTHBEARER: the callback of librdkafka. */
void kafka_token_refresh(rd_kafka_t *handle, const char *config, void *client);

#endif
