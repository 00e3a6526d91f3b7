#include "producer/control.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/job.h"
#include "common/queue_kafka.h"

#define BROKER_MS 10000

const struct command_argument cancel_arguments[] = {
    {"JOB", NULL, true, "The job's id, as `produce` printed it."},
    {NULL, NULL, false, NULL},
};

const struct command_argument requeue_arguments[] = {
    {"JOB", NULL, true, "The job's id, as `produce` printed it."},
    {"--category", "N", false, "Only the failed files of this category, 1 to 4."},
    {NULL, NULL, false, NULL},
};

static bool send(const struct settings *settings, const struct notice *notice, struct error *err)
{
    const struct queue_kafka_options options = {.settings = settings, .topic = settings->kafka_results_topic};
    const struct queue_address to = {.key = notice->job.id};
    struct buffer json = {0};
    struct queue *results = NULL;
    notice_to_json(notice, &json);
    bool ok = queue_kafka_open(&results, &options, BROKER_MS, err) &&
              queue_send(results, &to, json.data, json.length, err) && queue_flush(results, err);
    queue_close(results);
    buffer_clear(&json);
    return ok;
}

static bool say(const struct settings *settings, const struct command_line *line, struct notice *notice,
                int *exit_status, struct error *err)
{
    static const char *const needed[] = {"KafkaBrokers", NULL};
    const char *id = command_value(line, "JOB");
    *exit_status = EXIT_STATUS_USAGE;
    log_open(STDERR_FILENO, -1, LOG_LEVEL_WARN);
    if (!settings_check_given(settings, needed, err))
        return false;
    if (!job_take_id(notice->job.id, id))
        return error_set(err, ERROR_FATAL, "'%.40s' is not the id of a job", id);
    bool ok = send(settings, notice, err);
    *exit_status = ok ? EXIT_STATUS_DONE : command_exit_status(err);
    return ok;
}

bool cancel_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                struct error *err)
{
    struct notice notice = {.type = NOTICE_CANCEL};
    if (!say(settings, line, &notice, exit_status, err))
        return false;
    (void)fprintf(stderr, "niffler-png: job %s is to be cancelled\n", notice.job.id);
    return true;
}

bool requeue_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                 struct error *err)
{
    struct notice notice = {.type = NOTICE_REQUEUE};
    const char *category = command_value(line, "--category");
    *exit_status = EXIT_STATUS_USAGE;
    if (category != NULL && (strlen(category) != 1 || category[0] < '1' || category[0] > '4'))
        return error_set(err, ERROR_FATAL, "cannot use '%.20s' as --category: allowed is 1 to 4", category);
    notice.category = category != NULL ? (unsigned)(category[0] - '0') : 0;
    job_new_id(notice.request);
    if (!say(settings, line, &notice, exit_status, err))
        return false;
    (void)fprintf(stderr, "niffler-png: the failed files of job %s are to be done again\n", notice.job.id);
    return true;
}
