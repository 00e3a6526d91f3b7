/* pool: whatever a decoder does, its file gets a cause and the next file gets a decoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "worker/pool.h"

static char folder[64], program[128];

/* The program finds its mode beside itself, so it is copied into the folder. */
static int copy_program(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/niffler-pool-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(program, sizeof program, "%s/decoder", folder);
    int from = open(MISBEHAVING_DECODER, O_RDONLY | O_CLOEXEC);
    int to = open(program, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    char bytes[65536];
    ssize_t count = -1;
    while (from >= 0 && to >= 0 && (count = read(from, bytes, sizeof bytes)) > 0)
        if (write(to, bytes, (size_t)count) != count)
            return -1;
    (void)close(from);
    return count == 0 ? close(to) : -1;
}

static int remove_program(void **state)
{
    (void)state;
    char path[160];
    (void)snprintf(path, sizeof path, "%s/mode", folder);
    (void)unlink(path);
    (void)unlink(program);
    return rmdir(folder);
}

static void set_mode(const char *mode)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/mode", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(mode, file);
    (void)fclose(file);
}

static struct pool_options options_of(const char *path)
{
    return (struct pool_options){.program = path,
                                 .count = 2,
                                 .memory_bytes = 1u << 30,
                                 .seconds = 1,
                                 .reply_bytes = 1u << 20,
                                 .file_bytes = 1u << 20};
}

/* A pool whose decoders do as `mode` says. */
static struct pool *start_in(const char *mode, const struct pool_options *options)
{
    struct pool *pool;
    struct error err;
    set_mode(mode);
    assert_true(pool_start(&pool, options, &err));
    return pool;
}

static struct pool_event next_event(struct pool *pool)
{
    struct pool_event event;
    struct error err;
    do
        assert_true(pool_wait(pool, 5000, NULL, 0, &event, &err));
    while (event.kind == POOL_NOTHING);
    return event;
}

/* Send one request, and return the event that ends it. */
static struct pool_event outcome(struct pool *pool)
{
    struct pool_event event = {0};
    struct error err;
    struct buffer request = {0};
    struct wire_convert convert = {0};
    int slot = -1;
    for (int i = 0; i < 200 && slot < 0; i++) { /* the successor of the last one may still be starting */
        slot = pool_idle_slot(pool);
        if (slot < 0)
            assert_true(pool_wait(pool, 50, NULL, 0, &event, &err));
    }
    assert_true(slot >= 0);
    wire_write_convert(&request, &convert);
    pool_send(pool, slot, &request, NULL, 0, true);
    for (int i = 0; i < 100 && event.kind != POOL_DIED && event.kind != POOL_REPLY; i++)
        assert_true(pool_wait(pool, 100, NULL, 0, &event, &err));
    if (event.kind == POOL_DIED)
        assert_int_equal(event.slot, slot);
    buffer_clear(&request);
    return event;
}

