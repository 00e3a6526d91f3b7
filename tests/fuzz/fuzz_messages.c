/* Messages from a queue: any bytes as a record and as a task. */
#include "common/record.h"
#include "common/task.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record rec = {0};
    struct task task = {0};
    struct error err;
    if (record_from_json((const char *)data, size, &rec, &err))
        fuzz_use(rec.cell_count);
    if (task_from_json((const char *)data, size, &task, &err))
        fuzz_use(task.seq);
    record_clear(&rec);
    task_clear(&task);
    return 0;
}
