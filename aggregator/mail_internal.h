/* mail_internal.h: what the files of mail.h share. */
#ifndef NIFFLER_AGGREGATOR_MAIL_INTERNAL_H
#define NIFFLER_AGGREGATOR_MAIL_INTERNAL_H

#include "aggregator/mail.h"

/* MailFrom, or the recipient where that is not given. Borrowed. */
const char *mail_sender(const struct settings *settings, const struct mail *mail);

#endif
