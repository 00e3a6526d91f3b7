/* One script writes all that is about a job, so that it changes whole or not at all, and so that an
 * aggregator that was thought dead cannot turn the numbers back: what is there by a later life, or by a later
 * change of the same life, stays. The same change may be written again, which mends what was lost. */
#include "aggregator/progress.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/alloc.h"
#include "common/buffer.h"

#define RUNNING_TTL_S "1209600" /* 14 days, from the last write */
#define ENDED_TTL_S "2592000"   /* 30 days */
#define LISTED_TTL_S "7776000"  /* 90 days: how long a job is listed */
#define WORDS_MAX 128
#define LEFT_MAX_S 1e9 /* more is no estimate */

/* KEYS: job, classes, events, jobs, jobs:active.
 * ARGV: epoch, rev, state, job id, created_at, now, TTL, is it over, days listed in seconds, number of words
 * for the job's hash, those words, the words for the classes.
 * A key that somebody has used for something else is replaced: all of them begin with our prefix. The hash is
 * written before old fields go, since a Redis that is full refuses to write, but not to delete. */
static const char script[] =
    "local kinds = {'hash', 'hash', 'stream', 'zset', 'set'}\n"
    "for i, kind in ipairs(kinds) do\n"
    "  local found = redis.call('TYPE', KEYS[i]).ok\n"
    "  if found ~= kind and found ~= 'none' then redis.call('DEL', KEYS[i]) end\n"
    "end\n"
    "local old = redis.call('HMGET', KEYS[1], 'epoch', 'rev', 'state')\n"
    "local epoch, rev = tonumber(old[1] or ''), tonumber(old[2] or '')\n"
    "if epoch and (epoch > tonumber(ARGV[1])\n"
    "    or epoch == tonumber(ARGV[1]) and rev and rev > tonumber(ARGV[2])) then return 0 end\n"
    "local count = tonumber(ARGV[10])\n"
    "redis.call('HSET', KEYS[1], unpack(ARGV, 11, 10 + count))\n"
    "local given = {}\n"
    "for i = 11, 10 + count, 2 do given[ARGV[i]] = true end\n"
    "for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do\n"
    "  if not given[name] then redis.call('HDEL', KEYS[1], name) end\n"
    "end\n"
    "redis.call('HSET', KEYS[2], unpack(ARGV, 11 + count))\n"
    "if old[3] ~= ARGV[3] then\n"
    "  redis.call('XADD', KEYS[3], 'MAXLEN', '~', '1000', '*', 'state', ARGV[3], 'before', old[3] or '',\n"
    "    'at', ARGV[6], 'epoch', ARGV[1], 'rev', ARGV[2])\n"
    "end\n"
    "for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[7]) end\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', '(' .. (tonumber(ARGV[6]) - tonumber(ARGV[9])))\n"
    "if ARGV[5] == '0' then redis.call('ZADD', KEYS[4], 'NX', ARGV[6], ARGV[4])\n"
    "else redis.call('ZADD', KEYS[4], ARGV[5], ARGV[4]) end\n"
    "redis.call('EXPIRE', KEYS[4], ARGV[9])\n"
    "if ARGV[8] == '1' then redis.call('SREM', KEYS[5], ARGV[4])\n"
    "else redis.call('SADD', KEYS[5], ARGV[4]) end\n"
    "redis.call('EXPIRE', KEYS[5], ARGV[7])\n"
    "return 1\n";

/* The words of a command; the texts made for it lie behind each other in `text`, so words are offsets until
 * all are there. */
struct words {
    struct buffer text;
    size_t offsets[WORDS_MAX];
    size_t count;
};

static void add_text(struct words *words, const char *text)
{
    assert(words->count < WORDS_MAX); /* the lists below are known, and shorter */
    words->offsets[words->count++] = words->text.length;
    buffer_append(&words->text, text, strlen(text) + 1);
}

static void add_number(struct words *words, uint64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, number);
    add_text(words, text);
}

static void field_text(struct words *words, const char *name, const char *value)
{
    if (value == NULL)
        return;
    add_text(words, name);
    add_text(words, value);
}

static void field_number(struct words *words, const char *name, uint64_t value)
{
    add_text(words, name);
    add_number(words, value);
}

static void field_time(struct words *words, const char *name, int64_t value_s)
{
    if (value_s > 0)
        field_number(words, name, (uint64_t)value_s);
}

static void field_decimal(struct words *words, const char *name, double value)
{
    char text[32];
    if (!isfinite(value))
        return;
    (void)snprintf(text, sizeof text, "%.1f", value);
    field_text(words, name, text);
}

static void add_counts(struct words *words, const struct progress *progress)
{
    const struct store_counts *counts = &progress->counts;
    char name[16];
    field_number(words, "done", counts->found);
    field_number(words, "ok", counts->converted);
    field_number(words, "converted", counts->converted);
    field_number(words, "no_image", counts->no_image);
    field_number(words, "ignored", counts->ignored);
    field_number(words, "skipped", counts->no_image + counts->ignored);
    field_number(words, "failed", counts->failed);
    for (unsigned i = 1; i <= 5; i++) {
        (void)snprintf(name, sizeof name, "failed_%u", i);
        field_number(words, name, counts->failed_by_category[i]);
    }
    field_number(words, "duplicates", progress->duplicates);
    field_number(words, "pictures", counts->pictures);
    if (progress->bytes_out > 0)
        field_number(words, "bytes_out", progress->bytes_out);
}

