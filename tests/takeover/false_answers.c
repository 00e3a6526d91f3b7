/* Replies that are not what the worker has asked for. Each is made of the true one. */
#include <string.h>
#include <unistd.h>

#include "common/buffer.h"
#include "tests/takeover/takeover.h"
#include "worker/wire.h"

static enum wire_type type_of(const uint8_t *message)
{
    return message[4];
}

static void set_u32(uint8_t *place, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        place[i] = (uint8_t)(value >> (8 * i));
}

static void send_buffer(struct buffer *bytes)
{
    takeover_send(bytes->data, bytes->length);
    buffer_clear(bytes);
}

/* ---- lengths ---- */

static void send_header(uint32_t length, unsigned type)
{
    uint8_t header[WIRE_HEADER_BYTES] = {0, 0, 0, 0, (uint8_t)type};
    set_u32(header, length);
    takeover_send(header, sizeof header);
}

static void never(const uint8_t *message, size_t length)
{
    (void)message;
    (void)length;
    takeover_wait();
}

static void half_a_header(const uint8_t *message, size_t length)
{
    (void)length;
    takeover_send(message, 3);
    takeover_wait();
}

static void half_a_message(const uint8_t *message, size_t length)
{
    takeover_send(message, length / 2);
    takeover_wait();
}

static void half_and_end(const uint8_t *message, size_t length)
{
    takeover_send(message, length / 2);
    _exit(0);
}

static void half_and_closed(const uint8_t *message, size_t length)
{
    takeover_send(message, length / 2);
    (void)close(WIRE_REPLY_DESCRIPTOR);
    takeover_wait();
}

static void too_long(const uint8_t *message, size_t length)
{
    (void)message;
    (void)length;
    send_header(UINT32_MAX, WIRE_INSPECTED);
    takeover_wait();
}

static void one_byte_more(const uint8_t *message, size_t length)
{
    send_header((uint32_t)(length - WIRE_HEADER_BYTES + 1), type_of(message));
    takeover_send(message + WIRE_HEADER_BYTES, length - WIRE_HEADER_BYTES);
    takeover_send("", 1);
}

static void one_byte_less(const uint8_t *message, size_t length)
{
    send_header((uint32_t)(length - WIRE_HEADER_BYTES - 1), type_of(message));
    takeover_send(message + WIRE_HEADER_BYTES, length - WIRE_HEADER_BYTES);
}

static void empty(const uint8_t *message, size_t length)
{
    (void)length;
    send_header(0, type_of(message));
}

/* ---- what was not asked for ---- */

static void with_type(const uint8_t *message, size_t length, unsigned type)
{
    send_header((uint32_t)(length - WIRE_HEADER_BYTES), type);
    takeover_send(message + WIRE_HEADER_BYTES, length - WIRE_HEADER_BYTES);
}

static void unknown_type(const uint8_t *message, size_t length)
{
    with_type(message, length, 200);
}

static void a_request(const uint8_t *message, size_t length)
{
    with_type(message, length, WIRE_CONVERT);
}

static void ready_again(const uint8_t *message, size_t length)
{
    static const struct confinement confinement;
    struct buffer out = {0};
    (void)message;
    (void)length;
    wire_write_ready(&out, &confinement);
    send_buffer(&out);
}

static void frame_first(const uint8_t *message, size_t length)
{
    struct wire_frame frame = {.is_decoded = true};
    struct buffer out = {0};
    (void)message;
    (void)length;
    wire_write_frame(&out, &frame);
    send_buffer(&out);
}

static void inspected_twice(const uint8_t *message, size_t length)
{
    takeover_send(message, length);
    if (type_of(message) == WIRE_INSPECTED)
        takeover_send(message, length);
}

static void frame_twice(const uint8_t *message, size_t length)
{
    struct buffer out = {0};
    buffer_append(&out, message, length);
    if (type_of(message) == WIRE_FRAME)
        buffer_append(&out, message, length);
    send_buffer(&out);
}

/* The answer to a question that is still to come. */
static void early(const uint8_t *message, size_t length)
{
    struct wire_inspected next = {.object = WIRE_NO_IMAGE, .elements = (const uint8_t *)""};
    struct buffer out = {0};
    buffer_append(&out, message, length);
    if (type_of(message) == WIRE_FRAME)
        wire_write_inspected(&out, &next);
    send_buffer(&out);
}

/* ---- what it says ---- */

static void read_frame(const uint8_t *message, size_t length, struct wire_frame *frame)
{
    struct error err;
    if (!wire_read_frame(message + WIRE_HEADER_BYTES, length - WIRE_HEADER_BYTES, frame, &err))
        _exit(9);
}

static void send_frame(const struct wire_frame *frame)
{
    struct buffer out = {0};
    wire_write_frame(&out, frame);
    send_buffer(&out);
}

static void other_frame(const uint8_t *message, size_t length)
{
    if (type_of(message) != WIRE_FRAME) {
        takeover_send(message, length);
        return;
    }
    struct wire_frame frame;
    read_frame(message, length, &frame);
    frame.frame_index += 7;
    send_frame(&frame);
}

static void fail_frame(const uint8_t *message, size_t length, enum category category, const char *code)
{
    if (type_of(message) != WIRE_FRAME) {
        takeover_send(message, length);
        return;
    }
    struct wire_frame frame;
    read_frame(message, length, &frame);
    frame.failure.category = category;
    memcpy(frame.failure.code, code, strlen(code) + 1);
    send_frame(&frame);
}

static void invented_cause(const uint8_t *message, size_t length)
{
    fail_frame(message, length, CATEGORY_DECODER, "invented");
}

