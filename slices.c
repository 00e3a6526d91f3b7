#include "slices.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/files.h"
#include "common/meter.h"

char *slices_path(const struct slice *slice, const char *ending)
{
    return xasprintf(JOB_SLICES "/%u-of-%u%s", slice->index, slice->count, ending);
}

bool slices_read_array(int output_dir, struct slices_array *array, bool *found, struct error *err)
{
    char text[96], id[JOB_ID_SPACE];
    int end = 0;
    *array = (struct slices_array){0};
    if (!job_read_mark(output_dir, JOB_ARRAY, text, sizeof text, found, err) || !*found)
        return !*found;
    *found = sscanf(text, "%31s %" SCNu32 " %" SCNx64 "%n", id, &array->count, &array->settings, &end) == 3 &&
             text[end] == '\0' && job_take_id(array->id, id);
    return true; /* one that cannot be read is none */
}

static bool write_array(int output_dir, struct slices_array *array, struct error *err)
{
    job_new_id(array->id);
    char *text = xasprintf("%s %" PRIu32 " %016" PRIx64 "\n", array->id, array->count, array->settings);
    bool ok = job_write_mark(output_dir, JOB_ARRAY, text, err);
    free(text);
    return ok;
}

/* Whether the folder's array is this one; takes its id. */
static bool is_ours(int output_dir, struct slices_array *array, bool *is, struct error *err)
{
    struct slices_array there;
    bool found;
    if (!slices_read_array(output_dir, &there, &found, err))
        return false;
    *is = found && there.count == array->count && there.settings == array->settings;
    if (*is)
        *array = there;
    return true;
}

/* One try: *joined. Whoever has the lock for himself may write; two that want it so give it up, and try
 * again. */
static bool try_join(int output_dir, struct slices_array *array, int *lock, bool *joined, struct error *err)
{
    if (!files_lock_shared(output_dir, JOB_LOCK, lock, err))
        return false;
    if (!is_ours(output_dir, array, joined, err) || *joined)
        return *joined;
    if (!files_lock_change(*lock, false))
        return true;
    return is_ours(output_dir, array, joined, err) && (*joined || write_array(output_dir, array, err)) &&
           ((*joined = files_lock_change(*lock, true)) ||
            error_set(err, ERROR_BUG, "a lock cannot be shared"));
}

bool slices_join(int output_dir, struct slices_array *array, int *lock, struct error *err)
{
    int64_t deadline_ms = meter_now_ms() + SLICES_JOIN_MS;
    bool joined = false;
    /* Those that begin together do not try again together. */
    const struct timespec pause = {.tv_nsec = (50 + getpid() % 100) * 1000000L};
    for (;;) {
        bool ok = try_join(output_dir, array, lock, &joined, err);
        if (ok && joined)
            return true;
        if (*lock >= 0)
            (void)close(*lock);
        *lock = -1;
        if (!ok && err->kind != ERROR_RETRY)
            return false;
        if (ok)
            (void)error_set(err, ERROR_RETRY,
                            "OutputDirectory: slices of another array are at work there: of another number "
                            "of slices, or under other settings");
        if (meter_now_ms() > deadline_ms)
            return false;
        (void)nanosleep(&pause, NULL);
    }
}