double progress_left_s(const struct progress *progress)
{
    uint64_t done = progress->counts.found, total = progress->total;
    if (total == PROGRESS_TOTAL_UNKNOWN)
        return NAN;
    if (done >= total)
        return 0;
    double left_s = ceil((double)(total - done) / progress->rate);
    return progress->rate > 0 && left_s < LEFT_MAX_S ? left_s : NAN;
}

/* What follows from the counts: how far, how fast, how long. Absent where it is not known. */
static void add_pace(struct words *words, const struct progress *progress)
{
    uint64_t done = progress->counts.found;
    uint64_t total = progress->total;
    field_decimal(words, "rate", progress->rate);
    if (total == PROGRESS_TOTAL_UNKNOWN)
        return;
    field_number(words, "total", total);
    /* Rounded down: 100 is for when it is all. */
    double percent = total == 0 || done >= total ? 100 : floor(1000.0 * (double)done / (double)total) / 10;
    field_decimal(words, "percent", percent);
    double left_s = progress_left_s(progress);
    if (!isnan(left_s))
        field_number(words, "eta_s", (uint64_t)left_s);
}

/* The tables appear when the job is complete, and not before. */
static void add_tables(struct words *words, const struct progress *progress)
{
    if (progress->output == NULL || strcmp(progress->state, "complete") != 0)
        return;
    char *path = xasprintf("%s/metadata.csv", progress->output);
    field_text(words, "metadata_csv", path);
    free(path);
    path = xasprintf("%s/mapping.csv", progress->output);
    field_text(words, "mapping_csv", path);
    free(path);
}

static void add_job_fields(struct words *words, const struct progress *progress, int64_t now_s)
{
    field_text(words, "state", progress->state);
    field_number(words, "found", progress->found);
    add_counts(words, progress);
    add_pace(words, progress);
    field_time(words, "created_at", progress->created_s);
    field_time(words, "sealed_at", progress->sealed_s);
    field_time(words, "started_at", progress->started_s);
    field_time(words, "updated_at", now_s);
    field_time(words, "finished_at", progress->finished_s);
    field_text(words, "output", progress->output);
    add_tables(words, progress);
    field_text(words, "mail", progress->mail);
    field_text(words, "error", progress->error);
    field_number(words, "epoch", progress->epoch);
    field_number(words, "rev", progress->revision);
    field_number(words, "schema", 1);
}

static bool is_over(const struct progress *progress)
{
    return strcmp(progress->state, "complete") == 0 || strcmp(progress->state, "cancelled") == 0 ||
           strcmp(progress->state, "failed") == 0;
}

static void add_script(struct view_commands *commands, const struct progress *progress, const char *ttl_s)
{
    static const char *const classes[] = {NULL,          "not_usable", "contradiction",
                                          "undecodable", "decoder",    "too_many"};
    static const char *const job_keys[] = {"job", "classes", "events"};
    struct words words = {0};
    const char *pointers[WORDS_MAX];
    char key[64];
    int64_t now_s = (int64_t)time(NULL);

    add_text(&words, "EVAL");
    add_text(&words, script);
    add_text(&words, "5");
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(key, sizeof key, "{%.32s}:%s", progress->job, job_keys[i]);
        add_text(&words, key);
    }
    add_text(&words, "jobs");
    add_text(&words, "jobs:active");
    add_number(&words, progress->epoch);
    add_number(&words, progress->revision);
    add_text(&words, progress->state);
    add_text(&words, progress->job);
    add_number(&words, progress->created_s > 0 ? (uint64_t)progress->created_s : 0);
    add_number(&words, (uint64_t)now_s);
    add_text(&words, ttl_s);
    add_text(&words, is_over(progress) ? "1" : "0");
    add_text(&words, LISTED_TTL_S);

    /* The number of words stands before them. */
    struct words fields = {0};
    add_job_fields(&fields, progress, now_s);
    add_number(&words, fields.count);
    for (size_t i = 0; i < fields.count; i++)
        add_text(&words, fields.text.data + fields.offsets[i]);
    buffer_clear(&fields.text);
    for (unsigned i = 1; i <= 5; i++)
        field_number(&words, classes[i], progress->counts.failed_by_category[i]);

    for (size_t i = 0; i < words.count; i++)
        pointers[i] = words.text.data + words.offsets[i];
    view_commands_add(commands, words.count, pointers, 0x1fu << 3);
    buffer_clear(&words.text);
}

static void put(struct view *view, const struct progress *progress, const char *ttl_s, bool is_lasting)
{
    static const char *const schema[] = {"SET", "schema", "1"};
    if (view == NULL)
        return;
    struct view_commands *commands = view_commands_new();
    char name[64];
    (void)snprintf(name, sizeof name, "job:%.32s", progress->job);
    add_script(commands, progress, ttl_s);
    view_commands_add(commands, 3, schema, 1u << 1);
    view_put(view, name, commands, is_lasting);
}

void progress_show(struct view *view, const struct progress *progress)
{
    put(view, progress, RUNNING_TTL_S, true);
}

void progress_end(struct view *view, const struct progress *progress)
{
    put(view, progress, ENDED_TTL_S, false);
}
