#include "producer/produce.h"

bool produce_tasks(struct journal *journal, struct queue *tasks, const struct task *pattern, struct error *err)
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
        if (!queue_send(tasks, task.job, json.data, json.length, err))
            goto out;
    }
    ok = queue_flush(tasks, err);
out:
    buffer_clear(&json);
    return ok;
}
