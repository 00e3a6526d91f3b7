/* What decoders answer, and how they die. */
#include <stdio.h>
#include <string.h>

#include "common/crash.h"
#include "common/log.h"
#include "common/meter.h"
#include "worker/naming.h"
#include "worker/picture_check.h"
#include "worker/verdict.h"
#include "worker/work_internal.h"

/* Take the decoder's file out of its slot; what was sent ahead behind it comes next. */
static struct work_file *vacate(struct work *work, int decoder)
{
    struct line *line = &work->lines[decoder];
    struct slot *slot = work_slot(work, decoder, 0); /* whose draft may serve again */
    struct work_file *file = slot->file;
    slot->file = NULL;
    slot->idle_since_ms = meter_now_ms();
    if (file->is_alone)
        work->is_alone = false;
    line->first = (line->first + 1) % WORK_LINE_SLOTS;
    line->count--;
    line->ahead.done++;
    if (line->count > 0) /* whose answer may have come together with this one's: METRICS_DECODE is no finer */
        work_slot(work, decoder, 0)->file->asked_ms = slot->idle_since_ms;
    else
        work->busy--;
    return file;
}

/* The slot's file is done: its decoder gets the next one first, then the record is finished. */
static bool complete(struct work *work, int slot, bool release, struct error *err)
{
    struct work_file *file = vacate(work, slot);
    if (release)
        pool_release(work->pool, slot);
    if (!file->is_tried_again)
        work_probe_count(work, false);
    else if (release && strcmp(record_text(&file->rec, file->rec.code), CODE_LIMIT_MEMORY) != 0)
        log_event(LOG_LEVEL_INFO, "worker", "retry_succeeded", "job=%s seq=%llu", log_text(file->task.job),
                  (unsigned long long)file->task.seq);
    struct error finish_error;
    bool filled = work_fill(work, err);
    bool finished = work_finish(work, file, &finish_error);
    if (filled && !finished)
        *err = finish_error;
    return filled && finished;
}

/* A frame that failed costs that frame: the file is a failure that names the first such one, its other frames
 * stay. `is_one`: the failure is that of this frame, and not of the file. */
static void fail_frame(struct work_file *file, uint32_t frame_index, const struct wire_failure *failure,
                       bool is_one)
{
    struct record *rec = &file->rec;
    char reason[WIRE_REASON_SIZE + 32];
    if (rec->status == RECORD_FAILED)
        return;
    if (is_one && file->frame_count > 1 && !file->task.options.compatibility_niffler)
        (void)snprintf(reason, sizeof reason, "frame %u: %s", frame_index + 1, failure->reason);
    else
        (void)snprintf(reason, sizeof reason, "%s", failure->reason);
    verdict_fail(rec, failure->category, failure->code, reason);
}

/* A limit in bytes that the decoder does not see, or did not keep to. */
static void fail_at_limit(struct work_file *file, const char *code, const char *what, uint64_t limit,
                          const char *setting)
{
    char reason[96];
    (void)snprintf(reason, sizeof reason, "%s of more than %llu bytes (%s)", what, (unsigned long long)limit,
                   setting);
    verdict_fail(&file->rec, CATEGORY_DECODER, code, reason);
}

