/* A line is written over the old one and its rest cleared, in one fwrite(): clearing first would flicker. */
#include "common/meter.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define TERMINAL_MS 100
#define LINE_MS 60000
#define SAMPLE_MS 1000
#define BAR_MIN 10
#define BAR_MAX 50
#define DEFAULT_COLUMNS 80
#define LEFT_MAX_S (100.0 * 86400) /* more is no forecast */

int64_t meter_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void take_sample(struct meter *meter, int64_t now_ms, uint64_t done)
{
    meter->samples[meter->sample_count % METER_SAMPLES] =
        (struct meter_sample){.time_ms = now_ms, .done = done};
    meter->sample_count++;
}

void meter_init(struct meter *meter, FILE *stream, uint64_t total, uint64_t resumed)
{
    int64_t now_ms = meter_now_ms();
    *meter = (struct meter){.stream = stream,
                            .is_terminal = isatty(fileno(stream)) == 1,
                            .total = total,
                            .resumed = resumed,
                            .started_ms = now_ms,
                            .shown_ms = now_ms};
    take_sample(meter, now_ms, resumed);
}

/* Files per second since the oldest sample. */
static double rate_of(const struct meter *meter, int64_t now_ms, uint64_t done)
{
    size_t oldest = meter->sample_count > METER_SAMPLES ? meter->sample_count % METER_SAMPLES : 0;
    const struct meter_sample *sample = &meter->samples[oldest];
    if (now_ms <= sample->time_ms || done <= sample->done)
        return 0;
    return (double)(done - sample->done) * 1000.0 / (double)(now_ms - sample->time_ms);
}

static void append_left(char *words, size_t size, double rate, uint64_t files_left)
{
    size_t length = strlen(words);
    double seconds = rate > 0 ? ceil((double)files_left / rate) : INFINITY;
    if (files_left == 0)
        seconds = 0;
    if (seconds > LEFT_MAX_S) {
        (void)snprintf(words + length, size - length, "  -:--:-- left");
        return;
    }
    uint64_t whole = (uint64_t)seconds;
    (void)snprintf(words + length, size - length, "  %" PRIu64 ":%02u:%02u left", whole / 3600,
                   (unsigned)(whole / 60 % 60), (unsigned)(whole % 60));
}

static void write_words(const struct meter *meter, int64_t now_ms, uint64_t done, uint64_t failed,
                        char *words, size_t size)
{
    double rate = rate_of(meter, now_ms, done);
    if (meter->total > 0)
        (void)snprintf(words, size, "%" PRIu64 "/%" PRIu64 " files  %" PRIu64 " failed", done, meter->total,
                       failed);
    else
        (void)snprintf(words, size, "%" PRIu64 " files  %" PRIu64 " failed", done, failed);
    size_t length = strlen(words);
    bool is_slow = rate > 0 && rate < 9.95; /* "0/s" would look like a halt */
    (void)snprintf(words + length, size - length, "  %.*f/s", is_slow ? 1 : 0, rate);
    if (meter->total > 0)
        append_left(words, size, rate, done < meter->total ? meter->total - done : 0);
}

void meter_line(const struct meter *meter, int64_t now_ms, uint64_t done, uint64_t failed, unsigned columns,
                char line[METER_LINE_MAX])
{
    char words[256];
    char bar[BAR_MAX + 1];
    write_words(meter, now_ms, done, failed, words, sizeof words);
    size_t room = columns > 0 ? columns - 1 : METER_LINE_MAX - 1;
    size_t frame = strlen(words) + strlen("[]  ");
    if (columns == 0 || meter->total == 0 || room < frame + BAR_MIN) {
        if (room > METER_LINE_MAX - 1)
            room = METER_LINE_MAX - 1;
        (void)snprintf(line, room + 1, "%s", words);
        return;
    }
    size_t length = room - frame < BAR_MAX ? room - frame : BAR_MAX;
    double share = done < meter->total ? (double)done / (double)meter->total : 1;
    memset(bar, '.', length);
    memset(bar, '#', (size_t)(share * (double)length));
    bar[length] = '\0';
    (void)snprintf(line, METER_LINE_MAX, "[%s]  %s", bar, words);
}

static unsigned terminal_columns(FILE *stream)
{
    struct winsize size;
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return DEFAULT_COLUMNS;
}

static void show(struct meter *meter, int64_t now_ms, uint64_t done, uint64_t failed, bool is_last)
{
    char line[METER_LINE_MAX];
    char shown[METER_LINE_MAX + 16];
    meter_line(meter, now_ms, done, failed, meter->is_terminal ? terminal_columns(meter->stream) : 0, line);
    int length = meter->is_terminal ? snprintf(shown, sizeof shown, "\r%s\033[K%s", line, is_last ? "\n" : "")
                                    : snprintf(shown, sizeof shown, "%s\n", line);
    (void)fwrite(shown, 1, (size_t)length, meter->stream);
    (void)fflush(meter->stream);
    meter->shown_ms = now_ms;
    meter->drawn = meter->is_terminal && !is_last;
}

void meter_update(struct meter *meter, uint64_t done, uint64_t failed)
{
    int64_t now_ms = meter_now_ms();
    if (now_ms - meter->samples[(meter->sample_count - 1) % METER_SAMPLES].time_ms >= SAMPLE_MS)
        take_sample(meter, now_ms, done);
    bool is_first = meter->is_terminal && !meter->drawn;
    if (is_first || now_ms - meter->shown_ms >= (meter->is_terminal ? TERMINAL_MS : LINE_MS))
        show(meter, now_ms, done, failed, false);
}

void meter_finish(struct meter *meter, uint64_t done, uint64_t failed)
{
    show(meter, meter_now_ms(), done, failed, true);
}
