#include "worker/work.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/files.h"
#include "common/log.h"
#include "common/record.h"
#include "common/task.h"
#include "worker/draft.h"
#include "worker/metadata.h"
#include "worker/naming.h"
#include "worker/verdict.h"

/* One file on its way through a decoder. */
struct file {
    struct file *next_spare;
    struct queue_message message;
    struct task task;
    struct record rec;
    struct stat status; /* of the input when it was opened */
    int input;          /* -1: not open                    */
    bool has_identity;
    struct metadata_identity identity; /* texts in `identity_text` */
    struct buffer identity_text;
    size_t attribute_count;
    enum wire_object object;
    uint32_t frame_count; /* of the file */
    uint32_t frame_index; /* the one that is awaited */
    bool is_decoded;      /* every frame so far */
};

struct slot {
    struct file *file; /* NULL: idle */
    struct draft draft;
};

struct work {
    struct work_options options;
    struct pool *pool;
    struct metadata *md;
    struct slot *slots;
    unsigned busy;
    struct file *spare;
    struct buffer request, json, path;
    /* The folders of the job at hand; a worker serves one job's files mostly in a row. */
    char *input_root, *output_root;
    int input_dir, output_dir;
    int *link_roots;
    size_t link_root_count;
    char id[20];
    uint64_t drafts;
};

/* ---- folders ---- */

static void close_folder(int *descriptor, char **name)
{
    if (*descriptor >= 0)
        (void)close(*descriptor);
    *descriptor = -1;
    free(*name);
    *name = NULL;
}

static bool use_folder(const char *wanted, int *descriptor, char **name, struct error *err)
{
    if (*name != NULL && strcmp(*name, wanted) == 0)
        return true;
    close_folder(descriptor, name);
    if (!files_open_folder(wanted, descriptor, err))
        return false;
    *name = xstrdup(wanted);
    return true;
}

static bool prepare_draft(struct work *work, struct draft *draft, struct error *err)
{
    char name[40];
    (void)snprintf(name, sizeof name, "%s-%llx", work->id, (unsigned long long)work->drafts++);
    return draft_prepare(draft, work->output_dir, name, err);
}

/* ---- a file's record ---- */

static struct file *file_new(struct work *work)
{
    struct file *file = work->spare;
    if (file != NULL)
        work->spare = file->next_spare;
    else
        file = xcalloc(1, sizeof *file);
    record_reset(&file->rec);
    file->input = -1;
    file->has_identity = false;
    file->attribute_count = 0;
    file->object = WIRE_NOT_DICOM;
    file->frame_count = 0;
    file->is_decoded = false;
    buffer_truncate(&file->identity_text, 0);
    return file;
}

static void file_free(struct file *file)
{
    if (file->input >= 0)
        (void)close(file->input);
    task_clear(&file->task);
    record_clear(&file->rec);
    buffer_clear(&file->identity_text);
    free(file);
}

static const char *copy_text(struct buffer *into, const char *text)
{
    if (text == NULL)
        return NULL;
    size_t offset = into->length;
    buffer_append(into, text, strlen(text) + 1);
    return into->data + offset;
}

/* The identity is the metadata's until the next file; ours until this one is done. */
static void keep_identity(struct file *file, const struct metadata_identity *from)
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

static bool has_patient(const struct file *file)
{
    return file->identity.patient_id != NULL && !file->identity.patient_id_is_multiple;
}

/* A file that changed under the reader is neither the old nor the new one: its pictures are taken back. */
static void check_unchanged(struct work *work, struct file *file)
{
    struct stat now;
    if (file->input < 0 || (fstat(file->input, &now) == 0 && now.st_size == file->status.st_size &&
                            now.st_mtim.tv_sec == file->status.st_mtim.tv_sec &&
                            now.st_mtim.tv_nsec == file->status.st_mtim.tv_nsec))
        return;
    for (size_t i = 0; i < file->rec.frame_count; i++)
        if (file->rec.frames[i].png != 0)
            (void)unlinkat(work->output_dir, record_text(&file->rec, file->rec.frames[i].png), 0);
    file->rec.frame_count = 0;
    verdict_fail(&file->rec, CATEGORY_NOT_USABLE, CODE_INPUT_CHANGED, "the file changed while it was read");
}

