/* Prints what a process that has used every metric shows, or with "fresh" one that has used none. */
#include <stdio.h>
#include <string.h>

#include "common/metrics_table.h"

static void use_all(struct metrics *metrics)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (i == METRIC_FILES || i == METRIC_FILE_DURATION)
            continue;
        if (metrics_table[i].type == METRICS_COUNTER)
            metrics_add(metrics, (enum metric)i, 1);
        else
            metrics_set(metrics, (enum metric)i, 0.1);
    }
    for (int status = 0; status < METRICS_STATUSES; status++)
        for (int class = 0; class < METRICS_CLASSES; class ++)
            metrics_count_file(metrics, metrics_statuses[status], metrics_classes[class]);
    metrics_show_jobs(metrics, &(struct metrics_job){"01HZX3K5T7Q9V1B2C4D6E8F0GH", 7, 112, 31}, 1);
    for (int stage = 0; stage < METRICS_STAGES; stage++)
        metrics_observe(metrics, (enum metrics_stage)stage, 0.1);
}

int main(int argc, char **argv)
{
    struct buffer text = {0};
    struct metrics *metrics = metrics_new("1.2.3-\"quoted\"\\");
    if (argc < 2 || strcmp(argv[1], "fresh") != 0)
        use_all(metrics);
    metrics_render(metrics, &text);
    bool ok = fwrite(text.data, 1, text.length, stdout) == text.length && fflush(stdout) == 0;
    buffer_clear(&text);
    metrics_free(metrics);
    return ok ? 0 : 1;
}
