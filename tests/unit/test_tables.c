/* The three tables change together or not at all, wherever the process is killed.
 *
 * This program is linked with --wrap for the calls by which files and the database change. A child counts
 * them and dies by SIGKILL before the one it was told; so every moment that matters is tried, one by one. */
#include "tests/unit/store_fixture.h"

#include <signal.h>
#include <sqlite3.h>

#include "aggregator/complete.h"
#include "aggregator/csv.h"

static long calls_left = -1; /* negative: never */

static void maybe_die(void)
{
    if (calls_left > 0 && --calls_left == 0)
        (void)raise(SIGKILL);
}

int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    maybe_die();
    return __real_renameat(from_dir, from, to_dir, to);
}

int __real_unlinkat(int dir, const char *path, int flags);
int __wrap_unlinkat(int dir, const char *path, int flags);
int __wrap_unlinkat(int dir, const char *path, int flags)
{
    maybe_die();
    return __real_unlinkat(dir, path, flags);
}

int __real_fsync(int descriptor);
int __wrap_fsync(int descriptor);
int __wrap_fsync(int descriptor)
{
    maybe_die();
    return __real_fsync(descriptor);
}

int __real_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
    if (sqlite3_stmt_readonly(statement) == 0)
        maybe_die();
    return __real_sqlite3_step(statement);
}

int __real_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *frames, int *done);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *frames, int *done);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *frames, int *done)
{
    maybe_die();
    return __real_sqlite3_wal_checkpoint_v2(db, name, mode, frames, done);
}

/* ---- states of the store that all three tables tell ---- */

static void set_generation(struct fixture *fx, unsigned generation)
{
    char text[32];
    (void)snprintf(text, sizeof text, "generation-%u.", generation);
    struct record *rec = fixture_record(fx, "a.dcm");
    add_cell(rec, "Generation", text);
    add_picture(rec, text, 1);
    rec->category = CATEGORY_TOO_MANY;
    rec->reason = record_add_text(rec, text, strlen(text));
    fixture_add(fx);
    fixture_commit(fx);
}

static unsigned generation_of(struct fixture *fx, const char *table)
{
    char *text = read_file(fx, table, NULL);
    assert_non_null(text);
    const char *at = strstr(text, "generation-");
    assert_non_null(at);
    unsigned generation = (unsigned)strtoul(at + strlen("generation-"), NULL, 10);
    free(text);
    return generation;
}

static bool are_of_one_generation(struct fixture *fx)
{
    unsigned generation = generation_of(fx, "metadata.csv");
    return generation_of(fx, "mapping.csv") == generation && generation_of(fx, "failures.csv") == generation;
}