/* The header is read: columns and names, while the decoder is at the pixels. */
static void take_inspected(struct work *work, struct work_file *file, const struct wire_inspected *in)
{
    struct record *rec = &file->rec;
    struct metadata_identity identity;
    metadata_flatten(work->md, in->elements, in->elements_length, &file->task.options, rec, &identity);
    work_file_keep_identity(file, &identity);
    file->attribute_count = identity.attribute_count;
    file->object = in->object;
    file->frame_count = in->frame_count;
    file->frames_there = in->frames_there;
    file->missing = in->frame_follows ? in->failure : (struct wire_failure){0};
    file->frame_index = in->first_frame;
    rec->transfer_syntax = record_add_text(rec, in->transfer_syntax, strlen(in->transfer_syntax));
    if (identity.modality != NULL)
        rec->modality = record_add_text(rec, identity.modality, strlen(identity.modality));
    bool is_ignored = in->object == WIRE_NOT_DICOM && !file->task.options.pattern_given &&
                      !verdict_claims_to_be_dicom(file->task.path);
    file->is_decoded = in->failure.category == CATEGORY_NONE && in->object == WIRE_IMAGE;
    if (is_ignored)
        rec->status = RECORD_IGNORED;
    else if (in->failure.category != CATEGORY_NONE && !in->frame_follows)
        fail_frame(file, in->frames_there > in->first_frame ? in->frames_there : in->first_frame,
                   &in->failure, in->frames_there > 0);
    else if (in->object == WIRE_NO_IMAGE)
        rec->status = RECORD_NO_IMAGE;
    if (identity.is_cut)
        fail_at_limit(file, CODE_LIMIT_ATTRIBUTES, "cells and names of columns",
                      file->task.options.max_metadata_bytes, "MaxMetadataBytes");
    CRASH_POINT("worker.inspected");
}

