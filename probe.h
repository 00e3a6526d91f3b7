/* probe.h: the command `health`, for those who watch a process by running a command beside it: HEALTHCHECK of
 * a container, exec probes of Kubernetes. An image needs no shell and no curl for it. */
#ifndef NIFFLER_PROBE_H
#define NIFFLER_PROBE_H

#include "common/command.h"

extern const struct command_argument health_arguments[]; /* --live */

/* As struct command.run. Prints what the process answers. *exit_status: 0 ready (with --live: alive), 1 not;
 * 2 MetricsListen is missing or wrong; 3 nobody answers there. */
MUST_CHECK bool health_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                           struct error *err);

#endif
