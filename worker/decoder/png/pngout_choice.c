#include "worker/decoder/png/pngout_choice.h"

#include <endian.h>
#include <math.h>
#include <string.h>

#include "worker/decoder/png/pngout_runs.h"

/* What was measured on CT, MR, CR, DX, NM, XA and US, and on drawings and masks. */
#define LEAST (20u << 10)
#define SHARE 24u
#define LEAST_COLOUR (8u << 10) /* its choice is clearest, and each trial a search */
#define SHARE_COLOUR 80u

/* How often, among pairs of pixels, one must have been there before, for a search for repetitions to save
 * more than a tenth. */
#define REPEATS_16_BIT 0.45
#define REPEATS_8_BIT 0.85
/* What a search must save to be worth its time, which is two to ten times that of runs. */
#define RUNS_GAIN 1.20
#define HOPE 1.10
#define RUNS_GAIN_DENSE 1.03 /* of what shrinks to a quarter */
/* libpng filters whatever it compresses: a search behind a filter of two neighbours comes to about what its
 * default makes. Where runs are smaller than that, a better search takes five times as long for more. */
#define AS_LIBPNG 0.97
#define COLOUR_GAIN 0.88
#define DENSE_GAIN 0.75
#define DOUBT 1.15
#define SMALL_IMAGE_BYTES (64u << 10)
#define HEADER_BYTES 90.0 /* of a block of literals and repetitions */
/* A drawing, a mask: the sample says little of what is far apart, and any search is quick. */
#define IS_REDUNDANT(size, length) ((size) < (double)(length) / 9)
/* So little is left that the better search is quick as well. */
#define IS_SPARSE(size, length) ((size) < (double)(length) / 16)

struct best {
    enum pngout_filter filter;
    double size;
};

void pngout_choice_sample(bool is_grey, size_t *least, size_t *share)
{
    *least = is_grey ? LEAST : LEAST_COLOUR;
    *share = is_grey ? SHARE : SHARE_COLOUR;
}

/* The mean of two values destroys repetitions, as which the words of scaled 16-bit images and colour are
 * compressed. In colour UP is hardly ever better than PAETH. */
static bool is_worth_trying(const struct pngout_chooser *c, enum pngout_filter filter)
{
    return (c->is_grey && !c->is_16_bit) ||
           (filter != PNGOUT_FILTER_AVERAGE && (c->is_grey || filter != PNGOUT_FILTER_UP));
}

static struct pngout_sample half_of(const struct pngout_sample *sample)
{
    struct pngout_sample half = *sample;
    half.groups = (half.groups + 1) / 2;
    return half;
}

static double size_as_runs(const struct pngout_chooser *c, const struct pngout_sample *sample,
                           enum pngout_filter filter, size_t *length)
{
    *length = pngout_sample_filter(sample, filter, c->scratch);
    pngout_runs_find(c->sequences, c->scratch, 0, *length, false);
    return pngout_sequences_size(c->sequences);
}

/* Which filter that is, half of the sample tells. */
static struct best best_for_runs(const struct pngout_chooser *c, size_t *length)
{
    struct pngout_sample half = half_of(c->sample);
    struct best best = {PNGOUT_FILTER_NONE, INFINITY};
    for (enum pngout_filter filter = PNGOUT_FILTER_NONE; filter < PNGOUT_FILTER_COUNT; filter++) {
        if (!is_worth_trying(c, filter))
            continue;
        double size = size_as_runs(c, &half, filter, length);
        if (size < best.size)
            best = (struct best){filter, size};
    }
    return best;
}

static double try_sample(const struct pngout_chooser *c, const struct pngout_sample *sample,
                         enum pngout_filter filter, enum pngout_method method)
{
    const struct pngout_layout layout = {sample->row_bytes + 1, sample->step};
    size_t length = pngout_sample_filter(sample, filter, c->scratch);
    if (method == PNGOUT_FAST) { /* what it finds tells its size */
        pngout_matches_begin(c->matches);
        pngout_matches_find(c->matches, c->sequences, &layout, c->scratch, 0, length);
        return pngout_sequences_size(c->sequences) + HEADER_BYTES;
    }
    return (double)c->trial(c->context, method, &layout, c->scratch, length);
}

static double try_filter(const struct pngout_chooser *c, enum pngout_filter filter, enum pngout_method method)
{
    return try_sample(c, c->sample, filter, method);
}

static struct best best_for_search(const struct pngout_chooser *c, enum pngout_method method)
{
    struct best best = {PNGOUT_FILTER_NONE, INFINITY};
    for (enum pngout_filter filter = PNGOUT_FILTER_NONE; filter < PNGOUT_FILTER_COUNT; filter++) {
        if (!is_worth_trying(c, filter))
            continue;
        double size = try_filter(c, filter, method);
        if (size < best.size)
            best = (struct best){filter, size};
    }
    return best;
}

/* The share of pixels that, with the bytes behind them up to four, were met before; those that only go on as
 * before, which runs have as well, are left out. */
