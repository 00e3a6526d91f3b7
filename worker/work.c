#include "worker/work_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/job.h"
#include "common/log.h"
#include "common/meter.h"
#include "common/nolink.h"
#include "common/outputs.h"
#include "worker/verdict.h"

#define IDLE_MS 1000 /* a decoder without a task for so long gives its draft back */

/* Most files of this size take some milliseconds, JPEG 2000 a tenth of a second: what is sent ahead behind
 * one does not wait for long while other decoders become idle. Being woken is no part of the time of a larger
 * one. */
#define AHEAD_BYTES_MAX ((uint64_t)1 << 20)

/* ---- drafts ---- */

void work_drop_draft(struct slot *slot)
{
    if (slot->place == NULL)
        return;
    draft_drop(&slot->draft, &slot->place->output);
    /* The last one out takes the folder along; where another worker is in it, this fails, and shall. */
    (void)nolink_unlink(slot->place->output.dir, OUTPUTS_INCOMING, AT_REMOVEDIR);
    places_release(slot->place);
    slot->place = NULL;
}

bool work_prepare_draft(struct work *work, struct slot *slot, struct error *err)
{
    struct place *place = slot->file->place;
    char name[40];
    if (slot->place != place) {
        work_drop_draft(slot);
        slot->place = place;
        place->users++;
    }
    (void)snprintf(name, sizeof name, "%s-%llx", work->id, (unsigned long long)work->drafts++);
    bool ok = draft_prepare(&slot->draft, &place->output, name, err);
    CRASH_POINT("worker.draft_made");
    return ok;
}

/* A worker that has nothing to do keeps nothing in anybody's output folder. */
static void drop_idle_drafts(struct work *work)
{
    int64_t now = meter_now_ms();
    for (unsigned i = 0; i < work->options.pool.count; i++)
        for (unsigned n = 0; n < WORK_LINE_SLOTS; n++) {
            struct slot *slot = &work->lines[i].slots[n];
            if (slot->place != NULL && slot->file == NULL && now - slot->idle_since_ms >= IDLE_MS)
                work_drop_draft(slot);
        }
}

/* ---- the end of a file ---- */

static void retire(struct work *work, struct work_file *file)
{
    work_file_reset(file);
    file->is_tried_again = file->is_alone = false;
    work_list_add(&work->spare, file);
}

/* The job is over: nothing is to be done for this task any more. */
static bool skip(struct work *work, struct work_file *file, struct error *err)
{
    metrics_add(work->options.metrics, METRIC_TASKS_SKIPPED, 1);
    bool ok = queue_ack(work->options.tasks, &file->message, err);
    CRASH_POINT("worker.skipped");
    retire(work, file);
    return ok;
}

/* Whether it was the end of the job that took a draft, or the folders, away: cancelled, or done by somebody
 * else. */
static bool is_over_now(const struct work_file *file)
{
    if (file->place == NULL)
        return false;
    places_look_again(file->place);
    return places_is_over(file->place, &file->task);
}

bool work_hold(struct work *work, struct work_file *file, const struct error *cause, struct error *err)
{
    if (cause->kind == ERROR_RETRY && is_over_now(file))
        return skip(work, file, err);
    if (cause->kind != ERROR_RETRY || work->options.storage_probe_seconds == 0) {
        *err = *cause;
        work_file_free(file);
        return false;
    }
    if (!work->waits_for_storage)
        log_event(LOG_LEVEL_WARN, "worker", "storage_unavailable", "reason=%s", log_text(cause->text));
    work->waits_for_storage = true;
    work->probe_ms = meter_now_ms() + (int64_t)work->options.storage_probe_seconds * 1000;
    metrics_set(work->options.metrics, METRIC_STORAGE_BREAKER, 1);
    work_file_reset(file);
    places_forget(work->places);
    work_list_add(file->is_alone ? &work->lone : &work->held, file);
    CRASH_POINT("worker.storage_held");
    return true;
}

void work_storage_is_back(struct work *work)
{
    if (!work->waits_for_storage)
        return;
    work->waits_for_storage = false;
    metrics_set(work->options.metrics, METRIC_STORAGE_BREAKER, 0);
    log_event(LOG_LEVEL_INFO, "worker", "storage_back", "held=%zu", work->held.count);
    CRASH_POINT("worker.storage_back");
}

