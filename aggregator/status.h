/* status.h: the command `status`, which shows what Redis has of jobs. It reads and never writes. What it
 * prints, as lines and as JSON: common/MESSAGES.md. */
#ifndef NIFFLER_AGGREGATOR_STATUS_H
#define NIFFLER_AGGREGATOR_STATUS_H

#include "common/command.h"

#define STATUS_JOB_CHARACTERS 26 /* of a job's id, in Crockford's base 32 */

extern const struct command_argument status_arguments[]; /* JOB, --watch, --json */

/* As struct command.run. *exit_status: 0 shown (with --watch: until the job was over); 1 Redis does not know
 * the job; 2 not a job's id, or RedisUrl is missing or wrong; 3 Redis does not answer. */
MUST_CHECK bool status_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                           struct error *err);

#endif
