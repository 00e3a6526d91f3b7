#include "worker/work_fleet.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/health.h"
#include "common/log.h"
#include "common/meter.h"
#include "common/metrics.h"
#include "common/queue_kafka.h"
#include "common/signals.h"
#include "common/view.h"
#include "worker/find_decoder.h"
#include "worker/heartbeat.h"
#include "worker/work.h"

#define STEP_MS 200
#define REPORT_MS 200
#define LOOK_AGAIN_MS 1000 /* for a broker */
#define ANSWERS_MS 5000    /* at the end, for what was sent: what is not answered for then is done again */
#define VIEW_CLOSE_MS 500

struct fleet {
    const struct settings *settings;
    int signals;
    bool is_stopping; /* before there were queues */
    struct work *work;
    struct metrics *metrics;
    struct health *health;
    struct view *view;
    struct queue *tasks, *results, *dead;
    char id[96];
    uint64_t files; /* done, when last reported */
    int64_t started_s, reported_ms, shown_ms;
};

/* host-process-random: no two workers are one. */
static void make_id(struct fleet *fleet)
{
    char host[64] = "";
    uint32_t random = 0;
    (void)gethostname(host, sizeof host - 1);
    (void)!getrandom(&random, sizeof random, GRND_NONBLOCK);
    (void)snprintf(fleet->id, sizeof fleet->id, "%s-%ld-%08x", host, (long)getpid(), random);
}

static bool start_decoders(struct fleet *fleet, struct error *err)
{
    const struct settings *settings = fleet->settings;
    char *program = find_decoder(settings, err);
    if (program == NULL)
        return false;
    const struct work_options options = {
        .input_root = settings->input_root,
        .output_root = settings->output_root,
        .pool = {.program = program,
                 .count = settings_decoder_count(settings),
                 .memory_bytes = settings->decoder_memory_bytes,
                 .seconds = settings->decoder_seconds,
                 .file_seconds = settings->file_seconds,
                 .reply_bytes = settings->options.max_metadata_bytes + POOL_REPLY_OVERHEAD_BYTES,
                 .file_bytes = settings->options.max_picture_bytes,
                 .is_confined = settings->sandbox != SANDBOX_BEST_EFFORT},
        .links_anywhere = settings->links_anywhere,
        .link_roots = (const char *const *)settings->link_roots,
        .stop_descriptor = fleet->signals,
        .drain_seconds = settings->drain_seconds,
        .storage_probe_seconds = settings->storage_probe_seconds,
        .durability = settings->durability,
        .metrics = fleet->metrics,
    };
    bool ok = work_open(&fleet->work, &options, err);
    free(program);
    return ok;
}

static bool open_queue(struct fleet *fleet, struct queue **q, const char *topic, const char *group,
                       struct error *err)
{
    const struct queue_kafka_options options = {
        .settings = fleet->settings, .topic = topic, .group = group, .marks_suspects = group != NULL};
    while (!fleet->is_stopping) {
        if (queue_kafka_open(q, &options, LOOK_AGAIN_MS, err))
            return true;
        if (err->kind != ERROR_RETRY)
            return false;
        health_set_ready(fleet->health, "no broker answers");
        health_beat(fleet->health);
        fleet->is_stopping = signals_take(fleet->signals);
    }
    return true;
}

static bool open_all(struct fleet *fleet, struct error *err)
{
    const struct settings *settings = fleet->settings;
    fleet->metrics = metrics_new(NIFFLER_VERSION);
    metrics_set(fleet->metrics, METRIC_STORAGE_BREAKER, 0);
    metrics_set(fleet->metrics, METRIC_CRASH_BREAKER, 0);
    /* Decoders first, then whatever starts threads. The group last: whoever joins it must be able to send. */
    if (!start_decoders(fleet, err))
        return false;
    CRASH_POINT("worker.decoders_started");
    if (!health_open(&fleet->health, settings->metrics_listen, fleet->metrics, err) ||
        !view_open(&fleet->view, settings, err) ||
        !open_queue(fleet, &fleet->dead, settings->kafka_dead_topic, NULL, err) ||
        !open_queue(fleet, &fleet->results, settings->kafka_results_topic, NULL, err) ||
        !open_queue(fleet, &fleet->tasks, settings->kafka_tasks_topic, settings->kafka_worker_group, err))
        return false;
    if (!fleet->is_stopping)
        work_set_queues(fleet->work, fleet->tasks, fleet->results, fleet->dead);
    log_event(LOG_LEVEL_INFO, "worker", "started", "worker=%s decoders=%u", log_text(fleet->id),
              settings_decoder_count(settings));
    return true;
}

