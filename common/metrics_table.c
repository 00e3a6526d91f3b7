/* Nothing else names a metric: dashboards and alerts hold on to these names, and a name that is built or
 * written twice cannot be searched for. */
#include "common/metrics_table.h"

#include "common/error.h"

#define CHILDREN METRICS_GAUGE, "Decoder processes, by what they do."
#define CHILD_EXITS METRICS_COUNTER, "Decoder processes that ended before their time, by reason."
#define SANDBOX METRICS_GAUGE, "1 where this part of the decoders' confinement is in force, else 0."
#define JOBS METRICS_GAUGE, "Jobs that are not over, by state."
#define JOBS_COMPLETED METRICS_COUNTER, "Jobs that ended, by how."
#define MAILS METRICS_COUNTER, "Completion e-mails, by what became of them."

const struct metrics_row metrics_table[METRIC_COUNT] = {
    [METRIC_TASKS_CONSUMED] = {"niffler_tasks_consumed_total", NULL, METRICS_COUNTER,
                               "Messages received from the topic of tasks."},
    [METRIC_FILES] = {"niffler_files_total", NULL, METRICS_COUNTER,
                      "DICOM files done, by status and class of failure."},
    [METRIC_FILE_DURATION] = {"niffler_file_duration_seconds", NULL, METRICS_HISTOGRAM,
                              "Time that a DICOM file took, by stage."},
    [METRIC_BYTES_READ] = {"niffler_bytes_read_total", NULL, METRICS_COUNTER,
                           "Bytes of the DICOM files taken."},
    [METRIC_BYTES_WRITTEN] = {"niffler_bytes_written_total", NULL, METRICS_COUNTER,
                              "Bytes of the PNGs published."},
    [METRIC_INFLIGHT] = {"niffler_inflight", NULL, METRICS_GAUGE, "Files being worked on."},
    [METRIC_DECODERS_BUSY] = {"niffler_children", "state=\"busy\"", CHILDREN},
    [METRIC_DECODERS_IDLE] = {"niffler_children", "state=\"idle\"", CHILDREN},
    [METRIC_DECODER_CRASHES] = {"niffler_child_exits_total", "reason=\"crash\"", CHILD_EXITS},
    [METRIC_DECODER_TIMEOUTS] = {"niffler_child_exits_total", "reason=\"limit_time\"", CHILD_EXITS},
    [METRIC_DECODER_NONSENSE] = {"niffler_child_exits_total", "reason=\"protocol\"", CHILD_EXITS},
    [METRIC_DECODER_MEMORY] = {"niffler_child_exits_total", "reason=\"limit_memory\"", CHILD_EXITS},
    [METRIC_DECODER_FORBIDDEN] = {"niffler_child_exits_total", "reason=\"forbidden_call\"", CHILD_EXITS},
    [METRIC_SANDBOX_PRIVILEGES] = {"niffler_sandbox_in_force", "part=\"privileges\"", SANDBOX},
    [METRIC_SANDBOX_DESCRIPTORS] = {"niffler_sandbox_in_force", "part=\"descriptors\"", SANDBOX},
    [METRIC_SANDBOX_LIMITS] = {"niffler_sandbox_in_force", "part=\"limits\"", SANDBOX},
    [METRIC_SANDBOX_OOM_SCORE] = {"niffler_sandbox_in_force", "part=\"oom_score\"", SANDBOX},
    [METRIC_SANDBOX_LANDLOCK] = {"niffler_sandbox_in_force", "part=\"landlock\"", SANDBOX},
    [METRIC_SANDBOX_LANDLOCK_TCP] = {"niffler_sandbox_in_force", "part=\"landlock_tcp\"", SANDBOX},
    [METRIC_SANDBOX_LANDLOCK_SCOPE] = {"niffler_sandbox_in_force", "part=\"landlock_scope\"", SANDBOX},
    [METRIC_SANDBOX_SECCOMP] = {"niffler_sandbox_in_force", "part=\"seccomp\"", SANDBOX},
    [METRIC_QUARANTINED] = {"niffler_quarantined_total", NULL, METRICS_COUNTER,
                            "Files recorded as failed because whoever worked on them died of them."},
    [METRIC_RETRIES] = {"niffler_retries_total", NULL, METRICS_COUNTER,
                        "Files tried again because their decoder crashed."},
    [METRIC_TASKS_SKIPPED] = {"niffler_tasks_skipped_total", NULL, METRICS_COUNTER,
                              "Tasks passed over because their job was closed or cancelled."},
    [METRIC_DEAD_LETTERS] = {"niffler_dlq_total", NULL, METRICS_COUNTER,
                             "Messages that could not be understood, sent to the topic for them."},
    [METRIC_PAUSED_PARTITIONS] = {"niffler_paused_partitions", NULL, METRICS_GAUGE,
                                  "Partitions assigned and held back until earlier messages are done."},
    [METRIC_ASSIGNED_PARTITIONS] = {"niffler_assigned_partitions", NULL, METRICS_GAUGE,
                                    "Partitions assigned to this process."},
    [METRIC_REBALANCES] = {"niffler_rebalances_total", NULL, METRICS_COUNTER,
                           "Times that partitions were assigned."},
    [METRIC_COMMIT_FAILURES] = {"niffler_commit_failures_total", NULL, METRICS_COUNTER,
                                "Commits of offsets that the broker refused or did not answer."},
    [METRIC_KAFKA_ERRORS] = {"niffler_kafka_errors_total", NULL, METRICS_COUNTER,
                             "Errors of the connection to Kafka."},
    [METRIC_CONSUMER_LAG] = {"niffler_consumer_lag", NULL, METRICS_GAUGE,
                             "Messages that wait in the partitions assigned to this process."},
    [METRIC_RECORDS] = {"niffler_records_total", NULL, METRICS_COUNTER,
                        "Records of files stored by the aggregator."},
    [METRIC_DUPLICATES] = {"niffler_results_duplicate_total", NULL, METRICS_COUNTER,
                           "Records that came again and were not counted twice."},
    [METRIC_JOBS_OPEN] = {"niffler_jobs", "state=\"open\"", JOBS},
    [METRIC_JOBS_SEALED] = {"niffler_jobs", "state=\"sealed\"", JOBS},
    [METRIC_JOBS_RUNNING] = {"niffler_jobs", "state=\"running\"", JOBS},
    [METRIC_JOBS_STALLED] = {"niffler_jobs", "state=\"stalled\"", JOBS},
    [METRIC_FILES_LEFT] = {"niffler_files_left", NULL, METRICS_GAUGE,
                           "Files without a result so far, of all jobs that are not over; of those whose "
                           "scan goes on, as far as is known."},
    [METRIC_JOBS_COMPLETED] = {"niffler_job_completed_total", "result=\"complete\"", JOBS_COMPLETED},
    [METRIC_JOBS_CANCELLED] = {"niffler_job_completed_total", "result=\"cancelled\"", JOBS_COMPLETED},
    [METRIC_REDIS_UP] = {"niffler_redis_up", NULL, METRICS_GAUGE,
                         "1 while Redis answers, 0 while it does not."},
    [METRIC_READY] = {"niffler_ready", NULL, METRICS_GAUGE, "1 while /readyz answers 200, else 0."},
    [METRIC_STORAGE_BREAKER] = {"niffler_storage_breaker_open", NULL, METRICS_GAUGE,
                                "1 while no work is taken because storage failed, else 0."},
    [METRIC_CRASH_BREAKER] =
        {"niffler_crash_breaker_open", NULL, METRICS_GAUGE,
         "1 while no work is taken because decoders crash on a picture of our own, else 0."},
    [METRIC_MAILS_SENT] = {"niffler_mail_total", "result=\"sent\"", MAILS},
    [METRIC_MAILS_FAILED] = {"niffler_mail_total", "result=\"failed\"", MAILS},
    [METRIC_LAST_PROGRESS] = {"niffler_last_progress_timestamp_seconds", NULL, METRICS_GAUGE,
                              "When the last file or record was done, in seconds since 1970."},
};

