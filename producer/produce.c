#include "producer/produce.h"

#include <string.h>

#include "common/crash.h"
#include "common/task.h"

bool produce_tasks(struct journal *journal, struct queue *tasks, const struct job *job, uint64_t most,
                   uint64_t *sent, struct error *err)
{
    struct buffer json = {0}, options = {0};
    struct task task = {.input = job->input, .output = job->output, .options_json = &options};
    bool ok = false;
    memcpy(task.job, job->id, sizeof task.job);
    options_to_json(&job->options, &options);
    for (*sent = 0; *sent < most; ++*sent) {
        if (!journal_next(journal, &task.seq, &task.path, err))
            goto out;
        if (task.path == NULL)
            break;
        buffer_truncate(&json, 0);
        task_to_json(&task, &json);
        if (!queue_send(tasks, &(struct queue_address){.lane = task.seq}, json.data, json.length, err))
            goto out;
        CRASH_POINT("producer.task_sent");
    }
    ok = queue_flush(tasks, err);
out:
    buffer_clear(&options);
    buffer_clear(&json);
    return ok;
}
