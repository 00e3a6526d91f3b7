/* Receiving over a Kafka whose members come, go, freeze and are killed: nothing is lost, nothing that is done
 * in peace is given out twice, and a message that kills its receivers is found. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/queue_kafka_parts.h"
#include "tests/fault/kafka_broker.h"

/* The mock cluster lets new groups wait for 3 s: shorter sessions end meanwhile. */
#define FAST "session.timeout.ms=4000\nheartbeat.interval.ms=100\n"

enum { OFFSET_COMMIT = 8, OFFSET_FETCH = 9 }; /* the requests' numbers in Kafka's protocol */

/* ---- members in processes of their own: this program again, told what to do ------------------------ */

/* Whether the queue gives out nothing more until what it gave is acknowledged. */
static bool is_alone(struct queue *q)
{
    return ((const struct kafka_receiver *)q)->alone != NULL;
}

/* Receive, and acknowledge all but what is `poison`: then die. `marks` as of queue_kafka_options. */
static int member_that_dies(char **arguments)
{
    struct settings settings = {
        .kafka_brokers = arguments[0], .kafka_config_file = arguments[1], .kafka_commit_ms = 100};
    const struct queue_kafka_options options = {.settings = &settings,
                                                .topic = arguments[2],
                                                .group = arguments[3],
                                                .marks_suspects = strcmp(arguments[4], "marks") == 0};
    struct queue *q;
    struct error err;
    struct queue_message message, held[3] = {{0}};
    size_t holding = 0;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!queue_kafka_open(&q, &options, LONG_MS, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    for (;;) {
        if (!queue_receive(q, LONG_MS, &message, &err) || message.bytes == NULL)
            return 3;
        unsigned number = number_of(&message);
        /* One line a message, for the test to read: its number, and its deaths. */
        (void)printf("%u %u %u\n", number, message.deaths, (unsigned)state_of(q).in_flight);
        (void)fflush(stdout);
        if (number == (unsigned)strtoul(arguments[5], NULL, 10) && message.deaths < 3) {
            int64_t end = meter_now_ms() + 300; /* as decoding takes its time */
            while (meter_now_ms() < end)
                if (!queue_serve(q, &err))
                    return 4;
            (void)raise(SIGKILL);
        }
        /* A few are in flight at a time, where they may be. */
        held[holding++] = message;
        if (holding == 3 || is_alone(q)) {
            for (size_t i = 0; i < holding; i++)
                if (!queue_ack(q, &held[i], &err))
                    return 5;
            holding = 0;
        }
        if (number == (unsigned)strtoul(arguments[6], NULL, 10)) {
            queue_close(q);
            return 0;
        }
    }
}

struct member {
    pid_t process;
    FILE *lines;
};

static struct member start_member(struct broker *broker, bool marks, const char *poison, const char *last)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t process = fork();
    assert_true(process >= 0);
    if (process == 0) {
        char name[] = "test_queue_kafka", role[] = "member", with[] = "marks", without[] = "plain", first[16],
             end[16];
        (void)snprintf(first, sizeof first, "%s", poison);
        (void)snprintf(end, sizeof end, "%s", last);
        char *arguments[] = {name,          role,          broker->brokers,        broker->config_path,
                             broker->topic, broker->group, marks ? with : without, first,
                             end,           NULL};
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)close_range(3, ~0u, 0); /* the mock cluster's sockets would stay open in it */
        (void)execv("/proc/self/exe", arguments);
        _exit(127);
    }
    (void)close(ends[1]);
    FILE *lines = fdopen(ends[0], "r");
    assert_non_null(lines);
    return (struct member){.process = process, .lines = lines};
}

static int end_member(struct member *member)
{
    int status;
    (void)fclose(member->lines);
    assert_int_equal(waitpid(member->process, &status, 0), member->process);
    return status;
}

/* ---- deaths ---------------------------------------------------------------------------------------- */

