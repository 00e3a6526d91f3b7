#include "aggregator/status_print.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "common/shown.h"
#include "common/utf8.h"

#define TEXT_SHOWN 200 /* bytes of a text on a terminal */
#define TEXT_JSON 4096 /* bytes of a text in JSON: a path */

enum kind { KIND_TEXT, KIND_COUNT, KIND_DECIMAL };

static const struct {
    const char *name;
    enum kind kind;
} fields[] = {
    {"state", KIND_TEXT},        {"found", KIND_COUNT},       {"total", KIND_COUNT},
    {"done", KIND_COUNT},        {"percent", KIND_DECIMAL},   {"ok", KIND_COUNT},
    {"converted", KIND_COUNT},   {"no_image", KIND_COUNT},    {"ignored", KIND_COUNT},
    {"skipped", KIND_COUNT},     {"failed", KIND_COUNT},      {"failed_1", KIND_COUNT},
    {"failed_2", KIND_COUNT},    {"failed_3", KIND_COUNT},    {"failed_4", KIND_COUNT},
    {"failed_5", KIND_COUNT},    {"duplicates", KIND_COUNT},  {"pictures", KIND_COUNT},
    {"bytes_out", KIND_COUNT},   {"rate", KIND_DECIMAL},      {"eta_s", KIND_COUNT},
    {"created_at", KIND_COUNT},  {"sealed_at", KIND_COUNT},   {"started_at", KIND_COUNT},
    {"updated_at", KIND_COUNT},  {"finished_at", KIND_COUNT}, {"output", KIND_TEXT},
    {"metadata_csv", KIND_TEXT}, {"mapping_csv", KIND_TEXT},  {"mail", KIND_TEXT},
    {"error", KIND_TEXT},        {"epoch", KIND_COUNT},       {"rev", KIND_COUNT},
    {"schema", KIND_COUNT},
};

const size_t status_field_count = sizeof fields / sizeof fields[0];
_Static_assert(sizeof fields / sizeof fields[0] <= STATUS_FIELDS_MAX, "struct status_job has room for all");

const char *status_field_name(size_t i)
{
    return fields[i].name;
}

const char *status_value(const struct status_job *job, const char *field)
{
    size_t i = 0;
    while (i < status_field_count && strcmp(fields[i].name, field) != 0)
        i++;
    assert(i < status_field_count);
    return job->values[i];
}

/* ---- values ---------------------------------------------------------------------------------------- */

static bool parse_count(const char *text, uint64_t *value)
{
    uint64_t parsed = 0;
    if (text == NULL || text[0] == '\0' || strlen(text) > 19)
        return false;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at < '0' || *at > '9')
            return false;
        parsed = parsed * 10 + (uint64_t)(*at - '0');
    }
    *value = parsed;
    return true;
}

/* Digits, and perhaps a point and digits: strtod() alone would take "nan" and "0x1p9". */
static bool parse_decimal(const char *text, double *value)
{
    size_t whole = text != NULL ? strspn(text, "0123456789") : 0;
    if (whole == 0 || whole > 15)
        return false;
    size_t fraction = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    if (text[whole] != '\0' && (fraction == 0 || fraction > 15 || text[whole + 1 + fraction] != '\0'))
        return false;
    *value = strtod(text, NULL);
    return true;
}

static bool count_of(const struct status_job *job, const char *field, uint64_t *value)
{
    *value = 0;
    return parse_count(status_value(job, field), value);
}

bool status_is_over(const struct status_job *job)
{
    const char *state = status_value(job, "state");
    return state != NULL && (strcmp(state, "complete") == 0 || strcmp(state, "cancelled") == 0 ||
                             strcmp(state, "failed") == 0);
}

void status_append_text(struct buffer *out, const char *text)
{
    size_t length = strlen(text), at = 0;
    while (at < length && at < TEXT_SHOWN) { /* not half of a character */
        size_t step = utf8_step(text + at, length - at);
        at += step > 0 ? step : 1;
    }
    shown_append(out, text, at);
    if (at < length)
        buffer_append_text(out, "...");
}

/* 1234567 as 1,234,567 */
static void append_grouped(struct buffer *out, uint64_t value)
{
    struct buffer digits = {0};
    buffer_append_u64(&digits, value);
    for (size_t i = 0; i < digits.length; i++) {
        if (i > 0 && (digits.length - i) % 3 == 0)
            buffer_append_char(out, ',');
        buffer_append_char(out, digits.data[i]);
    }
    buffer_clear(&digits);
}

