/* The tables, read back by a parser of our own that knows nothing but RFC 4180. */
#include "tests/unit/store_fixture.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#include "aggregator/csv.h"
#include "common/utf8.h"

/* ---- a reader of RFC 4180 with LF line ends ---- */

struct table {
    char **cells; /* row by row */
    size_t cell_count, row_count;
    size_t columns;
};

static void table_clear(struct table *table)
{
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct table){0};
}

static void parse_cell(const char **at, const char *end, struct buffer *cell)
{
    buffer_truncate(cell, 0);
    if (*at < end && **at == '"') {
        for (++*at;; ++*at) {
            assert_true(*at < end);
            if (**at == '"' && (*at + 1 == end || (*at)[1] != '"'))
                break;
            *at += **at == '"';
            buffer_append_char(cell, **at);
        }
        ++*at;
        assert_true(*at < end && (**at == ',' || **at == '\n'));
        return;
    }
    for (; *at < end && **at != ',' && **at != '\n'; ++*at) {
        assert_true(**at != '"' && **at != '\r');
        buffer_append_char(cell, **at);
    }
}

/* Every row must have as many cells as the first, and the text must be UTF-8 and end with LF. */
static struct table parse(const char *text, size_t length)
{
    struct table table = {0};
    struct buffer cell = {0};
    size_t in_row = 0;
    assert_true(utf8_is_valid(text, length));
    assert_true(length > 0 && text[length - 1] == '\n');
    for (const char *at = text, *end = text + length; at < end;) {
        parse_cell(&at, end, &cell);
        table.cells = xrealloc_array(table.cells, table.cell_count + 1, sizeof *table.cells);
        table.cells[table.cell_count++] = xmemdup_text(cell.data, cell.length);
        in_row++;
        assert_true(at < end);
        if (*at++ == ',')
            continue;
        if (table.row_count++ == 0)
            table.columns = in_row;
        assert_int_equal(in_row, table.columns);
        in_row = 0;
    }
    buffer_clear(&cell);
    return table;
}

static void export(struct fixture *fx, const struct csv_options *options)
{
    struct error err;
    assert_ok(csv_export(fx->store, fx->dir, options, &err), err);
}

static void expect_file(struct fixture *fx, const char *name, const char *expected)
{
    char *text = read_file(fx, name, NULL);
    assert_non_null(text);
    assert_string_equal(text, expected);
    struct table table = parse(text, strlen(text));
    table_clear(&table);
    free(text);
}

/* ---- cells ---- */

