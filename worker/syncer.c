#include "worker/syncer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/alloc.h"

struct syncer {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t changed;
    int event; /* 1 from when an order is done until it is taken back */
    int *folders;
    size_t count;
    bool is_ordered, is_done, is_ending;
    int number; /* errno of the order that is done; 0: all went well */
};

static void lock(struct syncer *syncer)
{
    int failed = pthread_mutex_lock(&syncer->mutex);
    assert(failed == 0);
    (void)failed;
}

static void unlock(struct syncer *syncer)
{
    int failed = pthread_mutex_unlock(&syncer->mutex);
    assert(failed == 0);
    (void)failed;
}

/* All are tried: one that fails is no reason to leave the others out. */
static int sync_all(const int *folders, size_t count)
{
    int number = 0;
    for (size_t i = 0; i < count; i++)
        if (syncfs(folders[i]) != 0 && number == 0)
            number = errno;
    return number;
}

static void *serve(void *context)
{
    struct syncer *syncer = context;
    const uint64_t one = 1;
    lock(syncer);
    while (!syncer->is_ending) {
        if (!syncer->is_ordered || syncer->is_done) {
            (void)pthread_cond_wait(&syncer->changed, &syncer->mutex);
            continue;
        }
        unlock(syncer); /* the order changes only when it is done */
        int number = sync_all(syncer->folders, syncer->count);
        lock(syncer);
        syncer->number = number;
        syncer->is_done = true;
        ssize_t n = write(syncer->event, &one, sizeof one);
        assert(n == (ssize_t)sizeof one);
        (void)n;
    }
    unlock(syncer);
    return NULL;
}

/* Signals are for the threads that wait for them. */
static int start_thread(struct syncer *syncer)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&syncer->thread, NULL, serve, syncer);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

bool syncer_open(struct syncer **out, struct error *err)
{
    struct syncer *syncer = xcalloc(1, sizeof *syncer);
    *out = NULL;
    syncer->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (syncer->event < 0) {
        free(syncer);
        return error_errno(err, ERROR_FATAL, "cannot make an event descriptor");
    }
    if (pthread_mutex_init(&syncer->mutex, NULL) != 0 || pthread_cond_init(&syncer->changed, NULL) != 0 ||
        start_thread(syncer) != 0) {
        (void)close(syncer->event);
        free(syncer);
        return error_set(err, ERROR_FATAL, "cannot start a thread");
    }
    *out = syncer;
    return true;
}

void syncer_close(struct syncer *syncer)
{
    if (syncer == NULL)
        return;
    lock(syncer);
    syncer->is_ending = true;
    (void)pthread_cond_signal(&syncer->changed);
    unlock(syncer);
    (void)pthread_join(syncer->thread, NULL);
    (void)pthread_cond_destroy(&syncer->changed);
    (void)pthread_mutex_destroy(&syncer->mutex);
    (void)close(syncer->event);
    free(syncer->folders);
    free(syncer);
}

void syncer_begin(struct syncer *syncer, const int *folders, size_t count)
{
    lock(syncer);
    assert(!syncer->is_ordered);
    syncer->folders = xrealloc_array(syncer->folders, count, sizeof *folders);
    if (count > 0)
        memcpy(syncer->folders, folders, count * sizeof *folders);
    syncer->count = count;
    syncer->is_ordered = true;
    syncer->is_done = false;
    (void)pthread_cond_signal(&syncer->changed);
    unlock(syncer);
}

int syncer_descriptor(const struct syncer *syncer)
{
    return syncer->event;
}

bool syncer_take(struct syncer *syncer, bool *is_done, struct error *err)
{
    uint64_t count;
    lock(syncer);
    *is_done = syncer->is_ordered && syncer->is_done;
    int number = syncer->number;
    if (*is_done) {
        syncer->is_ordered = syncer->is_done = false;
        ssize_t n = read(syncer->event, &count, sizeof count);
        assert(n == (ssize_t)sizeof count);
        (void)n;
    }
    unlock(syncer);
    if (!*is_done || number == 0)
        return true;
    errno = number;
    return error_errno(err, ERROR_RETRY, "cannot put pictures on disk");
}