/* Copies of failed files, by category; of one with too many attributes too. */
static bool copy_failed(struct work *work, struct file *file, struct error *err)
{
    struct record *rec = &file->rec;
    if (rec->category == CATEGORY_NONE || file->input < 0)
        return true;
    buffer_truncate(&work->path, 0);
    naming_failed_path(&work->path, file->task.path, rec->category);
    const char *path = buffer_text(&work->path);
    char *folder = xmemdup_text(path, (size_t)(strrchr(path, '/') - path));
    bool ok = files_make_folders(work->output_dir, folder, err) &&
              files_copy(file->input, work->output_dir, path, err);
    free(folder);
    if (!ok && err->kind == ERROR_INPUT)
        return true; /* what cannot be read cannot be copied; its record says so already */
    if (ok)
        rec->failed_copy = record_add_text(rec, path, strlen(path));
    return ok;
}

/* The last steps, in this order: the record is sent, the transport answers for it, the task is acknowledged.
 */
static bool deliver(struct work *work, struct file *file, struct error *err)
{
    buffer_truncate(&work->json, 0);
    record_to_json(&file->rec, &work->json);
    const struct queue_address to = {.key = file->rec.job};
    return queue_forward(work->options.results, &to, work->json.data, work->json.length, work->options.tasks,
                         &file->message, err);
}

static bool finish(struct work *work, struct file *file, struct error *err)
{
    struct verdict_facts facts = {file->object, file->is_decoded, has_patient(file), file->attribute_count};
    check_unchanged(work, file);
    verdict_conclude(&file->rec, &file->task.options, &facts);
    bool ok = copy_failed(work, file, err) && deliver(work, file, err);
    if (file->input >= 0)
        (void)close(file->input);
    file->input = -1;
    file->next_spare = work->spare;
    work->spare = file;
    return ok;
}

/* ---- beginning a file ---- */

static bool open_input(struct work *work, struct file *file, struct error *err)
{
    struct files_roots roots = {.root = work->input_dir,
                                .link_roots = work->link_roots,
                                .link_root_count = work->link_root_count,
                                .anywhere = work->options.links_anywhere};
    if (!files_open_input(&roots, file->task.path, &file->input, &file->status, err))
        return false;
    file->rec.size_bytes = (uint64_t)file->status.st_size;
    file->rec.mtime_ns = (int64_t)file->status.st_mtim.tv_sec * 1000000000 + file->status.st_mtim.tv_nsec;
    return true;
}

/* Parse a task and open its file. *failed: the record is complete as it is. */
static bool begin(struct work *work, struct file *file, bool *failed, struct error *err)
{
    *failed = false;
    if (!task_from_json(file->message.bytes, file->message.length, &file->task, err)) {
        err->kind = ERROR_BUG; /* in one process nobody but us writes tasks */
        return false;
    }
    memcpy(file->rec.job, file->task.job, sizeof file->rec.job);
    file->rec.seq = file->task.seq;
    file->rec.path = record_add_text(&file->rec, file->task.path, strlen(file->task.path));
    if (!use_folder(file->task.input, &work->input_dir, &work->input_root, err) ||
        !use_folder(file->task.output, &work->output_dir, &work->output_root, err))
        return false;
    struct error reason;
    if (open_input(work, file, &reason))
        return true;
    if (reason.kind != ERROR_INPUT) {
        *err = reason;
        return false;
    }
    verdict_fail(&file->rec, reason.category, reason.code, reason.text);
    *failed = true;
    return true;
}

