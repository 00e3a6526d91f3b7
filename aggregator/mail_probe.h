/* mail_probe.h: whether the mail server can be used, without sending a mail. */
#ifndef NIFFLER_AGGREGATOR_MAIL_PROBE_H
#define NIFFLER_AGGREGATOR_MAIL_PROBE_H

#include "common/error.h"
#include "common/settings.h"

/* Connect as mail_send_once() does (SmtpUrl is set, and mail_check_settings() was content): the greeting,
 * EHLO, STARTTLS and its certificate where they are required, the login where one is given; then leave. Takes
 * about timeout_seconds at most. Fails as mail_send_once(); the text says what to do. */
MUST_CHECK bool mail_probe(const struct settings *settings, unsigned timeout_seconds, struct error *err);

/* Whether mails go over the network without encryption. */
bool mail_probe_is_plain(const struct settings *settings);

#endif
