/* The table of all settings, and what is looked up in it by name.
 *
 * To add a setting: a field in struct settings or struct options, a row here, and its use. Everything else
 * (config.json, flag, environment, --help, man page, --show-settings, fingerprint) follows from the row. */
#include "common/settings_table.h"

#include <ctype.h>
#include <string.h>

#include "common/metrics.h"

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define FIELD(name) offsetof(struct settings, name)
#define NO_RANGE 0, 0
#define NO_CHOICES NULL
#define SAME NULL /* under Compatibility: niffler */

const char settings_key_compatibility[] = "Compatibility";
const char settings_key_flattened_to_level[] = "FlattenedToLevel";
const char settings_key_file_pattern[] = "FilePattern";

/* In the order of the enumerations they stand for. */
static const char *const compatibility_choices[] = {"none", "niffler", NULL};
static const char *const level_choices[] = {"patient", "study", "series", NULL};
static const char *const scaling_choices[] = {"full", "niffler", "stored", "window", NULL};
static const char *const overlays_choices[] = {"none", "burn", NULL};
static const char *const compression_choices[] = {"fast", "small", NULL};
static const char *const value_format_choices[] = {"dicom", "niffler", NULL};
static const char *const start_tls_choices[] = {"required", "off", NULL};
static const char *const durability_choices[] = {"file", "batch", "none", NULL};
static const char *const sandbox_choices[] = {"auto", "required", "best-effort", NULL};
static const char *const log_level_choices[] = {"error", "warn", "info", "debug", NULL};

static const char input_section[] = "Input";
static const char output_section[] = "Output";
static const char machine_section[] = "Machine";
static const char mail_section[] = "Completion e-mail";
static const char fleet_section[] = "Fleet";
static const char limits_section[] = "Limits per file";

