/* Why a table of newest values and no queue: a queue grows while Redis is gone, and then shows the past. Here
 * a slow Redis only means that values between two writes are never seen.
 *
 * The thread holds the lock while it looks at the table, never while it talks to Redis. Each value has a
 * number of its own, by which the thread knows after a write whether it is still the one that is shown. */
#include "common/view.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/redis.h"
#include "common/view_commands.h"

#define SPACING_MS 200  /* between two writes of one name: at most 5 a second */
#define REWRITE_MS 2000 /* of what is lasting; also before a value that was refused is tried again */
#define BACKOFF_LEAST_MS 100
#define BACKOFF_MOST_MS 2000
#define WARN_MS 60000
#define BATCH_MOST 64 /* names written in one go: bounds the pipeline, and how long a close waits */
#define END_MS 100    /* how long a close waits for a thread that has been interrupted */
#define NEVER INT64_MAX

struct item {
    char *name;
    struct view_commands *commands; /* NULL: written or dropped; stays until its spacing is over */
    uint64_t number;                /* of this value: no two are the same */
    int64_t written_ms;
    bool is_lasting;
    bool is_dirty;   /* not written yet, or not on this connection */
    bool is_refused; /* by Redis, the last time */
};

struct view {
    struct redis_place place;
    char *prefix;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* the thread */
    pthread_cond_t calm; /* whoever closes: something was written, or the thread has ended */

    /* Under the lock. */
    struct item *items;
    size_t count, capacity;
    uint64_t last_number;
    struct redis *redis; /* the thread's; here so that closing can interrupt it */
    int64_t wake_ms;     /* when the thread wakes by itself */
    bool is_up, stop, has_ended, is_abandoned;

    /* The thread's own. */
    int64_t connect_ms, answered_ms, warned_ms;
    int backoff_ms;
    unsigned short seed[3];
    bool has_warned;
};

/* One value that is being written. */
struct written {
    struct view_commands *commands;
    uint64_t number;
    bool is_refused;
};

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the table, under the lock --------------------------------------------------------------------- */

static int64_t due_ms(const struct item *item)
{
    if (item->commands == NULL)
        return NEVER;
    if (item->is_dirty)
        return item->written_ms + (item->is_refused ? REWRITE_MS : SPACING_MS);
    return item->written_ms + REWRITE_MS;
}

static struct item *find_item(struct view *view, const char *name)
{
    for (size_t i = 0; i < view->count; i++)
        if (strcmp(view->items[i].name, name) == 0)
            return &view->items[i];
    return NULL;
}

static struct item *add_item(struct view *view, const char *name)
{
    if (view->count == view->capacity) {
        view->capacity = view->capacity == 0 ? 16 : view->capacity * 2;
        view->items = xrealloc_array(view->items, view->capacity, sizeof *view->items);
    }
    struct item *item = &view->items[view->count++];
    *item = (struct item){.name = xstrdup(name), .written_ms = now_ms() - SPACING_MS};
    return item;
}

/* Those that have nothing to show and whose spacing is over. */
static void forget_empty(struct view *view, int64_t now)
{
    for (size_t i = 0; i < view->count;) {
        struct item *item = &view->items[i];
        if (item->commands != NULL || now < item->written_ms + SPACING_MS) {
            i++;
            continue;
        }
        free(item->name);
        *item = view->items[--view->count];
    }
}

static void empty_item(struct item *item)
{
    view_commands_release(item->commands);
    item->commands = NULL;
    item->is_dirty = false;
}

static bool has_commands(const struct view *view)
{
    for (size_t i = 0; i < view->count; i++)
        if (view->items[i].commands != NULL)
            return true;
    return false;
}

static bool has_refused(const struct view *view)
{
    for (size_t i = 0; i < view->count; i++)
        if (view->items[i].commands != NULL && view->items[i].is_refused)
            return true;
    return false;
}

static bool has_dirty(const struct view *view)
{
    for (size_t i = 0; i < view->count; i++)
        if (view->items[i].is_dirty)
            return true;
    return false;
}

/* ---- the thread ------------------------------------------------------------------------------------ */

static void sleep_until(struct view *view, int64_t until_ms)
{
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    view->wake_ms = until_ms;
    while (!view->stop && view->wake_ms == until_ms &&
           pthread_cond_timedwait(&view->wake, &view->lock, &until) == 0)
        ;
    view->wake_ms = 0; /* awake: nobody need signal */
}

/* Not under the lock. What fails because we close is no failure. */
static void warn(struct view *view, const struct error *err)
{
    int64_t now = now_ms();
    (void)pthread_mutex_lock(&view->lock);
    bool is_closing = view->stop;
    (void)pthread_mutex_unlock(&view->lock);
    if (is_closing)
        return;
    if (view->warned_ms != 0 && now < view->warned_ms + WARN_MS)
        return;
    view->warned_ms = now;
    view->has_warned = true;
    log_event(LOG_LEVEL_WARN, "common", "view_failed", "reason=%s", log_text(err->text));
}