static void cells_are_quoted_when_and_only_when_needed(void **state)
{
    (void)state;
    const struct {
        const char *in;
        size_t length;
        const char *out;
    } cases[] = {
        {"", 0, ""},
        {"plain text", 10, "plain text"},
        {" blanks ", 8, " blanks "},
        {"a,b", 3, "\"a,b\""},
        {"say \"x\"", 7, "\"say \"\"x\"\"\""},
        {"\"", 1, "\"\"\"\""},
        {"a\nb", 3, "\"a\nb\""},
        {"a\rb", 3, "\"a\rb\""},
        {"tab\there", 8, "tab\there"},
        {"a\\b", 3, "a\\b"},
        {"M\xc3\xbcller", 7, "M\xc3\xbcller"},
        {"\xe5\xb1\xb1,\xe7\x94\xb0", 7, "\"\xe5\xb1\xb1,\xe7\x94\xb0\""},
        {"a\0b", 3, "a\\x00b"},
        {"\xff", 1, "\\xFF"},
        {"\xc3", 1, "\\xC3"},
        {"\xed\xa0\x80", 3, "\\xED\\xA0\\x80"},
        {"\xfe,\0\"", 4, "\"\\xFE,\\x00\"\"\""},
        {"\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer out = {0};
        csv_append_cell(&out, cases[i].in, cases[i].length);
        assert_string_equal(buffer_text(&out), cases[i].out);
        buffer_clear(&out);
    }
}

/* Pseudo-random bytes, thick with the ones that matter. What is UTF-8 must come back as it was. */
static void any_bytes_come_back(void **state)
{
    (void)state;
    static const char alphabet[] = "ab,,\"\"\n\r \\\0\xc3\xa4\xff";
    uint32_t seed = 1;
    for (int round = 0; round < 3000; round++) {
        char text[24];
        size_t length = (size_t)round % sizeof text;
        bool clean = true;
        for (size_t i = 0; i < length; i++) {
            seed = seed * 1664525 + 1013904223;
            text[i] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
            clean = clean && text[i] != '\0';
        }
        struct buffer out = {0};
        csv_append_cell(&out, text, length);
        buffer_append_text(&out, ",end\n");
        struct table table = parse(out.data, out.length);
        assert_int_equal(table.columns, 2);
        assert_string_equal(table.cells[1], "end");
        if (clean && utf8_is_valid(text, length)) {
            assert_int_equal(strlen(table.cells[0]), length);
            assert_memory_equal(table.cells[0], text, length);
        }
        table_clear(&table);
        buffer_clear(&out);
    }
}

/* ---- metadata.csv ---- */

/* Three files, the last by path first. */
static void add_three(struct fixture *fx)
{
    struct record *rec = fixture_record(fx, "z,\"\n\xff/c.dcm");
    rec->status = RECORD_FAILED;
    rec->category = CATEGORY_CONTRADICTION;
    rec->code = record_add_text(rec, "too_short", 9);
    rec->reason = record_add_text(rec, "frame 1, and \"more\"", 19);
    rec->transfer_syntax = record_add_text(rec, "1.2.840.10008.1.2", 17);
    rec->modality = record_add_text(rec, "CT", 2);
    rec->has_pix_array = rec->is_uncategorized = false;
    add_cell(rec, "Modality", "CT");
    add_cell(rec, "Zeta", "z");
    fixture_add(fx);

    rec = fixture_record(fx, "b.dcm");
    add_cell(rec, "Modality", "");
    add_cell(rec, "New\nline,name", "v");
    add_picture(rec, "extracted-images/b-0001.png", 10);
    rec->frames[0].offset = -1024;
    rec->frames[0].maximum = 3071.5;
    add_picture(rec, "", 0); /* a frame that failed */
    add_picture(rec, "extracted-images/b-0003.png", 10);
    rec->frames[2].notes = record_add_text(rec, "bits 12, not 16", 15);
    rec->category = CATEGORY_TOO_MANY;
    fixture_add(fx);

    rec = fixture_record(fx, "ignored.txt");
    rec->status = RECORD_IGNORED;
    fixture_add(fx);

    rec = fixture_record(fx, "a.dcm");
    rec->status = RECORD_NO_IMAGE;
    rec->has_pix_array = rec->is_uncategorized = false;
    fixture_add(fx);
}

static void three_tables(void **state)
{
    struct fixture *fx = *state;
    add_three(fx);
    export(fx, &(struct csv_options){.dicom_home = "/data/in/"});
    expect_file(fx, "metadata.csv",
                "file,has_pix_array,category,Modality,\"New\nline,name\",Zeta\n"
                "/data/in/a.dcm,False,no image,,,\n"
                "/data/in/b.dcm,True,uncategorized,,v,\n"
                "\"/data/in/z,\"\"\n\\xFF/c.dcm\",False,no image,CT,,z\n");
    expect_file(fx, "mapping.csv",
                "Original DICOM file location,PNG location,frame,scaling,offset,maximum,pixel_notes\n"
                "/data/in/b.dcm,extracted-images/b-0001.png,1,full,-1024,3071.5,\n"
                "/data/in/b.dcm,extracted-images/b-0003.png,3,full,0,4095,\"bits 12, not 16\"\n");
    expect_file(
        fx, "failures.csv",
        "file,category,code,reason,transfer_syntax,modality\n"
        "/data/in/b.dcm,5,too_many_tags,,,\n"
        "\"/data/in/z,\"\"\n\\xFF/c.dcm\",2,too_short,\"frame 1, and \"\"more\"\"\",1.2.840.10008.1.2,CT\n");
}

static void formulas_are_marked_in_all_tables(void **state)
{
    struct fixture *fx = *state;
    struct record *rec = fixture_record(fx, "a.dcm");
    add_cell(rec, "=Column", "=HYPERLINK(\"x\",\"y\")");
    add_cell(rec, "Number", "-12.5");
    add_cell(rec, "Several", "-1\\0\\-1");
    add_picture(rec, "@png", 10);
    rec->frames[0].offset = -1024;
    rec->frames[0].notes = record_add_text(rec, "+notes", 6);
    rec->category = CATEGORY_TOO_MANY;
    rec->reason = record_add_text(rec, "-reason", 7);
    rec->modality = record_add_text(rec, "\tCT", 3);
    fixture_add(fx);
    const char *const off[] = {
        "=Column,Number,Several,file,has_pix_array,category\n"
        "\"=HYPERLINK(\"\"x\"\",\"\"y\"\")\",-12.5,-1\\0\\-1,=in/a.dcm,True,uncategorized\n",
        "Original DICOM file location,PNG location,frame,scaling,offset,maximum,pixel_notes\n"
        "=in/a.dcm,@png,1,full,-1024,4095,+notes\n",
        "file,category,code,reason,transfer_syntax,modality\n=in/a.dcm,5,too_many_tags,-reason,,\tCT\n"};
    const char *const on[] = {
        "'=Column,Number,Several,file,has_pix_array,category\n"
        "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\",-12.5,-1\\0\\-1,'=in/a.dcm,True,uncategorized\n",
        "Original DICOM file location,PNG location,frame,scaling,offset,maximum,pixel_notes\n"
        "'=in/a.dcm,'@png,1,full,-1024,4095,'+notes\n",
        "file,category,code,reason,transfer_syntax,modality\n'=in/a.dcm,5,too_many_tags,'-reason,,'\tCT\n"};
    const char *const names[] = {"metadata.csv", "mapping.csv", "failures.csv"};
    for (int i = 0; i < 3; i++) { /* marking is the table's: the store keeps the text as it is */
        const bool is_on = i == 1;
        export(fx, &(struct csv_options){.dicom_home = "=in", .formula_guard = is_on});
        for (size_t k = 0; k < 3; k++)
            expect_file(fx, names[k], is_on ? on[k] : off[k]);
    }
}

static void controls_are_kept_under_compatibility_only(void **state)
{
    struct fixture *fx = *state;
    add_cell(fixture_record(fx, "a.dcm"), "Text", "\x1b[31m");
    fixture_add(fx);
    export(fx, &(struct csv_options){.dicom_home = "in"});
    expect_file(fx, "metadata.csv",
                "Text,file,has_pix_array,category\n\\x1B[31m,in/a.dcm,True,uncategorized\n");
    export(fx, &(struct csv_options){.dicom_home = "in", .compatibility_niffler = true});
    expect_file(fx, "metadata.csv",
                "Text,file,has_pix_array,category\n\x1b[31m,in/a.dcm,True,uncategorized\n");
}

static void an_empty_store_gives_headers(void **state)
{
    struct fixture *fx = *state;
    export(fx, &(struct csv_options){.dicom_home = "/"});
    expect_file(fx, "metadata.csv", "file,has_pix_array,category\n");
    expect_file(fx, "failures.csv", "file,category,code,reason,transfer_syntax,modality\n");
}

static void mapping_is_private(void **state)
{
    struct fixture *fx = *state;
    struct stat status;
    mode_t mask = umask(0);
    export(fx, &(struct csv_options){.dicom_home = "/"});
    (void)umask(mask);
    assert_int_equal(fstatat(fx->dir, "mapping.csv", &status, 0), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(fstatat(fx->dir, "metadata.csv", &status, 0), 0);
    assert_int_equal(status.st_mode & 0777, 0666);
}

static void compatibility_maps_as_niffler_does(void **state)
{
    struct fixture *fx = *state;
    add_picture(fixture_record(fx, "a.dcm"), "extracted-images/d/a.png", 1);
    fixture_add(fx);
    add_picture(fixture_record(fx, "b,c.dcm"), "extracted-images/d/b.png", 1);
    fixture_add(fx);
    export(fx, &(struct csv_options){
                   .compatibility_niffler = true, .dicom_home = "in", .output_directory = "/out/"});
    expect_file(fx, "mapping.csv",
                "Original DICOM file location, PNG location \n"
                "in/a.dcm, /out/extracted-images/d/a.png\n"
                "\"in/b,c.dcm\", /out/extracted-images/d/b.png\n");
    export(fx, &(struct csv_options){
                   .compatibility_niffler = true, .dicom_home = "in", .output_directory = "/o,ut"});
    expect_file(fx, "mapping.csv",
                "Original DICOM file location, PNG location \n"
                "in/a.dcm,\" /o,ut/extracted-images/d/a.png\"\n"
                "\"in/b,c.dcm\",\" /o,ut/extracted-images/d/b.png\"\n");
}

static void common_headers_are_those_that_few_rows_lack(void **state)
{
    struct fixture *fx = *state;
    for (int i = 0; i < 20; i++) {
        char path[16];
        (void)snprintf(path, sizeof path, "%02d", i);
        struct record *rec = fixture_record(fx, path);
        add_cell(rec, "All", "1");
        add_cell(rec, "Lacks1", i == 3 ? "" : "1"); /* 5 %                       */
        if (i >= 2)
            add_cell(rec, "Lacks2", "1"); /* 10 %: not fewer than that */
        fixture_add(fx);
    }
    export(fx, &(struct csv_options){.dicom_home = "/", .common_headers_only = true});
    char *text = read_file(fx, "metadata.csv", NULL);
    assert_non_null(strstr(text, "All,Lacks1,file,has_pix_array,category\n1,1,/00,True,uncategorized\n"));
    assert_null(strstr(text, "Lacks2"));
    free(text);
}

static void features_choose_and_order_columns(void **state)
{
    struct fixture *fx = *state;
    const char *const features[] = {"Zeta", "Absent", "Modality", "Zeta", NULL};
    add_three(fx);
    export(fx, &(struct csv_options){.dicom_home = "/d", .features = features});
    char *text = read_file(fx, "metadata.csv", NULL);
    assert_ptr_equal(strstr(text, "Zeta,Modality,file\n,,/d/a.dcm\n,,/d/b.dcm\nz,CT,"), text);
    free(text);
    export(fx,
           &(struct csv_options){.dicom_home = "/d", .features = features, .compatibility_niffler = true});
    expect_file(fx, "metadata.csv", "Zeta,Modality\n,\n,\nz,CT\n");
    const char *const with_file[] = {"file", "Zeta", NULL};
    export(fx, &(struct csv_options){.dicom_home = "/d", .features = with_file});
    text = read_file(fx, "metadata.csv", NULL);
    assert_ptr_equal(strstr(text, "file,Zeta\n/d/a.dcm,\n"), text);
    free(text);
}

static void an_empty_cell_alone_is_no_blank_line(void **state)
{
    struct fixture *fx = *state;
    const char *const features[] = {"Zeta", NULL};
    add_three(fx);
    export(fx,
           &(struct csv_options){.dicom_home = "/d", .features = features, .compatibility_niffler = true});
    expect_file(fx, "metadata.csv", "Zeta\n\"\"\n\"\"\nz\n");
}

static void numbers_are_short_and_exact(void **state)
{
    struct fixture *fx = *state;
    const struct {
        double number;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "0"},
                 {65535, "65535"},
                 {-1024, "-1024"},
                 {0.1, "0.1"},
                 {-2.5, "-2.5"},
                 {1e15, "1e+15"},
                 {1.0 / 3, "0.3333333333333333"},
                 {4294967295.0, "4294967295"},
                 {5e-324, "4.94065645841247e-324"},
                 {123456.789012345, "123456.789012345"}};
    struct record *rec = fixture_record(fx, "a");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        add_picture(rec, "p", 1);
        rec->frames[i].maximum = cases[i].number;
    }
    fixture_add(fx);
    export(fx, &(struct csv_options){.dicom_home = "/d"});
    size_t length = 0;
    char *text = read_file(fx, "mapping.csv", &length);
    struct table table = parse(text, length);
    assert_int_equal(table.row_count, 1 + sizeof cases / sizeof *cases);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(table.cells[(i + 1) * table.columns + 5], cases[i].text);
    table_clear(&table);
    free(text);
}

