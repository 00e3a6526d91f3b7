/* Which tasks are answered, and which files are asked for again. */
#include "tests/unit/store_fixture.h"

static void answers_are_counted_once_and_outlive_the_process(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    const uint64_t seqs[] = {0, 63, 64, 32767, 32768, 4294967295u};
    assert_ok(store_answered_begin(fx->store, &err), err);
    for (size_t i = 0; i < 6; i++) {
        assert_false(store_answered_has(fx->store, seqs[i]));
        assert_true(store_answered_add(fx->store, seqs[i]));
        assert_false(store_answered_add(fx->store, seqs[i]));
    }
    fixture_commit(fx);
    assert_true(store_answered_add(fx->store, 5)); /* not committed: not known to the next life */
    fixture_close(fx);
    fixture_open(fx);
    assert_int_equal(store_answered_count(fx->store), 6);
    for (size_t i = 0; i < 6; i++)
        assert_true(store_answered_has(fx->store, seqs[i]));
    assert_false(store_answered_has(fx->store, 5));
    assert_true(store_answered_remove(fx->store, 64));
    assert_false(store_answered_remove(fx->store, 64));
    assert_int_equal(store_answered_count(fx->store), 5);
    assert_ok(store_answered_begin(fx->store, &err), err);
    assert_int_equal(store_answered_count(fx->store), 0);
    fixture_commit(fx);
    fixture_close(fx);
    fixture_open(fx);
    assert_int_equal(store_answered_count(fx->store), 0);
}

static bool note_failed(void *context, uint64_t seq, const char *path, struct error *err)
{
    struct buffer *names = context;
    (void)err;
    buffer_append_format(names, "%s:%u ", path, (unsigned)seq);
    return true;
}

static void failed_files_are_found_by_category(void **state)
{
    struct fixture *fx = *state;
    const struct {
        const char *path;
        enum record_status status;
        enum category category;
    } files[] = {{"a", RECORD_FAILED, CATEGORY_UNDECODABLE},
                 {"b", RECORD_CONVERTED, CATEGORY_TOO_MANY},
                 {"c", RECORD_FAILED, CATEGORY_NOT_USABLE},
                 {"d", RECORD_CONVERTED, CATEGORY_NONE}};
    const char *expected[] = {"a:3 c:1 ", "c:1 ", "", "a:3 "};
    for (size_t i = 0; i < 4; i++) {
        struct record *rec = fixture_record(fx, files[i].path);
        rec->seq = 3 - i;
        rec->status = files[i].status;
        rec->category = files[i].category;
        fixture_add(fx);
    }
    fixture_commit(fx);
    for (unsigned category = 0; category < 4; category++) {
        struct buffer names = {0};
        struct error err;
        assert_ok(store_each_failed(fx->store, category, note_failed, &names, &err), err);
        assert_string_equal(buffer_text(&names), expected[category]);
        buffer_clear(&names);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_are_counted_once_and_outlive_the_process),
        TEST(failed_files_are_found_by_category),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
