/* aggregate_fleet.h: the command `aggregate`: aggregate.h over Kafka, for all jobs or for one. */
#ifndef NIFFLER_AGGREGATOR_AGGREGATE_FLEET_H
#define NIFFLER_AGGREGATOR_AGGREGATE_FLEET_H

#include "common/command.h"

extern const struct command_argument aggregate_arguments[]; /* --job, --rebuild */

/* As struct command.run. Serves until SIGTERM (0), or until the job of --job is complete: then its own exit
 * status. A second aggregator with the same StateDirectory waits for the first one's end. */
MUST_CHECK bool aggregate_run(const struct settings *settings, const struct command_line *line,
                              int *exit_status, struct error *err);

#endif
