/* local_run.h: what `extract` and `merge` have in common: an output folder on this machine, its lock, log and
 * state, and the end of its job.
 *
 * All functions fail with ERROR_FATAL where something is set up wrongly, and else as what they call. */
#ifndef NIFFLER_LOCAL_RUN_H
#define NIFFLER_LOCAL_RUN_H

#include <sys/types.h>

#include "aggregator/store.h"
#include "common/buffer.h"
#include "common/error.h"
#include "common/job.h"
#include "common/settings.h"
#include "producer/slice.h"

#define LOCAL_RUN_LOG "ImageExtractor.out"

struct local_run {
    const struct settings *settings; /* borrowed */
    char *input;                     /* real path of DICOMHome       */
    char *output;                    /* real path of OutputDirectory */
    int output_dir, lock, log_file;
    struct store *store;
    struct job job;
    struct buffer features; /* the text of FeatureSetFile */
};

void local_run_init(struct local_run *run, const struct settings *settings);
void local_run_close(struct local_run *run); /* accepts what was only begun */

/* Check the settings, and open both folders; OutputDirectory and JOB_FOLDER in it are made. */
MUST_CHECK bool local_run_open_folders(struct local_run *run, struct error *err);

/* The fleet's workers may be writing here: refuse. For whoever holds the lock. */
MUST_CHECK bool local_run_check_no_fleet(const struct local_run *run, struct error *err);

/* Log to the file `path`, below OutputDirectory; its mode is `mode` and the umask. */
MUST_CHECK bool local_run_open_log(struct local_run *run, const char *path, mode_t mode, struct error *err);

/* The path of the state database of a slice, or of the whole: returns new, NULL on failure. Its folder is
 * there, and no link leads to it. */
char *local_run_state_path(const struct local_run *run, const struct slice *slice, struct error *err);

MUST_CHECK bool local_run_open_store(struct local_run *run, const struct slice *slice, struct error *err);

/* Fill in run->job: that of an earlier run which was ended early, or a new one. */
MUST_CHECK bool local_run_open_job(struct local_run *run, struct error *err);

/* All that alters the outputs, as text: a line for the version, one for the real path of DICOMHome, then a
 * key=value each. Returns new. */
char *local_run_fingerprint(const struct local_run *run);

/* Note in the store that the job runs under these settings, and forget what was made under others. */
MUST_CHECK bool local_run_take_settings(struct local_run *run, struct error *err);

/* The log's line about what became of the files. */
void local_run_log_counts(const struct store_counts *counts);

/* The tables, the e-mail, the summary; all files of the job are in the store. */
MUST_CHECK bool local_run_complete(struct local_run *run, int *exit_status, struct error *err);

#endif
