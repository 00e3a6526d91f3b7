#include "aggregator/csv.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/files.h"
#include "common/nolink.h"

#define WRITE_BYTES 65536 /* gathered before a write */
#define NOT_SHOWN SIZE_MAX

struct shown_cell {
    const char *value;
    size_t length;
};

/* One export under way. */
struct export
{
    const struct csv_options *options;
    int output_dir;
    unsigned rules; /* csv_cell.h */
    struct files_draft metadata_file, mapping_file, failures_file;
    struct buffer metadata, mapping, failures;
    struct buffer path; /* the row's file cell, unquoted */
    struct buffer cell;
    size_t home_length;
    size_t *place; /* [column id]: place in the table, or NOT_SHOWN */
    size_t id_count;
    struct shown_cell *cells; /* [place]; empty between rows */
    size_t shown_count;
    size_t file_place, pixels_place, category_place; /* NOT_SHOWN: not shown */
};

/* ---- cells ---- */

static void append_cell(const struct export *ex, struct buffer *out, const char *text, size_t length)
{
    csv_append_cell_as(out, text, length, ex->rules);
}

static void append_text_cell(const struct export *ex, struct buffer *out, const char *text)
{
    append_cell(ex, out, text, strlen(text));
}

/* The shortest decimal that reads back the same; whole numbers without ".0". */
static void append_number(struct buffer *out, double value)
{
    if (value == trunc(value) && fabs(value) < 1e15) {
        buffer_append_i64(out, (int64_t)value);
        return;
    }
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        (void)snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    buffer_append_text(out, digits);
}

/* ---- which columns ---- */

static void show(struct export *ex, const struct store_column *column)
{
    size_t place = ex->place[column->id];
    if (place != NOT_SHOWN)
        return; /* listed twice */
    place = ex->shown_count++;
    ex->place[column->id] = place;
    if (place > 0)
        buffer_append_char(&ex->metadata, ',');
    append_text_cell(ex, &ex->metadata, column->name);
    if (strcmp(column->name, "file") == 0)
        ex->file_place = place;
    else if (strcmp(column->name, "has_pix_array") == 0)
        ex->pixels_place = place;
    else if (strcmp(column->name, "category") == 0)
        ex->category_place = place;
}

/* Fewer than 10 % of the rows lack it. */
static bool is_common(const struct store_column *column, uint64_t rows)
{
    return (rows - column->populated) * 10 < rows;
}

