/* signals.h: signals that ask us to stop, as readable bytes. */
#ifndef NIFFLER_COMMON_SIGNALS_H
#define NIFFLER_COMMON_SIGNALS_H

#include "common/error.h"

/* Block SIGINT, SIGTERM and SIGHUP and give a signalfd for them (non-blocking, close-on-exec; the caller
 * closes); ignore SIGPIPE and SIGXFSZ: a limit on file sizes is to be an error of the write, not a death.
 * Before any thread exists, which inherit the mask. Fails with ERROR_FATAL. */
MUST_CHECK bool signals_open(int *descriptor, struct error *err);

/* Whether one has come: takes it. */
bool signals_take(int descriptor);

#endif
