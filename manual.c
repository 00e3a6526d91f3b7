/* The man page is printed by the program rather than kept beside it, so that no setting, command, exit status
 * or event can be missing from it: the tables are the ones that the program runs by, and tests/e2e/cli.py
 * compares the events with the sources. */
#include "manual.h"

#include <stddef.h>

#include "manual_commands.h"

static const struct {
    const char *path;
    const char *text;
} outputs[] = {
    {"metadata.csv", "A row for each DICOM file, in the order of the paths; a column for each attribute."},
    {"mapping.csv", "A row for each PNG: its DICOM file, its frame, and what undoes the scaling.\n"
                    "Mode 0600: it is the key back to the patients."},
    {"failures.csv",
     "A row for each file that failed: category, code, reason, transfer syntax and modality."},
    {"ImageExtractor.out", "The log, without attribute values."},
    {"ImageExtractor.db", "The state of the job (SQLite), by which a run that ended early goes on."},
    {"extracted\\-images/", "The PNGs, in folders named by digests of the patient, study and series."},
    {"failed\\-dicom/1 to 5/", "Copies of the files that failed, by category."},
};

static const struct {
    const char *number;
    const char *text;
} categories[] = {
    {"1", "Not usable as an image: not DICOM, or an attribute that is needed is missing."},
    {"2", "The pixel data contradicts the header."},
    {"3", "Cannot be decoded: the transfer syntax is not supported, or the codec refuses."},
    {"4", "The decoder crashed, or met a limit."},
    {"5", "More attributes than 300 (800 with private ones); converted nevertheless."},
};

static const struct {
    const char *event;
    const char *text;
} events[] = {
    {"batch_lost", "Results could not be stored; their files are done again by the next run."},
    {"confined", "The parts of the decoders' confinement that are in force."},
    {"crash_probe_failed",
     "Decoders crash on a picture of our own too: nothing is begun until they do not, and no file counts as "
     "failed."},
    {"crash_probe_passed", "A picture of our own was decoded: the files are at fault, or nothing any more."},
    {"crash_storm",
     "More than half of the last 100 files crashed their decoders; a picture of our own is tried."},
    {"dead_letter", "A message could not be used, and went to the dead letters with the reason."},
    {"decoder_ended", "A decoder crashed, hung, met its limit or answered nonsense; unless it was a limit, "
                      "its file is tried once more."},
    {"done", "The end, with the number of files found, converted, without image, ignored and failed."},
    {"drained", "A worker that was asked to stop has finished what it had begun, as far as there was time."},
    {"failed", "The program ends early; the standard error has the reason."},
    {"features_not_found", "FeatureSetFile is missing; all columns are kept."},
    {"health_listening", "The port at which probes and Prometheus are answered."},
    {"job_again", "The failed files of a job that was complete are done again."},
    {"job_cancelled", "A job was cancelled; its tables hold what was done."},
    {"job_complete", "A job is complete, with the number of files of each kind."},
    {"job_failed", "A job's output folder does not lie below OutputRoot; it has no tables."},
    {"job_open", "A job has begun."},
    {"kafka_assigned", "Kafka gave this process partitions of a topic."},
    {"kafka_error", "Kafka does not answer as it should; what is to be done is tried again."},
    {"kafka_fenced", "Kafka took this process for two of one name; it goes on as another member."},
    {"kafka_log", "A warning of the Kafka client; debugging shows all that it logs."},
    {"kafka_log_cut", "A partition counts from a lower offset again: its topic was made anew, or cut."},
    {"kafka_not_left", "A broker did not answer to the end of a membership; it ends by its time limit."},
    {"kafka_revoked", "Partitions were given back, or lost; messages unfinished come again elsewhere."},
    {"kafka_suspects",
     "Processes died of what is in a partition; from the second death on its messages are handled alone."},
    {"mail_failed", "The e\\-mail could not be sent; the conversion is complete nevertheless."},
    {"mail_file_damaged", "A mail on file cannot be read; it is not sent."},
    {"mail_retry", "The e\\-mail could not be sent yet, and is tried again."},
    {"mail_sent", "The e\\-mail was accepted by its server."},
    {"mail_state_lost", "Whether the e\\-mail was sent could not be stored."},
    {"merged", "merge has taken over the files of all slices; what is left are names and tables."},
    {"not_confined", "Parts of the decoders' confinement are missing; niffler\\-png doctor says what to do."},
    {"password_file_open", "All users of the machine may read SmtpPasswordFile."},
    {"quarantined", "Workers died, several times, while they had this file alone; it counts as failed."},
    {"retry_succeeded", "A file that had crashed its decoder went through in a fresh one, alone."},
    {"scanned", "DICOMHome was read: files found, to be done, and gone since the last run."},
    {"settings_changed", "Settings that alter the outputs have changed; all files are done again."},
    {"standing_by", "Another aggregator holds StateDirectory; this one waits for its end."},
    {"started", "A worker or an aggregator is at work."},
    {"stopping", "The program was asked to stop, and takes no new file."},
    {"storage_back", "The storage works again; the files that waited for it go on."},
    {"storage_unavailable",
     "The storage is full, read\\-only or gone: nothing new is begun, and no file counts as failed."},
    {"store_close_failed", "The state could not be closed; what was stored before is kept."},
    {"view_failed",
     "Redis cannot be reached, or refuses; nothing but what it shows depends on it; one line a minute."},
    {"view_restored", "Redis shows what is true again."},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Words as they are typed: a hyphen of roff is not the one of the keyboard. */
static void print_typed(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '-')
            (void)fputc('\\', out);
        (void)fputc(*text, out);
    }
    (void)fputc('\n', out);
}

