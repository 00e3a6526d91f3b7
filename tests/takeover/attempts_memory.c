/* Memory that can be executed or that others share, more of it than allowed, and the stack. */
#include <errno.h>
#include <mqueue.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "tests/takeover/takeover.h"

#define BYTES 65536u

static bool map(int protection, int flags, int descriptor)
{
    return mmap(NULL, BYTES, protection, flags, descriptor, 0) != MAP_FAILED;
}

static bool try_map_executable(const struct scene *scene)
{
    (void)scene;
    return map(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static bool try_make_executable(const struct scene *scene)
{
    (void)scene;
    void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory != MAP_FAILED && mprotect(memory, BYTES, PROT_READ | PROT_EXEC) == 0;
}

static bool try_map_shared(const struct scene *scene)
{
    (void)scene;
    return map(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static bool try_map_input(const struct scene *scene)
{
    return map(PROT_READ, MAP_PRIVATE, scene->descriptor);
}

static bool try_map_code(const struct scene *scene)
{
    return map(PROT_READ | PROT_EXEC, MAP_PRIVATE, scene->descriptor);
}

static bool try_memory_file(const struct scene *scene)
{
    (void)scene;
    return memfd_create("nobody", 0) >= 0;
}

static bool try_shared_memory(const struct scene *scene)
{
    (void)scene;
    int id = shmget(IPC_PRIVATE, BYTES, 0600);
    return id >= 0 && shmctl(id, IPC_RMID, NULL) == 0;
}

static bool try_message_queue(const struct scene *scene)
{
    const char *name = strrchr(scene->path, '/');
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
    return queue != (mqd_t)-1 && mq_unlink(name) == 0;
}

static bool try_lock_memory(const struct scene *scene)
{
    static char page[BYTES];
    (void)scene;
    return mlock(page, sizeof page) == 0;
}

static bool try_too_much_memory(const struct scene *scene)
{
    (void)scene;
    return mmap(NULL, (size_t)1 << 40, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                -1, 0) != MAP_FAILED;
}

/* 24 MiB: whoever started the worker may have a longer stack. */
__attribute__((noinline)) static unsigned descend(unsigned levels)
{
    volatile unsigned char frame[BYTES];
    for (size_t i = 0; i < sizeof frame; i += 4096)
        frame[i] = (unsigned char)levels;
    return levels == 0 ? frame[0] : descend(levels - 1) + frame[4096];
}

static bool try_recursion(const struct scene *scene)
{
    (void)scene;
    return descend(384) > 0;
}

const struct attempt attempts_on_memory[] = {
    {"map-executable", try_map_executable},
    {"make-executable", try_make_executable},
    {"map-shared", try_map_shared},
    {"map-input", try_map_input},
    {"map-code", try_map_code},
    {"memory-file", try_memory_file},
    {"shared-memory", try_shared_memory},
    {"message-queue", try_message_queue},
    {"lock-memory", try_lock_memory},
    {"too-much-memory", try_too_much_memory},
    {"recursion", try_recursion},
    {NULL, NULL},
};
