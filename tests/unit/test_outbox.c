/* Mails on their way: which are tried again and when, that none waits for another, and how the outbox ends.
 * The server is a thread here that behaves by the recipient's name; with a real one:
 * tests/e2e/test_mail_smtp.py. */
#include "tests/unit/store_fixture.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "aggregator/outbox.h"
#include "common/meter.h"

/* ---- names ---- */

/* Stands before the C library's: for a name server that does not answer for a while. */
#define SLOW_NAME "slow.example"
static atomic_int lookups_ended;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
    (void)node;
    (void)service;
    (void)hints;
    *result = NULL;
    (void)usleep(4000000);
    atomic_fetch_add(&lookups_ended, 1);
    return EAI_AGAIN;
}

/* ---- the server ---- */

#define ATTEMPTS_MAX 64

struct seen {
    char recipient[64];
    char id[128]; /* Message-ID, of a message that came whole */
    int64_t time_ms;
};

struct server {
    int listener;
    char url[64];
    pthread_t thread;
    pthread_mutex_t mutex; /* guards the two below */
    struct seen seen[ATTEMPTS_MAX];
    size_t count;
};

static void note(struct server *server, const char *recipient)
{
    assert_int_equal(pthread_mutex_lock(&server->mutex), 0);
    assert_true(server->count < ATTEMPTS_MAX);
    struct seen *seen = &server->seen[server->count++];
    (void)snprintf(seen->recipient, sizeof seen->recipient, "%s", recipient);
    seen->time_ms = meter_now_ms();
    assert_int_equal(pthread_mutex_unlock(&server->mutex), 0);
}

static void note_id(struct server *server, const char *id)
{
    assert_int_equal(pthread_mutex_lock(&server->mutex), 0);
    (void)snprintf(server->seen[server->count - 1].id, sizeof server->seen[0].id, "%s", id);
    assert_int_equal(pthread_mutex_unlock(&server->mutex), 0);
}

/* Attempts for recipients that begin so; *seen gets the n-th of them (from 0). */
static size_t attempts_for(struct server *server, const char *recipient, size_t n, struct seen *seen)
{
    size_t found = 0;
    assert_int_equal(pthread_mutex_lock(&server->mutex), 0);
    for (size_t i = 0; i < server->count; i++)
        if (strncmp(server->seen[i].recipient, recipient, strlen(recipient)) == 0 && found++ == n &&
            seen != NULL)
            *seen = server->seen[i];
    assert_int_equal(pthread_mutex_unlock(&server->mutex), 0);
    return found;
}

static void answer(FILE *peer, const char *text)
{
    (void)fprintf(peer, "%s\r\n", text);
    (void)fflush(peer);
}

/* The message, to its final dot; true if it came whole. */
static bool take_content(struct server *server, FILE *in)
{
    char line[1024], id[128];
    while (fgets(line, sizeof line, in) != NULL) {
        if (strcmp(line, ".\r\n") == 0)
            return true;
        if (sscanf(line, "Message-ID: %127s", id) == 1)
            note_id(server, id);
    }
    return false;
}

/* busyN: 450 for the first N attempts. gone: 550. hang: no answer. drop: the first message is taken and not
 * answered for. slow: answered after a while. All else is taken. Returns whether to go on with this client.
 */
static bool recipient(struct server *server, FILE *in, FILE *out, const char *name)
{
    char line[1024];
    unsigned times;
    note(server, name);
    size_t attempts = attempts_for(server, name, 0, NULL);
    if (sscanf(name, "busy%u", &times) == 1 && attempts <= times) {
        answer(out, "450 later");
    } else if (strncmp(name, "gone", 4) == 0) {
        answer(out, "550 nobody here");
    } else if (strncmp(name, "hang", 4) == 0) {
        while (fgets(line, sizeof line, in) != NULL)
            continue;
        return false;
    } else {
        answer(out, "250 ok");
        if (fgets(line, sizeof line, in) == NULL)
            return false;
        answer(out, "354 go on");
        if (!take_content(server, in) || (strncmp(name, "drop", 4) == 0 && attempts == 1))
            return false;
        if (strncmp(name, "slow", 4) == 0)
            (void)usleep(100000);
        answer(out, "250 taken");
    }
    return true;
}

