/* Messages from a queue: any bytes as a record, as a task and as a notice. What is taken and written again is
 * taken again, and written as before. */
#include <stdlib.h>
#include <string.h>

#include "common/job.h"
#include "common/record.h"
#include "common/task.h"
#include "tests/fuzz/fuzz.h"

static struct buffer first, second;

static void begin(void)
{
    buffer_truncate(&first, 0);
    buffer_truncate(&second, 0);
}

static void compare(bool was_read)
{
    if (!was_read || first.length != second.length || memcmp(first.data, second.data, first.length) != 0)
        abort();
}

static void check_record(struct record *rec)
{
    struct record again = {0};
    struct error err;
    begin();
    record_to_json(rec, &first);
    bool ok = record_from_json(first.data, first.length, &again, &err);
    if (ok)
        record_to_json(&again, &second);
    compare(ok);
    record_clear(&again);
}

static void check_task(const struct task *task)
{
    struct task again = {0};
    struct error err;
    begin();
    task_to_json(task, &first);
    bool ok = task_from_json(first.data, first.length, &again, &err);
    if (ok)
        task_to_json(&again, &second);
    compare(ok);
    task_clear(&again);
}

static void check_notice(const struct notice *notice)
{
    struct notice again = {0};
    struct error err;
    begin();
    notice_to_json(notice, &first);
    bool ok = notice_from_json(first.data, first.length, &again, &err);
    if (ok)
        notice_to_json(&again, &second);
    compare(ok);
    job_clear(&again.job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record rec = {0};
    struct task task = {0};
    struct notice notice = {0};
    struct error err;
    const char *text = (const char *)data;
    if (record_from_json(text, size, &rec, &err) && record_text(&rec, rec.spilled)[0] == '\0')
        check_record(&rec);
    if (task_from_json(text, size, &task, &err))
        check_task(&task);
    if (notice_is_one(text, size) && notice_from_json(text, size, &notice, &err))
        check_notice(&notice);
    job_clear(&notice.job);
    record_clear(&rec);
    task_clear(&task);
    return 0;
}
