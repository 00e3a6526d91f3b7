#include "aggregator/aggregate_fleet.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aggregator/aggregate.h"
#include "aggregator/closing.h"
#include "aggregator/complete.h"
#include "common/alloc.h"
#include "common/crash.h"
#include "common/files.h"
#include "common/log.h"
#include "common/queue_kafka.h"
#include "common/signals.h"

#define STEP_MS 100
#define SHOW_MS 200
#define LOOK_AGAIN_MS 1000 /* for a broker, a lock */
#define IDLE_STEPS 10      /* without a message, before --job believes that nothing more will come */

const struct command_argument aggregate_arguments[] = {
    {"--job", "JOB", false, "Serve this job alone, and end with its exit status when it is complete."},
    {"--rebuild", "JOB", false, "Write the tables of a job that is complete anew, from the state, and end."},
    {NULL, NULL, false, NULL},
};

struct fleet {
    const struct settings *settings;
    const char *only_job; /* NULL: all */
    char *state_directory, *group;
    int signals;
    bool is_stopping, waits_for_storage;
    bool was_open; /* the state was, in this life */
    struct metrics *metrics;
    struct health *health;
    struct jobs *jobs;
    struct closing closing;
    struct queue *results, *dead, *tasks;
    struct aggregate *agg;
    int64_t shown_ms, looked_ms;
    unsigned idle_steps;
};

/* ---- waiting ---- */

static void pause_for(struct fleet *fleet, int ms)
{
    struct pollfd signals = {.fd = fleet->signals, .events = POLLIN};
    for (int slice; ms > 0 && !fleet->is_stopping; ms -= slice) {
        slice = ms < LOOK_AGAIN_MS ? ms : LOOK_AGAIN_MS;
        (void)poll(&signals, 1, slice);
        fleet->is_stopping |= signals_take(fleet->signals);
        health_beat(fleet->health);
    }
}

/* Storage that is away may leave an empty folder in its place. To begin anew there would be to forget all
 * jobs. */
static bool is_state_there(const struct fleet *fleet)
{
    char *lock = xasprintf("%s/" JOBS_LOCK, fleet->state_directory);
    bool is_there =
        !fleet->was_open || (access(lock, F_OK) == 0 && access(fleet->settings->output_root, X_OK) == 0);
    free(lock);
    return is_there;
}

/* The one aggregator of a StateDirectory. Another one that starts stands by. */
static bool take_state(struct fleet *fleet, struct error *err)
{
    bool is_told = false;
    while (!fleet->is_stopping) {
        if (!is_state_there(fleet))
            (void)error_set(err, ERROR_RETRY, "StateDirectory or OutputRoot is not there any more");
        else if (jobs_open(&fleet->jobs, fleet->state_directory,
                           fleet->settings->durability != DURABILITY_NONE, err)) {
            fleet->was_open = true;
            return true;
        }
        if (err->kind != ERROR_RETRY)
            return false;
        if (!is_told)
            log_event(LOG_LEVEL_WARN, "aggregator", "standing_by", "reason=%s", log_text(err->text));
        is_told = true;
        health_set_ready(fleet->health, "StateDirectory is in use by another aggregator, or fails");
        pause_for(fleet, LOOK_AGAIN_MS);
    }
    return true;
}

static bool open_queue(struct fleet *fleet, struct queue **q, const char *topic, const char *group,
                       struct error *err)
{
    const struct queue_kafka_options options = {.settings = fleet->settings, .topic = topic, .group = group};
    while (!fleet->is_stopping) {
        if (queue_kafka_open(q, &options, LOOK_AGAIN_MS, err))
            return true;
        if (err->kind != ERROR_RETRY)
            return false;
        health_set_ready(fleet->health, "no broker answers");
        pause_for(fleet, 1);
    }
    return true;
}

/* ---- setting up ---- */

