#include "common/record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"
#include "common/files.h"
#include "common/job.h"
#include "common/json.h"

static const char *const status_names[] = {"converted", "no_image", "ignored", "failed"};
#define STATUS_COUNT (sizeof status_names / sizeof *status_names)

void record_reset(struct record *rec)
{
    rec->job[0] = '\0';
    rec->seq = UINT64_MAX;
    rec->round = 0;
    rec->status = RECORD_CONVERTED;
    rec->category = CATEGORY_NONE;
    rec->path = rec->code = rec->reason = rec->transfer_syntax = rec->modality = rec->failed_copy =
        rec->spilled = 0;
    rec->has_pix_array = rec->is_uncategorized = false;
    rec->size_bytes = 0;
    rec->mtime_ns = 0;
    rec->frame_count = rec->cell_count = 0;
    buffer_truncate(&rec->text, 0);
    buffer_append_char(&rec->text, '\0'); /* offset 0: the empty text */
}

void record_clear(struct record *rec)
{
    if (rec == NULL)
        return;
    free(rec->frames);
    free(rec->cells);
    buffer_clear(&rec->text);
    *rec = (struct record){0};
}

size_t record_add_text(struct record *rec, const char *text, size_t length)
{
    size_t offset = rec->text.length;
    if (length == 0)
        return 0;
    buffer_append(&rec->text, text, length);
    buffer_append_char(&rec->text, '\0');
    return offset;
}

static struct record_cell *add_cell(struct record *rec)
{
    if (rec->cell_count == rec->cell_capacity) {
        rec->cell_capacity = rec->cell_capacity == 0 ? 256 : rec->cell_capacity * 2;
        rec->cells = xrealloc_array(rec->cells, rec->cell_capacity, sizeof *rec->cells);
    }
    return &rec->cells[rec->cell_count++];
}

void record_begin_cell(struct record *rec, const char *column, size_t column_length)
{
    struct record_cell *cell = add_cell(rec);
    cell->column = record_add_text(rec, column, column_length);
    cell->column_length = column_length;
    cell->value = rec->text.length;
}

void record_end_cell(struct record *rec)
{
    struct record_cell *cell = &rec->cells[rec->cell_count - 1];
    cell->value_length = rec->text.length - cell->value;
    if (cell->value_length > 0)
        buffer_append_char(&rec->text, '\0');
    else
        cell->value = 0;
}

void record_drop_cell(struct record *rec)
{
    buffer_truncate(&rec->text, rec->cells[--rec->cell_count].column);
}

void record_add_cell(struct record *rec, const char *column, size_t column_length, const char *value,
                     size_t value_length)
{
    record_begin_cell(rec, column, column_length);
    buffer_append(&rec->text, value, value_length);
    record_end_cell(rec);
}

struct record_frame *record_add_frame(struct record *rec)
{
    if (rec->frame_count == rec->frame_capacity) {
        rec->frame_capacity = rec->frame_capacity == 0 ? 4 : rec->frame_capacity * 2;
        rec->frames = xrealloc_array(rec->frames, rec->frame_capacity, sizeof *rec->frames);
    }
    struct record_frame *frame = &rec->frames[rec->frame_count++];
    *frame = (struct record_frame){0};
    return frame;
}

/* ---- writing ---- */

static void member_text(const struct record *rec, struct buffer *out, const char *name, size_t text)
{
    if (text == 0)
        return;
    buffer_append_text(out, name);
    const char *value = record_text(rec, text);
    json_append_string(out, value, strlen(value));
}

static void write_frames(const struct record *rec, struct buffer *out)
{
    buffer_append_text(out, ",\"frames\":[");
    for (size_t i = 0; i < rec->frame_count; i++) {
        const struct record_frame *frame = &rec->frames[i];
        buffer_append_text(out, i > 0 ? ",{\"frame\":" : "{\"frame\":");
        buffer_append_u64(out, frame->frame);
        member_text(rec, out, ",\"png\":", frame->png);
        buffer_append_text(out, ",\"bytes\":");
        buffer_append_u64(out, frame->png_bytes);
        buffer_append_text(out, ",\"offset\":");
        json_append_double(out, frame->offset);
        buffer_append_text(out, ",\"maximum\":");
        json_append_double(out, frame->maximum);
        member_text(rec, out, ",\"scaling\":", frame->scaling);
        member_text(rec, out, ",\"notes\":", frame->notes);
        buffer_append_char(out, '}');
    }
    buffer_append_char(out, ']');
}

