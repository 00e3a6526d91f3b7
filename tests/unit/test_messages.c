/* record, task, json: what is written comes back; what is malformed is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/json.h"
#include "common/record.h"
#include "common/task.h"

#define JOB_ID "01JDQ3V5ZK8Y2M4N6P7R9S0TAB"
#define JOB "\"job\":\"" JOB_ID "\""
#define WHO JOB ",\"seq\":3"

static void add_cell(struct record *rec, const char *column, const char *value)
{
    record_add_cell(rec, column, strlen(column), value, strlen(value));
}

static void fill_record(struct record *rec)
{
    record_reset(rec);
    (void)strncpy(rec->job, JOB_ID, sizeof rec->job - 1);
    rec->seq = 12345678901;
    rec->path = record_add_text(rec, "a/\xff\"\n.dcm", 8);
    rec->status = RECORD_FAILED;
    rec->category = CATEGORY_CONTRADICTION;
    rec->code = record_add_text(rec, CODE_TOO_SHORT, strlen(CODE_TOO_SHORT));
    rec->reason = record_add_text(rec, "why", 3);
    rec->has_pix_array = true;
    rec->size_bytes = UINT64_MAX;
    rec->mtime_ns = -5;
    struct record_frame *frame = record_add_frame(rec);
    frame->frame = 2;
    frame->png = record_add_text(rec, "x.png", 5);
    frame->png_bytes = 77;
    frame->offset = -0.1;
    frame->maximum = 65535;
    add_cell(rec, "PatientName", "Yamada^Tarou=\xe5\xb1\xb1\xe7\x94\xb0^\xe5\xa4\xaa\xe9\x83\x8e");
    add_cell(rec, "Empty", "");
    add_cell(rec, "Text", "tab\t\"quoted\" back\\slash\r\n\x01 \xf0\x9f\x98\x80");
}

static void assert_same(const struct record *a, const struct record *b)
{
    assert_int_equal(a->seq, b->seq);
    assert_string_equal(a->job, b->job);
    assert_string_equal(record_text(a, a->path), record_text(b, b->path));
    assert_string_equal(record_text(a, a->code), record_text(b, b->code));
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->category, b->category);
    assert_true(a->size_bytes == b->size_bytes && a->mtime_ns == b->mtime_ns);
    assert_int_equal(a->has_pix_array, b->has_pix_array);
    assert_int_equal(a->frame_count, b->frame_count);
    assert_true(a->frames[0].offset == b->frames[0].offset && a->frames[0].maximum == b->frames[0].maximum);
    assert_int_equal(a->cell_count, b->cell_count);
    for (size_t i = 0; i < a->cell_count; i++) {
        assert_string_equal(record_text(a, a->cells[i].column), record_text(b, b->cells[i].column));
        assert_int_equal(a->cells[i].value_length, b->cells[i].value_length);
        assert_string_equal(record_text(a, a->cells[i].value), record_text(b, b->cells[i].value));
    }
}

static void a_record_comes_back_as_written(void **state)
{
    (void)state;
    struct record rec = {0}, back = {0};
    struct buffer json = {0};
    struct error err;
    fill_record(&rec);
    record_to_json(&rec, &json);
    assert_true(record_from_json(json.data, json.length, &back, &err));
    assert_same(&rec, &back);
    assert_true(record_from_json(json.data, json.length, &back, &err)); /* memory is reused */
    assert_same(&rec, &back);
    record_clear(&rec);
    record_clear(&back);
    buffer_clear(&json);
}

static void every_cut_of_a_record_is_refused(void **state)
{
    (void)state;
    struct record rec = {0}, back = {0};
    struct buffer json = {0};
    struct error err;
    fill_record(&rec);
    record_to_json(&rec, &json);
    for (size_t length = 0; length < json.length; length++) {
        char *copy = malloc(length + 1);
        assert_non_null(copy);
        memcpy(copy, json.data, length);
        assert_false(record_from_json(copy, length, &back, &err));
        assert_int_equal(err.kind, ERROR_INPUT);
        free(copy);
    }
    record_clear(&rec);
    record_clear(&back);
    buffer_clear(&json);
}

