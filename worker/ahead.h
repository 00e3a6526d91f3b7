/* ahead.h: how many files a decoder is sent ahead (worker/wire.h).
 *
 * A worker that is woken for each file spends a tenth of the CPU on that, so quick files go out many at a
 * time. Being woken is little of the time of files that take long, and what waits behind one of them would
 * wait longer than other decoders might take to become idle. */
#ifndef NIFFLER_WORKER_AHEAD_H
#define NIFFLER_WORKER_AHEAD_H

#include <stdint.h>

#define AHEAD_MS 16      /* worth of work that a decoder is sent ahead, beyond one file */
#define AHEAD_PACE_MS 64 /* the time that its pace is taken over */

/* Of a decoder. Zeroed is one of which nothing is known. */
struct ahead {
    unsigned most;    /* files to send ahead, by the pace of those before */
    unsigned done;    /* files since then */
    int64_t since_ms; /* on meter_now_ms()'s clock */
};

/* How many a worker can have ahead with each of so many decoders, at most WIRE_AHEAD_MOST: each takes two
 * descriptors. The soft limit of descriptors is raised as far as they need and the hard one allows. */
unsigned ahead_limit(unsigned decoders);

/* How many to send ahead now, at least 1 where `limit` allows. */
unsigned ahead_most(struct ahead *ahead, unsigned limit, int64_t now_ms);

#endif