static void workers_cause(const uint8_t *message, size_t length)
{
    fail_frame(message, length, CATEGORY_DECODER, CODE_CRASH_SIGNAL);
}

/* To stop the worker, which waits for storage that is full. */
static void full_storage(const uint8_t *message, size_t length)
{
    fail_frame(message, length, CATEGORY_DECODER, CODE_OUTPUT_FULL);
}

static void no_number(const uint8_t *message, size_t length)
{
    if (type_of(message) != WIRE_FRAME) {
        takeover_send(message, length);
        return;
    }
    struct wire_frame frame;
    read_frame(message, length, &frame);
    frame.offset = __builtin_nan("");
    frame.maximum = -__builtin_inf();
    send_frame(&frame);
}

static void send_inspected(const uint8_t *message, size_t length, void (*change)(struct wire_inspected *))
{
    struct wire_inspected inspected;
    struct buffer out = {0};
    struct error err;
    if (type_of(message) != WIRE_INSPECTED) {
        takeover_send(message, length);
        return;
    }
    if (!wire_read_inspected(message + WIRE_HEADER_BYTES, length - WIRE_HEADER_BYTES, &inspected, &err))
        _exit(9);
    change(&inspected);
    wire_write_inspected(&out, &inspected);
    send_buffer(&out);
}

static void set_many_frames(struct wire_inspected *inspected)
{
    inspected->frame_count = inspected->frames_there = UINT32_MAX;
}

static void many_frames(const uint8_t *message, size_t length)
{
    send_inspected(message, length, set_many_frames);
}

static void set_last_frame(struct wire_inspected *inspected)
{
    inspected->frame_count = inspected->frames_there = 99;
    inspected->first_frame = 98;
}

static void another_first_frame(const uint8_t *message, size_t length)
{
    send_inspected(message, length, set_last_frame);
}

static void set_missing_frame(struct wire_inspected *inspected)
{
    inspected->first_frame = inspected->frames_there;
}

static void frame_that_is_not_there(const uint8_t *message, size_t length)
{
    send_inspected(message, length, set_missing_frame);
}

static void set_control_characters(struct wire_inspected *inspected)
{
    memcpy(inspected->transfer_syntax, "1.2\n3", 6);
}

static void control_characters(const uint8_t *message, size_t length)
{
    send_inspected(message, length, set_control_characters);
}

static uint8_t list[256];

static void set_element(struct wire_inspected *inspected, const struct wire_element *element)
{
    struct buffer out = {0};
    wire_append_element(&out, element);
    memcpy(list, out.data, out.length);
    inspected->elements = list;
    inspected->elements_length = out.length;
    buffer_clear(&out);
}

static void set_deep_element(struct wire_inspected *inspected)
{
    set_element(inspected, &(struct wire_element){.kind = WIRE_VALUE, .vr = {'U', 'S'}, .depth = UINT32_MAX});
}

static void deep_element(const uint8_t *message, size_t length)
{
    send_inspected(message, length, set_deep_element);
}

static void set_long_element(struct wire_inspected *inspected)
{
    set_element(inspected, &(struct wire_element){.kind = WIRE_VALUE, .vr = {'L', 'O'}});
    set_u32(list + 20, UINT32_MAX);
}

static void long_element(const uint8_t *message, size_t length)
{
    send_inspected(message, length, set_long_element);
}

static void set_odd_text(struct wire_inspected *inspected)
{
    set_element(inspected,
                &(struct wire_element){
                    .kind = WIRE_VALUE, .vr = {'L', 'O'}, .length = 2, .bytes = (const uint8_t *)"\xff\xfe"});
}

static void odd_text(const uint8_t *message, size_t length)
{
    send_inspected(message, length, set_odd_text);
}

/* From now on, of every file: what a decoder that stays taken over can do. */
static bool lies;

static void always(const uint8_t *message, size_t length)
{
    lies = true;
    takeover_send(message, length);
}

static void set_no_image(struct wire_inspected *inspected)
{
    inspected->object = WIRE_NO_IMAGE;
    inspected->frame_count = inspected->frames_there = inspected->first_frame = 0;
    inspected->frame_follows = false;
}

bool takeover_answer(const uint8_t *message, size_t length)
{
    if (lies && type_of(message) == WIRE_INSPECTED)
        send_inspected(message, length, set_no_image);
    return lies; /* and no frame */
}

const struct answer answers[] = {
    {"answer-never", never},
    {"answer-half-header", half_a_header},
    {"answer-half", half_a_message},
    {"answer-half-and-end", half_and_end},
    {"answer-half-and-closed", half_and_closed},
    {"answer-too-long", too_long},
    {"answer-one-byte-more", one_byte_more},
    {"answer-one-byte-less", one_byte_less},
    {"answer-empty", empty},
    {"answer-unknown-type", unknown_type},
    {"answer-request", a_request},
    {"answer-ready-again", ready_again},
    {"answer-frame-first", frame_first},
    {"answer-inspected-twice", inspected_twice},
    {"answer-frame-twice", frame_twice},
    {"answer-early", early},
    {"answer-other-frame", other_frame},
    {"answer-invented-cause", invented_cause},
    {"answer-workers-cause", workers_cause},
    {"answer-full-storage", full_storage},
    {"answer-no-number", no_number},
    {"answer-many-frames", many_frames},
    {"answer-another-first-frame", another_first_frame},
    {"answer-missing-frame", frame_that_is_not_there},
    {"answer-control-characters", control_characters},
    {"answer-deep-element", deep_element},
    {"answer-long-element", long_element},
    {"answer-odd-text", odd_text},
    {"answer-always", always},
    {NULL, NULL},
};