static void talk(struct server *server, int client)
{
    char line[1024], name[64];
    FILE *in = fdopen(client, "r"), *out = fdopen(dup(client), "w");
    assert_non_null(in);
    assert_non_null(out);
    answer(out, "220 here");
    while (fgets(line, sizeof line, in) != NULL && strncmp(line, "QUIT", 4) != 0) {
        if (sscanf(line, "RCPT TO:<%63[^>]", name) != 1)
            answer(out, "250 ok");
        else if (!recipient(server, in, out, name))
            break;
    }
    (void)fclose(in);
    (void)fclose(out);
}

static void *serve(void *context)
{
    struct server *server = context;
    for (int client; (client = accept(server->listener, NULL, NULL)) >= 0;)
        talk(server, client);
    return NULL;
}

struct scene {
    struct server server;
    struct settings settings;
    struct outbox *outbox;
};

static int set_up(void **state)
{
    struct scene *scene = xcalloc(1, sizeof *scene);
    struct server *server = &scene->server;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || pthread_mutex_init(&server->mutex, NULL) != 0 ||
        bind(server->listener, (struct sockaddr *)&address, length) != 0 ||
        listen(server->listener, 16) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &length) != 0 ||
        pthread_create(&server->thread, NULL, serve, server) != 0)
        return -1;
    (void)snprintf(server->url, sizeof server->url, "smtp://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    scene->settings = (struct settings){
        .smtp_url = server->url, .mail_from = "from@example.com", .smtp_start_tls = SMTP_START_TLS_OFF};
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    outbox_close(scene->outbox);
    (void)shutdown(scene->server.listener, SHUT_RDWR);
    if (pthread_join(scene->server.thread, NULL) != 0)
        return -1;
    (void)close(scene->server.listener);
    (void)pthread_mutex_destroy(&scene->server.mutex);
    free(scene);
    return 0;
}

/* ---- helpers ---- */

static void open_outbox(struct scene *scene, unsigned first_ms, unsigned longest_ms, int64_t give_up_ms)
{
    struct error err;
    struct outbox_limits limits = {first_ms, longest_ms, give_up_ms};
    assert_ok(outbox_open(&scene->outbox, &scene->settings, &limits, &err), err);
}

static void close_outbox(struct scene *scene)
{
    outbox_close(scene->outbox);
    scene->outbox = NULL;
}

/* What is passed does not outlive the call. */
static void put(struct scene *scene, const char *job, const char *to)
{
    char *job_copy = xstrdup(job), *to_copy = xstrdup(to), *folder = xstrdup("/data/out");
    outbox_put(scene->outbox, &(struct mail){.job = job_copy,
                                             .to = to_copy,
                                             .output_directory = folder,
                                             .time_s = 1795430645,
                                             .timeout_seconds = 1});
    memset(job_copy, 'X', strlen(job));
    memset(to_copy, 'X', strlen(to));
    free(job_copy);
    free(to_copy);
    free(folder);
}

static bool is_readable(struct scene *scene, int timeout_ms)
{
    struct pollfd ready = {.fd = outbox_descriptor(scene->outbox), .events = POLLIN};
    return poll(&ready, 1, timeout_ms) == 1;
}

static struct outbox_result take(struct scene *scene)
{
    struct outbox_result result = {0};
    assert_true(is_readable(scene, 20000));
    assert_true(outbox_take(scene->outbox, &result));
    return result;
}

static void expect_sent(struct scene *scene, const char *job)
{
    struct outbox_result result = take(scene);
    assert_string_equal(result.job, job);
    if (!result.is_sent)
        fail_msg("not sent: %s", result.reason);
}

