/* The store: what is committed stays, what is known is found again, names and shapes come back in order. */
#include "tests/unit/store_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>

/* ---- facts ---- */

static void facts_come_back(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    char *value = NULL;
    assert_ok(store_get(fx->store, "state", &value, &err), err);
    assert_null(value);
    assert_ok(store_set(fx->store, "state", "running", &err), err);
    assert_ok(store_set(fx->store, "state", "complete", &err), err);
    fixture_close(fx);
    fixture_open(fx);
    assert_ok(store_get(fx->store, "state", &value, &err), err);
    assert_string_equal(value, "complete");
    free(value);
}

static void the_database_is_private(void **state)
{
    struct fixture *fx = *state;
    struct stat status;
    assert_int_equal(stat(fx->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

/* ---- columns ---- */

static void expect_columns(struct fixture *fx, const char *expected, uint64_t expected_rows)
{
    struct store_column *columns;
    size_t count;
    uint64_t rows;
    struct error err;
    struct buffer text = {0};
    assert_ok(store_columns(fx->store, &columns, &count, &rows, &err), err);
    for (size_t i = 0; i < count; i++)
        buffer_append_format(&text, "%s:%llu ", columns[i].name, (unsigned long long)columns[i].populated);
    assert_string_equal(buffer_text(&text), expected);
    assert_int_equal(rows, expected_rows);
    store_columns_free(columns, count);
    buffer_clear(&text);
}

static void columns_stand_in_order_of_the_paths(void **state)
{
    struct fixture *fx = *state;
    struct record *rec = fixture_record(fx, "b");
    add_cell(rec, "Modality", "CT");
    add_cell(rec, "Zeta", "1");
    fixture_add(fx);
    rec = fixture_record(fx, "c"); /* ignored files have no row */
    rec->status = RECORD_IGNORED;
    add_cell(rec, "Never", "1");
    fixture_add(fx);
    rec = fixture_record(fx, "a");
    add_cell(rec, "Alpha", "");
    add_cell(rec, "Modality", "MR");
    fixture_add(fx);
    expect_columns(fx, "Alpha:0 Modality:2 file:2 has_pix_array:2 category:2 Zeta:1 ", 2);
    fixture_commit(fx);
    fixture_close(fx);
    fixture_open(fx);
    expect_columns(fx, "Alpha:0 Modality:2 file:2 has_pix_array:2 category:2 Zeta:1 ", 2);
}

static void an_empty_store_has_no_columns(void **state)
{
    expect_columns(*state, "", 0);
}

static void paths_sort_by_byte(void **state)
{
    struct fixture *fx = *state;
    const char *paths[] = {"a/b", "a.b", "\xff", "a", "Z"};
    for (size_t i = 0; i < 5; i++) {
        struct record *rec = fixture_record(fx, paths[i]);
        char name[16];
        (void)snprintf(name, sizeof name, "C%zu", i);
        add_cell(rec, name, "1");
        fixture_add(fx);
    }
    expect_columns(fx, "C4:1 file:5 has_pix_array:5 category:5 C3:1 C1:1 C0:1 C2:1 ", 5);
}

static void the_last_value_of_a_column_wins_at_its_first_place(void **state)
{
    struct fixture *fx = *state;
    struct record *rec = fixture_record(fx, "a");
    add_cell(rec, "A", "");
    add_cell(rec, "B", "b");
    add_cell(rec, "file", "forged");
    add_cell(rec, "A", "second");
    add_cell(rec, "A", "third");
    fixture_add(fx);
    expect_columns(fx, "A:1 B:1 file:1 has_pix_array:1 category:1 ", 1);
}

static void many_columns_are_told_apart(void **state)
{
    struct fixture *fx = *state;
    struct record *rec = fixture_record(fx, "a");
    char name[32];
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(name, sizeof name, "%d_Sequence__0_Tag", i);
        add_cell(rec, name, i % 2 == 0 ? "x" : "");
    }
    fixture_add(fx);
    fixture_commit(fx);
    fixture_close(fx);
    fixture_open(fx);
    fixture_add(fx);
    struct store_column *columns;
    size_t count;
    uint64_t rows;
    struct error err;
    assert_ok(store_columns(fx->store, &columns, &count, &rows, &err), err);
    assert_int_equal(count, 20003);
    assert_int_equal(rows, 1);
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(name, sizeof name, "%d_Sequence__0_Tag", i);
        assert_string_equal(columns[i].name, name);
        assert_int_equal(columns[i].populated, i % 2 == 0);
    }
    store_columns_free(columns, count);
}

static int64_t query(const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    int code = sqlite3_step(statement);
    assert_true(code == SQLITE_ROW || code == SQLITE_DONE);
    int64_t number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
    (void)sqlite3_finalize(statement);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}

static void files_of_one_shape_share_it(void **state)
{
    struct fixture *fx = *state;
    char path[16];
    for (int i = 0; i < 300; i++) {
        (void)snprintf(path, sizeof path, "%03d", i);
        struct record *rec = fixture_record(fx, path);
        add_cell(rec, "A", "1");
        add_cell(rec, "B", i % 3 == 0 ? "" : "2");
        fixture_add(fx);
    }
    fixture_commit(fx);
    fixture_close(fx);
    assert_int_equal(query(fx->path, "SELECT count(*) FROM shape"), 2);
    fixture_open(fx);
}

/* ---- rows ---- */

struct collected {
    struct buffer text;
    size_t limit;
};

static bool collect(void *context, const struct store_row *row, struct error *err)
{
    struct collected *all = context;
    buffer_append_format(&all->text, "%s|%d|%d|%s|%s|%s|%s|%d%d", row->path, (int)row->status,
                         (int)row->category, row->code, row->reason, row->transfer_syntax, row->modality,
                         row->has_pix_array, row->is_uncategorized);
    for (size_t i = 0; i < row->frame_count; i++)
        buffer_append_format(&all->text, "|%u %s %llu %g %g %s %s", row->frames[i].frame,
                             row->text + row->frames[i].png, (unsigned long long)row->frames[i].png_bytes,
                             row->frames[i].offset, row->frames[i].maximum,
                             row->text + row->frames[i].scaling, row->text + row->frames[i].notes);
    for (size_t i = 0; i < row->cell_count; i++)
        buffer_append_format(&all->text, "|%lld=%.*s", (long long)row->cell_columns[i],
                             (int)row->cell_lengths[i], row->cell_values[i]);
    buffer_append_char(&all->text, '\n');
    if (all->limit > 0 && --all->limit == 0)
        return error_set(err, ERROR_FATAL, "enough");
    return true;
}

static void expect_rows(struct fixture *fx, const char *expected)
{
    struct collected all = {0};
    struct error err;
    assert_ok(store_each(fx->store, collect, &all, &err), err);
    assert_string_equal(buffer_text(&all.text), expected);
    buffer_clear(&all.text);
}

static void add_failed_multi_frame(struct fixture *fx)
{
    struct record *rec = fixture_record(fx, "dir/b\n\xfe");
    rec->status = RECORD_FAILED;
    rec->category = CATEGORY_UNDECODABLE;
    rec->code = record_add_text(rec, "codec", 5);
    rec->reason = record_add_text(rec, "frame 2 is cut", 14);
    rec->transfer_syntax = record_add_text(rec, "1.2.4", 5);
    rec->modality = record_add_text(rec, "US", 2);
    rec->has_pix_array = false;
    add_picture(rec, "extracted-images/x-0001.png", 77);
    rec->frames[0].offset = -1024.5;
    size_t notes = record_add_text(rec, "cut", 3);
    record_add_frame(rec)->notes = notes;
    rec->frames[1].frame = 2;
    add_cell(rec, "A", "");
    add_cell(rec, "B", "line\nfeed");
}

static void rows_come_back_whole(void **state)
{
    struct fixture *fx = *state;
    add_failed_multi_frame(fx);
    fixture_add(fx);
    struct record *rec = fixture_record(fx, "a");
    rec->status = RECORD_NO_IMAGE;
    rec->is_uncategorized = rec->has_pix_array = false;
    fixture_add(fx);
    const char *expected =
        "a|1|0|||||00\n"
        "dir/b\n\xfe|3|3|codec|frame 2 is cut|1.2.4|US|01"
        "|1 extracted-images/x-0001.png 77 -1024.5 4095 full |2  0 0 0  cut|5=line\nfeed\n";
    expect_rows(fx, expected);
    struct store_counts counts = fixture_counts(fx);
    assert_int_equal(counts.pictures, 1);
    fixture_commit(fx);
    fixture_close(fx);
    fixture_open(fx);
    expect_rows(fx, expected);
}

static void a_record_that_comes_again_changes_nothing(void **state)
{
    struct fixture *fx = *state;
    struct collected once = {0};
    struct error err;
    add_failed_multi_frame(fx);
    fixture_add(fx);
    assert_ok(store_each(fx->store, collect, &once, &err), err);
    fixture_add(fx);
    fixture_commit(fx);
    fixture_add(fx);
    expect_rows(fx, buffer_text(&once.text));
    assert_int_equal(fixture_counts(fx).found, 1);
    buffer_clear(&once.text);
}

static void a_reader_that_stops_ends_the_reading(void **state)
{
    struct fixture *fx = *state;
    struct collected all = {.limit = 1};
    struct error err;
    (void)fixture_record(fx, "a");
    fixture_add(fx);
    (void)fixture_record(fx, "b");
    fixture_add(fx);
    assert_false(store_each(fx->store, collect, &all, &err));
    assert_string_equal(err.text, "enough");
    assert_string_equal(buffer_text(&all.text), "a|0|0|||||11\n");
    buffer_clear(&all.text);
}

static void counts_balance(void **state)
{
    struct fixture *fx = *state;
    const struct {
        enum record_status status;
        enum category category;
    } files[] = {{RECORD_CONVERTED, CATEGORY_NONE},     {RECORD_CONVERTED, CATEGORY_TOO_MANY},
                 {RECORD_NO_IMAGE, CATEGORY_NONE},      {RECORD_IGNORED, CATEGORY_NONE},
                 {RECORD_FAILED, CATEGORY_NOT_USABLE},  {RECORD_FAILED, CATEGORY_DECODER},
                 {RECORD_FAILED, CATEGORY_UNDECODABLE}, {RECORD_FAILED, CATEGORY_DECODER}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[8];
        (void)snprintf(path, sizeof path, "%zu", i);
        struct record *rec = fixture_record(fx, path);
        rec->status = files[i].status;
        rec->category = files[i].category;
        if (rec->status == RECORD_CONVERTED)
            add_picture(rec, "extracted-images/p.png", 3);
        fixture_add(fx);
    }
    struct store_counts counts = fixture_counts(fx);
    assert_int_equal(counts.found, 8);
    assert_int_equal(counts.converted, 2);
    assert_int_equal(counts.no_image, 1);
    assert_int_equal(counts.ignored, 1);
    assert_int_equal(counts.failed, 4);
    assert_int_equal(counts.pictures, 2);
    const uint64_t categories[] = {0, 1, 0, 1, 2, 1};
    for (int i = 0; i < 6; i++)
        assert_int_equal(counts.failed_by_category[i], categories[i]);
    struct error err;
    uint64_t forgotten;
    assert_ok(store_reconcile_begin(fx->store, AT_FDCWD, &err), err);
    assert_ok(store_reconcile_end(fx->store, &forgotten, &err), err);
    assert_int_equal(forgotten, 8);
    assert_int_equal(fixture_counts(fx).found, 0);
}

/* ---- crashes, locks, bad files ---- */

/* Run `body` in a child; returns waitpid()'s status. */
static int in_child(struct fixture *fx, void (*body)(struct fixture *fx))
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        body(fx);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void add_ten_commit_add_five(struct fixture *fx)
{
    struct error err;
    if (!store_open(&fx->store, fx->path, &err))
        _exit(1);
    for (int i = 0; i < 15; i++) {
        char path[8];
        (void)snprintf(path, sizeof path, "%d", i);
        add_cell(fixture_record(fx, path), i < 10 ? "Early" : "Late", "1");
        if (!store_add_record(fx->store, &fx->rec, &err) || (i == 9 && !store_commit(fx->store, &err)))
            _exit(2);
    }
    (void)raise(SIGKILL);
}

static void a_kill_costs_what_was_not_committed(void **state)
{
    struct fixture *fx = *state;
    fixture_close(fx);
    int status = in_child(fx, add_ten_commit_add_five);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    fixture_open(fx);
    assert_int_equal(fixture_counts(fx).found, 10);
    expect_columns(fx, "Early:10 file:10 has_pix_array:10 category:10 ", 10);
    add_cell(fixture_record(fx, "x"), "Later", "1"); /* ids are dense again */
    fixture_add(fx);
    expect_columns(fx, "Early:10 file:11 has_pix_array:11 category:11 Later:1 ", 11);
}

static void closing_commits_nothing(void **state)
{
    struct fixture *fx = *state;
    (void)fixture_record(fx, "a");
    fixture_add(fx);
    fixture_commit(fx);
    (void)fixture_record(fx, "b");
    fixture_add(fx);
    fixture_close(fx);
    fixture_open(fx);
    assert_int_equal(fixture_counts(fx).found, 1);
}

static void open_again(struct fixture *fx)
{
    struct store *second;
    struct error err;
    if (store_open(&second, fx->path, &err))
        _exit(10);
    _exit(err.kind == ERROR_FATAL && strstr(err.text, "in use by another process") != NULL && second == NULL
              ? 0
              : 11);
}

static void a_second_process_is_refused(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(in_child(fx, open_again), 0); /* before anything was written in this run */
    (void)fixture_record(fx, "a");
    fixture_add(fx);
    fixture_commit(fx);
    assert_int_equal(in_child(fx, open_again), 0); /* and after */
    assert_int_equal(fixture_counts(fx).found, 1);
}

/* As version 1 left it: no sequence numbers, no table of answers. */
static void an_older_store_is_brought_up_to_date(void **state)
{
    struct fixture *fx = *state;
    (void)fixture_record(fx, "a");
    fixture_add(fx);
    fixture_commit(fx);
    fixture_close(fx);
    (void)query(fx->path, "DROP TABLE answered");
    (void)query(fx->path, "ALTER TABLE file DROP COLUMN seq");
    (void)query(fx->path, "PRAGMA user_version = 1");
    fixture_open(fx);
    assert_int_equal(fixture_counts(fx).found, 1);
    (void)fixture_record(fx, "b");
    fixture_add(fx);
    assert_true(store_answered_add(fx->store, 7));
    fixture_commit(fx);
    fixture_close(fx);
    assert_int_equal(query(fx->path, "PRAGMA user_version"), 2);
    fixture_open(fx);
    assert_int_equal(fixture_counts(fx).found, 2);
}

static void expect_refused(struct fixture *fx, enum error_kind kind, const char *words)
{
    struct store *store;
    struct error err;
    assert_false(store_open(&store, fx->path, &err));
    assert_null(store);
    assert_int_equal(err.kind, kind);
    if (strstr(err.text, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, err.text);
}

static void files_of_others_are_refused_and_kept(void **state)
{
    struct fixture *fx = *state;
    fixture_close(fx);
    assert_int_equal(query(fx->path, "PRAGMA user_version = 3"), -1);
    expect_refused(fx, ERROR_FATAL, "newer niffler-png (schema 3, this one knows 2)");
    assert_int_equal(query(fx->path, "PRAGMA application_id = 7"), -1);
    expect_refused(fx, ERROR_FATAL, "belongs to another program");

    assert_int_equal(unlink(fx->path), 0);
    assert_int_equal(query(fx->path, "CREATE TABLE theirs(a)"), -1);
    expect_refused(fx, ERROR_FATAL, "belongs to another program");
    assert_int_equal(query(fx->path, "SELECT count(*) FROM sqlite_schema"), 1);

    write_file(fx, "state.db",
               "not a database at all, but longer than the header of one, which has a hundred bytes "
               "or so, and then some more to be sure");
    expect_refused(fx, ERROR_FATAL, "is no database");
    assert_int_equal(unlink(fx->path), 0);
    assert_int_equal(mkdir(fx->path, 0700), 0);
    expect_refused(fx, ERROR_RETRY, "cannot be opened");
    assert_int_equal(rmdir(fx->path), 0);
    fixture_open(fx);
}

static void damage_is_told_never_passed_over(void **state)
{
    struct fixture *fx = *state;
    char *long_value = xcalloc(1, 20001);
    memset(long_value, 'x', 20000);
    for (int i = 0; i < 50; i++) {
        char path[16];
        (void)snprintf(path, sizeof path, "%02d", i);
        add_cell(fixture_record(fx, path), "A", long_value);
        fixture_add(fx);
    }
    free(long_value);
    fixture_commit(fx);
    fixture_close(fx);
    int descriptor = open(fx->path, O_RDWR | O_CLOEXEC);
    char noise[8192];
    memset(noise, 0xa5, sizeof noise);
    for (off_t page = 1; page < 100; page++)
        assert_int_equal(pwrite(descriptor, noise, sizeof noise, page * 8192), (ssize_t)sizeof noise);
    (void)close(descriptor);
    struct error err;
    struct collected all = {0};
    bool opened = store_open(&fx->store, fx->path, &err);
    assert_false(opened && store_each(fx->store, collect, &all, &err));
    assert_non_null(strstr(err.text, "damaged"));
    buffer_clear(&all.text);
}

/* A file size limit stands for a full disk: the same write() fails, with EFBIG. */
static void fill_the_disk(struct fixture *fx)
{
    struct rlimit limit = {.rlim_cur = 400000, .rlim_max = 400000};
    struct error err;
    char path[16];
    if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &limit) != 0 ||
        !store_open(&fx->store, fx->path, &err))
        _exit(1);
    for (int i = 0; i < 100000; i++) {
        (void)snprintf(path, sizeof path, "%05d", i);
        add_cell(fixture_record(fx, path), "Name", "some value");
        if (store_add_record(fx->store, &fx->rec, &err) && (i % 10 != 9 || store_commit(fx->store, &err)))
            continue;
        struct error again;
        struct store_counts counts;
        bool told = err.kind == ERROR_RETRY && strstr(err.text, "disk full") != NULL;
        bool refused = !store_add_record(fx->store, &fx->rec, &again) && again.kind == ERROR_RETRY;
        bool readable =
            store_counts(fx->store, &counts, &again) && counts.found % 10 == 0 && counts.found > 0;
        _exit(told && refused && readable ? 0 : 2);
    }
    _exit(3);
}

