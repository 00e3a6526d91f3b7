/* mail.h: the completion e-mail, by libcurl.
 *
 * Says how many files were converted, failed or hold no image, and where the tables lie; no patient data, no
 * file names. */
#ifndef NIFFLER_AGGREGATOR_MAIL_H
#define NIFFLER_AGGREGATOR_MAIL_H

#include "aggregator/store.h"
#include "common/buffer.h"
#include "common/settings.h"

struct mail {
    const char *job; /* with `round` for the Message-ID, constant over retries */
    const char *to;  /* the recipient: each job names its own */
    const char *output_directory;
    struct store_counts counts;
    int64_t time_s;           /* Date: header; seconds since 1970 */
    unsigned round;           /* 0: the job's first completion; it completes again when files are requeued */
    bool is_cancelled;        /* what was done until then is told */
    unsigned timeout_seconds; /* of one try, twice that if the server hangs; 0: MAIL_TIMEOUT_SECONDS */
};

#define MAIL_TIMEOUT_SECONDS 30

/* What `aggregate` gives a mail: 2 + 4 + 8 seconds of patience. */
#define MAIL_ATTEMPTS 4
#define MAIL_BACKOFF_MS 2000

/* Whether `address` is one plain address (RFC 5321 Section 4.1.2): no control characters, no blanks, no
 * second recipient. libcurl 7.88 passes CR LF on to the server, so this is what keeps commands out. Fails
 * with ERROR_FATAL; the text names the setting. */
MUST_CHECK bool mail_check_address(const char *setting, const char *address, struct error *err);

/* Check every mail setting that is given, before the work starts: addresses, URL (smtp:// or smtps://, no
 * password in it), that the password file and the CA file can be read. Fails with ERROR_FATAL; the text names
 * the setting. */
MUST_CHECK bool mail_check_settings(const struct settings *settings, struct error *err);

/* Whether settings ask for a mail and say where to and by which server: for a job whose recipient is the
 * settings' YourEmail. */
bool mail_is_wanted(const struct settings *settings);

/* Set `password` to the first line of SmtpPasswordFile, without its line end; warns where others may read the
 * file. Fails with ERROR_FATAL. The caller wipes it. */
#define MAIL_PASSWORD_MAX 1024
MUST_CHECK bool mail_read_password(const struct settings *settings, char password[MAIL_PASSWORD_MAX],
                                   struct error *err);

/* Append the whole message, headers and body: ASCII, CRLF line ends, no line over 76 characters in the body.
 * Bytes of the folder's name that are no text are shown as \xNN. mail->to and MailFrom are addresses that
 * mail_check_address() let through. */
void mail_compose(struct buffer *out, const struct settings *settings, const struct mail *mail);

/* Send once, from MailFrom or, where that is not given, from the recipient's own address. Fails with
 * ERROR_RETRY (network, 4xx, an end of the connection that leaves open whether the mail was taken),
 * ERROR_INPUT (5xx; a certificate that does not fit; no STARTTLS where it is required: another try would not
 * help), or ERROR_FATAL (a mail setting is wrong, or mail->to is no address). */
MUST_CHECK bool mail_send_once(const struct settings *settings, const struct mail *mail, struct error *err);

/* What ends a sending from another thread, now and for good. mail_stop_open() fails with ERROR_FATAL; the
 * other two accept NULL. */
struct mail_stop;
MUST_CHECK bool mail_stop_open(struct mail_stop **stop, struct error *err);
void mail_stop_now(struct mail_stop *stop); /* any thread */
void mail_stop_close(struct mail_stop *stop);

/* As mail_send_once(), but soon after mail_stop_now() it fails with ERROR_RETRY, whatever the server does. */
MUST_CHECK bool mail_send_stoppable(const struct settings *settings, const struct mail *mail,
                                    struct mail_stop *stop, struct error *err);

/* Send, with at most `attempts` tries; before the second try wait backoff_ms, then twice as long each time.
 * Only ERROR_RETRY is tried again. Fails as the last try. */
MUST_CHECK bool mail_send(const struct settings *settings, const struct mail *mail, unsigned attempts,
                          unsigned backoff_ms, struct error *err);

#endif
