/* libmicrohttpd is driven by a thread of ours rather than by its own: its timeout is one of silence, so a
 * client that sends a byte now and then would hold a connection for ever, and 64 of them the probes. Between
 * two rounds we end what is too old, and need no lock for it. */
#include "common/health.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/health_ask.h"
#include "common/log.h"
#include "common/meter.h"

#define CONNECTIONS 64
#define CONNECTION_SECONDS 5
#define ROUND_MS 200 /* also how long health_close() may wait */
#define REQUEST_BYTES 8192

struct connection {
    bool is_used;
    int descriptor;
    int64_t accepted_ms;
};

struct health {
    struct metrics *metrics; /* borrowed */
    struct MHD_Daemon *daemon;
    pthread_t thread;
    bool has_thread;
    atomic_bool is_stopping;
    _Atomic bool is_excused;                    /* from beating */
    _Atomic int64_t beat_ms;                    /* of meter_now_ms(); at first when it was opened */
    _Atomic(const char *) reason;               /* NULL: ready */
    struct connection connections[CONNECTIONS]; /* of the thread only */
};

/* ---- answers ---- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              const char *text, size_t length)
{
    /* The cast is safe: MHD copies. */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    /* One request a connection: so that its age is that of the request. */
    if (result == MHD_YES)
        result = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (result == MHD_YES)
        result = MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (result == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED)
        result = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (result == MHD_YES)
        result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_line(struct MHD_Connection *connection, unsigned status, const char *words)
{
    struct buffer line = {0};
    buffer_append_format(&line, "%s\n", words);
    enum MHD_Result result = answer(connection, status, "text/plain", line.data, line.length);
    buffer_clear(&line);
    return result;
}

static enum MHD_Result answer_metrics(struct MHD_Connection *connection, struct metrics *metrics)
{
    struct buffer text = {0};
    metrics_render(metrics, &text);
    enum MHD_Result result =
        answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4", buffer_text(&text), text.length);
    buffer_clear(&text);
    return result;
}

static enum MHD_Result answer_live(struct MHD_Connection *connection, struct health *health)
{
    bool is_live =
        atomic_load(&health->is_excused) || meter_now_ms() - atomic_load(&health->beat_ms) < HEALTH_STUCK_MS;
    return is_live ? answer_line(connection, MHD_HTTP_OK, "live")
                   : answer_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "stuck");
}

static enum MHD_Result answer_ready(struct MHD_Connection *connection, struct health *health)
{
    const char *reason = atomic_load(&health->reason);
    return reason == NULL ? answer_line(connection, MHD_HTTP_OK, "ready")
                          : answer_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE, reason);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_length, void **request)
{
    struct health *health = context;
    (void)version, (void)upload, (void)upload_length, (void)request;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only");
    if (strcmp(url, "/livez") == 0 || strcmp(url, "/healthz") == 0)
        return answer_live(connection, health);
    if (strcmp(url, "/readyz") == 0)
        return answer_ready(connection, health);
    if (strcmp(url, "/metrics") == 0)
        return answer_metrics(connection, health->metrics);
    return answer_line(connection, MHD_HTTP_NOT_FOUND, "no such page: /livez, /readyz or /metrics");
}

/* ---- connections and the thread ---- */

static void note_connection(void *context, struct MHD_Connection *connection, void **place,
                            enum MHD_ConnectionNotificationCode code)
{
    struct health *health = context;
    struct connection *mine = *place;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (mine != NULL)
            mine->is_used = false;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    for (size_t i = 0; info != NULL && i < CONNECTIONS; i++) {
        if (health->connections[i].is_used)
            continue;
        health->connections[i] = (struct connection){true, info->connect_fd, meter_now_ms()};
        *place = &health->connections[i];
        return;
    }
}

/* Shut down only: libmicrohttpd sees the end of the connection, and closes. */
static void end_old_connections(struct health *health)
{
    int64_t now_ms = meter_now_ms();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        const struct connection *connection = &health->connections[i];
        if (connection->is_used && now_ms - connection->accepted_ms >= CONNECTION_SECONDS * 1000)
            (void)shutdown(connection->descriptor, SHUT_RDWR);
    }
}

