/* The decoder itself, and requests that come ahead: what is done in which order, and when it rings (wire.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/decoder_process.h"
#include "worker/good_picture.h"
#include "worker/wire.h"

#define LONG_MS 20000 /* what must come */
#define SHORT_MS 100  /* what must not */

struct scene {
    struct decoder_process process;
    struct buffer in;
};

static void take(struct scene *scene, size_t bytes)
{
    char *place = buffer_reserve(&scene->in, bytes);
    struct pollfd pipe = {.fd = scene->process.replies, .events = POLLIN};
    for (size_t done = 0; done < bytes;) {
        assert_int_equal(poll(&pipe, 1, LONG_MS), 1);
        ssize_t received = read(pipe.fd, place + done, bytes - done);
        assert_true(received > 0);
        done += (size_t)received;
    }
    scene->in.length += bytes;
}

/* The next message: its type; scene->in holds what is behind its header. */
static enum wire_type take_message(struct scene *scene)
{
    buffer_truncate(&scene->in, 0);
    take(scene, WIRE_HEADER_BYTES);
    const uint8_t *head = (const uint8_t *)scene->in.data;
    size_t length = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    enum wire_type type = head[4];
    buffer_truncate(&scene->in, 0);
    take(scene, length);
    return type;
}

static void expect_inspected(struct scene *scene, uint32_t number)
{
    struct wire_inspected inspected;
    struct error err;
    assert_int_equal(take_message(scene), WIRE_INSPECTED);
    assert_true(wire_read_inspected((const uint8_t *)scene->in.data, scene->in.length, &inspected, &err));
    assert_int_equal(inspected.number, number);
    assert_true(inspected.frame_follows);
}

static void expect_frame(struct scene *scene, uint32_t number, uint32_t frame_index)
{
    struct wire_frame frame;
    struct error err;
    assert_int_equal(take_message(scene), WIRE_FRAME);
    assert_true(wire_read_frame((const uint8_t *)scene->in.data, scene->in.length, &frame, &err));
    assert_int_equal(frame.number, number);
    assert_int_equal(frame.frame_index, frame_index);
    assert_int_equal(frame.failure.category, CATEGORY_NONE);
    assert_true(frame.png_bytes > 0);
}

static bool has_come(int descriptor, int timeout_ms)
{
    struct pollfd one = {.fd = descriptor, .events = POLLIN};
    return poll(&one, 1, timeout_ms) == 1;
}

static int start(void **state)
{
    const struct decoder_limits limits = {1u << 30, 60, 1u << 20};
    struct scene *scene = calloc(1, sizeof *scene);
    struct error err;
    if (scene == NULL || !decoder_process_start(&scene->process, DECODER, &limits, &err))
        return -1;
    *state = scene;
    return take_message(scene) == WIRE_READY ? 0 : -1;
}

static int stop(void **state)
{
    struct scene *scene = *state;
    (void)decoder_process_end(&scene->process);
    buffer_clear(&scene->in);
    free(scene);
    return 0;
}

/* The built-in picture with its pixels `frames` times over, and behind its modality a text of so many bytes.
 */
static void append_picture(struct buffer *out, uint32_t frames, uint16_t text_bytes)
{
    static const char rows[] = "\x28\x00\x10\x00US", pixels[] = "\xe0\x7f\x10\x00OW",
                      study[] = "\x20\x00\x0d\x00UI";
    const uint32_t frame_bytes = 2 * GOOD_PICTURE_SIZE * GOOD_PICTURE_SIZE, bytes = frames * frame_bytes;
    struct buffer good = {0};
    good_picture_append(&good);
    const char *at_study = memmem(good.data, good.length, study, sizeof study - 1);
    const char *at_rows = memmem(good.data, good.length, rows, sizeof rows - 1);
    const char *at_pixels = memmem(good.data, good.length, pixels, sizeof pixels - 1);
    assert_true(at_study != NULL && at_rows != NULL && at_pixels != NULL);
    buffer_append(out, good.data, (size_t)(at_study - good.data));
    const char text[] = {
        '\x10', '\x00', '\x00', '\x40', 'L', 'T', (char)(text_bytes & 0xff), (char)(text_bytes >> 8)};
    buffer_append(out, text, sizeof text);
    for (unsigned i = 0; i < text_bytes; i++)
        buffer_append_char(out, 'x');
    buffer_append(out, at_study, (size_t)(at_rows - at_study));
    const char count[] = {'\x28', '\x00', '\x08', '\x00', 'I', 'S', 2, 0, (char)('0' + frames), ' '};
    buffer_append(out, count, sizeof count);
    buffer_append(out, at_rows, (size_t)(at_pixels - at_rows) + 8);
    for (unsigned i = 0; i < 4; i++)
        buffer_append_char(out, (char)(bytes >> 8 * i));
    for (uint32_t i = 0; i < frames; i++)
        buffer_append(out, good.data + good.length - frame_bytes, frame_bytes);
    buffer_clear(&good);
}

