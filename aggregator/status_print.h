/* status_print.h: what `status` prints of a job, from the texts that Redis gave. Those are a stranger's: what
 * should be a number is one or is left out, other texts are cut and their control characters escaped. */
#ifndef NIFFLER_AGGREGATOR_STATUS_PRINT_H
#define NIFFLER_AGGREGATOR_STATUS_PRINT_H

#include <stdint.h>

#include "common/buffer.h"

/* The fields of a job's hash that are shown, in the order of the table in status_print.c. */
#define STATUS_FIELDS_MAX 48
extern const size_t status_field_count;
const char *status_field_name(size_t i);

struct status_job {
    const char *job;
    const char *values[STATUS_FIELDS_MAX]; /* as the fields; borrowed; NULL: not there */
};

struct status_workers {
    uint64_t seen;     /* in the last minute */
    uint64_t assigned; /* sums over them */
    uint64_t inflight;
    uint64_t files;
};

const char *status_value(const struct status_job *job, const char *field); /* NULL: not there */

/* Whether nothing will change any more. */
bool status_is_over(const struct status_job *job);

/* Append the text with control characters and what is no UTF-8 as \xXX, cut at 200 bytes. */
void status_append_text(struct buffer *out, const char *text);

/* Append, each with its line's end: one line (of a list, or of --watch), the whole block, one JSON object. */
void status_print_line(struct buffer *out, const struct status_job *job);
void status_print_block(struct buffer *out, const struct status_job *job,
                        const struct status_workers *workers, int64_t now_s);

/* A JSON object without a line's end; `workers` may be NULL. */
void status_print_json(struct buffer *out, const struct status_job *job,
                       const struct status_workers *workers);

#endif
