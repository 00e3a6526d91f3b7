/* mail.h: the completion e-mail, by libcurl.
 *
 * Says how many files were converted, failed or hold no image, and where the tables lie; no patient data, no file names. */
#ifndef NIFFLER_AGGREGATOR_MAIL_H
#define NIFFLER_AGGREGATOR_MAIL_H

#include "aggregator/store.h"
#include "common/buffer.h"
#include "common/settings.h"

struct mail {
    const char *job;          /* for the Message-ID, constant over retries */
    const char *output_directory;
    struct store_counts counts;
    int64_t time_s; /* Date: header; seconds since 1970 */
};

/* Whether `address` is one plain address (RFC 5321 Section 4.1.2): no control characters, no blanks, no second recipient.
 * libcurl 7.88 passes CR LF on to the server, so this is what keeps commands out. Fails with ERROR_FATAL; the text names
 * the setting. */
MUST_CHECK bool mail_check_address(const char *setting, const char *address, struct error *err);

/* Check every mail setting that is given, before the work starts. Fails with ERROR_FATAL. */
MUST_CHECK bool mail_check_settings(const struct settings *settings, struct error *err);

/* The whole message, headers and body, CRLF line ends. */
void mail_compose(struct buffer *out, const struct settings *settings, const struct mail *mail);

/* Send once. Fails with ERROR_RETRY (network, 4xx) or ERROR_INPUT (5xx: the server will not have it). */
MUST_CHECK bool mail_send_once(const struct settings *settings, const struct mail *mail, struct error *err);

/* Send, with `attempts` tries and backoff between them. Fails as the last try. */
MUST_CHECK bool mail_send(const struct settings *settings, const struct mail *mail, unsigned attempts,
                          struct error *err);

#endif
