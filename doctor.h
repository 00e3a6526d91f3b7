/* doctor.h: `niffler-png doctor`: whether everything that the settings name can be used, and what to do where
 * it cannot. Nothing is changed: no topic made, no mail sent; storage gets one small file, which is removed.
 *
 *     ok    kafka_tasks: topic 'niffler-tasks' has 24 partitions: at most 24 workers work at a time
 *     skip  redis: RedisUrl is not set
 */
#ifndef NIFFLER_DOCTOR_H
#define NIFFLER_DOCTOR_H

#include "common/buffer.h"
#include "common/command.h"
#include "common/error.h"

/* --json: one array of {"check", "state", "detail"} in place of the lines. */
extern const struct command_argument doctor_arguments[];

/* *exit_status: EXIT_STATUS_DONE when nothing failed (warnings are no failures), EXIT_STATUS_WORLD_FAILED
 * when something did, EXIT_STATUS_USAGE when no setting names anything to check. Fails only with ERROR_BUG.
 */
MUST_CHECK bool doctor_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                           struct error *err);

/* ---- for doctor_*.c ---- */

enum doctor_state { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL, DOCTOR_SKIP };

struct doctor {
    const struct settings *settings;
    bool is_json;
    struct buffer json;
    unsigned checked; /* without those that were skipped */
    unsigned failed;
};

/* Say what came out of a check, at once: the next one may take long. `check` is a fixed word. */
void doctor_say(struct doctor *doctor, enum doctor_state state, const char *check, const char *format, ...)
    PRINTF_LIKE(4, 5);

void doctor_check_folders(struct doctor *doctor);
void doctor_check_kafka(struct doctor *doctor);
void doctor_check_redis(struct doctor *doctor);
void doctor_check_mail(struct doctor *doctor);
void doctor_check_sandbox(struct doctor *doctor); /* whether decoders can be confined here */

#endif