static void test_a_message_that_kills_is_found(void **context)
{
    (void)context;
    enum { COUNT = 12, POISON = 5 };
    struct broker broker;
    char text[128], line[64];
    unsigned given[COUNT] = {0};
    bool is_over = false;
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker);
    for (unsigned i = 0; i < COUNT; i++)
        send_number(to, 0, i);
    flush(to);
    for (unsigned life = 1; !is_over; life++) {
        unsigned number, deaths, in_flight;
        struct member member = start_member(&broker, true, "5", "11");
        while (fgets(line, sizeof line, member.lines) != NULL) {
            assert_int_equal(sscanf(line, "%u %u %u", &number, &deaths, &in_flight), 3);
            assert_in_range(number, 0, COUNT - 1);
            given[number]++;
            if (life >= 3)
                assert_int_equal(in_flight, 1); /* alone */
            if (number != POISON)
                assert_int_equal(deaths, 0);
            else
                assert_int_equal(deaths, life <= 3 ? 0 : life - 3);
        }
        int status = end_member(&member);
        if (life <= 5) {
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
            (void)committed(&broker, 0, text);
            (void)snprintf(line, sizeof line, "o %u ", life - 1);
            if (strncmp(text, line, strlen(line)) != 0)
                fail_msg("life %u left '%s'", life, text);
        } else {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
            is_over = true;
        }
    }
    assert_int_equal(given[POISON], 6);
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(given[i] > 0);
    assert_int_equal(committed(&broker, 0, text), COUNT);
    queue_close(to);
    broker_close(&broker);
}

static void test_without_marks_a_death_leaves_none(void **context)
{
    (void)context;
    struct broker broker;
    char text[128], line[64];
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker);
    for (unsigned i = 0; i < 4; i++)
        send_number(to, 0, i);
    flush(to);
    for (unsigned life = 0; life < 3; life++) {
        struct member member = start_member(&broker, false, "3", "99");
        while (fgets(line, sizeof line, member.lines) != NULL)
            continue;
        int status = end_member(&member);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_true(committed(&broker, 0, text) >= 0);
        assert_string_equal(text, "c");
    }
    struct queue *from = open_receiver(&broker, true);
    struct queue_message message = receive(from, LONG_MS);
    assert_int_equal(message.deaths, 0);
    queue_close(from);
    queue_close(to);
    broker_close(&broker);
}

/* Stopped for longer than its session, then woken: it commits nothing over the new owner. */
static void test_a_member_that_freezes(void **context)
{
    (void)context;
    struct broker broker;
    char text[128], line[64];
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker);
    for (unsigned i = 0; i < 8; i++)
        send_number(to, 0, i);
    flush(to);
    struct member member = start_member(&broker, true, "99", "98");
    do
        assert_non_null(fgets(line, sizeof line, member.lines));
    while (strtoul(line, NULL, 10) != 6);
    sleep_ms(300); /* 6 are acknowledged, two in flight */
    assert_int_equal(kill(member.process, SIGSTOP), 0);
    int64_t before = committed(&broker, 0, text);
    assert_int_equal(before, 6);
    struct queue *from = open_receiver(&broker, true);
    for (unsigned i = 6; i < 8; i++) {
        struct queue_message message = receive(from, LONG_MS);
        assert_int_equal(number_of(&message), i);
        ack(from, &message);
    }
    send_number(to, 0, 8);
    flush(to);
    struct queue_message message = receive(from, LONG_MS);
    assert_int_equal(number_of(&message), 8);
    ack(from, &message);
    serve_for(from, 500);
    assert_int_equal(committed(&broker, 0, text), 9);
    assert_int_equal(kill(member.process, SIGCONT), 0);
    for (int i = 0; i < 30; i++) {
        serve_for(from, 100);
        assert_int_equal(committed(&broker, 0, text), 9);
    }
    assert_int_equal(kill(member.process, SIGKILL), 0);
    (void)end_member(&member);
    queue_close(from);
    queue_close(to);
    broker_close(&broker);
}

/* ---- members that come and go ---------------------------------------------------------------------- */

static void take(struct queue *q, bool *seen, unsigned *count, int timeout_ms)
{
    struct queue_message message = receive(q, timeout_ms);
    if (message.bytes == NULL)
        return;
    unsigned number = number_of(&message);
    assert_false(seen[number]); /* nothing twice */
    seen[number] = true;
    (*count)++;
    ack(q, &message);
}

/* The mock cluster refuses commits from the moment somebody joins or leaves; Kafka does not. What is done
 * must be committed before, there. */
static void settle(struct broker *broker, struct queue *a, struct queue *b)
{
    for (int i = 0; i < 6 && broker->cluster != NULL; i++) {
        serve_for(a, 50);
        if (b != NULL)
            serve_for(b, 50);
    }
}

