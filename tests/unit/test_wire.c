/* wire: what one side writes the other reads; what is cut, longer or impossible is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/wire.h"

static void append_sample_elements(struct buffer *out)
{
    static const uint8_t text[] = "P\xc3\xa9ter\\x";
    struct wire_element e = {.kind = WIRE_VALUE, .vr = {'L', 'O'}, .tag = 0x00100020, .full_length = 8};
    e.bytes = text;
    e.length = sizeof text - 1;
    wire_append_element(out, &e);
    e = (struct wire_element){.kind = WIRE_SEQUENCE, .vr = {'S', 'Q'}, .tag = 0x00081115, .full_length = 1};
    wire_append_element(out, &e);
    e.kind = WIRE_ITEM;
    wire_append_element(out, &e);
    e = (struct wire_element){
        .kind = WIRE_VALUE, .vr = {'U', 'S'}, .tag = 0x00280010, .depth = 1, .length = 2};
    e.bytes = (const uint8_t *)"\x01\x02";
    wire_append_element(out, &e);
}

static struct wire_inspected sample_inspected(const struct buffer *elements)
{
    struct wire_inspected in = {.number = 0xFEDCBA98u,
                                .object = WIRE_IMAGE,
                                .frame_count = 7,
                                .frames_there = 5,
                                .first_frame = 3,
                                .frame_follows = true,
                                .guessed = true,
                                .transfer_syntax = "1.2.840.10008.1.2.1"};
    in.elements = (const uint8_t *)elements->data;
    in.elements_length = elements->length;
    return in;
}

static void inspected_comes_back_as_written(void **state)
{
    (void)state;
    struct buffer elements = {0}, message = {0};
    struct wire_inspected out;
    struct error err;
    append_sample_elements(&elements);
    struct wire_inspected in = sample_inspected(&elements);
    wire_write_inspected(&message, &in);
    const uint8_t *body = (const uint8_t *)message.data + WIRE_HEADER_BYTES;
    assert_true(wire_read_inspected(body, message.length - WIRE_HEADER_BYTES, &out, &err));
    assert_int_equal(out.number, 0xFEDCBA98u);
    assert_int_equal(out.object, WIRE_IMAGE);
    assert_int_equal(out.frame_count, 7);
    assert_int_equal(out.frames_there, 5);
    assert_int_equal(out.first_frame, 3);
    assert_true(out.frame_follows && out.guessed && !out.header_cut);
    assert_string_equal(out.transfer_syntax, in.transfer_syntax);
    size_t at = 0;
    struct wire_element e;
    assert_true(wire_next_element(out.elements, out.elements_length, &at, &e));
    assert_int_equal(e.tag, 0x00100020);
    assert_memory_equal(e.bytes, "P\xc3\xa9ter\\x", e.length);
    assert_true(wire_next_element(out.elements, out.elements_length, &at, &e));
    assert_int_equal(e.kind, WIRE_SEQUENCE);
    assert_true(wire_next_element(out.elements, out.elements_length, &at, &e));
    assert_true(wire_next_element(out.elements, out.elements_length, &at, &e));
    assert_int_equal(e.depth, 1);
    assert_false(wire_next_element(out.elements, out.elements_length, &at, &e));
    buffer_clear(&elements);
    buffer_clear(&message);
}

static void a_message_cut_or_longer_is_refused(void **state)
{
    (void)state;
    struct buffer elements = {0}, message = {0};
    struct wire_inspected out;
    struct error err;
    append_sample_elements(&elements);
    struct wire_inspected in = sample_inspected(&elements);
    wire_write_inspected(&message, &in);
    buffer_append_char(&message, 0);
    for (size_t length = 0; length <= message.length - WIRE_HEADER_BYTES; length++) {
        uint8_t *copy = malloc(length + 1); /* so that a sanitizer sees the first byte behind */
        assert_non_null(copy);
        memcpy(copy, message.data + WIRE_HEADER_BYTES, length);
        bool whole = length == message.length - WIRE_HEADER_BYTES - 1;
        assert_int_equal(wire_read_inspected(copy, length, &out, &err), whole);
        if (!whole)
            assert_string_equal(err.code, CODE_DECODER_PROTOCOL);
        free(copy);
    }
    buffer_clear(&elements);
    buffer_clear(&message);
}

