#include "worker/pool.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "worker/decoder_process.h"
#include "worker/replies.h"

#define START_SECONDS 30     /* loading the libraries on a cold, busy machine */
#define START_FAILURES_MAX 5 /* on end, before we conclude that it is not the files' fault */
#define EXIT_MS 400          /* between the end of a pipe and that of its process, on a busy machine */
#define STALL_MS 1000        /* a gap in our own loop that is taken for a stall of this process */
#define LISTEN_MS 100        /* how long replies may lie in a pipe unheard, whatever the decoder does */
#define OTHERS_MAX 4
#define NO_DEADLINE INT64_MAX

enum state { STATE_STARTING, STATE_IDLE, STATE_BUSY };

struct decoder {
    struct decoder_process process;
    enum state state;
    int64_t deadline_ms;      /* of the answer that is awaited */
    int64_t file_deadline_ms; /* of the file that it has       */
    unsigned files;
    unsigned ahead;  /* requests that were sent ahead */
    bool has_frames; /* frames of its file are asked for one by one */
    bool has_rung;   /* and its pipe was not found empty since */
    bool is_deaf;    /* its end of the socket is closed */
    bool killed_by_deadline;
    struct replies replies; /* the last event has lent one out */
};

struct pool {
    struct pool_options options;
    char *program;
    struct decoder *decoders;
    unsigned next; /* where the search for events begins: nobody is served twice before everybody was once */
    unsigned start_failures;
    bool has_confinement;
    struct confinement confinement;
    struct error refusal; /* why a decoder was not taken; ERROR_NONE: all were */
    int64_t loop_ms;      /* when pool_wait() last looked */
};

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the life of a decoder ---- */

static bool start(struct pool *pool, struct decoder *decoder, struct error *err)
{
    const struct decoder_limits limits = {pool->options.memory_bytes, pool->options.seconds,
                                          pool->options.file_bytes};
    if (!decoder_process_start(&decoder->process, pool->program, &limits, err))
        return false;
    decoder->state = STATE_STARTING;
    decoder->deadline_ms = now_ms() + START_SECONDS * 1000;
    decoder->file_deadline_ms = NO_DEADLINE;
    decoder->files = 0;
    decoder->ahead = 0;
    decoder->has_frames = decoder->has_rung = decoder->is_deaf = false;
    decoder->killed_by_deadline = false;
    replies_reset(&decoder->replies);
    return true;
}

static void set_cause(const struct pool *pool, const struct decoder *decoder, int status, struct error *cause)
{
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (decoder->killed_by_deadline && decoder->deadline_ms == decoder->file_deadline_ms)
        (void)error_input(cause, CATEGORY_DECODER, CODE_LIMIT_TIME,
                          "the file was given up after %u s (FileSeconds)", pool->options.file_seconds);
    else if (decoder->killed_by_deadline || number == SIGXCPU)
        (void)error_input(cause, CATEGORY_DECODER, CODE_LIMIT_TIME,
                          "the decoder was ended after %u s (DecoderSeconds)", pool->options.seconds);
    else if (decoder->process.was_alive)
        (void)error_input(cause, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "the decoder closed its pipe");
    else if (number == SIGSYS)
        (void)error_input(
            cause, CATEGORY_DECODER, CODE_FORBIDDEN_CALL,
            "the decoder was ended for a system call that it never needs: the file may be an attack");
    else if (number == 0 && WEXITSTATUS(status) == WIRE_EXIT_MEMORY)
        (void)error_input(cause, CATEGORY_DECODER, CODE_LIMIT_MEMORY,
                          "the decoder ended because it had no memory left (DecoderMemory, %llu bytes)",
                          (unsigned long long)pool->options.memory_bytes);
    else if (number == SIGKILL)
        (void)error_input(cause, CATEGORY_DECODER, CODE_CRASH_SIGNAL,
                          "the decoder was killed by signal 9, as the system does when memory runs out");
    else if (number != 0)
        (void)error_input(cause, CATEGORY_DECODER, CODE_CRASH_SIGNAL,
                          "the decoder was killed by signal %d (%s)", number, strsignal(number));
    else
        (void)error_input(cause, CATEGORY_DECODER, CODE_DECODER_PROTOCOL,
                          "the decoder ended in the middle, with exit status %d", WEXITSTATUS(status));
}

/* The decoder is gone or must go. Its successor is started at once. Sets event->kind to POOL_DIED where a
 * file was lost with it. */
