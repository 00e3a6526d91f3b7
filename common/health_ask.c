/* HTTP/1.0 and one small answer: no library is needed, and a probe that comes every few seconds should be
 * cheap. */
#include "common/health_ask.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/meter.h"

#define ANSWER_BYTES 4096

bool health_split_address(const char *listen, char **host, const char **port, struct error *err)
{
    const char *colon = strrchr(listen, ':');
    const char *end = colon;
    const char *start = listen;
    if (colon != NULL && listen[0] == '[' && colon > listen + 1 && colon[-1] == ']') {
        start++;
        end--;
    } else if (colon != NULL && memchr(listen, ':', (size_t)(colon - listen)) != NULL) {
        end = start; /* an address of version 6 without brackets: where would the port begin? */
    }
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
    if (colon == NULL || end == start || digits == 0 || digits > 5 || colon[1 + digits] != '\0' ||
        strtoul(colon + 1, NULL, 10) > 65535) {
        (void)error_set(err, ERROR_FATAL,
                        "MetricsListen '%.80s' is not an address: write it as 0.0.0.0:9090 or [::]:9090",
                        listen);
        return false;
    }
    *host = xmemdup_text(start, (size_t)(end - start));
    *port = colon + 1;
    return true;
}

/* Until the socket is ready for `events`; false at the deadline, errno is ETIMEDOUT. */
static bool wait_for(int descriptor, short events, int64_t deadline_ms)
{
    for (;;) {
        struct pollfd wanted = {.fd = descriptor, .events = events};
        int64_t left_ms = deadline_ms - meter_now_ms();
        int count = left_ms > 0 ? poll(&wanted, 1, (int)left_ms) : 0;
        if (count > 0)
            return true;
        if (count == 0) {
            errno = ETIMEDOUT;
            return false;
        }
        if (errno != EINTR)
            return false;
    }
}

static bool connect_by(int descriptor, const struct addrinfo *place, int64_t deadline_ms)
{
    int failure = 0;
    socklen_t length = sizeof failure;
    /* The address of all interfaces stands for this machine here. */
    if (connect(descriptor, place->ai_addr, place->ai_addrlen) == 0)
        return true;
    if (errno != EINPROGRESS || !wait_for(descriptor, POLLOUT, deadline_ms) ||
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length) != 0)
        return false;
    errno = failure;
    return failure == 0;
}

/* All until the other side closes. What is longer than any answer of health.c is cut. */
static bool hear(int descriptor, int64_t deadline_ms, struct buffer *answer)
{
    while (answer->length < ANSWER_BYTES) {
        if (!wait_for(descriptor, POLLIN, deadline_ms))
            return false;
        ssize_t count = recv(descriptor, buffer_reserve(answer, ANSWER_BYTES), ANSWER_BYTES, 0);
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (count <= 0)
            return count == 0;
        answer->length += (size_t)count;
    }
    return true;
}

static bool converse(const struct addrinfo *place, const char *page, struct buffer *answer)
{
    int64_t deadline_ms = meter_now_ms() + HEALTH_ASK_MS;
    struct buffer request = {0};
    bool ok = false;
    int descriptor = socket(place->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, place->ai_protocol);
    buffer_append_format(&request, "GET %s HTTP/1.0\r\n\r\n", page);
    /* So few bytes find room in the socket at once. */
    if (descriptor < 0 || !connect_by(descriptor, place, deadline_ms) ||
        send(descriptor, request.data, request.length, MSG_NOSIGNAL) != (ssize_t)request.length ||
        !hear(descriptor, deadline_ms, answer))
        goto out;
    ok = true;
out:
    buffer_clear(&request);
    if (descriptor >= 0) {
        int kept = errno;
        (void)close(descriptor);
        errno = kept;
    }
    return ok;
}

/* "HTTP/1.0 200 OK ... ready": whether it is good, and the words behind the headers. */
static bool take_answer(const char *answer, const char *page, bool *is_good, struct buffer *words,
                        struct error *err)
{
    const char *body = strstr(answer, "\r\n\r\n");
    bool is_http =
        strncmp(answer, "HTTP/1.", 7) == 0 && strlen(answer) > 12 && answer[8] == ' ' && body != NULL;
    *is_good = is_http && strncmp(answer + 9, "200 ", 4) == 0;
    if (!*is_good && (!is_http || strncmp(answer + 9, "503 ", 4) != 0))
        return error_set(err, ERROR_RETRY, "what listens there does not answer %s as niffler-png does", page);
    buffer_append(words, body + 4, strcspn(body + 4, "\r\n"));
    return true;
}

bool health_ask(const char *listen, const char *page, bool *is_good, struct buffer *words, struct error *err)
{
    const struct addrinfo hints = {
        .ai_flags = AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct buffer answer = {0};
    char *host = NULL;
    const char *port = NULL;
    bool ok = false;
    if (!health_split_address(listen, &host, &port, err))
        return false;
    int failure = getaddrinfo(host, port, &hints, &found);
    if (strtoul(port, NULL, 10) == 0)
        (void)error_set(err, ERROR_FATAL, "MetricsListen '%.80s' has no port that could be asked", listen);
    else if (failure != 0)
        (void)error_set(err, ERROR_FATAL, "MetricsListen '%.80s' is not an address of this machine: %s",
                        listen, gai_strerror(failure));
    else if (!converse(found, page, &answer))
        (void)error_errno(err, ERROR_RETRY, "nobody answers at MetricsListen '%.80s'", listen);
    else
        ok = take_answer(buffer_text(&answer), page, is_good, words, err);
    if (found != NULL)
        freeaddrinfo(found);
    buffer_clear(&answer);
    free(host);
    return ok;
}
