#include "manual_commands.h"

#include <string.h>

#define OUTSIDE "Something outside failed, such as a full disk; what was done is kept."
#define WRONG "Wrong usage or settings."
#define BUG                                                \
    {                                                      \
        EXIT_STATUS_BUG, "A defect of niffler-png itself." \
    }

const struct manual_status manual_statuses[] = {
    {EXIT_STATUS_DONE, "Done."},
    {EXIT_STATUS_SOME_FAILED, "Finished; some files failed and are listed in failures.csv."},
    {EXIT_STATUS_USAGE, "Wrong usage or settings, or nothing to convert."},
    {EXIT_STATUS_WORLD_FAILED, OUTSIDE},
    BUG,
    {0, NULL},
};

static const struct manual_command manual_commands[] = {
    {"extract",
     "A run over files that have not changed decodes nothing. A run that was ended, in whatever way, goes on "
     "where it was. SIGTERM, SIGINT and SIGHUP end it when the files that were begun are finished, a second "
     "one at once. It refuses an output folder on which a job of the fleet is open. With --slice it does one "
     "of several shares of the files, so that a cluster can do them all at once, in any order: every slice "
     "lists all files, and takes those whose paths are its own. A slice that was ended goes on when it is "
     "run again. merge writes the tables.",
     "DICOMHome, OutputDirectory",
     {{0, "Every image was converted."},
      {1, "Finished; some files failed and are listed in failures.csv."},
      {2, "Wrong usage or settings, or nothing to convert."},
      {3, "Something outside failed, such as a full disk, or a signal asked for the end; what was done is "
          "kept; with --slice also: others are at work on the output folder."},
      BUG}},
    {"merge",
     "Takes the settings that the slices had, and needs all of them to be complete. The tables, and the "
     "names "
     "of pictures, are those of one extract over the same files, and an extract without --slice goes on from "
     "there. What the slices know is kept: run again when files have come, they do what is new, and are "
     "merged again. It refuses while slices are at work, and when an extract or a produce has used the "
     "output folder since.",
     "DICOMHome, OutputDirectory, and StateDirectory if the slices had it",
     {{0, "Every image was converted."},
      {1, "Finished; some files failed and are listed in failures.csv."},
      {2, "Wrong usage or settings: another number of slices, other settings than theirs; or none of the "
          "files is DICOM."},
      {3, "Slices are missing, not finished, or found different files; or something outside failed. Nothing "
          "is lost: run extract --slice for those that are named, then merge again."},
      BUG}},
    {"produce",
     "Lists the files in the output folder first, then opens the job, publishes a task for each file, and "
     "seals the job. An output folder has one open job at a time; --resume finishes one whose producer ended "
     "early, or sends all its tasks again if they had all been sent. A folder that had a job before is "
     "converted anew, and outputs of files that are gone are removed when the job is complete.",
     "DICOMHome and InputRoot (not with --resume), OutputDirectory, OutputRoot, KafkaBrokers",
     {{0, "Kafka has all tasks."},
      {2, "Wrong usage or settings, nothing to convert, a topic that is missing, or another job is open on "
          "the output folder; no job was opened."},
      {3, "No broker answered for a minute, or something outside failed; what is open is finished by "
          "--resume."},
      BUG}},
    {"topics",
     "Workers and aggregator do not start without the topics of the tasks, the results and the dead. This "
     "makes "
     "those that are missing, as produce --create-topics does, and leaves alone those that are there. It "
     "waits "
     "a minute for a broker.",
     "KafkaBrokers",
     {{0, "All three are there."},
      {2, "Wrong usage or settings, or Kafka refuses to make one."},
      {3, "No broker answered for a minute."},
      BUG}},
    {"work",
     "Any number of workers share the partitions of the tasks' topic; they need no state. SIGTERM, SIGINT "
     "and "
     "SIGHUP drain it: nothing new is begun, and what was begun is finished within DrainSeconds; what is "
     "left then, or at a second signal, is done by another worker. Storage that fails and a broker that is "
     "gone are waited for. A file of which a decoder crashed is tried once more, alone; a file of which "
     "three workers died while they had nothing else counts as failed, category 4.",
     "InputRoot, OutputRoot, KafkaBrokers",
     {{0, "A signal asked for the end."},
      {2, WRONG},
      {3, "Something outside failed that is not waited for, such as a topic or a root that is missing."},
      BUG}},
    {"aggregate",
     "One aggregator at a time serves a StateDirectory; a second one stands by until the first ends. "
     "SIGTERM, "
     "SIGINT and SIGHUP end it when what it has received is stored. Storage that fails and a broker that is "
     "gone are waited for. With --job it serves that job alone, in a consumer group of its own, in place of "
     "an aggregator for all jobs: beside one, both would end the job.",
     "OutputRoot, KafkaBrokers",
     {{0, "A signal asked for the end; with --job or --rebuild: every image of the job was converted."},
      {1, "With --job or --rebuild: some files failed; with --job also: the job was cancelled."},
      {2, "Wrong usage or settings; with --job or --rebuild also: none of the job's files is DICOM."},
      {3,
       "Something outside failed that is not waited for; with --job also: a signal came before the job was "
       "complete; with --rebuild also: the job is not known or not complete, or another aggregator is at "
       "work."},
      BUG}},
    {"status",
     "What it shows may be two seconds old. No job depends on Redis.",
     "RedisUrl",
     {{0, "Shown; with --watch: until the job was over."},
      {1, "Redis does not know the job."},
      {2, WRONG},
      {3, "Redis does not answer, or refuses."},
      BUG}},
    {"cancel",
     "Files that are being worked on are finished, and the rest is passed over. The job ends as cancelled; "
     "about one that is over nothing changes.",
     "KafkaBrokers",
     {{0, "The word is with Kafka; what comes of it, status shows."},
      {2, WRONG},
      {3, "Kafka did not take it."},
      BUG}},
    {"requeue",
     "The files get new tasks, and the job is open until they are done; then its tables are written anew. It "
     "has no effect on a job that is not complete or was cancelled, and on one whose output folder has had "
     "another job since.",
     "KafkaBrokers",
     {{0, "The word is with Kafka; what comes of it, status shows."},
      {2, WRONG},
      {3, "Kafka did not take it."},
      BUG}},
    {"doctor",
     "Checks the folders, Kafka and its topics, Redis, the mail server and how decoders are confined: ok, "
     "warn, FAIL with what to do, "
     "or skip where the setting is not given. It writes one small file into each folder that must be "
     "writable, and removes it.",
     "those whose checking is wanted",
     {{0, "Nothing failed; warnings are no failures."},
      {2, "Wrong usage or settings, or no setting names anything to check."},
      {3, "Something failed."},
      BUG}},
    {"health",
     "Asks the process that listens at MetricsListen for /readyz, or with --live for /livez, and prints its "
     "answer. For health checks of containers and exec probes, which are given the settings of the process "
     "beside them. An aggregator that stands by for another one is not ready.",
     "MetricsListen",
     {{0, "It is ready; with --live: its main loop goes round."},
      {1, "It is not, and the answer says why."},
      {2, WRONG},
      {3, "Nobody answered within 3 seconds."},
      BUG}},
};