static void report(struct fleet *fleet, const struct work_status *status)
{
    struct metrics *metrics = fleet->metrics;
    struct queue_state tasks;
    int64_t now = meter_now_ms();
    health_beat(fleet->health);
    if (now - fleet->reported_ms < REPORT_MS)
        return;
    fleet->reported_ms = now;
    queue_state(fleet->tasks, &tasks);
    health_set_ready(fleet->health, status->is_stopping ? "stopping"
                                    : status->is_broken ? "decoders crash, on a picture of our own too"
                                    : status->is_waiting_for_storage ? "the storage fails"
                                    : !tasks.is_ready                ? "no partitions assigned yet"
                                                                     : NULL);
    unsigned decoders = settings_decoder_count(fleet->settings);
    metrics_set(metrics, METRIC_INFLIGHT, (double)tasks.in_flight);
    metrics_set(metrics, METRIC_DECODERS_BUSY, status->busy);
    metrics_set(metrics, METRIC_DECODERS_IDLE, decoders - status->busy);
    metrics_set(metrics, METRIC_ASSIGNED_PARTITIONS, (double)tasks.assigned);
    metrics_set(metrics, METRIC_PAUSED_PARTITIONS, (double)tasks.paused);
    metrics_set(metrics, METRIC_REBALANCES, (double)tasks.rebalances);
    metrics_set(metrics, METRIC_COMMIT_FAILURES, (double)tasks.commit_failures);
    metrics_set(metrics, METRIC_KAFKA_ERRORS, (double)tasks.errors);
    metrics_set(metrics, METRIC_CONSUMER_LAG, tasks.lag < 0 ? __builtin_nan("") : (double)tasks.lag);
    if (fleet->view != NULL)
        metrics_set(metrics, METRIC_REDIS_UP, view_is_up(fleet->view));
    if (status->files != fleet->files)
        metrics_set(metrics, METRIC_LAST_PROGRESS, (double)time(NULL));
    fleet->files = status->files;
    if (now - fleet->shown_ms >= HEARTBEAT_EVERY_S * 1000) {
        fleet->shown_ms = now;
        heartbeat_show(fleet->view, fleet->id, fleet->started_s, tasks.assigned, status->in_hand,
                       status->files);
    }
}

/* What was sent is answered for, or the time is over; the tasks behind what is not are done again. */
static bool await_answers(struct fleet *fleet, struct error *err)
{
    int64_t until = meter_now_ms() + ANSWERS_MS;
    struct queue *queues[] = {fleet->results, fleet->dead};
    for (;;) {
        struct queue_state state;
        uint64_t unanswered = 0;
        for (size_t i = 0; i < 2; i++) {
            if (!queue_serve(queues[i], err))
                return false;
            queue_state(queues[i], &state);
            unanswered += state.unanswered;
        }
        if (unanswered == 0 || meter_now_ms() >= until)
            return true;
        struct pollfd answers[] = {{.fd = queue_descriptor(queues[0]), .events = POLLIN},
                                   {.fd = queue_descriptor(queues[1]), .events = POLLIN},
                                   {.fd = fleet->signals, .events = POLLIN}};
        (void)poll(answers, 3, 50);
        if (signals_take(fleet->signals))
            return true;
    }
}

static bool serve(struct fleet *fleet, struct error *err)
{
    struct work_status status = {0};
    while (!status.is_over) {
        if (!work_step(fleet->work, STEP_MS, &status, err))
            return false;
        report(fleet, &status);
        CRASH_POINT("worker.step");
    }
    log_event(LOG_LEVEL_INFO, "worker", "drained", "files=%llu left=%u", (unsigned long long)status.files,
              status.in_hand);
    CRASH_POINT("worker.drained");
    bool ok = await_answers(fleet, err);
    CRASH_POINT("worker.answers_awaited");
    return ok;
}

static void close_all(struct fleet *fleet)
{
    CRASH_POINT("worker.closing");
    queue_close(fleet->tasks); /* commits, and leaves the group */
    CRASH_POINT("worker.left_group");
    work_close(fleet->work);
    CRASH_POINT("worker.decoders_ended");
    queue_close(fleet->results);
    queue_close(fleet->dead);
    view_close(fleet->view, VIEW_CLOSE_MS);
    health_close(fleet->health);
    metrics_free(fleet->metrics);
    if (fleet->signals >= 0)
        (void)close(fleet->signals);
}

bool work_fleet_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                    struct error *err)
{
    static const char *const needed[] = {"InputRoot", "OutputRoot", "KafkaBrokers", NULL};
    struct fleet fleet = {.settings = settings, .signals = -1, .started_s = (int64_t)time(NULL)};
    (void)line;
    *exit_status = EXIT_STATUS_USAGE;
    log_open(STDERR_FILENO, -1, settings->log_level);
    if (!settings_check_given(settings, needed, err))
        return false;
    make_id(&fleet);
    fleet.shown_ms = meter_now_ms() - HEARTBEAT_EVERY_S * 1000;
    bool ok = signals_open(&fleet.signals, err) && open_all(&fleet, err) &&
              (fleet.is_stopping || serve(&fleet, err));
    *exit_status = ok ? EXIT_STATUS_DONE : command_exit_status(err);
    close_all(&fleet);
    return ok;
}
