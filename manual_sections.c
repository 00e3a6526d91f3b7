/* The man page's sections about the commands, and about the fleet. */
#include <string.h>

#include "common/metrics_table.h"
#include "common/typeset.h"
#include "manual_commands.h"

struct item {
    const char *name;
    const char *text; /* NULL: the end of a list */
};

static void print_list(const char *macro, const struct item *item, FILE *out)
{
    (void)fputs(".Bl -tag -width Ds\n", out);
    for (; item->text != NULL; item++) {
        (void)fprintf(out, ".It %s ", macro);
        typeset_roff(item->name, out);
        typeset_roff(item->text, out);
    }
    (void)fputs(".El\n", out);
}

/* ---- commands ---- */

/* "--name VALUE", as mdoc has it. */
static void print_argument(const struct command_argument *argument, FILE *out)
{
    if (strncmp(argument->name, "--", 2) != 0) {
        (void)fprintf(out, "Ar %s", argument->name);
        return;
    }
    (void)fputs("Fl Fl ", out);
    for (const char *c = argument->name + 2; *c != '\0'; c++)
        (void)fprintf(out, *c == '-' ? "\\-" : "%c", *c);
    if (argument->value != NULL)
        (void)fprintf(out, " Ar %s", argument->value);
}

static void print_call(const struct command *command, FILE *out)
{
    const struct command_argument *argument = command->arguments;
    (void)fprintf(out, ".Ss %s\n.Nm\n.Cm %s\n", command->name, command->name);
    for (; argument != NULL && argument->name != NULL; argument++) {
        (void)fputs(argument->is_required ? "." : ".Op ", out);
        print_argument(argument, out);
        (void)fputc('\n', out);
    }
    (void)fputs(".Op Fl Fl config Ar file\n.Op Fl Fl Key Ar value ...\n.Pp\n", out);
}

static void print_command(const struct command *command, FILE *out)
{
    const struct manual_command *more = manual_find(command->name);
    print_call(command, out);
    typeset_roff(command->sentence, out);
    if (more != NULL)
        typeset_roff(more->text, out);
    if (command->arguments != NULL) {
        (void)fputs(".Bl -tag -width Ds\n", out);
        for (const struct command_argument *argument = command->arguments; argument->name != NULL;
             argument++) {
            (void)fputs(".It ", out);
            print_argument(argument, out);
            (void)fputc('\n', out);
            typeset_roff(argument->help, out);
        }
        (void)fputs(".El\n", out);
    }
    if (more == NULL)
        return;
    (void)fputs(".Pp\nSettings it needs: ", out);
    typeset_roff(more->settings, out);
    (void)fputs(".Pp\nExit status:\n", out);
    manual_page_statuses(more->statuses, out);
}

void manual_page_statuses(const struct manual_status *status, FILE *out)
{
    (void)fputs(".Bl -tag -width Ds\n", out);
    for (; status->text != NULL; status++) {
        (void)fprintf(out, ".It %d\n", status->status);
        typeset_roff(status->text, out);
    }
    (void)fputs(".El\n", out);
}

void manual_page_commands(const struct command *commands, FILE *out)
{
    (void)fputs(
        ".Sh COMMANDS\nA command passes over settings that it does not use, so that all may share one "
        "file of them.\n",
        out);
    for (size_t i = 0; commands[i].name != NULL; i++)
        print_command(&commands[i], out);
}

/* ---- the fleet ---- */

static void page_folders(FILE *out)
{
    static const struct item marks[] = {
        {"lock", "Held by produce or extract while it runs."},
        {"journal", "The files of the job."},
        {"job", "What the last job is, for --resume."},
        {"open", "The id of the job that is not complete. While it is there no other job begins."},
        {"published", "How many of the job's tasks Kafka has."},
        {"closed/", "A file for each job that is over; workers pass over its tasks."},
        {"records/", "Records that were too long for Kafka, until they are stored."},
        {"slices/",
         "State, log and lock of each slice of extract --slice, and which of them belong together. "
         "The states hold attribute values; mode 0600."},
        {NULL, NULL},
    };
    static const struct item state[] = {
        {"lock", "Held by the aggregator."},
        {"epoch", "The number of its life, larger each time."},
        {"jobs/, closed/", "A file for each job that is open, or over."},
        {"outbox/", "E-mails that are not sent yet."},
        {"ImageExtractor-*.db", "The records of an output folder's last job. They hold attribute values; "
                                "mode 0600."},
        {NULL, NULL},
    };
    typeset_roff(
        "The producer lists the files of a folder and publishes a task for each; workers convert them and "
        "send a record for each; the aggregator stores the records, and writes the tables when it has as "
        "many "
        "as there are files. All of them see the same folders beneath InputRoot and OutputRoot, which may be "
        "mounted in another place on each machine. A message whose receiver dies comes again, and a "
        "record that comes twice is counted once.",
        out);
    (void)fputs(".Pp\nBelow OutputDirectory, in\n.Pa .niffler\\-png ,\nthe roles leave each other marks:\n",
                out);
    print_list("Pa", marks, out);
    (void)fputs(".Pp\nStateDirectory holds what an aggregator needs to go on after its end.\n"
                "It is\n.Pa .niffler\\-state\nin OutputRoot unless set.\n",
                out);
    print_list("Pa", state, out);
}

