#include "worker/places.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/files.h"
#include "common/job.h"
#include "common/meter.h"

struct root {
    const char *setting;
    char *path;
    int descriptor;
};

struct places {
    struct root roots[2];  /* for the input, for the output */
    int64_t rooted_ms;     /* when it was looked whether they are still there */
    bool is_moved;         /* a root is another folder than before, and no job's has been seen in it yet */
    struct place **places; /* of their own, so that they stay where they are */
    size_t count;
    struct buffer key;
};

bool places_open(struct places **out, const char *input_root, const char *output_root, struct error *err)
{
    struct places *places = xcalloc(1, sizeof *places);
    places->roots[0] = (struct root){"InputRoot", xstrdup(input_root), -1};
    places->roots[1] = (struct root){"OutputRoot", xstrdup(output_root), -1};
    bool ok = true;
    for (size_t i = 0; i < 2 && ok; i++)
        ok = files_open_folder(places->roots[i].path, &places->roots[i].descriptor, err) ||
             error_prefix(err, "%s", places->roots[i].setting);
    if (!ok) {
        places_close(places);
        places = NULL;
    }
    *out = places;
    return ok;
}

static void clear(struct place *place)
{
    files_close(&place->input_dir);
    draft_output_close(&place->output);
    free(place->key);
    free(place->synced);
    *place = (struct place){.input_dir = -1, .output = DRAFT_OUTPUT_INIT};
}

void places_close(struct places *places)
{
    if (places == NULL)
        return;
    for (size_t i = 0; i < places->count; i++) {
        clear(places->places[i]);
        free(places->places[i]);
    }
    free(places->places);
    for (size_t i = 0; i < 2; i++) {
        files_close(&places->roots[i].descriptor);
        free(places->roots[i].path);
    }
    buffer_clear(&places->key);
    free(places);
}

/* The one with this key; or the one unused for longest, or a new one: then its key is NULL. */
static struct place *find(struct places *places, const char *key)
{
    struct place *oldest = NULL;
    for (size_t i = 0; i < places->count; i++) {
        struct place *place = places->places[i];
        if (place->key != NULL && strcmp(place->key, key) == 0)
            return place;
        if (place->users == 0 && (oldest == NULL || place->used_ms < oldest->used_ms))
            oldest = place;
    }
    if (oldest == NULL || places->count < PLACES_MAX) {
        oldest = xcalloc(1, sizeof *oldest);
        *oldest = (struct place){.input_dir = -1, .output = DRAFT_OUTPUT_INIT};
        places->places = xrealloc_array(places->places, places->count + 1, sizeof *places->places);
        places->places[places->count++] = oldest;
    }
    clear(oldest);
    return oldest;
}

bool places_sync_name(struct place *place, const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = xmemdup_text(path, slash != NULL ? (size_t)(slash - path) : 0);
    bool is_known = place->synced != NULL && strcmp(place->synced, folder) == 0;
    bool ok = files_sync_folder(place->output.dir, path, !is_known, err);
    free(is_known || !ok ? folder : place->synced);
    if (ok && !is_known)
        place->synced = folder;
    return ok;
}

void places_forget(struct places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        struct place *place = places->places[i];
        if (place->users == 0) {
            if (place->missing_ms == 0)
                clear(place);
        } else { /* nobody finds it any more */
            free(place->key);
            place->key = NULL;
        }
    }
    places->rooted_ms = -PLACES_RECHECK_MS;
}

/* Storage that was mounted anew, or is not, is another folder under the same name: what is open beneath the
 * old one leads nowhere. */
static bool check_roots(struct places *places, struct error *err)
{
    int64_t now = meter_now_ms();
    if (now - places->rooted_ms < PLACES_RECHECK_MS)
        return true;
    for (size_t i = 0; i < 2; i++) {
        struct root *root = &places->roots[i];
        if (root->descriptor >= 0 && files_is_folder(root->path, root->descriptor))
            continue;
        files_close(&root->descriptor);
        places_forget(places);
        places->is_moved = true;
        root->descriptor = open(root->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root->descriptor < 0)
            return error_errno(err, ERROR_RETRY, "%s cannot be opened any more", root->setting);
    }
    places->rooted_ms = now;
    return true;
}

/* Folders that were there when the job was made, and are not. That may be storage that is away; where the
 * roots are what they were, it is waited for not for ever: somebody may have deleted a job that was
 * cancelled, and its tasks would hold up all others. */
static bool open_folders(struct places *places, const struct task *task, struct place *place,
                         struct error *err)
{
    int64_t now = meter_now_ms();
    if (files_open_folder_beneath(places->roots[0].descriptor, task->input, &place->input_dir, err) &&
        files_open_folder_beneath(places->roots[1].descriptor, task->output, &place->output.dir, err)) {
        place->missing_ms = 0;
        places->is_moved = false; /* what is there now is the storage */
        return true;
    }
    if (err->kind != ERROR_RETRY || errno != ENOENT || places->is_moved)
        return false;
    if (place->missing_ms == 0)
        place->missing_ms = now;
    return now - place->missing_ms < PLACES_MISSING_MS
               ? false
               : error_set(err, ERROR_INPUT, "a task whose folders are not there");
}

bool places_use(struct places *places, const struct task *task, struct place **out, struct error *err)
{
    *out = NULL;
    if (!check_roots(places, err))
        return false;
    buffer_truncate(&places->key, 0);
    const char *parts[] = {task->job, task->input, task->output};
    for (size_t i = 0; i < 3; i++) {
        buffer_append_text(&places->key, parts[i]);
        buffer_append_char(&places->key, '\n');
    }
    const char *key = buffer_text(&places->key);
    struct place *place = find(places, key);
    if (place->key == NULL) {
        place->key = xstrdup(key);
        places_look_again(place);
    }
    if (place->output.dir < 0 && !open_folders(places, task, place, err)) {
        files_close(&place->input_dir);
        if (place->missing_ms == 0)
            clear(place);
        return false;
    }
    place->used_ms = meter_now_ms();
    place->users++;
    *out = place;
    return true;
}

void places_release(struct place *place)
{
    if (place == NULL)
        return;
    assert(place->users > 0);
    place->users--;
}

void places_look_again(struct place *place)
{
    place->checked_ms = meter_now_ms() - PLACES_RECHECK_MS;
}

bool places_is_over(struct place *place, const struct task *task)
{
    int64_t now = meter_now_ms();
    if (now - place->checked_ms >= PLACES_RECHECK_MS) {
        char path[sizeof JOB_CLOSED + JOB_ID_SPACE + 1], text[24];
        struct error ignored; /* what cannot be read says nothing: the task is done */
        bool found;
        (void)snprintf(path, sizeof path, JOB_CLOSED "/%s", task->job);
        bool is_read = job_read_mark(place->output.dir, path, text, sizeof text, &found, &ignored);
        place->closed_round = is_read && found ? strtoll(text, NULL, 10) : -1;
        place->checked_ms = now;
    }
    return place->closed_round >= 0 && task->round <= (uint64_t)place->closed_round;
}
