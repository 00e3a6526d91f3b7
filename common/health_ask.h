/* health_ask.h: the other side of health.h: asks a process of this machine for its /livez or /readyz. */
#ifndef NIFFLER_COMMON_HEALTH_ASK_H
#define NIFFLER_COMMON_HEALTH_ASK_H

#include "common/buffer.h"
#include "common/error.h"

/* How long an answer may take, all in all. Kubernetes gives an exec probe 1 s unless it is told otherwise. */
#define HEALTH_ASK_MS 3000

/* Split MetricsListen's "host:port" or "[v6]:port": *host is new, *port borrowed. Fails with ERROR_FATAL. */
MUST_CHECK bool health_split_address(const char *listen, char **host, const char **port, struct error *err);

/* Ask the process that listens at `listen` (MetricsListen; 0.0.0.0 and [::] are asked on this machine) for
 * `page`, such as "/readyz".
 *
 *   is_good  whether it answered 200; false: 503
 *   words    appended to: what it said, "ready" or the reason why not, without the line's end
 *
 * Fails with ERROR_FATAL: not an address, or port 0; ERROR_RETRY: nobody answers within HEALTH_ASK_MS, or not
 * as health.h does. */
MUST_CHECK bool health_ask(const char *listen, const char *page, bool *is_good, struct buffer *words,
                           struct error *err);

#endif
