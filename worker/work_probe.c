/* Whose fault it is that decoders crash: they are given a picture of our own. */
#include "worker/work_internal.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/meter.h"
#include "worker/good_picture.h"

static void close_descriptors(struct work_probe *probe)
{
    if (probe->input >= 0)
        (void)close(probe->input);
    if (probe->output >= 0)
        (void)close(probe->output);
    probe->input = probe->output = -1;
}

static bool open_descriptors(struct work_probe *probe, struct error *err)
{
    struct buffer picture = {0};
    good_picture_append(&picture);
    probe->input = memfd_create("picture", MFD_CLOEXEC);
    probe->output = memfd_create("png", MFD_CLOEXEC);
    bool ok = probe->input >= 0 && probe->output >= 0 &&
              write(probe->input, picture.data, picture.length) == (ssize_t)picture.length;
    buffer_clear(&picture);
    return ok || error_errno(err, ERROR_FATAL, "cannot make a file in memory");
}

void work_probe_init(struct work *work)
{
    work->probe = (struct work_probe){.input = -1, .output = -1};
}

void work_probe_clear(struct work *work)
{
    close_descriptors(&work->probe);
}

void work_probe_count(struct work *work, bool has_crashed)
{
    storm_add(&work->storm, has_crashed);
    if (work->probe.state != PROBE_NONE || !storm_is_on(&work->storm))
        return;
    work->probe.state = PROBE_DUE;
    log_event(LOG_LEVEL_WARN, "worker", "crash_storm", "crashes=%u of_files=%u", work->storm.crashes,
              STORM_FILES);
}

bool work_probe_begin(struct work *work, struct error *err)
{
    struct work_probe *probe = &work->probe;
    const struct wire_convert convert = {.options = {.print_images = true,
                                                     .is_16_bit = true,
                                                     .public_headers_only = true,
                                                     .max_pixels = GOOD_PICTURE_SIZE * GOOD_PICTURE_SIZE,
                                                     .max_frames = 1,
                                                     .max_attributes = 100,
                                                     .max_nesting = 1,
                                                     .max_items = 1,
                                                     .max_metadata_bytes = 65536,
                                                     .max_picture_bytes = 65536},
                                         .has_output = true};
    if (probe->state == PROBE_RUNNING || work->busy > 0 ||
        (probe->state == PROBE_FAILED && meter_now_ms() < probe->again_ms))
        return true;
    int slot = pool_fresh_slot(work->pool);
    if (slot < 0)
        return true;
    if (!open_descriptors(probe, err))
        return false;
    const int descriptors[] = {probe->input, probe->output};
    buffer_truncate(&work->request, 0);
    wire_write_convert(&work->request, &convert);
    probe->slot = slot;
    probe->has_failed = probe->state == PROBE_FAILED;
    probe->state = PROBE_RUNNING;
    pool_send(work->pool, slot, &work->request, descriptors, 2, true);
    return true;
}

static void pass(struct work *work)
{
    struct work_probe *probe = &work->probe;
    pool_release(work->pool, probe->slot);
    close_descriptors(probe);
    log_event(LOG_LEVEL_WARN, "worker", "crash_probe_passed", "fault=%s",
              probe->has_failed ? "none_any_more" : "files");
    metrics_set(work->options.metrics, METRIC_CRASH_BREAKER, 0);
    probe->state = PROBE_NONE;
    work->storm = (struct storm){0};
}

/* The decoder is gone, and another one on its way. Where nobody waits, the worker ends when the records of
 * what was done are on their way. */
static void fail(struct work *work, const struct error *cause)
{
    struct work_probe *probe = &work->probe;
    close_descriptors(probe);
    if (!probe->has_failed)
        log_event(LOG_LEVEL_ERROR, "worker", "crash_probe_failed", "reason=%s", log_text(cause->text));
    metrics_set(work->options.metrics, METRIC_CRASH_BREAKER, 1);
    probe->state = PROBE_FAILED;
    probe->again_ms = meter_now_ms() + (int64_t)work->options.storage_probe_seconds * 1000;
    if (work->options.storage_probe_seconds > 0)
        return;
    (void)error_set(
        &work->defect, ERROR_BUG,
        "the decoder crashes on most files, and on a picture of our own too, so that the fault is not "
        "theirs; what is done is kept. %s",
        cause->text);
    work->is_stopping = true;
    work->drain_until_ms = INT64_MAX;
}

static bool is_png(int descriptor, uint64_t length)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    uint8_t start[sizeof signature];
    struct stat status;
    return fstat(descriptor, &status) == 0 && (uint64_t)status.st_size == length &&
           pread(descriptor, start, sizeof start, 0) == sizeof start &&
           memcmp(start, signature, sizeof signature) == 0;
}

/* *is_done: it was the last answer. */
static bool is_right(struct work *work, const struct pool_event *event, bool *is_done, struct error *err)
{
    struct wire_inspected inspected;
    struct wire_frame frame;
    bool ok;
    *is_done = event->type == WIRE_FRAME;
    if (event->type == WIRE_INSPECTED)
        ok = wire_read_inspected(event->body, event->length, &inspected, err) &&
             inspected.object == WIRE_IMAGE && inspected.failure.category == CATEGORY_NONE &&
             inspected.frame_follows;
    else
        ok = wire_read_frame(event->body, event->length, &frame, err) &&
             frame.failure.category == CATEGORY_NONE && is_png(work->probe.output, frame.png_bytes);
    return ok || error_input(err, CATEGORY_DECODER, CODE_DECODER_PROTOCOL, "it was not converted");
}

void work_probe_take(struct work *work, struct pool_event *event)
{
    struct error cause;
    bool is_done = false;
    if (event->kind == POOL_REPLY && !is_right(work, event, &is_done, &cause))
        pool_reject(work->pool, event, &cause);
    if (event->kind == POOL_DIED)
        fail(work, &event->cause);
    else if (is_done)
        pass(work);
}
