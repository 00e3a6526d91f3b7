/* replies.h: what comes through a decoder's pipe, cut into its messages (worker/wire.h).
 *
 *     replies_read()        [····················] received
 *     replies_head()         ^ type and length, for the caller to judge
 *     replies_take()         [body lent]
 *     replies_drop()                     ^ the next one begins here
 */
#ifndef NIFFLER_WORKER_REPLIES_H
#define NIFFLER_WORKER_REPLIES_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "worker/wire.h"

struct replies {
    struct buffer in;
    size_t at;   /* of the next message */
    size_t lent; /* bytes from there on that replies_take() has lent out */
};

enum replies_read {
    REPLIES_SOME,   /* there may be more in the pipe */
    REPLIES_ALL,    /* there was no more             */
    REPLIES_NONE,   /* nothing was there             */
    REPLIES_CLOSED, /* nothing will come any more    */
};

/* Read what a pipe has, once. What was lent out is moved. */
enum replies_read replies_read(struct replies *replies, int pipe);

/* The next message's type and the length of its body, both unchecked. False: its header is not there yet. */
bool replies_head(const struct replies *replies, enum wire_type *type, uint32_t *length);

/* The body of the message that replies_head() tells of, borrowed until replies_drop(); NULL: it is not whole
 * yet. */
const uint8_t *replies_take(struct replies *replies);

/* Forget what was lent out. */
void replies_drop(struct replies *replies);

/* Whether more has come than what was lent out. */
bool replies_has_more(const struct replies *replies);

/* Forget all. */
void replies_reset(struct replies *replies);
void replies_clear(struct replies *replies);

#endif
