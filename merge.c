#include "merge.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "aggregator/complete.h"
#include "common/alloc.h"
#include "common/crash.h"
#include "common/files.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/nolink.h"
#include "common/outputs.h"
#include "local_run.h"
#include "slices.h"

#define LISTED_BYTES 60 /* of the numbers of slices, in a sentence */

const struct command_argument merge_arguments[] = {
    {"--slices", "N", true, "How many slices there are: the 7 of extract --slice 0/7."},
    {"--mixed-scans", NULL, false,
     "Merge slices whose scans found different files, since files came or went between them: one that came "
     "is missing if its slice had looked before."},
    {NULL, NULL, false, NULL},
};

struct merge {
    struct local_run local;
    struct slices_array array;
    bool allows_mixed;
};

/* What a slice's state says of itself; texts are owned, NULL where it says nothing. */
struct facts {
    char *array, *state, *scan, *named;
};

static void facts_clear(struct facts *facts)
{
    free(facts->array);
    free(facts->state);
    free(facts->scan);
    free(facts->named);
    *facts = (struct facts){0};
}

static bool is_text(const char *text, const char *wanted)
{
    return text != NULL && strcmp(text, wanted) == 0;
}

static struct slice slice_of(const struct merge *merge, uint32_t index)
{
    return (struct slice){.index = index, .count = merge->array.count};
}

/* ---- opening a slice's state ---- */

static bool lies_there(const char *path)
{
    struct stat status;
    return nolink_stat(AT_FDCWD, path, &status) == 0;
}

/* *store is NULL where there is none: to open would be to make it. */
static bool open_slice(const struct merge *merge, uint32_t index, struct store **store, struct error *err)
{
    const struct slice slice = slice_of(merge, index);
    bool is_durable = merge->local.settings->durability != DURABILITY_NONE;
    char *path = local_run_state_path(&merge->local, &slice, err);
    *store = NULL;
    bool ok = path != NULL && (!lies_there(path) ||
                               (store_open(store, path, err) && store_set_durable(*store, is_durable, err)));
    free(path);
    return ok || error_prefix(err, "slice %" PRIu32 "/%" PRIu32, index, merge->array.count);
}

static bool read_facts(struct store *store, struct facts *facts, struct error *err)
{
    return store == NULL ||
           (store_get(store, "array", &facts->array, err) && store_get(store, "state", &facts->state, err) &&
            store_get(store, "scan", &facts->scan, err) && store_get(store, "named", &facts->named, err));
}

/* ---- whether they can be merged ---- */

/* Numbers of slices, as long as there is room: "1, 4, 6, ...". */
static void list_add(char list[LISTED_BYTES], uint32_t index)
{
    size_t length = strlen(list);
    if (length + sizeof "100000, ..." >= LISTED_BYTES) {
        if (length > 0 && list[length - 1] != '.')
            (void)snprintf(list + length, LISTED_BYTES - length, ", ...");
        return;
    }
    (void)snprintf(list + length, LISTED_BYTES - length, "%s%" PRIu32, length > 0 ? ", " : "", index);
}

/* The key of the first line of two fingerprints that is another. */
static char *differing_key(const char *a, const char *b)
{
    for (int line = 0; *a != '\0' && *b != '\0'; line++) {
        size_t length_a = strcspn(a, "\n"), length_b = strcspn(b, "\n");
        if (length_a != length_b || memcmp(a, b, length_a) != 0)
            return line == 0   ? xstrdup("another version of niffler-png")
                   : line == 1 ? xstrdup("another DICOMHome")
                               : xasprintf("another %.*s", (int)strcspn(a, "=\n"), a);
        a += length_a + (a[length_a] != '\0');
        b += length_b + (b[length_b] != '\0');
    }
    return xstrdup("other settings");
}

/* Fails: the sentence names what was another, from the first slice that knows. */
static bool refuse_settings(const struct merge *merge, const char *wanted, struct error *err)
{
    char *known = NULL, *key = NULL;
    for (uint32_t i = 0; i < merge->array.count && known == NULL; i++) {
        struct store *store;
        struct facts facts = {0};
        struct error ignored; /* the sentence is the same, if less exact */
        bool is_known = open_slice(merge, i, &store, &ignored) && store != NULL &&
                        read_facts(store, &facts, &ignored) && is_text(facts.array, merge->array.id) &&
                        store_get(store, "fingerprint", &known, &ignored);
        if (!store_close(store, &ignored) || !is_known) {
            free(known);
            known = NULL;
        }
        facts_clear(&facts);
    }
    key = differing_key(known != NULL ? known : "", wanted);
    (void)error_set(err, ERROR_FATAL, "the slices were run with %s: merge takes the settings that they had",
                    key);
    free(key);
    free(known);
    return false;
}