static int compare_columns(const void *a, const void *b)
{
    const struct store_column *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static int compare_name(const void *name, const void *column)
{
    const struct store_column *const *right = column;
    return strcmp(name, (*right)->name);
}

/* The listed columns in their order. Both lists may be long, so look names up in a sorted one. */
static void show_features(struct export *ex, const struct store_column *columns, size_t count, uint64_t rows)
{
    const struct store_column **sorted = xcalloc(count + 1, sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &columns[i];
    qsort(sorted, count, sizeof *sorted, compare_columns);
    const char *const file[] = {"file", NULL};
    const char *const *lists[] = {ex->options->features,
                                  ex->options->compatibility_niffler ? file + 1 : file};
    for (size_t list = 0; list < 2; list++)
        for (const char *const *name = lists[list]; *name != NULL; name++) {
            const struct store_column **found = bsearch(*name, sorted, count, sizeof *sorted, compare_name);
            if (found != NULL && (!ex->options->common_headers_only || is_common(*found, rows)))
                show(ex, *found);
        }
    free(sorted);
}

static bool choose_columns(struct export *ex, struct store *store, struct error *err)
{
    struct store_column *columns = NULL;
    size_t count = 0;
    uint64_t rows = 0;

    if (!store_columns(store, &columns, &count, &rows, err))
        return false;
    ex->id_count = 1;
    for (size_t i = 0; i < count; i++)
        if ((size_t)columns[i].id >= ex->id_count)
            ex->id_count = (size_t)columns[i].id + 1;
    ex->place = xcalloc(ex->id_count, sizeof *ex->place);
    for (size_t id = 0; id < ex->id_count; id++)
        ex->place[id] = NOT_SHOWN;
    ex->file_place = ex->pixels_place = ex->category_place = NOT_SHOWN;
    if (ex->options->features != NULL)
        show_features(ex, columns, count, rows);
    else
        for (size_t i = 0; i < count; i++)
            if (!ex->options->common_headers_only || is_common(&columns[i], rows))
                show(ex, &columns[i]);
    if (count == 0) /* no rows; a header all the same, for readers that want one */
        buffer_append_text(&ex->metadata, "file,has_pix_array,category");
    buffer_append_char(&ex->metadata, '\n');
    ex->cells = xcalloc(ex->shown_count + 1, sizeof *ex->cells);
    store_columns_free(columns, count);
    return true;
}

/* ---- rows ---- */

static bool write_out(struct files_draft *draft, struct buffer *bytes, struct error *err)
{
    bool ok = bytes->length == 0 || fwrite(bytes->data, 1, bytes->length, draft->stream) == bytes->length;
    buffer_truncate(bytes, 0);
    if (ok)
        return true;
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return error_errno(err, ERROR_RETRY, "cannot write '%s': disk full", draft->path);
    return error_errno(err, ERROR_RETRY, "cannot write '%s'", draft->path);
}

static void set_cell(struct export *ex, size_t place, const char *value, size_t length)
{
    if (place != NOT_SHOWN)
        ex->cells[place] = (struct shown_cell){value, length};
}

static void append_metadata(struct export *ex, const struct store_row *row)
{
    const char *pixels = row->has_pix_array ? "True" : "False";
    const char *category = row->is_uncategorized ? "uncategorized" : "no image";
    for (size_t i = 0; i < row->cell_count; i++)
        set_cell(ex, ex->place[row->cell_columns[i]], row->cell_values[i], row->cell_lengths[i]);
    set_cell(ex, ex->file_place, ex->path.data, ex->path.length);
    set_cell(ex, ex->pixels_place, pixels, strlen(pixels));
    set_cell(ex, ex->category_place, category, strlen(category));

    for (size_t place = 0; place < ex->shown_count; place++) {
        struct shown_cell *cell = &ex->cells[place];
        if (place > 0)
            buffer_append_char(&ex->metadata, ',');
        if (cell->length > 0)
            append_cell(ex, &ex->metadata, cell->value, cell->length);
        else if (ex->shown_count == 1)
            buffer_append_text(&ex->metadata, "\"\"");
        *cell = (struct shown_cell){0};
    }
    buffer_append_char(&ex->metadata, '\n');
}

/* Niffler puts a blank behind the comma. It belongs to the cell, so a cell in quotes holds it inside them. */
static void append_mapping_niffler(struct export *ex, const char *png)
{
    const char *output = ex->options->output_directory;
    size_t length = output == NULL ? 0 : strlen(output);
    while (length > 0 && output[length - 1] == '/')
        length--;
    buffer_truncate(&ex->cell, 0);
    buffer_append_char(&ex->cell, ' ');
    if (output != NULL) {
        buffer_append(&ex->cell, output, length);
        buffer_append_char(&ex->cell, '/');
    }
    buffer_append_text(&ex->cell, png);
    append_cell(ex, &ex->mapping, ex->path.data, ex->path.length);
    buffer_append_char(&ex->mapping, ',');
    append_cell(ex, &ex->mapping, ex->cell.data, ex->cell.length);
    buffer_append_char(&ex->mapping, '\n');
}

static void append_mapping(struct export *ex, const struct store_row *row)
{
    for (size_t i = 0; i < row->frame_count; i++) {
        const struct record_frame *frame = &row->frames[i];
        const char *png = row->text + frame->png;
        if (png[0] == '\0')
            continue;
        if (ex->options->compatibility_niffler) {
            append_mapping_niffler(ex, png);
            continue;
        }
        append_cell(ex, &ex->mapping, ex->path.data, ex->path.length);
        buffer_append_char(&ex->mapping, ',');
        append_text_cell(ex, &ex->mapping, png);
        buffer_append_char(&ex->mapping, ',');
        buffer_append_u64(&ex->mapping, frame->frame);
        buffer_append_char(&ex->mapping, ',');
        append_text_cell(ex, &ex->mapping, row->text + frame->scaling);
        buffer_append_char(&ex->mapping, ',');
        append_number(&ex->mapping, frame->offset);
        buffer_append_char(&ex->mapping, ',');
        append_number(&ex->mapping, frame->maximum);
        buffer_append_char(&ex->mapping, ',');
        append_text_cell(ex, &ex->mapping, row->text + frame->notes);
        buffer_append_char(&ex->mapping, '\n');
    }
}

static void append_failure(struct export *ex, const struct store_row *row)
{
    const char *code = row->code;
    if (code[0] == '\0' && row->category == CATEGORY_TOO_MANY)
        code = CODE_TOO_MANY_TAGS;
    append_cell(ex, &ex->failures, ex->path.data, ex->path.length);
    buffer_append_char(&ex->failures, ',');
    buffer_append_u64(&ex->failures, row->category);
    const char *texts[] = {code, row->reason, row->transfer_syntax, row->modality};
    for (size_t i = 0; i < 4; i++) {
        buffer_append_char(&ex->failures, ',');
        append_text_cell(ex, &ex->failures, texts[i]);
    }
    buffer_append_char(&ex->failures, '\n');
}

static bool export_row(void *context, const struct store_row *row, struct error *err)
{
    struct export *ex = context;
    buffer_truncate(&ex->path, ex->home_length);
    buffer_append_text(&ex->path, row->path);
    append_metadata(ex, row);
    append_mapping(ex, row);
    if (row->status == RECORD_FAILED || row->category == CATEGORY_TOO_MANY)
        append_failure(ex, row);
    return (ex->metadata.length < WRITE_BYTES || write_out(&ex->metadata_file, &ex->metadata, err)) &&
           (ex->mapping.length < WRITE_BYTES || write_out(&ex->mapping_file, &ex->mapping, err)) &&
           (ex->failures.length < WRITE_BYTES || write_out(&ex->failures_file, &ex->failures, err));
}

/* ---- the three files ---- */

static const char *const tables[] = {"metadata.csv", "mapping.csv", "failures.csv"};
#define TABLE_COUNT (sizeof tables / sizeof *tables)

static bool begin(struct export *ex, struct error *err)
{
    const char *home = ex->options->dicom_home == NULL ? "" : ex->options->dicom_home;
    size_t length = strlen(home);
    while (length > 0 && home[length - 1] == '/')
        length--;
    buffer_append(&ex->path, home, length);
    if (home[0] != '\0')
        buffer_append_char(&ex->path, '/');
    ex->home_length = ex->path.length;
    buffer_append_text(&ex->mapping,
                       ex->options->compatibility_niffler
                           ? "Original DICOM file location, PNG location \n"
                           : "Original DICOM file location,PNG location,frame,scaling,offset,maximum,"
                             "pixel_notes\n");
    buffer_append_text(&ex->failures, "file,category,code,reason,transfer_syntax,modality\n");
    return files_draft_begin(&ex->metadata_file, ex->output_dir, CSV_DRAFT_FOLDER "/metadata.csv", false,
                             err) &&
           files_draft_begin(&ex->mapping_file, ex->output_dir, CSV_DRAFT_FOLDER "/mapping.csv", true, err) &&
           files_draft_begin(&ex->failures_file, ex->output_dir, CSV_DRAFT_FOLDER "/failures.csv", false,
                             err);
}

static bool finish(struct export *ex, struct error *err)
{
    return write_out(&ex->metadata_file, &ex->metadata, err) &&
           write_out(&ex->mapping_file, &ex->mapping, err) &&
           write_out(&ex->failures_file, &ex->failures, err) && files_draft_finish(&ex->metadata_file, err) &&
           files_draft_finish(&ex->mapping_file, err) && files_draft_finish(&ex->failures_file, err);
}

bool csv_write(struct store *store, int output_dir, const struct csv_options *options, struct error *err)
{
    struct export ex = {
        .options = options,
        .output_dir = output_dir,
        .rules = (options->formula_guard ? CSV_CELL_GUARDED : 0u) |
                 (options->compatibility_niffler ? CSV_CELL_CONTROLS_KEPT : 0u),
    };
    csv_sweep(output_dir); /* its room may be needed */
    bool ok = files_make_folders(output_dir, CSV_DRAFT_FOLDER, err) && begin(&ex, err) &&
              choose_columns(&ex, store, err) && store_each(store, export_row, &ex, err) && finish(&ex, err);
    CRASH_POINT("aggregator.drafts_written");
    files_draft_abandon(&ex.metadata_file);
    files_draft_abandon(&ex.mapping_file);
    files_draft_abandon(&ex.failures_file);
    buffer_clear(&ex.metadata);
    buffer_clear(&ex.mapping);
    buffer_clear(&ex.failures);
    buffer_clear(&ex.path);
    buffer_clear(&ex.cell);
    free(ex.place);
    free(ex.cells);
    if (!ok)
        csv_sweep(output_dir);
    return ok;
}

/* Some file systems know no fsync of a folder and say EINVAL. */
static bool sync_folder(int folder)
{
    return fsync(folder) == 0 || errno == EINVAL;
}

bool csv_publish(int output_dir, struct error *err)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        char draft[sizeof CSV_DRAFT_FOLDER + 32];
        (void)snprintf(draft, sizeof draft, CSV_DRAFT_FOLDER "/%s", tables[i]);
        if (nolink_rename(output_dir, draft, tables[i]) != 0 && errno != ENOENT)
            return error_errno(err, ERROR_RETRY, "cannot write '%s'", tables[i]);
        CRASH_POINT("aggregator.table_renamed");
    }
    if (!sync_folder(output_dir))
        return error_errno(err, ERROR_RETRY, "cannot write the tables");
    csv_sweep(output_dir);
    return true;
}

void csv_sweep(int output_dir)
{
    files_sweep(output_dir, CSV_DRAFT_FOLDER, "");
    (void)nolink_unlink(output_dir, CSV_DRAFT_FOLDER, AT_REMOVEDIR);
}

bool csv_export(struct store *store, int output_dir, const struct csv_options *options, struct error *err)
{
    return csv_write(store, output_dir, options, err) && csv_publish(output_dir, err);
}