static void unknown_members_are_passed_over_and_unknown_versions_refused(void **state)
{
    (void)state;
    static const char *const good =
        "{ \"v\":1, \"new\":{\"a\":[1,{\"b\":null},\"]}\"]}, \"path\":\"\\u00e9\\udcff\", " WHO " }";
    static const char *const bad[] = {
        "{\"v\":2," WHO ",\"path\":\"a\"}",
        "{\"v\":1," WHO "}",
        "{\"v\":1,\"path\":\"a\",\"seq\":3}",
        "{\"v\":1,\"path\":\"a\"," JOB "}",
        "{\"v\":1,\"path\":\"a\",\"job\":\"../x\",\"seq\":3}",
        "{\"v\":1,\"path\":\"a\"} x",
        "{\"v\":1," WHO ",\"path\":\"a\\u0000b\"}",
        "{\"v\":1," WHO ",\"path\":\"\\ud800\"}",
        "{\"v\":1,\"path\":\"a\"," JOB ",\"seq\":-1}",
        "{\"v\":1,\"path\":\"a\"," JOB ",\"seq\":99999999999999999999}",
        "{\"v\":1," WHO ",\"path\":\"a\",\"status\":\"odd\"}",
        "{\"v\":1," WHO ",\"path\":\"a\",}",
        "{\"v\":1 \"path\":\"a\"," WHO "}",
        "{\"v\":1," WHO ",\"path\":\"a\",\"failure\":{\"category\":6}}",
        "[]",
        "",
        "{\"v\":1," WHO ",\"path\":\"a\nb\"}",
    };
    struct record rec = {0};
    struct error err;
    assert_true(record_from_json(good, strlen(good), &rec, &err));
    assert_string_equal(record_text(&rec, rec.path), "\xc3\xa9\xff");
    assert_int_equal(rec.seq, 3);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (record_from_json(bad[i], strlen(bad[i]), &rec, &err))
            fail_msg("accepted: %s", bad[i]);
    record_clear(&rec);
}

static void nesting_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    struct buffer json = {0};
    struct record rec = {0};
    struct error err;
    buffer_append_text(&json, "{\"v\":1,\"path\":\"a\",\"new\":");
    for (int i = 0; i < 100000; i++)
        buffer_append_char(&json, '[');
    assert_false(record_from_json(json.data, json.length, &rec, &err));
    record_clear(&rec);
    buffer_clear(&json);
}

static void a_task_comes_back_as_written_and_needs_all_its_options(void **state)
{
    (void)state;
    struct task task = {.job = JOB_ID, .seq = 5, .input = "/in", .output = "/out", .path = "d\xe9/x,\n.dcm"},
                back = {0};
    struct buffer json = {0};
    struct error err;
    task.options.pixel_scaling = PIXEL_SCALING_NIFFLER;
    task.options.window = WINDOW_VALUES;
    task.options.window_center = -600.1;
    task.options.window_width = 1e-3;
    task.options.overlays = OVERLAYS_BURN;
    task.options.print_images = true;
    task.options.max_value_bytes = 1ull << 50;
    task.options.frames = FRAMES_NUMBER;
    task.options.frame_number = UINT32_MAX;
    task_to_json(&task, &json);
    assert_true(task_from_json(json.data, json.length, &back, &err));
    assert_string_equal(back.path, task.path);
    assert_string_equal(back.input, "/in");
    assert_string_equal(back.output, "/out");
    assert_int_equal(back.seq, 5);
    assert_memory_equal(&back.options, &task.options, sizeof task.options);
    char *cut = strstr((char *)(uintptr_t)buffer_text(&json), "\"max_nesting\"");
    assert_non_null(cut);
    cut[1] = 'M';
    assert_false(task_from_json(json.data, json.length, &back, &err));
    task_clear(&back);
    buffer_clear(&json);
}

/* Runs of plain bytes are taken eight at a time: each byte, at each place beside others, comes back. */
static void every_byte_at_every_place_comes_back(void **state)
{
    (void)state;
    static const char *const fills[] = {
        "abcdefghijklmnopqrstuvwx", "\x7f !#[]^~\x7f !#[]^~\x7f !#[]^~",
        "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"};
    struct buffer json = {0}, back = {0};
    for (size_t fill = 0; fill < 3; fill++)
        for (size_t length = 1; length <= 18; length++)
            for (size_t place = 0; place < length; place++)
                for (unsigned byte = 1; byte < 256; byte++) {
                    char text[24];
                    memcpy(text, fills[fill], length);
                    text[place] = (char)(unsigned char)byte;
                    buffer_truncate(&json, 0);
                    buffer_truncate(&back, 0);
                    json_append_string(&json, text, length);
                    for (size_t i = 0; i < json.length; i++)
                        assert_true((unsigned char)json.data[i] >= 0x20);
                    struct json_reader in = {.at = json.data, .end = json.data + json.length};
                    json_string(&in, &back);
                    assert_true(json_end(&in));
                    assert_int_equal(back.length, length);
                    assert_memory_equal(back.data, text, length);
                }
    buffer_clear(&json);
    buffer_clear(&back);
}

