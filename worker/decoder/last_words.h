/* last_words.h: what a decoder still says when it dies: whether it was of memory. */
#ifndef NIFFLER_WORKER_DECODER_LAST_WORDS_H
#define NIFFLER_WORKER_DECODER_LAST_WORDS_H

#include <stdbool.h>

/* From now on a crash behind an allocation that failed, in whatever library, ends the process with
 * WIRE_EXIT_MEMORY; any other one by its signal, as before. */
void last_words_prepare(void);

/* A request begins: what failed before has nothing to do with it. */
void last_words_forget(void);

/* Whether an allocation has failed since then. Of use where an error has just been returned: success may
 * leave it behind too. */
bool last_words_is_memory(void);

#endif
