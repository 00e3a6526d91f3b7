/* control.h: the commands `cancel` and `requeue`: a word about a job to the aggregator. */
#ifndef NIFFLER_PRODUCER_CONTROL_H
#define NIFFLER_PRODUCER_CONTROL_H

#include "common/command.h"

extern const struct command_argument cancel_arguments[];
extern const struct command_argument requeue_arguments[];

/* As struct command.run. 0 means that the word is with Kafka; what comes of it, `status` shows. */
MUST_CHECK bool cancel_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                           struct error *err);
MUST_CHECK bool requeue_run(const struct settings *settings, const struct command_line *line,
                            int *exit_status, struct error *err);

#endif
