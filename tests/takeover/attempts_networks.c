/* Sockets, and the descriptors that there are. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/takeover/takeover.h"
#include "worker/wire.h"

static bool try_socket_inet(const struct scene *scene)
{
    (void)scene;
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool try_socket_udp(const struct scene *scene)
{
    (void)scene;
    return socket(AF_INET6, SOCK_DGRAM, 0) >= 0;
}

static bool try_socket_unix(const struct scene *scene)
{
    (void)scene;
    return socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static bool try_socket_netlink(const struct scene *scene)
{
    (void)scene;
    return socket(AF_NETLINK, SOCK_RAW, 0) >= 0;
}

static bool try_socketpair(const struct scene *scene)
{
    int pair[2];
    (void)scene;
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;
}

static struct sockaddr_in here(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static bool try_connect(const struct scene *scene)
{
    struct sockaddr_in address = here(scene->number);
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    return connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof address) == 0;
}

static bool try_bind(const struct scene *scene)
{
    struct sockaddr_in address = here(0);
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    (void)scene;
    return connection >= 0 && bind(connection, (struct sockaddr *)&address, sizeof address) == 0 &&
           listen(connection, 1) == 0;
}

/* A server whose name is no file. */
static bool try_connect_abstract(const struct scene *scene)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int connection = socket(AF_UNIX, SOCK_STREAM, 0);
    size_t length = strlen(scene->path);
    memcpy(address.sun_path + 1, scene->path, length);
    return connection >= 0 && connect(connection, (struct sockaddr *)&address,
                                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) == 0;
}

static bool try_send_descriptor(const struct scene *scene)
{
    struct error err;
    return wire_send(WIRE_CONTROL_DESCRIPTOR, "x", 1, &scene->descriptor, 1, &err);
}

static bool try_pipe(const struct scene *scene)
{
    int ends[2];
    (void)scene;
    return pipe2(ends, O_NONBLOCK) == 0; /* the sanitizers' own have no flags */
}

static bool try_dup(const struct scene *scene)
{
    (void)scene;
    return dup(0) >= 0;
}

static bool try_replace_control(const struct scene *scene)
{
    (void)scene;
    return dup2(WIRE_CONTROL_DESCRIPTOR, WIRE_CONTROL_DESCRIPTOR) >= 0; /* changes nothing */
}

static bool try_fcntl(const struct scene *scene)
{
    (void)scene;
    return fcntl(WIRE_CONTROL_DESCRIPTOR, F_SETFL, O_NONBLOCK) == 0 &&
           fcntl(WIRE_CONTROL_DESCRIPTOR, F_SETFL, 0) == 0;
}

static bool try_ioctl(const struct scene *scene)
{
    int waiting;
    (void)scene;
    return ioctl(WIRE_CONTROL_DESCRIPTOR, FIONREAD, &waiting) == 0;
}

static bool try_type_ahead(const struct scene *scene)
{
    (void)scene;
    return ioctl(0, TIOCSTI, "x") == 0;
}

/* One that whoever started the worker forgot to close. */
static bool try_other_descriptor(const struct scene *scene)
{
    return write(scene->number, "not mine", 8) == 8;
}

static bool try_eventfd(const struct scene *scene)
{
    (void)scene;
    return eventfd(0, 0) >= 0;
}

static bool try_receive_elsewhere(const struct scene *scene)
{
    char byte;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    return recvmsg(scene->number, &message, MSG_DONTWAIT) == 1;
}

const struct attempt attempts_on_networks[] = {
    {"socket-inet", try_socket_inet},
    {"socket-udp", try_socket_udp},
    {"socket-unix", try_socket_unix},
    {"socket-netlink", try_socket_netlink},
    {"socketpair", try_socketpair},
    {"connect", try_connect},
    {"bind", try_bind},
    {"connect-abstract", try_connect_abstract},
    {"send-descriptor", try_send_descriptor},
    {"pipe", try_pipe},
    {"dup", try_dup},
    {"replace-control", try_replace_control},
    {"fcntl", try_fcntl},
    {"ioctl", try_ioctl},
    {"type-ahead", try_type_ahead},
    {"other-descriptor", try_other_descriptor},
    {"eventfd", try_eventfd},
    {"receive-elsewhere", try_receive_elsewhere},
    {NULL, NULL},
};