static void expect_failed(struct scene *scene, const char *job, const char *reason)
{
    struct outbox_result result = take(scene);
    assert_string_equal(result.job, job);
    assert_false(result.is_sent);
    if (strstr(result.reason, reason) == NULL)
        fail_msg("%s", result.reason);
}

static void wait_for_attempts(struct scene *scene, const char *recipient, size_t count)
{
    for (int i = 0; attempts_for(&scene->server, recipient, 0, NULL) < count; i++) {
        assert_true(i < 2000);
        (void)usleep(10000);
    }
}

/* ---- sent, and settled ---- */

static void a_mail_is_sent_and_told_once(void **state)
{
    struct scene *scene = *state;
    struct outbox_result result;
    struct seen seen;
    open_outbox(scene, 100, 100, 10000);
    assert_false(outbox_take(scene->outbox, &result));
    assert_false(is_readable(scene, 0));
    outbox_put(scene->outbox, &(struct mail){.job = "j1", .to = "a@example.org", .round = 4});
    result = take(scene);
    assert_string_equal(result.job, "j1");
    assert_int_equal(result.round, 4);
    assert_true(result.is_sent);
    assert_int_equal(outbox_waiting(scene->outbox), 0);
    assert_false(is_readable(scene, 0));
    assert_false(outbox_take(scene->outbox, &result));
    assert_int_equal(attempts_for(&scene->server, "", 0, &seen), 1);
    assert_string_equal(seen.recipient, "a@example.org");
    assert_string_equal(seen.id, "<j1.completed.v5@example.com>");
}

static void a_lasting_refusal_settles_at_once(void **state)
{
    struct scene *scene = *state;
    open_outbox(scene, 50, 50, 10000);
    put(scene, "j1", "gone@example.org");
    expect_failed(scene, "j1", "550");
    put(scene, "j2", "a@b\r\nRCPT TO:<evil@x.y>");
    expect_failed(scene, "j2", "YourEmail");
    scene->settings.smtp_user = "me"; /* and no password */
    put(scene, "j3", "a@example.org");
    expect_failed(scene, "j3", "SmtpPasswordFile");
    (void)usleep(200000);
    assert_int_equal(attempts_for(&scene->server, "", 0, NULL), 1);
    assert_int_equal(outbox_waiting(scene->outbox), 0);
}

static void what_passes_is_tried_again_after_growing_waits(void **state)
{
    struct scene *scene = *state;
    struct seen seen[4];
    open_outbox(scene, 100, 200, 60000);
    put(scene, "j1", "busy3@example.org");
    expect_sent(scene, "j1");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(attempts_for(&scene->server, "busy3", i, &seen[i]), 4);
    /* Less than nominal by the jitter, 100, 200, and the longest. */
    assert_true(seen[1].time_ms - seen[0].time_ms >= 80);
    assert_true(seen[2].time_ms - seen[1].time_ms >= 160);
    assert_true(seen[3].time_ms - seen[2].time_ms >= 160);
    assert_string_equal(seen[3].id, "<j1.completed.v1@example.com>");
}

/* The waits end at the limit, however long the next one would be. */
static void what_does_not_pass_is_given_up(void **state)
{
    struct scene *scene = *state;
    int64_t begin = meter_now_ms();
    open_outbox(scene, 100, 100000, 1000);
    put(scene, "j1", "busy99@example.org");
    expect_failed(scene, "j1", "450");
    int64_t took = meter_now_ms() - begin;
    assert_true(took >= 1000 && took < 10000);
    /* At 0, 100, 300, 700 and 1000 ms, more or less. */
    size_t attempts = attempts_for(&scene->server, "busy99", 0, NULL);
    assert_in_range(attempts, 4, 6);
    assert_int_equal(outbox_waiting(scene->outbox), 0);
}