static void note_success(struct view *view)
{
    view->backoff_ms = BACKOFF_LEAST_MS;
    if (view->has_warned)
        log_event(LOG_LEVEL_INFO, "common", "view_restored", "redis=up");
    view->has_warned = false;
}

/* Under the lock. Where many processes lose one Redis, they shall not all return at once: half to all of the
 * back-off. */
static void lose_connection(struct view *view)
{
    struct redis *redis = view->redis;
    view->redis = NULL;
    view->is_up = false;
    redis_close(redis);
    view->connect_ms = now_ms() + view->backoff_ms / 2 + nrand48(view->seed) % (view->backoff_ms / 2 + 1);
    view->backoff_ms = view->backoff_ms * 2 < BACKOFF_MOST_MS ? view->backoff_ms * 2 : BACKOFF_MOST_MS;
}

static void connect_again(struct view *view)
{
    struct redis *redis;
    struct error err = {0};
    (void)pthread_mutex_unlock(&view->lock);
    bool ok = redis_open(&redis, &view->place, &err);
    if (!ok)
        warn(view, &err);
    (void)pthread_mutex_lock(&view->lock);
    if (!ok) {
        lose_connection(view);
        return;
    }
    view->redis = redis;
    /* A PING at once where nothing is there to be written: else only a write says whether all is well. */
    view->answered_ms = has_commands(view) ? now_ms() : now_ms() - REWRITE_MS;
    for (size_t i = 0; i < view->count; i++) {
        view->items[i].is_dirty = view->items[i].commands != NULL;
        view->items[i].is_refused = false;
    }
}

/* Redis that has become a replica, or loads its data, or has forgotten who we are: a new connection may find
 * another one behind the name, or the state passed. */
static bool is_of_connection(const struct error *err)
{
    static const char *const codes[] = {"READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "CLUSTERDOWN"};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strncmp(err->text, codes[i], strlen(codes[i])) == 0)
            return true;
    return err->kind != ERROR_INPUT;
}

/* Not under the lock. With nothing to write, ask whether Redis is there. False: the connection is of no use.
 */
static bool write_batch(struct view *view, struct written *batch, size_t count)
{
    static const char *const ping[] = {"PING"};
    struct error err = {0};
    bool is_taken = true;
    bool is_good = true;
    if (count == 0)
        is_good = redis_ask(view->redis, 1, ping, NULL, &err);
    for (size_t i = 0; i < count; i++)
        view_commands_send(batch[i].commands, view->prefix, view->redis);
    for (size_t i = 0; i < count && is_good; i++) {
        for (size_t c = 0; c < batch[i].commands->count && is_good; c++) {
            struct error refused = {0};
            if (redis_receive(view->redis, NULL, &refused))
                continue;
            err = refused;
            is_taken = false;
            batch[i].is_refused = true;
            is_good = !is_of_connection(&refused);
        }
    }
    if (!is_good || !is_taken)
        warn(view, &err);
    return is_good;
}

static size_t take_batch(struct view *view, struct written batch[BATCH_MOST], int64_t now)
{
    size_t count = 0;
    for (size_t i = 0; i < view->count && count < BATCH_MOST; i++) {
        struct item *item = &view->items[i];
        if (due_ms(item) > now)
            continue;
        item->written_ms = now;
        item->commands->users++;
        batch[count++] = (struct written){.commands = item->commands, .number = item->number};
    }
    return count;
}

static void settle_batch(struct view *view, const struct written *batch, size_t count, bool is_good)
{
    for (size_t b = 0; b < count; b++) {
        for (size_t i = 0; i < view->count; i++) {
            struct item *item = &view->items[i];
            if (item->commands == NULL || item->number != batch[b].number)
                continue;
            item->is_refused = batch[b].is_refused;
            item->is_dirty = !is_good || batch[b].is_refused;
            if (!item->is_dirty && !item->is_lasting)
                empty_item(item);
        }
        view_commands_release(batch[b].commands);
    }
}

/* One look at the table: write what is due, else sleep until something is. */
static void serve(struct view *view)
{
    struct written batch[BATCH_MOST];
    int64_t now = now_ms();
    forget_empty(view, now);
    size_t count = take_batch(view, batch, now);
    if (count == 0 && now < view->answered_ms + REWRITE_MS) {
        int64_t until = view->answered_ms + REWRITE_MS;
        for (size_t i = 0; i < view->count; i++)
            until = due_ms(&view->items[i]) < until ? due_ms(&view->items[i]) : until;
        sleep_until(view, until);
        return;
    }
    (void)pthread_mutex_unlock(&view->lock);
    bool is_good = write_batch(view, batch, count);
    (void)pthread_mutex_lock(&view->lock);
    settle_batch(view, batch, count, is_good);
    view->answered_ms = now_ms();
    view->is_up = is_good;
    bool is_well = is_good && !has_refused(view);
    if (!is_good)
        lose_connection(view);
    (void)pthread_cond_broadcast(&view->calm);
    if (!is_well)
        return;
    (void)pthread_mutex_unlock(&view->lock);
    note_success(view);
    (void)pthread_mutex_lock(&view->lock);
}

static void free_view(struct view *view)
{
    for (size_t i = 0; i < view->count; i++) {
        view_commands_release(view->items[i].commands);
        free(view->items[i].name);
    }
    free(view->items);
    free(view->prefix);
    redis_place_clear(&view->place);
    (void)pthread_cond_destroy(&view->calm);
    (void)pthread_cond_destroy(&view->wake);
    (void)pthread_mutex_destroy(&view->lock);
    free(view);
}

static void *run(void *argument)
{
    struct view *view = argument;
    (void)pthread_mutex_lock(&view->lock);
    while (!view->stop) {
        if (view->redis != NULL)
            serve(view);
        else if (now_ms() < view->connect_ms)
            sleep_until(view, view->connect_ms);
        else
            connect_again(view);
    }
    struct redis *redis = view->redis;
    view->redis = NULL;
    view->has_ended = true;
    bool is_abandoned = view->is_abandoned;
    (void)pthread_cond_broadcast(&view->calm);
    (void)pthread_mutex_unlock(&view->lock);
    redis_close(redis);
    if (is_abandoned)
        free_view(view);
    return NULL;
}

/* ---- what others call ------------------------------------------------------------------------------ */

static void seed_jitter(struct view *view)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t mixed = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20 ^ (uint64_t)(uintptr_t)view >> 4;
    for (size_t i = 0; i < 3; i++)
        view->seed[i] = (unsigned short)(mixed >> 16 * i);
}

