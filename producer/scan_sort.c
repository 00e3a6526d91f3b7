#include "producer/scan_sort.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/nolink.h"

#define NAME_BYTES_MAX SCAN_NAME_BYTES
#define ENTRY_BYTES_MAX (NAME_BYTES_MAX + 2u)
#define RUN_BUFFER_BYTES (64u << 10)
#define MEMORY_BYTES_MAX (2u << 30) /* offsets have 32 bits */

struct scan_run {
    uint64_t offset; /* in the file, of what is not yet in the buffer */
    uint64_t end;
    char *buffer;
    size_t length;
    size_t at; /* of the run's next name in the buffer */
};

void scan_names_init(struct scan_names *names, size_t limit_bytes, const char *scratch)
{
    bool in_memory = scratch == NULL || limit_bytes > MEMORY_BYTES_MAX;
    *names =
        (struct scan_names){.limit_bytes = in_memory ? MEMORY_BYTES_MAX : limit_bytes, .scratch = scratch};
}

void scan_names_clear(struct scan_names *names)
{
    if (names == NULL)
        return;
    for (size_t i = 0; i < names->run_count; i++)
        free(names->runs[i].buffer);
    free(names->runs);
    free(names->heap);
    free(names->offsets);
    buffer_clear(&names->arena);
    if (names->file > 0)
        (void)close(names->file);
    *names = (struct scan_names){0};
}

size_t scan_names_memory(const struct scan_names *names)
{
    return names->arena.capacity + names->capacity * sizeof *names->offsets +
           names->run_count * RUN_BUFFER_BYTES;
}

static int compare_names(const void *a, const void *b, void *context)
{
    const char *arena = context;
    return strcmp(arena + *(const uint32_t *)a, arena + *(const uint32_t *)b);
}

static void sort_arena(struct scan_names *names)
{
    if (names->count > 1)
        qsort_r(names->offsets, names->count, sizeof *names->offsets, compare_names, names->arena.data);
}

/* The runs hold names of files, which may be patients': a file that never has a name itself. */
static bool open_scratch(struct scan_names *names, struct error *err)
{
    names->file = nolink_open(AT_FDCWD, names->scratch, O_TMPFILE | O_RDWR, 0600);
    if (names->file < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL)) {
        char name[64];
        (void)snprintf(name, sizeof name, ".niffler-sort-%ld", (long)getpid());
        int folder = nolink_open(AT_FDCWD, names->scratch, O_RDONLY | O_DIRECTORY, 0);
        (void)nolink_unlink(folder, name, 0); /* of a process that died in between */
        names->file = nolink_open(folder, name, O_RDWR | O_CREAT | O_EXCL, 0600);
        (void)nolink_unlink(folder, name, 0);
        if (folder >= 0)
            (void)close(folder);
    }
    if (names->file >= 0)
        return true;
    names->file = 0;
    return error_errno(err, ERROR_FATAL, "cannot make a file for sorting");
}

static bool write_chunk(struct scan_names *names, struct buffer *chunk, struct error *err)
{
    size_t done = 0;
    while (done < chunk->length) {
        ssize_t n = pwrite(names->file, chunk->data + done, chunk->length - done, (off_t)names->file_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ERROR_FATAL, "cannot write names for sorting");
        done += (size_t)n;
        names->file_bytes += (uint64_t)n;
    }
    buffer_truncate(chunk, 0);
    return true;
}

/* Write the names at hand as one sorted run and begin anew. */
static bool spill(struct scan_names *names, struct error *err)
{
    struct buffer chunk = {0};
    bool ok = false;
    if (names->file == 0 && !open_scratch(names, err))
        return false;
    sort_arena(names);
    uint64_t start = names->file_bytes;
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->arena.data + names->offsets[i];
        buffer_append(&chunk, name, strlen(name) + 1);
        if (chunk.length >= RUN_BUFFER_BYTES && !write_chunk(names, &chunk, err))
            goto out;
    }
    if (!write_chunk(names, &chunk, err))
        goto out;
    names->runs = xrealloc_array(names->runs, names->run_count + 1, sizeof *names->runs);
    names->runs[names->run_count++] = (struct scan_run){.offset = start, .end = names->file_bytes};
    buffer_truncate(&names->arena, 0);
    names->count = 0;
    ok = true;
out:
    buffer_clear(&chunk);
    return ok;
}

