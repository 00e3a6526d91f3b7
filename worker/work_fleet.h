/* work_fleet.h: the command `work`: work.h over Kafka, for any number of jobs at once. */
#ifndef NIFFLER_WORKER_WORK_FLEET_H
#define NIFFLER_WORKER_WORK_FLEET_H

#include "common/command.h"

/* As struct command.run. Serves until SIGTERM; then files that were begun are finished, within DrainSeconds.
 */
MUST_CHECK bool work_fleet_run(const struct settings *settings, const struct command_line *line,
                               int *exit_status, struct error *err);

#endif
