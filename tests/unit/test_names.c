/* Picture names under compatibility: who gets which, whatever came first and wherever the process was killed.
 *
 * This program is linked with --wrap for the calls by which names change on disk and in the database. A child
 * counts them and dies by SIGKILL before the one it was told; so every moment that matters is tried, one by
 * one. */
#include "tests/unit/store_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sqlite3.h>

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

/* ---- files with wishes ---- */

/* As a worker does it: the picture lies under a name of its own, and holds the file's path, to be told again.
 */
static void add_wish(struct fixture *fx, const char *path, const char *name)
{
    char png[128];
    uint32_t hash = 0;
    for (const char *c = path; *c != '\0'; c++)
        hash = hash * 31 + (unsigned char)*c;
    (void)snprintf(png, sizeof png, "extracted-images/p/%s~%08x.png", name, hash);
    write_file(fx, png, path);
    add_picture(fixture_record(fx, path), png, strlen(path));
    fixture_add(fx);
}

static void settle(struct fixture *fx)
{
    struct error err;
    assert_ok(store_settle_names(fx->store, fx->dir, &err), err);
}

/* What a scan does that finds `paths` (sorted, NULL at the end) unchanged. All known ones must count as done.
 */
static uint64_t scan(struct fixture *fx, const char *const *paths)
{
    struct error err;
    uint64_t done_count = 0, forgotten;
    assert_ok(store_reconcile_begin(fx->store, fx->dir, &err), err);
    for (; *paths != NULL; paths++) {
        bool done;
        assert_ok(store_reconcile_file(fx->store, *paths, 1000, 5, &done, &err), err);
        done_count += done;
    }
    assert_ok(store_reconcile_end(fx->store, &forgotten, &err), err);
    return done_count;
}

static bool describe(void *context, const struct store_row *row, struct error *err)
{
    (void)err;
    const char *png = row->frame_count > 0 ? row->text + row->frames[0].png : "-";
    const char *slash = strrchr(png, '/');
    buffer_append_format(context, "%s:%s ", row->path, slash != NULL ? slash + 1 : png);
    return true;
}

/* The rows' names, and on disk exactly those pictures, each its file's. */
static void expect_names(struct fixture *fx, const char *expected)
{
    struct buffer names = {0};
    struct error err;
    size_t count = 0;
    assert_ok(store_each(fx->store, describe, &names, &err), err);
    assert_string_equal(buffer_text(&names), expected);
    char *rest = names.data;
    for (char *item; (item = strsep(&rest, " ")) != NULL && *item != '\0'; count++) {
        char *png = strchr(item, ':');
        char path[128];
        *png++ = '\0';
        (void)snprintf(path, sizeof path, "extracted-images/p/%s", png);
        char *content = read_file(fx, path, NULL);
        if (content == NULL)
            fail_msg("no picture '%s'", path);
        assert_string_equal(content, item);
        free(content);
    }
    buffer_clear(&names);
    char command[128];
    (void)snprintf(command, sizeof command, "%s/extracted-images/p", fx->folder);
    size_t files = 0;
    int folder = open(command, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fdopendir(folder);
    assert_non_null(entries);
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;)
        files += entry->d_name[0] != '.';
    (void)closedir(entries);
    assert_int_equal(files, count);
}

static void the_first_by_path_gets_the_name(void **state)
{
    struct fixture *fx = *state;
    add_wish(fx, "c", "n");
    add_wish(fx, "a", "n");
    add_wish(fx, "d", "other");
    add_wish(fx, "b", "n");
    settle(fx);
    expect_names(fx, "a:n.png b:n_2.png c:n_3.png d:other.png ");
    settle(fx);
    expect_names(fx, "a:n.png b:n_2.png c:n_3.png d:other.png ");
    fixture_close(fx);
    fixture_open(fx);
    expect_names(fx, "a:n.png b:n_2.png c:n_3.png d:other.png ");
    assert_int_equal(scan(fx, (const char *[]){"a", "b", "c", "d", NULL}), 4);
}

static void a_file_that_comes_earlier_moves_the_others(void **state)
{
    struct fixture *fx = *state;
    add_wish(fx, "b", "n");
    add_wish(fx, "c", "n");
    settle(fx);
    add_wish(fx, "a", "n");
    settle(fx);
    expect_names(fx, "a:n.png b:n_2.png c:n_3.png ");
}

static void a_file_that_goes_moves_the_others(void **state)
{
    struct fixture *fx = *state;
    add_wish(fx, "a", "n");
    add_wish(fx, "b", "n");
    add_wish(fx, "c", "n");
    settle(fx);
    assert_int_equal(scan(fx, (const char *[]){"b", "c", NULL}), 2);
    settle(fx);
    expect_names(fx, "b:n.png c:n_2.png ");
}

static void a_changed_file_gets_its_name_again(void **state)
{
    struct fixture *fx = *state;
    add_wish(fx, "a", "n");
    add_wish(fx, "b", "n");
    settle(fx);
    add_wish(fx, "a", "n"); /* done again, same wish */
    settle(fx);
    expect_names(fx, "a:n.png b:n_2.png ");
    add_wish(fx, "a", "m"); /* done again, another wish */
    settle(fx);
    expect_names(fx, "a:m.png b:n.png ");
}