static void write_cells(const struct record *rec, struct buffer *out)
{
    buffer_append_text(out, ",\"metadata\":[");
    for (size_t i = 0; i < rec->cell_count; i++) {
        const struct record_cell *cell = &rec->cells[i];
        const char *column = record_text(rec, cell->column);
        buffer_append_text(out, i > 0 ? ",[" : "[");
        json_append_string(out, column, cell->column_length);
        buffer_append_char(out, ',');
        json_append_string(out, record_text(rec, cell->value), cell->value_length);
        buffer_append_char(out, ']');
    }
    buffer_append_char(out, ']');
}

static void write_identity(const struct record *rec, struct buffer *out)
{
    buffer_append_format(out, "{\"v\":%d,\"job\":", RECORD_VERSION);
    json_append_string(out, rec->job, strlen(rec->job));
    buffer_append_text(out, ",\"seq\":");
    buffer_append_u64(out, rec->seq);
    if (rec->round > 0) {
        buffer_append_text(out, ",\"round\":");
        buffer_append_u64(out, rec->round);
    }
    member_text(rec, out, ",\"path\":", rec->path);
}

void record_to_json_spilled(const struct record *rec, const char *file, struct buffer *out)
{
    write_identity(rec, out);
    buffer_append_text(out, ",\"spilled\":");
    json_append_string(out, file, strlen(file));
    buffer_append_char(out, '}');
}

void record_to_json(const struct record *rec, struct buffer *out)
{
    write_identity(rec, out);
    buffer_append_text(out, ",\"status\":\"");
    buffer_append_text(out, status_names[rec->status]);
    buffer_append_text(out, "\",\"size\":");
    buffer_append_u64(out, rec->size_bytes);
    buffer_append_text(out, ",\"mtime_ns\":");
    buffer_append_i64(out, rec->mtime_ns);
    if (rec->category != CATEGORY_NONE) {
        buffer_append_text(out, ",\"failure\":{\"category\":");
        buffer_append_u64(out, rec->category);
        member_text(rec, out, ",\"code\":", rec->code);
        member_text(rec, out, ",\"reason\":", rec->reason);
        buffer_append_char(out, '}');
    }
    member_text(rec, out, ",\"transfer_syntax\":", rec->transfer_syntax);
    member_text(rec, out, ",\"modality\":", rec->modality);
    member_text(rec, out, ",\"failed_copy\":", rec->failed_copy);
    buffer_append_text(out, rec->has_pix_array ? ",\"has_pix_array\":true" : ",\"has_pix_array\":false");
    buffer_append_text(out, rec->is_uncategorized ? ",\"uncategorized\":true" : ",\"uncategorized\":false");
    write_frames(rec, out);
    write_cells(rec, out);
    buffer_append_char(out, '}');
}

/* ---- within the process ---- */

#define PACKED '\1' /* begins no JSON */

void record_pack(const struct record *rec, struct buffer *out)
{
    (void)buffer_reserve(out, 1 + sizeof *rec + rec->frame_count * sizeof *rec->frames +
                                  rec->cell_count * sizeof *rec->cells + rec->text.length);
    buffer_append_char(out, PACKED);
    buffer_append(out, rec, sizeof *rec);
    buffer_append(out, rec->frames, rec->frame_count * sizeof *rec->frames);
    buffer_append(out, rec->cells, rec->cell_count * sizeof *rec->cells);
    buffer_append(out, rec->text.data, rec->text.length);
}

bool record_is_packed(const char *bytes, size_t length)
{
    return length > sizeof(struct record) && bytes[0] == PACKED;
}

/* JSON knows no infinity, and 0 has no sign there: what comes out is the same, whichever way it came. */
static double as_json_has_it(double value)
{
    return isfinite(value) ? value + 0.0 : 0;
}