static void nobody_listening_is_no_lasting_refusal(void **state)
{
    struct scene *scene = *state;
    scene->settings.smtp_url = "smtp://127.0.0.1:1";
    open_outbox(scene, 50, 50, 300);
    put(scene, "j1", "a@example.org");
    assert_false(is_readable(scene, 200)); /* tried again until the time is up */
    expect_failed(scene, "j1", "cannot send");
}

static void no_mail_waits_for_another(void **state)
{
    struct scene *scene = *state;
    open_outbox(scene, 60000, 60000, 600000);
    put(scene, "hangs", "hang@example.org");
    wait_for_attempts(scene, "hang", 1);
    put(scene, "busy", "busy99@example.org");
    put(scene, "one", "one@example.org");
    put(scene, "gone", "gone@example.org");
    put(scene, "two", "two@example.org");
    int64_t begin = meter_now_ms();
    expect_sent(scene, "one");
    expect_failed(scene, "gone", "550");
    expect_sent(scene, "two");
    assert_true(meter_now_ms() - begin < 10000); /* one time-out of one second, libcurl's QUIT among it */
    assert_int_equal(outbox_waiting(scene->outbox), 2);
    assert_int_equal(attempts_for(&scene->server, "busy99", 0, NULL), 1);
}

/* ---- twins ---- */

static void a_lost_answer_gives_one_twin_with_the_same_id(void **state)
{
    struct scene *scene = *state;
    struct seen first, second;
    open_outbox(scene, 50, 50, 10000);
    put(scene, "j1", "drop@example.org");
    expect_sent(scene, "j1");
    assert_int_equal(attempts_for(&scene->server, "drop", 0, &first), 2);
    assert_int_equal(attempts_for(&scene->server, "drop", 1, &second), 2);
    assert_string_equal(first.id, "<j1.completed.v1@example.com>");
    assert_string_equal(second.id, first.id);
}

static void another_life_sends_the_same_mail(void **state)
{
    struct scene *scene = *state;
    struct outbox_result result;
    struct seen first, second;
    open_outbox(scene, 60000, 60000, 600000);
    put(scene, "j1", "drop@example.org");
    for (first.id[0] = '\0'; first.id[0] == '\0';) {
        wait_for_attempts(scene, "drop", 1);
        (void)attempts_for(&scene->server, "drop", 0, &first);
    }
    outbox_stop(scene->outbox);
    assert_false(outbox_take(scene->outbox, &result)); /* pending, for whoever comes next */
    assert_int_equal(outbox_waiting(scene->outbox), 1);
    close_outbox(scene);
    open_outbox(scene, 60000, 60000, 600000);
    put(scene, "j1", "drop@example.org");
    expect_sent(scene, "j1");
    assert_int_equal(attempts_for(&scene->server, "drop", 1, &second), 2);
    assert_string_equal(second.id, first.id);
}

/* ---- the end ---- */

static void closing_does_not_wait_for_a_server_that_hangs(void **state)
{
    struct scene *scene = *state;
    open_outbox(scene, 60000, 60000, 600000);
    outbox_put(scene->outbox, &(struct mail){.job = "j1", .to = "hang@example.org", .timeout_seconds = 60});
    wait_for_attempts(scene, "hang", 1);
    put(scene, "j2", "never@example.org");
    int64_t begin = meter_now_ms();
    close_outbox(scene);
    assert_true(meter_now_ms() - begin < 2000);
    assert_int_equal(attempts_for(&scene->server, "never", 0, NULL), 0);
}

static void expect_quick_close(struct scene *scene, const char *what)
{
    open_outbox(scene, 60000, 60000, 600000);
    outbox_put(scene->outbox, &(struct mail){.job = "j1", .to = "a@example.org", .timeout_seconds = 60});
    (void)usleep(200000);
    assert_int_equal(outbox_waiting(scene->outbox), 1);
    int64_t begin = meter_now_ms();
    close_outbox(scene);
    int64_t took = meter_now_ms() - begin;
    if (took >= 2000)
        fail_msg("%s: %lld ms", what, (long long)took);
}

