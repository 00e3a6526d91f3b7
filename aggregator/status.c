/* Each look is a new question for fields that we know: neither the size nor the names of what Redis holds are
 * ours to trust. */
#include "aggregator/status.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aggregator/status_print.h"
#include "common/alloc.h"
#include "common/redis.h"

#define JOBS_LISTED 20
#define WORKERS_MAX 10000 /* looked at; more are not counted */
#define WORKER_SEEN_S 60
#define WATCH_EVERY_S 1
#define WATCH_PATIENCE_S 60 /* how long --watch goes on without an answer */

const struct command_argument status_arguments[] = {
    {"JOB", NULL, false, "The job to show; without it, the 20 newest are listed."},
    {"--watch", NULL, false, "Show it again every second, until the job is over."},
    {"--json", NULL, false, "Print JSON, one object a line."},
    {NULL, NULL, false, NULL},
};

struct status {
    struct redis_place place;
    struct redis *redis; /* NULL: not connected */
    const char *prefix;
    const char *job; /* NULL: all */
    bool is_json;
    bool is_watched;
    bool is_terminal;
    struct buffer shown; /* the last time */
};

/* ---- asking ---------------------------------------------------------------------------------------- */

static bool ask(struct status *status, size_t count, const char *const *words, struct redisReply **reply,
                struct error *err)
{
    if (redis_ask(status->redis, count, words, reply, err))
        return true;
    return error_prefix(err, "cannot ask Redis (the setting 'RedisUrl')");
}

/* What Redis has of a job. *reply owns the texts of `job`; NULL: it does not know it. */
static bool ask_job(struct status *status, const char *id, struct status_job *job, struct redisReply **reply,
                    struct error *err)
{
    const char *words[2 + STATUS_FIELDS_MAX] = {"HMGET"};
    char *key = xasprintf("%s{%s}:job", status->prefix, id);
    words[1] = key;
    for (size_t i = 0; i < status_field_count; i++)
        words[2 + i] = status_field_name(i);
    *job = (struct status_job){.job = id};
    bool ok = ask(status, 2 + status_field_count, words, reply, err);
    free(key);
    if (!ok)
        return false;
    if (redis_reply_count(*reply) != status_field_count) {
        redis_reply_free(*reply);
        *reply = NULL;
        return error_set(err, ERROR_RETRY, "Redis (the setting 'RedisUrl') gives an answer that is none");
    }
    for (size_t i = 0; i < status_field_count; i++) {
        size_t length = 0;
        const char *text = redis_reply_text(*reply, i, &length);
        job->values[i] = text != NULL && strlen(text) == length ? text : NULL; /* a NUL: not of us */
    }
    if (status_value(job, "state") == NULL) {
        redis_reply_free(*reply);
        *reply = NULL;
    }
    return true;
}

