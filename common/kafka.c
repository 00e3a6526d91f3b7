#include "common/kafka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/kafka_client.h"
#include "common/meter.h"

#define REQUEST_MS 10000 /* one request; then it is asked again */

/* Of topics that we make. 7 days: no longer than brokers keep the positions of an idle group, so that what is
 * still there is never read again for want of a position. */
#define LONGEST_BYTES "16777216"
#define RETENTION_MS "604800000"

static bool open_client(struct kafka_client *client, const struct settings *settings, struct error *err)
{
    rd_kafka_conf_t *conf;
    memset(client, 0, sizeof *client);
    return kafka_config_new(&conf, settings, KAFKA_ASKS, err) &&
           kafka_client_open(client, conf, settings, KAFKA_ASKS, NULL, err);
}

/* For one request. */
static int left_ms(int64_t start_ms, int patience_ms)
{
    int64_t left = patience_ms < 0 ? REQUEST_MS : start_ms + patience_ms - meter_now_ms();
    return left < 1 ? 1 : left > REQUEST_MS ? REQUEST_MS : (int)left;
}

/* Wait for the answer to a request of the admin API; the caller destroys the event. Errors are served
 * meanwhile: a wrong password must not look like a slow broker. Returns NULL with *err. */
static rd_kafka_event_t *await(struct kafka_client *client, rd_kafka_queue_t *queue, struct error *err)
{
    for (int waited = 0; waited < 2 * REQUEST_MS; waited += 100) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 100);
        (void)rd_kafka_poll(client->handle, 0);
        if (event != NULL)
            return event;
        if (!kafka_client_check(client, err))
            return NULL;
    }
    (void)error_set(err, ERROR_RETRY, "Kafka does not answer");
    return NULL;
}

static rd_kafka_AdminOptions_t *new_options(struct kafka_client *client, rd_kafka_admin_op_t operation,
                                            int timeout_ms)
{
    char text[256];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client->handle, operation);
    /* Fails for values out of its range only, and ours are in it. */
    (void)rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text);
    return options;
}

/* ---- describe -------------------------------------------------------------------------------------- */

struct wanted {
    const char *name;
    int64_t *value; /* left alone when the broker does not tell */
};

static void take_configs(const rd_kafka_ConfigResource_t *resource, const struct wanted *wanted, size_t count)
{
    size_t entries;
    const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(resource, &entries);
    for (size_t i = 0; i < entries; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entry[i]);
        for (size_t j = 0; j < count && value != NULL; j++) {
            char *end;
            if (strcmp(rd_kafka_ConfigEntry_name(entry[i]), wanted[j].name) != 0)
                continue;
            errno = 0;
            long long number = strtoll(value, &end, 10);
            if (errno == 0 && end != value && *end == '\0')
                *wanted[j].value = number;
        }
    }
}

/* Some broker's number; any of them knows the configuration of a topic, so that no controller need be there.
 */
static bool some_broker(struct kafka_client *client, int patience_ms, int32_t *broker, struct error *err)
{
    const struct rd_kafka_metadata *metadata;
    if (!kafka_client_ask(client, NULL, patience_ms, &metadata, err))
        return false;
    bool is_known = metadata->broker_cnt > 0;
    *broker = is_known ? metadata->brokers[0].id : -1;
    rd_kafka_metadata_destroy(metadata);
    return is_known || error_set(err, ERROR_RETRY, "Kafka names no broker");
}

/* What a topic, or a broker, is configured to, asked of `broker`. It need not tell (no permission, too old):
 * the values are left alone then. Fails with ERROR_RETRY, and for good. */
static bool describe(struct kafka_client *client, rd_kafka_ResourceType_t type, const char *name,
                     int32_t broker, int timeout_ms, const struct wanted *wanted, size_t count,
                     struct error *err)
{
    bool ok = false;
    char text[256];
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->handle);
    rd_kafka_AdminOptions_t *options = new_options(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms);
    (void)rd_kafka_AdminOptions_set_broker(options, broker, text, sizeof text);
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(type, name);
    rd_kafka_DescribeConfigs(client->handle, &resource, 1, options, queue);
    rd_kafka_event_t *event = await(client, queue, err);
    if (event == NULL)
        goto out;
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT) {
        (void)error_set(err, ERROR_RETRY, "Kafka does not answer: %s", rd_kafka_err2str(code));
        goto out;
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        size_t resources;
        const rd_kafka_ConfigResource_t **list = rd_kafka_DescribeConfigs_result_resources(
            rd_kafka_event_DescribeConfigs_result(event), &resources);
        if (resources == 1 && rd_kafka_ConfigResource_error(list[0]) == RD_KAFKA_RESP_ERR_NO_ERROR)
            take_configs(list[0], wanted, count);
    }
    ok = true;
out:
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return ok;
}

bool kafka_describe_topic(const struct settings *settings, const char *name, int patience_ms,
                          struct kafka_topic *topic, struct error *err)
{
    struct kafka_client client;
    int64_t start_ms = meter_now_ms();
    *topic = (struct kafka_topic){.retention_ms = KAFKA_NOT_TOLD, .longest_bytes = KAFKA_NOT_TOLD};
    if (!open_client(&client, settings, err))
        return false;
    const struct wanted wanted[] = {
        {"retention.ms", &topic->retention_ms},
        {"max.message.bytes", &topic->longest_bytes},
    };
    bool is_known = false;
    bool ok = kafka_client_count_partitions(&client, name, patience_ms, &topic->partitions, &is_known, err);
    /* A broker that ends in between is asked again, as long as there is patience. */
    while (ok && is_known) {
        int32_t broker;
        int left = left_ms(start_ms, patience_ms);
        bool is_over = patience_ms >= 0 && meter_now_ms() - start_ms >= patience_ms;
        if (some_broker(&client, patience_ms < 0 ? -1 : left, &broker, err) &&
            describe(&client, RD_KAFKA_RESOURCE_TOPIC, name, broker, left, wanted, 2, err))
            break;
        ok = err->kind == ERROR_RETRY && !is_over;
    }
    kafka_client_close(&client);
    return ok;
}