static bool set_up(struct fleet *fleet, const struct settings *settings, struct error *err)
{
    static const char *const needed[] = {"OutputRoot", "KafkaBrokers", NULL};
    if (!settings_check_given(settings, needed, err) || !mail_check_settings(settings, err))
        return false;
    fleet->state_directory = settings->state_directory != NULL
                                 ? xstrdup(settings->state_directory)
                                 : xasprintf("%s/" JOBS_STATE, settings->output_root);
    fleet->group = fleet->only_job == NULL
                       ? xstrdup(settings->kafka_aggregator_group)
                       : xasprintf("%s-%s", settings->kafka_aggregator_group, fleet->only_job);
    return signals_open(&fleet->signals, err);
}

static bool open_all(struct fleet *fleet, struct error *err)
{
    const struct settings *settings = fleet->settings;
    if (!take_state(fleet, err) || fleet->is_stopping)
        return fleet->is_stopping;
    CRASH_POINT("aggregator.state_taken");
    const struct closing_options closing = {.settings = settings,
                                            .jobs = fleet->jobs,
                                            .state_directory = fleet->state_directory,
                                            .is_patient = fleet->only_job == NULL,
                                            .metrics = fleet->metrics,
                                            .health = fleet->health};
    if (!closing_open(&fleet->closing, &closing, err) ||
        !open_queue(fleet, &fleet->dead, settings->kafka_dead_topic, NULL, err) ||
        !open_queue(fleet, &fleet->tasks, settings->kafka_tasks_topic, NULL, err) ||
        !open_queue(fleet, &fleet->results, settings->kafka_results_topic, fleet->group, err))
        return false;
    const struct aggregate_options options = {.jobs = fleet->jobs,
                                              .results = fleet->results,
                                              .dead = fleet->dead,
                                              .tasks = fleet->tasks,
                                              .output_root = fleet->closing.output_root,
                                              .only_job = fleet->only_job,
                                              .metrics = fleet->metrics};
    if (!fleet->is_stopping)
        fleet->agg = aggregate_new(&options);
    CRASH_POINT("aggregator.queues_open");
    log_event(LOG_LEVEL_INFO, "aggregator", "started", "group=%s", log_text(fleet->group));
    return true;
}

/* ---- the loop ---- */

static void report(struct fleet *fleet)
{
    struct queue_state state;
    struct metrics *metrics = fleet->metrics;
    int64_t now = meter_now_ms();
    if (now - fleet->shown_ms < SHOW_MS)
        return;
    fleet->shown_ms = now;
    queue_state(fleet->results, &state);
    closing_show(&fleet->closing);
    health_set_ready(fleet->health, fleet->waits_for_storage || fleet->closing.waits_for_storage
                                        ? "the storage fails"
                                    : !state.is_ready ? "no partitions assigned yet"
                                                      : NULL);
    metrics_set(metrics, METRIC_ASSIGNED_PARTITIONS, (double)state.assigned);
    metrics_set(metrics, METRIC_REBALANCES, (double)state.rebalances);
    metrics_set(metrics, METRIC_COMMIT_FAILURES, (double)state.commit_failures);
    metrics_set(metrics, METRIC_KAFKA_ERRORS, (double)state.errors);
    metrics_set(metrics, METRIC_CONSUMER_LAG, state.lag < 0 ? __builtin_nan("") : (double)state.lag);
}

/* Storage that a message needs is gone: it is tried again, as often as it takes. */
static bool step(struct fleet *fleet, struct error *err)
{
    bool received = false;
    if (aggregate_step(fleet->agg, STEP_MS, &received, err)) {
        fleet->waits_for_storage = false;
        fleet->idle_steps = received ? 0 : fleet->idle_steps + 1;
        return queue_serve(fleet->dead, err) && queue_serve(fleet->tasks, err);
    }
    if (err->kind != ERROR_RETRY || jobs_is_broken(fleet->jobs))
        return false;
    if (!fleet->waits_for_storage)
        log_event(LOG_LEVEL_WARN, "aggregator", "storage_unavailable", "reason=%s", log_text(err->text));
    fleet->waits_for_storage = true;
    pause_for(fleet, (int)fleet->settings->storage_probe_seconds * 1000);
    return queue_serve(fleet->results, err);
}

