#include "worker/replies.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define RECEIVE_BYTES 65536

static size_t there(const struct replies *replies)
{
    return replies->in.length - replies->at;
}

enum replies_read replies_read(struct replies *replies, int pipe)
{
    struct buffer *in = &replies->in;
    if (replies->at > 0) {
        memmove(in->data, in->data + replies->at, there(replies));
        in->length -= replies->at;
        replies->at = 0;
    }
    char *place = buffer_reserve(in, RECEIVE_BYTES);
    size_t room = in->capacity - in->length;
    ssize_t received;
    do
        received = read(pipe, place, room);
    while (received < 0 && errno == EINTR);
    if (received <= 0)
        return received < 0 && errno == EAGAIN ? REPLIES_NONE : REPLIES_CLOSED;
    in->length += (size_t)received;
    return (size_t)received < room ? REPLIES_ALL : REPLIES_SOME;
}

bool replies_head(const struct replies *replies, enum wire_type *type, uint32_t *length)
{
    if (there(replies) < WIRE_HEADER_BYTES)
        return false;
    const unsigned char *head = (const unsigned char *)replies->in.data + replies->at;
    *length = (uint32_t)head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
    *type = head[4];
    return true;
}

const uint8_t *replies_take(struct replies *replies)
{
    enum wire_type type;
    uint32_t length;
    if (!replies_head(replies, &type, &length) || there(replies) - WIRE_HEADER_BYTES < length)
        return NULL;
    replies->lent = WIRE_HEADER_BYTES + (size_t)length;
    return (const uint8_t *)replies->in.data + replies->at + WIRE_HEADER_BYTES;
}

void replies_drop(struct replies *replies)
{
    replies->at += replies->lent;
    replies->lent = 0;
}

bool replies_has_more(const struct replies *replies)
{
    return there(replies) > replies->lent;
}

void replies_reset(struct replies *replies)
{
    buffer_truncate(&replies->in, 0);
    replies->at = replies->lent = 0;
}

void replies_clear(struct replies *replies)
{
    buffer_clear(&replies->in);
    replies->at = replies->lent = 0;
}