bool kafka_describe_cluster(const struct settings *settings, int patience_ms, unsigned *brokers,
                            int64_t *offsets_retention_minutes, struct error *err)
{
    struct kafka_client client;
    const struct rd_kafka_metadata *metadata;
    int64_t start_ms = meter_now_ms();
    char name[16];
    *brokers = 0;
    *offsets_retention_minutes = KAFKA_NOT_TOLD;
    if (!open_client(&client, settings, err))
        return false;
    const struct wanted wanted = {"offsets.retention.minutes", offsets_retention_minutes};
    bool ok = kafka_client_ask(&client, NULL, patience_ms, &metadata, err);
    if (ok) {
        int32_t broker = metadata->broker_cnt > 0 ? metadata->brokers[0].id : -1;
        *brokers = (unsigned)metadata->broker_cnt;
        rd_kafka_metadata_destroy(metadata);
        (void)snprintf(name, sizeof name, "%d", (int)broker);
        ok = broker < 0 || describe(&client, RD_KAFKA_RESOURCE_BROKER, name, broker,
                                    left_ms(start_ms, patience_ms), &wanted, 1, err);
    }
    kafka_client_close(&client);
    return ok;
}

/* ---- create ---------------------------------------------------------------------------------------- */

static bool topic_failed(const rd_kafka_topic_result_t *result, struct error *err)
{
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(result);
    const char *text = rd_kafka_topic_result_error_string(result);
    bool is_transient = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT ||
                        code == RD_KAFKA_RESP_ERR_NOT_CONTROLLER || code == RD_KAFKA_RESP_ERR__TRANSPORT;
    return error_set(err, is_transient ? ERROR_RETRY : ERROR_FATAL, "cannot make the topic '%s': %s",
                     rd_kafka_topic_result_name(result), text != NULL ? text : rd_kafka_err2str(code));
}

/* One that is there already, perhaps since a moment ago, is no failure. */
static bool create(struct kafka_client *client, const char *name, unsigned partitions, unsigned replication,
                   int timeout_ms, struct error *err)
{
    char text[256];
    bool ok = false;
    rd_kafka_event_t *event = NULL;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->handle);
    rd_kafka_AdminOptions_t *options = new_options(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(name, (int)partitions, (int)replication, text, sizeof text);
    if (topic == NULL) {
        (void)error_set(err, ERROR_FATAL, "cannot make the topic '%s': %s", name, text);
        goto out;
    }
    if (rd_kafka_NewTopic_set_config(topic, "max.message.bytes", LONGEST_BYTES) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_NewTopic_set_config(topic, "retention.ms", RETENTION_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        (void)error_set(err, ERROR_BUG, "librdkafka does not take the configuration of a topic");
        goto out;
    }
    rd_kafka_CreateTopics(client->handle, &topic, 1, options, queue);
    event = await(client, queue, err);
    if (event == NULL)
        goto out;
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        (void)error_set(err, ERROR_RETRY, "cannot make the topic '%s': %s", name,
                        rd_kafka_event_error_string(event));
        goto out;
    }
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            (void)topic_failed(results[i], err);
            goto out;
        }
    }
    ok = true;
out:
    if (event != NULL)
        rd_kafka_event_destroy(event);
    if (topic != NULL)
        rd_kafka_NewTopic_destroy(topic);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return ok;
}

/* Make one topic, and wait until the brokers know it: they learn of it one after the other. */
static bool create_topic(struct kafka_client *client, const char *name, unsigned partitions,
                         unsigned replication, int64_t start_ms, int patience_ms, struct error *err)
{
    bool was_made = false;
    for (;;) {
        unsigned count;
        bool is_known;
        bool is_over = patience_ms >= 0 && meter_now_ms() - start_ms >= patience_ms;
        /* With all the patience that is left: a broker that is absent is waited for. */
        int64_t left = start_ms + patience_ms - meter_now_ms();
        if (!kafka_client_count_partitions(client, name,
                                           patience_ms < 0 ? -1
                                           : left < 1      ? 1
                                                           : (int)left,
                                           &count, &is_known, err))
            return false;
        if (is_known)
            return true;
        if (is_over)
            return error_set(err, ERROR_RETRY, "the topic '%s' was made, but no broker tells of it yet",
                             name);
        if (!was_made)
            was_made = create(client, name, partitions, replication, left_ms(start_ms, patience_ms), err);
        if (!was_made && err->kind != ERROR_RETRY)
            return false;
        (void)rd_kafka_poll(client->handle, 100);
    }
}

bool kafka_create_topics(const struct settings *settings, const char *const *names, unsigned partitions,
                         unsigned replication, int patience_ms, struct error *err)
{
    struct kafka_client client;
    int64_t start_ms = meter_now_ms();
    if (!open_client(&client, settings, err))
        return false;
    bool ok = true;
    for (size_t i = 0; ok && names[i] != NULL; i++)
        ok = create_topic(&client, names[i], partitions, replication, start_ms, patience_ms, err);
    kafka_client_close(&client);
    return ok;
}