static void expect_generation(struct fixture *fx, unsigned generation)
{
    struct stat status;
    assert_int_equal(generation_of(fx, "metadata.csv"), generation);
    assert_int_equal(generation_of(fx, "mapping.csv"), generation);
    assert_int_equal(generation_of(fx, "failures.csv"), generation);
    assert_false(file_exists(fx, CSV_DRAFT_FOLDER));
    assert_int_equal(fstatat(fx->dir, "mapping.csv", &status, 0), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static bool complete(struct fixture *fx, struct error *err)
{
    const struct job job = {.dicom_home = "/in", .output_directory = fx->folder};
    struct store_counts counts;
    return complete_outputs(fx->store, &job, fx->dir, &counts, err) &&
           complete_state(fx->store, "complete", err);
}

static bool finish(struct fixture *fx, struct error *err)
{
    return complete_finish_tables(fx->store, fx->dir, err);
}

/* Drafts are written and noted, and nothing is published. */
static bool write_and_note(struct fixture *fx, struct error *err)
{
    return csv_write(fx->store, fx->dir, &(struct csv_options){.dicom_home = "/in"}, err) &&
           store_set(fx->store, "tables", "written", err) && store_sync(fx->store, err);
}

/* Do `work` in a child that dies before its n-th call. Returns whether it died. */
static bool dies(struct fixture *fx, bool (*work)(struct fixture *fx, struct error *err), long n)
{
    fixture_close(fx);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error err;
        if (!store_open(&fx->store, fx->path, &err))
            _exit(2);
        calls_left = n;
        _exit(work(fx, &err) ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    fixture_open(fx);
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    else
        assert_int_equal(WTERMSIG(status), SIGKILL);
    return WIFSIGNALED(status);
}

/* ---- tests ---- */

static void a_kill_in_the_completion_leaves_old_tables_or_new_ones(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    unsigned generation = 1, old = 0, new = 0, mixed = 0;
    set_generation(fx, generation);
    assert_ok(complete(fx, &err), err);
    expect_generation(fx, 1);
    for (long n = 1;; n++) {
        set_generation(fx, ++generation);
        if (!dies(fx, complete, n))
            break;
        mixed += !are_of_one_generation(fx);
        assert_ok(finish(fx, &err), err);
        unsigned shown = generation_of(fx, "metadata.csv");
        assert_in_range(shown, generation - 1, generation);
        expect_generation(fx, shown);
        old += shown != generation;
        new += shown == generation;
        assert_ok(complete(fx, &err), err);
        expect_generation(fx, generation);
    }
    expect_generation(fx, generation);
    /* It was killed before the note, in the midst of the renames (before the second and the third), and
     * after. */
    assert_true(old >= 5);
    assert_int_equal(mixed, 2);
    assert_true(new >= 5);
}

static void a_kill_in_the_finishing_is_made_good_by_the_next(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    unsigned generation = 1, mixed = 0;
    set_generation(fx, generation);
    assert_ok(complete(fx, &err), err);
    for (long n = 1;; n++) {
        set_generation(fx, ++generation);
        assert_ok(write_and_note(fx, &err), err);
        assert_true(file_exists(fx, CSV_DRAFT_FOLDER "/failures.csv"));
        bool died = dies(fx, finish, n);
        mixed += !are_of_one_generation(fx);
        assert_ok(finish(fx, &err), err);
        expect_generation(fx, generation);
        if (!died)
            break;
    }
    assert_int_equal(mixed, 2);
}

/* The completion itself publishes first what is noted: its own drafts may not be mixed with those. */
static void a_completion_publishes_what_was_noted_before(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    unsigned generation = 1, noted = 0;
    set_generation(fx, generation);
    assert_ok(complete(fx, &err), err);
    for (long n = 1;; n++) {
        set_generation(fx, ++generation);
        assert_ok(write_and_note(fx, &err), err);
        set_generation(fx, ++generation);
        bool died = dies(fx, complete, n);
        assert_ok(finish(fx, &err), err);
        unsigned shown = generation_of(fx, "metadata.csv");
        expect_generation(fx, shown);
        assert_in_range(shown, generation - 1, generation); /* never the one before the note */
        noted += shown == generation - 1;
        assert_ok(complete(fx, &err), err);
        expect_generation(fx, generation);
        if (!died)
            break;
    }
    assert_true(noted >= 10);
}

static void drafts_that_are_not_noted_are_swept(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    set_generation(fx, 1);
    assert_ok(complete(fx, &err), err);
    set_generation(fx, 2);
    assert_ok(csv_write(fx->store, fx->dir, &(struct csv_options){.dicom_home = "/in"}, &err), err);
    write_file(fx, CSV_DRAFT_FOLDER "/" FILES_DRAFT_PREFIX "0123", "half");
    assert_ok(finish(fx, &err), err);
    expect_generation(fx, 1);
}

static void a_table_that_cannot_be_placed_keeps_the_drafts(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    write_file(fx, "mapping.csv/somebody's file", "x");
    set_generation(fx, 1);
    assert_false(complete(fx, &err));
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_non_null(strstr(err.text, "'mapping.csv'"));
    assert_false(finish(fx, &err));
    assert_int_equal(unlinkat(fx->dir, "mapping.csv/somebody's file", 0), 0);
    assert_int_equal(unlinkat(fx->dir, "mapping.csv", AT_REMOVEDIR), 0);
    fixture_close(fx);
    fixture_open(fx);
    assert_ok(finish(fx, &err), err);
    expect_generation(fx, 1);
    assert_ok(csv_publish(fx->dir, &err), err); /* again: nothing to do */
    expect_generation(fx, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_kill_in_the_completion_leaves_old_tables_or_new_ones),
        TEST(a_kill_in_the_finishing_is_made_good_by_the_next),
        TEST(a_completion_publishes_what_was_noted_before),
        TEST(drafts_that_are_not_noted_are_swept),
        TEST(a_table_that_cannot_be_placed_keeps_the_drafts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