/* The same files in any order of arrival, with repeats and commits between: the same bytes. */
static void the_order_of_arrival_leaves_no_trace(void **state)
{
    struct fixture *fx = *state;
    char *first = NULL;
    for (unsigned order = 0; order < 5; order++) {
        struct error err;
        uint64_t forgotten;
        assert_ok(store_reconcile_begin(fx->store, AT_FDCWD, &err), err);
        assert_ok(store_reconcile_end(fx->store, &forgotten, &err), err);
        for (unsigned i = 0; i < 97; i++) {
            unsigned file = i * (order * 7 + 5) % 97;
            char path[16], column[16], value[16];
            (void)snprintf(path, sizeof path, "%u", file);
            struct record *rec = fixture_record(fx, path);
            for (unsigned c = 0; c < file % 13; c++) {
                (void)snprintf(column, sizeof column, "C%u", c * file % 31);
                (void)snprintf(value, sizeof value, "%u", c % 3 == 0 ? c : c * file);
                add_cell(rec, column, c % 5 == 4 ? "" : value);
            }
            fixture_add(fx);
            if (i % (order + 3) == 0) {
                fixture_commit(fx);
                fixture_add(fx);
            }
        }
        export(fx, &(struct csv_options){.dicom_home = "/d"});
        char *text = read_file(fx, "metadata.csv", NULL);
        if (first == NULL)
            first = text;
        else {
            assert_string_equal(text, first);
            free(text);
        }
    }
    free(first);
}