static void a_file_that_fails_now_gives_its_name_up(void **state)
{
    struct fixture *fx = *state;
    add_wish(fx, "a", "n");
    add_wish(fx, "b", "n");
    settle(fx);
    fixture_record(fx, "a")->status = RECORD_FAILED;
    fixture_add(fx);
    settle(fx);
    fixture_record(fx, "a")->status = RECORD_IGNORED; /* so that only b is listed */
    fixture_add(fx);
    expect_names(fx, "b:n.png ");
}

static void names_without_a_mark_stay(void **state)
{
    struct fixture *fx = *state;
    const char *names[] = {"extracted-images/p/plain.png", "extracted-images/p/x~1234567g.png",
                           "extracted-images/p/x~1234567.png"};
    const char *paths[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        write_file(fx, names[i], paths[i]);
        add_picture(fixture_record(fx, paths[i]), names[i], 1);
        fixture_add(fx);
    }
    settle(fx);
    expect_names(fx, "a:plain.png b:x~1234567g.png c:x~1234567.png ");
}

static void a_lost_picture_is_told_and_done_again(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    add_wish(fx, "a", "n");
    add_wish(fx, "b", "n");
    char path[128];
    (void)snprintf(path, sizeof path, "%s/extracted-images/p", fx->folder);
    assert_int_equal(remove_folder(path), 0);
    write_file(fx, "extracted-images/p/keep", "");
    assert_int_equal(unlinkat(fx->dir, "extracted-images/p/keep", 0), 0);
    assert_false(store_settle_names(fx->store, fx->dir, &err));
    assert_int_equal(err.kind, ERROR_INPUT);
    assert_non_null(strstr(err.text, "disappeared"));
    fixture_close(fx);
    fixture_open(fx);
    assert_int_equal(scan(fx, (const char *[]){"a", "b", NULL}), 0);
    add_wish(fx, "a", "n");
    add_wish(fx, "b", "n");
    settle(fx);
    expect_names(fx, "a:n.png b:n_2.png ");
}

/* ---- kills ---- */

/* A settled store in which then everything changes: `a` comes before b, `c` goes, `d` wishes for another
 * name, and `e` moves up. */
static void prepare(struct fixture *fx)
{
    add_wish(fx, "b", "n");
    add_wish(fx, "c", "n");
    add_wish(fx, "d", "n");
    add_wish(fx, "e", "n");
    settle(fx);
    assert_int_equal(scan(fx, (const char *[]){"b", "d", "e", NULL}), 3);
    add_wish(fx, "a", "n");
    add_wish(fx, "d", "m");
    fixture_commit(fx);
}

/* Settle in a child that dies before its n-th step; returns whether it died. */
static bool settle_and_die(struct fixture *fx, long n)
{
    fixture_close(fx);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct error err;
        if (!store_open(&fx->store, fx->path, &err))
            _exit(1);
        calls_left = n;
        _exit(store_settle_names(fx->store, fx->dir, &err) ? 0 : 2);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    fixture_open(fx);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return true;
    assert_int_equal(status, 0);
    return false;
}

static void fresh(void **state)
{
    assert_int_equal(fixture_tear_down(state), 0);
    assert_int_equal(fixture_set_up(state), 0);
}

static void any_kill_can_be_made_good(void **state)
{
    long n = 1;
    for (;; n++) {
        fresh(state);
        struct fixture *fx = *state;
        prepare(fx);
        bool died = settle_and_die(fx, n);
        /* No picture is lost, so nothing is decoded again. */
        assert_int_equal(scan(fx, (const char *[]){"a", "b", "d", "e", NULL}), 4);
        settle(fx);
        expect_names(fx, "a:n.png b:n_2.png d:m.png e:n_3.png ");
        if (!died)
            break;
    }
    assert_true(n > 30); /* the wrapping works */
}

/* After the kill other files come and go, before settling is tried again; and that is killed, too. */
static void kills_and_changes_may_alternate(void **state)
{
    for (long n = 1;; n++) {
        fresh(state);
        struct fixture *fx = *state;
        prepare(fx);
        bool died = settle_and_die(fx, n);
        assert_int_equal(scan(fx, (const char *[]){"a", "d", "e", NULL}), 3); /* b goes          */
        add_wish(fx, "e", "n");                                               /* e is done again */
        add_wish(fx, "A", "n");                                               /* A is new        */
        fixture_commit(fx);
        (void)settle_and_die(fx, n);
        (void)settle_and_die(fx, n / 2 + 1);
        assert_int_equal(scan(fx, (const char *[]){"A", "a", "d", "e", NULL}), 4);
        settle(fx);
        expect_names(fx, "A:n.png a:n_2.png d:m.png e:n_3.png ");
        if (!died)
            break;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_by_path_gets_the_name),         TEST(a_file_that_comes_earlier_moves_the_others),
        TEST(a_file_that_goes_moves_the_others),       TEST(a_changed_file_gets_its_name_again),
        TEST(a_file_that_fails_now_gives_its_name_up), TEST(names_without_a_mark_stay),
        TEST(a_lost_picture_is_told_and_done_again),   TEST(any_kill_can_be_made_good),
        TEST(kills_and_changes_may_alternate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
