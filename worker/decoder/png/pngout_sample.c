#include "worker/decoder/png/pngout_sample.h"

#include <string.h>

#define GROUP_ROWS 4u

size_t pngout_sample_plan(struct pngout_sample *sample, const struct pngout_source *source, size_t least,
                          size_t share)
{
    size_t longest = (PNGOUT_SAMPLE_BYTES_MAX / GROUP_ROWS - 1) / source->step * source->step;
    size_t bytes = source->row_bytes < longest ? source->row_bytes : longest;
    size_t wanted = (bytes + 1) * source->height / share;
    if (wanted < least)
        wanted = least;
    if (wanted > PNGOUT_SAMPLE_BYTES_MAX)
        wanted = PNGOUT_SAMPLE_BYTES_MAX;
    size_t groups = wanted / ((bytes + 1) * GROUP_ROWS);
    if (groups < 1)
        groups = 1;
    *sample = (struct pngout_sample){
        .groups = groups, .group_rows = GROUP_ROWS, .row_bytes = bytes, .step = source->step};
    if (source->height < groups * GROUP_ROWS * 2) {
        size_t most = PNGOUT_SAMPLE_BYTES_MAX / (bytes + 1);
        sample->groups = 1;
        sample->group_rows = source->height < most ? source->height : most;
    }
    return sample->groups * (sample->group_rows + 1) * bytes;
}

void pngout_sample_take(struct pngout_sample *sample, const struct pngout_source *source, uint8_t *whole_row)
{
    size_t distance = source->height / sample->groups;
    uint8_t *out = sample->rows;
    for (size_t taken = 0; taken < sample->groups; taken++) {
        size_t even = (sample->groups + 1) / 2, group = taken < even ? 2 * taken : 2 * (taken - even) + 1;
        size_t first = group * distance + (distance - sample->group_rows) / 2;
        for (size_t i = 0; i <= sample->group_rows; i++, out += sample->row_bytes) {
            if (first + i == 0) { /* nothing stands above the image */
                memset(out, 0, sample->row_bytes);
                continue;
            }
            source->row(source->context, (uint32_t)(first + i - 1), whole_row);
            memcpy(out, whole_row, sample->row_bytes);
        }
    }
}

size_t pngout_sample_filter(const struct pngout_sample *sample, enum pngout_filter filter, uint8_t *out)
{
    const uint8_t *above = sample->rows;
    uint8_t *begin = out;
    for (size_t group = 0; group < sample->groups; group++, above += sample->row_bytes) {
        for (size_t i = 0; i < sample->group_rows; i++, above += sample->row_bytes) {
            *out++ = (uint8_t)filter;
            pngout_filter_row(filter, out, above + sample->row_bytes, above, sample->row_bytes, sample->step);
            out += sample->row_bytes;
        }
    }
    return (size_t)(out - begin);
}
