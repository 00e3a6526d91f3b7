/* Messages from a queue: any bytes as a record, as a task and as a notice. */
#include "common/job.h"
#include "common/record.h"
#include "common/task.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record rec = {0};
    struct task task = {0};
    struct notice notice = {0};
    struct error err;
    if (record_from_json((const char *)data, size, &rec, &err))
        fuzz_use(rec.cell_count);
    if (task_from_json((const char *)data, size, &task, &err))
        fuzz_use(task.seq);
    if (notice_is_one((const char *)data, size) && notice_from_json((const char *)data, size, &notice, &err))
        fuzz_use(notice.total);
    job_clear(&notice.job);
    record_clear(&rec);
    task_clear(&task);
    return 0;
}
