/* find_decoder.h: where niffler-png-decoder is. */
#ifndef NIFFLER_WORKER_FIND_DECODER_H
#define NIFFLER_WORKER_FIND_DECODER_H

#include "common/settings.h"

/* DecoderProgram where it is set; else beside this program, where both were built; in ../libexec; or where it
 * was installed. Returns new; NULL and ERROR_FATAL. */
char *find_decoder(const struct settings *settings, struct error *err);

#endif