static double repeats(const uint8_t *in, size_t length, size_t row_bytes, size_t pixel_bytes)
{
    uint32_t last_of[4096] = {0}; /* by a hash of them */
    size_t met = 0, count = 0;
    for (size_t row = 0; row < length; row += row_bytes) {
        uint32_t before = 0, word;
        for (size_t i = row + 1; i + sizeof word <= row + row_bytes; i += pixel_bytes, before = word) {
            memcpy(&word, in + i, sizeof word);
            word = le32toh(word); /* the same choice everywhere */
            if (word == before)
                continue;
            uint32_t *last = &last_of[word * 2654435761u >> 20];
            met += *last == word;
            *last = word;
            count++;
        }
    }
    return count == 0 ? 0 : (double)met / (double)count;
}

static bool may_repeat(const struct pngout_chooser *c)
{
    static const enum pngout_filter filters[] = {PNGOUT_FILTER_NONE, PNGOUT_FILTER_SUB};
    struct pngout_sample half = half_of(c->sample);
    for (size_t i = 0; i < 2; i++) {
        size_t length = pngout_sample_filter(&half, filters[i], c->scratch);
        if (repeats(c->scratch, length, c->sample->row_bytes + 1, c->is_16_bit ? 2 : 1) >=
            (c->is_16_bit ? REPEATS_16_BIT : REPEATS_8_BIT))
            return true;
    }
    return false;
}

/* What no filter, or that of one neighbour, leaves of repetitions; UP only where those come near to runs. */
static struct best quick_search(const struct pngout_chooser *c, const struct pngout_sample *sample,
                                double runs)
{
    struct best best = {PNGOUT_FILTER_NONE, try_sample(c, sample, PNGOUT_FILTER_NONE, PNGOUT_FAST)};
    for (enum pngout_filter filter = PNGOUT_FILTER_SUB; filter <= PNGOUT_FILTER_UP; filter++) {
        if (filter == PNGOUT_FILTER_UP && best.size > runs)
            break;
        double size = try_sample(c, sample, filter, PNGOUT_FAST);
        if (size < best.size)
            best = (struct best){filter, size};
    }
    return best;
}

/* Of an image that shrinks little: whether half of the sample says that a search is not worth its time. */
static bool is_hopeless(const struct pngout_chooser *c, double runs)
{
    struct pngout_sample half = half_of(c->sample);
    return runs <= try_sample(c, &half, PNGOUT_FILTER_PAETH, PNGOUT_FAST) * AS_LIBPNG ||
           runs <= quick_search(c, &half, runs).size * HOPE;
}

static size_t choose_grey(const struct pngout_chooser *c, struct pngout_choice *choices)
{
    size_t length;
    struct best runs = best_for_runs(c, &length);
    choices[0] = (struct pngout_choice){runs.filter, PNGOUT_RUNS};
    if (!may_repeat(c))
        return 1;
    if (runs.size > (double)length / 4 && is_hopeless(c, runs.size))
        return 1;
    runs.size = size_as_runs(c, c->sample, runs.filter, &length);
    bool is_sparse = IS_SPARSE(runs.size, length), is_dense = runs.size < (double)length / 4;
    enum pngout_method method = is_sparse ? PNGOUT_DENSE : PNGOUT_FAST;
    struct best search = is_dense ? best_for_search(c, method) : quick_search(c, c->sample, runs.size);
    choices[1] = (struct pngout_choice){search.filter, method};
    bool is_close = search.size < runs.size * DOUBT && runs.size < search.size * DOUBT;
    if (is_sparse || (is_close && c->image_bytes <= SMALL_IMAGE_BYTES))
        return 2;
    if (is_dense ? runs.size > search.size * RUNS_GAIN_DENSE
                 : runs.size > search.size * RUNS_GAIN &&
                       runs.size > try_filter(c, PNGOUT_FILTER_PAETH, PNGOUT_FAST) * AS_LIBPNG)
        choices[0] = choices[1];
    return 1;
}

static size_t choose_colour(const struct pngout_chooser *c, struct pngout_choice *choices)
{
    size_t length;
    struct best fast = best_for_search(c, PNGOUT_FAST);
    double runs = size_as_runs(c, c->sample, fast.filter, &length);
    double dense = fast.size;
    if (fast.size < (double)length / 6) /* what shrinks less has nothing for the better search */
        dense = try_filter(c, fast.filter, PNGOUT_DENSE);
    double least = dense < fast.size ? dense : fast.size;
    bool is_redundant = IS_REDUNDANT(least, length);
    bool is_dense = is_redundant || dense < fast.size * DENSE_GAIN;
    choices[0] = (struct pngout_choice){fast.filter, is_dense ? PNGOUT_DENSE : PNGOUT_FAST};
    /* Repetitions reach further than a sample shows. */
    if (!is_redundant && runs < least * COLOUR_GAIN)
        choices[0].method = PNGOUT_RUNS;
    return 1;
}

size_t pngout_choose(const struct pngout_chooser *chooser, struct pngout_choice *choices)
{
    return chooser->is_grey ? choose_grey(chooser, choices) : choose_colour(chooser, choices);
}

void pngout_choose_smallest(const struct pngout_chooser *chooser, enum pngout_filter *of_runs,
                            enum pngout_filter *of_densest)
{
    size_t length;
    *of_runs = best_for_runs(chooser, &length).filter;
    *of_densest = best_for_search(chooser, PNGOUT_DENSEST).filter;
}
