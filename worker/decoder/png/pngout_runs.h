/* pngout_runs.h: repetitions of the byte before, of three bytes and more. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_RUNS_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_RUNS_H

#include "worker/decoder/png/pngout_sequences.h"

/* Look through bytes `begin` to `end` (exclusive, at most BLOCK_BYTES), which are part of what starts at
 * `in`. `may_estimate`: pngout_sequences_end(). */
void pngout_runs_find(struct pngout_sequences *sequences, const uint8_t *in, size_t begin, size_t end,
                      bool may_estimate);

#endif