bool work_finish(struct work *work, struct work_file *file, struct error *err)
{
    struct verdict_facts facts = {file->object, file->is_decoded, work_file_has_patient(file),
                                  file->attribute_count};
    struct error cause;
    file->answered_ms = meter_now_ms();
    work_file_check_unchanged(file);
    verdict_conclude(&file->rec, &file->task.options, &facts);
    CRASH_POINT("worker.concluded");
    buffer_truncate(&work->json, 0);
    if (!work_file_copy_failed(file, work->naming, work->options.durability == DURABILITY_FILE, &work->path,
                               &cause) ||
        !work_file_write_record(file, work->options.results, &work->json, &cause))
        return work_hold(work, file, &cause, err);
    bool ok = work_deliver(work, file, err);
    if (file->is_alone)
        work->is_alone = false;
    retire(work, file);
    return ok;
}

/* ---- dead letters ---- */

/* A message that cannot be read goes where people look for such, with the reason, and is out of the way. */
static bool set_aside(struct work *work, struct work_file *file, const struct error *cause, struct error *err)
{
    const struct queue_message *message = &file->message;
    const struct queue_address anywhere = {0};
    if (work->options.dead == NULL)
        return error_set(err, ERROR_BUG, "a task of our own cannot be read: %s", cause->text);
    log_event(LOG_LEVEL_WARN, "worker", "dead_letter", "reason=%s", log_text(cause->text));
    metrics_add(work->options.metrics, METRIC_DEAD_LETTERS, 1);
    buffer_truncate(&work->json, 0);
    letter_to_json("task", cause->text, message->bytes, message->length, &work->json);
    bool ok = queue_forward(work->options.dead, &anywhere, work->json.data, work->json.length,
                            work->options.tasks, &file->message, err);
    CRASH_POINT("worker.dead_letter_sent");
    retire(work, file);
    return ok;
}

/* ---- beginning a file ---- */

/* Read the task and open its folders. Fails with ERROR_INPUT: not a task; ERROR_RETRY. */
static bool take_task(struct work *work, struct work_file *file, struct error *err)
{
    struct task *task = &file->task;
    if (!task_from_json(file->message.bytes, file->message.length, task, err))
        return false;
    if (!files_is_beneath(task->path))
        return error_set(err, ERROR_INPUT, "task whose path leads out of its folder");
    memcpy(file->rec.job, task->job, sizeof file->rec.job);
    file->rec.seq = task->seq;
    file->rec.round = task->round;
    file->rec.path = record_add_text(&file->rec, task->path, strlen(task->path));
    return places_use(work->places, task, &file->place, err);
}

static bool send_convert(struct work *work, int decoder, struct work_file *file, struct error *err)
{
    struct line *line = &work->lines[decoder];
    bool is_ahead = line->count > 0;
    struct slot *s = work_slot(work, decoder, line->count);
    file->number = ++work->asked;
    struct wire_convert convert = {.number = file->number,
                                   .options = file->task.options,
                                   .has_output = file->task.options.print_images,
                                   .rings = pool_next_rings(work->pool, decoder)};
    s->file = file;
    if (convert.has_output && !work_prepare_draft(work, s, err)) {
        work_drop_draft(s);
        s->file = NULL;
        return false;
    }
    int descriptors[] = {file->input, s->draft.descriptor};
    buffer_truncate(&work->request, 0);
    wire_write_convert(&work->request, &convert);
    file->asked_ms = meter_now_ms();
    metrics_observe(work->options.metrics, METRICS_OPEN, (double)(file->asked_ms - file->begun_ms) / 1000);
    size_t descriptor_count = convert.has_output ? 2 : 1;
    line->count++;
    if (is_ahead) {
        pool_send_ahead(work->pool, decoder, &work->request, descriptors, descriptor_count);
        CRASH_POINT("worker.decoder_asked_ahead");
        return true;
    }
    work->busy++;
    work->is_alone |= file->is_alone;
    pool_limit_output(work->pool, decoder, convert.options.max_picture_bytes);
    pool_send(work->pool, decoder, &work->request, descriptors, descriptor_count, true);
    CRASH_POINT("worker.decoder_asked");
    return true;
}

/* A file of which the worker itself has died is not touched any more. */
static bool give_up(struct work *work, struct work_file *file, struct error *err)
{
    log_event(LOG_LEVEL_ERROR, "worker", "quarantined", "job=%s seq=%llu", log_text(file->task.job),
              (unsigned long long)file->task.seq);
    metrics_add(work->options.metrics, METRIC_QUARANTINED, 1);
    file->object = WIRE_IMAGE;
    verdict_fail(&file->rec, CATEGORY_DECODER, CODE_CRASH_SIGNAL,
                 "set aside: workers died, several times, while they had this file alone");
    return work_finish(work, file, err);
}

