/* Sends one e-mail as the aggregator does, for test_mail_smtp.py.
 *
 * usage: mail_probe URL TO FROM required|off CA_FILE|- USER|- PASSWORD_FILE|- ATTEMPTS BACKOFF_MS TIMEOUT_S
 *
 * Prints "sent", or the kind of the error and its text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/mail.h"
#include "common/log.h"

static char *given(char *argument)
{
    return strcmp(argument, "-") == 0 ? NULL : argument;
}

int main(int argc, char **argv)
{
    struct error err;
    if (argc != 11) {
        (void)fprintf(stderr, "usage: see the top of the source\n");
        return 2;
    }
    log_open(2, -1, LOG_LEVEL_DEBUG);
    struct settings settings = {
        .send_email = true,
        .smtp_url = argv[1],
        .your_email = argv[2],
        .mail_from = given(argv[3]),
        .smtp_start_tls = strcmp(argv[4], "off") == 0 ? SMTP_START_TLS_OFF : SMTP_START_TLS_REQUIRED,
        .smtp_ca_file = given(argv[5]),
        .smtp_user = given(argv[6]),
        .smtp_password_file = given(argv[7]),
    };
    struct mail mail = {.job = "job7",
                        .output_directory = "/data/M\xc3\xbcller/\n.\n.dots/out",
                        .counts = {.found = 3, .converted = 2, .failed = 1, .pictures = 2},
                        .time_s = 1795430645,
                        .timeout_seconds = (unsigned)strtoul(argv[10], NULL, 10)};
    bool ok = mail_send(&settings, &mail, (unsigned)strtoul(argv[8], NULL, 10),
                        (unsigned)strtoul(argv[9], NULL, 10), &err);
    if (ok)
        (void)puts("sent");
    else
        (void)printf("%s: %s\n", error_kind_name(err.kind), err.text);
    return 0;
}
