/* Workers and aggregators do not start without topics, and a fleet that starts as a whole has no job yet
 * whose producer could make them. */
#include "producer/topics.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/kafka.h"
#include "common/log.h"

#define PARTITIONS 16
#define REPLICATION 1

const struct command_argument topics_arguments[] = {
    {"--partitions", "N", false,
     "Partitions of topics that are made: the most workers that can share one (16)."},
    {"--replication", "N", false, "Replicas of topics that are made, in a cluster of brokers (1)."},
    {NULL, NULL, false, NULL},
};

static bool take_number(const struct command_line *line, const char *name, unsigned standard,
                        unsigned *number, struct error *err)
{
    const char *text = command_value(line, name);
    char *end;
    *number = standard;
    if (text == NULL)
        return true;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end != '\0' || value > 100000)
        return error_set(err, ERROR_FATAL, "cannot use '%.20s' as %s: allowed is a whole number from 1", text,
                         name);
    *number = (unsigned)value;
    return true;
}

bool topics_make(const struct settings *settings, const struct command_line *line, bool is_wanted,
                 struct error *err)
{
    const char *const names[] = {settings->kafka_tasks_topic, settings->kafka_results_topic,
                                 settings->kafka_dead_topic, NULL};
    unsigned partitions, replication;
    if (!take_number(line, "--partitions", PARTITIONS, &partitions, err) ||
        !take_number(line, "--replication", REPLICATION, &replication, err))
        return false;
    return !is_wanted || kafka_create_topics(settings, names, partitions, replication, TOPICS_BROKER_MS, err);
}

bool topics_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                struct error *err)
{
    static const char *const needed[] = {"KafkaBrokers", NULL};
    *exit_status = EXIT_STATUS_USAGE;
    log_open(STDERR_FILENO, -1, settings->log_level);
    if (!settings_check_given(settings, needed, err))
        return false;
    bool ok = topics_make(settings, line, true, err);
    if (ok)
        *exit_status = EXIT_STATUS_DONE;
    else if (err->kind != ERROR_FATAL)
        *exit_status = command_exit_status(err);
    return ok;
}
