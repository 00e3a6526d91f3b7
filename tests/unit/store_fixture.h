/* store_fixture.h: a temporary folder with a store in it, and records to put there. For the aggregator's
 * tests. */
#ifndef NIFFLER_TESTS_UNIT_STORE_FIXTURE_H
#define NIFFLER_TESTS_UNIT_STORE_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "aggregator/store.h"
#include "common/alloc.h"
#include "common/files.h"

struct fixture {
    char folder[64];
    char path[96]; /* of the database */
    int dir;
    struct store *store;
    struct record rec;
};

/* Fail the test with the error's words. */
#define assert_ok(call, err)                       \
    do {                                           \
        if (!(call))                               \
            fail_msg("%s: %s", #call, (err).text); \
    } while (0)

static inline void fixture_open(struct fixture *fx)
{
    struct error err;
    assert_ok(store_open(&fx->store, fx->path, &err), err);
}

static inline void fixture_close(struct fixture *fx)
{
    struct error err;
    assert_ok(store_close(fx->store, &err), err);
    fx->store = NULL;
}

static inline int fixture_set_up(void **state)
{
    struct fixture *fx = xcalloc(1, sizeof *fx);
    const char *base = getenv("TMPDIR");
    (void)snprintf(fx->folder, sizeof fx->folder, "%s/niffler-store-XXXXXX",
                   base != NULL && strlen(base) < 32 ? base : "/tmp");
    if (mkdtemp(fx->folder) == NULL)
        return -1;
    (void)snprintf(fx->path, sizeof fx->path, "%s/state.db", fx->folder);
    fx->dir = open(fx->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fx->dir < 0)
        return -1;
    fixture_open(fx);
    *state = fx;
    return 0;
}

static inline int remove_folder(const char *folder)
{
    pid_t child = fork();
    if (child == 0) {
        (void)execlp("rm", "rm", "-rf", "--", folder, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : -1;
}

static inline int fixture_tear_down(void **state)
{
    struct fixture *fx = *state;
    if (fx->store != NULL)
        fixture_close(fx);
    record_clear(&fx->rec);
    (void)close(fx->dir);
    int result = remove_folder(fx->folder);
    free(fx);
    return result;
}

/* Begin the record of a converted file. */
static inline struct record *fixture_record(struct fixture *fx, const char *path)
{
    record_reset(&fx->rec);
    fx->rec.path = record_add_text(&fx->rec, path, strlen(path));
    fx->rec.status = RECORD_CONVERTED;
    fx->rec.has_pix_array = fx->rec.is_uncategorized = true;
    fx->rec.size_bytes = 1000;
    fx->rec.mtime_ns = 5;
    return &fx->rec;
}

static inline void add_cell(struct record *rec, const char *column, const char *value)
{
    record_add_cell(rec, column, strlen(column), value, strlen(value));
}

static inline void add_picture(struct record *rec, const char *png, uint64_t bytes)
{
    struct record_frame *frame = record_add_frame(rec);
    size_t name = record_add_text(rec, png, strlen(png)), scaling = record_add_text(rec, "full", 4);
    frame->frame = (uint32_t)rec->frame_count;
    frame->png = name;
    frame->png_bytes = bytes;
    frame->maximum = 4095;
    frame->scaling = scaling;
}

static inline void fixture_add(struct fixture *fx)
{
    struct error err;
    assert_ok(store_add_record(fx->store, &fx->rec, &err), err);
}

static inline void fixture_commit(struct fixture *fx)
{
    struct error err;
    assert_ok(store_commit(fx->store, &err), err);
}

static inline struct store_counts fixture_counts(struct fixture *fx)
{
    struct store_counts counts;
    struct error err;
    assert_ok(store_counts(fx->store, &counts, &err), err);
    return counts;
}

/* Write `text` to a file below the folder, making its folders. */
static inline void write_file(struct fixture *fx, const char *path, const char *text)
{
    char copy[512];
    struct error err;
    (void)snprintf(copy, sizeof copy, "%s", path);
    char *slash = strrchr(copy, '/');
    if (slash != NULL) {
        *slash = '\0';
        assert_ok(files_make_folders(fx->dir, copy, &err), err);
    }
    int descriptor = openat(fx->dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(descriptor), 0);
}

/* The content of a file below the folder; NULL where there is none. Returns new. */
static inline char *read_file(struct fixture *fx, const char *path, size_t *length)
{
    struct buffer text = {0};
    int descriptor = openat(fx->dir, path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    for (;;) {
        ssize_t n = read(descriptor, buffer_reserve(&text, 65536), 65536);
        assert_true(n >= 0);
        if (n == 0)
            break;
        text.length += (size_t)n;
    }
    (void)close(descriptor);
    if (length != NULL)
        *length = text.length;
    (void)buffer_text(&text);
    return text.data;
}

static inline bool file_exists(struct fixture *fx, const char *path)
{
    return faccessat(fx->dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

#endif
