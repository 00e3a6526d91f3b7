/* Whatever a decoder that was taken over writes into its pipe, in pieces of any size: the pool takes the same
 * messages out of it as a reader that has all of it at once, and hands over none that was not asked for. Then
 * the messages are read as the worker reads them, elements and all.
 *
 *     limit of a reply and state (1 byte), size of the pieces (1), then the bytes of the pipe */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "worker/pool.c" /* its reassembly is not for anybody else */

#define MESSAGES_MAX 64

static size_t read_message(const struct pool_event *event)
{
    struct wire_inspected inspected;
    struct wire_frame frame;
    struct wire_element element;
    struct error err;
    size_t at = 0, sum = 0;
    if (event->type == WIRE_INSPECTED && wire_read_inspected(event->body, event->length, &inspected, &err))
        while (wire_next_element(inspected.elements, inspected.elements_length, &at, &element))
            for (uint32_t i = 0; i < element.length; i++)
                sum += element.bytes[i];
    if (event->type == WIRE_FRAME && wire_read_frame(event->body, event->length, &frame, &err))
        sum += frame.frame_index;
    return sum;
}

/* The reader that has it all: whether a whole message stands at `at`, and whether what stands there can be
 * none. */
static bool expect(const struct pool *pool, enum state state, const uint8_t *bytes, size_t size, size_t at,
                   uint32_t *length, bool *is_bad)
{
    *is_bad = false;
    if (size - at < WIRE_HEADER_BYTES)
        return false;
    *length = 0;
    for (unsigned i = 4; i > 0; i--)
        *length = *length << 8 | bytes[at + i - 1];
    uint8_t type = bytes[at + 4];
    *is_bad = *length > pool->options.reply_bytes || state == STATE_IDLE ||
              (state == STATE_STARTING ? type != WIRE_READY || *length != WIRE_READY_BYTES
                                       : type != WIRE_INSPECTED && type != WIRE_FRAME);
    if (*is_bad || size - at - WIRE_HEADER_BYTES < *length)
        return false;
    struct confinement confinement;
    struct error err;
    *is_bad =
        type == WIRE_READY && !wire_read_ready(bytes + at + WIRE_HEADER_BYTES, *length, &confinement, &err);
    return !*is_bad;
}

/* Take out what is there. Returns how far that is; false in *goes_on: nonsense was found. */
static size_t take_messages(struct pool *pool, const uint8_t *bytes, size_t fed, size_t at, bool *goes_on)
{
    struct decoder *decoder = &pool->decoders[0];
    for (int i = 0; i < MESSAGES_MAX; i++) {
        struct pool_event event = {0};
        uint32_t length = 0;
        bool is_bad = false, must_be_bad;
        enum state before = decoder->state;
        bool is_expected = expect(pool, before, bytes, fed, at, &length, &must_be_bad);
        if (next_message(pool, 0, &event, &is_bad) != is_expected || is_bad != must_be_bad)
            abort();
        *goes_on = !is_bad;
        if (!is_expected)
            return at;
        if (event.kind == POOL_REPLY) {
            if (event.length != length || event.type != bytes[at + 4] ||
                (length > 0 && memcmp(event.body, bytes + at + WIRE_HEADER_BYTES, length) != 0))
                abort();
            fuzz_use(read_message(&event));
            replies_drop(&decoder->replies);
        } else if (before != STATE_STARTING || decoder->state != STATE_IDLE) {
            abort();
        } else {
            decoder->state = STATE_BUSY; /* the worker has sent a request meanwhile */
        }
        at += WIRE_HEADER_BYTES + (size_t)length;
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decoder decoder = {.state = data != NULL && size > 0 ? (enum state)(data[0] % 3) : STATE_BUSY};
    struct pool pool = {.options = {.count = 1}, .decoders = &decoder};
    int ends[2];
    if (size < 2 || pipe2(ends, O_CLOEXEC) != 0)
        return 0;
    pool.options.reply_bytes = (data[0] & 0x80) != 0 ? 100 : 1u << 20;
    decoder.process.replies = ends[0];
    const uint8_t *bytes = data + 2;
    size_t most = size - 2, step = 1 + (size_t)data[1] * data[1], at = 0;
    bool goes_on = true;
    for (size_t fed = 0; fed < most && goes_on;) {
        bool closed = false;
        size_t piece = most - fed < step ? most - fed : step;
        if (piece > 32768)
            piece = 32768; /* what a pipe holds without a reader */
        if (write(ends[1], bytes + fed, piece) != (ssize_t)piece)
            abort();
        fill(&decoder, &closed);
        if (closed)
            abort();
        fed += piece;
        at = take_messages(&pool, bytes, fed, at, &goes_on);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
    replies_clear(&decoder.replies);
    return 0;
}
