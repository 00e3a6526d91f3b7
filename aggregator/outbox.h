/* outbox.h: completion e-mails on their way, by a thread of its own, so that no mail server holds up records.
 *
 *     outbox_put() ─► pending ─► sending ─► sent | failed  ─► outbox_take()
 *                        ▲          │
 *                        └──────────┘ network, 4xx: 1 m, 2 m … 1 h, for 24 h
 *
 * The row that says "pending" is in the job's store before the server is contacted, and the Message-ID is the
 * same for all attempts and all lives of the process: a crash around sending gives at most one duplicate,
 * that can be told as one. */
#ifndef NIFFLER_AGGREGATOR_OUTBOX_H
#define NIFFLER_AGGREGATOR_OUTBOX_H

#include "aggregator/mail.h"

struct outbox;

struct outbox_limits {
    unsigned first_ms; /* before the second attempt; then twice as long each time */
    unsigned longest_ms;
    int64_t give_up_ms; /* after the first attempt */
};
#define OUTBOX_LIMITS            \
    {                            \
        60000, 3600000, 86400000 \
    }

/* `settings` is borrowed. Starts the thread. Fails with ERROR_FATAL. */
MUST_CHECK bool outbox_open(struct outbox **outbox, const struct settings *settings,
                            const struct outbox_limits *limits, struct error *err);

/* Send `mail` (its texts are copied). */
void outbox_put(struct outbox *outbox, const struct mail *mail);

struct outbox_result {
    char job[32];
    bool is_sent;
    char reason[256]; /* of the failure */
};

/* A mail that is settled since the last call; false where there is none. Any thread. */
bool outbox_take(struct outbox *outbox, struct outbox_result *result);

/* Mails that are not settled. */
size_t outbox_waiting(struct outbox *outbox);

/* Readable when outbox_take() has something. Borrowed. */
int outbox_descriptor(struct outbox *outbox);

void outbox_close(struct outbox *outbox); /* accepts NULL; what is pending stays pending in its store */

#endif