/* Its port is open, but nobody accepts: the first connection gets no greeting, and when two wait the next is
 * not even established. */
static void closing_does_not_wait_for_a_server_that_is_stuck(void **state)
{
    struct scene *scene = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    char url[64];
    int stuck = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting[4];
    assert_int_equal(bind(stuck, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(stuck, 0), 0);
    assert_int_equal(getsockname(stuck, (struct sockaddr *)&address, &length), 0);
    (void)snprintf(url, sizeof url, "smtp://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    scene->settings.smtp_url = url;
    expect_quick_close(scene, "no greeting");
    for (size_t i = 0; i < 4; i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(waiting[i], (struct sockaddr *)&address, length);
    }
    expect_quick_close(scene, "no connection");
    for (size_t i = 0; i < 4; i++)
        (void)close(waiting[i]);
    (void)close(stuck);
}

static void closing_does_not_wait_for_a_name_to_be_resolved(void **state)
{
    struct scene *scene = *state;
    scene->settings.smtp_url = "smtp://" SLOW_NAME ":25";
    atomic_store(&lookups_ended, 0);
    expect_quick_close(scene, "name");
    assert_int_equal(atomic_load(&lookups_ended), 0);
    while (atomic_load(&lookups_ended) == 0) /* so that the thread is not a leak of this test */
        (void)usleep(10000);
    (void)usleep(100000);
}

static void closing_does_not_wait_for_the_next_attempt(void **state)
{
    struct scene *scene = *state;
    open_outbox(scene, 60000, 60000, 600000);
    put(scene, "j1", "busy99@example.org");
    wait_for_attempts(scene, "busy99", 1);
    int64_t begin = meter_now_ms();
    close_outbox(scene);
    assert_true(meter_now_ms() - begin < 2000);
    outbox_close(NULL);
}

static void a_mail_under_way_may_arrive_before_the_end(void **state)
{
    struct scene *scene = *state;
    struct outbox_result result;
    open_outbox(scene, 60000, 60000, 600000);
    outbox_put(scene->outbox, &(struct mail){.job = "j1", .to = "slow@example.org"});
    wait_for_attempts(scene, "slow", 1);
    outbox_stop(scene->outbox);
    outbox_stop(scene->outbox);
    assert_true(outbox_take(scene->outbox, &result));
    assert_true(result.is_sent);
    assert_int_equal(outbox_waiting(scene->outbox), 0);
    assert_int_equal(attempts_for(&scene->server, "slow", 0, NULL), 1);
}

/* When the last attempt of all is cut short, the mail is not given up for it. */
static void the_end_gives_no_mail_up(void **state)
{
    struct scene *scene = *state;
    struct outbox_result result;
    open_outbox(scene, 10, 10, 0);
    outbox_put(scene->outbox, &(struct mail){.job = "j1", .to = "hang@example.org", .timeout_seconds = 60});
    wait_for_attempts(scene, "hang", 1);
    outbox_stop(scene->outbox);
    assert_false(outbox_take(scene->outbox, &result));
    assert_int_equal(outbox_waiting(scene->outbox), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_mail_is_sent_and_told_once),
        TEST(a_lasting_refusal_settles_at_once),
        TEST(what_passes_is_tried_again_after_growing_waits),
        TEST(what_does_not_pass_is_given_up),
        TEST(nobody_listening_is_no_lasting_refusal),
        TEST(no_mail_waits_for_another),
        TEST(a_lost_answer_gives_one_twin_with_the_same_id),
        TEST(another_life_sends_the_same_mail),
        TEST(closing_does_not_wait_for_a_server_that_hangs),
        TEST(closing_does_not_wait_for_a_server_that_is_stuck),
        TEST(closing_does_not_wait_for_a_name_to_be_resolved),
        TEST(closing_does_not_wait_for_the_next_attempt),
        TEST(a_mail_under_way_may_arrive_before_the_end),
        TEST(the_end_gives_no_mail_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