static bool send_convert(struct work *work, int slot, struct file *file, struct error *err)
{
    struct draft *draft = &work->slots[slot].draft;
    struct wire_convert convert = {.options = file->task.options,
                                   .has_output = file->task.options.print_images};
    if (convert.has_output && !prepare_draft(work, draft, err))
        return false;
    int descriptors[] = {file->input, draft->descriptor};
    buffer_truncate(&work->request, 0);
    wire_write_convert(&work->request, &convert);
    work->slots[slot].file = file;
    work->busy++;
    pool_send(work->pool, slot, &work->request, descriptors, convert.has_output ? 2 : 1, true);
    return true;
}

/* Give idle decoders their next files. */
static bool fill_idle(struct work *work, struct error *err)
{
    for (int slot; (slot = pool_idle_slot(work->pool)) >= 0;) {
        struct file *file = file_new(work);
        bool failed;
        if (!queue_receive(work->options.tasks, 0, &file->message, err) ||
            (file->message.bytes != NULL && !begin(work, file, &failed, err))) {
            file_free(file);
            return false;
        }
        if (file->message.bytes == NULL) {
            file->next_spare = work->spare;
            work->spare = file;
            return true;
        }
        if (failed ? !finish(work, file, err) : !send_convert(work, slot, file, err))
            return false;
    }
    return true;
}

/* ---- answers ---- */

/* The slot's file is done: its decoder gets the next one first, then the record is finished. */
static bool complete(struct work *work, int slot, bool release, bool take_more, struct error *err)
{
    struct file *file = work->slots[slot].file;
    work->slots[slot].file = NULL;
    work->busy--;
    if (release)
        pool_release(work->pool, slot);
    bool filled = !take_more || fill_idle(work, err);
    struct error finish_error;
    bool finished = finish(work, file, &finish_error);
    if (filled && !finished)
        *err = finish_error;
    return filled && finished;
}

/* The header is read: columns and names, while the decoder is at the pixels. */
static void take_inspected(struct work *work, struct file *file, const struct wire_inspected *in)
{
    struct record *rec = &file->rec;
    struct metadata_identity identity;
    metadata_flatten(work->md, in->elements, in->elements_length, &file->task.options, rec, &identity);
    keep_identity(file, &identity);
    file->attribute_count = identity.attribute_count;
    file->object = in->object;
    file->frame_count = in->frame_count;
    file->frame_index = in->first_frame;
    rec->transfer_syntax = record_add_text(rec, in->transfer_syntax, strlen(in->transfer_syntax));
    if (identity.modality != NULL)
        rec->modality = record_add_text(rec, identity.modality, strlen(identity.modality));
    bool is_ignored = in->object == WIRE_NOT_DICOM && !file->task.options.pattern_given &&
                      !verdict_claims_to_be_dicom(file->task.path);
    file->is_decoded = in->failure.category == CATEGORY_NONE && in->object == WIRE_IMAGE;
    if (is_ignored)
        rec->status = RECORD_IGNORED;
    else if (in->failure.category != CATEGORY_NONE)
        verdict_fail(rec, in->failure.category, in->failure.code, in->failure.reason);
    else if (in->object == WIRE_NO_IMAGE)
        rec->status = RECORD_NO_IMAGE;
}

static bool take_picture(struct work *work, int slot, const struct wire_frame *in, struct error *err)
{
    struct file *file = work->slots[slot].file;
    struct record *rec = &file->rec;
    buffer_truncate(&work->path, 0);
    naming_png_path(&work->path, file->task.path, &file->identity, &file->task.options,
                    file->frame_count > 1 ? in->frame_index + 1 : 0);
    const char *path = buffer_text(&work->path);
    if (!draft_publish(&work->slots[slot].draft, work->output_dir, path, in->png_bytes, err))
        return false;
    struct record_frame *frame = record_add_frame(rec);
    frame->frame = in->frame_index + 1;
    frame->png = record_add_text(rec, path, work->path.length);
    frame->png_bytes = in->png_bytes;
    frame->offset = in->offset;
    frame->maximum = in->maximum;
    frame->scaling = record_add_text(rec, in->scaling, strlen(in->scaling));
    frame->notes = record_add_text(rec, in->notes, strlen(in->notes));
    return true;
}