static void wait_for_shares(struct queue *a, uint64_t of_a, struct queue *b, uint64_t of_b)
{
    int64_t end = meter_now_ms() + LONG_MS;
    while (state_of(a).assigned != of_a || (b != NULL && state_of(b).assigned != of_b)) {
        assert_true(meter_now_ms() < end);
        serve_for(a, 20);
        if (b != NULL)
            serve_for(b, 20);
    }
}

static void test_members_share_and_take_over(void **context)
{
    (void)context;
    enum { STEP = 200, PARTITIONS = 4 };
    struct broker broker;
    bool seen[3 * STEP] = {false};
    unsigned count = 0, of_b = 0, sent = 0;
    broker_open(&broker, PARTITIONS, FAST);
    struct queue *to = open_sender(&broker), *a = open_receiver(&broker, true), *b = NULL;
    for (; sent < STEP; sent++)
        send_number(to, sent, sent);
    while (count < STEP)
        take(a, seen, &count, LONG_MS);
    settle(&broker, a, NULL);
    b = open_receiver(&broker, true);
    wait_for_shares(a, 2, b, 2);
    for (; sent < 2 * STEP; sent++)
        send_number(to, sent, sent);
    while (count + of_b < 2 * STEP) {
        serve(to);
        take(a, seen, &count, 10);
        take(b, seen, &of_b, 10);
    }
    assert_int_equal(of_b, STEP / 2);
    settle(&broker, a, b);
    queue_close(b);
    wait_for_shares(a, PARTITIONS, NULL, 0);
    for (; sent < 3 * STEP; sent++)
        send_number(to, sent, sent);
    while (count + of_b < 3 * STEP)
        take(a, seen, &count, LONG_MS);
    assert_null(receive(a, 300).bytes);
    assert_true(state_of(a).rebalances >= 3);
    queue_close(a);
    queue_close(to);
    broker_close(&broker);
}

/* Acknowledges what comes, since the suspects of several deaths are given out one at a time (rule 10). */
static void take_again(struct queue *q, unsigned *seen)
{
    struct queue_message message = receive(q, 20);
    if (message.bytes == NULL)
        return;
    *seen |= 1U << number_of(&message);
    ack(q, &message);
}

/* What is in flight when partitions are to go is waited for, and over Kafka committed. */
static void test_revocation_waits_for_what_is_in_flight(void **context)
{
    (void)context;
    struct broker broker;
    unsigned again = 0; /* a bit for each number that came a second time */
    broker_open(&broker, 2, FAST);
    struct queue *to = open_sender(&broker), *a = open_receiver(&broker, true);
    for (unsigned i = 0; i < 4; i++)
        send_number(to, i, i);
    flush(to);
    struct queue_message held[4];
    for (unsigned i = 0; i < 4; i++)
        held[i] = receive(a, LONG_MS);
    assert_int_equal(state_of(a).rebalances, 1);
    struct queue *b = open_receiver(&broker, true);
    int64_t end = meter_now_ms() + LONG_MS;
    while (state_of(a).is_ready) { /* until it is told to give back */
        assert_true(meter_now_ms() < end);
        serve_for(a, 20);
        serve(b);
    }
    for (int i = 0; i < 10; i++) {
        serve_for(a, 50);
        serve(b);
        assert_int_equal(state_of(a).assigned, 2); /* not yet */
        assert_int_equal(state_of(b).assigned, 0);
    }
    assert_null(receive(a, 0).bytes);
    for (unsigned i = 0; i < 4; i++)
        ack(a, &held[i]);
    serve(a);
    assert_int_equal(state_of(a).assigned, 0);
    wait_for_shares(a, 1, b, 1);
    unsigned expected = broker.cluster != NULL ? 0xF : 0; /* see settle() */
    end = meter_now_ms() + 1000;
    while (meter_now_ms() < end || (again != expected && meter_now_ms() < end + LONG_MS)) {
        take_again(a, &again);
        take_again(b, &again);
    }
    assert_int_equal(again, expected);
    queue_close(a);
    queue_close(b);
    queue_close(to);
    broker_close(&broker);
}