const struct metrics_row metrics_of_job_table[METRICS_OF_JOB_COUNT] = {
    [METRICS_JOB_FILES] = {"niffler_job_files", NULL, METRICS_GAUGE,
                           "Files of a job that is not over, once its scan is; see MetricsJobs."},
    [METRICS_JOB_DONE] = {"niffler_job_files_done", NULL, METRICS_GAUGE,
                          "Files with a result, of a job that is not over; see MetricsJobs."},
    [METRICS_JOB_LEFT] =
        {"niffler_job_left_seconds", NULL, METRICS_GAUGE,
         "Time until a job is done at its present pace, where that is known; see MetricsJobs."},
};

const struct metrics_row metrics_process_table[METRICS_PROCESS_COUNT] = {
    [METRICS_BUILD_INFO] = {"niffler_build_info", NULL, METRICS_GAUGE,
                            "Always 1; the label has the version."},
    [METRICS_PROCESS_CPU] = {"process_cpu_seconds_total", NULL, METRICS_COUNTER,
                             "CPU time of this process in seconds, without its decoders."},
    [METRICS_PROCESS_MEMORY] = {"process_resident_memory_bytes", NULL, METRICS_GAUGE,
                                "Resident memory of this process in bytes, without its decoders."},
    [METRICS_PROCESS_START] = {"process_start_time_seconds", NULL, METRICS_GAUGE,
                               "When this process started, in seconds since 1970."},
    [METRICS_PROCESS_DESCRIPTORS] = {"process_open_fds", NULL, METRICS_GAUGE,
                                     "Descriptors that this process has open."},
};

const char *const metrics_stages[] = {[METRICS_OPEN] = "open",
                                      [METRICS_DECODE] = "decode",
                                      [METRICS_PUBLISH] = "publish",
                                      [METRICS_STAGES] = NULL};

const char *const metrics_statuses[] = {"converted", "no_image", "ignored", "failed", NULL};

const char *const metrics_classes[] = {
    "none",
    CODE_INPUT_MISSING,
    CODE_INPUT_DENIED,
    CODE_INPUT_IO,
    CODE_INPUT_CHANGED,
    CODE_INPUT_SPECIAL,
    CODE_OUTSIDE_ROOT,
    CODE_NOT_DICOM,
    CODE_MISSING_ATTRIBUTE,
    CODE_NO_PIXELS,
    CODE_UNSUPPORTED_SYNTAX,
    CODE_UNSUPPORTED_PIXELS,
    CODE_MALFORMED,
    CODE_TOO_SHORT,
    CODE_CODEC,
    CODE_LIMIT_PIXELS,
    CODE_LIMIT_ATTRIBUTES,
    CODE_LIMIT_OUTPUT,
    CODE_LIMIT_MEMORY,
    CODE_LIMIT_TIME,
    CODE_CRASH_SIGNAL,
    CODE_FORBIDDEN_CALL,
    CODE_DECODER_PROTOCOL,
    CODE_TOO_MANY_TAGS,
    CODE_OUTPUT_IO,
    CODE_OUTPUT_FULL,
    "other",
    NULL,
};

/* From a file out of the page cache to one that DecoderSeconds ends. */
const double metrics_bounds[METRICS_BOUNDS] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                               2.5,   5,    10,    30,   60,  120,  300};