static bool take_picture(struct work *work, int slot, const struct wire_frame *in, struct error *err)
{
    struct work_file *file = work_slot(work, slot, 0)->file;
    struct record *rec = &file->rec;
    buffer_truncate(&work->path, 0);
    naming_png_path(work->naming, &work->path, file->task.path, &file->identity, &file->task.options,
                    file->frame_count > 1 ? in->frame_index + 1 : 0);
    const char *path = buffer_text(&work->path);
    CRASH_POINT("worker.picture_written");
    /* A sync that failed may have lost what was there of it, and the next one would not tell: its own does.
     */
    bool is_synced = work->options.durability == DURABILITY_FILE ||
                     (work->options.durability == DURABILITY_BATCH && work->waits_for_storage);
    struct draft *draft = &work_slot(work, slot, 0)->draft;
    if (!picture_check(draft->descriptor, in, &file->task.options, err) ||
        !draft_publish(draft, &file->place->output, path, is_synced, err) ||
        (is_synced && !places_sync_name(file->place, path, err)))
        return false;
    CRASH_POINT("worker.picture_published");
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

static bool send_frame_request(struct work *work, int slot, uint32_t frame_index, struct error *err)
{
    struct slot *s = work_slot(work, slot, 0);
    struct wire_frame_request request = {.frame_index = frame_index, .has_output = true};
    if (!work_prepare_draft(work, s, err))
        return false;
    s->file->frame_index = frame_index;
    buffer_truncate(&work->request, 0);
    wire_write_frame_request(&work->request, &request);
    pool_send(work->pool, slot, &work->request, &s->draft.descriptor, 1, false);
    CRASH_POINT("worker.frame_asked");
    return true;
}

/* *more: another frame of this file is being decoded. */
static bool take_frame(struct work *work, int slot, const struct wire_frame *in, bool *more,
                       struct error *err)
{
    struct work_file *file = work_slot(work, slot, 0)->file;
    const struct options *options = &file->task.options;
    *more = false;
    file->is_decoded &= in->is_decoded;
    if (in->failure.category == CATEGORY_NONE) {
        bool is_wanted =
            work_file_has_patient(file) || !options->compatibility_niffler; /* Niffler names by it */
        bool is_long = in->png_bytes > options->max_picture_bytes;
        if (is_long && file->rec.status != RECORD_FAILED)
            fail_at_limit(file, CODE_LIMIT_OUTPUT, "a picture", options->max_picture_bytes,
                          "MaxPictureBytes");
        if (is_wanted && !is_long && !take_picture(work, slot, in, err))
            return false;
    } else if (strcmp(in->failure.code, CODE_OUTPUT_FULL) == 0 ||
               strcmp(in->failure.code, CODE_OUTPUT_IO) == 0) {
        /* Else it may have passed already, or the decoder lies to stop us. */
        bool is_so = !draft_can_grow(&work_slot(work, slot, 0)->draft, options->max_picture_bytes);
        return is_so ? error_set(err, ERROR_RETRY, "cannot write a picture to the output folder: %s",
                                 in->failure.reason)
                     : error_input(err, CATEGORY_DECODER, CODE_OUTPUT_IO,
                                   "the decoder cannot write to the output folder, we can");
    } else {
        fail_frame(file, in->frame_index, &in->failure, true);
        CRASH_POINT("worker.frame_failed");
    }
    *more = work_file_has_more_frames(file, in->frame_index);
    if (!*more && file->missing.category != CATEGORY_NONE)
        fail_frame(file, file->frames_there, &file->missing, true);
    return !*more || send_frame_request(work, slot, in->frame_index + 1, err);
}

/* Whether the frame that comes without being asked for is the one that the options choose. */
static bool is_first_frame(const struct options *options, const struct wire_inspected *in)
{
    switch (options->frames) {
    case FRAMES_MIDDLE:
        return in->first_frame == in->frame_count / 2;
    case FRAMES_NUMBER:
        return in->first_frame + 1 == options->frame_number;
    default:
        return in->first_frame == 0;
    }
}

enum answer { ANSWER_MORE, ANSWER_LAST, ANSWER_AGAIN };

/* Whether memory was lacking that another decoder may have: this one had files before. */
static bool lacks_memory(const struct work_file *file, const struct pool_event *event,
                         const struct wire_failure *failure)
{
    return !event->is_fresh && !file->is_tried_again && strcmp(failure->code, CODE_LIMIT_MEMORY) == 0;
}

/* One reply, and whether another one comes, it was the last, or the file is to be tried in a fresh decoder.
 * Fails with ERROR_INPUT where the reply is nonsense. */
static bool take_reply(struct work *work, const struct pool_event *event, enum answer *answer,
                       struct error *err)
{
    struct work_file *file = work_slot(work, event->slot, 0)->file;
    bool awaits_inspected = !file->has_identity, more;
    *answer = ANSWER_AGAIN;
    if (event->type == WIRE_INSPECTED && awaits_inspected) {
        struct wire_inspected inspected;
        if (!wire_read_inspected(event->body, event->length, &inspected, err))
            return false;
        if (inspected.number != file->number)
            return error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "an answer about another file");
        if (inspected.frame_follows &&
            (!file->task.options.print_images || !is_first_frame(&file->task.options, &inspected)))
            return error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "a frame that nobody asked for");
        if (inspected.frame_count > file->task.options.max_frames)
            return error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "more frames than MaxFrames");
        if (lacks_memory(file, event, &inspected.failure))
            return true;
        take_inspected(work, file, &inspected);
        *answer = inspected.frame_follows ? ANSWER_MORE : ANSWER_LAST;
        return true;
    }
    struct wire_frame frame;
    if (event->type != WIRE_FRAME || awaits_inspected ||
        !wire_read_frame(event->body, event->length, &frame, err) || frame.number != file->number ||
        frame.frame_index != file->frame_index)
        return error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "an answer to another question");
    if (lacks_memory(file, event, &frame.failure))
        return true;
    if (!take_frame(work, event->slot, &frame, &more, err))
        return false;
    *answer = more ? ANSWER_MORE : ANSWER_LAST;
    return true;
}

/* The decoder has answered, and its file is taken from it. One that waits for the rest of the file's frames
 * to be asked for would not begin with another file. */
static struct work_file *release_early(struct work *work, int slot)
{
    const struct work_file *file = work_slot(work, slot, 0)->file;
    bool waits = work_file_has_more_frames(file, file->frame_index);
    if (waits)
        work_take_back_ahead(work, slot);
    struct work_file *vacated = vacate(work, slot);
    if (waits)
        pool_renew(work->pool, slot);
    else
        pool_release(work->pool, slot);
    return vacated;
}