static void hostile_names_and_values_come_back(void **state)
{
    struct fixture *fx = *state;
    struct record *rec = fixture_record(fx, "\n,\"\r");
    add_cell(rec, "a,b", "1\n2");
    add_cell(rec, "\"q\"", "\"");
    add_cell(rec, "line\r\n", ",");
    rec->cells[rec->cell_count - 1].value_length = 1;
    record_add_cell(rec, "bad", 3, "\xff\xfe", 2);
    fixture_add(fx);
    export(fx, &(struct csv_options){.dicom_home = "/d"});
    size_t length = 0;
    char *text = read_file(fx, "metadata.csv", &length);
    struct table table = parse(text, length);
    const char *expected[] = {"a,b",           "\"q\"",      "line\r\n", "bad",          "file",
                              "has_pix_array", "category",   "1\n2",     "\"",           ",",
                              "\\xFF\\xFE",    "/d/\n,\"\r", "True",     "uncategorized"};
    assert_int_equal(table.cell_count, 14);
    for (size_t i = 0; i < 14; i++)
        assert_string_equal(table.cells[i], expected[i]);
    table_clear(&table);
    free(text);
}

/* ---- failing ---- */

static void a_full_disk_leaves_the_old_tables(void **state)
{
    struct fixture *fx = *state;
    for (int i = 0; i < 20000; i++) {
        char path[16];
        (void)snprintf(path, sizeof path, "%05d", i);
        (void)fixture_record(fx, path);
        fixture_add(fx);
    }
    fixture_commit(fx);
    struct error err;
    assert_ok(store_sync(fx->store, &err), err);
    write_file(fx, "metadata.csv", "old\n");
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 300000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    bool ok = csv_export(fx->store, fx->dir, &(struct csv_options){.dicom_home = "/d"}, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_false(ok);
    assert_int_equal(err.kind, ERROR_RETRY);
    assert_non_null(strstr(err.text, "disk full"));
    expect_file(fx, "metadata.csv", "old\n");
    assert_false(file_exists(fx, "mapping.csv"));
    assert_false(file_exists(fx, "failures.csv"));
    assert_false(file_exists(fx, CSV_DRAFT_FOLDER)); /* their room is given back */
    export(fx, &(struct csv_options){.dicom_home = "/d"});
    char *text = read_file(fx, "metadata.csv", NULL);
    assert_non_null(strstr(text, "\n/d/19999,True,uncategorized\n"));
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_are_quoted_when_and_only_when_needed),
        cmocka_unit_test(any_bytes_come_back),
        TEST(three_tables),
        TEST(formulas_are_marked_in_all_tables),
        TEST(controls_are_kept_under_compatibility_only),
        TEST(an_empty_store_gives_headers),
        TEST(mapping_is_private),
        TEST(compatibility_maps_as_niffler_does),
        TEST(common_headers_are_those_that_few_rows_lack),
        TEST(features_choose_and_order_columns),
        TEST(an_empty_cell_alone_is_no_blank_line),
        TEST(numbers_are_short_and_exact),
        TEST(the_order_of_arrival_leaves_no_trace),
        TEST(hostile_names_and_values_come_back),
        TEST(a_full_disk_leaves_the_old_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