static void page_signals(FILE *out)
{
    static const struct item items[] = {
        {"extract", "Files that were begun are finished; what is done is kept."},
        {"work",
         "It drains: nothing new is begun, what was begun is finished within DrainSeconds, and the rest "
         "is another worker's."},
        {"aggregate", "What was received is stored, and then acknowledged."},
        {NULL, NULL},
    };
    (void)fputs(".Sh SIGNALS\nSIGTERM, SIGINT and SIGHUP ask for the end.\n"
                "A second one does not let extract and work wait for files that were begun.\n",
                out);
    print_list("Cm", items, out);
    (void)fputs(".Pp\nThe other commands end at once; a job whose producer ended so is finished by\n"
                ".Cm produce Fl Fl resume .\n",
                out);
}

static void page_kafka(FILE *out)
{
    static const struct item topics[] = {
        {"KafkaTasksTopic",
         "Tasks, from produce to the group KafkaWorkerGroup. Its number of partitions is the "
         "most workers that can be at work."},
        {"KafkaResultsTopic",
         "Records and notices, to the group KafkaAggregatorGroup. Their key is the job."},
        {"KafkaDeadTopic",
         "Messages that could not be used, each with the reason. Nobody but people reads it."},
        {NULL, NULL},
    };
    (void)fputs(".Sh KAFKA\n", out);
    print_list("Cm", topics, out);
    (void)fputs(".Pp\n", out);
    typeset_roff(
        "Topics are not made by themselves: produce --create-topics makes those that are missing, for "
        "messages "
        "of up to 16 MiB that are kept for 7 days. A job must be done before its messages are too old to be "
        "kept. Records hold attribute values: who may read the topic reads them. TLS and SASL are properties "
        "of "
        "librdkafka, in KafkaConfigFile; a few properties, on which it depends that nothing is lost, are "
        "refused there.",
        out);
}

static void page_redis(FILE *out)
{
    static const struct item keys[] = {
        {"{JOB}:job", "A hash: state, numbers of files, times and places of a job."},
        {"{JOB}:classes", "A hash: failed files by category."},
        {"{JOB}:events", "A stream: an entry for each change of state."},
        {"jobs, jobs:active", "The ids of all jobs (a sorted set), and of those that are not over (a set)."},
        {"workers, worker:ID", "The ids of workers by their last sign of life, and a hash for each."},
        {"schema", "The version of all this: 1."},
        {NULL, NULL},
    };
    (void)fputs(".Sh REDIS\n", out);
    typeset_roff("Where RedisUrl is given, aggregator and workers show there what goes on. It is a view: but "
                 "for status, "
                 "nothing reads it, and no job depends on it. Keys begin with RedisPrefix; the fields are "
                 "described in "
                 "common/MESSAGES.md of the sources.",
                 out);
    print_list("Li", keys, out);
}

static void print_metrics(const struct metrics_row *rows, size_t count, FILE *out)
{
    static const char *const types[] = {
        [METRICS_COUNTER] = "Counter", [METRICS_GAUGE] = "Gauge", [METRICS_HISTOGRAM] = "Histogram"};
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(rows[i].name, rows[i - 1].name) == 0)
            continue; /* another label */
        (void)fprintf(out, ".It Li %s\n%s.\n", rows[i].name, types[rows[i].type]);
        typeset_roff(rows[i].help, out);
    }
}

static void page_health(FILE *out)
{
    static const struct item paths[] = {
        {"/livez",
         "200 while the main loop goes round, whatever Kafka, Redis and storage are like; 503 when it "
         "has not for a minute."},
        {"/readyz", "200 when it works; 503 with the reason while it waits for a broker, for partitions, for "
                    "storage, for another aggregator's end, or for its own."},
        {"/metrics", "The metrics below, for Prometheus."},
        {NULL, NULL},
    };
    (void)fputs(".Sh HEALTH AND METRICS\nWhere MetricsListen is given,\n.Cm work\nand\n.Cm aggregate\n"
                "answer GET and HEAD over HTTP:\n",
                out);
    print_list("Pa", paths, out);
    (void)fputs(".Pp\nThe metrics are:\n.Bl -tag -width Ds\n", out);
    print_metrics(metrics_table, METRIC_COUNT, out);
    print_metrics(metrics_of_job_table, METRICS_OF_JOB_COUNT, out);
    print_metrics(metrics_process_table, METRICS_PROCESS_COUNT, out);
    (void)fputs(".El\n", out);
}

void manual_page_fleet(FILE *out)
{
    (void)fputs(".Sh THE FLEET\n", out);
    page_folders(out);
    page_signals(out);
    page_kafka(out);
    page_redis(out);
    page_health(out);
}
