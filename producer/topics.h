/* topics.h: the command `topics`, and what `produce --create-topics` shares with it. */
#ifndef NIFFLER_PRODUCER_TOPICS_H
#define NIFFLER_PRODUCER_TOPICS_H

#include "common/command.h"

/* Patience with a broker that is not there, of whoever makes topics or sends tasks. */
#define TOPICS_BROKER_MS 60000

extern const struct command_argument topics_arguments[]; /* --partitions, --replication */

/* Make the topics of the settings that are missing, as the arguments --partitions and --replication of `line`
 * say; with `is_wanted` false the arguments are looked at alone. Fails as kafka_create_topics(). */
MUST_CHECK bool topics_make(const struct settings *settings, const struct command_line *line, bool is_wanted,
                            struct error *err);

/* As struct command.run. */
MUST_CHECK bool topics_run(const struct settings *settings, const struct command_line *line, int *exit_status,
                           struct error *err);

#endif
