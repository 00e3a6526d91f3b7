#include "worker/heartbeat.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SEEN_S 60    /* how long an entry lives */
#define LISTED_S 120 /* how long the list of workers names it */
#define LISTED_S_TEXT "120"
#define KEY_MAX 280

/* Bytes of this process in memory; 0 where /proc does not say. */
static uint64_t resident_bytes(void)
{
    char text[128];
    int descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return 0;
    ssize_t length = read(descriptor, text, sizeof text - 1);
    (void)close(descriptor);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    char *second;
    (void)strtoull(text, &second, 10);
    return strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct number {
    char text[24];
};

static struct number number(uint64_t value)
{
    struct number written;
    (void)snprintf(written.text, sizeof written.text, "%" PRIu64, value);
    return written;
}

void heartbeat_show(struct view *view, const char *id, int64_t started_s, uint64_t assigned,
                    uint64_t inflight, uint64_t files)
{
    if (view == NULL)
        return;
    char key[KEY_MAX];
    char host[256] = "";
    uint64_t now_s = (uint64_t)time(NULL);
    (void)snprintf(key, sizeof key, "worker:%.255s", id);
    (void)gethostname(host, sizeof host - 1);
    struct number started = number(started_s > 0 ? (uint64_t)started_s : 0);
    struct number pid = number((uint64_t)getpid());
    struct number partitions = number(assigned);
    struct number taken = number(inflight);
    struct number finished = number(files);
    struct number rss = number(resident_bytes());
    struct number now = number(now_s);
    struct number end = number(now_s + SEEN_S);
    struct number oldest = number(now_s - LISTED_S);

    const char *const entry[] = {
        "HSET",          key,           "host",       host,       "pid",           pid.text,   "ver",
        NIFFLER_VERSION, "started",     started.text, "assigned", partitions.text, "inflight", taken.text,
        "files",         finished.text, "rss",        rss.text,   "updated_at",    now.text};
    const char *const expire[] = {"EXPIREAT", key, end.text};
    const char *const list[] = {"ZADD", "workers", now.text, id};
    const char *const trim[] = {"ZREMRANGEBYSCORE", "workers", "-inf", oldest.text};
    const char *const keep[] = {"EXPIRE", "workers", LISTED_S_TEXT};
    struct view_commands *commands = view_commands_new();
    view_commands_add(commands, sizeof entry / sizeof entry[0], entry, 1u << 1);
    view_commands_add(commands, 3, expire, 1u << 1);
    view_commands_add(commands, 4, list, 1u << 1);
    view_commands_add(commands, 4, trim, 1u << 1);
    view_commands_add(commands, 3, keep, 1u << 1);
    view_put(view, key, commands, true);
}