/* With --job: it is closed, nothing about it waits in the topic, and its mail is settled. */
static bool is_done(const struct fleet *fleet)
{
    struct queue_state state;
    if (fleet->only_job == NULL || !jobs_is_closed(fleet->jobs, fleet->only_job) ||
        jobs_find(fleet->jobs, fleet->only_job) != NULL || fleet->idle_steps < IDLE_STEPS ||
        outbox_waiting(fleet->closing.outbox) > 0)
        return false;
    queue_state(fleet->results, &state);
    return state.is_ready && state.lag <= 0;
}

/* Storage that was mounted anew, or is not, is another folder under the same name. */
static bool check_folders(struct fleet *fleet, struct error *err)
{
    int64_t now = meter_now_ms();
    if (now - fleet->looked_ms < LOOK_AGAIN_MS)
        return true;
    fleet->looked_ms = now;
    if (!files_is_folder(fleet->settings->output_root, fleet->closing.output_root))
        return error_set(err, ERROR_RETRY, "OutputRoot is not the folder that it was");
    if (!files_is_folder(fleet->state_directory, fleet->closing.state_dir))
        return error_set(err, ERROR_RETRY, "StateDirectory is not the folder that it was");
    return true;
}

static bool serve(struct fleet *fleet, struct error *err)
{
    while (!fleet->is_stopping && !is_done(fleet)) {
        fleet->is_stopping |= signals_take(fleet->signals);
        health_beat(fleet->health);
        if (!check_folders(fleet, err))
            return false;
        /* Jobs that are complete end first: their folders may have new jobs, whose notices come next. */
        for (struct open_job *job = jobs_first(fleet->jobs), *next; job != NULL; job = next) {
            next = job->next;
            if (jobs_is_complete(job) && meter_now_ms() >= job->try_ms &&
                (!aggregate_commit(fleet->agg, err) || !closing_end_job(&fleet->closing, job, err)))
                return false;
        }
        if (!step(fleet, err))
            return false;
        closing_sweep(&fleet->closing);
        closing_take_mails(&fleet->closing);
        report(fleet);
    }
    CRASH_POINT("aggregator.stopping");
    return aggregate_commit(fleet->agg, err);
}

/* ---- the end ---- */

/* What `extract` would have said at its end. */
static bool conclude(struct fleet *fleet, int *exit_status, struct error *err)
{
    struct notice notice = {0};
    struct store *store = NULL;
    struct store_counts counts;
    struct error ignored;
    char *state = NULL;
    bool ok = false;
    *exit_status = EXIT_STATUS_WORLD_FAILED;
    if (fleet->jobs == NULL || !jobs_is_closed(fleet->jobs, fleet->only_job) ||
        jobs_find(fleet->jobs, fleet->only_job) != NULL)
        return error_set(err, ERROR_FATAL, "stopped by a signal; job %s is not complete", fleet->only_job);
    if (!jobs_look_up(fleet->jobs, fleet->only_job, &notice, &store, err) ||
        !store_counts(store, &counts, err) || !store_get(store, "state", &state, err))
        goto out;
    *exit_status = complete_exit_status(&counts, &notice.job, err);
    if (state != NULL && strcmp(state, "complete") != 0)
        *exit_status = EXIT_STATUS_SOME_FAILED; /* cancelled: not all is done */
    ok = *exit_status != EXIT_STATUS_USAGE;
    if (ok)
        complete_print(&counts, notice.job.output_directory);
out:
    (void)!store_close(store, &ignored);
    job_clear(&notice.job);
    free(state);
    return ok;
}

static void close_state(struct fleet *fleet)
{
    aggregate_free(fleet->agg);
    queue_close(fleet->results);
    queue_close(fleet->dead);
    queue_close(fleet->tasks);
    CRASH_POINT("aggregator.left_group");
    closing_close(&fleet->closing);
    jobs_close(fleet->jobs);
    fleet->agg = NULL;
    fleet->results = fleet->dead = fleet->tasks = NULL;
    fleet->jobs = NULL;
}