/* Whether the file may not go behind those of the decoder: its output is limited as these say. */
static bool is_other_job(const struct work *work, int decoder, const struct work_file *file)
{
    const struct work_file *before = work_slot(work, decoder, 0)->file;
    return before != NULL && before->task.options.max_picture_bytes != file->task.options.max_picture_bytes;
}

/* Begin with `file` in an idle decoder, or send it ahead behind the files of a busy one, whatever that comes
 * to. Fails as work_step(). */
static bool begin(struct work *work, int decoder, struct work_file *file, struct error *err)
{
    struct error cause;
    file->begun_ms = meter_now_ms();
    file->is_probe = work->waits_for_storage;
    CRASH_POINT("worker.received");
    if (!take_task(work, file, &cause))
        return cause.kind == ERROR_INPUT ? set_aside(work, file, &cause, err)
                                         : work_hold(work, file, &cause, err);
    CRASH_POINT("worker.task_read");
    if (is_other_job(work, decoder, file)) {
        work_file_reset(file);
        work_list_add(&work->held, file);
        return true;
    }
    if (places_is_over(file->place, &file->task))
        return skip(work, file, err);
    if (file->message.deaths >= WORK_DEATHS_MAX)
        return give_up(work, file, err);
    CRASH_AT_NUMBER("worker.seq", file->task.seq); /* as a file does that kills whoever touches it */
    bool opened = work_file_open(file, &work->link_rules, &cause);
    CRASH_POINT("worker.input_opened");
    if (!opened && cause.kind == ERROR_INPUT) {
        verdict_fail(&file->rec, cause.category, cause.code, cause.text);
        return work_finish(work, file, err);
    }
    if (!opened || !send_convert(work, decoder, file, &cause))
        return work_hold(work, file, &cause, err);
    return true;
}

/* What comes next: a file to be tried alone, for which *slot becomes that of a fresh decoder, then those that
 * met the storage, then the queue. *file is NULL where nothing may be begun now. */
static bool next_file(struct work *work, int *slot, struct work_file **file, struct error *err)
{
    struct queue_state results;
    *file = NULL;
    bool is_probed = work->busy > 0 || work->unsynced.count > 0 || work->syncing.count > 0;
    if (work->is_alone || (work->waits_for_storage && (is_probed || meter_now_ms() < work->probe_ms)))
        return true;
    queue_state(work->options.results, &results);
    work->is_full = results.unanswered >= WORK_UNANSWERED_MAX || work_is_unsynced_full(work);
    if (work->is_full)
        return true;
    if (work->lone.first != NULL) {
        int fresh = work->busy == 0 ? pool_fresh_slot(work->pool) : -1;
        if (fresh >= 0) {
            *slot = fresh;
            *file = work_list_take(&work->lone);
            CRASH_POINT("worker.lone_begun");
        }
        return true;
    }
    *file = work_list_take(&work->held);
    if (*file != NULL)
        return true;
    *file = work_list_take(&work->spare);
    if (*file == NULL)
        *file = work_file_new();
    if (!queue_receive(work->options.tasks, 0, &(*file)->message, err)) {
        work_file_free(*file);
        return false;
    }
    if ((*file)->message.bytes == NULL) {
        work_list_add(&work->spare, *file);
        *file = NULL;
    } else {
        metrics_add(work->options.metrics, METRIC_TASKS_CONSUMED, 1);
    }
    return true;
}

/* Where the decoder is at small files it is sent its next ones now, and need not be woken for them. */
static bool send_ahead(struct work *work, int decoder, struct error *err)
{
    struct line *line = &work->lines[decoder];
    unsigned most = ahead_most(&line->ahead, work->ahead_limit, meter_now_ms());
    while (line->count <= most &&
           work_slot(work, decoder, line->count - 1)->file->rec.size_bytes <= AHEAD_BYTES_MAX &&
           !work->is_stopping && work->probe.state == PROBE_NONE &&
           pool_may_send_ahead(work->pool, decoder) && pool_idle_slot(work->pool) < 0) {
        struct work_file *file;
        if (!next_file(work, &decoder, &file, err))
            return false;
        if (file == NULL)
            return true;
        if (!begin(work, decoder, file, err))
            return false;
        if (work->held.first != NULL) /* that very file, it may be */
            return true;
    }
    return true;
}

static bool fill_ahead(struct work *work, struct error *err)
{
    for (int i = 0; i < (int)work->options.pool.count; i++) {
        const struct work_file *file = work_slot(work, i, 0)->file;
        if (file != NULL && !work_file_has_more_frames(file, file->frame_index) && !send_ahead(work, i, err))
            return false;
    }
    return true;
}

