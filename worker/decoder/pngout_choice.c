#include "worker/decoder/pngout_choice.h"

#include <math.h>
#include <string.h>

#define GROUP_ROWS 4
#define SAMPLE_BYTES_MIN (12u << 10)
#define COLOUR_DOUBT 0.85
#define SAMPLE_SHARE 40 /* of a large image, one row in so many */

/* A row longer than the scratch is judged by its beginning. */
static size_t sampled_row_bytes(const struct pngout_rows *rows)
{
    size_t most = PNGOUT_SAMPLE_BYTES / GROUP_ROWS - 1;
    return rows->row_bytes < most ? rows->row_bytes : most;
}

/* Filter the sample into `scratch`. Returns its length. */
static size_t take_sample(const struct pngout_rows *rows, enum pngout_filter filter, uint8_t *scratch,
                          const uint8_t *zeros)
{
    size_t bytes = sampled_row_bytes(rows);
    size_t wanted = (bytes + 1) * rows->height / SAMPLE_SHARE;
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
                              row == 0 ? zeros : pngout_row(rows, row - 1) + 1, bytes, rows->step);
            length += bytes + 1;
        }
    }
    return length;
}

/* What PNGOUT_RUNS would make of a sample: the entropy of its bytes, runs of them counted as a byte and a
 * length. */
static double runs_size(const uint8_t *bytes, size_t length)
{
    uint32_t counts[256 + 9] = {0};
    double extra_bits = 0;
    size_t symbols = 0;
    for (size_t i = 0; i < length;) {
        size_t run = 1;
        while (i + run < length && run < 259 && bytes[i + run] == bytes[i])
            run++;
        counts[bytes[i]]++;
        symbols++;
        if (run >= 4) {
            int log2_run = 31 - __builtin_clz((unsigned)run);
            counts[256 + log2_run]++;
            symbols++;
            extra_bits += log2_run; /* which length of that magnitude, and the distance code */
            i += run;
        } else {
            i++;
        }
    }
    double bits = extra_bits;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        if (counts[i] > 0)
            bits -= counts[i] * log2((double)counts[i] / (double)symbols);
    }
    return bits / 8;
}

/* Scaling makes 16-bit words of few distinct values, which a compressor of repetitions finds best in what was
 * not filtered (CT, MR), or filtered by one neighbour; the mean of two destroys them. */
static bool is_worth_trying(enum pngout_filter filter, bool is_16_bit)
{
    return !is_16_bit || filter != PNGOUT_FILTER_AVERAGE;
}

struct pngout_choice pngout_choose(const struct pngout_rows *rows, bool is_16_bit, bool is_grey,
                                   uint8_t *scratch, const uint8_t *zeros, pngout_trial_fn *trial,
                                   void *context)
{
    struct pngout_choice choice = {PNGOUT_FILTER_NONE, PNGOUT_FAST};
    enum pngout_filter runs_filter = PNGOUT_FILTER_NONE;
    size_t length = 0, least = SIZE_MAX;
    double least_runs = INFINITY;
    for (enum pngout_filter filter = PNGOUT_FILTER_NONE; filter < PNGOUT_FILTER_COUNT; filter++) {
        if (!is_worth_trying(filter, is_16_bit))
            continue;
        length = take_sample(rows, filter, scratch, zeros);
        size_t size = trial(context, scratch, length);
        if (size < least) {
            least = size;
            choice.filter = filter;
        }
        double size_as_runs = !is_16_bit ? runs_size(scratch, length) : INFINITY;
        if (size_as_runs < least_runs) {
            least_runs = size_as_runs;
            runs_filter = filter;
        }
    }
    /* What shrinks below a third repeats itself: there the better search pays, and has little to write. */
    if (!is_grey || least < length / 3)
        choice.method = PNGOUT_DENSE;
    /* In colour the repetitions reach further than a sample shows. */
    if (least_runs < (double)least * (is_grey ? 1 : COLOUR_DOUBT))
        choice = (struct pngout_choice){runs_filter, PNGOUT_RUNS};
    return choice;
}
