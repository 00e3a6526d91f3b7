/* redis.h: connecting to Redis, and asking it.
 *
 * Everything has a time limit of a second for the connection and for each answer, but for the look-up of the
 * host's name, which takes as long as the system's resolver lets it: none of this is for a thread that must
 * not wait. The calling thread must have SIGPIPE blocked or ignored: the library writes to sockets that may
 * be closed. A connection belongs to one thread, but for redis_interrupt(). */
#ifndef NIFFLER_COMMON_REDIS_H
#define NIFFLER_COMMON_REDIS_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/settings.h"

#define REDIS_TIMEOUT_MS 1000
#define REDIS_PASSWORD_MAX 1024 /* bytes; what is longer is no password but a wrong file */

/* Where Redis is. The texts are owned; NULL: not given. */
struct redis_place {
    char *host; /* a name or an address, without brackets; NULL: socket_path */
    char *socket_path;
    char *user;
    char *password_file;
    uint32_t database;
    uint16_t port;
    bool is_tls;
};

/* Parse one of
 *     redis://[user@]host[:port][/database]        (rediss:// the same over TLS)
 *     unix://[user@]/path[?db=database]
 * where an IPv6 address stands in brackets, and %XX in user or path is that byte. Fails with ERROR_FATAL: it
 * is none, or holds a password. The text does not repeat the URL. The caller clears in either case. */
MUST_CHECK bool redis_place_parse(struct redis_place *place, const char *url, struct error *err);

/* As the settings say (RedisUrl is set). Fails with ERROR_FATAL: see redis_place_parse(); TLS, which this
 * build has not; a password file that cannot be read. */
MUST_CHECK bool redis_place_from_settings(struct redis_place *place, const struct settings *settings,
                                          struct error *err);
void redis_place_clear(struct redis_place *place); /* accepts a zeroed struct */

struct redis;

/* Connect, log in, choose the database, and see that it answers. The password file is read each time, so that
 * a password may be changed while we run. Fails with ERROR_RETRY; the text says what and where, never the
 * password. *redis is NULL then. */
MUST_CHECK bool redis_open(struct redis **redis, const struct redis_place *place, struct error *err);
void redis_close(struct redis *redis); /* accepts NULL */

/* Let what another thread does on the connection fail at once. The connection is of no use afterwards. */
void redis_interrupt(struct redis *redis);

/* Put a command of `count` words into the pipeline; copies. It leaves with the next redis_receive(). */
void redis_send(struct redis *redis, size_t count, const char *const *words, const size_t *lengths);

struct redisReply;

/* The answer to the oldest command that has none yet. *reply is the caller's, for redis_reply_free(); NULL on
 * failure, and where `reply` is NULL the answer is only looked at.
 * Fails with ERROR_INPUT when Redis refuses the command, the text being its words, cut before any of the
 * command's; the connection is good. Fails with ERROR_RETRY when the connection is not. */
MUST_CHECK bool redis_receive(struct redis *redis, struct redisReply **reply, struct error *err);

/* Both for one command whose words are NUL-terminated. */
MUST_CHECK bool redis_ask(struct redis *redis, size_t count, const char *const *words,
                          struct redisReply **reply, struct error *err);

/* A list's items; anything else counts as a list of one, nil as one of none. */
size_t redis_reply_count(const struct redisReply *reply);

/* The text of item i, NUL-terminated and borrowed; NULL where it is nil or not a text. */
const char *redis_reply_text(const struct redisReply *reply, size_t i, size_t *length);
void redis_reply_free(struct redisReply *reply); /* accepts NULL */

#endif