/* Until it is over. Storage that failed below the state, or was mounted anew, is met by beginning again: what
 * was not committed comes again. */
static bool run(struct fleet *fleet, struct error *err)
{
    const struct settings *settings = fleet->settings;
    fleet->metrics = metrics_new(NIFFLER_VERSION);
    if (!health_open(&fleet->health, settings->metrics_listen, fleet->metrics, err))
        return false;
    while (!open_all(fleet, err) || (fleet->agg != NULL && !serve(fleet, err))) {
        if (err->kind != ERROR_RETRY || !fleet->was_open || fleet->is_stopping)
            return false;
        log_event(LOG_LEVEL_WARN, "aggregator", "storage_unavailable", "reason=%s", log_text(err->text));
        health_set_ready(fleet->health, "the storage fails");
        metrics_set(fleet->metrics, METRIC_STORAGE_BREAKER, 1);
        close_state(fleet);
        pause_for(fleet, (int)settings->storage_probe_seconds * 1000);
    }
    return true;
}

static void close_all(struct fleet *fleet)
{
    close_state(fleet);
    health_close(fleet->health);
    metrics_free(fleet->metrics);
    if (fleet->signals >= 0)
        (void)close(fleet->signals);
    free(fleet->state_directory);
    free(fleet->group);
}

/* ---- --rebuild ---- */

static bool rebuild(struct fleet *fleet, const char *id, int *exit_status, struct error *err)
{
    struct notice notice = {0};
    struct store *store = NULL;
    struct store_counts counts;
    struct error ignored;
    int root = -1, dir = -1;
    bool ok = false;
    if (!jobs_open(&fleet->jobs, fleet->state_directory, fleet->settings->durability != DURABILITY_NONE, err))
        return false;
    if (jobs_find(fleet->jobs, id) != NULL)
        return error_set(err, ERROR_FATAL, "job %s is not complete", id);
    if (!jobs_look_up(fleet->jobs, id, &notice, &store, err) ||
        !files_open_folder(fleet->settings->output_root, &root, err) ||
        !files_open_folder_beneath(root, notice.job.output, &dir, err) ||
        !complete_outputs(store, &notice.job, dir, &counts, err))
        goto out;
    CRASH_POINT("aggregator.rebuilt");
    complete_print(&counts, notice.job.output_directory);
    *exit_status = complete_exit_status(&counts, &notice.job, err);
    ok = *exit_status != EXIT_STATUS_USAGE;
out:
    if (root >= 0)
        (void)close(root);
    if (dir >= 0)
        (void)close(dir);
    (void)!store_close(store, &ignored);
    job_clear(&notice.job);
    return ok;
}

bool aggregate_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                   struct error *err)
{
    struct fleet fleet = {.settings = settings, .only_job = command_value(line, "--job"), .signals = -1};
    const char *again = command_value(line, "--rebuild");
    const char *named = again != NULL ? again : fleet.only_job;
    *exit_status = EXIT_STATUS_USAGE;
    log_open(STDERR_FILENO, -1, settings->log_level);
    closing_clear(&fleet.closing);
    if (named != NULL && !job_is_id(named))
        return error_set(err, ERROR_FATAL, "'%.40s' is not the id of a job", named);
    bool ok = set_up(&fleet, settings, err);
    if (ok) {
        *exit_status = EXIT_STATUS_WORLD_FAILED;
        if (again != NULL)
            ok = rebuild(&fleet, again, exit_status, err);
        else
            ok = run(&fleet, err);
        if (ok && again == NULL)
            *exit_status = EXIT_STATUS_DONE;
        if (ok && again == NULL && fleet.only_job != NULL)
            ok = conclude(&fleet, exit_status, err);
        if (!ok && err->kind == ERROR_BUG)
            *exit_status = EXIT_STATUS_BUG;
    }
    close_all(&fleet);
    return ok;
}
