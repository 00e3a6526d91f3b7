/* From a record that is written to its answer: sent, and its task acknowledged; before that, if it is to be,
 * its pictures on disk. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/meter.h"
#include "worker/work_internal.h"

/* Records wait for the disk in batches. One is begun when so many wait, or so long, or when nobody is at
 * work; and while twice as many wait, no file is begun: what a worker holds does not depend on how slow a
 * disk is. */
#define SYNC_EVERY_MS 100
#define SYNC_RECORDS 128
#define SYNC_RECORDS_A_DECODER 8
#define SYNC_BYTES ((size_t)4 << 20)

/* A record on its way, after its file was put away. */
struct pending {
    struct pending *next;
    struct buffer message; /* the record as it is sent */
    struct queue_message task;
    struct place *place;
    char job[JOB_ID_SPACE];
    bool is_tried_again, is_alone, is_probe; /* as in struct work_file */
    enum record_status status;
    char code[40];
    uint64_t bytes_read, bytes_written;
    int64_t asked_ms, answered_ms;
};

/* ---- lists ---- */

static void add(struct pending_list *list, struct pending *pending)
{
    if (list->first == NULL)
        list->end = &list->first;
    pending->next = NULL;
    *list->end = pending;
    list->end = &pending->next;
    list->count++;
    list->bytes += pending->message.length;
}

static struct pending *take(struct pending_list *list)
{
    struct pending *pending = list->first;
    if (pending == NULL)
        return NULL;
    list->first = pending->next;
    list->count--;
    list->bytes -= pending->message.length;
    return pending;
}

static void free_all(struct pending_list *list)
{
    for (struct pending *pending; (pending = take(list)) != NULL;) {
        places_release(pending->place);
        buffer_clear(&pending->message);
        free(pending);
    }
}

void work_free_pending(struct work *work)
{
    free_all(&work->unsynced);
    free_all(&work->syncing);
    free_all(&work->spare_pending);
}

/* ---- sending ---- */

static void count_file(struct work *work, const struct pending *pending)
{
    static const char *const names[] = {"converted", "no_image", "ignored", "failed"};
    struct metrics *metrics = work->options.metrics;
    work->files++;
    metrics_count_file(metrics, names[pending->status], pending->code[0] != '\0' ? pending->code : NULL);
    metrics_add(metrics, METRIC_BYTES_READ, pending->bytes_read);
    metrics_add(metrics, METRIC_BYTES_WRITTEN, pending->bytes_written);
    if (pending->asked_ms > 0)
        metrics_observe(metrics, METRICS_DECODE, (double)(pending->answered_ms - pending->asked_ms) / 1000);
    metrics_observe(metrics, METRICS_PUBLISH, (double)(meter_now_ms() - pending->answered_ms) / 1000);
}

static void put_away(struct work *work, struct pending *pending)
{
    places_release(pending->place);
    pending->place = NULL;
    buffer_truncate(&pending->message, 0);
    add(&work->spare_pending, pending);
}

/* The last steps, in this order: the record is sent; when the transport answers for it, the task is
 * acknowledged. */
static bool send_record(struct work *work, struct pending *pending, struct error *err)
{
    const struct queue_address to = {.key = pending->job};
    if (pending->is_probe)
        work_storage_is_back(work);
    CRASH_POINT("worker.record_written");
    bool ok = queue_forward(work->options.results, &to, pending->message.data, pending->message.length,
                            work->options.tasks, &pending->task, err);
    CRASH_POINT("worker.record_sent");
    if (ok)
        count_file(work, pending);
    put_away(work, pending);
    return ok;
}

/* ---- before the disk ---- */

static uint64_t written_bytes(const struct record *rec)
{
    uint64_t written = 0;
    for (size_t i = 0; i < rec->frame_count; i++)
        written += rec->frames[i].png_bytes;
    return written;
}

static struct pending *make_pending(struct work *work, struct work_file *file)
{
    const struct record *rec = &file->rec;
    struct pending *pending = take(&work->spare_pending);
    if (pending == NULL)
        pending = xcalloc(1, sizeof *pending);
    /* The text changes hands: it may be long. */
    struct buffer empty = pending->message;
    pending->message = work->json;
    work->json = empty;
    pending->task = file->message;
    file->message = (struct queue_message){0};
    pending->place = file->place;
    file->place = NULL;
    (void)snprintf(pending->job, sizeof pending->job, "%s", rec->job);
    pending->is_tried_again = file->is_tried_again;
    pending->is_alone = file->is_alone;
    pending->is_probe = file->is_probe;
    pending->status = rec->status;
    (void)snprintf(pending->code, sizeof pending->code, "%s", record_text(rec, rec->code));
    pending->bytes_read = rec->size_bytes;
    pending->bytes_written = written_bytes(rec);
    pending->asked_ms = file->asked_ms;
    pending->answered_ms = file->answered_ms;
    return pending;
}

