#include "common/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/files.h"
#include "common/json.h"
#include "common/nolink.h"

/* ---- ids ---- */

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void job_new_id(char id[JOB_ID_SPACE])
{
    struct timespec now;
    unsigned char random[16] = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        memcpy(random, &now, sizeof now < sizeof random ? sizeof now : sizeof random);
    for (int i = 9; i >= 0; i--, ms /= 32)
        id[i] = digits[ms % 32];
    for (int i = 0; i < 16; i++)
        id[10 + i] = digits[random[i] % 32];
    id[JOB_ID_SIZE - 1] = '\0';
}

bool job_is_id(const char *text)
{
    return strspn(text, digits) == JOB_ID_SIZE - 1 && text[JOB_ID_SIZE - 1] == '\0';
}

bool job_take_id(char id[JOB_ID_SPACE], const char *text)
{
    bool ok = job_is_id(text);
    (void)snprintf(id, JOB_ID_SPACE, "%s", ok ? text : "");
    return ok;
}

/* ---- jobs ---- */

void job_from_settings(struct job *job, const struct settings *settings)
{
    job->dicom_home = settings->dicom_home;
    job->output_directory = settings->output_directory;
    job->options = settings->options;
    job->common_headers_only = settings->common_headers_only;
    job->csv_formula_guard = settings->csv_formula_guard;
    job->your_email = settings->send_email ? settings->your_email : NULL;
}

void job_clear(struct job *job)
{
    if (job == NULL)
        return;
    buffer_clear(&job->text);
    *job = (struct job){0};
}

/* ---- notices ---- */

static const char *const type_names[] = {"open", "sealed", "cancel", "requeue"};
#define TYPE_COUNT (sizeof type_names / sizeof *type_names)

/* The texts of a job, in both directions. */
enum { TEXT_COUNT = 6 };
static const char *const text_names[TEXT_COUNT] = {"input",    "output",    "dicom_home", "output_directory",
                                                   "features", "your_email"};

static void job_texts(struct job *job, const char **texts[TEXT_COUNT])
{
    const char **all[TEXT_COUNT] = {&job->input,    &job->output,    &job->dicom_home, &job->output_directory,
                                    &job->features, &job->your_email};
    memcpy(texts, all, sizeof all);
}

static void member_text(struct buffer *out, const char *name, const char *text)
{
    if (text == NULL)
        return;
    buffer_append_format(out, ",\"%s\":", name);
    json_append_string(out, text, strlen(text));
}

void notice_to_json(const struct notice *notice, struct buffer *out)
{
    struct job job = notice->job; /* its pointers only */
    const char **texts[TEXT_COUNT];
    buffer_append_format(out, "{\"v\":%d,\"type\":\"%s\",\"job\":\"%s\"", NOTICE_VERSION,
                         type_names[notice->type], notice->job.id);
    switch (notice->type) {
    case NOTICE_OPEN:
        job_texts(&job, texts);
        for (int i = 0; i < TEXT_COUNT; i++)
            member_text(out, text_names[i], *texts[i]);
        buffer_append_format(out, ",\"common_headers_only\":%s,\"csv_formula_guard\":%s,\"created\":",
                             job.common_headers_only ? "true" : "false",
                             job.csv_formula_guard ? "true" : "false");
        buffer_append_i64(out, job.created_s);
        buffer_append_text(out, ",\"options\":");
        options_to_json(&job.options, out);
        break;
    case NOTICE_SEALED:
        buffer_append_text(out, ",\"total\":");
        buffer_append_u64(out, notice->total);
        break;
    case NOTICE_REQUEUE:
        buffer_append_format(out, ",\"category\":%u", notice->category);
        member_text(out, "request", notice->request);
        break;
    case NOTICE_CANCEL:
        break;
    }
    buffer_append_char(out, '}');
}

bool notice_is_one(const char *json, size_t length)
{
    struct json_reader in = {.at = json, .end = json + length};
    char key[32] = "";
    json_enter(&in, '{');
    for (int i = 0; i < 2 && json_more(&in, '}'); i++) {
        json_key(&in, key, sizeof key);
        if (in.failed || strcmp(key, "type") == 0)
            break;
        json_skip(&in);
    }
    return !in.failed && strcmp(key, "type") == 0;
}

struct reading {
    uint64_t version;
    size_t texts[TEXT_COUNT];
    bool has_type, has_total, has_options;
};

static void read_id(struct json_reader *in, struct notice *notice, char id[JOB_ID_SPACE])
{
    struct buffer *text = &notice->job.text;
    size_t offset = json_string_nul(in, text);
    in->failed |= !job_take_id(id, text->data + offset);
}

static void read_type(struct json_reader *in, struct notice *notice, struct reading *reading)
{
    struct buffer *text = &notice->job.text;
    size_t offset = json_string_nul(in, text), type = 0;
    while (type < TYPE_COUNT && strcmp(text->data + offset, type_names[type]) != 0)
        type++;
    if (type == TYPE_COUNT)
        in->failed = true;
    else
        notice->type = (enum notice_type)type;
    reading->has_type = true;
}

