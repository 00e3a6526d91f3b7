/* health.h: /livez, /readyz and /metrics over HTTP (libmicrohttpd), for probes and Prometheus.
 *
 * /livez is 200 while the process's main loop beats, whatever the world is like: a broker or storage that is
 * gone must not have every worker restarted. /readyz is 200 when ready, else 503 with the reason. GET and
 * HEAD only, at most 64 connections, 5 s each. A thread of its own; open it after the decoders were started.
 * All functions but health_open() accept NULL. */
#ifndef NIFFLER_COMMON_HEALTH_H
#define NIFFLER_COMMON_HEALTH_H

#include "common/error.h"
#include "common/metrics.h"

/* A loop that has not beaten for so long is stuck. */
#define HEALTH_STUCK_MS 60000

struct health;

/* `listen`: MetricsListen; NULL: none, *health is NULL. `metrics` is borrowed until health_close(). Logs
 * event=health_listening with the port. Fails with ERROR_FATAL: not an address, or the port is taken. */
MUST_CHECK bool health_open(struct health **health, const char *listen, struct metrics *metrics,
                            struct error *err);
void health_close(struct health *health);

void health_beat(struct health *health);

/* Long work in one piece is under way: the loop need not beat until it is done. */
void health_excuse(struct health *health, bool is_busy);

/* `reason` is static text, shown while not ready; NULL: ready. Not ready at first ("starting"). Also the
 * metric niffler_ready. */
void health_set_ready(struct health *health, const char *reason);

#endif
