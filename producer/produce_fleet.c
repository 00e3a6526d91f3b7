#include "producer/produce_fleet.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/crash.h"
#include "common/features.h"
#include "common/files.h"
#include "common/job.h"
#include "common/kafka.h"
#include "common/meter.h"
#include "common/nolink.h"
#include "common/queue_kafka.h"
#include "producer/files_from.h"
#include "producer/folders.h"
#include "producer/journal.h"
#include "producer/produce.h"
#include "producer/scan.h"
#include "producer/topics.h"

#define TASKS_AT_ONCE 5000 /* between two counts on disk: what a resumed job sends again at most */
#define JOURNAL_DRAFT JOB_JOURNAL ".part"
#define PUBLISHED JOB_FOLDER "/published" /* the job, and how many tasks Kafka has answered for */
#define JOB_FILE_MAX (32u << 20)

const struct command_argument produce_arguments[] = {
    {"--FilesFrom", "FILE", false,
     "Take the files from this list, a path a line (-: the standard input); do not scan."},
    {"--resume", "JOB", false, "Finish a job whose producer ended before its end."},
    {"--create-topics", NULL, false, "Make the topics that are missing."},
    {"--partitions", "N", false,
     "Partitions of topics that are made: the most workers that can share one (16)."},
    {"--replication", "N", false, "Replicas of topics that are made, in a cluster of brokers (1)."},
    {NULL, NULL, false, NULL},
};

struct producing {
    const struct settings *settings;
    const struct command_line *line;
    char *input, *output, *input_root, *output_root; /* real paths */
    int output_dir, lock;
    struct journal *journal;
    uint64_t found;
    struct notice notice; /* "open"; the job's texts are borrowed, or its own when resumed */
    struct buffer features, file;
    struct queue *tasks, *results;
};

static bool open_queues(struct producing *p, struct error *err)
{
    const struct queue_kafka_options tasks = {.settings = p->settings,
                                              .topic = p->settings->kafka_tasks_topic},
                                     results = {.settings = p->settings,
                                                .topic = p->settings->kafka_results_topic};
    return queue_kafka_open(&p->tasks, &tasks, TOPICS_BROKER_MS, err) &&
           queue_kafka_open(&p->results, &results, TOPICS_BROKER_MS, err);
}

/* ---- folders ---- */

static bool open_output(struct producing *p, struct error *err)
{
    const struct settings *settings = p->settings;
    p->output_root = folders_real("OutputRoot", settings->output_root, err);
    if (p->output_root == NULL ||
        !folders_make_below("OutputRoot", p->output_root, "OutputDirectory", settings->output_directory, err))
        return false;
    p->output = folders_real("OutputDirectory", settings->output_directory, err);
    if (p->output == NULL)
        return false;
    p->notice.job.output = folders_below("OutputRoot", p->output_root, "OutputDirectory", p->output, err);
    return p->notice.job.output != NULL && files_open_real_folder(p->output, &p->output_dir, err) &&
           files_make_folders(p->output_dir, JOB_FOLDER, err) &&
           files_lock(p->output_dir, JOB_LOCK, &p->lock, err) &&
           job_remove_mark(p->output_dir, JOB_ARRAY, err);
}

static bool open_input(struct producing *p, struct error *err)
{
    const struct settings *settings = p->settings;
    p->input = folders_real("DICOMHome", settings->dicom_home, err);
    p->input_root = p->input == NULL ? NULL : folders_real("InputRoot", settings->input_root, err);
    if (p->input_root == NULL)
        return false;
    p->notice.job.input = folders_below("InputRoot", p->input_root, "DICOMHome", p->input, err);
    return p->notice.job.input != NULL && folders_check(p->input, p->output, settings->depth, err);
}

/* ---- the list of files ---- */

static bool take_path(void *context, const char *path, struct error *err)
{
    struct producing *p = context;
    CRASH_POINT("producer.file_found");
    return journal_add(p->journal, p->found++, path, err);
}

static bool take_scanned(void *context, const struct scan_file *file, struct error *err)
{
    return take_path(context, file->path, err);
}