const struct settings_row settings_table[] = {
    {input_section, "DICOMHome", "FOLDER", SETTINGS_TEXT, FIELD(dicom_home), NO_RANGE, NO_CHOICES, "", SAME,
     SETTINGS_ALTERS_OUTPUT, "Root of the DICOM files. Nothing is ever written there."},
    {input_section, "Depth", "LEVELS", SETTINGS_INTEGER, FIELD(depth), -1, 1000, NO_CHOICES, "-1", "0",
     SETTINGS_ALTERS_OUTPUT,
     "Folder levels below DICOMHome at which files are looked for: 0 takes the files of DICOMHome itself, 1 "
     "those of its "
     "folders only, and so on; -1 takes the whole tree."},
    {input_section, "FilePattern", "PATTERN", SETTINGS_TEXT, FIELD(file_pattern), NO_RANGE, NO_CHOICES, "*",
     "*.dcm", SETTINGS_ALTERS_OUTPUT,
     "Shell pattern of the file names to look at. Unless it is set, a file without DICOM structure is "
     "ignored if its name "
     "does not end in .dcm, .dicom or .ima; otherwise it counts as failed, category 1."},
    {input_section, "LinkRoots", "FOLDERS", SETTINGS_FOLDERS, FIELD(link_roots), NO_RANGE, NO_CHOICES, "none",
     "anywhere", SETTINGS_ALTERS_OUTPUT,
     "Folders, with ':' between them (or a list in config.json), beneath which a symbolic link out of "
     "DICOMHome may lead; or "
     "none, or anywhere. Links that stay inside DICOMHome are always followed."},

    {output_section, "OutputDirectory", "FOLDER", SETTINGS_TEXT, FIELD(output_directory), NO_RANGE,
     NO_CHOICES, "", SAME, SETTINGS_ALTERS_IF_NIFFLER, "Root of all outputs; made if it is missing."},
    {output_section, "Compatibility", NULL, SETTINGS_CHOICE, SETTINGS_NO_FIELD, NO_RANGE,
     compatibility_choices, "none", SAME, SETTINGS_ALTERS_OUTPUT,
     "niffler gives, cell for cell and pixel for pixel, what Niffler gives wherever Niffler succeeds, and "
     "changes the "
     "defaults of some settings."},
    {output_section, "PrintImages", NULL, SETTINGS_BOOL, FIELD(options.print_images), NO_RANGE, NO_CHOICES,
     "true", SAME, SETTINGS_ALTERS_OUTPUT,
     "Write PNGs; false writes the tables only and does not read the pixel data."},
    {output_section, "is16Bit", NULL, SETTINGS_BOOL, FIELD(options.is_16_bit), NO_RANGE, NO_CHOICES, "true",
     SAME, SETTINGS_ALTERS_OUTPUT, "PNGs of 16 bits per sample; false: 8."},
    {output_section, "FlattenedToLevel", NULL, SETTINGS_CHOICE, FIELD(options.flattened_to_level), NO_RANGE,
     level_choices, "patient", SAME, SETTINGS_ALTERS_OUTPUT,
     "Folder levels below extracted-images: one for each patient, or for each study or series in it. Under "
     "Compatibility: "
     "niffler any other text counts as series."},
    {output_section, "PixelScaling", NULL, SETTINGS_CHOICE, FIELD(options.pixel_scaling), NO_RANGE,
     scaling_choices, "full", "niffler", SETTINGS_ALTERS_OUTPUT,
     "How the values of a frame become grey. full: the lowest of 0 and the frame's minimum becomes black, "
     "its maximum white. "
     "niffler: negative values become 0, the maximum white. stored: the exact stored values, from which the "
     "original can be "
     "had back. window: as a radiologist sees it, by the file's Modality LUT and the window of Window."},
    {output_section, "Window", "WINDOW", SETTINGS_WINDOW, FIELD(options.window), 1, UINT32_MAX, NO_CHOICES,
     "index:1", SAME, SETTINGS_ALTERS_OUTPUT,
     "With PixelScaling: window. index:n, the n-th window of the file, its VOI LUTs counted behind its "
     "windows; where it has none, all values. center,width, such as 40,400. A preset: " SETTINGS_PRESETS
     ". Or auto, the frame's 1st to 99th percentile."},
    {output_section, "InvertMonochrome1", NULL, SETTINGS_BOOL, FIELD(options.invert_monochrome1), NO_RANGE,
     NO_CHOICES, "true", "false", SETTINGS_ALTERS_OUTPUT,
     "Show MONOCHROME1 images as they should look, the lowest value white; not with PixelScaling: stored."},
    {output_section, "Frames", NULL, SETTINGS_FRAMES, FIELD(options.frames), 1, UINT32_MAX, NO_CHOICES, "all",
     SAME, SETTINGS_ALTERS_OUTPUT,
     "Which frames of a multi-frame file become PNGs: all, the first, the middle one, or one by its number "
     "from 1."},
    {output_section, "Overlays", NULL, SETTINGS_CHOICE, FIELD(options.overlays), NO_RANGE, overlays_choices,
     "none", SAME, SETTINGS_ALTERS_OUTPUT,
     "burn draws the overlay planes of the file (groups 6000 to 60FF) white into its pictures; not with "
     "PixelScaling: stored."},
    {output_section, "AllowTruncated", NULL, SETTINGS_BOOL, FIELD(options.allow_truncated), NO_RANGE,
     NO_CHOICES, "false", SAME, SETTINGS_ALTERS_OUTPUT,
     "Convert frames whose pixel data ends early: what is missing becomes 0, or what the codec makes of it, "
     "and "
     "mapping.csv says so. Otherwise such a frame fails. One of which no byte is there always does."},
    {output_section, "PngCompression", NULL, SETTINGS_CHOICE, FIELD(options.png_compression), NO_RANGE,
     compression_choices, "fast", SAME, SETTINGS_ALTERS_OUTPUT,
     "fast: PNGs about as small as libpng makes them, in a fraction of its time. small: some hundredths to a "
     "tenth smaller, for several times the time. The pixels are the same."},
    {output_section, "PublicHeadersOnly", NULL, SETTINGS_BOOL, FIELD(options.public_headers_only), NO_RANGE,
     NO_CHOICES, "true", SAME, SETTINGS_ALTERS_OUTPUT, "Leave private attributes out of metadata.csv."},
    {output_section, "CommonHeadersOnly", NULL, SETTINGS_BOOL, FIELD(common_headers_only), NO_RANGE,
     NO_CHOICES, "false", SAME, SETTINGS_ALTERS_OUTPUT,
     "Keep only the columns of metadata.csv that fewer than 10 % of all rows lack."},
    {output_section, "SpecificHeadersOnly", NULL, SETTINGS_BOOL, FIELD(specific_headers_only), NO_RANGE,
     NO_CHOICES, "false", SAME, SETTINGS_ALTERS_OUTPUT,
     "Keep only the columns of metadata.csv that FeatureSetFile lists."},
    {output_section, "FeatureSetFile", "FILE", SETTINGS_TEXT, FIELD(feature_set_file), NO_RANGE, NO_CHOICES,
     "featureset.txt", SAME, SETTINGS_ALTERS_OUTPUT,
     "Names of columns, one a line, for SpecificHeadersOnly."},
    {output_section, "CsvFormulaGuard", NULL, SETTINGS_BOOL, FIELD(csv_formula_guard), NO_RANGE, NO_CHOICES,
     "false", SAME, SETTINGS_ALTERS_OUTPUT,
     "For tables that people open in a spreadsheet: put ' before each text that it would run as a formula, "
     "which begins with =, +, -, @, a tab or a line end. Numbers stay. Off, since the tables are for "
     "programs, "
     "which would have to take it away again."},
    {output_section, "ValueFormat", NULL, SETTINGS_CHOICE, FIELD(options.value_format), NO_RANGE,
     value_format_choices, "dicom", "niffler", SETTINGS_ALTERS_OUTPUT,
     "How a cell shows several values. dicom: a\\b, as in the file. niffler: as Python writes a list."},
    {output_section, "MaxValueBytes", NULL, SETTINGS_SIZE, FIELD(options.max_value_bytes), 0, GIB, NO_CHOICES,
     "4K", "unlimited", SETTINGS_ALTERS_OUTPUT,
     "Longer values are cut, with a mark; or unlimited. Spreadsheets and readers of CSV choke on cells of "
     "megabytes. Whatever it is, MaxMetadataBytes is the limit of a file's values."},

    {machine_section, "UseProcesses", "N", SETTINGS_SHARE, FIELD(use_processes), 0, 100000, NO_CHOICES, "0",
     SAME, SETTINGS_ALTERS_NOTHING,
     "Decoder processes: 0 for one on every core, 0.5 for half of the cores, or their number; never more "
     "than the cores."},
    {machine_section, "SplitIntoChunks", "N", SETTINGS_COUNT, FIELD(split_into_chunks), 1, UINT32_MAX,
     NO_CHOICES, "1", SAME, SETTINGS_ALTERS_NOTHING,
     "Accepted for Niffler's sake, and without effect: memory does not depend on the number of files."},
    {machine_section, "StateDirectory", "FOLDER", SETTINGS_TEXT, FIELD(state_directory), NO_RANGE, NO_CHOICES,
     "", SAME, SETTINGS_ALTERS_NOTHING,
     "Where the state lies. extract: ImageExtractor.db; not set: in OutputDirectory. aggregate: all jobs; "
     "not "
     "set: .niffler-state in OutputRoot. For output folders on slow or network storage."},
    {machine_section, "Durability", NULL, SETTINGS_CHOICE, FIELD(durability), NO_RANGE, durability_choices,
     "batch", SAME, SETTINGS_ALTERS_NOTHING,
     "What survives a crash of the machine; a killed process loses nothing in any case. batch: files that "
     "count "
     "as done, whose pictures are synced together before the state says so. file: the same, each picture "
     "synced "
     "by itself, for storage without syncfs(); slow. none: whatever the system had written; fast on slow "
     "disks, "
     "and after a crash OutputDirectory is to be begun anew."},
    {machine_section, "DecoderProgram", "FILE", SETTINGS_TEXT, FIELD(decoder_program), NO_RANGE, NO_CHOICES,
     "", SAME, SETTINGS_ALTERS_NOTHING,
     "The decoder to start; not set: the installed niffler-png-decoder, or the one of the build."},
    {machine_section, "Sandbox", NULL, SETTINGS_CHOICE, FIELD(sandbox), NO_RANGE, sandbox_choices, "auto",
     SAME, SETTINGS_ALTERS_NOTHING,
     "Decoders read the files, which are anybody's, and are confined by seccomp, Landlock and limits. Where "
     "the "
     "kernel or a container lacks a part of that: required, nothing is begun; best-effort, a warning says "
     "what is "
     "missing. auto: required for work, best-effort for extract. niffler-png doctor shows the parts."},
    {machine_section, "FilesPerDecoder", NULL, SETTINGS_COUNT, FIELD(files_per_decoder), 1, 1000000,
     NO_CHOICES, "4000", SAME, SETTINGS_ALTERS_NOTHING,
     "Files after which a decoder is replaced, so that what its libraries leak does not grow. 1 gives each "
     "file a decoder "
     "of its own, for about 10 ms: then a file that takes over its decoder is alone in it."},
    {machine_section, "LogLevel", NULL, SETTINGS_CHOICE, FIELD(log_level), NO_RANGE, log_level_choices,
     "info", SAME, SETTINGS_ALTERS_NOTHING,
     "What is logged: error (a person must act), warn (it was coped with), info (start, end, totals) or "
     "debug (each file)."},

    {mail_section, "SendEmail", NULL, SETTINGS_BOOL, FIELD(send_email), NO_RANGE, NO_CHOICES, "true", SAME,
     SETTINGS_ALTERS_NOTHING, "Send an e-mail at the end, if YourEmail and SmtpUrl are set."},
    {mail_section, "YourEmail", "ADDRESS", SETTINGS_TEXT, FIELD(your_email), NO_RANGE, NO_CHOICES, "", SAME,
     SETTINGS_ALTERS_NOTHING,
     "Who gets it. The address of Niffler's shipped config.json, test@test.test, counts as not set."},
    {mail_section, "SmtpUrl", "URL", SETTINGS_TEXT, FIELD(smtp_url), NO_RANGE, NO_CHOICES, "", SAME,
     SETTINGS_ALTERS_NOTHING,
     "Mail server: smtp://host:port, or smtps://host:port. User and password have settings of their own."},
    {mail_section, "SmtpUser", "NAME", SETTINGS_TEXT, FIELD(smtp_user), NO_RANGE, NO_CHOICES, "", SAME,
     SETTINGS_ALTERS_NOTHING, "User name for the mail server, if it wants one."},
    {mail_section, "SmtpPasswordFile", "FILE", SETTINGS_TEXT, FIELD(smtp_password_file), NO_RANGE, NO_CHOICES,
     "", SAME, SETTINGS_ALTERS_NOTHING, "File whose first line is the password for SmtpUser."},
    {mail_section, "MailFrom", "ADDRESS", SETTINGS_TEXT, FIELD(mail_from), NO_RANGE, NO_CHOICES, "", SAME,
     SETTINGS_ALTERS_NOTHING, "Sender of the e-mail; not set: YourEmail."},
    {mail_section, "SmtpStartTls", NULL, SETTINGS_CHOICE, FIELD(smtp_start_tls), NO_RANGE, start_tls_choices,
     "required", SAME, SETTINGS_ALTERS_NOTHING,
     "With smtp://, encrypt the connection or do not send; off allows plain text, for a server on this "
     "machine."},
    {mail_section, "SmtpCaFile", "FILE", SETTINGS_TEXT, FIELD(smtp_ca_file), NO_RANGE, NO_CHOICES, "", SAME,
     SETTINGS_ALTERS_NOTHING, "Certificates to trust for the mail server; not set: the system's."},

    {fleet_section, "InputRoot", "FOLDER", SETTINGS_TEXT, FIELD(input_root), NO_RANGE, NO_CHOICES, "", SAME,
     SETTINGS_ALTERS_NOTHING,
     "Folder beneath which the DICOM files of all jobs lie, as this machine sees it. A job names its folder "
     "relative to it."},
    {fleet_section, "OutputRoot", "FOLDER", SETTINGS_TEXT, FIELD(output_root), NO_RANGE, NO_CHOICES, "", SAME,
     SETTINGS_ALTERS_NOTHING,
     "Folder beneath which the outputs of all jobs lie, as this machine sees it. A job names its folder "
     "relative to it."},
    {fleet_section, "KafkaBrokers", "HOSTS", SETTINGS_TEXT, FIELD(kafka_brokers), NO_RANGE, NO_CHOICES, "",
     SAME, SETTINGS_ALTERS_NOTHING, "Kafka brokers to ask first: host:port, with commas between them."},
    {fleet_section, "KafkaTasksTopic", "TOPIC", SETTINGS_TEXT, FIELD(kafka_tasks_topic), NO_RANGE, NO_CHOICES,
     "niffler-tasks", SAME, SETTINGS_ALTERS_NOTHING, "Topic of the tasks, from producer to workers."},
    {fleet_section, "KafkaResultsTopic", "TOPIC", SETTINGS_TEXT, FIELD(kafka_results_topic), NO_RANGE,
     NO_CHOICES, "niffler-results", SAME, SETTINGS_ALTERS_NOTHING,
     "Topic of the records, from workers to aggregator."},
    {fleet_section, "KafkaDeadTopic", "TOPIC", SETTINGS_TEXT, FIELD(kafka_dead_topic), NO_RANGE, NO_CHOICES,
     "niffler-dead", SAME, SETTINGS_ALTERS_NOTHING,
     "Topic of messages that cannot be read, each with its reason."},
    {fleet_section, "KafkaWorkerGroup", "GROUP", SETTINGS_TEXT, FIELD(kafka_worker_group), NO_RANGE,
     NO_CHOICES, "niffler-workers", SAME, SETTINGS_ALTERS_NOTHING, "Consumer group of the workers."},
    {fleet_section, "KafkaAggregatorGroup", "GROUP", SETTINGS_TEXT, FIELD(kafka_aggregator_group), NO_RANGE,
     NO_CHOICES, "niffler-aggregator", SAME, SETTINGS_ALTERS_NOTHING, "Consumer group of the aggregator."},
    {fleet_section, "KafkaCommitMs", "MS", SETTINGS_COUNT, FIELD(kafka_commit_ms), 10, 60000, NO_CHOICES,
     "500", SAME, SETTINGS_ALTERS_NOTHING,
     "Milliseconds between commits of offsets; what a worker that is killed had finished in that time is "
     "done again."},
    {fleet_section, "KafkaConfigFile", "FILE", SETTINGS_TEXT, FIELD(kafka_config_file), NO_RANGE, NO_CHOICES,
     "", SAME, SETTINGS_ALTERS_NOTHING,
     "Properties of librdkafka, name=value a line: TLS, SASL, and whatever else. Passwords belong here; the "
     "values are never shown."},
    {fleet_section, "KafkaTokenFile", "FILE", SETTINGS_TEXT, FIELD(kafka_token_file), NO_RANGE, NO_CHOICES,
     "", SAME, SETTINGS_ALTERS_NOTHING,
     "File that holds the token for SASL/OAUTHBEARER; read again whenever a new one is due."},
    {fleet_section, "RedisUrl", "URL", SETTINGS_TEXT, FIELD(redis_url), NO_RANGE, NO_CHOICES, "", SAME,
     SETTINGS_ALTERS_NOTHING,
     "Where progress is shown: redis://user@host:port/database, rediss:// for TLS, or unix:///path?db=0. Not "
     "set: nowhere. The conversion does not depend on it."},
    {fleet_section, "RedisPasswordFile", "FILE", SETTINGS_TEXT, FIELD(redis_password_file), NO_RANGE,
     NO_CHOICES, "", SAME, SETTINGS_ALTERS_NOTHING, "File whose first line is the password for Redis."},
    {fleet_section, "RedisPrefix", "TEXT", SETTINGS_TEXT, FIELD(redis_prefix), NO_RANGE, NO_CHOICES,
     "niffler:", SAME, SETTINGS_ALTERS_NOTHING, "What all keys in Redis begin with."},
    {fleet_section, "MetricsListen", "ADDRESS", SETTINGS_TEXT, FIELD(metrics_listen), NO_RANGE, NO_CHOICES,
     "", SAME, SETTINGS_ALTERS_NOTHING,
     "Address for /livez, /readyz and /metrics, such as 0.0.0.0:9090; port 0 takes a free one. Not "
     "set: none."},
    {fleet_section, "MetricsJobs", "COUNT", SETTINGS_COUNT, FIELD(metrics_jobs), 0, METRICS_JOBS_MAX,
     NO_CHOICES, "0", SAME, SETTINGS_ALTERS_NOTHING,
     "How many of the jobs that are not over the aggregator's /metrics show one by one, the newest, each "
     "with its id "
     "as a label. 0: none, since Prometheus keeps all ids that it ever saw."},
    {fleet_section, "DrainSeconds", "SECONDS", SETTINGS_COUNT, FIELD(drain_seconds), 0, 86400, NO_CHOICES,
     "25", SAME, SETTINGS_ALTERS_NOTHING,
     "Seconds that a worker which was asked to end takes for the files it has begun; what is left is done by "
     "another one."},
    {fleet_section, "StorageProbeSeconds", "SECONDS", SETTINGS_COUNT, FIELD(storage_probe_seconds), 1, 3600,
     NO_CHOICES, "10", SAME, SETTINGS_ALTERS_NOTHING,
     "Seconds between attempts while the storage is full, read-only or gone; no file counts as failed "
     "meanwhile."},

    {limits_section, "DecoderMemory", NULL, SETTINGS_SIZE, FIELD(decoder_memory_bytes), 1 * MIB, 1024 * GIB,
     NO_CHOICES, "2G", SAME, SETTINGS_ALTERS_OUTPUT,
     "Memory that a decoder may take. The largest frame of MaxPixels has 512M in 16 bits, and decoding needs "
     "up to three "
     "times that; what asks for more is a bomb."},
    {limits_section, "DecoderSeconds", NULL, SETTINGS_COUNT, FIELD(decoder_seconds), 1, 86400, NO_CHOICES,
     "60", SAME, SETTINGS_ALTERS_OUTPUT,
     "Seconds that a decoder may take for a header or a frame. Usual ones need milliseconds and the largest "
     "some ten "
     "seconds; what is "
     "not done by then hangs, and the decoder is killed."},
    {limits_section, "FileSeconds", NULL, SETTINGS_COUNT, FIELD(file_seconds), 1, UINT32_MAX, NO_CHOICES,
     "3600", SAME, SETTINGS_ALTERS_OUTPUT,
     "Seconds that all frames of a file may take together. 100,000 usual ones need a quarter of an hour; "
     "without an end, a file of "
     "many frames that each take nearly DecoderSeconds would hold its decoder for weeks."},
    {limits_section, "MaxPixels", NULL, SETTINGS_SIZE, FIELD(options.max_pixels), 1, INT64_C(1) << 32,
     NO_CHOICES, "256M", SAME, SETTINGS_ALTERS_OUTPUT,
     "Rows times columns of a frame. Radiographs and mammograms stay below 64M; the rest is room for scanned "
     "slides and film."},
    {limits_section, "MaxFrames", NULL, SETTINGS_COUNT, FIELD(options.max_frames), 1, UINT32_MAX, NO_CHOICES,
     "100000", SAME, SETTINGS_ALTERS_OUTPUT,
     "Frames of a file. Cine loops and volumes have up to some ten thousands; each is a file on the disk. Of "
     "fragments, it allows four for each frame, and 65,536 more."},
    {limits_section, "MaxAttributes", NULL, SETTINGS_COUNT, FIELD(options.max_attributes), 1, UINT32_MAX,
     NO_CHOICES, "1000000", SAME, SETTINGS_ALTERS_OUTPUT,
     "Data elements of a file, those in sequences counted. A volume of 10,000 frames has about 500,000."},
    {limits_section, "MaxNesting", NULL, SETTINGS_COUNT, FIELD(options.max_nesting), 1, 1000, NO_CHOICES,
     "128", "1000", SETTINGS_ALTERS_OUTPUT,
     "Sequences inside sequences. Structured reports reach about 20. Valid pictures that are nested 100 deep "
     "are found, and are to be converted: here a level costs some bytes and no stack."},
    {limits_section, "MaxItems", NULL, SETTINGS_COUNT, FIELD(options.max_items), 1, UINT32_MAX, NO_CHOICES,
     "100000", SAME, SETTINGS_ALTERS_OUTPUT,
     "Items of one sequence. An enhanced object has one for each frame, so that this goes with MaxFrames; "
     "each has columns of its own in metadata.csv."},
    {limits_section, "MaxMetadataBytes", NULL, SETTINGS_SIZE, FIELD(options.max_metadata_bytes), 64 * KIB,
     1024 * GIB, NO_CHOICES, "256M", SAME, SETTINGS_ALTERS_OUTPUT,
     "Bytes of all values of a file but its pixel data, and again of its cells and their columns' names. "
     "Contours of a treatment plan reach 100M; this much is held in memory for each decoder."},
    {limits_section, "MaxPictureBytes", NULL, SETTINGS_SIZE, FIELD(options.max_picture_bytes), 64 * KIB,
     1024 * GIB, NO_CHOICES, "2G", SAME, SETTINGS_ALTERS_OUTPUT,
     "Bytes of one PNG. The largest frame of MaxPixels has 1.5G in colour of 16 bits, and noise does not "
     "shrink; what is longer is no picture of a sane decoder."},
};

