/* metrics_table.h: what each metric is called and what it says; for metrics.c and the tests. */
#ifndef NIFFLER_COMMON_METRICS_TABLE_H
#define NIFFLER_COMMON_METRICS_TABLE_H

#include "common/metrics.h"

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

struct metrics_row {
    const char *name;
    const char *labels; /* as they stand between the braces; NULL: none, or filled in by metrics.c */
    enum metrics_type type;
    const char *help; /* rows of one name stand together and have one text */
};

/* By enum metric. */
extern const struct metrics_row metrics_table[METRIC_COUNT];

/* What is shown of single jobs (metrics_show_jobs()), with the label job_id (job is Prometheus's own). */
enum metrics_of_job { METRICS_JOB_FILES, METRICS_JOB_DONE, METRICS_JOB_LEFT, METRICS_OF_JOB_COUNT };
extern const struct metrics_row metrics_of_job_table[METRICS_OF_JOB_COUNT];

/* What every process has, beside what it counts. */
enum metrics_process {
    METRICS_BUILD_INFO,
    METRICS_PROCESS_CPU,
    METRICS_PROCESS_MEMORY,
    METRICS_PROCESS_START,
    METRICS_PROCESS_DESCRIPTORS,
    METRICS_PROCESS_COUNT
};
extern const struct metrics_row metrics_process_table[METRICS_PROCESS_COUNT];

/* The values that labels may have, each list ended by NULL. */
extern const char *const metrics_stages[METRICS_STAGES + 1];
#define METRICS_STATUSES 4
extern const char *const metrics_statuses[METRICS_STATUSES + 1];
#define METRICS_CLASSES 27
extern const char *const metrics_classes[METRICS_CLASSES + 1]; /* "none" first, "other" last */

/* Upper bounds of the histogram's buckets in seconds, rising; one more, without bound, stands behind them. */
#define METRICS_BOUNDS 15
extern const double metrics_bounds[METRICS_BOUNDS];

#endif