bool work_fill(struct work *work, struct error *err)
{
    if (work->probe.state != PROBE_NONE)
        return work->is_stopping || work_probe_begin(work, err);
    for (int slot;
         !work->is_stopping && work->probe.state == PROBE_NONE && (slot = pool_idle_slot(work->pool)) >= 0;) {
        struct work_file *file;
        if (!next_file(work, &slot, &file, err))
            return false;
        if (file == NULL)
            return true;
        if (!begin(work, slot, file, err))
            return false;
    }
    return fill_ahead(work, err);
}

void work_take_back_ahead(struct work *work, int decoder)
{
    struct line *line = &work->lines[decoder];
    for (unsigned n = 1; n < line->count; n++) {
        struct slot *slot = work_slot(work, decoder, n);
        work_file_reset(slot->file);
        work_list_add(&work->held, slot->file);
        slot->file = NULL;
        CRASH_POINT("worker.taken_back");
    }
    if (line->count > 1)
        line->count = 1;
}

/* ---- public ---- */

/* Say, once, how decoders are confined. */
static void report_confinement(const struct work *work)
{
    const struct confinement *confinement = pool_confinement(work->pool);
    struct buffer there = {0}, missing = {0};
    bool is_whole = true;
    for (unsigned part = 0; part < CONFINEMENT_PARTS; part++) {
        metrics_set(work->options.metrics, METRIC_SANDBOX_PRIVILEGES + part, confinement->in_force[part]);
        is_whole &= confinement->in_force[part] != 0 || !confinement_is_required(part);
    }
    confinement_append(confinement, true, &there);
    confinement_append(confinement, false, &missing);
    log_event(LOG_LEVEL_INFO, "worker", "confined", "parts=%s landlock_abi=%u", log_text(buffer_text(&there)),
              confinement->landlock_abi);
    if (!is_whole)
        log_event(LOG_LEVEL_WARN, "worker", "not_confined", "missing=%s", log_text(buffer_text(&missing)));
    buffer_clear(&there);
    buffer_clear(&missing);
}

static bool open_link_roots(struct work *work, struct error *err)
{
    const char *const *roots = work->options.link_roots;
    size_t count = 0;
    while (roots != NULL && roots[count] != NULL)
        count++;
    work->link_roots = xcalloc(count, sizeof *work->link_roots);
    work->link_rules.link_roots = work->link_roots;
    work->link_rules.anywhere = work->options.links_anywhere;
    for (size_t *n = &work->link_rules.link_root_count; *n < count; ++*n)
        if (!files_open_folder(roots[*n], &work->link_roots[*n], err))
            return error_prefix(err, "LinkRoots");
    return true;
}

bool work_open(struct work **out, const struct work_options *options, struct error *err)
{
    struct work *work = xcalloc(1, sizeof *work);
    uint64_t id = 0;
    *out = NULL;
    work->options = *options;
    work->lines = xcalloc(options->pool.count, sizeof *work->lines);
    for (unsigned i = 0; i < options->pool.count; i++)
        for (unsigned n = 0; n < WORK_LINE_SLOTS; n++)
            work->lines[i].slots[n].draft.descriptor = -1;
    work->ahead_limit = ahead_limit(options->pool.count);
    work_probe_init(work);
    /* Names of drafts only: unique among the workers that share an output folder. */
    if (getrandom(&id, sizeof id, 0) != sizeof id)
        id = (uint64_t)getpid();
    (void)snprintf(work->id, sizeof work->id, "%016llx", (unsigned long long)id);
    work->md = metadata_new();
    work->naming = naming_new();
    if (!places_open(&work->places, options->input_root, options->output_root, err) ||
        !open_link_roots(work, err) || !pool_start(&work->pool, &options->pool, err) ||
        (options->durability == DURABILITY_BATCH && !syncer_open(&work->syncer, err))) {
        work_close(work);
        return false;
    }
    report_confinement(work);
    *out = work;
    return true;
}

void work_set_queues(struct work *work, struct queue *tasks, struct queue *results, struct queue *dead)
{
    work->options.tasks = tasks;
    work->options.results = results;
    work->options.dead = dead;
}

static void take_signal(struct work *work)
{
    struct signalfd_siginfo signal;
    if (read(work->options.stop_descriptor, &signal, sizeof signal) < 0)
        return;
    work->is_abandoned = work->is_stopping;
    work->is_stopping = true;
    work->drain_until_ms = work->options.drain_seconds == WORK_DRAIN_FOREVER
                               ? INT64_MAX
                               : meter_now_ms() + (int64_t)work->options.drain_seconds * 1000;
    log_event(LOG_LEVEL_INFO, "worker", "stopping", "busy=%u", work->busy);
    CRASH_POINT("worker.stopping");
}

