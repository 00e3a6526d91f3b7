#include "common/redis.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/redis_tls.h"

struct redis {
    redisContext *context;
};

/* The first line of the file. */
static bool read_password(const char *path, char password[REDIS_PASSWORD_MAX + 1], enum error_kind kind,
                          struct error *err)
{
    size_t length = 0;
    bool ok = false;
    /* Not blocking: the file may be a FIFO by mistake. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return error_errno(err, kind, "cannot open 'RedisPasswordFile'");
    while (length < REDIS_PASSWORD_MAX + 1) {
        ssize_t got = read(descriptor, password + length, REDIS_PASSWORD_MAX + 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            error_errno(err, kind, "cannot read 'RedisPasswordFile'");
            goto out;
        }
        if (got == 0)
            break;
        length += (size_t)got;
    }
    const char *end = memchr(password, '\n', length);
    if (end == NULL && length > REDIS_PASSWORD_MAX) {
        error_set(err, kind, "cannot use 'RedisPasswordFile': its first line is longer than %d bytes",
                  REDIS_PASSWORD_MAX);
        goto out;
    }
    length = end != NULL ? (size_t)(end - password) : length;
    if (length > 0 && password[length - 1] == '\r')
        length--;
    if (length == 0) {
        error_set(err, kind, "cannot use 'RedisPasswordFile': its first line must hold the password");
        goto out;
    }
    password[length] = '\0';
    ok = true;
out:
    (void)close(descriptor);
    if (!ok)
        explicit_bzero(password, REDIS_PASSWORD_MAX + 1);
    return ok;
}

bool redis_place_from_settings(struct redis_place *place, const struct settings *settings, struct error *err)
{
    if (!redis_place_parse(place, settings->redis_url, err))
        return false;
    if (place->is_tls && !redis_tls_check(err))
        return false;
    if (settings->redis_password_file == NULL || settings->redis_password_file[0] == '\0')
        return true;
    char password[REDIS_PASSWORD_MAX + 1];
    place->password_file = xstrdup(settings->redis_password_file);
    if (!read_password(place->password_file, password, ERROR_FATAL, err))
        return false;
    explicit_bzero(password, sizeof password);
    return true;
}

/* ---- commands and answers -------------------------------------------------------------------------- */

static bool fail_connection(const struct redis *redis, struct error *err)
{
    /* A time-out of the socket's is EAGAIN to the library. */
    if (redis->context->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK))
        return error_set(err, ERROR_RETRY, "no answer within a second");
    return error_set(err, ERROR_RETRY, "the connection failed: %s", redis->context->errstr);
}

/* Redis repeats the beginning of a command it does not know, and the script that failed: what follows these
 * words may be anybody's path. */
static bool fail_refused(const redisReply *reply, struct error *err)
{
    static const char *const cuts[] = {", with args beginning with", " script: ", ": user_script"};
    size_t length = strlen(reply->str);
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        const char *cut = strstr(reply->str, cuts[i]);
        if (cut != NULL && (size_t)(cut - reply->str) < length)
            length = (size_t)(cut - reply->str);
    }
    return error_set(err, ERROR_INPUT, "%.*s", length < 200 ? (int)length : 200, reply->str);
}

void redis_send(struct redis *redis, size_t count, const char *const *words, const size_t *lengths)
{
    const char **mutable_words = xcalloc(count, sizeof *mutable_words);
    memcpy(mutable_words, words, count * sizeof *words);
    /* It fails only without memory, and marks the connection, so that redis_receive() fails. */
    (void)redisAppendCommandArgv(redis->context, (int)count, mutable_words, lengths);
    free(mutable_words);
}

bool redis_receive(struct redis *redis, struct redisReply **reply, struct error *err)
{
    void *answer = NULL;
    bool ok;
    if (reply != NULL)
        *reply = NULL;
    errno = 0;
    if (redis->context->err != 0 || redisGetReply(redis->context, &answer) != REDIS_OK || answer == NULL)
        return fail_connection(redis, err);
    ok = ((redisReply *)answer)->type != REDIS_REPLY_ERROR || fail_refused(answer, err);
    if (ok && reply != NULL)
        *reply = answer;
    else
        freeReplyObject(answer);
    return ok;
}

