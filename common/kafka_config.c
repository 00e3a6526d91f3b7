#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/kafka_client.h"

struct property {
    const char *name;
    const char *value;
};

/* What suits us; the file may say otherwise. */
static const struct property defaults[] = {
    {"socket.keepalive.enable", "true"},
    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms", "2000"}, /* back within seconds of the broker's return */
    {"topic.metadata.refresh.interval.ms", "60000"},
};
static const struct property receiver_defaults[] = {
    {"auto.offset.reset", "earliest"},
    /* What a worker had that was killed waits so long, and with it the group when another one joins. Short is
     * cheap: a member that was missed by mistake takes its place again at once. */
    {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "2000"},
    {"max.poll.interval.ms", "300000"},
    /* Once so many wait, librdkafka fetches nothing for a second (that this can be set came with 2.2): they
     * must last for so long, and are the most that comes in a second. Of tasks it is 30 MB. */
    {"queued.min.messages", "30000"},
    {"queued.max.messages.kbytes", "65536"},
    {"fetch.message.max.bytes", "131072"}, /* of each partition, compressed: tenfold of it may come on top */
    {"fetch.wait.max.ms", "500"},
    {"check.crcs", "true"},
};
static const struct property sender_defaults[] = {
    {"compression.type", "lz4"},
    /* One request of a partition is under way at a time (idempotence, five messages), and while it is and the
     * next one is due, librdkafka's thread polls without a pause: not due before most brokers answer. */
    {"linger.ms", "50"},
    {"queue.buffering.max.kbytes", "65536"}, /* full: queue_send() waits */
    {"queue.buffering.max.messages", "100000"},
};

/* What the promises of queue.h rest on. */
static const struct property vital[] = {
    {"allow.auto.create.topics", "false"}, /* a wrong name must be an error, not a topic */
};
static const struct property receiver_vital[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    /* Cooperative assignment hangs, or loses assignments, before librdkafka 2.10. */
    {"partition.assignment.strategy", "range"},
};
static const struct property sender_vital[] = {
    {"enable.idempotence", "true"},
    {"acks", "all"},
    {"message.timeout.ms", "0"}, /* for ever */
    {"partitioner", "murmur2"},  /* one key, one partition, in every process and language */
};

/* Names that the file may not hold, and who has the say instead. Those that end with a star are beginnings.
 */
static const struct property refused[] = {
    {"bootstrap.servers", "KafkaBrokers names the brokers"},
    {"metadata.broker.list", "KafkaBrokers names the brokers"},
    {"group.id", "KafkaWorkerGroup and KafkaAggregatorGroup name the groups"},
    {"enable.auto.commit", "positions are committed when the work is done"},
    {"auto.commit.*", "KafkaCommitMs says how often positions are committed"},
    {"enable.auto.offset.store", "positions are committed when the work is done"},
    {"offset.store.*", "positions are committed when the work is done"},
    {"partition.assignment.strategy", "only range is safe with this version of librdkafka"},
    {"allow.auto.create.topics", "topics are made by 'niffler-png produce --create-topics'"},
    {"enable.idempotence", "without it messages could be lost or doubled"},
    {"transactional.id", "transactions are not used"},
    {"acks", "without all of them messages could be lost"},
    {"request.required.acks", "without all of them messages could be lost"},
    {"retries", "a message is tried for ever"},
    {"message.send.max.retries", "a message is tried for ever"},
    {"message.timeout.ms", "a message is tried for ever"},
    {"delivery.timeout.ms", "a message is tried for ever"},
    {"partitioner", "all programs must put a key into the same partition"},
    {"delivery.report.only.error", "an answer is needed for every message"},
    {"enabled_events", "it belongs to the program"},
    {"log.queue", "it belongs to the program"},
    {"opaque", "it belongs to the program"},
    {"background_event_cb", "it belongs to the program"},
    {"default_topic_conf", "it belongs to the program"},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

bool kafka_config_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct error *err)
{
    char text[512];
    switch (rd_kafka_conf_set(conf, name, value, text, sizeof text)) {
    case RD_KAFKA_CONF_OK:
        return true;
    case RD_KAFKA_CONF_UNKNOWN:
        return error_set(err, ERROR_FATAL, "librdkafka has no property '%s'", name);
    case RD_KAFKA_CONF_INVALID:
        break;
    }
    /* librdkafka's text repeats the value, which may be a password. */
    return error_set(err, ERROR_FATAL, "librdkafka does not take the value of '%s'", name);
}

static bool set_all(rd_kafka_conf_t *conf, const struct property *table, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!kafka_config_set(conf, table[i].name, table[i].value, err))
            return false;
    }
    return true;
}

