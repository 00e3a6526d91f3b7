/* outbox.h: completion e-mails on their way, by a thread of its own, so that no mail server holds up records.
 *
 *     outbox_put() ─► pending ─► sending ─► sent | failed  ─► outbox_take()
 *                        ▲          │
 *                        └──────────┘ network, 4xx: 1 m, 2 m … 1 h, for 24 h
 *
 * The row that says "pending" is in the job's store before the server is contacted, and the Message-ID is the
 * same for all attempts and all lives of the process: a crash around sending gives at most one duplicate,
 * that can be told as one.
 *
 * One connection at a time. Mails do not wait for each other: one that the server refuses or lets hang costs
 * the others one time-out, then waits for its next attempt while they are sent. */
#ifndef NIFFLER_AGGREGATOR_OUTBOX_H
#define NIFFLER_AGGREGATOR_OUTBOX_H

#include "aggregator/mail.h"

struct outbox;

struct outbox_limits {
    unsigned first_ms; /* before the second attempt; then twice as long each time, each 20 % more or less */
    unsigned longest_ms;
    int64_t give_up_ms; /* after the first attempt; the last one is made then */
};
#define OUTBOX_LIMITS            \
    {                            \
        60000, 3600000, 86400000 \
    }

/* `settings` is borrowed. Starts the thread, which takes no signals. Fails with ERROR_FATAL. */
MUST_CHECK bool outbox_open(struct outbox **outbox, const struct settings *settings,
                            const struct outbox_limits *limits, struct error *err);

/* Send `mail` (its texts are copied). Of ERROR_RETRY the sending is tried again; all else settles it. */
void outbox_put(struct outbox *outbox, const struct mail *mail);

struct outbox_result {
    char job[32];
    unsigned round;
    bool is_sent;
    char reason[256]; /* of the failure */
};

/* A mail that is settled since the last call; false where there is none. Any thread. */
bool outbox_take(struct outbox *outbox, struct outbox_result *result);

/* Mails that are not settled. */
size_t outbox_waiting(struct outbox *outbox);

/* Readable when outbox_take() has something. Borrowed. */
int outbox_descriptor(struct outbox *outbox);

/* End the thread, within about a second: a sending under way has half a second to come to its end, which with
 * most servers it does, then its connection is cut. What is settled by then can still be taken; so a mail
 * that went out just before need not be sent again by the next life. */
void outbox_stop(struct outbox *outbox);

/* Stops it, where that is still to do. Accepts NULL; what is pending stays pending in its store. */
void outbox_close(struct outbox *outbox);

#endif
