#include "producer/produce.h"

#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

bool produce_tasks(struct journal *journal, struct queue *tasks, const struct task *pattern,
                   struct error *err)
{
    struct task task = *pattern;
    struct buffer json = {0};
    bool ok = false;
    if (!journal_rewind(journal, err))
        goto out;
    for (;;) {
        if (!journal_next(journal, &task.seq, &task.path, err))
            goto out;
        if (task.path == NULL)
            break;
        buffer_truncate(&json, 0);
        task_to_json(&task, &json);
        if (!queue_send(tasks, &(struct queue_address){.lane = task.seq}, json.data, json.length, err))
            goto out;
    }
    ok = queue_flush(tasks, err);
out:
    buffer_clear(&json);
    return ok;
}

void produce_job_id(char id[PRODUCE_JOB_ID_SIZE])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    struct timespec now;
    unsigned char random[16] = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        memcpy(random, &now, sizeof now < sizeof random ? sizeof now : sizeof random);
    for (int i = 9; i >= 0; i--, ms /= 32)
        id[i] = digits[ms % 32];
    for (int i = 0; i < 16; i++)
        id[10 + i] = digits[random[i] % 32];
    id[PRODUCE_JOB_ID_SIZE - 1] = '\0';
}