static bool list_files(struct producing *p, struct error *err)
{
    const struct settings *settings = p->settings;
    const char *list = command_value(p->line, "--FilesFrom");
    const char *const homes[] = {p->input, settings->dicom_home, NULL};
    const struct scan_options options = {.root = p->input,
                                         .depth = settings->depth,
                                         .pattern = settings->file_pattern,
                                         .links_anywhere = settings->links_anywhere,
                                         .link_roots = (const char *const *)settings->link_roots,
                                         .scratch = p->output};
    if (!journal_create(&p->journal, p->output_dir, JOURNAL_DRAFT, err))
        return false;
    CRASH_POINT("producer.journal_begun");
    if (list != NULL ? !files_from_each(list, homes, p->output, take_path, p, err)
                     : !scan_tree(&options, take_scanned, p, err))
        return false;
    if (p->found == 0)
        return error_set(err, ERROR_FATAL,
                         "nothing to convert: no file below DICOMHome '%s' at Depth %d fits FilePattern '%s'",
                         settings->dicom_home, settings->depth, settings->file_pattern);
    CRASH_POINT("producer.scanned");
    if (!journal_keep(p->journal, p->output_dir, JOURNAL_DRAFT, JOB_JOURNAL, err))
        return false;
    CRASH_POINT("producer.journal_kept");
    return true;
}

/* ---- the job ---- */

static bool refuse_open(const struct producing *p, struct error *err)
{
    char job[64];
    bool found;
    if (!job_read_mark(p->output_dir, JOB_OPEN, job, sizeof job, &found, err))
        return false;
    return !found ||
           error_set(err, ERROR_FATAL,
                     "job %s is still open on this output folder: wait until it is complete, finish it with "
                     "--resume %s if its producer has ended, or cancel it",
                     job, job);
}

static bool new_job(struct producing *p, struct error *err)
{
    struct notice *notice = &p->notice;
    bool wants_features;
    if (!refuse_open(p, err) || !open_input(p, err) ||
        !features_read(p->settings, &p->features, &wants_features, err))
        return false;
    notice->type = NOTICE_OPEN;
    job_new_id(notice->job.id);
    job_from_settings(&notice->job, p->settings);
    notice->job.features = wants_features ? p->features.data : NULL;
    notice->job.created_s = (int64_t)time(NULL);
    if (!list_files(p, err))
        return false;
    notice_to_json(notice, &p->file);
    if (p->file.length > queue_longest(p->results))
        return error_set(err, ERROR_FATAL, "FeatureSetFile is too long to be sent");
    char *mark = xasprintf("%s\n", notice->job.id);
    bool ok = job_write_mark(p->output_dir, JOB_FILE, buffer_text(&p->file), err);
    CRASH_POINT("producer.job_noted");
    ok = ok && job_write_mark(p->output_dir, JOB_OPEN, mark, err);
    CRASH_POINT("producer.open_marked");
    free(mark);
    return ok;
}

static bool read_job_file(struct producing *p, struct error *err)
{
    int file = nolink_open_file(p->output_dir, JOB_FILE, O_RDONLY, 0);
    ssize_t n = 0;
    while (file >= 0 && p->file.length < JOB_FILE_MAX &&
           (n = read(file, buffer_reserve(&p->file, 65536), 65536)) > 0)
        p->file.length += (size_t)n;
    if (file >= 0)
        (void)close(file);
    return (file >= 0 && n == 0) ||
           error_errno(err, ERROR_FATAL, "cannot read '%s' in the output folder", JOB_FILE);
}

/* A job whose producer has died: everything that it was is on file. */
static bool old_job(struct producing *p, const char *id, struct error *err)
{
    char mark[64];
    bool found;
    struct error cause;
    if (!job_read_mark(p->output_dir, JOB_OPEN, mark, sizeof mark, &found, err))
        return false;
    if (!found)
        return error_set(err, ERROR_FATAL, "no job is open on this output folder: nothing is to be finished");
    if (strcmp(mark, id) != 0)
        return error_set(err, ERROR_FATAL, "the job that is open on this output folder is %s", mark);
    if (!read_job_file(p, err))
        return false;
    if (!notice_from_json(buffer_text(&p->file), p->file.length, &p->notice, &cause) ||
        strcmp(p->notice.job.id, id) != 0)
        return error_set(err, ERROR_FATAL, "'%s' in the output folder is damaged: cancel the job", JOB_FILE);
    if (!journal_open(&p->journal, p->output_dir, JOB_JOURNAL, err))
        return false;
    p->found = journal_count(p->journal);
    CRASH_POINT("producer.resumed");
    return true;
}

/* ---- sending ---- */

static bool send_notice(struct producing *p, const struct notice *notice, struct error *err)
{
    const struct queue_address to = {.key = notice->job.id};
    struct buffer json = {0};
    notice_to_json(notice, &json);
    bool ok = queue_send(p->results, &to, json.data, json.length, err);
    CRASH_POINT("producer.notice_sent");
    ok = ok && queue_flush(p->results, err);
    buffer_clear(&json);
    return ok;
}

