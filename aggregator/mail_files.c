#include "aggregator/mail_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/files.h"
#include "common/job.h"
#include "common/json.h"
#include "common/log.h"
#include "common/nolink.h"

#define FILE_BYTES_MAX 65536

static char *file_name(const char *job, unsigned round)
{
    return xasprintf(MAIL_FILES "/%s-%u", job, round);
}

/* The numbers, in the order of the file. */
enum { NUMBER_COUNT = 11 };
static void counts_to_numbers(const struct store_counts *counts, uint64_t numbers[NUMBER_COUNT])
{
    const uint64_t all[NUMBER_COUNT] = {counts->found,
                                        counts->converted,
                                        counts->no_image,
                                        counts->ignored,
                                        counts->failed,
                                        counts->failed_by_category[1],
                                        counts->failed_by_category[2],
                                        counts->failed_by_category[3],
                                        counts->failed_by_category[4],
                                        counts->failed_by_category[5],
                                        counts->pictures};
    memcpy(numbers, all, sizeof all);
}

static struct store_counts counts_from_numbers(const uint64_t numbers[NUMBER_COUNT])
{
    return (struct store_counts){
        .found = numbers[0],
        .converted = numbers[1],
        .no_image = numbers[2],
        .ignored = numbers[3],
        .failed = numbers[4],
        .failed_by_category = {0, numbers[5], numbers[6], numbers[7], numbers[8], numbers[9]},
        .pictures = numbers[10],
    };
}

static void mail_to_json(const struct mail *mail, struct buffer *out)
{
    uint64_t numbers[NUMBER_COUNT];
    counts_to_numbers(&mail->counts, numbers);
    buffer_append_format(out,
                         "{\"job\":\"%s\",\"round\":%u,\"cancelled\":%s,\"time\":%lld,\"to\":", mail->job,
                         mail->round, mail->is_cancelled ? "true" : "false", (long long)mail->time_s);
    json_append_string(out, mail->to, strlen(mail->to));
    buffer_append_text(out, ",\"output_directory\":");
    json_append_string(out, mail->output_directory, strlen(mail->output_directory));
    buffer_append_text(out, ",\"counts\":[");
    for (int i = 0; i < NUMBER_COUNT; i++) {
        buffer_append_text(out, i > 0 ? "," : "");
        buffer_append_u64(out, numbers[i]);
    }
    buffer_append_text(out, "]}\n");
}

bool mail_file_write(int dir, const struct mail *mail, struct error *err)
{
    struct buffer json = {0};
    char *name = file_name(mail->job, mail->round);
    mail_to_json(mail, &json);
    bool ok = files_make_folders(dir, MAIL_FILES, err) && job_write_mark(dir, name, buffer_text(&json), err);
    buffer_clear(&json);
    free(name);
    return ok;
}

void mail_file_remove(int dir, const char *job, unsigned round)
{
    char *name = file_name(job, round);
    (void)nolink_unlink(dir, name, 0);
    free(name);
}

struct reading {
    struct buffer text; /* of the three texts, each with its NUL */
    size_t job, to, output_directory;
};

static void read_counts(struct json_reader *in, struct mail *mail)
{
    uint64_t numbers[NUMBER_COUNT] = {0};
    json_enter(in, '[');
    for (int i = 0; json_more(in, ']'); i++) {
        uint64_t number = json_u64(in);
        if (i < NUMBER_COUNT)
            numbers[i] = number;
    }
    mail->counts = counts_from_numbers(numbers);
}

static bool mail_from_json(const char *json, size_t length, struct mail *mail, struct reading *texts)
{
    struct json_reader in = {.at = json, .end = json + length};
    char key[32];
    *mail = (struct mail){0};
    buffer_truncate(&texts->text, 0);
    buffer_append_char(&texts->text, '\0');
    texts->job = texts->to = texts->output_directory = 0;
    json_enter(&in, '{');
    while (json_more(&in, '}')) {
        json_key(&in, key, sizeof key);
        if (strcmp(key, "job") == 0)
            texts->job = json_string_nul(&in, &texts->text);
        else if (strcmp(key, "to") == 0)
            texts->to = json_string_nul(&in, &texts->text);
        else if (strcmp(key, "output_directory") == 0)
            texts->output_directory = json_string_nul(&in, &texts->text);
        else if (strcmp(key, "round") == 0)
            mail->round = (unsigned)json_u64_max(&in, UINT32_MAX);
        else if (strcmp(key, "cancelled") == 0)
            mail->is_cancelled = json_bool(&in);
        else if (strcmp(key, "time") == 0)
            mail->time_s = json_i64(&in);
        else if (strcmp(key, "counts") == 0)
            read_counts(&in, mail);
        else
            json_skip(&in);
    }
    const char *text = texts->text.data;
    mail->job = text + texts->job;
    mail->to = text + texts->to;
    mail->output_directory = text + texts->output_directory;
    return json_end(&in) && job_is_id(mail->job) && mail->to[0] != '\0';
}

static bool read_file(int folder, const char *name, struct mail *mail, struct reading *texts)
{
    char bytes[FILE_BYTES_MAX];
    int file = nolink_open_file(folder, name, O_RDONLY, 0);
    ssize_t length = file >= 0 ? read(file, bytes, sizeof bytes) : -1;
    if (file >= 0)
        (void)close(file);
    return length > 0 && mail_from_json(bytes, (size_t)length, mail, texts);
}

bool mail_files_each(int dir, mail_file_fn *each, void *context, struct error *err)
{
    struct reading texts = {0};
    struct mail mail;
    int folder = nolink_open(dir, MAIL_FILES, O_RDONLY | O_DIRECTORY, 0);
    if (folder < 0 && errno == ENOENT)
        return true;
    DIR *entries = folder >= 0 ? fdopendir(folder) : NULL;
    if (entries == NULL)
        return error_errno(err, ERROR_FATAL, "StateDirectory: cannot read the folder of the mails");
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        if (read_file(folder, entry->d_name, &mail, &texts))
            each(context, &mail);
        else
            log_event(LOG_LEVEL_WARN, "aggregator", "mail_file_damaged", "file=%s", log_text(entry->d_name));
    }
    (void)closedir(entries);
    buffer_clear(&texts.text);
    return true;
}
