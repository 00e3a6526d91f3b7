/* redis_tls.h: TLS over a connection to Redis. One file for libraries that have it (redis_tls_openssl.c), one
 * for those that have not (redis_tls_none.c: Debian 12's); CMake takes the one that fits. */
#ifndef NIFFLER_COMMON_REDIS_TLS_H
#define NIFFLER_COMMON_REDIS_TLS_H

#include "common/error.h"

struct redisContext;

/* Whether this build has TLS. Fails with ERROR_FATAL: it has not; the text says what to do. */
MUST_CHECK bool redis_tls_check(struct error *err);

/* Shake hands; the server's certificate must be by an authority of the system's and name `host`. Fails with
 * ERROR_RETRY. */
MUST_CHECK bool redis_tls_start(struct redisContext *context, const char *host, struct error *err);

#endif