/* What an earlier producer of this job has sent. */
static bool read_published(struct producing *p, uint64_t *count, struct error *err)
{
    char text[96];
    bool found;
    *count = 0;
    if (!job_read_mark(p->output_dir, PUBLISHED, text, sizeof text, &found, err))
        return false;
    size_t length = strlen(p->notice.job.id);
    if (found && strncmp(text, p->notice.job.id, length) == 0 && text[length] == ' ')
        *count = strtoull(text + length + 1, NULL, 10);
    return true;
}

static bool write_published(struct producing *p, uint64_t count, struct error *err)
{
    char *text = xasprintf("%s %llu\n", p->notice.job.id, (unsigned long long)count);
    bool ok = job_write_mark(p->output_dir, PUBLISHED, text, err);
    free(text);
    CRASH_POINT("producer.count_noted");
    return ok;
}

static bool send_tasks(struct producing *p, struct error *err)
{
    struct meter meter;
    uint64_t done, sent = 1, seq;
    const char *path;
    if (!read_published(p, &done, err) || !journal_rewind(p->journal, err))
        return false;
    if (done == p->found)
        done = 0; /* all were sent before, and somebody asks for them again: Kafka may have lost them */
    for (uint64_t i = 0; i < done; i++)
        if (!journal_next(p->journal, &seq, &path, err))
            return false;
    meter_init(&meter, stderr, p->found, done);
    while (sent > 0) {
        if (!produce_tasks(p->journal, p->tasks, &p->notice.job, TASKS_AT_ONCE, &sent, err))
            return false;
        CRASH_POINT("producer.tasks_answered");
        done += sent;
        if (sent > 0 && !write_published(p, done, err))
            return false;
        meter_update(&meter, done, 0);
    }
    meter_finish(&meter, done, 0);
    return true;
}

static bool publish(struct producing *p, struct error *err)
{
    struct notice sealed = {.type = NOTICE_SEALED, .total = p->found};
    memcpy(sealed.job.id, p->notice.job.id, sizeof sealed.job.id);
    CRASH_POINT("producer.publishing");
    if (!send_notice(p, &p->notice, err))
        return false;
    CRASH_POINT("producer.opened");
    (void)printf("%s\n", p->notice.job.id);
    (void)fflush(stdout);
    if (!send_tasks(p, err))
        return false;
    CRASH_POINT("producer.tasks_sent");
    if (!send_notice(p, &sealed, err))
        return false;
    CRASH_POINT("producer.sealed");
    return true;
}

static void close_all(struct producing *p)
{
    queue_close(p->tasks);
    queue_close(p->results);
    journal_close(p->journal);
    job_clear(&p->notice.job);
    buffer_clear(&p->features);
    buffer_clear(&p->file);
    int descriptors[] = {p->lock, p->output_dir};
    for (size_t i = 0; i < 2; i++)
        if (descriptors[i] >= 0)
            (void)close(descriptors[i]);
    free(p->input);
    free(p->output);
    free(p->input_root);
    free(p->output_root);
}

static bool set_up(struct producing *p, const char *resumed, struct error *err)
{
    static const char *const always[] = {"OutputDirectory", "OutputRoot", "KafkaBrokers", NULL};
    static const char *const anew[] = {"DICOMHome", "InputRoot", NULL};
    if (!settings_check_given(p->settings, always, err) ||
        (resumed == NULL && !settings_check_given(p->settings, anew, err)))
        return false;
    if (resumed != NULL && !job_is_id(resumed))
        return error_set(err, ERROR_FATAL, "'%.40s' is not the id of a job", resumed);
    return open_output(p, err);
}

bool produce_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                 struct error *err)
{
    struct producing p = {.settings = settings, .line = line, .output_dir = -1, .lock = -1};
    const char *resumed = command_value(line, "--resume");
    log_open(STDERR_FILENO, -1, settings->log_level < LOG_LEVEL_INFO ? settings->log_level : LOG_LEVEL_WARN);
    *exit_status = EXIT_STATUS_USAGE;
    bool ok = set_up(&p, resumed, err);
    if (ok) {
        CRASH_POINT("producer.folder_locked");
        ok = topics_make(settings, line, command_value(line, "--create-topics") != NULL, err) &&
             open_queues(&p, err);
        CRASH_POINT("producer.queues_open");
        ok = ok && (resumed != NULL ? old_job(&p, resumed, err) : new_job(&p, err));
        if (!ok && err->kind != ERROR_FATAL)
            *exit_status = command_exit_status(err);
    }
    if (ok) {
        ok = publish(&p, err);
        *exit_status = ok ? EXIT_STATUS_DONE : command_exit_status(err);
    }
    close_all(&p);
    return ok;
}
