/* A decoder that does, for its first file, what MODE beside it says; a stand-in for niffler-png-decoder in
 * the tests of pool.h. The mode is in a file named "mode" beside the program, since decoders get no
 * environment. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "worker/wire.h"

static void send_bytes(const struct buffer *bytes)
{
    struct error err;
    if (!wire_reply(WIRE_REPLY_DESCRIPTOR, bytes->data, bytes->length, &err))
        _exit(0);
}

static void ring(void)
{
    struct error err;
    if (!wire_reply(WIRE_CONTROL_DESCRIPTOR, "", 1, &err))
        _exit(0);
}

static void read_mode(char *mode, size_t size)
{
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 6);
    char *slash = length > 0 ? memrchr(path, '/', (size_t)length) : NULL;
    if (slash == NULL)
        _exit(2);
    memcpy(slash, "/mode", 6);
    FILE *file = fopen(path, "r");
    if (file == NULL || fgets(mode, (int)size, file) == NULL)
        _exit(2);
    (void)fclose(file);
}

static const struct confinement confinement; /* nothing is in force */

static void misbehave(const char *mode)
{
    struct buffer out = {0};
    if (strcmp(mode, "segv") == 0) {
        (void)signal(SIGSEGV, SIG_DFL);
        (void)raise(SIGSEGV);
    } else if (strcmp(mode, "abort") == 0) {
        abort();
    } else if (strcmp(mode, "cpu") == 0) {
        (void)signal(SIGXCPU, SIG_DFL);
        (void)raise(SIGXCPU);
    } else if (strcmp(mode, "exit") == 0) {
        _exit(5);
    } else if (strcmp(mode, "memory") == 0) {
        _exit(WIRE_EXIT_MEMORY);
    } else if (strcmp(mode, "kill") == 0) {
        (void)raise(SIGKILL);
    } else if (strcmp(mode, "frames") == 0) { /* one after the other, without end, each in good time */
        struct wire_frame frame = {0};
        (void)usleep(400000);
        wire_write_frame(&out, &frame);
        send_bytes(&out);
        buffer_clear(&out);
        return;
    } else if (strcmp(mode, "quiet") == 0 || strcmp(mode, "silent") == 0) { /* the second does not ring */
        struct wire_frame frame = {0};
        wire_write_frame(&out, &frame);
        for (int i = 0; i < 4; i++) {
            send_bytes(&out);
            (void)usleep(15000);
        }
        if (strcmp(mode, "quiet") == 0)
            ring();
    } else if (strcmp(mode, "deaf") == 0) { /* it lives on */
        struct wire_frame frame = {0};
        wire_write_frame(&out, &frame);
        send_bytes(&out);
        (void)close(WIRE_CONTROL_DESCRIPTOR);
    } else if (strcmp(mode, "bells") == 0) { /* and nothing else */
        for (;;)
            ring();
    } else if (strcmp(mode, "hang") == 0) {
        for (;;)
            (void)pause();
    } else if (strcmp(mode, "nonsense") == 0) {
        buffer_append_text(&out, "nonsense nonsense nonsense");
        send_bytes(&out);
    } else if (strcmp(mode, "huge") == 0) {
        buffer_append(&out, "\xff\xff\xff\xff\x03", 5);
        send_bytes(&out);
    } else if (strcmp(mode, "early") == 0) {
        struct wire_inspected in = {.object = WIRE_NO_IMAGE, .elements = (const uint8_t *)""};
        wire_write_inspected(&out, &in);
        wire_write_ready(&out, &confinement);
        send_bytes(&out);
    } else if (strcmp(mode, "close") == 0) {
        (void)close(WIRE_REPLY_DESCRIPTOR);
        for (;;)
            (void)pause();
    }
    for (;;)
        (void)pause();
}

int main(void)
{
    char mode[32] = "", request[WIRE_REQUEST_BYTES_MAX];
    struct rlimit no_core = {0, 0};
    struct buffer out = {0};
    read_mode(mode, sizeof mode);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    if (strcmp(mode, "never") == 0)
        _exit(7);
    wire_write_ready(&out, &confinement);
    send_bytes(&out);
    for (;;) {
        int descriptors[WIRE_MAX_DESCRIPTORS];
        size_t received, count;
        struct error err;
        if (!wire_receive(WIRE_CONTROL_DESCRIPTOR, true, request, sizeof request, &received, descriptors,
                          &count, &err) ||
            received == 0)
            return 0;
        misbehave(mode);
    }
}