/* The array: which one the folder has, and whether it is the one that is asked for. */
static bool check_array(struct merge *merge, uint32_t count, int *exit_status, struct error *err)
{
    char *fingerprint = local_run_fingerprint(&merge->local);
    bool found, ok = false;
    if (!slices_read_array(merge->local.output_dir, &merge->array, &found, err))
        goto out;
    if (!found) {
        (void)error_set(err, ERROR_FATAL,
                        "no slices are in OutputDirectory, or another job has been there since: run extract "
                        "--slice for each of them");
        goto out;
    }
    *exit_status = EXIT_STATUS_USAGE;
    if (merge->array.count != count) {
        (void)error_set(err, ERROR_FATAL, "OutputDirectory has %" PRIu32 " slices, not %" PRIu32,
                        merge->array.count, count);
        goto out;
    }
    if (merge->array.settings != hash_text(fingerprint)) {
        (void)refuse_settings(merge, fingerprint, err);
        goto out;
    }
    *exit_status = EXIT_STATUS_WORLD_FAILED;
    ok = true;
out:
    free(fingerprint);
    return ok;
}

/* What is said of slices that cannot be merged. */
struct findings {
    uint32_t missing, unfinished, others; /* how many */
    char missing_list[LISTED_BYTES], unfinished_list[LISTED_BYTES], others_list[LISTED_BYTES];
    char *scan; /* of the first slice */
};

static void judge(const struct merge *merge, uint32_t index, const struct facts *facts, struct findings *out)
{
    if (!is_text(facts->array, merge->array.id)) {
        out->missing++;
        list_add(out->missing_list, index);
    } else if (!is_text(facts->state, "complete") || facts->scan == NULL) {
        out->unfinished++;
        list_add(out->unfinished_list, index);
    } else if (out->scan == NULL) {
        out->scan = xstrdup(facts->scan);
    } else if (strcmp(out->scan, facts->scan) != 0) {
        out->others++;
        list_add(out->others_list, index);
    }
}

static bool report(const struct merge *merge, const struct findings *found, struct error *err)
{
    uint32_t count = merge->array.count;
    if (found->missing > 0 && found->unfinished > 0)
        return error_set(err, ERROR_FATAL,
                         "of %" PRIu32 " slices %" PRIu32 " were not begun (%s) and %" PRIu32
                         " not finished (%s): run extract --slice for them, then merge",
                         count, found->missing, found->missing_list, found->unfinished,
                         found->unfinished_list);
    if (found->missing > 0 || found->unfinished > 0)
        return error_set(err, ERROR_FATAL,
                         "of %" PRIu32 " slices %" PRIu32 " were not %s (%s): run extract --slice for them, "
                         "then merge",
                         count, found->missing + found->unfinished, found->missing > 0 ? "begun" : "finished",
                         found->missing > 0 ? found->missing_list : found->unfinished_list);
    if (found->others > 0 && !merge->allows_mixed)
        return error_set(err, ERROR_FATAL,
                         "files came or went between the scans of the slices (another scan than the first's: "
                         "%s): run all slices again, which do what is new, or merge --mixed-scans",
                         found->others_list);
    return true;
}

/* The names of pictures are in the whole's state alone. Fails where that has gone: pictures could be mixed
 * up. */
static bool check_names(struct merge *merge, const struct facts *facts, const char *merged, struct error *err)
{
    if (!is_text(facts->named, "yes") || is_text(merged, merge->array.id))
        return true;
    return job_remove_mark(merge->local.output_dir, JOB_ARRAY, err) &&
           error_set(err, ERROR_FATAL,
                     "the state in which merge keeps the names of pictures is gone: run all slices again");
}

/* The state of the whole, which a merge or an extract before has left. */
static bool open_if_there(struct merge *merge, struct error *err)
{
    const struct slice whole = {0};
    char *path = local_run_state_path(&merge->local, &whole, err);
    bool ok = path != NULL && (!lies_there(path) || local_run_open_store(&merge->local, &whole, err));
    free(path);
    return ok;
}

static bool check_slices(struct merge *merge, struct error *err)
{
    struct findings found = {0};
    struct facts facts = {0};
    char *merged = NULL;
    bool ok = open_if_there(merge, err) &&
              (merge->local.store == NULL || store_get(merge->local.store, "array", &merged, err));
    for (uint32_t i = 0; ok && i < merge->array.count; i++) {
        struct store *store;
        ok = open_slice(merge, i, &store, err) && read_facts(store, &facts, err);
        if (ok)
            judge(merge, i, &facts, &found);
        ok = ok && (!is_text(facts.array, merge->array.id) || check_names(merge, &facts, merged, err));
        facts_clear(&facts);
        struct error ignored; /* nothing was written */
        if (!store_close(store, ok ? err : &ignored))
            ok = false;
    }
    ok = ok && report(merge, &found, err);
    free(found.scan);
    free(merged);
    return ok;
}

