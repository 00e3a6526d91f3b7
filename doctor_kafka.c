/* Kafka by the connection that the roles use: the same properties, logins and certificates. */
#include "doctor.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/kafka.h"

#define KAFKA_MS 10000
#define MINUTE_MS INT64_C(60000)
#define DAY_MS (24 * 60 * MINUTE_MS)
/* What a message can come to: the record of a file with its attributes, or any message that was not
 * understood; a task is its path and the options. */
#define RECORD_BYTES INT64_C(16777216)
#define TASK_BYTES INT64_C(1000000)

struct topic {
    const char *check;
    const char *name;
    int64_t needed_bytes;
    struct kafka_topic found;
};

/* False: there is nothing more to say of it. */
static bool check_topic(struct doctor *doctor, struct topic *topic)
{
    struct error err = {0};
    if (!kafka_describe_topic(doctor->settings, topic->name, KAFKA_MS, &topic->found, &err)) {
        doctor_say(doctor, DOCTOR_FAIL, topic->check, "topic '%s': %s", topic->name, err.text);
        return false;
    }
    if (topic->found.partitions == 0) {
        doctor_say(
            doctor, DOCTOR_FAIL, topic->check,
            "topic '%s' is not there: produce --create-topics makes it; or correct the setting that names it",
            topic->name);
        return false;
    }
    return true;
}

static void check_longest(struct doctor *doctor, const struct topic *topic, const char *check)
{
    int64_t longest = topic->found.longest_bytes;
    if (longest == KAFKA_NOT_TOLD)
        doctor_say(doctor, DOCTOR_WARN, check,
                   "the brokers do not tell max.message.bytes of topic '%s': see that it is %" PRId64
                   " or more",
                   topic->name, topic->needed_bytes);
    else if (longest < topic->needed_bytes)
        doctor_say(doctor, DOCTOR_WARN, check,
                   "topic '%s' takes messages of %" PRId64 " bytes: set its max.message.bytes to %" PRId64
                   ", since longer ones are refused",
                   topic->name, longest, topic->needed_bytes);
    else
        doctor_say(doctor, DOCTOR_OK, check, "topic '%s' takes messages of %" PRId64 " bytes", topic->name,
                   longest);
}

static void check_partitions(struct doctor *doctor, const struct topic *topic)
{
    unsigned partitions = topic->found.partitions;
    if (partitions < 2)
        doctor_say(doctor, DOCTOR_WARN, topic->check,
                   "topic '%s' has 1 partition, so that only one worker works: give it as many partitions as "
                   "there will ever be workers",
                   topic->name);
    else
        doctor_say(doctor, DOCTOR_OK, topic->check,
                   "topic '%s' has %u partitions: at most %u workers work at a time", topic->name, partitions,
                   partitions);
}

static void say_partitions(struct doctor *doctor, const struct topic *topic)
{
    doctor_say(doctor, DOCTOR_OK, topic->check, "topic '%s' has %u partition%s", topic->name,
               topic->found.partitions, topic->found.partitions == 1 ? "" : "s");
}

/* A group without members forgets where it was before the topic forgets its messages: then all of them are
 * done again. */
static void check_retention(struct doctor *doctor, const struct topic *tasks, int64_t offsets_minutes)
{
    static const char check[] = "kafka_tasks_retention";
    int64_t retention_ms = tasks->found.retention_ms;
    if (offsets_minutes <= 0) {
        doctor_say(
            doctor, DOCTOR_WARN, check,
            "the brokers do not tell offsets.retention.minutes: see that retention.ms of topic '%s' is "
            "no longer than that",
            tasks->name);
        return;
    }
    int64_t offsets_ms = offsets_minutes * MINUTE_MS;
    if (retention_ms >= 0 && retention_ms <= offsets_ms) {
        doctor_say(doctor, retention_ms < DAY_MS ? DOCTOR_WARN : DOCTOR_OK, check,
                   retention_ms < DAY_MS
                       ? "tasks are kept %" PRId64 " minutes and offsets %" PRId64
                         ": tasks that nobody took by then are lost; raise retention.ms of the topic"
                       : "tasks are kept %" PRId64 " minutes, offsets %" PRId64,
                   retention_ms / MINUTE_MS, offsets_minutes);
        return;
    }
    char kept[48] = "for ever";
    if (retention_ms >= 0)
        (void)snprintf(kept, sizeof kept, "%" PRId64 " minutes", retention_ms / MINUTE_MS);
    doctor_say(doctor, DOCTOR_WARN, check,
               "tasks are kept %s, but offsets of a group without members %" PRId64
               " minutes: after a longer pause all are done again; set retention.ms of topic '%s' to %" PRId64
               " or less, or raise offsets.retention.minutes of the brokers",
               kept, offsets_minutes, tasks->name, offsets_ms);
}

void doctor_check_kafka(struct doctor *doctor)
{
    const struct settings *settings = doctor->settings;
    struct error err = {0};
    unsigned brokers = 0;
    int64_t offsets_minutes = 0;
    if (settings->kafka_brokers == NULL || settings->kafka_brokers[0] == '\0') {
        doctor_say(doctor, DOCTOR_SKIP, "kafka", "KafkaBrokers is not set");
        return;
    }
    if (!kafka_describe_cluster(settings, KAFKA_MS, &brokers, &offsets_minutes, &err)) {
        doctor_say(doctor, DOCTOR_FAIL, "kafka",
                   "%s: see that KafkaBrokers is right and can be reached from here", err.text);
        return;
    }
    doctor_say(doctor, DOCTOR_OK, "kafka", "%u broker%s", brokers, brokers == 1 ? "" : "s");
    struct topic tasks = {"kafka_tasks", settings->kafka_tasks_topic, TASK_BYTES, {0}};
    struct topic results = {"kafka_results", settings->kafka_results_topic, RECORD_BYTES, {0}};
    struct topic dead = {"kafka_dead", settings->kafka_dead_topic, RECORD_BYTES, {0}};
    if (check_topic(doctor, &tasks)) {
        check_partitions(doctor, &tasks);
        check_retention(doctor, &tasks, offsets_minutes);
        check_longest(doctor, &tasks, "kafka_tasks_message");
    }
    if (check_topic(doctor, &results)) {
        say_partitions(doctor, &results);
        check_longest(doctor, &results, "kafka_results_message");
    }
    if (check_topic(doctor, &dead)) {
        say_partitions(doctor, &dead);
        check_longest(doctor, &dead, "kafka_dead_message");
    }
}