/* But not for ever: the others wait meanwhile. */
static void test_revocation_does_not_wait_for_ever(void **context)
{
    (void)context;
    struct broker broker;
    broker_open(&broker, 1, "session.timeout.ms=9000\nheartbeat.interval.ms=100\n");
    struct queue *to = open_sender(&broker), *a = open_receiver(&broker, true);
    send_number(to, 0, 1);
    struct queue_message held = receive(a, LONG_MS);
    struct queue *b = open_receiver(&broker, true);
    int64_t end = meter_now_ms() + LONG_MS;
    while (state_of(a).is_ready) {
        assert_true(meter_now_ms() < end);
        serve_for(a, 20);
    }
    int64_t start = meter_now_ms();
    while (state_of(a).assigned > 0) {
        assert_true(meter_now_ms() < end);
        serve_for(a, 20);
    }
    assert_in_range(meter_now_ms() - start, 4500, 8000);
    check_text(&held, "1"); /* still borrowed; to acknowledge it no longer means anything */
    ack(a, &held);
    struct queue_message again = {0};
    while (again.bytes == NULL && meter_now_ms() < end) {
        again = receive(b, 50);
        if (again.bytes == NULL)
            again = receive(a, 50);
    }
    check_text(&again, "1");
    queue_close(a);
    queue_close(b);
    queue_close(to);
    broker_close(&broker);
}

/* ---- backpressure and commits ---------------------------------------------------------------------- */

static void test_serving_without_receiving_is_bounded(void **context)
{
    (void)context;
    enum { COUNT = 2000 };
    struct broker broker;
    broker_open(&broker, 2, FAST "max.poll.interval.ms=4000\n");
    struct queue *to = open_sender(&broker), *from = open_receiver(&broker, true);
    for (unsigned i = 0; i < COUNT; i++)
        send_number(to, i, i);
    flush(to);
    unsigned next[2] = {0, 1};
    for (unsigned i = 0; i < COUNT; i++) {
        struct queue_message message = receive(from, LONG_MS);
        unsigned number = number_of(&message);
        assert_int_equal(number, next[number % 2]); /* none lost, none doubled */
        next[number % 2] += 2;
        ack(from, &message);
        if (i == 10 || i == 1000) {
            serve_for(from, i == 10 ? 6000 : 2500);
            const struct kafka_receiver *receiver = (const struct kafka_receiver *)from;
            assert_in_range(receiver->waiting.count, 1, 64);
            assert_int_equal(state_of(from).paused, 2);
        }
    }
    assert_int_equal(state_of(from).rebalances, 1); /* still a member all the time */
    assert_int_equal(state_of(from).paused, 0);
    queue_close(from);
    queue_close(to);
    broker_close(&broker);
}

static void fence(struct queue *q)
{
    rd_kafka_t *handle = ((struct kafka_queue *)q)->client.handle; /* the queue is its first member */
    (void)rd_kafka_test_fatal_error(handle, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, "of two of one name");
}

static void test_commits_that_fail_are_tried_again(void **context)
{
    (void)context;
    struct broker broker;
    char text[128];
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker), *from = open_receiver(&broker, true);
    send_text(to, 0, "1");
    struct queue_message message = receive(from, LONG_MS);
    rd_kafka_mock_push_request_errors(broker.cluster, OFFSET_COMMIT, 2,
                                      RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,
                                      RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS);
    ack(from, &message);
    serve_for(from, 1500);
    assert_int_equal(committed(&broker, 0, text), 1);
    assert_in_range(state_of(from).commit_failures, 1, 2);
    assert_true(state_of(from).committed_ms > 0);
    /* Thrown out of its generation: it joins again, and what was not committed comes again. */
    rd_kafka_mock_push_request_errors(broker.cluster, OFFSET_COMMIT, 1, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
    send_text(to, 0, "2");
    message = receive(from, LONG_MS);
    check_text(&message, "2");
    ack(from, &message);
    serve_for(from, 300);
    message = receive(from, LONG_MS);
    check_text(&message, "2");
    ack(from, &message);
    serve_for(from, 500);
    assert_int_equal(state_of(from).rebalances, 2);
    assert_int_equal(committed(&broker, 0, text), 2);
    queue_close(from);
    queue_close(to);
    broker_close(&broker);
}

/* As after a broker was frozen, which then answers questions of before. Too often, and somebody has our name.
 */