/* ---- merging ---- */

/* `step` for each slice's store. */
typedef bool slice_fn(struct merge *merge, struct store *slice, struct error *err);

static bool each_slice(struct merge *merge, slice_fn *step, struct error *err)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < merge->array.count; i++) {
        struct store *store;
        struct error ignored;
        ok = open_slice(merge, i, &store, err) &&
             (store != NULL || error_set(err, ERROR_RETRY, "the state of a slice has disappeared")) &&
             step(merge, store, err);
        if (!store_close(store, ok ? err : &ignored))
            ok = false;
    }
    return ok;
}

static bool take_slice(struct merge *merge, struct store *slice, struct error *err)
{
    return store_merge(merge->local.store, slice, merge->local.output_dir, err);
}

static bool tell_names(struct merge *merge, struct store *slice, struct error *err)
{
    return store_set(slice, "named", "yes", err) && store_merge_names(merge->local.store, slice, err);
}

static bool merge_slices(struct merge *merge, struct error *err)
{
    struct local_run *local = &merge->local;
    struct store_counts counts;
    uint64_t gone;
    if (!store_set(local->store, "array", merge->array.id, err) || !store_merge_begin(local->store, err) ||
        !each_slice(merge, take_slice, err) || !store_merge_end(local->store, &gone, err) ||
        !store_counts(local->store, &counts, err))
        return false;
    CRASH_POINT("merge.all_taken");
    log_event(LOG_LEVEL_INFO, "merge", "merged", "slices=%lu files=%llu gone=%llu",
              (unsigned long)merge->array.count, (unsigned long long)counts.found, (unsigned long long)gone);
    return true;
}

static bool merge_all(struct merge *merge, uint32_t count, int *exit_status, struct error *err)
{
    const struct slice whole = {0};
    struct local_run *local = &merge->local;
    if (!check_array(merge, count, exit_status, err) || !check_slices(merge, err) ||
        (local->store == NULL && !local_run_open_store(local, &whole, err)) ||
        !complete_finish_tables(local->store, local->output_dir, err) || !local_run_open_job(local, err) ||
        !local_run_take_settings(local, err) || !merge_slices(merge, err))
        return false;
    outputs_sweep_drafts(local->output_dir); /* of slices that were killed */
    int status = EXIT_STATUS_WORLD_FAILED;
    bool ok = local_run_complete(local, &status, err);
    if (ok || status == EXIT_STATUS_USAGE)
        *exit_status = status;
    CRASH_POINT("merge.completed");
    if (!ok || !local->settings->options.compatibility_niffler)
        return ok;
    if (each_slice(merge, tell_names, err))
        return true;
    *exit_status = EXIT_STATUS_WORLD_FAILED;
    return false;
}

static bool set_up(struct merge *merge, const struct command_line *line, uint32_t *count, struct error *err)
{
    struct local_run *local = &merge->local;
    merge->allows_mixed = command_value(line, "--mixed-scans") != NULL;
    return slice_parse_count(command_value(line, "--slices"), count, err) &&
           local_run_open_folders(local, err) && files_lock(local->output_dir, JOB_LOCK, &local->lock, err) &&
           local_run_check_no_fleet(local, err) && local_run_open_log(local, LOCAL_RUN_LOG, 0666, err);
}

bool merge_run(const struct settings *settings, const struct command_line *line, int *exit_status,
               struct error *err)
{
    struct merge merge = {0};
    uint32_t count;
    local_run_init(&merge.local, settings);
    *exit_status = EXIT_STATUS_USAGE;
    bool ok = set_up(&merge, line, &count, err);
    if (!ok && err->kind == ERROR_RETRY)
        *exit_status = EXIT_STATUS_WORLD_FAILED; /* slices are at work */
    if (ok) {
        *exit_status = EXIT_STATUS_WORLD_FAILED;
        ok = merge_all(&merge, count, exit_status, err);
        if (!ok && err->kind == ERROR_BUG)
            *exit_status = EXIT_STATUS_BUG;
        if (!ok)
            log_event(LOG_LEVEL_ERROR, "merge", "failed", "exit_status=%d", *exit_status);
    }
    local_run_close(&merge.local);
    return ok;
}
