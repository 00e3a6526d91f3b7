/* task.h: the message producer -> worker, one for each file. JSON form: MESSAGES.md. No secret is ever in it.
 */
#ifndef NIFFLER_COMMON_TASK_H
#define NIFFLER_COMMON_TASK_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "common/options.h"

#define TASK_VERSION 1

struct task {
    char job[32];
    uint64_t seq;       /* in scan order, from 0; below JOB_FILES_MAX         */
    uint32_t round;     /* 0; one more each time the file is queued again     */
    const char *input;  /* the job's folder of DICOM files, below InputRoot   */
    const char *output; /* the job's output folder, below OutputRoot          */
    const char *path;   /* relative to `input`; any bytes but NUL             */
    struct options options;
    const struct buffer *options_json; /* for writing many: `options` as JSON; NULL: written each time */
    struct buffer text;                /* owns the three texts after task_from_json()   */
    struct buffer options_read;        /* the words that `options` were read from last  */
};

void task_clear(struct task *task);
void task_to_json(const struct task *task, struct buffer *out);

/* Parse into a zeroed or used `task`. Fails with ERROR_INPUT. */
MUST_CHECK bool task_from_json(const char *json, size_t length, struct task *task, struct error *err);

#endif
