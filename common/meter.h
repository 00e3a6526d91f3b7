/* meter.h: how far a job is, for people.
 *
 * On a terminal a bar, redrawn at most 10 times a second:
 *     [#########......]  612/1000 files  3 failed  812/s  0:00:01 left
 * elsewhere one line a minute of the same words, without the bar. The rate is that of the last seconds, and
 * the time left follows from it. A view: nothing depends on it, and failures to write are passed over. Any
 * one thread. */
#ifndef NIFFLER_COMMON_METER_H
#define NIFFLER_COMMON_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define METER_SAMPLES 16   /* one about every second */
#define METER_LINE_MAX 512 /* bytes of a line, its NUL among them */

struct meter_sample {
    int64_t time_ms;
    uint64_t done;
};

struct meter {
    FILE *stream; /* borrowed */
    bool is_terminal;
    uint64_t total;                             /* 0: not known yet */
    uint64_t resumed;                           /* done before this run began: not counted in the rate */
    int64_t started_ms;                         /* of meter_now_ms() */
    int64_t shown_ms;                           /* when a line was last shown; started_ms at first */
    bool drawn;                                 /* a bar stands on the terminal's line */
    struct meter_sample samples[METER_SAMPLES]; /* a ring */
    size_t sample_count;                        /* taken so far */
};

/* Begin, with `resumed` of `total` files done already. Shows nothing yet. */
void meter_init(struct meter *meter, FILE *stream, uint64_t total, uint64_t resumed);

/* Show that `done` files are done (resumed ones counted), `failed` of them failed, if it is time to. Cheap:
 * call it for every file, and every second where none comes. */
void meter_update(struct meter *meter, uint64_t done, uint64_t failed);

/* Show the last state and end the line. */
void meter_finish(struct meter *meter, uint64_t done, uint64_t failed);

/* Write into `line` what there is to show at `now_ms`, at most `columns` - 1 characters wide, NUL-terminated.
 * The bar takes what room the words leave, and goes without it; 0 columns: words only, whole. */
void meter_line(const struct meter *meter, int64_t now_ms, uint64_t done, uint64_t failed, unsigned columns,
                char line[METER_LINE_MAX]);

/* Milliseconds of a clock that never jumps. */
int64_t meter_now_ms(void);

#endif
