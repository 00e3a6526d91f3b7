/* settings.h: every setting, from ONE table.
 *
 * A row of settings_table.c gives the config.json key (DICOMHome), the flag (--DICOMHome), the environment
 * name (NIFFLER_DICOM_HOME), type, range, default, the default under `Compatibility: niffler`, and the
 * sentence for --help, the man page and --show-settings. Precedence: default < config.json < environment <
 * flag; a flag given twice counts as given last. Every value is checked, also one that another source
 * overrules.
 *
 * Values may be JSON strings, numbers or booleans, as Niffler's front ends write them: "true", true and 1 are
 * the same. Flags are --Key value or --Key=value; a prefix that fits one key alone will do. Unknown keys and
 * flags are errors that name the nearest known one. A variable of the environment that names no setting, or
 * is empty, is passed over: other programs (Kubernetes among them) make names of the same beginning. */
#ifndef NIFFLER_COMMON_SETTINGS_H
#define NIFFLER_COMMON_SETTINGS_H

#include <stdio.h>

#include "common/error.h"
#include "common/log.h"
#include "common/options.h"

enum smtp_start_tls { SMTP_START_TLS_REQUIRED, SMTP_START_TLS_OFF };

/* What is on disk when a file counts as done. */
enum durability {
    DURABILITY_FILE,  /* its pictures, each synced by itself          */
    DURABILITY_BATCH, /* its pictures, synced together with others'   */
    DURABILITY_NONE,  /* whatever the system has written until then   */
};

/* What becomes of a machine on which decoders cannot be confined in full. */
enum sandbox {
    SANDBOX_AUTO,        /* required in a fleet's worker, best effort in extract */
    SANDBOX_REQUIRED,    /* nothing is begun                                     */
    SANDBOX_BEST_EFFORT, /* a warning says what is missing                       */
};

struct settings_value; /* a row's value as text, and where it came from (settings_table.h) */

/* Texts are NULL where nothing was given. */
struct settings {
    /* input */
    char *dicom_home;
    char *output_directory;
    int depth; /* folder levels below DICOMHome; -1: the whole tree */
    char *file_pattern;
    bool file_pattern_given; /* set by the user, or by Compatibility */
    char **link_roots;       /* NULL-terminated; NULL: none */
    bool links_anywhere;     /* links may lead anywhere (the default under Compatibility) */

    /* output */
    struct options options;
    bool common_headers_only;
    bool csv_formula_guard;
    bool specific_headers_only;
    char *feature_set_file;

    /* machine */
    double use_processes;
    uint32_t split_into_chunks;
    char *state_directory; /* NULL: OutputDirectory */
    enum durability durability;
    uint64_t decoder_memory_bytes;
    uint32_t decoder_seconds;
    uint32_t files_per_decoder;
    uint32_t file_seconds;
    enum sandbox sandbox;
    char *decoder_program; /* NULL: found by itself */
    enum log_level log_level;

    /* completion e-mail */
    bool send_email;
    char *your_email; /* NULL also for the address of Niffler's shipped config.json, test@test.test */
    char *smtp_url;   /* holds neither user nor password */
    char *smtp_user;
    char *smtp_password_file;
    char *mail_from;
    enum smtp_start_tls smtp_start_tls;
    char *smtp_ca_file; /* NULL: the system's */

    /* fleet */
    char *input_root; /* NULL: not given */
    char *output_root;
    char *kafka_brokers; /* NULL: not given */
    char *kafka_tasks_topic;
    char *kafka_results_topic;
    char *kafka_dead_topic;
    char *kafka_worker_group;
    char *kafka_aggregator_group;
    uint32_t kafka_commit_ms;
    char *kafka_config_file; /* NULL: none */
    char *kafka_token_file;  /* NULL: none */
    char *redis_url;         /* NULL: no Redis; holds no password */
    char *redis_password_file;
    char *redis_prefix;
    char *metrics_listen;  /* NULL: none */
    uint32_t metrics_jobs; /* how many are shown one by one */
    uint32_t drain_seconds;
    uint32_t storage_probe_seconds;

    struct settings_value
        *values; /* one for each row of the table; for settings_show() and settings_fingerprint() */
};

/* Read config.json (`config_path`, or "config.json" of the current directory when NULL and there is one), the
 * environment and the flags `argv[0..argc-1]`. Fails with ERROR_FATAL: the sentence names key, value and what
 * is allowed. The caller clears in either case. */
MUST_CHECK bool settings_load(struct settings *settings, const char *config_path, int argc, char **argv,
                              struct error *err);

/* Whether the settings named (such as "DICOMHome") were given; `keys` ends with NULL. Not part of
 * settings_load(), so that --show-settings works before all is set. Fails with ERROR_FATAL. */
MUST_CHECK bool settings_check_given(const struct settings *settings, const char *const *keys,
                                     struct error *err);

/* Accepts a zeroed struct. */
void settings_clear(struct settings *settings);

/* Print each setting with its value and where it came from (--show-settings). No secret is among them:
 * passwords are given by the name of a file. */
void settings_show(const struct settings *settings, FILE *out);

/* Print the settings as --help shows them, and as the man page's section (mdoc). */
void settings_help(FILE *out);
void settings_man(FILE *out);

/* Decoders to start: UseProcesses 0 = all cores, 0.5 = half of them (at least one), n = n, never more than
 * the cores. Cores are those this process may run on. */
unsigned settings_decoder_count(const struct settings *settings);

/* Text that names everything of the settings that alters an output, one key=value a line; equal texts give
 * equal outputs for equal inputs. What stands *in* FeatureSetFile is not part of it. Returns new. */
char *settings_fingerprint(const struct settings *settings);

#endif
