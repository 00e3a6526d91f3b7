/* pngout_runs.h: repetitions of the byte before. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_RUNS_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_RUNS_H

#include "worker/decoder/png/pngout_sequences.h"

/* So many at least. A shorter run costs about as much as its bytes, which are frequent where there are runs,
 * and more time. */
#define PNGOUT_RUN_MIN 8u

/* Look through bytes `begin` to `end` (exclusive, at most BLOCK_BYTES), which are part of what starts at
 * `in`. `may_estimate`: pngout_sequences_end(). */
void pngout_runs_find(struct pngout_sequences *sequences, const uint8_t *in, size_t begin, size_t end,
                      bool may_estimate);

#endif
