#include "common/kafka_client.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "common/log.h"
#include "common/meter.h"

#define ONCE_MS 60000    /* a cause is logged once in this time */
#define ASK_MS 1000      /* one question; then it is looked whether there is hope */
#define ASK_AGAIN_MS 100 /* between two that failed at once */

static size_t hash(const char *text)
{
    size_t value = 5381;
    while (*text != '\0')
        value = value * 33 + (unsigned char)*text++;
    return value;
}

/* ---- called by librdkafka's threads ---------------------------------------------------------------- */

/* Warnings of librdkafka that are none of ours: remarks on properties of the other side, since one file
 * serves both (CONFWARN); on brokers that make topics by themselves (AUTOCREATE); and what on_error() is told
 * too. */
static bool is_expected(const char *kind)
{
    static const char *const kinds[] = {"CONFWARN", "AUTOCREATE", "FAIL", "FATAL", "ERROR"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    }
    return false;
}

/* The other warnings come through, at most once a minute for each kind; the rest is for debugging. */
static void on_log(const rd_kafka_t *handle, int level, const char *kind, const char *text)
{
    struct kafka_client *client = rd_kafka_opaque(handle);
    if (level <= LOG_WARNING && !is_expected(kind) && client != NULL) {
        atomic_llong *shown_ms = &client->log_shown_ms[hash(kind) % KAFKA_CLIENT_CAUSES];
        long long now = meter_now_ms(), last = atomic_load(shown_ms);
        if ((last == 0 || now - last >= ONCE_MS) && atomic_compare_exchange_strong(shown_ms, &last, now)) {
            log_event(LOG_LEVEL_WARN, "kafka", "kafka_log", "kind=%s text=%s", log_text(kind),
                      log_text(text));
            return;
        }
    }
    log_event(LOG_LEVEL_DEBUG, "kafka", "kafka_log", "kind=%s text=%s", log_text(kind), log_text(text));
}

/* By the name of the connection, not by the broker's number, which a connection may learn later. */
static rd_kafka_resp_err_t on_connection(rd_kafka_t *handle, int32_t broker, const char *protocol,
                                         const char *name, int port, const char *state, void *context)
{
    struct kafka_client *client = context;
    (void)handle;
    (void)broker;
    (void)protocol;
    bool is_up = strcmp(state, "UP") == 0 || strcmp(state, "UPDATE") == 0;
    atomic_store(&client->is_up[(hash(name) + (size_t)port) % KAFKA_CLIENT_CONNECTIONS], is_up);
    if (is_up)
        atomic_store(&client->was_up, true);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *handle, const rd_kafka_conf_t *conf, void *context, char *text,
                                  size_t size)
{
    (void)conf;
    (void)text;
    (void)size;
    return rd_kafka_interceptor_add_on_broker_state_change(handle, "niffler", on_connection, context);
}

bool kafka_client_is_up(const struct kafka_client *client)
{
    for (size_t i = 0; i < KAFKA_CLIENT_CONNECTIONS; i++) {
        if (atomic_load(&client->is_up[i]))
            return true;
    }
    return false;
}

/* ---- errors ---------------------------------------------------------------------------------------- */

void kafka_client_fail(struct kafka_client *client, enum error_kind kind, const char *format, ...)
{
    if (client->failure.kind != ERROR_NONE)
        return;
    char text[sizeof client->failure.text];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)error_set(&client->failure, kind, "%s", text);
}

bool kafka_client_check(const struct kafka_client *client, struct error *err)
{
    if (client->failure.kind == ERROR_NONE)
        return true;
    *err = client->failure;
    return false;
}

void kafka_client_trouble(struct kafka_client *client, const char *during, rd_kafka_resp_err_t code,
                          const char *reason)
{
    client->errors++;
    size_t slot = (hash(during) + (size_t)(unsigned)code) % KAFKA_CLIENT_CAUSES;
    int64_t now = meter_now_ms();
    bool is_new = client->shown[slot].shown_ms == 0 || client->shown[slot].code != (int)code ||
                  now - client->shown[slot].shown_ms >= ONCE_MS;
    if (!is_new)
        return;
    client->shown[slot].code = (int)code;
    client->shown[slot].shown_ms = now;
    log_event(LOG_LEVEL_WARN, "kafka", "kafka_error", "during=%s code=%s reason=%s", log_text(during),
              rd_kafka_err2name(code), log_text(reason != NULL ? reason : rd_kafka_err2str(code)));
}

/* A certificate that is refused, or no TLS at the other end: nothing that waiting would mend. A connection
 * that ends in the middle of the handshake may be a broker that stops. */
static bool is_hopeless_tls(const char *reason)
{
    return strstr(reason, "certificate") != NULL || strstr(reason, "alert") != NULL ||
           strstr(reason, "wrong version") != NULL;
}

