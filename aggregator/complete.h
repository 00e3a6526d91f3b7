/* complete.h: what follows the last record of a job: names, tables. */
#ifndef NIFFLER_AGGREGATOR_COMPLETE_H
#define NIFFLER_AGGREGATOR_COMPLETE_H

#include "aggregator/store.h"
#include "common/job.h"

/* Picture names (compatibility), deletion of what no file has any more, then the tables; in that order. May
 * be killed at any moment and called again. Fails as the store does, with ERROR_INPUT (pictures are gone) or
 * ERROR_RETRY (the output folder). */
MUST_CHECK bool complete_outputs(struct store *store, const struct job *job, int output_dir,
                                 struct store_counts *counts, struct error *err);

/* Where an earlier life was killed while it renamed the three tables: rename the rest, so that all are of one
 * state. Before the store changes. Fails as complete_outputs(). */
MUST_CHECK bool complete_finish_tables(struct store *store, int output_dir, struct error *err);

/* The fact "state", on disk. */
MUST_CHECK bool complete_state(struct store *store, const char *state, struct error *err);

/* Print how many files became what; and what `extract` and `aggregate --job` print at the end: that, and
 * where the tables are. */
void complete_print_counts(const struct store_counts *counts);
void complete_print(const struct store_counts *counts, const char *output_directory);

/* The exit status of a job that is complete: some failed (1), nothing was DICOM (2, and `err` says so; the
 * only case in which it is set), or done (0). */
int complete_exit_status(const struct store_counts *counts, const struct job *job, struct error *err);

#endif