static void append_span(struct buffer *out, uint64_t seconds)
{
    if (seconds >= 86400)
        buffer_append_format(out, "%llu d %u h", (unsigned long long)(seconds / 86400),
                             (unsigned)(seconds % 86400 / 3600));
    else if (seconds >= 3600)
        buffer_append_format(out, "%u h %u min", (unsigned)(seconds / 3600), (unsigned)(seconds % 3600 / 60));
    else if (seconds >= 60)
        buffer_append_format(out, "%u min %u s", (unsigned)(seconds / 60), (unsigned)(seconds % 60));
    else
        buffer_append_format(out, "%u s", (unsigned)seconds);
}

static void append_time(struct buffer *out, uint64_t seconds)
{
    time_t when = (time_t)seconds;
    struct tm parts;
    char text[64];
    if (seconds > 253402300799u || gmtime_r(&when, &parts) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        buffer_append_text(out, "?");
    else
        buffer_append_text(out, text);
}

static const char *state_of(const struct status_job *job)
{
    const char *state = status_value(job, "state");
    return state != NULL ? state : "unknown";
}

/* ---- one line -------------------------------------------------------------------------------------- */

void status_print_line(struct buffer *out, const struct status_job *job)
{
    uint64_t number;
    double decimal;
    status_append_text(out, job->job);
    buffer_append_text(out, "  ");
    size_t start = out->length;
    status_append_text(out, state_of(job));
    while (out->length - start < 9)
        buffer_append_char(out, ' ');
    if (parse_decimal(status_value(job, "percent"), &decimal))
        buffer_append_format(out, "  %5.1f %%", decimal);
    else
        buffer_append_text(out, "        ?");
    buffer_append_text(out, "  done ");
    (void)count_of(job, "done", &number);
    append_grouped(out, number);
    buffer_append_text(out, " of ");
    if (count_of(job, "total", &number))
        append_grouped(out, number);
    else
        buffer_append_char(out, '?');
    buffer_append_text(out, "  failed ");
    (void)count_of(job, "failed", &number);
    append_grouped(out, number);
    if (!status_is_over(job) && count_of(job, "eta_s", &number)) {
        buffer_append_text(out, "  left ");
        append_span(out, number);
    }
    if (count_of(job, "created_at", &number)) {
        buffer_append_text(out, "  created ");
        append_time(out, number);
    }
    buffer_append_char(out, '\n');
}

/* ---- the block ------------------------------------------------------------------------------------- */

static void begin_row(struct buffer *out, const char *label)
{
    buffer_append_format(out, "%-22s ", label);
}

static void print_count(struct buffer *out, const struct status_job *job, const char *label,
                        const char *field)
{
    uint64_t value;
    if (!count_of(job, field, &value))
        return;
    begin_row(out, label);
    append_grouped(out, value);
    buffer_append_char(out, '\n');
}

static void print_text(struct buffer *out, const struct status_job *job, const char *label, const char *field)
{
    const char *value = status_value(job, field);
    if (value == NULL || value[0] == '\0')
        return;
    begin_row(out, label);
    status_append_text(out, value);
    buffer_append_char(out, '\n');
}

static void print_time(struct buffer *out, const struct status_job *job, const char *label, const char *field)
{
    uint64_t value;
    if (!count_of(job, field, &value) || value == 0)
        return;
    begin_row(out, label);
    append_time(out, value);
    buffer_append_char(out, '\n');
}

static void print_found(struct buffer *out, const struct status_job *job)
{
    uint64_t value;
    double percent;
    begin_row(out, "found");
    if (count_of(job, "total", &value)) {
        append_grouped(out, value);
    } else {
        (void)count_of(job, "found", &value);
        append_grouped(out, value);
        buffer_append_text(out, " so far");
    }
    buffer_append_char(out, '\n');
    begin_row(out, "done");
    (void)count_of(job, "done", &value);
    append_grouped(out, value);
    if (parse_decimal(status_value(job, "percent"), &percent))
        buffer_append_format(out, " (%.1f %%)", percent);
    buffer_append_char(out, '\n');
}

static void print_failures(struct buffer *out, const struct status_job *job)
{
    static const struct {
        const char *field, *label;
    } categories[] = {
        {"failed_1", "  1 not usable"}, {"failed_2", "  2 contradiction"}, {"failed_3", "  3 undecodable"},
        {"failed_4", "  4 decoder"},    {"failed_5", "  5 too many"},
    };
    print_count(out, job, "failed", "failed");
    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++) {
        uint64_t value;
        if (count_of(job, categories[i].field, &value) && value > 0)
            print_count(out, job, categories[i].label, categories[i].field);
    }
}