bool scan_names_add(struct scan_names *names, const char *name, bool is_folder, struct error *err)
{
    size_t length = strlen(name);
    assert(length > 0);
    if (length > NAME_BYTES_MAX)
        return error_set(err, ERROR_FATAL, "a file name has %zu bytes", length);
    size_t used = names->arena.length + names->count * sizeof *names->offsets;
    if (used + length + 2 + sizeof *names->offsets > names->limit_bytes && names->count > 0) {
        if (names->scratch == NULL)
            return error_set(err, ERROR_FATAL, "a folder has too many names to sort them in memory");
        if (!spill(names, err))
            return false;
    }
    if (names->count == names->capacity) {
        names->capacity = names->capacity < 64 ? 64 : names->capacity + names->capacity / 2;
        names->offsets = xrealloc_array(names->offsets, names->capacity, sizeof *names->offsets);
    }
    names->offsets[names->count++] = (uint32_t)names->arena.length;
    buffer_append(&names->arena, name, length);
    if (is_folder)
        buffer_append_char(&names->arena, '/');
    buffer_append_char(&names->arena, '\0');
    return true;
}

/* See that a whole name lies at the run's place in its buffer, unless the run is over. */
static bool run_fill(const struct scan_names *names, struct scan_run *run, struct error *err)
{
    if (run->length - run->at >= ENTRY_BYTES_MAX || run->offset == run->end)
        return true;
    run->length -= run->at;
    memmove(run->buffer, run->buffer + run->at, run->length);
    run->at = 0;
    while (run->length < RUN_BUFFER_BYTES && run->offset < run->end) {
        uint64_t rest = run->end - run->offset;
        size_t wanted = RUN_BUFFER_BYTES - run->length;
        if (wanted > rest)
            wanted = (size_t)rest;
        ssize_t n = pread(names->file, run->buffer + run->length, wanted, (off_t)run->offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ERROR_FATAL, "cannot read sorted names");
        if (n == 0)
            return error_set(err, ERROR_FATAL, "sorted names were cut short");
        run->length += (size_t)n;
        run->offset += (uint64_t)n;
    }
    return true;
}

static const char *run_name(const struct scan_names *names, uint32_t run)
{
    return names->runs[run].buffer + names->runs[run].at;
}

/* Let the run at `at` sink to its place. */
static void heap_sink(struct scan_names *names, size_t at)
{
    uint32_t run = names->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= names->heap_count)
            break;
        if (child + 1 < names->heap_count &&
            strcmp(run_name(names, names->heap[child + 1]), run_name(names, names->heap[child])) < 0)
            child++;
        if (strcmp(run_name(names, run), run_name(names, names->heap[child])) <= 0)
            break;
        names->heap[at] = names->heap[child];
        at = child;
    }
    names->heap[at] = run;
}

bool scan_names_sort(struct scan_names *names, struct error *err)
{
    if (names->run_count == 0) {
        sort_arena(names);
        return true;
    }
    if (!spill(names, err))
        return false;
    buffer_clear(&names->arena);
    free(names->offsets);
    names->offsets = NULL;
    names->capacity = 0;
    names->heap = xcalloc(names->run_count, sizeof *names->heap);
    for (size_t i = 0; i < names->run_count; i++) {
        names->runs[i].buffer = xmalloc(RUN_BUFFER_BYTES);
        if (!run_fill(names, &names->runs[i], err))
            return false;
        names->heap[i] = (uint32_t)i;
    }
    names->heap_count = names->run_count;
    for (size_t i = names->heap_count / 2; i-- > 0;)
        heap_sink(names, i);
    return true;
}

/* Past the name given last, whose run is on top of the heap; `next` counts the names given. */
static bool merge_next(struct scan_names *names, const char **name, struct error *err)
{
    if (names->next++ > 0 && names->heap_count > 0) {
        struct scan_run *run = &names->runs[names->heap[0]];
        run->at += strlen(run->buffer + run->at) + 1;
        if (!run_fill(names, run, err))
            return false;
        if (run->at == run->length)
            names->heap[0] = names->heap[--names->heap_count];
        if (names->heap_count > 0)
            heap_sink(names, 0);
    }
    if (names->heap_count > 0)
        *name = run_name(names, names->heap[0]);
    return true;
}

bool scan_names_next(struct scan_names *names, const char **name, struct error *err)
{
    *name = NULL;
    if (names->run_count > 0)
        return merge_next(names, name, err);
    if (names->next < names->count)
        *name = names->arena.data + names->offsets[names->next++];
    return true;
}
