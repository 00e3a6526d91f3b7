/* metrics.h: numbers for Prometheus: one fixed table of names, counted by any thread.
 *
 * Names, types, labels and help stand in metrics_table.c, once; semantics as in the Prometheus guidelines:
 * base units, counters end with _total and begin at 0. No label holds a path or anything of a patient, and
 * none a job but in the lines of metrics_show_jobs(), which are there only where a setting asks for them. All
 * functions accept NULL. */
#ifndef NIFFLER_COMMON_METRICS_H
#define NIFFLER_COMMON_METRICS_H

#include <stdint.h>

#include "common/buffer.h"

enum metric {
    METRIC_TASKS_CONSUMED,      /* counter */
    METRIC_FILES,               /* counter, labels status and class: metrics_count_file() */
    METRIC_FILE_DURATION,       /* histogram, label stage: metrics_observe() */
    METRIC_BYTES_READ,          /* counter: bytes of DICOM files taken */
    METRIC_BYTES_WRITTEN,       /* counter: bytes of PNGs published */
    METRIC_INFLIGHT,            /* gauge */
    METRIC_DECODERS_BUSY,       /* gauge: niffler_children{state="busy"} */
    METRIC_DECODERS_IDLE,       /* gauge: niffler_children{state="idle"} */
    METRIC_DECODER_CRASHES,     /* counter: niffler_child_exits_total{reason="crash"} */
    METRIC_DECODER_TIMEOUTS,    /* counter: niffler_child_exits_total{reason="limit_time"} */
    METRIC_DECODER_NONSENSE,    /* counter: niffler_child_exits_total{reason="protocol"} */
    METRIC_DECODER_MEMORY,      /* counter: niffler_child_exits_total{reason="limit_memory"} */
    METRIC_DECODER_FORBIDDEN,   /* counter: niffler_child_exits_total{reason="forbidden_call"} */
    METRIC_SANDBOX_PRIVILEGES,  /* gauges: niffler_sandbox_in_force{part="..."}, in the order of the parts */
    METRIC_SANDBOX_DESCRIPTORS, /* (worker/confinement.h) */
    METRIC_SANDBOX_LIMITS,
    METRIC_SANDBOX_OOM_SCORE,
    METRIC_SANDBOX_LANDLOCK,
    METRIC_SANDBOX_LANDLOCK_TCP,
    METRIC_SANDBOX_LANDLOCK_SCOPE,
    METRIC_SANDBOX_SECCOMP,
    METRIC_QUARANTINED,         /* counter */
    METRIC_RETRIES,             /* counter */
    METRIC_TASKS_SKIPPED,       /* counter: of closed and cancelled jobs */
    METRIC_DEAD_LETTERS,        /* counter: niffler_dlq_total */
    METRIC_PAUSED_PARTITIONS,   /* gauge */
    METRIC_ASSIGNED_PARTITIONS, /* gauge */
    METRIC_REBALANCES,          /* counter */
    METRIC_COMMIT_FAILURES,     /* counter */
    METRIC_KAFKA_ERRORS,        /* counter */
    METRIC_CONSUMER_LAG,        /* gauge */
    METRIC_RECORDS,             /* counter: records stored */
    METRIC_DUPLICATES,          /* counter: niffler_results_duplicate_total */
    METRIC_JOBS_OPEN,           /* gauges: niffler_jobs{state="..."}, the states of jobs that are not over */
    METRIC_JOBS_SEALED,         /* (aggregator/progress.h) */
    METRIC_JOBS_RUNNING,
    METRIC_JOBS_STALLED,
    METRIC_FILES_LEFT,      /* gauge */
    METRIC_JOBS_COMPLETED,  /* counter: niffler_job_completed_total{result="complete"} */
    METRIC_JOBS_CANCELLED,  /* counter: niffler_job_completed_total{result="cancelled"} */
    METRIC_REDIS_UP,        /* gauge */
    METRIC_READY,           /* gauge, by common/health.h */
    METRIC_STORAGE_BREAKER, /* gauge: niffler_storage_breaker_open */
    METRIC_CRASH_BREAKER,   /* gauge: niffler_crash_breaker_open */
    METRIC_MAILS_SENT,      /* counter: niffler_mail_total{result="sent"} */
    METRIC_MAILS_FAILED,    /* counter: niffler_mail_total{result="failed"} */
    METRIC_LAST_PROGRESS,   /* gauge: niffler_last_progress_timestamp_seconds */
    METRIC_COUNT
};

/* Stages of METRIC_FILE_DURATION. */
enum metrics_stage { METRICS_OPEN, METRICS_DECODE, METRICS_PUBLISH, METRICS_STAGES };

struct metrics;
struct metrics *metrics_new(const char *version);
void metrics_free(struct metrics *metrics);

void metrics_add(struct metrics *metrics, enum metric metric, uint64_t n); /* counters */

/* Gauges, and counters that are kept elsewhere. A gauge is shown once it was set, and no longer once it was
 * set to NAN: 0 would be a statement about a Redis that nobody uses, or a lag that is not known. */
void metrics_set(struct metrics *metrics, enum metric metric, double value);
void metrics_observe(struct metrics *metrics, enum metrics_stage stage, double seconds);

/* One file done: status "converted", "no_image", "ignored" or "failed"; `code` is one of CODE_*, or NULL or
 * "", and any other text is counted as "other". */
void metrics_count_file(struct metrics *metrics, const char *status, const char *code);

/* One job of those that are not over. */
struct metrics_job {
    char id[32];
    uint64_t done; /* files with a result */
    double files;  /* NAN: not known yet */
    double left_s; /* seconds at the present pace; NAN: not known */
};

/* More would be a strain on Prometheus, which keeps each id it ever saw. */
#define METRICS_JOBS_MAX 1000

/* Show these jobs, at most METRICS_JOBS_MAX, each with its id for a label, in place of those shown so far. */
void metrics_show_jobs(struct metrics *metrics, const struct metrics_job *jobs, size_t count);

/* Append everything in the Prometheus text format, process_* of this process among it. */
void metrics_render(struct metrics *metrics, struct buffer *out);

#endif