static int file_in_memory(const struct buffer *content)
{
    int descriptor = memfd_create("file", MFD_CLOEXEC);
    assert_true(descriptor >= 0);
    if (content != NULL)
        assert_int_equal(write(descriptor, content->data, content->length), content->length);
    return descriptor;
}

/* output  where the PNG goes; -1: nobody looks */
static void send_convert_to(struct scene *scene, uint32_t number, uint32_t frames, uint16_t text_bytes,
                            bool rings, int output)
{
    const struct wire_convert convert = {.number = number,
                                         .options = {.print_images = true,
                                                     .is_16_bit = true,
                                                     .max_value_bytes = 65536,
                                                     .max_pixels = 1024,
                                                     .max_frames = 9,
                                                     .max_attributes = 100,
                                                     .max_nesting = 1,
                                                     .max_items = 1,
                                                     .max_metadata_bytes = 1u << 20,
                                                     .max_picture_bytes = 65536},
                                         .has_output = true,
                                         .rings = rings};
    struct buffer file = {0}, request = {0};
    struct error err;
    append_picture(&file, frames, text_bytes);
    int descriptors[] = {file_in_memory(&file), output >= 0 ? output : file_in_memory(NULL)};
    wire_write_convert(&request, &convert);
    assert_true(wire_send(scene->process.requests, request.data, request.length, descriptors, 2, &err));
    (void)close(descriptors[0]);
    if (output < 0)
        (void)close(descriptors[1]);
    buffer_clear(&file);
    buffer_clear(&request);
}

static void send_convert(struct scene *scene, uint32_t number, uint32_t frames, uint16_t text_bytes,
                         bool rings)
{
    send_convert_to(scene, number, frames, text_bytes, rings, -1);
}

static void send_frame_request(struct scene *scene, uint32_t frame_index)
{
    const struct wire_frame_request frame = {.frame_index = frame_index, .has_output = true};
    struct buffer request = {0};
    struct error err;
    int output = file_in_memory(NULL);
    wire_write_frame_request(&request, &frame);
    assert_true(wire_send(scene->process.requests, request.data, request.length, &output, 1, &err));
    (void)close(output);
    buffer_clear(&request);
}

/* A pipe that is full: who writes a picture into it waits. */
static void make_full_pipe(int ends[2])
{
    static const char bytes[4096];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(ends[1], bytes, sizeof bytes) > 0)
        continue;
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
}

static void empty_pipe(const int ends[2])
{
    char bytes[4096];
    while (read(ends[0], bytes, sizeof bytes) > 0)
        continue;
}

static void close_pipe(const int ends[2])
{
    (void)close(ends[0]);
    (void)close(ends[1]);
}

/* The first cannot go on before all of them are there; the last but one not before the ring was heard. */
static void files_come_in_their_order_and_the_last_but_one_rings(void **state)
{
    struct scene *scene = *state;
    const uint32_t count = 1 + WIRE_AHEAD_MOST;
    int first[2], last_but_one[2];
    char rings[64];
    make_full_pipe(first);
    make_full_pipe(last_but_one);
    for (uint32_t number = 1; number <= count; number++) {
        int output = number == 1 ? first[1] : number == count - 1 ? last_but_one[1] : -1;
        send_convert_to(scene, number, 1, 8, number > WIRE_QUIET_FROM, output);
    }
    expect_inspected(scene, 1);
    assert_false(has_come(scene->process.requests, SHORT_MS));
    empty_pipe(first);
    assert_true(has_come(scene->process.requests, LONG_MS));
    expect_frame(scene, 1, 0);
    for (uint32_t number = 2; number < count; number++) {
        expect_inspected(scene, number);
        if (number == count - 1)
            empty_pipe(last_but_one);
        expect_frame(scene, number, 0);
    }
    expect_inspected(scene, count);
    expect_frame(scene, count, 0);
    (void)usleep(SHORT_MS * 1000);
    assert_int_equal(recv(scene->process.requests, rings, sizeof rings, MSG_DONTWAIT), 1);
    close_pipe(first);
    close_pipe(last_but_one);
}

