#include "worker/pool.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "worker/decoder_process.h"

#define START_SECONDS 30     /* loading the libraries on a cold, busy machine */
#define START_FAILURES_MAX 5 /* on end, before we conclude that it is not the files' fault */
#define EXIT_MS 400          /* between the end of a pipe and that of its process, on a busy machine */
#define STALL_MS 1000        /* a gap in our own loop that is taken for a stall of this process */
#define RECEIVE_BYTES 65536
#define OTHERS_MAX 4
#define NO_DEADLINE INT64_MAX

enum state { STATE_STARTING, STATE_IDLE, STATE_BUSY };

struct decoder {
    struct decoder_process process;
    enum state state;
    int64_t deadline_ms;      /* of the answer that is awaited */
    int64_t file_deadline_ms; /* of the file that it has       */
    unsigned files;
    bool has_next; /* a request was sent ahead */
    bool killed_by_deadline;
    struct buffer in; /* received, not yet handed over */
    size_t handed;    /* bytes of `in` that the last event lent out */
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
    decoder->has_next = false;
    decoder->killed_by_deadline = false;
    decoder->handed = 0;
    buffer_truncate(&decoder->in, 0);
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
        buffer_clear(&pool->decoders[i].in);
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

/* Whether the decoder is to be replaced once it is idle. */
static bool is_spent(const struct pool *pool, const struct decoder *decoder)
{
    return (pool->options.files > 0 && decoder->files >= pool->options.files) || decoder->process.is_stuck;
}

bool pool_may_send_ahead(const struct pool *pool, int slot)
{
    const struct decoder *decoder = &pool->decoders[slot];
    return decoder->state == STATE_BUSY && !decoder->has_next && !is_spent(pool, decoder);
}

void pool_send_ahead(struct pool *pool, int slot, const struct buffer *request, const int *descriptors,
                     size_t descriptor_count)
{
    struct decoder *decoder = &pool->decoders[slot];
    decoder->has_next = true;
    send_request(decoder, request, descriptors, descriptor_count);
}

bool pool_has_more(const struct pool *pool, int slot)
{
    const struct decoder *decoder = &pool->decoders[slot];
    struct pollfd pipe = {.fd = decoder->process.replies, .events = POLLIN};
    return decoder->in.length > decoder->handed || poll(&pipe, 1, 0) != 0;
}

void pool_release(struct pool *pool, int slot)
{
    struct decoder *decoder = &pool->decoders[slot];
    if (decoder->has_next) {
        decoder->has_next = false;
        begin(pool, decoder, true);
        return;
    }
    decoder->state = STATE_IDLE;
    decoder->deadline_ms = decoder->file_deadline_ms = NO_DEADLINE;
    if (is_spent(pool, decoder))
        renew(pool, decoder);
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

static uint32_t message_length(const struct buffer *in)
{
    const unsigned char *p = (const unsigned char *)in->data;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Forget what the last event lent out. */
static void drop_handed(struct decoder *decoder)
{
    if (decoder->handed == 0)
        return;
    memmove(decoder->in.data, decoder->in.data + decoder->handed, decoder->in.length - decoder->handed);
    decoder->in.length -= decoder->handed;
    decoder->handed = 0;
}

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
    if (decoder->in.length < WIRE_HEADER_BYTES)
        return false;
    uint32_t length = message_length(&decoder->in);
    enum wire_type type = (unsigned char)decoder->in.data[4];
    bool expected = decoder->state == STATE_STARTING
                        ? type == WIRE_READY && length == WIRE_READY_BYTES
                        : decoder->state == STATE_BUSY && (type == WIRE_INSPECTED || type == WIRE_FRAME);
    *bad = !expected || length > pool->options.reply_bytes;
    if (*bad || decoder->in.length - WIRE_HEADER_BYTES < length)
        return false;
    event->kind = POOL_REPLY;
    event->slot = (int)slot;
    event->type = type;
    event->body = (const uint8_t *)decoder->in.data + WIRE_HEADER_BYTES;
    event->length = length;
    event->is_fresh = decoder->files <= 1;
    decoder->handed = WIRE_HEADER_BYTES + (size_t)length;
    if (type == WIRE_READY) {
        event->kind = POOL_NOTHING;
        if (!take_ready(pool, event->body, length)) {
            *bad = true;
            return false;
        }
        decoder->state = STATE_IDLE;
        decoder->deadline_ms = NO_DEADLINE;
        pool->start_failures = 0;
        drop_handed(decoder);
    }
    return true;
}

/* Read what a pipe has. *closed when the other side is gone. */
static void fill(struct decoder *decoder, bool *closed)
{
    char *place = buffer_reserve(&decoder->in, RECEIVE_BYTES);
    size_t room = decoder->in.capacity - decoder->in.length;
    ssize_t received;
    do
        received = read(decoder->process.replies, place, room);
    while (received < 0 && errno == EINTR);
    *closed = received <= 0;
    if (received > 0)
        decoder->in.length += (size_t)received;
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
    for (unsigned i = 0; i < pool->options.count; i++)
        if (pool->decoders[i].deadline_ms != NO_DEADLINE && pool->decoders[i].deadline_ms - now < wait)
            wait = pool->decoders[i].deadline_ms - now;
    return wait < 0 ? 0 : (int)wait;
}

/* A message may be waiting behind the one that was handed over last: no poll() tells of it. */
static bool next_waiting(struct pool *pool, struct pool_event *event, struct error *err)
{
    for (unsigned i = 0; i < pool->options.count && event->kind == POOL_NOTHING; i++) {
        unsigned slot = (pool->next + i) % pool->options.count;
        bool bad = false;
        drop_handed(&pool->decoders[slot]);
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

bool pool_wait(struct pool *pool, int timeout_ms, const int *others, size_t other_count,
               struct pool_event *event, struct error *err)
{
    unsigned count = pool->options.count;
    struct pollfd *fds = xcalloc(count + OTHERS_MAX, sizeof *fds);
    bool ok = false;
    *event = (struct pool_event){.kind = POOL_NOTHING, .slot = -1};
    if (!next_waiting(pool, event, err))
        goto out;
    if (event->kind != POOL_NOTHING) {
        ok = true;
        goto out;
    }
    for (unsigned i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = pool->decoders[i].process.replies, .events = POLLIN};
    for (size_t i = 0; i < other_count && i < OTHERS_MAX; i++)
        fds[count + i] = (struct pollfd){.fd = others[i], .events = POLLIN};
    int64_t before = now_ms();
    int wait = poll_timeout(pool, before, timeout_ms);
    int ready = poll(fds, count + (other_count < OTHERS_MAX ? other_count : OTHERS_MAX), wait);
    int64_t now = look_at_clock(pool, before + (ready == 0 ? wait : 0));
    if (ready > 0) {
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
        for (size_t i = 0; i < other_count && i < OTHERS_MAX; i++)
            if (fds[count + i].revents != 0 && event->kind == POOL_NOTHING) {
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
