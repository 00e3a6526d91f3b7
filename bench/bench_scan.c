/* bench_scan FOLDER: scan a tree and say how many files it has and how much memory that took. */
#include <stdio.h>

#include "bench/bench_memory.h"
#include "producer/scan.h"

static bool count_file(void *context, const struct scan_file *file, struct error *err)
{
    (void)file;
    (void)err;
    ++*(unsigned long long *)context;
    return true;
}

int main(int argc, char **argv)
{
    unsigned long long count = 0;
    struct error err;
    if (argc != 2) {
        (void)fprintf(stderr, "usage: bench_scan FOLDER\n");
        return 2;
    }
    struct scan_options options = {.root = argv[1], .depth = -1, .pattern = "*", .scratch = "/tmp"};
    if (!scan_tree(&options, count_file, &count, &err)) {
        (void)fprintf(stderr, "bench_scan: %s\n", err.text);
        return 1;
    }
    long kilobytes = bench_peak_memory_kb();
    printf("%llu files, peak memory %ld kB\n", count, kilobytes);
    return kilobytes < 0 ? 1 : 0;
}