static void a_full_disk_is_named_and_what_was_committed_stays(void **state)
{
    struct fixture *fx = *state;
    fixture_close(fx);
    assert_int_equal(in_child(fx, fill_the_disk), 0);
    fixture_open(fx);
    uint64_t found = fixture_counts(fx).found;
    assert_true(found > 0 && found % 10 == 0);
    (void)fixture_record(fx, "new");
    fixture_add(fx);
    fixture_commit(fx);
    assert_int_equal(fixture_counts(fx).found, found + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(facts_come_back),
        TEST(the_database_is_private),
        TEST(columns_stand_in_order_of_the_paths),
        TEST(an_empty_store_has_no_columns),
        TEST(paths_sort_by_byte),
        TEST(the_last_value_of_a_column_wins_at_its_first_place),
        TEST(many_columns_are_told_apart),
        TEST(files_of_one_shape_share_it),
        TEST(rows_come_back_whole),
        TEST(a_record_that_comes_again_changes_nothing),
        TEST(a_reader_that_stops_ends_the_reading),
        TEST(counts_balance),
        TEST(a_kill_costs_what_was_not_committed),
        TEST(closing_commits_nothing),
        TEST(a_second_process_is_refused),
        TEST(an_older_store_is_brought_up_to_date),
        TEST(files_of_others_are_refused_and_kept),
        TEST(damage_is_told_never_passed_over),
        TEST(a_full_disk_is_named_and_what_was_committed_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
