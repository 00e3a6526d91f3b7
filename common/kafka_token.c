/* The token is given to the broker as it is; of a JWT only what librdkafka must know is read: when it
 * expires, and for whom it is. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/alloc.h"
#include "common/kafka_client.h"

#define TOKEN_BYTES_MAX 65536
#define OPAQUE_LIFE_MS 300000 /* of a token that does not say: read again after a while */

static int64_t wall_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Read the token's file into `token`, without the blanks around it. */
static bool read_token(const char *path, char *token, size_t size, struct error *err)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_errno(err, ERROR_FATAL, "cannot open KafkaTokenFile '%s'", path);
    size_t length = fread(token, 1, size, file);
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    if (failed)
        return error_set(err, ERROR_FATAL, "cannot read KafkaTokenFile '%s'", path);
    if (length == size)
        return error_set(err, ERROR_FATAL, "KafkaTokenFile '%s' is too long", path);
    token[length] = '\0';
    while (length > 0 && strchr(" \t\r\n", token[length - 1]) != NULL)
        token[--length] = '\0';
    size_t blanks = strspn(token, " \t\r\n");
    memmove(token, token + blanks, length - blanks + 1);
    if (token[0] == '\0')
        return error_set(err, ERROR_FATAL, "KafkaTokenFile '%s' is empty", path);
    return true;
}

static int base64url_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *place = c == '\0' ? NULL : strchr(digits, c);
    return place == NULL ? -1 : (int)(place - digits);
}

/* Decode base64url (RFC 4648, 5), unpadded; `out` has room for three quarters of `length`. Returns the count
 * of bytes, or -1. */
static long base64url_decode(const char *text, size_t length, char *out)
{
    uint32_t bits = 0;
    unsigned held = 0;
    long count = 0;
    for (size_t i = 0; i < length && text[i] != '='; i++) {
        int value = base64url_value(text[i]);
        if (value < 0)
            return -1;
        bits = (bits << 6 | (uint32_t)value) & 0xffffff;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[count++] = (char)(unsigned char)(bits >> held & 0xff);
        }
    }
    return count;
}

/* The claims of a JWT: RFC 7519. What cannot be read leaves the two as they are: the broker judges a token.
 */
static void read_claims(const char *token, int64_t *expires_ms, char **principal)
{
    const char *start = strchr(token, '.');
    const char *end = start == NULL ? NULL : strchr(start + 1, '.');
    if (end == NULL)
        return;
    start++;
    char *payload = xmalloc((size_t)(end - start) + 1);
    long length = base64url_decode(start, (size_t)(end - start), payload);
    json_t *claims = length < 0 ? NULL : json_loadb(payload, (size_t)length, 0, NULL);
    const json_t *expires = json_object_get(claims, "exp");
    const json_t *subject = json_object_get(claims, "sub");
    double seconds = json_is_number(expires) ? json_number_value(expires) : -1;
    if (seconds > 0 && seconds < 1e12)
        *expires_ms = (int64_t)(seconds * 1000);
    if (json_is_string(subject) && json_string_length(subject) > 0)
        *principal = xstrdup(json_string_value(subject));
    json_decref(claims);
    explicit_bzero(payload, (size_t)(end - start) + 1);
    free(payload);
}

void kafka_token_refresh(rd_kafka_t *handle, const char *config, void *context)
{
    const struct kafka_client *client = context;
    struct error err;
    char text[512];
    char *token = xmalloc(TOKEN_BYTES_MAX + 1);
    char *principal = NULL;
    int64_t expires_ms = wall_now_ms() + OPAQUE_LIFE_MS;
    (void)config;
    if (!read_token(client->settings->kafka_token_file, token, TOKEN_BYTES_MAX, &err)) {
        (void)rd_kafka_oauthbearer_set_token_failure(handle, err.text);
    } else {
        read_claims(token, &expires_ms, &principal);
        if (rd_kafka_oauthbearer_set_token(handle, token, expires_ms,
                                           principal != NULL ? principal : "niffler-png", NULL, 0, text,
                                           sizeof text) != RD_KAFKA_RESP_ERR_NO_ERROR)
            (void)rd_kafka_oauthbearer_set_token_failure(handle, text);
    }
    explicit_bzero(token, TOKEN_BYTES_MAX + 1);
    free(token);
    free(principal);
}