static void *serve(void *context)
{
    struct health *health = context;
    while (!atomic_load(&health->is_stopping)) {
        if (MHD_run_wait(health->daemon, ROUND_MS) != MHD_YES)
            (void)usleep(ROUND_MS * 1000); /* no memory, perhaps: not a reason to spin, nor to end */
        end_old_connections(health);
    }
    return NULL;
}

/* ---- opening ---- */

static bool open_socket(const char *listen_text, int *descriptor, struct error *err)
{
    const struct addrinfo hints = {
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char *host = NULL;
    const char *port = NULL;
    int one = 1;
    bool ok = false;
    *descriptor = -1;
    if (!health_split_address(listen_text, &host, &port, err))
        return false;
    int failure = getaddrinfo(host, port, &hints, &found);
    if (failure != 0) {
        (void)error_set(err, ERROR_FATAL, "MetricsListen '%.80s' is not an address of this machine: %s",
                        listen_text, gai_strerror(failure));
        goto out;
    }
    *descriptor = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, found->ai_protocol);
    /* So that a restart need not wait for connections of the one before. */
    if (*descriptor < 0 || setsockopt(*descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(*descriptor, found->ai_addr, found->ai_addrlen) != 0 || listen(*descriptor, CONNECTIONS) != 0) {
        (void)error_errno(err, ERROR_FATAL, "cannot listen at MetricsListen '%.80s'", listen_text);
        goto out;
    }
    ok = true;
out:
    if (!ok && *descriptor >= 0) {
        (void)close(*descriptor);
        *descriptor = -1;
    }
    if (found != NULL)
        freeaddrinfo(found);
    free(host);
    return ok;
}

static unsigned port_of(int descriptor)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } address = {0};
    socklen_t length = sizeof address;
    if (getsockname(descriptor, &address.any, &length) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

/* Signals are for the main thread. */
static int start_thread(struct health *health)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failure = pthread_create(&health->thread, NULL, serve, health);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    health->has_thread = failure == 0;
    return failure;
}

bool health_open(struct health **health, const char *listen, struct metrics *metrics, struct error *err)
{
    struct health *opened = NULL;
    int descriptor = -1;
    bool ok = false;
    *health = NULL;
    if (listen == NULL)
        return true;
    if (!open_socket(listen, &descriptor, err))
        return false;
    unsigned port = port_of(descriptor);
    opened = xcalloc(1, sizeof *opened);
    opened->metrics = metrics;
    atomic_init(&opened->beat_ms, meter_now_ms());
    atomic_init(&opened->reason, "starting");
    metrics_set(metrics, METRIC_READY, 0);
    opened->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, handle, opened, MHD_OPTION_LISTEN_SOCKET,
                                      descriptor, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
                                      MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_SECONDS,
                                      MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_BYTES,
                                      MHD_OPTION_NOTIFY_CONNECTION, note_connection, opened, MHD_OPTION_END);
    if (opened->daemon == NULL) {
        /* Whether the socket was closed is not said: left open, since a second close() could hit another. */
        (void)error_set(err, ERROR_FATAL, "cannot start the HTTP server for MetricsListen");
        goto out;
    }
    errno = start_thread(opened);
    if (!opened->has_thread) {
        (void)error_errno(err, ERROR_FATAL, "cannot start a thread for MetricsListen");
        goto out;
    }
    log_event(LOG_LEVEL_INFO, "common", "health_listening", "port=%u", port);
    *health = opened;
    ok = true;
out:
    if (!ok)
        health_close(opened);
    return ok;
}

void health_close(struct health *health)
{
    if (health == NULL)
        return;
    atomic_store(&health->is_stopping, true);
    if (health->has_thread)
        (void)pthread_join(health->thread, NULL);
    if (health->daemon != NULL)
        MHD_stop_daemon(health->daemon);
    free(health);
}

void health_excuse(struct health *health, bool is_busy)
{
    if (health == NULL)
        return;
    health_beat(health);
    atomic_store(&health->is_excused, is_busy);
}

void health_beat(struct health *health)
{
    if (health != NULL)
        atomic_store_explicit(&health->beat_ms, meter_now_ms(), memory_order_relaxed);
}

void health_set_ready(struct health *health, const char *reason)
{
    if (health == NULL)
        return;
    atomic_store(&health->reason, reason);
    metrics_set(health->metrics, METRIC_READY, reason == NULL);
}
