/* Sends e-mails as the aggregator does, for test_mail_smtp.py.
 *
 * usage: mail_probe URL TO FROM required|off CA_FILE|- USER|- PASSWORD_FILE|- ATTEMPTS BACKOFF_MS TIMEOUT_S
 *        mail_probe URL TO,TO… FROM required|off CA_FILE|- USER|- PASSWORD_FILE|- GIVE_UP_MS FIRST_MS
 * TIMEOUT_S CLOSE_AFTER_MS
 *
 * The first form sends one e-mail and prints "sent", or the kind of the error and its text. The second puts
 * one for each recipient into an outbox, as jobs job0, job1 …, and prints "JOB sent" or "JOB failed TEXT" as
 * they are settled; when all are, or after CLOSE_AFTER_MS, it prints "waiting N" and, closed, "closed MS". */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/outbox.h"
#include "common/log.h"
#include "common/meter.h"

#define FOLDER "/data/M\xc3\xbcller/\n.\n.dots/out"

static char *given(char *argument)
{
    return strcmp(argument, "-") == 0 ? NULL : argument;
}

static unsigned number(const char *argument)
{
    return (unsigned)strtoul(argument, NULL, 10);
}

static struct mail a_mail(const char *job, const char *to, const char *timeout_seconds)
{
    return (struct mail){.job = job,
                         .to = to,
                         .output_directory = FOLDER,
                         .counts = {.found = 3, .converted = 2, .failed = 1, .pictures = 2},
                         .time_s = 1795430645,
                         .timeout_seconds = number(timeout_seconds)};
}

static void send_one(const struct settings *settings, char **argv)
{
    struct mail mail = a_mail("job7", argv[2], argv[10]);
    struct error err;
    if (mail_send(settings, &mail, number(argv[8]), number(argv[9]), &err))
        (void)puts("sent");
    else
        (void)printf("%s: %s\n", error_kind_name(err.kind), err.text);
}

static void put_all(struct outbox *outbox, char *recipients, const char *timeout_seconds)
{
    unsigned count = 0;
    for (char *to; (to = strsep(&recipients, ",")) != NULL;) {
        char job[16];
        (void)snprintf(job, sizeof job, "job%u", count++);
        struct mail mail = a_mail(job, to, timeout_seconds);
        outbox_put(outbox, &mail);
    }
}

static void print_settled(struct outbox *outbox)
{
    struct outbox_result result;
    while (outbox_take(outbox, &result))
        (void)printf("%s %s%s\n", result.job, result.is_sent ? "sent" : "failed ", result.reason);
}

static bool send_by_outbox(const struct settings *settings, char **argv, struct error *err)
{
    struct outbox_limits limits = {number(argv[9]), number(argv[9]) * 4, number(argv[8])};
    struct outbox *outbox;
    int64_t until_ms = meter_now_ms() + number(argv[11]);
    if (!outbox_open(&outbox, settings, &limits, err))
        return false;
    put_all(outbox, argv[2], argv[10]);
    for (int64_t left; outbox_waiting(outbox) > 0 && (left = until_ms - meter_now_ms()) > 0;) {
        struct pollfd ready = {.fd = outbox_descriptor(outbox), .events = POLLIN};
        (void)poll(&ready, 1, (int)left);
        print_settled(outbox);
    }
    int64_t begin = meter_now_ms();
    outbox_stop(outbox);
    print_settled(outbox);
    (void)printf("waiting %zu\n", outbox_waiting(outbox));
    outbox_close(outbox);
    (void)printf("closed %lld\n", (long long)(meter_now_ms() - begin));
    return true;
}

int main(int argc, char **argv)
{
    struct error err;
    if (argc != 11 && argc != 12) {
        (void)fprintf(stderr, "usage: see the top of the source\n");
        return 2;
    }
    log_open(2, -1, LOG_LEVEL_DEBUG);
    struct settings settings = {
        .send_email = true,
        .smtp_url = argv[1],
        .mail_from = given(argv[3]),
        .smtp_start_tls = strcmp(argv[4], "off") == 0 ? SMTP_START_TLS_OFF : SMTP_START_TLS_REQUIRED,
        .smtp_ca_file = given(argv[5]),
        .smtp_user = given(argv[6]),
        .smtp_password_file = given(argv[7]),
    };
    if (argc == 11) {
        send_one(&settings, argv);
    } else if (!send_by_outbox(&settings, argv, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    return 0;
}
