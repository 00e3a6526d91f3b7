#include "worker/decoder/pngout_choice.h"

#include <math.h>
#include <string.h>

#define GROUP_ROWS 4
#define SAMPLE_BYTES_MIN (12u << 10)
#define COLOUR_DOUBT 0.85
#define DENSE_GAIN 0.95
/* Of a large image, one row in so many. Colour of 8 bits is compressed fastest, and its choice is clearest.
 */
#define SAMPLE_SHARE 40
#define SAMPLE_SHARE_COLOUR 80

/* What pngout_choose() was asked. */
struct choosing {
    const struct pngout_rows *rows;
    bool is_16_bit, is_grey;
    uint8_t *scratch;
    const uint8_t *zeros;
    pngout_trial_fn *trial;
    void *context;
};

/* A row longer than the scratch is judged by its beginning. */
static size_t sampled_row_bytes(const struct pngout_rows *rows)
{
    size_t most = PNGOUT_SAMPLE_BYTES / GROUP_ROWS - 1;
    return rows->row_bytes < most ? rows->row_bytes : most;
}

/* Filter the sample into `scratch`. Returns its length. */
static size_t take_sample(const struct choosing *c, enum pngout_filter filter)
{
    const struct pngout_rows *rows = c->rows;
    uint8_t *scratch = c->scratch;
    size_t bytes = sampled_row_bytes(rows);
    size_t wanted =
        (bytes + 1) * rows->height / (c->is_grey || c->is_16_bit ? SAMPLE_SHARE : SAMPLE_SHARE_COLOUR);
    if (wanted < SAMPLE_BYTES_MIN)
        wanted = SAMPLE_BYTES_MIN;
    if (wanted > PNGOUT_SAMPLE_BYTES)
        wanted = PNGOUT_SAMPLE_BYTES;
    size_t groups = wanted / ((bytes + 1) * GROUP_ROWS);
    if (groups < 1)
        groups = 1;
    size_t distance = rows->height / groups;
    if (distance < GROUP_ROWS) { /* a small image is its own sample */
        distance = GROUP_ROWS;
        groups = (rows->height + GROUP_ROWS - 1) / GROUP_ROWS;
    }
    size_t length = 0;
    for (size_t group = 0; group < groups; group++) {
        size_t first = group * distance + (distance - GROUP_ROWS) / 2;
        for (size_t row = first; row < first + GROUP_ROWS && row < rows->height; row++) {
            if (length + bytes + 1 > PNGOUT_SAMPLE_BYTES)
                return length;
            scratch[length] = (uint8_t)filter;
            pngout_filter_row(filter, scratch + length + 1, pngout_row(rows, row) + 1,
                              row == 0 ? c->zeros : pngout_row(rows, row - 1) + 1, bytes, rows->step);
            length += bytes + 1;
        }
    }
    return length;
}

/* Scaling makes 16-bit words of few distinct values, which a compressor of repetitions finds best in what was
 * not filtered (CT, MR), or filtered by one neighbour; the mean of two destroys them. */
static bool is_worth_trying(enum pngout_filter filter, bool is_16_bit)
{
    return !is_16_bit || filter != PNGOUT_FILTER_AVERAGE;
}

/* Whether the better search for repetitions pays: it takes three times as long. In grey it does for what
 * shrinks below a third, which repeats itself. Colour of 16 bits was mostly 8 before it was scaled, and a
 * faster search misses half of the repetitions; in that of 8 bits a trial tells. */
static bool is_dense_worth_it(const struct choosing *c, size_t sample_bytes, size_t least,
                              enum pngout_filter filter)
{
    if (c->is_grey)
        return least < sample_bytes / 3;
    if (c->is_16_bit)
        return true;
    size_t length = take_sample(c, filter);
    return (double)c->trial(c->context, PNGOUT_DENSE, c->scratch, length) < (double)least * DENSE_GAIN;
}

struct pngout_choice pngout_choose(const struct pngout_rows *rows, bool is_16_bit, bool is_grey,
                                   uint8_t *scratch, struct pngout_runs *runs, const uint8_t *zeros,
                                   pngout_trial_fn *trial, void *context)
{
    const struct choosing c = {rows, is_16_bit, is_grey, scratch, zeros, trial, context};
    struct pngout_choice choice = {PNGOUT_FILTER_NONE, PNGOUT_FAST};
    enum pngout_filter runs_filter = PNGOUT_FILTER_NONE;
    size_t length = 0, least = SIZE_MAX;
    double least_runs = INFINITY;
    for (enum pngout_filter filter = PNGOUT_FILTER_NONE; filter < PNGOUT_FILTER_COUNT; filter++) {
        if (!is_worth_trying(filter, is_16_bit))
            continue;
        length = take_sample(&c, filter);
        size_t size = trial(context, PNGOUT_FAST, scratch, length);
        if (size < least) {
            least = size;
            choice.filter = filter;
        }
        pngout_runs_find(runs, scratch, 0, length);
        double size_as_runs = pngout_runs_size(runs);
        if (size_as_runs < least_runs) {
            least_runs = size_as_runs;
            runs_filter = filter;
        }
    }
    if (is_dense_worth_it(&c, length, least, choice.filter))
        choice.method = PNGOUT_DENSE;
    /* In colour the repetitions reach further than a sample shows. */
    if (least_runs < (double)least * (is_grey ? 1 : COLOUR_DOUBT))
        choice = (struct pngout_choice){runs_filter, PNGOUT_RUNS};
    return choice;
}