void record_unpack(const char *bytes, struct record *rec)
{
    struct record memory = *rec; /* its arrays are kept */
    bytes++;
    memcpy(rec, bytes, sizeof *rec);
    bytes += sizeof *rec;
    size_t text_length = rec->text.length;
    rec->text = memory.text;
    rec->frames = memory.frames;
    rec->frame_capacity = memory.frame_capacity;
    rec->cells = memory.cells;
    rec->cell_capacity = memory.cell_capacity;
    if (rec->frame_capacity < rec->frame_count) {
        rec->frame_capacity = rec->frame_count;
        rec->frames = xrealloc_array(rec->frames, rec->frame_capacity, sizeof *rec->frames);
    }
    if (rec->cell_capacity < rec->cell_count) {
        rec->cell_capacity = rec->cell_count;
        rec->cells = xrealloc_array(rec->cells, rec->cell_capacity, sizeof *rec->cells);
    }
    if (rec->frame_count > 0)
        memcpy(rec->frames, bytes, rec->frame_count * sizeof *rec->frames);
    for (size_t i = 0; i < rec->frame_count; i++) {
        rec->frames[i].offset = as_json_has_it(rec->frames[i].offset);
        rec->frames[i].maximum = as_json_has_it(rec->frames[i].maximum);
    }
    bytes += rec->frame_count * sizeof *rec->frames;
    if (rec->cell_count > 0)
        memcpy(rec->cells, bytes, rec->cell_count * sizeof *rec->cells);
    bytes += rec->cell_count * sizeof *rec->cells;
    buffer_truncate(&rec->text, 0);
    buffer_append(&rec->text, bytes, text_length);
}

/* ---- reading ---- */

/* A string value into the record's text. */
static size_t read_text(struct json_reader *in, struct record *rec, size_t *length)
{
    size_t offset = rec->text.length;
    json_string(in, &rec->text);
    size_t count = rec->text.length - offset;
    if (length != NULL)
        *length = count;
    if (count == 0)
        return 0;
    buffer_append_char(&rec->text, '\0');
    return offset;
}

static void read_fixed(struct json_reader *in, struct record *rec, char *text, size_t size)
{
    size_t before = rec->text.length, length;
    size_t offset = read_text(in, rec, &length);
    if (length >= size)
        in->failed = true;
    else
        memcpy(text, record_text(rec, offset), length + 1);
    buffer_truncate(&rec->text, before);
}

static void read_status(struct json_reader *in, struct record *rec)
{
    char name[16] = "";
    unsigned status = 0;
    read_fixed(in, rec, name, sizeof name);
    while (status < STATUS_COUNT && strcmp(name, status_names[status]) != 0)
        status++;
    if (status == STATUS_COUNT)
        in->failed = true;
    else
        rec->status = status;
}

static void read_failure(struct json_reader *in, struct record *rec)
{
    char key[32];
    json_enter(in, '{');
    while (json_more(in, '}')) {
        json_key(in, key, sizeof key);
        if (strcmp(key, "category") == 0) {
            uint64_t category = json_u64(in);
            in->failed |= category < CATEGORY_NOT_USABLE || category > CATEGORY_TOO_MANY;
            rec->category = in->failed ? CATEGORY_NONE : (enum category)category;
        } else if (strcmp(key, "code") == 0) {
            rec->code = read_text(in, rec, NULL);
        } else if (strcmp(key, "reason") == 0) {
            rec->reason = read_text(in, rec, NULL);
        } else {
            json_skip(in);
        }
    }
}

static void read_frame(struct json_reader *in, struct record *rec)
{
    char key[32];
    struct record_frame *frame = record_add_frame(rec);
    json_enter(in, '{');
    while (json_more(in, '}')) {
        json_key(in, key, sizeof key);
        if (strcmp(key, "frame") == 0) {
            uint64_t number = json_u64(in);
            in->failed |= number > UINT32_MAX;
            frame->frame = (uint32_t)number;
        } else if (strcmp(key, "png") == 0) {
            frame->png = read_text(in, rec, NULL);
        } else if (strcmp(key, "bytes") == 0) {
            frame->png_bytes = json_u64(in);
        } else if (strcmp(key, "offset") == 0) {
            frame->offset = json_double(in);
        } else if (strcmp(key, "maximum") == 0) {
            frame->maximum = json_double(in);
        } else if (strcmp(key, "scaling") == 0) {
            frame->scaling = read_text(in, rec, NULL);
        } else if (strcmp(key, "notes") == 0) {
            frame->notes = read_text(in, rec, NULL);
        } else {
            json_skip(in);
        }
    }
}

