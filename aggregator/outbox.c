#include "aggregator/outbox.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/log.h"
#include "common/meter.h"

#define JITTER_PERCENT 20
#define GRACE_MS 500 /* for a sending under way when the outbox is stopped */

/* A mail on its way. */
struct entry {
    struct entry *next;
    struct mail mail; /* its texts are the three below */
    char *job, *to, *output_directory;
    unsigned attempts; /* so far */
    int64_t due_ms;
    int64_t give_up_ms; /* set at the first attempt */
    unsigned wait_ms;   /* before the next attempt, without jitter */
};

struct settled {
    struct settled *next;
    struct outbox_result result;
};

struct outbox {
    const struct settings *settings;
    struct outbox_limits limits;
    struct mail_stop *stop;
    pthread_t thread;
    bool has_thread;       /* the opener's and the stopper's alone */
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t changed;
    bool stopping;
    bool sending; /* an entry is out of the list, in the thread's hands */
    struct entry *pending;
    size_t waiting; /* entries, the one being sent among them */
    struct settled *first, *last;
    int event; /* readable while something is settled and not taken */
};

/* A mutex of our own that fails is our mistake, not the world's. */
static void lock(struct outbox *outbox)
{
    int failed = pthread_mutex_lock(&outbox->mutex);
    assert(failed == 0);
    (void)failed;
}

static void unlock(struct outbox *outbox)
{
    int failed = pthread_mutex_unlock(&outbox->mutex);
    assert(failed == 0);
    (void)failed;
}

/* Wait for a change until `until_ms` of meter_now_ms(); negative: as long as it takes. With the lock. */
static void wait_until(struct outbox *outbox, int64_t until_ms)
{
    if (until_ms < 0) {
        (void)pthread_cond_wait(&outbox->changed, &outbox->mutex);
        return;
    }
    struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
                             .tv_nsec = (long)(until_ms % 1000) * 1000000};
    (void)pthread_cond_timedwait(&outbox->changed, &outbox->mutex, &until);
}

/* ---- one mail ---- */

static struct entry *entry_new(const struct mail *mail)
{
    struct entry *entry = xcalloc(1, sizeof *entry);
    entry->job = xstrdup(mail->job);
    entry->to = xstrdup(mail->to == NULL ? "" : mail->to);
    entry->output_directory = xstrdup(mail->output_directory == NULL ? "" : mail->output_directory);
    entry->mail = *mail;
    entry->mail.job = entry->job;
    entry->mail.to = entry->to;
    entry->mail.output_directory = entry->output_directory;
    return entry;
}

static void entry_free(struct entry *entry)
{
    free(entry->job);
    free(entry->to);
    free(entry->output_directory);
    free(entry);
}

/* So that the mails that one outage has held up do not all come back in the same second. */
static int64_t jittered(unsigned wait_ms)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint32_t)meter_now_ms();
    int64_t spread = (int64_t)wait_ms * JITTER_PERCENT / 100;
    return wait_ms - spread + (int64_t)(random % (uint64_t)(2 * spread + 1));
}

/* After an attempt that may be repeated. The last one is made when the time is up, not before. */
static void schedule(const struct outbox *outbox, struct entry *entry, const struct error *cause)
{
    int64_t now = meter_now_ms(), due = now + jittered(entry->wait_ms);
    entry->due_ms = due < entry->give_up_ms ? due : entry->give_up_ms;
    entry->wait_ms =
        entry->wait_ms > outbox->limits.longest_ms / 2 ? outbox->limits.longest_ms : entry->wait_ms * 2;
    log_event(LOG_LEVEL_WARN, "aggregator", "mail_retry", "job=%s attempt=%u wait_ms=%lld reason=%s",
              log_text(entry->job), entry->attempts, (long long)(entry->due_ms - now), log_text(cause->text));
}

static void settle(struct outbox *outbox, const struct entry *entry, bool is_sent, const struct error *cause)
{
    struct settled *settled = xcalloc(1, sizeof *settled);
    uint64_t one = 1;
    (void)snprintf(settled->result.job, sizeof settled->result.job, "%s", entry->job);
    settled->result.round = entry->mail.round;
    settled->result.is_sent = is_sent;
    if (is_sent) {
        log_event(LOG_LEVEL_INFO, "aggregator", "mail_sent", "job=%s", log_text(entry->job));
    } else {
        (void)snprintf(settled->result.reason, sizeof settled->result.reason, "%s", cause->text);
        log_event(LOG_LEVEL_ERROR, "aggregator", "mail_failed", "job=%s attempts=%u reason=%s",
                  log_text(entry->job), entry->attempts, log_text(cause->text));
    }
    lock(outbox);
    if (outbox->last != NULL)
        outbox->last->next = settled;
    else
        outbox->first = settled;
    outbox->last = settled;
    outbox->waiting--;
    (void)!write(outbox->event, &one, sizeof one); /* EAGAIN: readable anyhow */
    unlock(outbox);
}

static bool is_stopping(struct outbox *outbox)
{
    lock(outbox);
    bool stopping = outbox->stopping;
    unlock(outbox);
    return stopping;
}

/* One attempt. Returns whether the mail is settled, and freed. One that outbox_stop() has cut short says
 * nothing about the mail, which stays as it was. */
static bool attempt(struct outbox *outbox, struct entry *entry)
{
    struct error cause = {0};
    int64_t begin = meter_now_ms();
    if (entry->attempts++ == 0) {
        entry->give_up_ms = begin + outbox->limits.give_up_ms;
        entry->wait_ms = outbox->limits.first_ms;
    }
    bool is_sent = mail_send_stoppable(outbox->settings, &entry->mail, outbox->stop, &cause);
    if (!is_sent && cause.kind == ERROR_RETRY && is_stopping(outbox))
        return false;
    if (!is_sent && cause.kind == ERROR_RETRY && begin < entry->give_up_ms) {
        schedule(outbox, entry, &cause);
        return false;
    }
    settle(outbox, entry, is_sent, &cause);
    entry_free(entry);
    return true;
}

