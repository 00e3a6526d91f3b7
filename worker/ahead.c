#include "worker/ahead.h"

#include <sys/resource.h>

#include "worker/wire.h"

/* Descriptors of a worker beside those for its decoders: queues, folders, the store, logs. */
#define OTHER_DESCRIPTORS 256
#define DECODER_DESCRIPTORS 2 /* its socket and its pipe */

unsigned ahead_limit(unsigned decoders)
{
    struct rlimit limit;
    const rlim_t of_each = DECODER_DESCRIPTORS + WIRE_MAX_DESCRIPTORS * (1 + WIRE_AHEAD_MOST);
    const rlim_t wanted = OTHER_DESCRIPTORS + decoders * of_each;
    if (decoders == 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    rlim_t before = limit.rlim_cur;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            limit.rlim_cur = before;
    }
    if (limit.rlim_cur >= wanted)
        return WIRE_AHEAD_MOST;
    if (limit.rlim_cur <= OTHER_DESCRIPTORS)
        return 0;
    rlim_t there = (limit.rlim_cur - OTHER_DESCRIPTORS) / decoders;
    rlim_t files = there > DECODER_DESCRIPTORS ? (there - DECODER_DESCRIPTORS) / WIRE_MAX_DESCRIPTORS : 0;
    return files > 1 ? (unsigned)files - 1 : 0;
}

static unsigned pace(const struct ahead *ahead, int64_t elapsed)
{
    int64_t files = (int64_t)ahead->done * AHEAD_MS / elapsed;
    return files < 1 ? 1 : files < WIRE_AHEAD_MOST ? (unsigned)files : WIRE_AHEAD_MOST;
}

unsigned ahead_most(struct ahead *ahead, unsigned limit, int64_t now_ms)
{
    int64_t elapsed = now_ms - ahead->since_ms;
    if (ahead->most == 0)
        ahead->most = 1;
    if (elapsed >= AHEAD_PACE_MS) {
        ahead->most = pace(ahead, elapsed);
        ahead->done = 0;
        ahead->since_ms = now_ms;
    } else if (elapsed >= AHEAD_MS) {
        /* Answers come in bursts: so short a time may lie between two, and tells only of more. */
        unsigned most = pace(ahead, elapsed);
        ahead->most = most > ahead->most ? most : ahead->most;
    }
    return ahead->most < limit ? ahead->most : limit;
}