bool redis_ask(struct redis *redis, size_t count, const char *const *words, struct redisReply **reply,
               struct error *err)
{
    size_t *lengths = xcalloc(count, sizeof *lengths);
    for (size_t i = 0; i < count; i++)
        lengths[i] = strlen(words[i]);
    redis_send(redis, count, words, lengths);
    free(lengths);
    return redis_receive(redis, reply, err);
}

size_t redis_reply_count(const struct redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ARRAY)
        return reply->elements;
    return reply->type == REDIS_REPLY_NIL ? 0 : 1;
}

const char *redis_reply_text(const struct redisReply *reply, size_t i, size_t *length)
{
    const redisReply *item = reply->type == REDIS_REPLY_ARRAY ? reply->element[i] : reply;
    if (item->type != REDIS_REPLY_STRING && item->type != REDIS_REPLY_STATUS)
        return NULL;
    if (length != NULL)
        *length = item->len;
    return item->str;
}

void redis_reply_free(struct redisReply *reply)
{
    if (reply != NULL)
        freeReplyObject(reply);
}

/* ---- connecting ------------------------------------------------------------------------------------ */

static bool log_in(struct redis *redis, const struct redis_place *place, struct error *err)
{
    char password[REDIS_PASSWORD_MAX + 1] = "";
    const char *words[3] = {"AUTH"};
    size_t count = 1;
    if (place->user == NULL && place->password_file == NULL)
        return true;
    if (place->password_file != NULL && !read_password(place->password_file, password, ERROR_RETRY, err))
        return false;
    if (place->user != NULL)
        words[count++] = place->user;
    words[count++] = password;
    bool ok = redis_ask(redis, count, words, NULL, err);
    explicit_bzero(password, sizeof password);
    return ok || error_prefix(err, "cannot log in");
}

static bool prepare(struct redis *redis, const struct redis_place *place, struct error *err)
{
    char number[16];
    const char *const select[] = {"SELECT", number};
    const char *const ping[] = {"PING"};
    if (!log_in(redis, place, err))
        return false;
    (void)snprintf(number, sizeof number, "%u", place->database);
    if (place->database != 0 && !redis_ask(redis, 2, select, NULL, err))
        return error_prefix(err, "cannot use database %u", place->database);
    return redis_ask(redis, 1, ping, NULL, err);
}

bool redis_open(struct redis **redis, const struct redis_place *place, struct error *err)
{
    static const struct timeval limit = {REDIS_TIMEOUT_MS / 1000, REDIS_TIMEOUT_MS % 1000 * 1000};
    struct redis *opened = xcalloc(1, sizeof *opened);
    bool ok = false;
    *redis = NULL;
    if (place->host != NULL)
        opened->context = redisConnectWithTimeout(place->host, place->port, limit);
    else
        opened->context = redisConnectUnixWithTimeout(place->socket_path, limit);
    if (opened->context == NULL) {
        error_set(err, ERROR_RETRY, "no memory for a connection");
        goto out;
    }
    if (opened->context->err != 0) {
        error_set(err, ERROR_RETRY, "cannot connect: %s", opened->context->errstr);
        goto out;
    }
    if (redisSetTimeout(opened->context, limit) != REDIS_OK) {
        (void)fail_connection(opened, err);
        goto out;
    }
    ok =
        (!place->is_tls || redis_tls_start(opened->context, place->host, err)) && prepare(opened, place, err);
out:
    if (ok) {
        *redis = opened;
        return true;
    }
    /* Wrong passwords, too: whoever looks after Redis may set them right while we run. */
    err->kind = ERROR_RETRY;
    redis_close(opened);
    return false;
}

void redis_close(struct redis *redis)
{
    if (redis == NULL)
        return;
    if (redis->context != NULL)
        redisFree(redis->context);
    free(redis);
}

void redis_interrupt(struct redis *redis)
{
    (void)shutdown(redis->context->fd, SHUT_RDWR);
}