static void print_pace(struct buffer *out, const struct status_job *job, const struct status_workers *workers)
{
    uint64_t left;
    double rate;
    if (status_is_over(job))
        return;
    if (parse_decimal(status_value(job, "rate"), &rate) && rate > 0) {
        begin_row(out, "rate");
        buffer_append_format(out, "%.1f files/s\n", rate);
    }
    if (count_of(job, "eta_s", &left)) {
        begin_row(out, "time left");
        append_span(out, left);
        buffer_append_char(out, '\n');
    }
    begin_row(out, "workers");
    append_grouped(out, workers->seen);
    buffer_append_text(out, " seen in the last minute, ");
    append_grouped(out, workers->inflight);
    buffer_append_text(out, " files in work\n");
}

void status_print_block(struct buffer *out, const struct status_job *job,
                        const struct status_workers *workers, int64_t now_s)
{
    uint64_t updated;
    begin_row(out, "job");
    status_append_text(out, job->job);
    buffer_append_char(out, '\n');
    begin_row(out, "state");
    status_append_text(out, state_of(job));
    /* Whoever writes does so every two seconds: older numbers are of an aggregator that is not there. */
    if (!status_is_over(job) && count_of(job, "updated_at", &updated) && now_s > 0 &&
        (uint64_t)now_s > updated + 60) {
        buffer_append_text(out, " (last heard of ");
        append_span(out, (uint64_t)now_s - updated);
        buffer_append_text(out, " ago)");
    }
    buffer_append_char(out, '\n');
    print_found(out, job);
    print_count(out, job, "converted", "converted");
    print_count(out, job, "pictures", "pictures");
    print_count(out, job, "no image", "no_image");
    print_count(out, job, "ignored", "ignored");
    print_failures(out, job);
    print_pace(out, job, workers);
    print_time(out, job, "created", "created_at");
    print_time(out, job, "finished", "finished_at");
    print_text(out, job, "output", "output");
    print_text(out, job, "e-mail", "mail");
    print_text(out, job, "error", "error");
}

/* ---- JSON ------------------------------------------------------------------------------------------ */

/* JSON lets C1 control characters through, which are two bytes of UTF-8; some terminals obey them. */
static void json_text(struct buffer *out, const char *text)
{
    struct buffer plain = {0};
    json_append_string(&plain, text, strnlen(text, TEXT_JSON));
    for (size_t i = 0; i < plain.length; i++) {
        unsigned char c = (unsigned char)plain.data[i];
        unsigned char next = i + 1 < plain.length ? (unsigned char)plain.data[i + 1] : 0;
        if (c == 0x7f) {
            buffer_append_text(out, "\\u007f");
        } else if (c == 0xc2 && next >= 0x80 && next < 0xa0) {
            buffer_append_format(out, "\\u%04x", (unsigned)next);
            i++;
        } else {
            buffer_append_char(out, (char)c);
        }
    }
    buffer_clear(&plain);
}

void status_print_json(struct buffer *out, const struct status_job *job, const struct status_workers *workers)
{
    buffer_append_text(out, "{\"job\":");
    json_text(out, job->job);
    for (size_t i = 0; i < status_field_count; i++) {
        const char *text = job->values[i];
        uint64_t count = 0;
        double decimal = 0;
        bool is_there = text != NULL && (fields[i].kind == KIND_TEXT ||
                                         (fields[i].kind == KIND_COUNT && parse_count(text, &count)) ||
                                         (fields[i].kind == KIND_DECIMAL && parse_decimal(text, &decimal)));
        if (!is_there)
            continue;
        buffer_append_format(out, ",\"%s\":", fields[i].name);
        if (fields[i].kind == KIND_TEXT)
            json_text(out, text);
        else if (fields[i].kind == KIND_COUNT)
            buffer_append_u64(out, count);
        else
            json_append_double(out, decimal);
    }
    if (workers != NULL)
        buffer_append_format(
            out, ",\"workers\":{\"seen\":%llu,\"assigned\":%llu,\"inflight\":%llu,\"files\":%llu}",
            (unsigned long long)workers->seen, (unsigned long long)workers->assigned,
            (unsigned long long)workers->inflight, (unsigned long long)workers->files);
    buffer_append_char(out, '}');
}