static bool is_over(const struct work *work)
{
    bool has_pending = work->unsynced.count > 0 || work->syncing.count > 0;
    if (work->is_stopping)
        return (work->busy == 0 && !has_pending) || work->is_abandoned ||
               meter_now_ms() >= work->drain_until_ms;
    return work->busy == 0 && work->probe.state == PROBE_NONE && !has_pending && work->lone.first == NULL &&
           work->held.first == NULL && queue_is_finished(work->options.tasks);
}

/* Files that were begun, or taken back, and are not at their end. */
static unsigned in_hand(const struct work *work)
{
    size_t count =
        work->busy + work->held.count + work->lone.count + work->unsynced.count + work->syncing.count;
    for (unsigned i = 0; i < work->options.pool.count; i++)
        count += work->lines[i].count > 0 ? work->lines[i].count - 1 : 0;
    return (unsigned)count;
}

static bool wait_for_event(struct work *work, int timeout_ms, struct error *err)
{
    struct pool_event event;
    /* The queue is of interest only while a file may be begun. */
    bool wants_tasks = !work->is_stopping && work->probe.state == PROBE_NONE && !work->is_alone &&
                       !work->is_full && !work->waits_for_storage && work->lone.first == NULL &&
                       pool_idle_slot(work->pool) >= 0 && !queue_is_finished(work->options.tasks);
    /* What a decoder that is quiet will soon wake us for, need not wake us before. */
    bool listens = !pool_has_quiet(work->pool);
    bool is_answered = listens && queue_is_durable(work->options.results);
    bool is_synced = listens && work->syncing.count > 0;
    int others[] = {work->options.stop_descriptor, wants_tasks ? queue_descriptor(work->options.tasks) : -1,
                    is_answered ? queue_descriptor(work->options.results) : -1,
                    is_synced ? syncer_descriptor(work->syncer) : -1};
    if (!pool_wait(work->pool, work_sync_timeout_ms(work, timeout_ms), others, 4, &event, err))
        return false;
    if (event.kind == POOL_DESCRIPTOR && event.slot == 0)
        take_signal(work);
    else if (event.kind == POOL_REPLY || event.kind == POOL_DIED)
        return work_take_event(work, &event, err);
    return true;
}

bool work_step(struct work *work, int timeout_ms, struct work_status *status, struct error *err)
{
    bool ok = queue_serve(work->options.tasks, err) && queue_serve(work->options.results, err) &&
              (work->options.dead == NULL || queue_serve(work->options.dead, err)) &&
              work_take_synced(work, err) && work_fill(work, err);
    if (ok)
        work_begin_sync(work);
    drop_idle_drafts(work);
    if (ok && !is_over(work))
        ok = wait_for_event(work, timeout_ms, err);
    *status = (struct work_status){
        .is_over = is_over(work),
        .is_stopping = work->is_stopping,
        .is_waiting_for_storage = work->waits_for_storage,
        .is_broken = work->probe.state == PROBE_FAILED ||
                     (work->probe.state == PROBE_RUNNING && work->probe.has_failed),
        .busy = work->busy,
        .in_hand = in_hand(work),
        .files = work->files,
    };
    if (!ok || !status->is_over || work->defect.kind == ERROR_NONE)
        return ok;
    *err = work->defect;
    return false;
}

bool work_run(struct work *work, bool *stopped, struct error *err)
{
    struct work_status status = {0};
    while (!status.is_over)
        if (!work_step(work, -1, &status, err))
            return false;
    *stopped = status.is_stopping;
    return true;
}

void work_close(struct work *work)
{
    if (work == NULL)
        return;
    pool_stop(work->pool);
    work_probe_clear(work);
    syncer_close(work->syncer);
    work_free_pending(work);
    for (unsigned i = 0; i < work->options.pool.count; i++)
        for (unsigned n = 0; n < WORK_LINE_SLOTS; n++) {
            work_drop_draft(&work->lines[i].slots[n]);
            work_file_free(work->lines[i].slots[n].file);
        }
    work_list_free(&work->spare);
    work_list_free(&work->lone);
    work_list_free(&work->held);
    for (size_t i = 0; i < work->link_rules.link_root_count; i++)
        (void)close(work->link_roots[i]);
    free(work->link_roots);
    places_close(work->places);
    metadata_free(work->md);
    naming_free(work->naming);
    buffer_clear(&work->request);
    buffer_clear(&work->json);
    buffer_clear(&work->path);
    free(work->lines);
    free(work);
}