static void read_member(struct json_reader *in, struct notice *notice, const char *key,
                        struct reading *reading)
{
    for (int i = 0; i < TEXT_COUNT; i++) {
        if (strcmp(key, text_names[i]) == 0) {
            reading->texts[i] = json_string_nul(in, &notice->job.text);
            return;
        }
    }
    if (strcmp(key, "v") == 0) {
        reading->version = json_u64(in);
    } else if (strcmp(key, "type") == 0) {
        read_type(in, notice, reading);
    } else if (strcmp(key, "job") == 0) {
        read_id(in, notice, notice->job.id);
    } else if (strcmp(key, "request") == 0) {
        read_id(in, notice, notice->request);
    } else if (strcmp(key, "total") == 0) {
        notice->total = json_u64_max(in, JOB_FILES_MAX);
        reading->has_total = true;
    } else if (strcmp(key, "category") == 0) {
        notice->category = (unsigned)json_u64_max(in, CATEGORY_DECODER);
    } else if (strcmp(key, "common_headers_only") == 0) {
        notice->job.common_headers_only = json_bool(in);
    } else if (strcmp(key, "csv_formula_guard") == 0) {
        notice->job.csv_formula_guard = json_bool(in);
    } else if (strcmp(key, "created") == 0) {
        notice->job.created_s = json_i64(in);
    } else if (strcmp(key, "options") == 0) {
        options_from_json(in, &notice->job.options);
        reading->has_options = true;
    } else {
        json_skip(in);
    }
}

static bool is_complete(const struct notice *notice, const struct reading *reading)
{
    if (!reading->has_type || notice->job.id[0] == '\0')
        return false;
    switch (notice->type) {
    case NOTICE_OPEN:
        for (int i = 0; i < 4; i++) /* the rest may be absent */
            if (reading->texts[i] == SIZE_MAX)
                return false;
        return reading->has_options;
    case NOTICE_SEALED:
        return reading->has_total;
    case NOTICE_REQUEUE:
        return notice->request[0] != '\0';
    case NOTICE_CANCEL:
        return true;
    }
    return false;
}

bool notice_from_json(const char *json, size_t length, struct notice *notice, struct error *err)
{
    struct json_reader in = {.at = json, .end = json + length};
    struct buffer text = notice->job.text; /* its memory is used again */
    struct reading reading = {0};
    const char **texts[TEXT_COUNT];
    char key[32];
    buffer_truncate(&text, 0);
    *notice = (struct notice){.job.text = text};
    for (int i = 0; i < TEXT_COUNT; i++)
        reading.texts[i] = SIZE_MAX;
    json_enter(&in, '{');
    while (json_more(&in, '}')) {
        json_key(&in, key, sizeof key);
        read_member(&in, notice, key, &reading);
    }
    if (!json_end(&in))
        return error_set(err, ERROR_INPUT, "malformed notice");
    if (reading.version != NOTICE_VERSION)
        return error_set(err, ERROR_INPUT, "notice of version %llu, this program knows %d",
                         (unsigned long long)reading.version, NOTICE_VERSION);
    if (!is_complete(notice, &reading))
        return error_set(err, ERROR_INPUT, "incomplete notice");
    job_texts(&notice->job, texts);
    for (int i = 0; i < TEXT_COUNT; i++)
        if (reading.texts[i] != SIZE_MAX)
            *texts[i] = notice->job.text.data + reading.texts[i];
    return true;
}

void letter_to_json(const char *kind, const char *reason, const char *bytes, size_t length,
                    struct buffer *out)
{
    buffer_append_format(out, "{\"v\":%d,\"kind\":\"%s\"", NOTICE_VERSION, kind);
    member_text(out, "reason", reason);
    buffer_append_text(out, ",\"message\":");
    json_append_string(out, bytes, length < LETTER_BYTES_MAX ? length : LETTER_BYTES_MAX);
    buffer_append_char(out, '}');
}

/* ---- marks ---- */

bool job_read_mark(int dir, const char *path, char *text, size_t size, bool *found, struct error *err)
{
    int descriptor = nolink_open_file(dir, path, O_RDONLY, 0);
    *found = descriptor >= 0;
    text[0] = '\0';
    if (descriptor < 0)
        return errno == ENOENT || error_errno(err, ERROR_RETRY, "cannot read '%s'", path);
    ssize_t length = read(descriptor, text, size - 1);
    int number = errno;
    (void)close(descriptor);
    errno = number;
    if (length < 0)
        return error_errno(err, ERROR_RETRY, "cannot read '%s'", path);
    text[length] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return true;
}

bool job_remove_mark(int dir, const char *path, struct error *err)
{
    return nolink_unlink(dir, path, 0) == 0 || errno == ENOENT ||
           error_errno(err, ERROR_RETRY, "cannot remove '%s'", path);
}

bool job_write_mark(int dir, const char *path, const char *text, struct error *err)
{
    struct files_draft draft = {0};
    if (!files_draft_begin(&draft, dir, path, true, err))
        return false;
    (void)fputs(text, draft.stream); /* files_draft_finish() tells */
    return files_draft_finish(&draft, err);
}