bool work_deliver(struct work *work, struct work_file *file, struct error *err)
{
    bool wrote = file->rec.frame_count > 0 || file->rec.failed_copy != 0;
    struct pending *pending = make_pending(work, file);
    if (work->syncer == NULL || !wrote)
        return send_record(work, pending, err);
    if (work->unsynced.count == 0)
        work->unsynced_since_ms = meter_now_ms();
    add(&work->unsynced, pending);
    CRASH_POINT("worker.record_waits");
    return true;
}

/* ---- at the disk, and behind it ---- */

/* The storage did not take it: the file is done again, as one that met the storage earlier. */
static bool hold(struct work *work, struct pending *pending, const struct error *cause, struct error *err)
{
    struct work_file *file = work_list_take(&work->spare);
    struct error ignored;
    if (file == NULL)
        file = work_file_new();
    file->message = pending->task;
    file->place = pending->place;
    file->is_tried_again = pending->is_tried_again;
    file->is_alone = pending->is_alone;
    pending->place = NULL;
    /* Whether its job is over is looked up by its task, which could be read before. */
    (void)!task_from_json(file->message.bytes, file->message.length, &file->task, &ignored);
    put_away(work, pending);
    return work_hold(work, file, cause, err);
}

bool work_take_synced(struct work *work, struct error *err)
{
    struct error cause;
    bool is_done = false;
    if (work->syncing.count == 0)
        return true;
    bool is_written = syncer_take(work->syncer, &is_done, &cause);
    if (!is_done)
        return true;
    CRASH_POINT("worker.synced");
    bool ok = true;
    /* The kernel tells of a write that failed once: it may have been that of a picture made meanwhile. */
    for (struct pending *pending; !is_written && (pending = take(&work->unsynced)) != NULL;)
        add(&work->syncing, pending);
    for (struct pending *pending; (pending = take(&work->syncing)) != NULL;) {
        if (ok)
            ok = is_written ? send_record(work, pending, err) : hold(work, pending, &cause, err);
        else
            put_away(work, pending); /* its task is not acknowledged */
    }
    return ok;
}

static size_t batch_size(const struct work *work)
{
    size_t of_decoders = (size_t)work->options.pool.count * SYNC_RECORDS_A_DECODER;
    return of_decoders > SYNC_RECORDS ? of_decoders : SYNC_RECORDS;
}

void work_begin_sync(struct work *work)
{
    struct pending_list *unsynced = &work->unsynced;
    if (unsynced->count == 0 || work->syncing.count > 0)
        return;
    bool is_due = work->busy == 0 || work->is_stopping || unsynced->count >= batch_size(work) ||
                  unsynced->bytes >= SYNC_BYTES || meter_now_ms() - work->unsynced_since_ms >= SYNC_EVERY_MS;
    if (!is_due)
        return;
    int *folders = xcalloc(unsynced->count, sizeof *folders);
    size_t count = 0;
    for (const struct pending *pending = unsynced->first; pending != NULL; pending = pending->next) {
        size_t i = 0;
        while (i < count && folders[i] != pending->place->output.dir)
            i++;
        if (i == count)
            folders[count++] = pending->place->output.dir;
    }
    syncer_begin(work->syncer, folders, count);
    free(folders);
    work->syncing = *unsynced;
    *unsynced = (struct pending_list){0};
    CRASH_POINT("worker.sync_begun");
}

void work_settle(struct work *work)
{
    struct error ignored;
    bool ok = work->syncer != NULL;
    work->is_stopping = true; /* what waits is due */
    while (ok && (work->unsynced.count > 0 || work->syncing.count > 0)) {
        work_begin_sync(work);
        struct pollfd done = {.fd = syncer_descriptor(work->syncer), .events = POLLIN};
        (void)poll(&done, 1, -1);
        ok = work_take_synced(work, &ignored);
    }
}

bool work_is_unsynced_full(const struct work *work)
{
    return work->unsynced.count + work->syncing.count >= 2 * batch_size(work) ||
           work->unsynced.bytes + work->syncing.bytes >= 2 * SYNC_BYTES;
}

int work_sync_timeout_ms(const struct work *work, int timeout_ms)
{
    if (work->unsynced.count == 0 || work->syncing.count > 0)
        return timeout_ms;
    int64_t left = work->unsynced_since_ms + SYNC_EVERY_MS - meter_now_ms();
    int wait = left < 0 ? 0 : (int)left;
    return timeout_ms >= 0 && timeout_ms < wait ? timeout_ms : wait;
}