static bool replace(struct pool *pool, unsigned slot, const struct error *why, struct pool_event *event,
                    struct error *err)
{
    struct decoder *decoder = &pool->decoders[slot];
    bool was_busy = decoder->state == STATE_BUSY, was_starting = decoder->state == STATE_STARTING;
    /* An exit races with the closing of its pipe: give it a moment to leave its status behind. */
    if (why == NULL && !decoder->killed_by_deadline)
        for (int i = 0; i < EXIT_MS; i++) {
            siginfo_t info = {0};
            if (waitid(P_PID, (id_t)decoder->process.pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
                info.si_pid != 0)
                break;
            (void)usleep(1000);
        }
    int status = decoder_process_end(&decoder->process);
    if (pool->refusal.kind != ERROR_NONE) {
        *err = pool->refusal;
        return false;
    }
    if (was_busy) {
        event->kind = POOL_DIED;
        event->slot = (int)slot;
        event->is_fresh = decoder->files <= 1;
        if (why != NULL)
            event->cause = *why;
        else
            set_cause(pool, decoder, status, &event->cause);
    }
    if (was_starting && ++pool->start_failures >= START_FAILURES_MAX) {
        set_cause(pool, decoder, status, &event->cause);
        return error_set(err, ERROR_FATAL, "the decoder '%s' ends as soon as it is started: %s",
                         pool->program, event->cause.text);
    }
    return start(pool, decoder, err);
}

static void renew(struct pool *pool, struct decoder *decoder)
{
    struct error ignored;
    (void)decoder_process_end(&decoder->process);
    if (start(pool, decoder, &ignored))
        return;
    /* Left without a process: the next pool_wait() tries again, and says why it cannot. */
    decoder->state = STATE_STARTING;
    decoder->deadline_ms = 0;
}

/* ---- public ---- */

bool pool_start(struct pool **out, const struct pool_options *options, struct error *err)
{
    struct pool *pool = xcalloc(1, sizeof *pool);
    bool ok = false;
    *out = NULL;
    pool->options = *options;
    pool->program = xstrdup(options->program);
    pool->decoders = xcalloc(options->count, sizeof *pool->decoders);
    pool->loop_ms = now_ms();
    for (unsigned i = 0; i < options->count; i++)
        pool->decoders[i].process = (struct decoder_process){.requests = -1, .replies = -1};
    for (unsigned i = 0; i < options->count; i++)
        if (!start(pool, &pool->decoders[i], err))
            goto out;
    for (unsigned ready = 0; ready < options->count;) {
        struct pool_event event;
        if (!pool_wait(pool, 50, NULL, 0, &event, err))
            goto out;
        ready = 0;
        for (unsigned i = 0; i < options->count; i++)
            ready += pool->decoders[i].state == STATE_IDLE;
    }
    ok = true;
out:
    if (ok)
        *out = pool;
    else
        pool_stop(pool);
    return ok;
}

void pool_stop(struct pool *pool)
{
    if (pool == NULL)
        return;
    for (unsigned i = 0; i < pool->options.count; i++) {
        (void)decoder_process_end(&pool->decoders[i].process);
        replies_clear(&pool->decoders[i].replies);
    }
    free(pool->decoders);
    free(pool->program);
    free(pool);
}

const struct confinement *pool_confinement(const struct pool *pool)
{
    return &pool->confinement;
}

int pool_idle_slot(const struct pool *pool)
{
    for (unsigned i = 0; i < pool->options.count; i++)
        if (pool->decoders[i].state == STATE_IDLE)
            return (int)i;
    return -1;
}

void pool_limit_output(struct pool *pool, int slot, uint64_t bytes)
{
    decoder_process_limit_file(&pool->decoders[slot].process, bytes);
}

/* The decoder is asked for something, and has its time for it. */
static void begin(const struct pool *pool, struct decoder *decoder, bool is_new_file)
{
    decoder->state = STATE_BUSY;
    decoder->files += is_new_file;
    decoder->has_frames = !is_new_file;
    int64_t now = now_ms();
    if (is_new_file)
        decoder->file_deadline_ms =
            pool->options.file_seconds > 0 ? now + (int64_t)pool->options.file_seconds * 1000 : NO_DEADLINE;
    decoder->deadline_ms = now + (int64_t)pool->options.seconds * 1000;
    if (decoder->deadline_ms > decoder->file_deadline_ms)
        decoder->deadline_ms = decoder->file_deadline_ms;
    decoder_process_limit_cpu(&decoder->process, pool->options.seconds);
}

/* A decoder that is gone is found, with its cause, by pool_wait(). */
static void send_request(struct decoder *decoder, const struct buffer *request, const int *descriptors,
                         size_t descriptor_count)
{
    struct error ignored;
    if (!wire_send(decoder->process.requests, request->data, request->length, descriptors, descriptor_count,
                   &ignored))
        return;
}

void pool_send(struct pool *pool, int slot, const struct buffer *request, const int *descriptors,
               size_t descriptor_count, bool is_new_file)
{
    struct decoder *decoder = &pool->decoders[slot];
    begin(pool, decoder, is_new_file);
    send_request(decoder, request, descriptors, descriptor_count);
}

/* Whether the decoder is to be replaced once it has done what it was sent. */
static bool is_spent(const struct pool *pool, const struct decoder *decoder)
{
    return (pool->options.files > 0 && decoder->files + decoder->ahead >= pool->options.files) ||
           decoder->process.is_stuck;
}

/* Whether its replies may lie in the pipe until it rings. */
static bool is_quiet(const struct decoder *decoder)
{
    return decoder->ahead >= WIRE_QUIET_FROM && !decoder->has_frames && !decoder->has_rung;
}

bool pool_has_quiet(const struct pool *pool)
{
    for (unsigned i = 0; i < pool->options.count; i++)
        if (is_quiet(&pool->decoders[i]))
            return true;
    return false;
}

bool pool_may_send_ahead(const struct pool *pool, int slot)
{
    const struct decoder *decoder = &pool->decoders[slot];
    return decoder->state == STATE_BUSY && decoder->ahead < WIRE_AHEAD_MOST && !is_spent(pool, decoder);
}

bool pool_next_rings(const struct pool *pool, int slot)
{
    return pool->decoders[slot].ahead + 1 >= WIRE_QUIET_FROM;
}

void pool_send_ahead(struct pool *pool, int slot, const struct buffer *request, const int *descriptors,
                     size_t descriptor_count)
{
    struct decoder *decoder = &pool->decoders[slot];
    decoder->ahead++;
    send_request(decoder, request, descriptors, descriptor_count);
}

bool pool_has_more(const struct pool *pool, int slot)
{
    const struct decoder *decoder = &pool->decoders[slot];
    struct pollfd pipe = {.fd = decoder->process.replies, .events = POLLIN};
    return replies_has_more(&decoder->replies) || poll(&pipe, 1, 0) != 0;
}

void pool_release(struct pool *pool, int slot)
{
    struct decoder *decoder = &pool->decoders[slot];
    if (decoder->ahead > 0) {
        decoder->ahead--;
        begin(pool, decoder, true);
        return;
    }
    decoder->state = STATE_IDLE;
    decoder->deadline_ms = decoder->file_deadline_ms = NO_DEADLINE;
    if (is_spent(pool, decoder))
        renew(pool, decoder);
}

void pool_renew(struct pool *pool, int slot)
{
    renew(pool, &pool->decoders[slot]);
}

int pool_fresh_slot(struct pool *pool)
{
    struct decoder *used = NULL;
    bool is_coming = false;
    for (unsigned i = 0; i < pool->options.count; i++) {
        struct decoder *decoder = &pool->decoders[i];
        if (decoder->state == STATE_IDLE && decoder->files == 0)
            return (int)i;
        if (decoder->state == STATE_IDLE)
            used = decoder;
        is_coming |= decoder->state == STATE_STARTING;
    }
    if (!is_coming && used != NULL)
        renew(pool, used);
    return -1;
}

/* ---- receiving ---- */

/* Note what the decoder's confinement is. False: it is no decoder of ours, or not to be taken. */
static bool take_ready(struct pool *pool, const uint8_t *body, size_t length)
{
    struct confinement confinement;
    struct error ignored;
    if (!wire_read_ready(body, length, &confinement, &ignored) ||
        (pool->options.is_confined && !confinement_check(&confinement, &pool->refusal)))
        return false;
    if (pool->has_confinement)
        confinement_intersect(&pool->confinement, &confinement);
    else
        pool->confinement = confinement;
    pool->has_confinement = true;
    return true;
}

/* Hand over a message if a whole one is there. Sets *bad when what is there can be none. */
static bool next_message(struct pool *pool, unsigned slot, struct pool_event *event, bool *bad)
{
    struct decoder *decoder = &pool->decoders[slot];
    enum wire_type type;
    uint32_t length;
    if (!replies_head(&decoder->replies, &type, &length))
        return false;
    bool expected = decoder->state == STATE_STARTING
                        ? type == WIRE_READY && length == WIRE_READY_BYTES
                        : decoder->state == STATE_BUSY && (type == WIRE_INSPECTED || type == WIRE_FRAME);
    *bad = !expected || length > pool->options.reply_bytes;
    if (*bad || (event->body = replies_take(&decoder->replies)) == NULL)
        return false;
    event->kind = POOL_REPLY;
    event->slot = (int)slot;
    event->type = type;
    event->length = length;
    event->is_fresh = decoder->files <= 1;
    if (type == WIRE_READY) {
        event->kind = POOL_NOTHING;
        if (!take_ready(pool, event->body, length)) {
            *bad = true;
            return false;
        }
        decoder->state = STATE_IDLE;
        decoder->deadline_ms = NO_DEADLINE;
        pool->start_failures = 0;
        replies_drop(&decoder->replies);
    }
    return true;
}

/* Read what a pipe has. *closed when the other side is gone. */
static void fill(struct decoder *decoder, bool *closed)
{
    enum replies_read read = replies_read(&decoder->replies, decoder->process.replies);
    *closed = read == REPLIES_CLOSED || (read == REPLIES_NONE && decoder->is_deaf);
    decoder->has_rung &= read == REPLIES_SOME;
}

/* It has rung, or closed its end of the socket as it ended: what it has sent is looked at. */
static void hear(struct decoder *decoder)
{
    char rings[64];
    ssize_t received = recv(decoder->process.requests, rings, sizeof rings, MSG_DONTWAIT);
    if (received < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    decoder->has_rung = true;
    decoder->is_deaf = received <= 0;
}

/* Look at one decoder whose pipe polls readable. True when `event` is filled. */
static bool serve(struct pool *pool, unsigned slot, struct pool_event *event, bool *is_event,
                  struct error *err)
{
    struct decoder *decoder = &pool->decoders[slot];
    bool closed = false, bad = false;
    *is_event = false;
    fill(decoder, &closed);
    if (next_message(pool, slot, event, &bad)) {
        *is_event = event->kind == POOL_REPLY;
        return true;
    }
    if (!closed && !bad)
        return true;
    struct error nonsense;
    (void)error_input(&nonsense, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "the decoder answered nonsense");
    bool ok = replace(pool, slot, bad ? &nonsense : NULL, event, err);
    *is_event = event->kind == POOL_DIED;
    return ok;
}

/* End the first decoder that is past its deadline. */
static bool check_deadlines(struct pool *pool, int64_t now, struct pool_event *event, struct error *err)
{
    for (unsigned i = 0; i < pool->options.count; i++) {
        struct decoder *decoder = &pool->decoders[i];
        if (decoder->deadline_ms <= now && decoder->state != STATE_IDLE) {
            decoder->killed_by_deadline = true;
            return replace(pool, i, NULL, event, err);
        }
    }
    return true;
}

static void give_time(struct decoder *decoder, int64_t gap)
{
    if (decoder->deadline_ms != NO_DEADLINE)
        decoder->deadline_ms += gap;
    if (decoder->file_deadline_ms != NO_DEADLINE)
        decoder->file_deadline_ms += gap;
}

/* If this process itself stood still (stopped, starved), the decoders get that time back. */
static int64_t look_at_clock(struct pool *pool, int64_t waited_until)
{
    int64_t now = now_ms();
    int64_t gap = now - (waited_until > pool->loop_ms ? waited_until : pool->loop_ms);
    if (gap > STALL_MS)
        for (unsigned i = 0; i < pool->options.count; i++)
            give_time(&pool->decoders[i], gap);
    pool->loop_ms = now;
    return now;
}

static int poll_timeout(const struct pool *pool, int64_t now, int timeout_ms)
{
    int64_t wait = timeout_ms < 0 ? 60000 : timeout_ms;
    for (unsigned i = 0; i < pool->options.count; i++) {
        const struct decoder *decoder = &pool->decoders[i];
        if (decoder->deadline_ms != NO_DEADLINE && decoder->deadline_ms - now < wait)
            wait = decoder->deadline_ms - now;
        if (is_quiet(decoder) && wait > LISTEN_MS)
            wait = LISTEN_MS;
    }
    return wait < 0 ? 0 : (int)wait;
}

/* A message may be waiting behind the one that was handed over last: no poll() tells of it. */
static bool next_waiting(struct pool *pool, struct pool_event *event, struct error *err)
{
    for (unsigned i = 0; i < pool->options.count && event->kind == POOL_NOTHING; i++) {
        unsigned slot = (pool->next + i) % pool->options.count;
        bool bad = false;
        replies_drop(&pool->decoders[slot].replies);
        if (!next_message(pool, slot, event, &bad) && bad) {
            struct error nonsense;
            (void)error_input(&nonsense, CATEGORY_DECODER, CODE_DECODER_PROTOCOL,
                              "the decoder answered nonsense");
            if (!replace(pool, slot, &nonsense, event, err))
                return false;
        }
    }
    return true;
}

/* Wait for anything, at most `wait` milliseconds. Quiet decoders are looked at when they have rung, and when
 * the time is over. Returns as poll(). */
static int wait_for_any(struct pool *pool, struct pollfd *fds, int wait)
{
    unsigned count = pool->options.count;
    bool looks_at_all = false;
    for (unsigned i = 0; i < count; i++) {
        const struct decoder *decoder = &pool->decoders[i];
        int replies = is_quiet(decoder) ? -1 : decoder->process.replies;
        fds[i] = (struct pollfd){.fd = replies, .events = POLLIN};
        fds[count + i] = (struct pollfd){.fd = decoder->process.requests, .events = POLLIN};
    }
    int ready = poll(fds, 2 * count + OTHERS_MAX, wait);
    for (unsigned i = 0; i < count && ready >= 0; i++) {
        if (fds[count + i].revents != 0)
            hear(&pool->decoders[i]);
        looks_at_all |= fds[count + i].revents != 0 || (ready == 0 && is_quiet(&pool->decoders[i]));
    }
    if (!looks_at_all)
        return ready;
    for (unsigned i = 0; i < count; i++)
        fds[i].fd = pool->decoders[i].process.replies;
    ready = poll(fds, 2 * count + OTHERS_MAX, 0);
    for (unsigned i = 0; i < count && ready >= 0; i++) {
        pool->decoders[i].has_rung &= fds[i].revents != 0;
        if (pool->decoders[i].is_deaf) /* what is still in its pipe is read to the end */
            fds[i].revents |= POLLHUP;
    }
    return ready;
}

bool pool_wait(struct pool *pool, int timeout_ms, const int *others, size_t other_count,
               struct pool_event *event, struct error *err)
{
    unsigned count = pool->options.count;
    struct pollfd *fds = xcalloc(2 * (size_t)count + OTHERS_MAX, sizeof *fds);
    bool ok = false;
    *event = (struct pool_event){.kind = POOL_NOTHING, .slot = -1};
    if (!next_waiting(pool, event, err))
        goto out;
    if (event->kind != POOL_NOTHING) {
        ok = true;
        goto out;
    }
    struct pollfd *fds_of_others = fds + 2 * (size_t)count;
    for (size_t i = 0; i < OTHERS_MAX; i++)
        fds_of_others[i] = (struct pollfd){.fd = i < other_count ? others[i] : -1, .events = POLLIN};
    int64_t before = now_ms();
    int wait = poll_timeout(pool, before, timeout_ms);
    int ready = wait_for_any(pool, fds, wait);
    int64_t now = look_at_clock(pool, before + (ready == 0 ? wait : 0));
    if (ready >= 0) {
        for (unsigned i = 0; i < count; i++) {
            unsigned slot = (pool->next + i) % count;
            bool is_event = false;
            if (fds[slot].revents == 0)
                continue;
            if (!serve(pool, slot, event, &is_event, err))
                goto out;
            if (is_event) {
                pool->next = (slot + 1) % count;
                ok = true;
                goto out;
            }
        }
        for (size_t i = 0; i < OTHERS_MAX; i++)
            if (fds_of_others[i].revents != 0 && event->kind == POOL_NOTHING) {
                event->kind = POOL_DESCRIPTOR;
                event->slot = (int)i;
            }
    }
    ok = event->kind != POOL_NOTHING || check_deadlines(pool, now, event, err);
out:
    free(fds);
    return ok;
}

void pool_reject(struct pool *pool, struct pool_event *event, const struct error *why)
{
    struct error ignored;
    unsigned slot = (unsigned)event->slot;
    struct error cause = *why;
    if (!replace(pool, slot, &cause, event, &ignored)) {
        pool->decoders[slot].state = STATE_STARTING;
        pool->decoders[slot].deadline_ms = 0;
    }
    event->kind = POOL_DIED;
    event->slot = (int)slot;
    event->cause = cause;
}