static void nobody_is_rung_for_who_listens(void **state)
{
    struct scene *scene = *state;
    send_convert(scene, 1, 1, 8, false);
    send_convert(scene, 2, 1, 8, false);
    for (uint32_t number = 1; number <= 2; number++) {
        expect_inspected(scene, number);
        expect_frame(scene, number, 0);
    }
    assert_false(has_come(scene->process.requests, SHORT_MS));
}

static void frames_of_the_file_at_hand_come_before_the_next_file(void **state)
{
    struct scene *scene = *state;
    send_convert(scene, 1, 3, 8, false);
    send_convert(scene, 2, 2, 8, false);
    send_convert(scene, 3, 1, 8, true);
    send_convert(scene, 4, 1, 8, true);
    assert_true(has_come(scene->process.requests, LONG_MS)); /* it would wait */
    expect_inspected(scene, 1);
    expect_frame(scene, 1, 0);
    assert_false(has_come(scene->process.replies, SHORT_MS));
    send_frame_request(scene, 1);
    expect_frame(scene, 1, 1);
    assert_false(has_come(scene->process.replies, SHORT_MS));
    send_frame_request(scene, 2);
    expect_frame(scene, 1, 2);
    expect_inspected(scene, 2);
    expect_frame(scene, 2, 0);
    assert_false(has_come(scene->process.replies, SHORT_MS));
    send_frame_request(scene, 1);
    expect_frame(scene, 2, 1);
    for (uint32_t number = 3; number <= 4; number++) {
        expect_inspected(scene, number);
        expect_frame(scene, number, 0);
    }
}

/* The pipe holds 131,072 bytes, which are too few for seven of these. */
static void long_replies_are_rung_for_before_the_pipe_is_full(void **state)
{
    struct scene *scene = *state;
    char rings[64];
    send_convert(scene, 1, 3, 8, false); /* keeps the others waiting until all are there */
    for (uint32_t number = 2; number <= 1 + WIRE_AHEAD_MOST; number++)
        send_convert(scene, number, 1, 20000, number > WIRE_QUIET_FROM);
    expect_inspected(scene, 1);
    expect_frame(scene, 1, 0);
    send_frame_request(scene, 1);
    expect_frame(scene, 1, 1);
    while (has_come(scene->process.requests, SHORT_MS))
        (void)recv(scene->process.requests, rings, sizeof rings, MSG_DONTWAIT);
    send_frame_request(scene, 2);
    assert_true(has_come(scene->process.requests, LONG_MS));
    expect_frame(scene, 1, 2);
    for (uint32_t number = 2; number <= 1 + WIRE_AHEAD_MOST; number++) {
        expect_inspected(scene, number);
        expect_frame(scene, number, 0);
    }
}

static void more_than_a_worker_sends_ends_the_decoder(void **state)
{
    struct scene *scene = *state;
    char none;
    send_convert(scene, 1, 2, 8, false);
    for (uint32_t number = 2; number <= 2 + WIRE_AHEAD_MOST; number++)
        send_convert(scene, number, 1, 8, true);
    expect_inspected(scene, 1);
    expect_frame(scene, 1, 0);
    assert_true(has_come(scene->process.replies, LONG_MS));
    assert_int_equal(read(scene->process.replies, &none, 1), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)scene->process.pid, &info, WEXITED | WNOWAIT), 0);
    int status = decoder_process_end(&scene->process);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_come_in_their_order_and_the_last_but_one_rings, start, stop),
        cmocka_unit_test_setup_teardown(nobody_is_rung_for_who_listens, start, stop),
        cmocka_unit_test_setup_teardown(frames_of_the_file_at_hand_come_before_the_next_file, start, stop),
        cmocka_unit_test_setup_teardown(long_replies_are_rung_for_before_the_pipe_is_full, start, stop),
        cmocka_unit_test_setup_teardown(more_than_a_worker_sends_ends_the_decoder, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