static void read_cells(struct json_reader *in, struct record *rec)
{
    json_enter(in, '[');
    while (json_more(in, ']')) {
        json_enter(in, '[');
        size_t column_length = 0, value_length = 0;
        size_t column = json_more(in, ']') ? read_text(in, rec, &column_length) : 0;
        size_t value = json_more(in, ']') ? read_text(in, rec, &value_length) : 0;
        if (json_more(in, ']') || column == 0)
            in->failed = true;
        *add_cell(rec) = (struct record_cell){column, column_length, value, value_length};
    }
}

static void read_member(struct json_reader *in, struct record *rec, const char *key, uint64_t *version)
{
    if (strcmp(key, "metadata") == 0) {
        read_cells(in, rec);
    } else if (strcmp(key, "frames") == 0) {
        json_enter(in, '[');
        while (json_more(in, ']'))
            read_frame(in, rec);
    } else if (strcmp(key, "v") == 0) {
        *version = json_u64(in);
    } else if (strcmp(key, "job") == 0) {
        read_fixed(in, rec, rec->job, sizeof rec->job);
        in->failed |= !job_is_id(rec->job);
    } else if (strcmp(key, "seq") == 0) {
        rec->seq = json_u64(in);
    } else if (strcmp(key, "round") == 0) {
        rec->round = (uint32_t)json_u64_max(in, UINT32_MAX);
    } else if (strcmp(key, "spilled") == 0) {
        rec->spilled = read_text(in, rec, NULL);
    } else if (strcmp(key, "path") == 0) {
        rec->path = read_text(in, rec, NULL);
    } else if (strcmp(key, "status") == 0) {
        read_status(in, rec);
    } else if (strcmp(key, "size") == 0) {
        rec->size_bytes = json_u64(in);
    } else if (strcmp(key, "mtime_ns") == 0) {
        rec->mtime_ns = json_i64(in);
    } else if (strcmp(key, "failure") == 0) {
        read_failure(in, rec);
    } else if (strcmp(key, "transfer_syntax") == 0) {
        rec->transfer_syntax = read_text(in, rec, NULL);
    } else if (strcmp(key, "modality") == 0) {
        rec->modality = read_text(in, rec, NULL);
    } else if (strcmp(key, "failed_copy") == 0) {
        rec->failed_copy = read_text(in, rec, NULL);
    } else if (strcmp(key, "has_pix_array") == 0) {
        rec->has_pix_array = json_bool(in);
    } else if (strcmp(key, "uncategorized") == 0) {
        rec->is_uncategorized = json_bool(in);
    } else {
        json_skip(in);
    }
}

/* A path below the output folder, or none: what is listed, checked and deleted is nothing else's. */
static bool are_paths_beneath(const struct record *rec)
{
    const size_t paths[] = {rec->failed_copy, rec->spilled};
    for (size_t i = 0; i < 2; i++)
        if (!files_is_beneath(record_text(rec, paths[i])))
            return false;
    for (size_t i = 0; i < rec->frame_count; i++)
        if (!files_is_beneath(record_text(rec, rec->frames[i].png)))
            return false;
    return files_is_beneath(record_text(rec, rec->path));
}

bool record_from_json(const char *json, size_t length, struct record *rec, struct error *err)
{
    struct json_reader in = {.at = json, .end = json + length};
    uint64_t version = 0;
    char key[32];
    record_reset(rec);
    json_enter(&in, '{');
    while (json_more(&in, '}')) {
        json_key(&in, key, sizeof key);
        read_member(&in, rec, key, &version);
    }
    if (!json_end(&in))
        return error_set(err, ERROR_INPUT, "malformed record");
    if (version != RECORD_VERSION)
        return error_set(err, ERROR_INPUT, "record of version %llu, this program knows %d",
                         (unsigned long long)version, RECORD_VERSION);
    if (rec->job[0] == '\0' || rec->path == 0 || rec->seq == UINT64_MAX)
        return error_set(err, ERROR_INPUT, "incomplete record");
    if (!are_paths_beneath(rec))
        return error_set(err, ERROR_INPUT, "record whose paths lead out of their folders");
    return true;
}