static void expect_bad_elements(const struct buffer *elements)
{
    struct error err;
    assert_false(wire_check_elements((const uint8_t *)elements->data, elements->length, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_int_equal(err.category, CATEGORY_DECODER);
}

/* PS3.5 6.2: which values are text. */
static void text_of_every_vr_is_looked_at_and_nothing_else(void **state)
{
    static const char texts[] = "AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT ";
    (void)state;
    for (int i = 0; i < 26 * 26; i++) {
        const struct wire_element element = {.kind = WIRE_VALUE,
                                             .vr = {(char)('A' + i / 26), (char)('A' + i % 26)},
                                             .length = 2,
                                             .full_length = 2,
                                             .bytes = (const uint8_t *)"\xc3("};
        const char name[] = {element.vr[0], element.vr[1], ' ', '\0'};
        struct buffer elements = {0};
        struct error err;
        wire_append_element(&elements, &element);
        bool is_taken = wire_check_elements((const uint8_t *)elements.data, elements.length, &err);
        assert_int_equal(is_taken, strstr(texts, name) == NULL);
        buffer_clear(&elements);
    }
}

static void impossible_elements_are_refused(void **state)
{
    (void)state;
    const struct wire_element bad[] = {
        {.kind = WIRE_VALUE, .vr = {'U', 'S'}, .depth = 1},                                /* no item above */
        {.kind = 9, .vr = {'U', 'S'}},                                                     /* kind          */
        {.kind = WIRE_VALUE, .vr = {'u', 'S'}},                                            /* VR            */
        {.kind = WIRE_ITEM, .vr = {'S', 'Q'}, .length = 1, .bytes = (const uint8_t *)"x"}, /* bytes         */
        {.kind = WIRE_VALUE, .vr = {'L', 'O'}, .length = 2, .bytes = (const uint8_t *)"\xc3("}, /* UTF-8 */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buffer elements = {0};
        wire_append_element(&elements, &bad[i]);
        expect_bad_elements(&elements);
        buffer_clear(&elements);
    }
}

static void convert_and_frame_come_back_as_written(void **state)
{
    (void)state;
    struct buffer message = {0};
    struct error err;
    struct wire_convert convert = {.number = 77, .has_output = true, .rings = true}, convert_back;
    convert.options = (struct options){.print_images = true,
                                       .pixel_scaling = PIXEL_SCALING_STORED,
                                       .window = WINDOW_VALUES,
                                       .window_index = 3,
                                       .window_center = -600.5,
                                       .window_width = 1500.25,
                                       .overlays = OVERLAYS_BURN,
                                       .allow_truncated = true,
                                       .frames = FRAMES_NUMBER,
                                       .frame_number = 9,
                                       .max_pixels = UINT64_MAX,
                                       .max_nesting = 64,
                                       .max_items = 100000,
                                       .max_metadata_bytes = 1ull << 40,
                                       .max_picture_bytes = 1ull << 41};
    wire_write_convert(&message, &convert);
    assert_true(message.length <= WIRE_REQUEST_BYTES_MAX);
    assert_true(wire_read_convert((const uint8_t *)message.data + WIRE_HEADER_BYTES,
                                  message.length - WIRE_HEADER_BYTES, &convert_back, &err));
    assert_int_equal(convert_back.number, 77);
    assert_memory_equal(&convert_back.options.max_pixels, &convert.options.max_pixels, 8);
    assert_int_equal(convert_back.options.max_items, 100000);
    assert_true(convert_back.options.max_metadata_bytes == 1ull << 40);
    assert_true(convert_back.options.max_picture_bytes == 1ull << 41);
    assert_int_equal(convert_back.options.pixel_scaling, PIXEL_SCALING_STORED);
    assert_int_equal(convert_back.options.window, WINDOW_VALUES);
    assert_int_equal(convert_back.options.window_index, 3);
    assert_true(convert_back.options.window_center == -600.5);
    assert_true(convert_back.options.window_width == 1500.25);
    assert_int_equal(convert_back.options.overlays, OVERLAYS_BURN);
    assert_true(convert_back.options.allow_truncated);
    assert_int_equal(convert_back.options.frame_number, 9);
    assert_true(convert_back.has_output && convert_back.rings && convert_back.options.print_images);
    buffer_truncate(&message, 0);
    struct wire_frame frame = {.number = 78,
                               .frame_index = 4,
                               .png_bytes = 99,
                               .columns = 640,
                               .rows = 480,
                               .offset = -1024.5,
                               .maximum = 3e9,
                               .is_decoded = true};
    struct wire_frame frame_back;
    (void)snprintf(frame.scaling, sizeof frame.scaling, "full");
    wire_write_frame(&message, &frame);
    assert_true(wire_read_frame((const uint8_t *)message.data + WIRE_HEADER_BYTES,
                                message.length - WIRE_HEADER_BYTES, &frame_back, &err));
    assert_int_equal(frame_back.number, 78);
    assert_int_equal(frame_back.frame_index, 4);
    assert_int_equal(frame_back.png_bytes, 99);
    assert_int_equal(frame_back.columns, 640);
    assert_int_equal(frame_back.rows, 480);
    assert_true(frame_back.offset == -1024.5 && frame_back.maximum == 3e9 && frame_back.is_decoded);
    assert_string_equal(frame_back.scaling, "full");
    buffer_clear(&message);
}

static bool reads_failure(enum category category, const char *code)
{
    struct wire_frame frame = {.failure = {.category = category}}, back;
    struct buffer message = {0};
    struct error err;
    (void)snprintf(frame.failure.code, sizeof frame.failure.code, "%s", code);
    wire_write_frame(&message, &frame);
    bool ok = wire_read_frame((const uint8_t *)message.data + WIRE_HEADER_BYTES,
                              message.length - WIRE_HEADER_BYTES, &back, &err);
    buffer_clear(&message);
    return ok;
}

static void causes_that_are_not_a_decoders_to_give_are_refused(void **state)
{
    (void)state;
    assert_true(reads_failure(CATEGORY_NONE, ""));
    assert_true(reads_failure(CATEGORY_UNDECODABLE, CODE_CODEC));
    assert_true(reads_failure(CATEGORY_DECODER, CODE_LIMIT_MEMORY));
    assert_true(reads_failure(CATEGORY_DECODER, CODE_OUTPUT_FULL));
    assert_false(reads_failure(CATEGORY_NONE, CODE_CODEC));
    assert_false(reads_failure(CATEGORY_DECODER, ""));
    assert_false(reads_failure(CATEGORY_DECODER, "my_own_cause"));
    assert_false(reads_failure(CATEGORY_DECODER, CODE_CRASH_SIGNAL)); /* would be tried again */
    assert_false(reads_failure(CATEGORY_NOT_USABLE, CODE_INPUT_MISSING));
    assert_false(reads_failure(CATEGORY_TOO_MANY, CODE_TOO_MANY_TAGS));
}

static void ready_comes_back_as_written(void **state)
{
    (void)state;
    struct confinement confinement = {.landlock_abi = 7}, back;
    struct buffer message = {0};
    struct error err;
    confinement.in_force[CONFINEMENT_SECCOMP] = 1;
    confinement.number[CONFINEMENT_LANDLOCK] = ENOSYS;
    wire_write_ready(&message, &confinement);
    const uint8_t *body = (const uint8_t *)message.data + WIRE_HEADER_BYTES;
    size_t length = message.length - WIRE_HEADER_BYTES;
    for (size_t cut = 0; cut < length; cut++)
        assert_false(wire_read_ready(body, cut, &back, &err));
    assert_true(wire_read_ready(body, length, &back, &err));
    assert_int_equal(back.landlock_abi, 7);
    for (unsigned part = 0; part < CONFINEMENT_PARTS; part++) {
        assert_int_equal(back.in_force[part], part == CONFINEMENT_SECCOMP);
        assert_int_equal(back.number[part], part == CONFINEMENT_LANDLOCK ? ENOSYS : 0);
    }
    buffer_clear(&message);
}

static void confinement_names_what_is_missing(void **state)
{
    (void)state;
    struct confinement all, other;
    struct buffer text = {0};
    struct error err;
    memset(&all, 0, sizeof all);
    memset(all.in_force, 1, sizeof all.in_force);
    all.landlock_abi = 7;
    other = all;
    assert_true(confinement_check(&all, &err));
    confinement_append(&all, false, &text);
    assert_string_equal(buffer_text(&text), "none");
    other.in_force[CONFINEMENT_OOM_SCORE] = other.in_force[CONFINEMENT_LANDLOCK_TCP] = 0;
    confinement_intersect(&all, &other);
    assert_true(confinement_check(&all, &err)); /* neither is required */
    other.in_force[CONFINEMENT_LANDLOCK] = 0;
    other.number[CONFINEMENT_LANDLOCK] = EPERM;
    other.landlock_abi = 0;
    confinement_intersect(&all, &other);
    assert_int_equal(all.landlock_abi, 0);
    assert_false(confinement_check(&all, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_non_null(strstr(err.text, "no landlock here (Operation not permitted)"));
    assert_non_null(strstr(err.text, "set Sandbox to best-effort"));
    buffer_truncate(&text, 0);
    confinement_append(&all, false, &text);
    assert_string_equal(buffer_text(&text), "oom_score,landlock,landlock_tcp");
    buffer_clear(&text);
    /* Every advice fits behind the longest cause. */
    for (unsigned part = 0; part < CONFINEMENT_PARTS; part++) {
        struct confinement none = all;
        memset(none.in_force, 1, sizeof none.in_force);
        none.in_force[part] = 0;
        none.number[part] = EOPNOTSUPP;
        if (!confinement_check(&none, &err))
            assert_non_null(strstr(err.text, "set Sandbox to best-effort"));
    }
}

static void descriptors_travel_with_the_bytes(void **state)
{
    (void)state;
    int pair[2], file[2], got[WIRE_MAX_DESCRIPTORS];
    struct error err;
    char byte = 0;
    size_t received, count;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(pipe(file), 0);
    assert_true(wire_send(pair[0], "abc", 3, file, 2, &err));
    char text[4] = "";
    assert_true(wire_receive(pair[1], true, text, 3, &received, got, &count, &err));
    assert_int_equal(received, 3);
    assert_int_equal(count, 2);
    assert_int_equal(write(got[1], "x", 1), 1);
    assert_int_equal(read(file[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    (void)close(pair[0]);
    assert_true(wire_receive(pair[1], true, text, 3, &received, got, &count, &err));
    assert_int_equal(received, 0);
    assert_false(wire_send(pair[1], "abc", 3, NULL, 0, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
}

static void frames_are_asked_for_where_all_are_wanted(void **state)
{
    (void)state;
    struct options options = {.frames = FRAMES_ALL};
    assert_false(wire_has_more_frames(&options, 0, 0));
    assert_false(wire_has_more_frames(&options, 1, 0));
    assert_true(wire_has_more_frames(&options, 3, 1));
    assert_false(wire_has_more_frames(&options, 3, 2));
    options.compatibility_niffler = true;
    assert_false(wire_has_more_frames(&options, 3, 1));
    options = (struct options){.frames = FRAMES_MIDDLE};
    assert_false(wire_has_more_frames(&options, 3, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_asked_for_where_all_are_wanted),
        cmocka_unit_test(inspected_comes_back_as_written),
        cmocka_unit_test(a_message_cut_or_longer_is_refused),
        cmocka_unit_test(text_of_every_vr_is_looked_at_and_nothing_else),
        cmocka_unit_test(impossible_elements_are_refused),
        cmocka_unit_test(convert_and_frame_come_back_as_written),
        cmocka_unit_test(causes_that_are_not_a_decoders_to_give_are_refused),
        cmocka_unit_test(ready_comes_back_as_written),
        cmocka_unit_test(confinement_names_what_is_missing),
        cmocka_unit_test(descriptors_travel_with_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