const size_t settings_table_count = sizeof settings_table / sizeof settings_table[0];

size_t settings_find(const char *key)
{
    size_t i = 0;
    while (i < settings_table_count && strcmp(settings_table[i].key, key) != 0)
        i++;
    return i;
}

#define COMPARED_CHARACTERS 64 /* more than any key has; the rest of a stranger's key says nothing */

static size_t minimum(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, row by row. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t a_length = strnlen(a, COMPARED_CHARACTERS);
    size_t b_length = strnlen(b, COMPARED_CHARACTERS);
    size_t row[COMPARED_CHARACTERS + 1];
    for (size_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            bool is_same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t replaced = diagonal + (is_same ? 0 : 1);
            diagonal = row[j];
            row[j] = minimum(replaced, minimum(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}

/* A key that was cut short, or went on, is nearer than its edits say: OutputDir, PrintImagesToo. */
static size_t distance_between(const char *key, const char *known)
{
    enum { TELLING_CHARACTERS = 3 };
    size_t shared = 0;
    while (key[shared] != '\0' &&
           tolower((unsigned char)key[shared]) == tolower((unsigned char)known[shared]))
        shared++;
    bool goes_on = key[shared] == '\0' || known[shared] == '\0';
    if (key[shared] == known[shared])
        return 0;
    return goes_on && shared >= TELLING_CHARACTERS ? 1 : edit_distance(key, known);
}

const char *settings_nearest(const char *key)
{
    size_t best = 0;
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < settings_table_count; i++) {
        size_t distance = distance_between(key, settings_table[i].key);
        if (distance < best_distance) {
            best_distance = distance;
            best = i;
        }
    }
    return settings_table[best].key;
}

static bool begins_word(const char *key, size_t i)
{
    unsigned char before = (unsigned char)key[i - 1];
    unsigned char here = (unsigned char)key[i];
    if (isupper(here))
        return !isupper(before) || islower((unsigned char)key[i + 1]);
    if (isdigit(here) && isalpha(before)) {
        size_t end = i + strspn(key + i, "0123456789");
        return key[end] != '\0';
    }
    return false;
}

void settings_environment_name(const char *key, char *name, size_t size)
{
    static const char prefix[] = SETTINGS_ENVIRONMENT_PREFIX;
    size_t length = 0;
    for (; prefix[length] != '\0' && length + 1 < size; length++)
        name[length] = prefix[length];
    for (size_t i = 0; key[i] != '\0' && length + 2 < size; i++) {
        if (i > 0 && begins_word(key, i))
            name[length++] = '_';
        name[length++] = (char)toupper((unsigned char)key[i]);
    }
    name[length] = '\0';
}
