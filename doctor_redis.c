/* Redis by the connection that the roles use: the same login and certificates. */
#include "doctor.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "common/redis.h"

void doctor_check_redis(struct doctor *doctor)
{
    static const char *const ping[] = {"PING"};
    struct redis_place place = {0};
    struct redis *redis = NULL;
    struct error err = {0};
    sigset_t pipe_signal, before;
    if (doctor->settings->redis_url == NULL || doctor->settings->redis_url[0] == '\0') {
        doctor_say(doctor, DOCTOR_SKIP, "redis", "RedisUrl is not set: nobody is shown the progress");
        return;
    }
    /* The library writes to sockets that may be closed. */
    (void)sigemptyset(&pipe_signal);
    (void)sigaddset(&pipe_signal, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    if (!redis_place_from_settings(&place, doctor->settings, &err) || !redis_open(&redis, &place, &err) ||
        !redis_ask(redis, 1, ping, NULL, &err))
        doctor_say(doctor, DOCTOR_FAIL, "redis", "%s: see RedisUrl and RedisPasswordFile", err.text);
    else
        doctor_say(doctor, DOCTOR_OK, "redis", "answers PING");
    redis_close(redis);
    redis_place_clear(&place);
    /* One that came meanwhile would end us as soon as it is let through. */
    const struct timespec at_once = {0};
    (void)sigtimedwait(&pipe_signal, NULL, &at_once);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}