static void test_a_fenced_member_begins_again(void **context)
{
    (void)context;
    struct broker broker;
    struct queue_message message;
    struct error err;
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker), *from = open_receiver(&broker, true);
    for (int i = 0; i < 3; i++) {
        send_text(to, 0, "message");
        message = receive(from, LONG_MS);
        check_text(&message, "message");
        ack(from, &message);
        serve_for(from, 300);
        fence(from);
    }
    assert_int_equal(state_of(from).rebalances, 3);
    bool ok = true;
    for (int i = 0; ok && i < 10; i++) {
        ok = queue_receive(from, 100, &message, &err);
        fence(from);
    }
    assert_false(ok);
    assert_int_equal(err.kind, ERROR_FATAL);
    assert_non_null(strstr(err.text, "group.instance.id"));
    queue_close(from);
    queue_close(to);
    broker_close(&broker);
}

/* Where librdkafka cannot read the committed offsets of its share, it fetches nothing, and says so once. */
static void test_a_share_whose_offsets_could_not_be_read_is_begun(void **context)
{
    (void)context;
    struct broker broker;
    broker_open(&broker, 2, FAST);
    struct queue *to = open_sender(&broker), *from = open_receiver(&broker, true);
    rd_kafka_mock_push_request_errors(broker.cluster, OFFSET_FETCH, 2, RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
                                      RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
    send_text(to, 0, "1");
    send_text(to, 1, "2");
    for (int i = 0; i < 2; i++) {
        struct queue_message message = receive(from, LONG_MS);
        assert_non_null(message.bytes);
        ack(from, &message);
    }
    queue_close(from);
    queue_close(to);
    broker_close(&broker);
}

/* The positions of partitions without any message are committed too: they would start anew elsewhere else. */
static void test_empty_partitions_are_committed(void **context)
{
    (void)context;
    struct broker broker;
    char text[128];
    broker_open(&broker, 2, FAST);
    struct queue *to = open_sender(&broker), *from = open_receiver(&broker, true);
    send_text(to, 0, "1");
    flush(to);
    struct queue_message message = receive(from, LONG_MS);
    serve_for(from, 1500);
    assert_int_equal(committed(&broker, 0, text), 0);
    assert_int_equal(committed(&broker, 1, text), 0);
    assert_int_equal(text[0], 'o');
    ack(from, &message);
    queue_close(from);
    queue_close(to);
    broker_close(&broker);
}

/* A broker that is there and does not answer does not keep anybody from ending. */
static void test_the_end_does_not_wait_for_a_frozen_broker(void **context)
{
    (void)context;
    struct broker broker;
    broker_open(&broker, 1, FAST);
    struct queue *to = open_sender(&broker), *from = open_receiver(&broker, true);
    send_text(to, 0, "1");
    struct queue_message message = receive(from, LONG_MS);
    ack(from, &message);
    assert_int_equal(rd_kafka_mock_broker_set_rtt(broker.cluster, -1, 60000), 0);
    send_text(to, 0, "2");
    serve(to);
    int64_t start = meter_now_ms();
    queue_close(from);
    queue_close(to);
    assert_in_range(meter_now_ms() - start, 0, 6500);
    broker_close(&broker);
}

int main(int count, char **arguments)
{
    if (count == 9 && strcmp(arguments[1], "member") == 0)
        return member_that_dies(arguments + 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_that_kills_is_found),
        cmocka_unit_test(test_without_marks_a_death_leaves_none),
        cmocka_unit_test(test_a_member_that_freezes),
        cmocka_unit_test(test_members_share_and_take_over),
        cmocka_unit_test(test_revocation_waits_for_what_is_in_flight),
        cmocka_unit_test(test_revocation_does_not_wait_for_ever),
        cmocka_unit_test(test_serving_without_receiving_is_bounded),
        cmocka_unit_test(test_commits_that_fail_are_tried_again),
        cmocka_unit_test(test_a_fenced_member_begins_again),
        cmocka_unit_test(test_a_share_whose_offsets_could_not_be_read_is_begun),
        cmocka_unit_test(test_empty_partitions_are_committed),
        cmocka_unit_test(test_the_end_does_not_wait_for_a_frozen_broker),
    };
    if (count == 2)
        cmocka_set_test_filter(arguments[1]);
    return cmocka_run_group_tests_name("receiving over Kafka", tests, NULL, NULL);
}
