#include "worker/work_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/job.h"
#include "common/nolink.h"
#include "worker/naming.h"
#include "worker/verdict.h"

struct work_file *work_file_new(void)
{
    struct work_file *file = xcalloc(1, sizeof *file);
    file->input = -1;
    work_file_reset(file);
    return file;
}

void work_file_reset(struct work_file *file)
{
    if (file->input >= 0)
        (void)close(file->input);
    file->input = -1;
    places_release(file->place);
    file->place = NULL;
    record_reset(&file->rec);
    file->asked_ms = 0;
    file->has_identity = false;
    file->attribute_count = 0;
    file->object = WIRE_NOT_DICOM;
    file->frame_count = file->frames_there = 0;
    file->missing = (struct wire_failure){0};
    file->is_decoded = false;
    buffer_truncate(&file->identity_text, 0);
}

void work_file_free(struct work_file *file)
{
    if (file == NULL)
        return;
    work_file_reset(file);
    task_clear(&file->task);
    record_clear(&file->rec);
    buffer_clear(&file->identity_text);
    free(file);
}

/* ---- lists ---- */

void work_list_add(struct work_list *list, struct work_file *file)
{
    if (list->first == NULL)
        list->end = &list->first;
    file->next = NULL;
    *list->end = file;
    list->end = &file->next;
    list->count++;
}

struct work_file *work_list_take(struct work_list *list)
{
    struct work_file *file = list->first;
    if (file == NULL)
        return NULL;
    list->first = file->next;
    list->count--;
    return file;
}

void work_list_free(struct work_list *list)
{
    for (struct work_file *file; (file = work_list_take(list)) != NULL;)
        work_file_free(file);
}

/* ---- a file ---- */

bool work_file_open(struct work_file *file, const struct files_roots *rules, struct error *err)
{
    struct files_roots roots = *rules;
    roots.root = file->place->input_dir;
    if (!files_open_input(&roots, file->task.path, &file->input, &file->status, err))
        return false;
    file->rec.size_bytes = (uint64_t)file->status.st_size;
    file->rec.mtime_ns = (int64_t)file->status.st_mtim.tv_sec * 1000000000 + file->status.st_mtim.tv_nsec;
    return true;
}

static const char *copy_text(struct buffer *into, const char *text)
{
    if (text == NULL)
        return NULL;
    size_t offset = into->length;
    buffer_append(into, text, strlen(text) + 1);
    return into->data + offset;
}

void work_file_keep_identity(struct work_file *file, const struct metadata_identity *from)
{
    const char *texts[] = {from->patient_id, from->study_instance_uid, from->series_instance_uid,
                           from->sop_instance_uid};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        bytes += texts[i] != NULL ? strlen(texts[i]) + 1 : 0;
    (void)buffer_reserve(&file->identity_text, bytes); /* so that it does not move below */
    file->identity = *from;
    file->identity.modality = NULL;
    file->identity.patient_id = copy_text(&file->identity_text, texts[0]);
    file->identity.study_instance_uid = copy_text(&file->identity_text, texts[1]);
    file->identity.series_instance_uid = copy_text(&file->identity_text, texts[2]);
    file->identity.sop_instance_uid = copy_text(&file->identity_text, texts[3]);
    file->has_identity = true;
}

bool work_file_has_patient(const struct work_file *file)
{
    return file->identity.patient_id != NULL && !file->identity.patient_id_is_multiple;
}

bool work_file_has_more_frames(const struct work_file *file, uint32_t frame_index)
{
    return wire_has_more_frames(&file->task.options, file->frames_there, frame_index);
}

void work_file_check_unchanged(struct work_file *file)
{
    struct stat now;
    if (file->input < 0 || (fstat(file->input, &now) == 0 && now.st_size == file->status.st_size &&
                            now.st_mtim.tv_sec == file->status.st_mtim.tv_sec &&
                            now.st_mtim.tv_nsec == file->status.st_mtim.tv_nsec))
        return;
    /* Where somebody else has done the file meanwhile, and the job is over, the pictures are his. */
    bool is_over = places_is_over(file->place, &file->task);
    for (size_t i = 0; i < file->rec.frame_count && !is_over; i++)
        if (file->rec.frames[i].png != 0)
            (void)nolink_unlink(file->place->output.dir, record_text(&file->rec, file->rec.frames[i].png), 0);
    file->rec.frame_count = 0;
    verdict_fail(&file->rec, CATEGORY_NOT_USABLE, CODE_INPUT_CHANGED, "the file changed while it was read");
}

bool work_file_copy_failed(struct work_file *file, struct naming *naming, bool is_synced, struct buffer *path,
                           struct error *err)
{
    struct record *rec = &file->rec;
    if (rec->category == CATEGORY_NONE || file->input < 0)
        return true;
    buffer_truncate(path, 0);
    naming_failed_path(naming, path, file->task.path, rec->category);
    const char *text = buffer_text(path);
    char *folder = xmemdup_text(text, (size_t)(strrchr(text, '/') - text));
    bool ok = files_make_folders(file->place->output.dir, folder, err) &&
              files_copy(file->input, file->place->output.dir, text, is_synced, err) &&
              (!is_synced || places_sync_name(file->place, text, err));
    free(folder);
    if (!ok && err->kind == ERROR_INPUT)
        return true; /* what cannot be read cannot be copied; its record says so already */
    if (ok)
        rec->failed_copy = record_add_text(rec, text, strlen(text));
    CRASH_POINT("worker.failed_copied");
    return ok;
}

/* ---- its record ---- */

static bool spill(const struct work_file *file, const char *path, const struct buffer *json,
                  struct error *err)
{
    struct files_draft draft = {0};
    int dir = file->place->output.dir;
    if (!files_make_folders(dir, JOB_RECORDS, err) || !files_draft_begin(&draft, dir, path, true, err))
        return false;
    (void)fwrite(json->data, 1, json->length, draft.stream); /* files_draft_finish() tells */
    return files_draft_finish(&draft, err);
}

bool work_file_write_record(struct work_file *file, struct queue *results, struct buffer *json,
                            struct error *err)
{
    if (!queue_is_durable(results)) { /* the aggregator is a thread of this process */
        record_pack(&file->rec, json);
        return true;
    }
    record_to_json(&file->rec, json);
    if (json->length <= queue_longest(results))
        return true;
    char *path = xasprintf(JOB_RECORDS "/%s-%llu-%u", file->rec.job, (unsigned long long)file->rec.seq,
                           (unsigned)file->rec.round);
    bool ok = spill(file, path, json, err);
    CRASH_POINT("worker.record_spilled");
    if (ok) {
        buffer_truncate(json, 0);
        record_to_json_spilled(&file->rec, path, json);
    }
    free(path);
    return ok;
}