/* A frame that failed costs that frame: the file is a failure that names it, its other frames stay. */
static void take_failed_frame(struct file *file, const struct wire_frame *in)
{
    struct record *rec = &file->rec;
    char reason[WIRE_REASON_SIZE + 32];
    if (file->frame_count > 1 && !file->task.options.compatibility_niffler)
        (void)snprintf(reason, sizeof reason, "frame %u: %s", in->frame_index + 1, in->failure.reason);
    else
        (void)snprintf(reason, sizeof reason, "%s", in->failure.reason);
    if (rec->status != RECORD_FAILED)
        verdict_fail(rec, in->failure.category, in->failure.code, reason);
}

static bool send_frame_request(struct work *work, int slot, uint32_t frame_index, struct error *err)
{
    struct draft *draft = &work->slots[slot].draft;
    struct wire_frame_request request = {.frame_index = frame_index, .has_output = true};
    if (!prepare_draft(work, draft, err))
        return false;
    work->slots[slot].file->frame_index = frame_index;
    buffer_truncate(&work->request, 0);
    wire_write_frame_request(&work->request, &request);
    pool_send(work->pool, slot, &work->request, &draft->descriptor, 1, false);
    return true;
}

/* *more: another frame of this file is being decoded. */
static bool take_frame(struct work *work, int slot, const struct wire_frame *in, bool *more,
                       struct error *err)
{
    struct file *file = work->slots[slot].file;
    const struct options *options = &file->task.options;
    *more = false;
    file->is_decoded &= in->is_decoded;
    if (in->failure.category == CATEGORY_NONE) {
        bool is_wanted = has_patient(file) || !options->compatibility_niffler; /* Niffler names by it */
        if (is_wanted && !take_picture(work, slot, in, err))
            return false;
    } else if (strcmp(in->failure.code, CODE_OUTPUT_FULL) == 0 ||
               strcmp(in->failure.code, CODE_OUTPUT_IO) == 0) {
        return error_set(err, ERROR_FATAL, "cannot write a picture to the output folder: %s",
                         in->failure.reason);
    } else {
        take_failed_frame(file, in);
    }
    *more = options->frames == FRAMES_ALL && !options->compatibility_niffler &&
            in->frame_index + 1 < file->frame_count;
    return !*more || send_frame_request(work, slot, in->frame_index + 1, err);
}

/* One reply. *is_done: the file needs nothing more of its decoder. Fails with ERROR_INPUT where the reply is
 * nonsense. */
static bool take_reply(struct work *work, const struct pool_event *event, bool *is_done, struct error *err)
{
    struct file *file = work->slots[event->slot].file;
    bool awaits_inspected = !file->has_identity, more;
    *is_done = false;
    if (event->type == WIRE_INSPECTED && awaits_inspected) {
        struct wire_inspected inspected;
        if (!wire_read_inspected(event->body, event->length, &inspected, err))
            return false;
        if (inspected.frame_follows && !file->task.options.print_images)
            return error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "a frame that nobody asked for");
        take_inspected(work, file, &inspected);
        *is_done = !inspected.frame_follows;
        return true;
    }
    struct wire_frame frame;
    if (event->type != WIRE_FRAME || awaits_inspected ||
        !wire_read_frame(event->body, event->length, &frame, err) || frame.frame_index != file->frame_index)
        return error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "an answer to another question");
    if (!take_frame(work, event->slot, &frame, &more, err))
        return false;
    *is_done = !more;
    return true;
}

static void log_death(const struct file *file, const struct error *cause)
{
    log_event(LOG_LEVEL_WARN, "worker", "decoder_ended", "job=%s seq=%llu code=%s", log_text(file->task.job),
              (unsigned long long)file->task.seq, cause->code);
}