const struct manual_example manual_examples[] = {
    {"extract", "All of a folder, at any depth",
     "niffler-png extract --DICOMHome /data/ct --OutputDirectory /data/png"},
    {"extract", "As Niffler's ImageExtractor.py, with the config.json of the current folder", "niffler-png"},
    {"extract", "What Niffler itself would have written, to compare",
     "niffler-png extract --config config.json --Compatibility niffler"},
    {"extract", "The tables only, with half of the cores",
     "niffler-png extract --PrintImages false --UseProcesses 0.5"},
    {"extract", "Which settings hold, and where each comes from",
     "niffler-png extract --config config.json --show-settings"},
    {"extract", "The third of four slices of the files, as one of four processes on any machines",
     "niffler-png extract --slice 2/4 --config config.json"},
    {"merge", "The tables, when all four slices are done",
     "niffler-png merge --slices 4 --config config.json"},
    {"doctor", "Whether a fleet could work with these settings", "niffler-png doctor --config fleet.json"},
    {"produce", "A job for the fleet, its topics made if they are missing; prints the job's id",
     "niffler-png produce --config fleet.json --create-topics --partitions 64 --replication 3"},
    {"produce", "The files of a list, as of find, in place of a scan",
     "find /data/dicom/new-study -name '*.dcm' | niffler-png produce --config fleet.json --FilesFrom -"},
    {"produce", "Finish a job whose producer ended early",
     "niffler-png produce --config fleet.json --resume JOB"},
    {"topics", "For a fleet that starts before its first job",
     "niffler-png topics --config fleet.json --partitions 64 --replication 3"},
    {"work", "A worker, on each machine", "niffler-png work --config fleet.json"},
    {"aggregate", "The aggregator, on one machine", "niffler-png aggregate --config fleet.json"},
    {"aggregate", "Wait for one job, and end with its exit status",
     "niffler-png aggregate --config fleet.json --job JOB"},
    {"status", "How far a job is, until it is over", "niffler-png status JOB --watch --config fleet.json"},
    {"status", "The newest jobs, for a program", "niffler-png status --json --config fleet.json"},
    {"cancel", "Do no more of a job", "niffler-png cancel JOB --config fleet.json"},
    {"requeue", "Do the files again whose decoder crashed or met a limit",
     "niffler-png requeue JOB --category 4 --config fleet.json"},
    {"health", "Whether the worker of this machine can work",
     "niffler-png health --MetricsListen 127.0.0.1:9090"},
    {NULL, NULL, NULL},
};

const struct manual_command *manual_find(const char *name)
{
    for (size_t i = 0; i < sizeof manual_commands / sizeof manual_commands[0]; i++)
        if (strcmp(manual_commands[i].name, name) == 0)
            return &manual_commands[i];
    return NULL;
}

void manual_usage(const struct command *command, FILE *out)
{
    const struct command_argument *argument = command->arguments;
    for (; argument != NULL && argument->name != NULL; argument++)
        (void)fprintf(out, argument->is_required ? " %s%s%s" : " [%s%s%s]", argument->name,
                      argument->value != NULL ? " " : "", argument->value != NULL ? argument->value : "");
}
