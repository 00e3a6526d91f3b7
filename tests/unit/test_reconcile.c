/* A scan against what is known: what is done again, what is forgotten, and which outputs are deleted with it.
 */
#include "tests/unit/store_fixture.h"

/* ---- reconciling ---- */

static void add_known(struct fixture *fx, const char *path, const char *png, const char *content)
{
    struct record *rec = fixture_record(fx, path);
    add_picture(rec, png, strlen(content));
    write_file(fx, png, content);
    fixture_add(fx);
}

static bool is_done(struct fixture *fx, const char *path, uint64_t size, int64_t mtime)
{
    bool done = false;
    struct error err;
    assert_ok(store_reconcile_file(fx->store, path, size, mtime, &done, &err), err);
    return done;
}

static void a_scan_is_reconciled(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    uint64_t forgotten;
    const char *paths[] = {"a", "c", "d", "e", "f", "g", "z1", "z2"};
    for (size_t i = 0; i < 8; i++) {
        char png[64];
        (void)snprintf(png, sizeof png, "extracted-images/d/%s.png", paths[i]);
        add_known(fx, paths[i], png, "picture");
    }
    fixture_commit(fx);
    assert_int_equal(unlinkat(fx->dir, "extracted-images/d/e.png", 0), 0);
    write_file(fx, "extracted-images/d/f.png", "cut");

    assert_ok(store_reconcile_begin(fx->store, fx->dir, &err), err);
    assert_true(is_done(fx, "a", 1000, 5));
    assert_false(is_done(fx, "b", 1000, 5)); /* new                       */
    assert_false(is_done(fx, "c", 1001, 5)); /* other size                */
    assert_false(is_done(fx, "d", 1000, 6)); /* other time                */
    assert_false(is_done(fx, "e", 1000, 5)); /* its PNG is gone           */
    assert_false(is_done(fx, "f", 1000, 5)); /* its PNG has another length */
    assert_false(is_done(fx, "h", 1000, 5)); /* new; g is gone            */
    assert_ok(store_reconcile_end(fx->store, &forgotten, &err), err);
    assert_int_equal(forgotten, 3);
    fixture_close(fx);
    fixture_open(fx);
    assert_int_equal(fixture_counts(fx).found, 5);
    /* What is gone takes its pictures along, once the job is completed; the rest stays. */
    assert_ok(store_sweep(fx->store, fx->dir, &err), err);
    assert_false(file_exists(fx, "extracted-images/d/g.png"));
    assert_false(file_exists(fx, "extracted-images/d/z1.png"));
    assert_true(file_exists(fx, "extracted-images/d/a.png"));
    assert_true(file_exists(fx, "extracted-images/d/c.png"));
}

static void an_empty_scan_forgets_all(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    uint64_t forgotten;
    add_known(fx, "a", "extracted-images/p/s/a.png", "picture");
    add_known(fx, "b", "extracted-images/p/s/b.png", "picture");
    fixture_commit(fx);
    assert_ok(store_reconcile_begin(fx->store, fx->dir, &err), err);
    assert_ok(store_reconcile_end(fx->store, &forgotten, &err), err);
    assert_int_equal(forgotten, 2);
    assert_int_equal(fixture_counts(fx).found, 0);
    assert_ok(store_sweep(fx->store, fx->dir, &err), err);
    assert_false(file_exists(fx, "extracted-images/p")); /* empty folders go, */
    assert_true(file_exists(fx, "extracted-images"));    /* the first one stays */
}

static void a_scan_that_fails_forgets_nothing(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    add_known(fx, "a", "extracted-images/a.png", "picture");
    add_known(fx, "b", "extracted-images/b.png", "picture");
    fixture_commit(fx);
    assert_ok(store_reconcile_begin(fx->store, fx->dir, &err), err);
    assert_false(is_done(fx, "c", 1, 1)); /* a and b are passed over; then the scan fails */
    fixture_close(fx);
    fixture_open(fx);
    assert_int_equal(fixture_counts(fx).found, 2);
}