static uint64_t number_of(const struct redisReply *reply, size_t i)
{
    const char *text = i < redis_reply_count(reply) ? redis_reply_text(reply, i, NULL) : NULL;
    uint64_t value = 0;
    for (; text != NULL && *text >= '0' && *text <= '9' && value < UINT64_MAX / 100; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    return value;
}

static bool ask_worker(struct status *status, const char *id, struct status_workers *workers,
                       struct error *err)
{
    struct redisReply *reply;
    char *key = xasprintf("%sworker:%s", status->prefix, id);
    const char *const words[] = {"HMGET", key, "assigned", "inflight", "files"};
    bool ok = ask(status, 5, words, &reply, err);
    free(key);
    if (!ok)
        return false;
    workers->seen++;
    workers->assigned += number_of(reply, 0);
    workers->inflight += number_of(reply, 1);
    workers->files += number_of(reply, 2);
    redis_reply_free(reply);
    return true;
}

static bool ask_workers(struct status *status, struct status_workers *workers, struct error *err)
{
    struct redisReply *reply;
    char oldest[32];
    char most[16];
    bool ok = false;
    *workers = (struct status_workers){0};
    (void)snprintf(oldest, sizeof oldest, "%" PRId64, (int64_t)time(NULL) - WORKER_SEEN_S);
    (void)snprintf(most, sizeof most, "%d", WORKERS_MAX);
    char *key = xasprintf("%sworkers", status->prefix);
    const char *const words[] = {"ZRANGEBYSCORE", key, oldest, "+inf", "LIMIT", "0", most};
    bool is_asked = ask(status, 7, words, &reply, err);
    free(key);
    if (!is_asked)
        return false;
    for (size_t i = 0; i < redis_reply_count(reply); i++) {
        const char *id = redis_reply_text(reply, i, NULL);
        if (id != NULL && !ask_worker(status, id, workers, err))
            goto out;
    }
    ok = true;
out:
    redis_reply_free(reply);
    return ok;
}

/* ---- one look -------------------------------------------------------------------------------------- */

/* *is_known false: Redis does not know the job. */
static bool look_at_job(struct status *status, struct buffer *out, bool *is_known, bool *is_over,
                        struct error *err)
{
    struct status_job job;
    struct status_workers workers;
    struct redisReply *reply;
    *is_known = *is_over = false;
    if (!ask_job(status, status->job, &job, &reply, err))
        return false;
    if (reply == NULL)
        return true;
    bool ok = ask_workers(status, &workers, err);
    if (ok) {
        *is_known = true;
        *is_over = status_is_over(&job);
        if (status->is_json) {
            status_print_json(out, &job, &workers);
            buffer_append_char(out, '\n');
        } else if (status->is_watched && !status->is_terminal) {
            status_print_line(out, &job);
        } else {
            status_print_block(out, &job, &workers, (int64_t)time(NULL));
        }
    }
    redis_reply_free(reply);
    return ok;
}

/* Jobs whose own entry has ended are left out. */
static bool look_at_all(struct status *status, struct buffer *out, struct error *err)
{
    struct redisReply *list;
    char last[16];
    size_t shown = 0;
    bool ok = false;
    (void)snprintf(last, sizeof last, "%d", JOBS_LISTED - 1);
    char *key = xasprintf("%sjobs", status->prefix);
    const char *const words[] = {"ZREVRANGE", key, "0", last};
    bool is_asked = ask(status, 4, words, &list, err);
    free(key);
    if (!is_asked)
        return false;
    buffer_append_text(out, status->is_json ? "{\"jobs\":[" : "");
    for (size_t i = 0; i < redis_reply_count(list); i++) {
        struct status_job job;
        struct redisReply *reply;
        const char *id = redis_reply_text(list, i, NULL);
        if (id == NULL)
            continue;
        if (!ask_job(status, id, &job, &reply, err))
            goto out;
        if (reply == NULL)
            continue;
        if (status->is_json) {
            buffer_append_text(out, shown > 0 ? "," : "");
            status_print_json(out, &job, NULL);
        } else {
            status_print_line(out, &job);
        }
        shown++;
        redis_reply_free(reply);
    }
    if (!status->is_json && shown == 0)
        buffer_append_text(out, "Redis knows no jobs.\n");
    buffer_append_text(out, status->is_json ? "]}\n" : "");
    ok = true;
out:
    redis_reply_free(list);
    return ok;
}

static bool look(struct status *status, struct buffer *out, bool *is_known, bool *is_over, struct error *err)
{
    bool ok;
    *is_known = true;
    *is_over = false;
    buffer_truncate(out, 0);
    if (status->redis == NULL && !redis_open(&status->redis, &status->place, err))
        return error_prefix(err, "cannot reach Redis (the setting 'RedisUrl')");
    ok = status->job != NULL ? look_at_job(status, out, is_known, is_over, err)
                             : look_at_all(status, out, err);
    if (!ok) {
        redis_close(status->redis);
        status->redis = NULL;
    }
    return ok;
}

/* ---- the command ----------------------------------------------------------------------------------- */

/* False: nobody reads any more. Between looks a terminal is drawn again, anything else gets what has changed.
 */
static bool show(struct status *status, const struct buffer *out, bool is_first)
{
    bool is_redrawn = status->is_watched && status->is_terminal && !status->is_json;
    bool is_same = !is_first && out->length == status->shown.length &&
                   (out->length == 0 || memcmp(out->data, status->shown.data, out->length) == 0);
    if (is_same && !is_redrawn)
        return true;
    if (is_redrawn)
        (void)fputs(is_first ? "\033[H\033[2J" : "\033[H", stdout);
    (void)fwrite(out->data, 1, out->length, stdout);
    if (is_redrawn)
        (void)fputs("\033[J", stdout);
    buffer_truncate(&status->shown, 0);
    buffer_append(&status->shown, out->data, out->length);
    return fflush(stdout) == 0 && !ferror(stdout);
}

static bool fail_unknown(const struct status *status, int *exit_status, struct error *err)
{
    *exit_status = EXIT_STATUS_SOME_FAILED;
    return error_set(err, ERROR_FATAL,
                     "Redis does not know the job '%s': it is not this fleet's, has not begun, or ended more "
                     "than 30 days ago",
                     status->job);
}

/* The first look must succeed; after that a Redis that is away, or has been emptied, has a minute to return.
 */
static bool watch(struct status *status, struct buffer *out, int *exit_status, struct error *err)
{
    int missed_s = 0;
    bool is_first = true;
    for (;;) {
        bool is_known, is_over;
        bool ok = look(status, out, &is_known, &is_over, err);
        bool is_missed = !ok || !is_known;
        missed_s = is_missed ? missed_s + WATCH_EVERY_S : 0;
        if (is_missed && (is_first || !status->is_watched || missed_s > WATCH_PATIENCE_S))
            return ok ? fail_unknown(status, exit_status, err) : false;
        if (!is_missed && !show(status, out, is_first))
            return true; /* main() reports what could not be written */
        if (is_over || !status->is_watched)
            return true;
        is_first = is_first && is_missed;
        (void)sleep(WATCH_EVERY_S);
    }
}

static bool is_job(const char *text)
{
    return strlen(text) == STATUS_JOB_CHARACTERS &&
           strspn(text, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == STATUS_JOB_CHARACTERS;
}

static bool check(struct status *status, const struct settings *settings, struct error *err)
{
    static const char *const needed[] = {"RedisUrl", NULL};
    if (status->job != NULL && !is_job(status->job))
        return error_set(
            err, ERROR_FATAL,
            "JOB is not a job's id, which has 26 characters of 0-9 and A-Z without I, L, O and U");
    return settings_check_given(settings, needed, err) &&
           redis_place_from_settings(&status->place, settings, err);
}

bool status_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                struct error *err)
{
    struct buffer out = {0};
    struct status status = {
        .prefix = settings->redis_prefix != NULL ? settings->redis_prefix : "",
        .job = command_value(line, "JOB"),
        .is_json = command_value(line, "--json") != NULL,
        .is_watched = command_value(line, "--watch") != NULL,
        .is_terminal = isatty(STDOUT_FILENO) == 1,
    };
    sigset_t pipe_signal;
    bool ok = false;
    *exit_status = EXIT_STATUS_USAGE;
    if (!check(&status, settings, err))
        goto out;
    (void)sigemptyset(&pipe_signal);
    (void)sigaddset(&pipe_signal, SIGPIPE);
    (void)sigprocmask(SIG_BLOCK, &pipe_signal, NULL);
    *exit_status = EXIT_STATUS_WORLD_FAILED;
    ok = watch(&status, &out, exit_status, err);
    if (ok)
        *exit_status = EXIT_STATUS_DONE;
out:
    redis_close(status.redis);
    redis_place_clear(&status.place);
    buffer_clear(&status.shown);
    buffer_clear(&out);
    return ok;
}
