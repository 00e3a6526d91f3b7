/* pngout_choice.h: which filter and which compressor suit an image, found out on a sample of its rows. */
#ifndef NIFFLER_WORKER_DECODER_PNG_PNGOUT_CHOICE_H
#define NIFFLER_WORKER_DECODER_PNG_PNGOUT_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/decoder/png/pngout_matches.h"
#include "worker/decoder/png/pngout_sample.h"

/* Compressors, from the fastest to the best search for repetitions (pngout_deflate.h). */
enum pngout_method {
    PNGOUT_RUNS,
    PNGOUT_FINE_RUNS,
    PNGOUT_FAST,
    PNGOUT_DENSE,
    PNGOUT_DENSEST,
    PNGOUT_METHOD_COUNT
};

struct pngout_choice {
    enum pngout_filter filter;
    enum pngout_method method;
};

/* Compresses `length` bytes, at most PNGOUT_SAMPLE_BYTES_MAX, and says how many come out. Not asked about
 * PNGOUT_FAST, whose size its repetitions tell. */
typedef size_t pngout_trial_fn(void *context, enum pngout_method method, const struct pngout_layout *layout,
                               const uint8_t *in, size_t length);

/* What it takes to choose. */
struct pngout_chooser {
    const struct pngout_sample *sample;
    bool is_16_bit, is_grey; /* of the image                      */
    size_t image_bytes;
    uint8_t *scratch;                   /* PNGOUT_SAMPLE_BYTES_MAX            */
    struct pngout_sequences *sequences; /* overwritten                       */
    struct pngout_matches *matches;     /* overwritten                       */
    pngout_trial_fn *trial;             /* called with `context`             */
    void *context;
};

/* For pngout_sample_plan(). */
void pngout_choice_sample(bool is_grey, size_t *least, size_t *share);

/* Fast, and no larger than need be. Where the sample leaves that open, two, of which to keep the smaller.
 * Returns how many. */
#define PNGOUT_CHOICES_MAX 2
size_t pngout_choose(const struct pngout_chooser *chooser, struct pngout_choice *choices);

/* The best filters for runs and for the densest method. */
void pngout_choose_smallest(const struct pngout_chooser *chooser, enum pngout_filter *of_runs,
                            enum pngout_filter *of_densest);
#endif