static bool take_event(struct work *work, struct pool_event *event, bool take_more, struct error *err)
{
    struct error reason;
    bool is_done = false;
    if (event->kind == POOL_REPLY && !take_reply(work, event, &is_done, &reason)) {
        if (reason.kind != ERROR_INPUT) {
            *err = reason;
            return false;
        }
        pool_reject(work->pool, event, &reason);
    }
    if (event->kind == POOL_DIED) {
        struct file *file = work->slots[event->slot].file;
        log_death(file, &event->cause);
        file->is_decoded = false;
        if (file->object == WIRE_NOT_DICOM)
            file->object = WIRE_IMAGE; /* not known; a decoder does not die of text files */
        verdict_fail(&file->rec, event->cause.category, event->cause.code, event->cause.text);
        return complete(work, event->slot, false, take_more, err);
    }
    return !is_done || complete(work, event->slot, true, take_more, err);
}

/* ---- public ---- */

static bool open_link_roots(struct work *work, struct error *err)
{
    const char *const *roots = work->options.link_roots;
    size_t count = 0;
    while (roots != NULL && roots[count] != NULL)
        count++;
    work->link_roots = xcalloc(count, sizeof *work->link_roots);
    for (; work->link_root_count < count; work->link_root_count++)
        if (!files_open_folder(roots[work->link_root_count], &work->link_roots[work->link_root_count], err))
            return error_prefix(err, "LinkRoots");
    return true;
}

bool work_open(struct work **out, const struct work_options *options, struct error *err)
{
    struct work *work = xcalloc(1, sizeof *work);
    uint64_t id = 0;
    *out = NULL;
    work->options = *options;
    work->input_dir = work->output_dir = -1;
    work->slots = xcalloc(options->pool.count, sizeof *work->slots);
    for (unsigned i = 0; i < options->pool.count; i++)
        work->slots[i].draft.descriptor = -1;
    /* Names of drafts only: unique among the workers that share an output folder. */
    if (getrandom(&id, sizeof id, 0) != sizeof id)
        id = (uint64_t)getpid();
    (void)snprintf(work->id, sizeof work->id, "%016llx", (unsigned long long)id);
    work->md = metadata_new();
    if (!pool_start(&work->pool, &options->pool, err) || !open_link_roots(work, err)) {
        work_close(work);
        return false;
    }
    *out = work;
    return true;
}

bool work_run(struct work *work, bool *stopped, struct error *err)
{
    *stopped = false;
    for (;;) {
        struct pool_event event;
        if (!*stopped && !fill_idle(work, err))
            return false;
        bool finished = queue_is_finished(work->options.tasks);
        if (work->busy == 0 && (*stopped || finished))
            return true;
        /* The queue is of interest only while a decoder is idle. */
        bool wants_tasks = !*stopped && !finished && pool_idle_slot(work->pool) >= 0;
        int others[] = {*stopped ? -1 : work->options.stop_descriptor,
                        wants_tasks ? queue_descriptor(work->options.tasks) : -1};
        if (!pool_wait(work->pool, -1, others, 2, &event, err))
            return false;
        if (event.kind == POOL_DESCRIPTOR && event.slot == 0) {
            *stopped = true;
            log_event(LOG_LEVEL_INFO, "worker", "stopping", "busy=%u", work->busy);
        } else if (event.kind == POOL_REPLY || event.kind == POOL_DIED) {
            if (!take_event(work, &event, !*stopped, err))
                return false;
        }
    }
}

void work_close(struct work *work)
{
    if (work == NULL)
        return;
    pool_stop(work->pool);
    for (unsigned i = 0; i < work->options.pool.count; i++) {
        draft_drop(&work->slots[i].draft, work->output_dir);
        if (work->slots[i].file != NULL)
            file_free(work->slots[i].file);
    }
    while (work->spare != NULL) {
        struct file *file = work->spare;
        work->spare = file->next_spare;
        file_free(file);
    }
    for (size_t i = 0; i < work->link_root_count; i++)
        (void)close(work->link_roots[i]);
    free(work->link_roots);
    close_folder(&work->input_dir, &work->input_root);
    close_folder(&work->output_dir, &work->output_root);
    metadata_free(work->md);
    buffer_clear(&work->request);
    buffer_clear(&work->json);
    buffer_clear(&work->path);
    free(work->slots);
    free(work);
}
