/* The man page is printed by the program rather than kept beside it, so that no setting, command, exit status
 * or event can be missing from it: the tables are the ones that the program runs by, and tests/e2e/cli.py
 * compares the events with the sources. */
#include "manual.h"

#include <stddef.h>

static const struct {
    enum exit_status status;
    const char *text;
} statuses[] = {
    {EXIT_STATUS_DONE, "Done."},
    {EXIT_STATUS_SOME_FAILED, "Finished; some files failed and are listed in failures.csv."},
    {EXIT_STATUS_USAGE, "Wrong usage or settings, or nothing to convert."},
    {EXIT_STATUS_WORLD_FAILED, "Something outside failed, such as a full disk; what was done is kept."},
    {EXIT_STATUS_BUG, "A defect of niffler\\-png itself."},
};

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
    {"decoder_ended", "A decoder crashed, hung or answered nonsense; the file it had counts as failed."},
    {"done", "The end, with the number of files found, converted, without image, ignored and failed."},
    {"failed", "The program ends early; the standard error has the reason."},
    {"features_not_found", "FeatureSetFile is missing; all columns are kept."},
    {"mail_failed", "The e\\-mail could not be sent; the conversion is complete nevertheless."},
    {"mail_retry", "The e\\-mail could not be sent yet, and is tried again."},
    {"mail_sent", "The e\\-mail was accepted by its server."},
    {"mail_state_lost", "Whether the e\\-mail was sent could not be stored."},
    {"password_file_open", "All users of the machine may read SmtpPasswordFile."},
    {"scanned", "DICOMHome was read: files found, to be done, and gone since the last run."},
    {"settings_changed", "Settings that alter the outputs have changed; all files are done again."},
    {"stopping", "The program was asked to stop, and takes no new file."},
    {"store_close_failed", "The state could not be closed; what was stored before is kept."},
};

static const struct {
    const char *sentence;
    const char *command;
} examples[] = {
    {"All of a folder, at any depth", "niffler-png extract --DICOMHome /data/ct --OutputDirectory /data/png"},
    {"As Niffler's ImageExtractor.py, with the config.json of the current folder", "niffler-png"},
    {"What Niffler itself would have written, to compare",
     "niffler-png extract --config config.json --Compatibility niffler"},
    {"The tables only, with half of the cores", "niffler-png extract --PrintImages false --UseProcesses 0.5"},
    {"Which settings hold, and where each comes from",
     "niffler-png extract --config config.json --show-settings"},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

void manual_help(const struct command *commands, FILE *out)
{
    (void)fputs("niffler-png: DICOM files to PNG pictures and tables of metadata\n\n"
                "Usage: niffler-png [COMMAND] [--config FILE] [--Key VALUE]...\n"
                "       niffler-png [COMMAND] --help | --version | --show-settings | --man\n\n"
                "Commands\n",
                out);
    for (size_t i = 0; commands[i].name != NULL; i++)
        (void)fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].sentence);
    (void)fputs("  Without a command, and with a config.json in the current folder or flags: extract.\n\n"
                "Flags that are not settings\n"
                "  --config FILE     read the settings from FILE, not from ./config.json\n"
                "  --show-settings   print every setting and where it comes from, and do nothing\n"
                "  --help            print this\n"
                "  --version         print the version\n"
                "  --man             print the manual page: niffler-png --man | man -l -\n\n"
                "Settings, each a flag, a key of config.json (without the --), and a variable of the\n"
                "environment (in brackets). A flag goes before the environment, that before\n"
                "config.json. --Key=VALUE is the same as --Key VALUE, and the beginning of a key will\n"
                "do where no other begins so.\n",
                out);
    settings_help(out);
    (void)fputs("\nExit status\n"
                "  0   done\n"
                "  1   finished; some files failed and are listed in failures.csv\n"
                "  2   wrong usage or settings, or nothing to convert\n"
                "  3   something outside failed, such as a full disk; what was done is kept\n"
                "  70  a defect of niffler-png itself\n"
                "\nExamples\n",
                out);
    for (size_t i = 0; i < COUNT(examples); i++)
        (void)fprintf(out, "  %s:\n    %s\n", examples[i].sentence, examples[i].command);
}

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

static void page_start(const struct command *commands, FILE *out)
{
    (void)fputs(
        ".Dd November 23, 2026\n.Dt NIFFLER-PNG 1\n.Os\n"
        ".Sh NAME\n.Nm niffler\\-png\n.Nd DICOM files to PNG pictures and tables of metadata\n"
        ".Sh SYNOPSIS\n.Nm\n.Op Ar command\n.Op Fl Fl config Ar file\n.Op Fl Fl Key Ar value ...\n"
        ".Nm\n.Op Ar command\n.Fl Fl help | Fl Fl version | Fl Fl show\\-settings | Fl Fl man\n"
        ".Sh DESCRIPTION\n.Nm\n"
        "reads a folder of DICOM files, writes a PNG for each frame, and tables of their metadata.\n"
        "It takes the place of the png\\-extraction module of Niffler: its config.json works unchanged.\n"
        ".Pp\n"
        "Files are decoded by processes of their own, so that a file that crashes or hangs its decoder\n"
        "costs a row in failures.csv and nothing else.\n"
        "A run that was ended, in whatever way, goes on where it was when it is started again; a run over\n"
        "files that have not changed decodes nothing.\n"
        ".Pp\n"
        "Without a command, and with a config.json in the current folder or flags, the command is\n"
        ".Cm extract .\n"
        ".Bl -tag -width Ds\n"
        ".It Fl Fl config Ar file\nRead the settings from\n.Ar file ,\nnot from config.json.\n"
        ".It Fl Fl show\\-settings\nPrint every setting and where it comes from, and do nothing.\n"
        ".It Fl Fl help\nPrint a summary.\n"
        ".It Fl Fl version\nPrint the version.\n"
        ".It Fl Fl man\nPrint this page.\n"
        ".El\n"
        ".Sh COMMANDS\n.Bl -tag -width Ds\n",
        out);
    for (size_t i = 0; commands[i].name != NULL; i++) {
        (void)fprintf(out, ".It Cm %s\n", commands[i].name);
        print_typed(commands[i].sentence, out);
    }
    (void)fputs(".El\n", out);
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
    (void)fputs(".Sh OUTPUTS\nAll lie below OutputDirectory.\n.Bl -tag -width Ds\n", out);
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
    page_start(commands, out);
    page_settings(out);
    page_outputs(out);
    (void)fputs(".Sh EXIT STATUS\n.Bl -tag -width Ds\n", out);
    for (size_t i = 0; i < COUNT(statuses); i++)
        (void)fprintf(out, ".It %d\n%s\n", (int)statuses[i].status, statuses[i].text);
    (void)fputs(".El\n"
                ".Sh LOG EVENTS\n"
                "A line of the log is a time in UTC, a level, the part of the program, the event, and\n"
                "fields of the form key=value.\n"
                "No line of the levels error, warn and info holds an attribute's value or a path.\n"
                ".Bl -tag -width Ds\n",
                out);
    for (size_t i = 0; i < COUNT(events); i++)
        (void)fprintf(out, ".It %s\n%s\n", events[i].event, events[i].text);
    (void)fputs(".El\n.Sh EXAMPLES\n", out);
    for (size_t i = 0; i < COUNT(examples); i++) {
        (void)fprintf(out, "%s:\n.Dl ", examples[i].sentence);
        print_typed(examples[i].command, out);
    }
}
