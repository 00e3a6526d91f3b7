/* mail_files.h: completion e-mails that are not settled, one file each in StateDirectory/outbox: what is
 * written before a server is contacted, and gone when one has taken the mail, or refused it for good. */
#ifndef NIFFLER_AGGREGATOR_MAIL_FILES_H
#define NIFFLER_AGGREGATOR_MAIL_FILES_H

#include "aggregator/mail.h"

#define MAIL_FILES "outbox"

/* Write the file of `mail` below the folder `dir`. Fails with ERROR_RETRY. */
MUST_CHECK bool mail_file_write(int dir, const struct mail *mail, struct error *err);
void mail_file_remove(int dir, const char *job, unsigned round);

/* Call `each` for every file that can be read; `mail` is borrowed until it returns. Fails with ERROR_FATAL.
 */
typedef void mail_file_fn(void *context, const struct mail *mail);
MUST_CHECK bool mail_files_each(int dir, mail_file_fn *each, void *context, struct error *err);

#endif