/* Signals are for the threads that wait for them; SIGPIPE, which a lost connection brings, is for nobody. */
static bool start_thread(struct view *view)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    bool ok = pthread_create(&view->thread, NULL, run, view) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

bool view_open(struct view **view, const struct settings *settings, struct error *err)
{
    pthread_condattr_t monotonic;
    *view = NULL;
    if (settings->redis_url == NULL || settings->redis_url[0] == '\0')
        return true;
    struct view *opened = xcalloc(1, sizeof *opened);
    opened->prefix = xstrdup(settings->redis_prefix != NULL ? settings->redis_prefix : "");
    opened->backoff_ms = BACKOFF_LEAST_MS;
    seed_jitter(opened);
    (void)pthread_mutex_init(&opened->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&opened->wake, &monotonic);
    (void)pthread_cond_init(&opened->calm, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (!redis_place_from_settings(&opened->place, settings, err)) {
        free_view(opened);
        return false;
    }
    if (!start_thread(opened)) {
        free_view(opened);
        return error_set(err, ERROR_FATAL, "cannot start a thread for Redis");
    }
    *view = opened;
    return true;
}

void view_put(struct view *view, const char *name, struct view_commands *commands, bool is_lasting)
{
    if (view == NULL) {
        view_commands_release(commands);
        return;
    }
    (void)pthread_mutex_lock(&view->lock);
    struct item *item = find_item(view, name);
    if (item == NULL)
        item = add_item(view, name);
    view_commands_release(item->commands);
    item->commands = commands;
    item->number = ++view->last_number;
    item->is_lasting = is_lasting;
    item->is_dirty = true;
    if (view->redis != NULL && due_ms(item) < view->wake_ms) {
        view->wake_ms = 0;
        (void)pthread_cond_signal(&view->wake);
    }
    (void)pthread_mutex_unlock(&view->lock);
}

void view_drop(struct view *view, const char *name)
{
    if (view == NULL)
        return;
    (void)pthread_mutex_lock(&view->lock);
    struct item *item = find_item(view, name);
    if (item != NULL)
        empty_item(item);
    (void)pthread_mutex_unlock(&view->lock);
}

bool view_is_up(struct view *view)
{
    if (view == NULL)
        return false;
    (void)pthread_mutex_lock(&view->lock);
    bool is_up = view->is_up;
    (void)pthread_mutex_unlock(&view->lock);
    return is_up;
}

/* Under the lock; false: the time is over. */
static bool wait_calm(struct view *view, int64_t until_ms)
{
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    return pthread_cond_timedwait(&view->calm, &view->lock, &until) == 0;
}

void view_close(struct view *view, int wait_ms)
{
    if (view == NULL)
        return;
    (void)pthread_mutex_lock(&view->lock);
    int64_t until_ms = now_ms() + (wait_ms > 0 ? wait_ms : 0);
    while (has_dirty(view) && now_ms() < until_ms && wait_calm(view, until_ms))
        ;
    view->stop = true;
    (void)pthread_cond_signal(&view->wake);
    if (view->redis != NULL)
        redis_interrupt(view->redis);
    until_ms = now_ms() + END_MS;
    while (!view->has_ended && wait_calm(view, until_ms))
        ;
    /* A thread that still connects, or asks for a host's address, ends when that does, and tidies up. */
    bool has_ended = view->has_ended;
    pthread_t thread = view->thread;
    view->is_abandoned = !has_ended;
    (void)pthread_mutex_unlock(&view->lock);
    if (!has_ended) {
        (void)pthread_detach(thread);
        return;
    }
    (void)pthread_join(thread, NULL);
    free_view(view);
}