/* ---- the thread ---- */

/* Take the mail out that has been due the longest. NULL: none is due, and *next_ms is when one will be (-1:
 * no mail at all). With the lock. */
static struct entry *take_due(struct outbox *outbox, int64_t *next_ms)
{
    struct entry **earliest = NULL;
    for (struct entry **link = &outbox->pending; *link != NULL; link = &(*link)->next)
        if (earliest == NULL || (*link)->due_ms <= (*earliest)->due_ms) /* the list begins with the newest */
            earliest = link;
    *next_ms = earliest == NULL ? -1 : (*earliest)->due_ms;
    if (earliest == NULL || *next_ms > meter_now_ms())
        return NULL;
    struct entry *entry = *earliest;
    *earliest = entry->next;
    entry->next = NULL;
    return entry;
}

static void *send_thread(void *context)
{
    struct outbox *outbox = context;
    lock(outbox);
    while (!outbox->stopping) {
        int64_t next_ms;
        struct entry *entry = take_due(outbox, &next_ms);
        if (entry == NULL) {
            wait_until(outbox, next_ms);
            continue;
        }
        outbox->sending = true;
        unlock(outbox);
        bool is_settled = attempt(outbox, entry);
        lock(outbox);
        outbox->sending = false;
        if (!is_settled) {
            entry->next = outbox->pending;
            outbox->pending = entry;
        }
        (void)pthread_cond_broadcast(&outbox->changed);
    }
    unlock(outbox);
    return NULL;
}

static bool set_up_waiting(struct outbox *outbox)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return false;
    /* The clock of meter_now_ms(). */
    bool ok = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
              pthread_cond_init(&outbox->changed, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return ok;
}

/* No signal is for this thread: neither those that ask to stop, nor the SIGPIPE of a connection that broke.
 */
static bool start_thread(struct outbox *outbox)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return false;
    outbox->has_thread = pthread_create(&outbox->thread, NULL, send_thread, outbox) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return outbox->has_thread;
}

/* ---- the outside ---- */

bool outbox_open(struct outbox **result, const struct settings *settings, const struct outbox_limits *limits,
                 struct error *err)
{
    struct outbox *outbox = xcalloc(1, sizeof *outbox);
    *result = NULL;
    outbox->settings = settings;
    outbox->limits = *limits;
    outbox->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (outbox->event < 0) {
        free(outbox);
        return error_errno(err, ERROR_FATAL, "cannot set up the sending of e-mails");
    }
    if (pthread_mutex_init(&outbox->mutex, NULL) != 0 || !set_up_waiting(outbox)) {
        (void)close(outbox->event);
        free(outbox);
        return error_set(err, ERROR_FATAL, "cannot set up the sending of e-mails");
    }
    if (!mail_stop_open(&outbox->stop, err)) {
        outbox_close(outbox);
        return false;
    }
    if (!start_thread(outbox)) {
        outbox_close(outbox);
        return error_set(err, ERROR_FATAL, "cannot start a thread");
    }
    *result = outbox;
    return true;
}

void outbox_put(struct outbox *outbox, const struct mail *mail)
{
    struct entry *entry = entry_new(mail);
    entry->due_ms = meter_now_ms();
    lock(outbox);
    entry->next = outbox->pending;
    outbox->pending = entry;
    outbox->waiting++;
    (void)pthread_cond_broadcast(&outbox->changed);
    unlock(outbox);
}

bool outbox_take(struct outbox *outbox, struct outbox_result *result)
{
    lock(outbox);
    struct settled *settled = outbox->first;
    if (settled != NULL) {
        outbox->first = settled->next;
        if (outbox->first == NULL) {
            uint64_t count;
            outbox->last = NULL;
            (void)!read(outbox->event, &count, sizeof count);
        }
    }
    unlock(outbox);
    if (settled == NULL)
        return false;
    *result = settled->result;
    free(settled);
    return true;
}

size_t outbox_waiting(struct outbox *outbox)
{
    lock(outbox);
    size_t waiting = outbox->waiting;
    unlock(outbox);
    return waiting;
}

int outbox_descriptor(struct outbox *outbox)
{
    return outbox->event;
}

void outbox_stop(struct outbox *outbox)
{
    if (!outbox->has_thread)
        return;
    int64_t until_ms = meter_now_ms() + GRACE_MS;
    lock(outbox);
    outbox->stopping = true;
    (void)pthread_cond_broadcast(&outbox->changed);
    while (outbox->sending && meter_now_ms() < until_ms)
        wait_until(outbox, until_ms);
    unlock(outbox);
    mail_stop_now(outbox->stop);
    (void)pthread_join(outbox->thread, NULL);
    outbox->has_thread = false;
}

void outbox_close(struct outbox *outbox)
{
    if (outbox == NULL)
        return;
    outbox_stop(outbox);
    for (struct entry *entry = outbox->pending, *next; entry != NULL; entry = next) {
        next = entry->next;
        entry_free(entry);
    }
    for (struct settled *settled = outbox->first, *next; settled != NULL; settled = next) {
        next = settled->next;
        free(settled);
    }
    mail_stop_close(outbox->stop);
    (void)pthread_cond_destroy(&outbox->changed);
    (void)pthread_mutex_destroy(&outbox->mutex);
    (void)close(outbox->event);
    free(outbox);
}
