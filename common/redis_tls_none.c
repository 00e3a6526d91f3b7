#include "common/redis_tls.h"

bool redis_tls_check(struct error *err)
{
    return error_set(
        err, ERROR_FATAL,
        "cannot use 'RedisUrl': rediss:// needs TLS, which the hiredis of this build has not: run "
        "stunnel beside niffler-png and give redis://127.0.0.1 and its port");
}

bool redis_tls_start(struct redisContext *context, const char *host, struct error *err)
{
    (void)context;
    (void)host;
    return redis_tls_check(err);
}
