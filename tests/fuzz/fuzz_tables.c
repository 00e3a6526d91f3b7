/* Records through the store to the three tables, read back: rows and cells must be those of the records.
 *
 *     options (1 byte), then operations, each a byte and what it takes (see read_operation()) */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aggregator/csv.h"
#include "common/alloc.h"
#include "common/utf8.h"
#include "tests/fuzz/csv_reader.h"
#include "tests/fuzz/fuzz.h"

#define RECORDS_MAX 12
#define COLUMNS_MAX 16
#define TEXT_MAX 64

struct input {
    const uint8_t *data;
    size_t size, at;
};

/* What the tables must say. */
struct expected {
    struct buffer cells[RECORDS_MAX][COLUMNS_MAX];
    bool is_shown[RECORDS_MAX];
    size_t records, pictures, failures;
    bool is_niffler;
};

static struct expected expected;

static uint8_t take(struct input *in)
{
    return in->at < in->size ? in->data[in->at++] : 0;
}

/* Text as a message can hold it: without NUL, and UTF-8 but in paths. */
static size_t take_text(struct input *in, char *text, bool is_path)
{
    size_t wanted = take(in) % (TEXT_MAX + 1), length = 0;
    for (size_t end = in->at + wanted; in->at < end && in->at < in->size;) {
        const char *at = (const char *)in->data + in->at;
        size_t step = *at == '\0' ? 0 : utf8_step(at, (end < in->size ? end : in->size) - in->at);
        if (step == 0 && is_path && *at != '\0')
            step = 1;
        memcpy(text + length, at, step);
        length += step;
        in->at += step > 0 ? step : 1;
    }
    text[length] = '\0';
    return length;
}

/* Columns are named by numbers, one of them with what a header must put into quotes. */
static size_t column_name(size_t column, char *name, size_t size)
{
    return (size_t)snprintf(name, size, column == 3 ? "C,\"%zu\"\n" : "C%zu", column);
}

static void add_cell(struct record *rec, struct input *in)
{
    char name[32], text[TEXT_MAX + 1];
    size_t column = take(in) % COLUMNS_MAX, length = take_text(in, text, false);
    struct buffer *cell = &expected.cells[expected.records - 1][column];
    if (cell->length > 0 || length == 0)
        return;
    csv_reader_expect(cell, (const uint8_t *)text, length, !expected.is_niffler);
    record_add_cell(rec, name, column_name(column, name, sizeof name), text, length);
}

static void add_frame(struct record *rec, struct input *in)
{
    char text[TEXT_MAX + 1];
    size_t length = take_text(in, text, true), png = record_add_text(rec, text, length);
    size_t scaling = record_add_text(rec, "full", 4), notes_length = take_text(in, text, false);
    size_t notes = record_add_text(rec, text, notes_length);
    struct record_frame *frame = record_add_frame(rec);
    frame->frame = (uint32_t)rec->frame_count;
    frame->png = png;
    frame->scaling = scaling;
    frame->notes = notes;
    frame->offset = take(in) / 7.0 - 10;
    frame->maximum = take(in);
    expected.pictures += length > 0;
}

static void add_reason(struct record *rec, struct input *in)
{
    char text[TEXT_MAX + 1];
    size_t length = take_text(in, text, false);
    rec->reason = record_add_text(rec, text, length);
    length = take_text(in, text, false);
    rec->modality = record_add_text(rec, text, length);
}

static void end_record(struct store *store, struct record *rec)
{
    struct error err;
    if (expected.records > 0 && !store_add_record(store, rec, &err))
        abort();
}

static void begin_record(struct record *rec, struct input *in)
{
    char text[TEXT_MAX + 8];
    size_t prefix = (size_t)snprintf(text, sizeof text, "%02zu-", expected.records);
    uint8_t kind = take(in);
    size_t length = prefix + take_text(in, text + prefix, true);
    record_reset(rec);
    memcpy(rec->job, "01JD0000000000000000000000", 27);
    rec->path = record_add_text(rec, text, length);
    rec->seq = expected.records;
    rec->status = kind % 8 < 5 ? RECORD_CONVERTED : (enum record_status)(kind % 4);
    rec->category = rec->status == RECORD_FAILED ? (enum category)(1 + kind / 8 % 4) : CATEGORY_NONE;
    rec->has_pix_array = (kind & 64) != 0;
    rec->is_uncategorized = (kind & 128) != 0;
    expected.is_shown[expected.records++] = rec->status != RECORD_IGNORED;
    expected.failures += rec->status == RECORD_FAILED;
}

static void read_operation(struct store *store, struct record *rec, struct input *in)
{
    uint8_t operation = take(in);
    if (expected.records == 0 || operation % 8 == 0) {
        if (expected.records == RECORDS_MAX)
            return;
        end_record(store, rec);
        begin_record(rec, in);
    } else if (operation % 8 == 1 && rec->status == RECORD_CONVERTED) {
        add_frame(rec, in);
    } else if (operation % 8 == 2) {
        add_reason(rec, in);
    } else if (rec->status != RECORD_IGNORED) {
        add_cell(rec, in);
    }
}

