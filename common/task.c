#include "common/task.h"

#include <stdio.h>
#include <string.h>

#include "common/job.h"
#include "common/json.h"

void task_clear(struct task *task)
{
    if (task == NULL)
        return;
    buffer_clear(&task->text);
    buffer_clear(&task->options_read);
    *task = (struct task){0};
}

void task_to_json(const struct task *task, struct buffer *out)
{
    const struct {
        const char *name;
        const char *text;
    } texts[] = {{",\"input\":", task->input}, {",\"output\":", task->output}, {",\"path\":", task->path}};
    buffer_append_format(out, "{\"v\":%d,\"job\":", TASK_VERSION);
    json_append_string(out, task->job, strlen(task->job));
    buffer_append_text(out, ",\"seq\":");
    buffer_append_u64(out, task->seq);
    if (task->round > 0) {
        buffer_append_text(out, ",\"round\":");
        buffer_append_u64(out, task->round);
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        buffer_append_text(out, texts[i].name);
        json_append_string(out, texts[i].text, strlen(texts[i].text));
    }
    buffer_append_text(out, ",\"options\":");
    if (task->options_json != NULL)
        buffer_append(out, task->options_json->data, task->options_json->length);
    else
        options_to_json(&task->options, out);
    buffer_append_char(out, '}');
}

/* ---- reading ---- */

/* The tasks of a job have the same options, in the same words: they are read once. A whole JSON object cannot
 * be the beginning of another. */
static void read_options(struct json_reader *in, struct task *task)
{
    struct buffer *known = &task->options_read;
    if (known->length > 0 && (size_t)(in->end - in->at) >= known->length &&
        memcmp(in->at, known->data, known->length) == 0) {
        in->at += known->length;
        return;
    }
    const char *start = in->at;
    buffer_truncate(known, 0);
    options_from_json(in, &task->options);
    if (!in->failed)
        buffer_append(known, start, (size_t)(in->at - start));
}

bool task_from_json(const char *json, size_t length, struct task *task, struct error *err)
{
    struct json_reader in = {.at = json, .end = json + length};
    size_t texts[3] = {SIZE_MAX, SIZE_MAX, SIZE_MAX};
    static const char *const names[3] = {"input", "output", "path"};
    uint64_t version = 0;
    bool has_options = false;
    char key[32];
    buffer_truncate(&task->text, 0);
    task->job[0] = '\0';
    task->seq = UINT64_MAX;
    task->round = 0;
    json_enter(&in, '{');
    while (json_more(&in, '}')) {
        json_key(&in, key, sizeof key);
        int which = 0;
        while (which < 3 && strcmp(key, names[which]) != 0)
            which++;
        if (which < 3) {
            texts[which] = json_string_nul(&in, &task->text);
        } else if (strcmp(key, "job") == 0) {
            size_t offset = json_string_nul(&in, &task->text);
            in.failed |= !job_take_id(task->job, task->text.data + offset);
        } else if (strcmp(key, "seq") == 0) {
            task->seq = json_u64(&in);
        } else if (strcmp(key, "round") == 0) {
            task->round = (uint32_t)json_u64_max(&in, UINT32_MAX);
        } else if (strcmp(key, "v") == 0) {
            version = json_u64(&in);
        } else if (strcmp(key, "options") == 0) {
            read_options(&in, task);
            has_options = true;
        } else {
            json_skip(&in);
        }
    }
    if (!json_end(&in))
        return error_set(err, ERROR_INPUT, "malformed task");
    if (version != TASK_VERSION)
        return error_set(err, ERROR_INPUT, "task of version %llu, this program knows %d",
                         (unsigned long long)version, TASK_VERSION);
    if (task->job[0] == '\0' || !has_options || texts[0] == SIZE_MAX || texts[1] == SIZE_MAX ||
        texts[2] == SIZE_MAX)
        return error_set(err, ERROR_INPUT, "incomplete task");
    if (task->seq >= JOB_FILES_MAX)
        return error_set(err, ERROR_INPUT, "task with an impossible sequence number");
    task->input = task->text.data + texts[0];
    task->output = task->text.data + texts[1];
    task->path = task->text.data + texts[2];
    return true;
}