/* Why a name may not stand in the file; NULL: it may. */
static const char *why_refused(const char *name)
{
    size_t length = strlen(name);
    if (length > 3 && strcmp(name + length - 3, "_cb") == 0)
        return "it belongs to the program";
    for (size_t i = 0; i < COUNT(refused); i++) {
        size_t end = strlen(refused[i].name) - 1;
        bool is_beginning = refused[i].name[end] == '*';
        if (is_beginning ? strncmp(name, refused[i].name, end) == 0 : strcmp(name, refused[i].name) == 0)
            return refused[i].value;
    }
    return NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static char *trim(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && is_blank(text[length - 1]))
        text[--length] = '\0';
    while (is_blank(*text))
        text++;
    return text;
}

static bool apply_line(rd_kafka_conf_t *conf, char *line, struct error *err)
{
    line = trim(line);
    if (*line == '\0' || *line == '#')
        return true;
    char *value = strchr(line, '=');
    if (value == NULL)
        return error_set(err, ERROR_FATAL, "not a line of the form name=value");
    *value++ = '\0';
    const char *name = trim(line);
    const char *why = why_refused(name);
    if (why != NULL)
        return error_set(err, ERROR_FATAL, "'%s' may not be set: %s", name, why);
    return kafka_config_set(conf, name, trim(value), err);
}

/* Which properties are for senders and which for receivers librdkafka knows itself: those of the other side
 * are passed over, after their values were checked. */
static bool apply_file(rd_kafka_conf_t *conf, const char *path, struct error *err)
{
    bool ok = false;
    char *line = NULL;
    size_t capacity = 0;
    unsigned number = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_errno(err, ERROR_FATAL, "cannot open KafkaConfigFile '%s'", path);
    while (errno = 0, getline(&line, &capacity, file) >= 0) {
        number++;
        if (!apply_line(conf, line, err)) {
            (void)error_prefix(err, "KafkaConfigFile '%s', line %u", path, number);
            goto out;
        }
    }
    if (ferror(file) != 0) {
        (void)error_errno(err, ERROR_FATAL, "cannot read KafkaConfigFile '%s'", path);
        goto out;
    }
    ok = true;
out:
    if (line != NULL)
        explicit_bzero(line, capacity); /* a password may have been on it */
    free(line);
    (void)fclose(file);
    return ok;
}

/* One of its own for every client: host, process, and what makes two of one process differ.
 *
 * A receiver is a member with that name, so that it is known again when it comes back from an outage that was
 * longer than its session. Without a name the broker, once it is back, waits for the member that it remembers
 * until that one's session is over, and all the group with it. */
static bool set_client_id(rd_kafka_conf_t *conf, enum kafka_role role, struct error *err)
{
    char host[256] = "";
    uint32_t number = 0;
    if (gethostname(host, sizeof host - 1) != 0)
        host[0] = '\0';
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        return error_errno(err, ERROR_FATAL, "cannot get a random number");
    char *id = xasprintf("niffler-png-%s-%ld-%08x", host, (long)getpid(), number);
    const char *member = crash_member() != NULL ? crash_member() : id;
    bool ok = kafka_config_set(conf, "client.id", id, err) &&
              (role != KAFKA_RECEIVES || kafka_config_set(conf, "group.instance.id", member, err));
    free(id);
    return ok;
}

static bool apply_defaults(rd_kafka_conf_t *conf, enum kafka_role role, struct error *err)
{
    if (!set_client_id(conf, role, err) || !set_all(conf, defaults, COUNT(defaults), err))
        return false;
    if (role == KAFKA_RECEIVES)
        return set_all(conf, receiver_defaults, COUNT(receiver_defaults), err);
    return role != KAFKA_SENDS || set_all(conf, sender_defaults, COUNT(sender_defaults), err);
}

static bool apply_vital(rd_kafka_conf_t *conf, enum kafka_role role, struct error *err)
{
    if (!set_all(conf, vital, COUNT(vital), err))
        return false;
    if (role == KAFKA_RECEIVES)
        return set_all(conf, receiver_vital, COUNT(receiver_vital), err);
    return role != KAFKA_SENDS || set_all(conf, sender_vital, COUNT(sender_vital), err);
}

bool kafka_config_new(rd_kafka_conf_t **conf, const struct settings *settings, enum kafka_role role,
                      struct error *err)
{
    *conf = rd_kafka_conf_new();
    if (settings->kafka_brokers == NULL)
        (void)error_set(err, ERROR_FATAL, "KafkaBrokers is not set");
    else if (apply_defaults(*conf, role, err) &&
             (settings->kafka_config_file == NULL || apply_file(*conf, settings->kafka_config_file, err)) &&
             apply_vital(*conf, role, err) &&
             kafka_config_set(*conf, "bootstrap.servers", settings->kafka_brokers, err))
        return true;
    rd_kafka_conf_destroy(*conf);
    *conf = NULL;
    return false;
}
