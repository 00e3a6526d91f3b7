/* One store out of several: rows, columns, names and what is to be deleted; the same as if one had had them
 * all. */
#include "tests/unit/store_fixture.h"

/* A slice's store, beside the fixture's. */
static struct store *slice_open(struct fixture *fx, const char *name)
{
    char path[128];
    struct store *slice;
    struct error err;
    (void)snprintf(path, sizeof path, "%s/%s.db", fx->folder, name);
    assert_ok(store_open(&slice, path, &err), err);
    return slice;
}

static void slice_close(struct store *slice)
{
    struct error err;
    assert_ok(store_close(slice, &err), err);
}

static void slice_add(struct store *slice, const struct record *rec)
{
    struct error err;
    assert_ok(store_add_record(slice, rec, &err), err);
    assert_ok(store_commit(slice, &err), err);
}

static uint64_t merge(struct fixture *fx, struct store *a, struct store *b)
{
    struct error err;
    uint64_t forgotten;
    assert_ok(store_merge_begin(fx->store, &err), err);
    assert_ok(store_merge(fx->store, a, fx->dir, &err), err);
    assert_ok(b == NULL || store_merge(fx->store, b, fx->dir, &err), err);
    assert_ok(store_merge_end(fx->store, &forgotten, &err), err);
    return forgotten;
}

static bool print_row(void *context, const struct store_row *row, struct error *err)
{
    struct buffer *out = context;
    (void)err;
    buffer_append_format(out, "%s %d %s", row->path, (int)row->status, row->code);
    for (size_t i = 0; i < row->cell_count; i++)
        buffer_append_format(out, " %.*s", (int)row->cell_lengths[i], row->cell_values[i]);
    for (size_t i = 0; i < row->frame_count; i++)
        buffer_append_format(out, " %u=%s", (unsigned)row->frames[i].frame, row->text + row->frames[i].png);
    buffer_append_char(out, '\n');
    return true;
}

/* The columns, then the rows. */
static void print_store(struct store *store, struct buffer *out)
{
    struct store_column *columns;
    size_t count;
    uint64_t rows;
    struct error err;
    buffer_truncate(out, 0);
    assert_ok(store_columns(store, &columns, &count, &rows, &err), err);
    for (size_t i = 0; i < count; i++)
        buffer_append_format(out, "%s:%llu ", columns[i].name, (unsigned long long)columns[i].populated);
    buffer_append_format(out, "%llu\n", (unsigned long long)rows);
    store_columns_free(columns, count);
    assert_ok(store_each(store, print_row, out, &err), err);
}

static void expect(struct fixture *fx, const char *expected)
{
    struct buffer text = {0};
    print_store(fx->store, &text);
    assert_string_equal(buffer_text(&text), expected);
    buffer_clear(&text);
}

static void columns_have_the_numbers_of_the_whole_and_the_order_of_the_paths(void **state)
{
    struct fixture *fx = *state;
    struct store *a = slice_open(fx, "a"), *b = slice_open(fx, "b");
    struct record *rec = fixture_record(fx, "2");
    add_cell(rec, "Beta", "b2"); /* column 4 of slice a */
    add_cell(rec, "Alpha", "a2");
    slice_add(a, rec);
    rec = fixture_record(fx, "1");
    add_cell(rec, "Gamma", "g1"); /* column 4 of slice b */
    add_cell(rec, "Beta", "");
    slice_add(b, rec);
    rec = fixture_record(fx, "3");
    rec->status = RECORD_FAILED;
    rec->code = record_add_text(rec, "not_dicom", 9);
    slice_add(b, rec);
    assert_int_equal(merge(fx, a, b), 0);
    const char *expected = "Gamma:1 Beta:1 file:3 has_pix_array:3 category:3 Alpha:1 3\n"
                           "1 0  g1\n2 0  b2 a2\n3 3 not_dicom\n";
    expect(fx, expected);
    assert_int_equal(merge(fx, b, a), 0); /* again, and in another order */
    expect(fx, expected);
    slice_close(a);
    slice_close(b);
}

