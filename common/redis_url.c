#include "common/redis.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/alloc.h"

#define DEFAULT_PORT 6379
#define DATABASE_MAX 1000000 /* Redis has 16 unless told otherwise */
#define HOST_MAX 255         /* a name of DNS */
#define USER_MAX 255

/* The URL may hold what should not be seen: no text of an error repeats it. */
static bool refuse(struct error *err, const char *why)
{
    return error_set(err, ERROR_FATAL,
                     "cannot use 'RedisUrl': %s; allowed is redis://[user@]host[:port][/database], rediss:// "
                     "for TLS, or unix:///path[?db=database]",
                     why);
}

/* All of the text is a number of `least` to `most`, without sign. */
static bool parse_number(const char *text, size_t length, uint32_t least, uint32_t most, uint32_t *number)
{
    uint64_t value = 0;
    if (length == 0 || length > 7)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *number = (uint32_t)value;
    return value >= least && value <= most;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The text with %XX undone; NULL where that is malformed or gives a NUL. Returns new. */
static char *decode(const char *text, size_t length)
{
    char *decoded = xmalloc(length + 1);
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        int value = (unsigned char)text[i];
        if (text[i] == '%') {
            int high = length - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            value = low >= 0 ? high * 16 + low : 0;
            i += 2;
        }
        if (value == 0) {
            free(decoded);
            return NULL;
        }
        decoded[used++] = (char)value;
    }
    decoded[used] = '\0';
    return decoded;
}

/* What stands before the '@', if there is one; *at moves behind it. */
static bool take_user(struct redis_place *place, const char **at, size_t length, struct error *err)
{
    const char *end = memrchr(*at, '@', length);
    if (end == NULL)
        return true;
    size_t user_length = (size_t)(end - *at);
    if (memchr(*at, ':', user_length) != NULL)
        return refuse(err, "it holds a password, which belongs into 'RedisPasswordFile'");
    if (user_length > 0) {
        place->user = user_length <= USER_MAX ? decode(*at, user_length) : NULL;
        if (place->user == NULL)
            return refuse(err, "the user is too long, or has a % that is not %XX");
    }
    *at = end + 1;
    return true;
}

static bool is_host(const char *host, size_t length, bool is_bracketed)
{
    if (length == 0 || length > HOST_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = host[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                        c == '-' || c == '.' || c == '_';
        if (!is_plain && !(is_bracketed && (c == ':' || c == '%')))
            return false;
    }
    return true;
}

/* host[:port] */
static bool parse_authority(struct redis_place *place, const char *text, size_t length, struct error *err)
{
    bool is_bracketed = length > 0 && text[0] == '[';
    const char *host = text + (is_bracketed ? 1 : 0);
    const char *end = is_bracketed ? memchr(text, ']', length) : memchr(text, ':', length);
    uint32_t port = DEFAULT_PORT;
    if (end == NULL && is_bracketed)
        return refuse(err, "a '[' is not closed");
    if (end == NULL)
        end = text + length;
    if (!is_host(host, (size_t)(end - host), is_bracketed))
        return refuse(err, "the host is missing, or is none");
    const char *rest = end + (is_bracketed ? 1 : 0);
    size_t left = length - (size_t)(rest - text);
    if (left > 0 && (rest[0] != ':' || !parse_number(rest + 1, left - 1, 1, 65535, &port)))
        return refuse(err, "the port is not a number from 1 to 65535");
    place->host = xmemdup_text(host, (size_t)(end - host));
    place->port = (uint16_t)port;
    return true;
}

static bool parse_database(struct redis_place *place, const char *text, struct error *err)
{
    if (!parse_number(text, strlen(text), 0, DATABASE_MAX, &place->database))
        return refuse(err, "the database is not a number");
    return true;
}

static bool parse_tcp(struct redis_place *place, const char *at, struct error *err)
{
    size_t length = strcspn(at, "/?#");
    const char *rest = at + length;
    if (!take_user(place, &at, length, err) || !parse_authority(place, at, (size_t)(rest - at), err))
        return false;
    if (rest[0] == '\0' || strcmp(rest, "/") == 0)
        return true;
    if (rest[0] != '/')
        return refuse(err, "it has a part that begins with '?' or '#'");
    return parse_database(place, rest + 1, err);
}

static bool parse_unix(struct redis_place *place, const char *at, struct error *err)
{
    static const char db[] = "db=";
    if (!take_user(place, &at, strcspn(at, "/?"), err))
        return false;
    size_t length = strcspn(at, "?");
    const char *query = at + length;
    if (length < 2 || at[0] != '/')
        return refuse(err, "the path of a socket begins with '/'");
    place->socket_path = decode(at, length);
    if (place->socket_path == NULL || strlen(place->socket_path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return refuse(err, "the path is longer than sockets allow, or has a % that is not %XX");
    if (query[0] == '\0')
        return true;
    if (strncmp(query + 1, db, strlen(db)) != 0)
        return refuse(err, "behind the '?' only db= is known");
    return parse_database(place, query + 1 + strlen(db), err);
}

bool redis_place_parse(struct redis_place *place, const char *url, struct error *err)
{
    static const char plain[] = "redis://", tls[] = "rediss://", local[] = "unix://";
    *place = (struct redis_place){0};
    if (strncmp(url, plain, strlen(plain)) == 0)
        return parse_tcp(place, url + strlen(plain), err);
    if (strncmp(url, tls, strlen(tls)) == 0) {
        place->is_tls = true;
        return parse_tcp(place, url + strlen(tls), err);
    }
    if (strncmp(url, local, strlen(local)) == 0)
        return parse_unix(place, url + strlen(local), err);
    return refuse(err, "it begins with none of the three");
}

void redis_place_clear(struct redis_place *place)
{
    free(place->host);
    free(place->socket_path);
    free(place->user);
    free(place->password_file);
    *place = (struct redis_place){0};
}