/* ---- the tables ---- */

static void read_file(int dir, const char *name, struct buffer *text)
{
    int descriptor = openat(dir, name, O_RDONLY | O_CLOEXEC);
    buffer_truncate(text, 0);
    ssize_t got;
    while ((got = read(descriptor, buffer_reserve(text, 65536), 65536)) > 0)
        text->length += (size_t)got;
    if (got < 0 || close(descriptor) != 0 || !utf8_is_valid(text->data, text->length))
        abort();
}

/* Rows behind the header, each of as many cells as it has. */
static size_t count_rows(const struct buffer *text)
{
    struct buffer cell = {0};
    size_t rows = 0, cells = 0, columns = 0;
    for (size_t at = 0; at < text->length; at++) {
        csv_reader_cell(text, &at, &cell);
        cells++;
        if (text->data[at] != '\n')
            continue;
        if (rows++ == 0)
            columns = cells;
        if (cells != columns)
            abort();
        cells = 0;
    }
    buffer_clear(&cell);
    return rows - 1;
}

static void check_row(const struct buffer *text, size_t *at, size_t record, const int *columns, size_t count)
{
    struct buffer cell = {0};
    for (size_t i = 0; i < count; i++) {
        csv_reader_cell(text, at, &cell);
        const struct buffer *wanted = columns[i] >= 0 ? &expected.cells[record][columns[i]] : &cell;
        if (wanted->length != cell.length ||
            (cell.length > 0 && memcmp(wanted->data, cell.data, cell.length) != 0))
            abort();
        if (text->data[(*at)++] != (i + 1 < count ? ',' : '\n'))
            abort();
    }
    buffer_clear(&cell);
}

static void check_metadata(const struct buffer *text)
{
    int columns[COLUMNS_MAX + 3];
    struct buffer cell = {0};
    size_t count = 0, at = 0;
    do {
        csv_reader_cell(text, &at, &cell);
        if (count == COLUMNS_MAX + 3)
            abort();
        columns[count] = -1; /* file, has_pix_array, category */
        for (size_t i = 0; i < COLUMNS_MAX; i++) {
            char name[32];
            if (column_name(i, name, sizeof name) == cell.length && memcmp(name, cell.data, cell.length) == 0)
                columns[count] = (int)i;
        }
        count++;
    } while (text->data[at++] == ',');
    for (size_t i = 0; i < expected.records; i++)
        if (expected.is_shown[i])
            check_row(text, &at, i, columns, count);
    if (at != text->length)
        abort();
    buffer_clear(&cell);
}

static void check_tables(struct store *store, int dir)
{
    const struct csv_options options = {
        .compatibility_niffler = expected.is_niffler, .dicom_home = "/in,put", .output_directory = "/out"};
    struct buffer text = {0};
    struct error err;
    if (!csv_export(store, dir, &options, &err))
        abort();
    read_file(dir, "metadata.csv", &text);
    check_metadata(&text);
    read_file(dir, "mapping.csv", &text);
    if (count_rows(&text) != expected.pictures)
        abort();
    read_file(dir, "failures.csv", &text);
    if (count_rows(&text) != expected.failures)
        abort();
    buffer_clear(&text);
}

static void remove_output(const char *folder)
{
    static const char *const names[] = {"metadata.csv", "mapping.csv",  "failures.csv",
                                        "state.db",     "state.db-wal", "state.db-shm"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/.niffler-png", folder);
    if (rmdir(path) != 0 || rmdir(folder) != 0)
        abort(); /* something was left behind */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char folder[64], path[96];
    struct input in = {data, size, 1};
    struct record rec = {0};
    struct store *store = NULL;
    struct error err;
    if (size < 2)
        return 0;
    for (size_t i = 0; i < RECORDS_MAX; i++)
        for (size_t k = 0; k < COLUMNS_MAX; k++)
            buffer_truncate(&expected.cells[i][k], 0);
    expected.records = expected.pictures = expected.failures = 0;
    expected.is_niffler = (data[0] & 1) != 0;
    (void)snprintf(folder, sizeof folder, "%s/niffler-tables-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); /* for speed */
    int dir = mkdtemp(folder) != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    (void)snprintf(path, sizeof path, "%s/state.db", folder);
    if (dir < 0 || !store_open(&store, path, &err))
        abort();
    while (in.at < in.size)
        read_operation(store, &rec, &in);
    end_record(store, &rec);
    if (!store_commit(store, &err))
        abort();
    check_tables(store, dir);
    if (!store_close(store, &err))
        abort();
    (void)close(dir);
    record_clear(&rec);
    remove_output(folder);
    return 0;
}