/* The file is to be tried in a fresh decoder, with nothing beside it. */
static void try_alone(struct work *work, struct work_file *file)
{
    work_file_reset(file);
    file->is_tried_again = file->is_alone = true;
    work_list_add(&work->lone, file);
    metrics_add(work->options.metrics, METRIC_RETRIES, 1);
    CRASH_POINT("worker.lone_waits");
}

/* A crash, or an answer that makes no sense, may have been chance, or the doing of a file before; so may a
 * lack of memory, but in a decoder's first file: the file is tried once more. Another limit would be met
 * again. While it is not known whether the decoder itself is broken, no crash is a file's fault. */
static bool take_death(struct work *work, const struct pool_event *event, struct error *err)
{
    struct work_file *file = work_slot(work, event->slot, 0)->file;
    const char *code = event->cause.code;
    log_event(LOG_LEVEL_WARN, "worker", "decoder_ended", "job=%s seq=%llu code=%s", log_text(file->task.job),
              (unsigned long long)file->task.seq, log_text(code));
    bool is_memory = strcmp(code, CODE_LIMIT_MEMORY) == 0;
    bool is_limit = strcmp(code, CODE_LIMIT_TIME) == 0 || is_memory;
    metrics_add(work->options.metrics,
                strcmp(code, CODE_CRASH_SIGNAL) == 0     ? METRIC_DECODER_CRASHES
                : strcmp(code, CODE_LIMIT_TIME) == 0     ? METRIC_DECODER_TIMEOUTS
                : is_memory                              ? METRIC_DECODER_MEMORY
                : strcmp(code, CODE_FORBIDDEN_CALL) == 0 ? METRIC_DECODER_FORBIDDEN
                                                         : METRIC_DECODER_NONSENSE,
                1);
    CRASH_POINT("worker.decoder_died");
    work_take_back_ahead(work, event->slot);
    if (!is_limit && !file->is_tried_again)
        work_probe_count(work, true);
    bool may_be_others = !is_limit || (is_memory && !event->is_fresh);
    if ((may_be_others && !file->is_tried_again) || (!is_limit && work->probe.state != PROBE_NONE)) {
        try_alone(work, vacate(work, event->slot));
        return true;
    }
    file->is_decoded = false;
    if (file->object == WIRE_NOT_DICOM)
        file->object = WIRE_IMAGE; /* not known; a decoder does not die of text files */
    verdict_fail(&file->rec, event->cause.category, code, event->cause.text);
    return complete(work, event->slot, false, err);
}

bool work_take_event(struct work *work, struct pool_event *event, struct error *err)
{
    struct error reason;
    enum answer answer = ANSWER_MORE;
    if (work->probe.state == PROBE_RUNNING && event->slot == work->probe.slot) {
        work_probe_take(work, event);
        return true;
    }
    if (event->kind == POOL_REPLY && !take_reply(work, event, &answer, &reason)) {
        if (reason.kind == ERROR_RETRY) {
            work_drop_draft(work_slot(work, event->slot, 0));
            return work_hold(work, release_early(work, event->slot), &reason, err);
        }
        if (reason.kind != ERROR_INPUT) {
            *err = reason;
            return false;
        }
        pool_reject(work->pool, event, &reason);
    } else if (event->kind == POOL_REPLY && answer == ANSWER_LAST && work->lines[event->slot].count == 1 &&
               pool_has_more(work->pool, event->slot)) {
        (void)error_input(&reason, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "more answers than questions");
        pool_reject(work->pool, event, &reason);
    }
    if (event->kind == POOL_DIED)
        return take_death(work, event, err);
    if (answer == ANSWER_AGAIN) {
        try_alone(work, release_early(work, event->slot));
        return true;
    }
    return answer != ANSWER_LAST || complete(work, event->slot, true, err);
}