static void only_failures_that_may_pass_are_tried_again(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    const struct {
        const char *code;
        bool done;
    } cases[] = {{CODE_INPUT_DENIED, false}, {CODE_INPUT_IO, false},        {CODE_INPUT_CHANGED, false},
                 {CODE_OUTPUT_FULL, false},  {CODE_OUTPUT_IO, false},       {CODE_NOT_DICOM, true},
                 {CODE_CODEC, true},         {CODE_LIMIT_TIME, true},       {CODE_CRASH_SIGNAL, false},
                 {CODE_LIMIT_MEMORY, true},  {CODE_DECODER_PROTOCOL, false}};
    char path[8];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)snprintf(path, sizeof path, "%02zu", i);
        struct record *rec = fixture_record(fx, path);
        rec->status = RECORD_FAILED;
        rec->code = record_add_text(rec, cases[i].code, strlen(cases[i].code));
        fixture_add(fx);
    }
    fixture_commit(fx);
    assert_ok(store_reconcile_begin(fx->store, fx->dir, &err), err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)snprintf(path, sizeof path, "%02zu", i);
        if (is_done(fx, path, 1000, 5) != cases[i].done)
            fail_msg("%s", cases[i].code);
    }
    uint64_t forgotten;
    assert_ok(store_reconcile_end(fx->store, &forgotten, &err), err);
    assert_int_equal(forgotten, 0);
}

static void reconciling_unbegun_is_a_bug(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    bool done;
    uint64_t forgotten;
    assert_false(store_reconcile_file(fx->store, "a", 1, 1, &done, &err));
    assert_int_equal(err.kind, ERROR_BUG);
    assert_false(store_reconcile_end(fx->store, &forgotten, &err));
    assert_int_equal(err.kind, ERROR_BUG);
}

/* ---- sweeping ---- */

static void a_changed_file_leaves_no_old_outputs(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    struct record *rec = fixture_record(fx, "a");
    add_picture(rec, "extracted-images/old/a-0001.png", 1);
    add_picture(rec, "extracted-images/old/a-0002.png", 1);
    add_picture(rec, "extracted-images/keep/a-0003.png", 1);
    rec->failed_copy = record_add_text(rec, "failed-dicom/3/a.dcm", 20);
    fixture_add(fx);
    fixture_commit(fx);
    const char *files[] = {"extracted-images/old/a-0001.png",
                           "extracted-images/old/a-0002.png",
                           "extracted-images/keep/a-0003.png",
                           "extracted-images/new.png",
                           "failed-dicom/3/a.dcm",
                           "failed-dicom/2/a.dcm"};
    for (size_t i = 0; i < 6; i++)
        write_file(fx, files[i], "x");
    rec = fixture_record(fx, "a");
    add_picture(rec, "extracted-images/new.png", 1);
    add_picture(rec, "extracted-images/keep/a-0003.png", 1);
    rec->failed_copy = record_add_text(rec, "failed-dicom/2/a.dcm", 20);
    fixture_add(fx);
    /* Another file has taken over a name that the first one gave up. */
    rec = fixture_record(fx, "b");
    add_picture(rec, "extracted-images/old/a-0002.png", 1);
    fixture_add(fx);
    assert_ok(store_sweep(fx->store, fx->dir, &err), err);
    assert_false(file_exists(fx, "extracted-images/old/a-0001.png"));
    assert_false(file_exists(fx, "failed-dicom/3/a.dcm"));
    assert_true(file_exists(fx, "extracted-images/old/a-0002.png"));
    assert_true(file_exists(fx, "extracted-images/keep/a-0003.png"));
    assert_true(file_exists(fx, "extracted-images/new.png"));
    assert_true(file_exists(fx, "failed-dicom/2/a.dcm"));
}

static void sweeping_never_leaves_the_output_folders(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    const char *names[] = {"precious", "extracted-images/../precious", "failed-dicom/x/../../precious"};
    write_file(fx, "precious", "x");
    write_file(fx, "failed-dicom/x/y", "x");
    write_file(fx, "extracted-images/y", "x");
    for (size_t i = 0; i < 3; i++) {
        add_picture(fixture_record(fx, "a"), names[i], 1);
        fixture_add(fx);
    }
    (void)fixture_record(fx, "a");
    fixture_add(fx);
    assert_ok(store_sweep(fx->store, fx->dir, &err), err);
    assert_true(file_exists(fx, "precious"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_scan_is_reconciled),
        TEST(an_empty_scan_forgets_all),
        TEST(a_scan_that_fails_forgets_nothing),
        TEST(only_failures_that_may_pass_are_tried_again),
        TEST(reconciling_unbegun_is_a_bug),
        TEST(a_changed_file_leaves_no_old_outputs),
        TEST(sweeping_never_leaves_the_output_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