static void rows_that_no_slice_has_are_forgotten_and_their_outputs_deleted(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    struct store *a = slice_open(fx, "a");
    write_file(fx, "extracted-images/old.png", "old");
    write_file(fx, "extracted-images/new.png", "new");
    add_picture(fixture_record(fx, "old"), "extracted-images/old.png", 3);
    fixture_add(fx);
    fixture_commit(fx);
    add_picture(fixture_record(fx, "new"), "extracted-images/new.png", 3);
    slice_add(a, &fx->rec);
    assert_int_equal(merge(fx, a, NULL), 1);
    assert_ok(store_sweep(fx->store, fx->dir, &err), err);
    assert_false(file_exists(fx, "extracted-images/old.png"));
    assert_true(file_exists(fx, "extracted-images/new.png"));
    expect(fx, "file:1 has_pix_array:1 category:1 1\nnew 0  1=extracted-images/new.png\n");
    slice_close(a);
}

static void what_a_slice_left_behind_is_deleted_once(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    struct store *a = slice_open(fx, "a");
    write_file(fx, "extracted-images/one.png", "1");
    write_file(fx, "extracted-images/two.png", "2");
    add_picture(fixture_record(fx, "f"), "extracted-images/one.png", 1);
    slice_add(a, &fx->rec);
    add_picture(fixture_record(fx, "f"), "extracted-images/two.png",
                1); /* the file has changed its patient */
    slice_add(a, &fx->rec);
    (void)merge(fx, a, NULL);
    assert_ok(store_sweep(fx->store, fx->dir, &err), err);
    assert_false(file_exists(fx, "extracted-images/one.png"));
    assert_true(file_exists(fx, "extracted-images/two.png"));
    write_file(fx, "extracted-images/one.png", "somebody else's");
    (void)merge(fx, a, NULL);
    assert_ok(store_sweep(fx->store, fx->dir, &err), err);
    assert_true(file_exists(fx, "extracted-images/one.png"));
    slice_close(a);
}

#define OWN "extracted-images/p/name~00000001.png"
#define SETTLED "extracted-images/p/name.png"

static void settled_names_stay_until_the_picture_is_made_anew(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    char *text;
    struct store *a = slice_open(fx, "a");
    write_file(fx, OWN, "first");
    add_picture(fixture_record(fx, "f"), OWN, 5);
    slice_add(a, &fx->rec);
    for (int i = 0; i < 2; i++) {
        (void)merge(fx, a, NULL);
        assert_ok(store_settle_names(fx->store, fx->dir, &err), err);
        assert_false(file_exists(fx, OWN));
        expect(fx, "file:1 has_pix_array:1 category:1 1\nf 0  1=" SETTLED "\n");
    }
    write_file(fx, OWN, "again");
    slice_add(a, &fx->rec);
    (void)merge(fx, a, NULL);
    assert_ok(store_settle_names(fx->store, fx->dir, &err), err);
    assert_false(file_exists(fx, OWN));
    text = read_file(fx, SETTLED, NULL);
    assert_string_equal(text, "again");
    free(text);
    slice_close(a);
}

static bool is_done(struct fixture *fx, struct store *slice)
{
    struct error err;
    bool done;
    uint64_t forgotten;
    assert_ok(store_reconcile_begin(slice, fx->dir, &err), err);
    assert_ok(store_reconcile_file(slice, "f", 1000, 5, &done, &err), err);
    assert_ok(store_reconcile_end(slice, &forgotten, &err), err);
    return done;
}

static void a_slice_that_is_told_the_names_finds_its_pictures(void **state)
{
    struct fixture *fx = *state;
    struct error err;
    struct store *a = slice_open(fx, "a");
    write_file(fx, OWN, "first");
    add_picture(fixture_record(fx, "f"), OWN, 5);
    slice_add(a, &fx->rec);
    assert_true(is_done(fx, a));
    (void)merge(fx, a, NULL);
    assert_ok(store_settle_names(fx->store, fx->dir, &err), err);
    assert_false(is_done(fx, a));
    assert_ok(store_merge_names(fx->store, a, &err), err);
    assert_true(is_done(fx, a));
    (void)merge(fx, a, NULL); /* and its own names mean nothing to the whole */
    expect(fx, "file:1 has_pix_array:1 category:1 1\nf 0  1=" SETTLED "\n");
    slice_close(a);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(columns_have_the_numbers_of_the_whole_and_the_order_of_the_paths),
        WITH_STORE(rows_that_no_slice_has_are_forgotten_and_their_outputs_deleted),
        WITH_STORE(what_a_slice_left_behind_is_deleted_once),
        WITH_STORE(settled_names_stay_until_the_picture_is_made_anew),
        WITH_STORE(a_slice_that_is_told_the_names_finds_its_pictures),
    };
    return cmocka_run_group_tests_name("store_merge", tests, NULL, NULL);
}