/* Within a process a record is packed: what arrives is what the JSON would have brought. */
static void a_packed_record_is_what_its_json_is(void **state)
{
    (void)state;
    struct record rec = {0}, packed = {0}, read = {0};
    struct buffer bytes = {0}, json = {0}, again = {0};
    struct error err;
    const size_t counts[] = {3, 700, 0, 1}; /* more and fewer than there was room for */
    for (size_t round = 0; round < 4; round++) {
        record_reset(&rec);
        (void)snprintf(rec.job, sizeof rec.job, "%s", JOB_ID);
        rec.seq = round;
        rec.path = record_add_text(&rec, "d\xe9/x", 4);
        rec.mtime_ns = -5;
        rec.status = RECORD_FAILED;
        rec.category = CATEGORY_UNDECODABLE;
        rec.reason = record_add_text(&rec, "why", 3);
        rec.has_pix_array = true;
        for (size_t i = 0; i < counts[round]; i++) {
            record_add_cell(&rec, "Name", 4, "value", i % 6);
            struct record_frame *frame = record_add_frame(&rec);
            frame->frame = (uint32_t)i + 1;
            frame->png = record_add_text(&rec, "a.png", 5);
            frame->offset = i % 2 == 0 ? -0.0 : HUGE_VAL;
            frame->maximum = i % 2 == 0 ? 0.1 : NAN;
        }
        buffer_truncate(&bytes, 0);
        buffer_truncate(&json, 0);
        buffer_truncate(&again, 0);
        record_pack(&rec, &bytes);
        record_to_json(&rec, &json);
        assert_true(record_is_packed(bytes.data, bytes.length));
        assert_false(record_is_packed(json.data, json.length));
        record_unpack(bytes.data, &packed);
        assert_true(record_from_json(json.data, json.length, &read, &err));
        assert_int_equal(packed.cell_count, read.cell_count);
        for (size_t i = 0; i < read.cell_count; i++) {
            assert_int_equal(packed.cells[i].column_length, read.cells[i].column_length);
            assert_int_equal(packed.cells[i].value_length, read.cells[i].value_length);
        }
        for (size_t i = 0; i < read.frame_count; i++) {
            assert_memory_equal(&packed.frames[i].offset, &read.frames[i].offset, sizeof(double));
            assert_memory_equal(&packed.frames[i].maximum, &read.frames[i].maximum, sizeof(double));
        }
        record_to_json(&packed, &again);
        buffer_truncate(&json, 0);
        record_to_json(&read, &json);
        assert_string_equal(buffer_text(&again), buffer_text(&json));
    }
    record_clear(&rec);
    record_clear(&packed);
    record_clear(&read);
    buffer_clear(&bytes);
    buffer_clear(&json);
    buffer_clear(&again);
}

/* Options that are worded as those of the last task are not read again; others are. */
static void options_are_those_of_the_task_at_hand(void **state)
{
    (void)state;
    struct task task = {.job = JOB_ID, .input = "i", .output = "o", .path = "p"}, back = {0};
    struct buffer json = {0}, options = {0};
    struct error err;
    for (uint32_t i = 0; i < 12; i++) {
        task.options.frame_number = i / 3 % 2 == 0 ? 7 : 70;
        task.options.frames = i / 3 % 2 == 0 ? FRAMES_ALL : FRAMES_NUMBER;
        task.options_json = i % 2 == 0 ? &options : NULL;
        buffer_truncate(&options, 0);
        options_to_json(&task.options, &options);
        buffer_truncate(&json, 0);
        task_to_json(&task, &json);
        assert_true(task_from_json(json.data, json.length, &back, &err));
        assert_memory_equal(&back.options, &task.options, sizeof task.options);
        assert_false(task_from_json(json.data, json.length - 2, &back, &err));
        if (i % 4 == 3) { /* options that cannot be read leave nothing behind */
            char *name = strstr((char *)(uintptr_t)buffer_text(&json), "\"max_nesting\"");
            assert_non_null(name);
            name[1] = 'M';
            assert_false(task_from_json(json.data, json.length, &back, &err));
            name[1] = 'm';
            assert_true(task_from_json(json.data, json.length, &back, &err));
            assert_memory_equal(&back.options, &task.options, sizeof task.options);
        }
    }
    task_clear(&back);
    buffer_clear(&json);
    buffer_clear(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_as_written),
        cmocka_unit_test(every_cut_of_a_record_is_refused),
        cmocka_unit_test(unknown_members_are_passed_over_and_unknown_versions_refused),
        cmocka_unit_test(nesting_beyond_the_limit_is_refused),
        cmocka_unit_test(every_byte_at_every_place_comes_back),
        cmocka_unit_test(a_packed_record_is_what_its_json_is),
        cmocka_unit_test(options_are_those_of_the_task_at_hand),
        cmocka_unit_test(a_task_comes_back_as_written_and_needs_all_its_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
