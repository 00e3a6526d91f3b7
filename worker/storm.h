/* storm.h: how many of the last files crashed their decoders. Pure; zeroed: none yet. */
#ifndef NIFFLER_WORKER_STORM_H
#define NIFFLER_WORKER_STORM_H

#include <stdbool.h>

/* Of so many files are crashes counted; where more than half of them crash, whether it is their fault is to
 * be found out. */
#define STORM_FILES 100u

struct storm {
    bool has_crashed[STORM_FILES]; /* a ring */
    unsigned next, crashes;
};

/* A file is done with, or has crashed for the first time; each is counted once. */
void storm_add(struct storm *storm, bool has_crashed);

/* Whether more than half of the last STORM_FILES files crashed: that may be before so many were there. */
bool storm_is_on(const struct storm *storm);

#endif
