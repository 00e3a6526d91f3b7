/* mail_connection.h: what sending a mail (mail_send.c) and trying the server (mail_probe.c) set alike. */
#ifndef NIFFLER_AGGREGATOR_MAIL_CONNECTION_H
#define NIFFLER_AGGREGATOR_MAIL_CONNECTION_H

#include <curl/curl.h>

#include "common/error.h"
#include "common/settings.h"

/* Server, encryption, time limits. */
CURLcode mail_set_connection(CURL *curl, const struct settings *settings, unsigned timeout_seconds);

/* SmtpUser and its password, where given; *code is libcurl's answer. Fails with ERROR_FATAL: the password
 * file. */
MUST_CHECK bool mail_set_login(CURL *curl, const struct settings *settings, CURLcode *code,
                               struct error *err);

/* Whether another try would fail alike. */
bool mail_is_lasting(CURLcode code);

#endif