static void page_start(FILE *out)
{
    (void)fputs(
        ".Dd November 25, 2026\n.Dt NIFFLER-PNG 1\n.Os\n"
        ".Sh NAME\n.Nm niffler\\-png\n.Nd DICOM files to PNG pictures and tables of metadata\n"
        ".Sh SYNOPSIS\n.Nm\n.Op Ar command Op Ar argument ...\n.Op Fl Fl config Ar file\n.Op Fl Fl Key Ar "
        "value ...\n"
        ".Nm\n.Op Ar command\n.Fl Fl help | Fl Fl version | Fl Fl show\\-settings | Fl Fl man\n"
        ".Sh DESCRIPTION\n.Nm\n"
        "reads a folder of DICOM files, writes a PNG for each frame, and tables of their metadata.\n"
        "It takes the place of the png\\-extraction module of Niffler: its config.json works unchanged.\n"
        ".Pp\n"
        "Files are decoded by processes of their own, so that a file that crashes or hangs its decoder\n"
        "costs a row in failures.csv and nothing else.\n"
        "What was ended, in whatever way, goes on where it was when it is started again.\n"
        ".Pp\n"
        "All is done by one process on one machine\n.Pq Cm extract ,\nor by any number of workers over "
        "Kafka\n"
        ".Pq Cm produce , work , aggregate ;\n"
        "outputs are the same.\n"
        ".Pp\n"
        "Without a command, and with a config.json in the current folder or flags, the command is\n"
        ".Cm extract .\n"
        ".Bl -tag -width Ds\n"
        ".It Fl Fl config Ar file\nRead the settings from\n.Ar file ,\nnot from config.json.\n"
        ".It Fl Fl show\\-settings\nPrint every setting and where it comes from, and do nothing.\n"
        ".It Fl Fl help\nPrint a summary; behind a command, that command's part first.\n"
        ".It Fl Fl version\nPrint the version.\n"
        ".It Fl Fl man\nPrint this page.\n"
        ".El\n",
        out);
}

static void page_settings(FILE *out)
{
    (void)fputs(
        ".Sh SETTINGS\n"
        "Each is a key of config.json, a flag\n.Pq Fl Fl Key Ar value No or Fl Fl Key Ns = Ns Ar value ,\n"
        "and a variable of the environment.\n"
        "A flag goes before the environment, that before config.json, and that before the default.\n"
        "The beginning of a key will do as a flag where no other key begins so.\n"
        "In config.json a value may be a string, a number or a boolean; unknown keys are refused.\n"
        "Empty variables of the environment, and those that name no setting, are passed over.\n"
        "Sizes take K, M or G for 1024 and its powers.\n"
        "Passwords are never settings; they are read from files.\n",
        out);
    settings_man(out);
}

static void page_outputs(FILE *out)
{
    (void)fputs(".Sh OUTPUTS\nAll lie below OutputDirectory.\n"
                "ImageExtractor.out and ImageExtractor.db are those of\n.Cm extract ;\n"
                "the fleet logs to the standard error, and has its state in StateDirectory.\n"
                ".Bl -tag -width Ds\n",
                out);
    for (size_t i = 0; i < COUNT(outputs); i++)
        (void)fprintf(out, ".It Pa %s\n%s\n", outputs[i].path, outputs[i].text);
    (void)fputs(".El\n.Pp\nThe categories of failed files are:\n.Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < COUNT(categories); i++)
        (void)fprintf(out, ".It %s\n%s\n", categories[i].number, categories[i].text);
    (void)fputs(".El\n"
                ".Sh FILES\n.Bl -tag -width Ds\n"
                ".It Pa config.json\nSettings, in the current folder.\n"
                ".It Pa featureset.txt\nNames of columns for SpecificHeadersOnly, in the current folder.\n"
                ".It Pa niffler\\-png\\-decoder\nThe program that decodes, installed in the folder for such "
                "helpers.\n"
                ".El\n",
                out);
}

void manual_page(const struct command *commands, FILE *out)
{
    page_start(out);
    manual_page_commands(commands, out);
    page_settings(out);
    page_outputs(out);
    manual_page_fleet(out);
    (void)fputs(".Sh EXIT STATUS\nOf all commands; what one means by it stands with it.\n", out);
    manual_page_statuses(manual_statuses, out);
    (void)fputs(".Sh LOG EVENTS\n"
                "A line of the log is a time in UTC, a level, the part of the program, the event, and\n"
                "fields of the form key=value.\n"
                "No line of the levels error, warn and info holds an attribute's value or a path.\n"
                ".Bl -tag -width Ds\n",
                out);
    for (size_t i = 0; i < COUNT(events); i++)
        (void)fprintf(out, ".It %s\n%s\n", events[i].event, events[i].text);
    (void)fputs(".El\n.Sh EXAMPLES\n", out);
    for (const struct manual_example *example = manual_examples; example->command != NULL; example++) {
        (void)fprintf(out, "%s:\n.Dl ", example->sentence);
        print_typed(example->typed, out);
    }
}
