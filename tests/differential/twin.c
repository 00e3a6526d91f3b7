/* One process, memory shared with it, and a socket over which a byte says what to do and a byte that it is
 * done. */
#include "tests/differential/twin.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/alloc.h"

#define TRANSCODE_SECONDS 20
#define WALL_SECONDS 120

struct shared {
    size_t length, out_length;
    unsigned cpu_seconds;
    bool is_undefined;
    char syntax[65];
    struct listing listing;
    uint8_t bytes[TWIN_FILE_BYTES];
    uint8_t out[TWIN_FILE_BYTES];
};

struct twin {
    struct shared *shared;
    pid_t process;
    int socket;
};

static void stop(const char *what)
{
    fprintf(stderr, "cannot %s: %s\n", what, strerror(errno));
    _exit(3);
}

struct twin *twin_new(void)
{
    struct twin *twin = xcalloc(1, sizeof *twin);
    void *memory = mmap(NULL, sizeof *twin->shared, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        stop("share memory");
    twin->shared = memory;
    twin->process = -1;
    twin->socket = -1;
    return twin;
}

/* The life of the process of DCMTK. A length in a file may make it ask for all
 * the memory there is; the sanitizer, which needs more itself, is told of the limit in differential.cmake. */
static void serve(struct shared *shared, int socket)
{
    char order;
    signal(SIGPIPE, SIG_DFL);
#ifndef __SANITIZE_ADDRESS__
    const struct rlimit limit = {(rlim_t)1 << 30, (rlim_t)1 << 30};
    (void)setrlimit(RLIMIT_AS, &limit);
#endif
    const struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    if (freopen("/dev/null", "w", stderr) == NULL)
        _exit(1);
    dicom_dcmtk_init();
    struct itimerval limit_time = {{0, 0}, {0, 0}}, no_limit = {{0, 0}, {0, 0}};
    while (read(socket, &order, 1) == 1) {
        /* Ends the process by SIGPROF; of its own time, so that a busy machine does not matter. */
        limit_time.it_value.tv_sec = shared->cpu_seconds;
        (void)setitimer(ITIMER_PROF, &limit_time, NULL);
        if (order == 'l')
            dicom_dcmtk_list(shared->bytes, shared->length, &shared->listing);
        else
            shared->out_length = dicom_dcmtk_transcode(shared->bytes, shared->length, shared->syntax,
                                                       shared->is_undefined, shared->out, sizeof shared->out);
        (void)setitimer(ITIMER_PROF, &no_limit, NULL);
        if (write(socket, &order, 1) != 1)
            break;
    }
    _exit(0);
}

static void start(struct twin *twin)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        stop("make sockets");
    (void)fflush(NULL);
    twin->process = fork();
    if (twin->process < 0)
        stop("start a process");
    if (twin->process == 0) {
        (void)close(ends[0]);
        serve(twin->shared, ends[1]);
    }
    (void)close(ends[1]);
    twin->socket = ends[0];
}

static void end(struct twin *twin)
{
    if (twin->process < 0)
        return;
    (void)close(twin->socket);
    (void)kill(twin->process, SIGKILL);
    while (waitpid(twin->process, NULL, 0) < 0 && errno == EINTR)
        continue;
    twin->process = -1;
}

void twin_free(struct twin *twin)
{
    if (twin == NULL)
        return;
    end(twin);
    (void)munmap(twin->shared, sizeof *twin->shared);
    free(twin);
}

static bool ask(struct twin *twin, char order, const uint8_t *bytes, size_t length, unsigned cpu_seconds)
{
    char answer;
    if (twin->process < 0)
        start(twin);
    if (length > 0)
        memcpy(twin->shared->bytes, bytes, length);
    twin->shared->length = length;
    twin->shared->cpu_seconds = cpu_seconds;
    struct pollfd wait = {.fd = twin->socket, .events = POLLIN};
    if (send(twin->socket, &order, 1, MSG_NOSIGNAL) == 1 && poll(&wait, 1, WALL_SECONDS * 1000) == 1 &&
        read(twin->socket, &answer, 1) == 1)
        return true;
    end(twin);
    return false;
}

enum twin_answer twin_list(struct twin *twin, const uint8_t *bytes, size_t length, unsigned cpu_seconds)
{
    return ask(twin, 'l', bytes, length, cpu_seconds) ? TWIN_READ : TWIN_CRASHED;
}

const struct listing *twin_listing(const struct twin *twin)
{
    return &twin->shared->listing;
}

const uint8_t *twin_transcode(struct twin *twin, const uint8_t *bytes, size_t length, const char *syntax,
                              bool is_undefined, size_t *out_length)
{
    size_t count = strlen(syntax);
    memcpy(twin->shared->syntax, syntax, count + 1);
    twin->shared->is_undefined = is_undefined;
    *out_length = 0;
    if (!ask(twin, 't', bytes, length, TRANSCODE_SECONDS) || twin->shared->out_length == 0)
        return NULL;
    *out_length = twin->shared->out_length;
    return twin->shared->out;
}
