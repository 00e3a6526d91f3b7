/* pngout_runs.h: bytes as literals and runs of one byte, which is all that pngout_deflate_runs looks for. */
#ifndef NIFFLER_WORKER_DECODER_PNGOUT_RUNS_H
#define NIFFLER_WORKER_DECODER_PNGOUT_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PNGOUT_RUNS_BLOCK_BYTES (256u << 10) /* of which one code is made: images change slowly */
#define PNGOUT_RUNS_SYMBOLS 286u             /* literals, 256 the end, lengths: RFC 1951 3.2.5 */
#define PNGOUT_RUNS_END 256u
#define PNGOUT_RUNS_LENGTH_MIN 3u
#define PNGOUT_RUNS_LENGTH_MAX 258u

/* Literals as they stand in the input, then `run` repetitions of the byte before: 0, or at least 3. */
struct pngout_sequence {
    uint32_t literals;
    uint32_t run;
};

/* For BLOCK_BYTES, whatever they are. */
#define PNGOUT_RUNS_SEQUENCES_MAX (PNGOUT_RUNS_BLOCK_BYTES / PNGOUT_RUNS_LENGTH_MIN + 2)

struct pngout_runs {
    uint32_t counts[PNGOUT_RUNS_SYMBOLS]; /* how often each symbol occurs; the end once */
    bool is_estimate;                     /* of the literals: none of them counts as 0 */
    uint64_t literals;
    uint64_t extra_bits; /* behind the lengths' symbols */
    uint32_t run_count;  /* symbols of lengths */
    size_t count;
    struct pngout_sequence sequences[PNGOUT_RUNS_SEQUENCES_MAX];
};

/* How a length from LENGTH_MIN to LENGTH_MAX is written. */
struct pngout_length {
    uint16_t symbol;
    uint8_t extra_bits;
    uint8_t extra;
};
struct pngout_length pngout_length(uint32_t length);

/* The length of the next piece of a run that may be longer than LENGTH_MAX. No rest is shorter than
 * LENGTH_MIN. */
static inline uint32_t pngout_run_piece(uint32_t run)
{
    if (run <= PNGOUT_RUNS_LENGTH_MAX)
        return run;
    return run - PNGOUT_RUNS_LENGTH_MAX < PNGOUT_RUNS_LENGTH_MIN
               ? PNGOUT_RUNS_LENGTH_MAX - PNGOUT_RUNS_LENGTH_MIN
               : PNGOUT_RUNS_LENGTH_MAX;
}

/* Look through bytes `begin` to `end` (exclusive, at most BLOCK_BYTES), which are part of what starts at
 * `in`. Where `may_estimate`, and enough of nearly all values are there, only half of the literals are
 * counted: that takes a fifth of a compressor's time, and the code comes out the same but for chance. */
void pngout_runs_find(struct pngout_runs *runs, const uint8_t *in, size_t begin, size_t end,
                      bool may_estimate);

/* What these sequences come to, in bytes, without the header of a block: the entropy of the symbols. */
double pngout_runs_size(const struct pngout_runs *runs);
#endif
