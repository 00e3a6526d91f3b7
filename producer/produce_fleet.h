/* produce_fleet.h: the command `produce`: a data set to tasks on Kafka.
 *
 *     scan ─► journal ─► job's file ─► mark "open" ─► notice "open" ─► tasks … ─► notice "sealed"
 *
 * All but the notices and tasks lies in the output folder's .niffler-png, so that what was begun can be
 * finished by
 * --resume: the journal says what is to be sent, a count how much of it Kafka has answered for. What is sent
 * twice is told apart by its number. */
#ifndef NIFFLER_PRODUCER_PRODUCE_FLEET_H
#define NIFFLER_PRODUCER_PRODUCE_FLEET_H

#include "common/command.h"

extern const struct command_argument produce_arguments[];

/* As struct command.run. Prints the job's id on the standard output once the job is open. */
MUST_CHECK bool produce_run(const struct settings *settings, const struct command_line *line,
                            int *exit_status, struct error *err);

#endif