static void each_way_to_end_has_its_cause_and_a_successor(void **state)
{
    (void)state;
    static const struct {
        const char *mode, *code;
    } cases[] = {
        {"segv", CODE_CRASH_SIGNAL},     {"abort", CODE_CRASH_SIGNAL},
        {"cpu", CODE_LIMIT_TIME},        {"hang", CODE_LIMIT_TIME},
        {"exit", CODE_DECODER_PROTOCOL}, {"nonsense", CODE_DECODER_PROTOCOL},
        {"memory", CODE_LIMIT_MEMORY},   {"kill", CODE_CRASH_SIGNAL},
        {"huge", CODE_DECODER_PROTOCOL}, {"close", CODE_DECODER_PROTOCOL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct pool_options options = options_of(program);
        struct pool *pool = start_in(cases[i].mode, &options);
        for (int round = 0; round < 3; round++) { /* two decoders: the third is a successor */
            struct pool_event event = outcome(pool);
            assert_int_equal(event.kind, POOL_DIED);
            assert_int_equal(event.cause.category, CATEGORY_DECODER);
            if (strcmp(event.cause.code, cases[i].code) != 0)
                fail_msg("mode %s: %s (%s)", cases[i].mode, event.cause.code, event.cause.text);
        }
        pool_stop(pool);
    }
}

/* Each frame has its time, but all of them have an end. */
static void frames_without_end_meet_the_limit_of_the_file(void **state)
{
    (void)state;
    struct error err;
    struct buffer request = {0};
    struct pool_options options = options_of(program);
    struct pool_event event;
    int frames = 0;
    options.file_seconds = 2;
    struct pool *pool = start_in("frames", &options);
    wire_write_frame_request(&request, &(struct wire_frame_request){.frame_index = 0});
    pool_send(pool, 0, &request, NULL, 0, true);
    for (;;) {
        assert_true(pool_wait(pool, 5000, NULL, 0, &event, &err));
        if (event.kind == POOL_DIED)
            break;
        assert_int_equal(event.kind, POOL_REPLY);
        assert_in_range(++frames, 1, 6);
        pool_send(pool, 0, &request, NULL, 0, false);
    }
    assert_string_equal(event.cause.code, CODE_LIMIT_TIME);
    assert_string_equal(event.cause.text, "the file was given up after 2 s (FileSeconds)");
    assert_in_range(frames, 2, 5);
    buffer_clear(&request);
    pool_stop(pool);
}

/* Of decoders that all had files, one is replaced; of others, the fresh one is taken. */
static void a_fresh_decoder_is_one_without_a_file(void **state)
{
    (void)state;
    struct error err;
    struct buffer request = {0};
    const struct pool_options options = options_of(program);
    struct pool_event event;
    struct pool *pool = start_in("frames", &options);
    wire_write_frame_request(&request, &(struct wire_frame_request){.frame_index = 0});
    for (int slot = 0; slot < 2; slot++) {
        assert_int_equal(pool_fresh_slot(pool), slot);
        pool_send(pool, slot, &request, NULL, 0, true);
    }
    assert_int_equal(pool_fresh_slot(pool), -1); /* nobody is idle */
    for (int replies = 0; replies < 2; replies++) {
        assert_true(pool_wait(pool, 5000, NULL, 0, &event, &err));
        assert_int_equal(event.kind, POOL_REPLY);
        pool_release(pool, event.slot);
    }
    assert_int_equal(pool_fresh_slot(pool), -1); /* but one comes */
    int fresh = -1;
    for (int i = 0; i < 100 && (fresh = pool_fresh_slot(pool)) < 0; i++)
        assert_true(pool_wait(pool, 100, NULL, 0, &event, &err));
    assert_in_range(fresh, 0, 1);
    assert_true(pool_idle_slot(pool) >= 0);
    buffer_clear(&request);
    pool_stop(pool);
}

static void send_ahead(struct pool *pool)
{
    struct buffer request = {0};
    wire_write_frame_request(&request, &(struct wire_frame_request){.frame_index = 0});
    (void)usleep(100000); /* the one before was taken: this decoder reads all that is there at once */
    assert_true(pool_may_send_ahead(pool, 0));
    pool_send_ahead(pool, 0, &request, NULL, 0);
    buffer_clear(&request);
}

/* One decoder that is at a file. */
static struct pool *start_busy(const char *mode, struct pool_options options)
{
    struct buffer request = {0};
    options.count = 1;
    struct pool *pool = start_in(mode, &options);
    wire_write_frame_request(&request, &(struct wire_frame_request){.frame_index = 0});
    pool_send(pool, 0, &request, NULL, 0, true);
    buffer_clear(&request);
    return pool;
}

/* Four of them take longer together than one may. */
static void a_file_sent_ahead_comes_next_and_has_its_own_time(void **state)
{
    (void)state;
    struct error err;
    struct pool_event event;
    struct pool_options options = options_of(program);
    options.file_seconds = 1;
    struct pool *pool = start_busy("frames", options);
    for (int file = 0; file < 4; file++) {
        if (file < 3)
            send_ahead(pool);
        assert_true(pool_wait(pool, 5000, NULL, 0, &event, &err));
        assert_int_equal(event.kind, POOL_REPLY);
        assert_int_equal(event.is_fresh, file == 0);
        pool_release(pool, 0);
        assert_int_equal(pool_idle_slot(pool), file < 3 ? -1 : 0);
    }
    pool_stop(pool);
}

static void a_death_is_that_of_the_earlier_file_alone(void **state)
{
    (void)state;
    struct error err;
    struct pool_event event;
    struct pool *pool = start_busy("hang", options_of(program));
    send_ahead(pool);
    event = next_event(pool);
    assert_int_equal(event.kind, POOL_DIED);
    assert_string_equal(event.cause.code, CODE_LIMIT_TIME);
    for (int i = 0; i < 15; i++) { /* longer than the one ahead would have had */
        assert_true(pool_wait(pool, 100, NULL, 0, &event, &err));
        assert_int_equal(event.kind, POOL_NOTHING);
    }
    assert_int_equal(pool_idle_slot(pool), 0);
    pool_stop(pool);
}

static void nothing_is_sent_ahead_to_a_decoder_that_will_be_replaced(void **state)
{
    (void)state;
    struct buffer request = {0};
    struct pool_options options = options_of(program);
    options.files = 3;
    struct pool *pool = start_in("hang", &options);
    assert_false(pool_may_send_ahead(pool, 0)); /* it is idle */
    pool_send(pool, 0, &request, NULL, 0, true);
    send_ahead(pool);
    send_ahead(pool);
    assert_false(pool_may_send_ahead(pool, 0));
    pool_stop(pool);
}

static void so_many_are_sent_ahead_and_no_more(void **state)
{
    (void)state;
    struct pool *pool = start_busy("hang", options_of(program));
    for (int i = 0; i < WIRE_AHEAD_MOST; i++) {
        assert_int_equal(pool_next_rings(pool, 0), i + 1 >= WIRE_QUIET_FROM);
        send_ahead(pool);
    }
    assert_false(pool_may_send_ahead(pool, 0));
    pool_renew(pool, 0); /* which has nothing to do then */
    assert_false(pool_may_send_ahead(pool, 0));
    assert_int_equal(pool_next_rings(pool, 0), 1 >= WIRE_QUIET_FROM);
    pool_stop(pool);
}

static int64_t milliseconds(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The decoder answers four times in 45 ms, and rings 15 later, or not at all. */
static void take_four_replies(const char *mode, int64_t at_least_ms)
{
    struct pool *pool = start_in(mode, &(struct pool_options){.program = program,
                                                              .count = 1,
                                                              .memory_bytes = 1u << 30,
                                                              .seconds = 10,
                                                              .reply_bytes = 1u << 20,
                                                              .file_bytes = 1u << 20});
    struct buffer request = {0};
    wire_write_frame_request(&request, &(struct wire_frame_request){.frame_index = 0});
    int64_t began = milliseconds();
    pool_send(pool, 0, &request, NULL, 0, true);
    for (int i = 0; i < 3; i++)
        pool_send_ahead(pool, 0, &request, NULL, 0);
    for (int file = 0; file < 4; file++) {
        struct pool_event event = next_event(pool);
        assert_int_equal(event.kind, POOL_REPLY);
        if (file == 0)
            assert_in_range(milliseconds() - began, at_least_ms, 5000);
        pool_release(pool, 0);
    }
    assert_int_equal(pool_idle_slot(pool), 0);
    buffer_clear(&request);
    pool_stop(pool);
}

static void replies_wait_for_the_ring_but_not_for_ever(void **state)
{
    (void)state;
    take_four_replies("quiet", 60);
    take_four_replies("silent", 100);
}

/* Whoever hears no requests any more is no decoder, whatever it has answered before. */
static void a_decoder_that_closes_its_socket_is_ended_behind_its_answers(void **state)
{
    (void)state;
    struct error err;
    struct pool_event event;
    struct pool *pool = start_busy("deaf", options_of(program));
    assert_true(pool_wait(pool, 5000, NULL, 0, &event, &err));
    assert_int_equal(event.kind, POOL_REPLY);
    event = next_event(pool);
    assert_int_equal(event.kind, POOL_DIED);
    assert_string_equal(event.cause.code, CODE_DECODER_PROTOCOL);
    pool_stop(pool);
}

static void rings_without_answers_meet_the_deadline(void **state)
{
    (void)state;
    struct pool *pool = start_busy("bells", options_of(program));
    struct pool_event event = next_event(pool);
    assert_int_equal(event.kind, POOL_DIED);
    assert_string_equal(event.cause.code, CODE_LIMIT_TIME);
    pool_stop(pool);
}

static void an_answer_nobody_asked_for_ends_the_decoder(void **state)
{
    (void)state;
    struct error err;
    const struct pool_options options = options_of(program);
    struct pool *pool = start_in("early", &options);
    struct pool_event event = outcome(pool);
    assert_int_equal(event.kind, POOL_REPLY);
    assert_int_equal(event.type, WIRE_INSPECTED);
    assert_true(pool_wait(pool, 1000, NULL, 0, &event, &err)); /* "ready" in the middle of a file */
    assert_int_equal(event.kind, POOL_DIED);
    assert_string_equal(event.cause.code, CODE_DECODER_PROTOCOL);
    pool_stop(pool);
}

/* Where the pool has one: the only child of this process. */
static pid_t find_decoder_process(void)
{
    char path[64], line[64] = "";
    (void)snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)getpid());
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    (void)fclose(file);
    return (pid_t)strtol(line, NULL, 10);
}