static void on_error(rd_kafka_t *handle, int code, const char *reason, void *context)
{
    struct kafka_client *client = context;
    bool was_up = atomic_load(&client->was_up);
    char fatal[512];
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        rd_kafka_resp_err_t cause = rd_kafka_fatal_error(handle, fatal, sizeof fatal);
        if (client->role == KAFKA_SENDS)
            kafka_client_fail(client, ERROR_BUG, "the order of what was sent is lost (%s): %s",
                              rd_kafka_err2name(cause), fatal);
        else if (cause != RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) /* of which the receiver makes a new start */
            kafka_client_fail(client, ERROR_FATAL, "Kafka ends this membership (%s): %s",
                              rd_kafka_err2name(cause), fatal);
        reason = fatal;
    } else if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION && !was_up) {
        kafka_client_fail(client, ERROR_FATAL,
                          "Kafka does not let us in; check user, password or token, and sasl.mechanism: %s",
                          reason);
    } else if (code == RD_KAFKA_RESP_ERR__SSL && !was_up && is_hopeless_tls(reason)) {
        kafka_client_fail(client, ERROR_FATAL,
                          "no TLS connection to Kafka; check security.protocol and ssl.ca.location: %s",
                          reason);
    }
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) /* which says less than what came before it */
        (void)snprintf(client->last_reason, sizeof client->last_reason, "%.180s", reason);
    kafka_client_trouble(client, "connection", (rd_kafka_resp_err_t)code, reason);
}

/* ---- open and close -------------------------------------------------------------------------------- */

bool kafka_client_open(struct kafka_client *client, rd_kafka_conf_t *conf, const struct settings *settings,
                       enum kafka_role role, void *owner, struct error *err)
{
    char text[512];
    memset(client, 0, sizeof *client);
    client->settings = settings;
    client->role = role;
    client->owner = owner;
    rd_kafka_conf_set_opaque(conf, client);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    if (settings->kafka_token_file != NULL)
        rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, kafka_token_refresh);
    if (rd_kafka_conf_interceptor_add_on_new(conf, "niffler", on_new, client) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_conf_destroy(conf);
        return error_set(err, ERROR_BUG, "librdkafka does not take our interceptor");
    }
    client->handle =
        rd_kafka_new(role == KAFKA_SENDS ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (client->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return error_set(err, ERROR_FATAL, "cannot set up Kafka: %s", text);
    }
    return true;
}

void kafka_client_close(struct kafka_client *client)
{
    if (client->handle != NULL)
        rd_kafka_destroy(client->handle);
    client->handle = NULL;
}

/* ---- asking ---------------------------------------------------------------------------------------- */

static void sleep_ms(int ms)
{
    struct timespec wait = {.tv_nsec = (long)ms * 1000000};
    (void)nanosleep(&wait, NULL);
}

bool kafka_client_ask(struct kafka_client *client, const char *topic, int patience_ms,
                      const struct rd_kafka_metadata **metadata, struct error *err)
{
    int64_t start = meter_now_ms();
    *metadata = NULL;
    rd_kafka_topic_t *object = topic == NULL ? NULL : rd_kafka_topic_new(client->handle, topic, NULL);
    if (topic != NULL && object == NULL)
        return error_set(err, ERROR_FATAL, "'%s' cannot be the name of a topic", topic);
    bool ok = false;
    for (;;) {
        int64_t left = patience_ms < 0 ? ASK_MS : start + patience_ms - meter_now_ms();
        int slice = left > ASK_MS ? ASK_MS : left > 1 ? (int)left : 1;
        rd_kafka_resp_err_t code = rd_kafka_metadata(client->handle, 0, object, metadata, slice);
        (void)rd_kafka_poll(client->handle, 0); /* errors, and the token */
        ok = code == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (ok || !kafka_client_check(client, err))
            break;
        if (patience_ms >= 0 && meter_now_ms() - start >= patience_ms) {
            (void)error_set(err, ERROR_RETRY, "no Kafka broker of '%s' answers: %s",
                            client->settings->kafka_brokers,
                            client->last_reason[0] != '\0' ? client->last_reason : rd_kafka_err2str(code));
            break;
        }
        sleep_ms(ASK_AGAIN_MS);
    }
    if (object != NULL)
        rd_kafka_topic_destroy(object);
    return ok;
}

bool kafka_client_no_topic(const char *topic, struct error *err)
{
    return error_set(err, ERROR_FATAL,
                     "Kafka has no topic '%s'; 'niffler-png produce --create-topics' makes it", topic);
}

bool kafka_client_count_partitions(struct kafka_client *client, const char *topic, int patience_ms,
                                   unsigned *partitions, bool *is_known, struct error *err)
{
    int64_t start = meter_now_ms();
    *partitions = 0;
    *is_known = false;
    for (;;) {
        const struct rd_kafka_metadata *metadata;
        int64_t left = patience_ms < 0 ? -1 : start + patience_ms - meter_now_ms();
        if (!kafka_client_ask(client, topic, left < 0 && patience_ms >= 0 ? 0 : (int)left, &metadata, err))
            return false;
        assert(metadata->topic_cnt == 1);
        rd_kafka_resp_err_t code = metadata->topics[0].err;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            *partitions = (unsigned)metadata->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(metadata);
        *is_known = *partitions > 0;
        if (*is_known || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            return true;
        if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
            return error_set(err, ERROR_FATAL, "no permission to describe Kafka's topic '%s'", topic);
        if (code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
            return error_set(err, ERROR_FATAL, "'%s' cannot be the name of a topic", topic);
        if (patience_ms >= 0 && meter_now_ms() - start >= patience_ms)
            return error_set(err, ERROR_RETRY, "Kafka's topic '%s' is not ready: %s", topic,
                             rd_kafka_err2str(code));
        sleep_ms(ASK_AGAIN_MS); /* no leader yet */
    }
}