static void limits_of_a_decoder_move_with_its_requests(void **state)
{
    (void)state;
    struct rlimit limit;
    struct pool_options options = options_of(program);
    options.count = 1;
    options.seconds = 7;
    struct pool *pool = start_in("early", &options);
    pid_t decoder = find_decoder_process();
    assert_int_equal(prlimit(decoder, RLIMIT_CPU, NULL, &limit), 0);
    assert_true(limit.rlim_cur == RLIM_INFINITY); /* the real one has limited itself */
    pool_limit_output(pool, 0, 12345);
    assert_int_equal(prlimit(decoder, RLIMIT_FSIZE, NULL, &limit), 0);
    assert_int_equal(limit.rlim_cur, 12345);
    assert_true(limit.rlim_max == RLIM_INFINITY);
    pool_limit_output(pool, 0, 1u << 30);
    assert_int_equal(prlimit(decoder, RLIMIT_FSIZE, NULL, &limit), 0);
    assert_int_equal(limit.rlim_cur, 1u << 30);
    (void)usleep(1100000); /* a second, after which it may have used up as much */
    struct pool_event event = outcome(pool);
    assert_int_equal(event.kind, POOL_REPLY);
    assert_int_equal(prlimit(decoder, RLIMIT_CPU, NULL, &limit), 0);
    assert_int_equal(limit.rlim_cur, 9); /* none used, and two for what is not a whole second */
    assert_true(limit.rlim_max == RLIM_INFINITY);
    pool_stop(pool);
}

static void a_decoder_that_is_not_confined_is_refused_if_it_must_be(void **state)
{
    (void)state;
    struct pool *pool;
    struct error err;
    struct pool_options options = options_of(program);
    set_mode("hang");
    options.is_confined = true;
    assert_false(pool_start(&pool, &options, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_non_null(strstr(err.text, "cannot be confined: no privileges here"));
    options.is_confined = false;
    assert_true(pool_start(&pool, &options, &err));
    assert_int_equal(pool_confinement(pool)->in_force[CONFINEMENT_SECCOMP], 0);
    pool_stop(pool);
}

static void a_program_that_cannot_start_is_fatal_by_name(void **state)
{
    (void)state;
    struct pool *pool;
    struct error err;
    struct pool_options options = options_of("/nonexistent/decoder");
    assert_false(pool_start(&pool, &options, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_non_null(strstr(err.text, "/nonexistent/decoder"));
    set_mode("never");
    options.program = program;
    assert_false(pool_start(&pool, &options, &err));
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_non_null(strstr(err.text, "as soon as it is started"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_to_end_has_its_cause_and_a_successor),
        cmocka_unit_test(frames_without_end_meet_the_limit_of_the_file),
        cmocka_unit_test(a_fresh_decoder_is_one_without_a_file),
        cmocka_unit_test(a_file_sent_ahead_comes_next_and_has_its_own_time),
        cmocka_unit_test(a_death_is_that_of_the_earlier_file_alone),
        cmocka_unit_test(nothing_is_sent_ahead_to_a_decoder_that_will_be_replaced),
        cmocka_unit_test(so_many_are_sent_ahead_and_no_more),
        cmocka_unit_test(replies_wait_for_the_ring_but_not_for_ever),
        cmocka_unit_test(a_decoder_that_closes_its_socket_is_ended_behind_its_answers),
        cmocka_unit_test(rings_without_answers_meet_the_deadline),
        cmocka_unit_test(an_answer_nobody_asked_for_ends_the_decoder),
        cmocka_unit_test(limits_of_a_decoder_move_with_its_requests),
        cmocka_unit_test(a_decoder_that_is_not_confined_is_refused_if_it_must_be),
        cmocka_unit_test(a_program_that_cannot_start_is_fatal_by_name),
    };
    return cmocka_run_group_tests(tests, copy_program, remove_program);
}
