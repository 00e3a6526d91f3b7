/* flatten FILE…: print the columns of DICOM files as a worker would record them, a line each:
 *
 *   file <tab> column <tab> value       tab, LF, CR and backslash escaped as \t \n \r \\
 *
 *   --niffler   as under Compatibility: niffler
 *   --private   private attributes too
 *   --repeat N  flatten each file N times, and print what one time took to stderr */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "worker/decoder/dicom/dicom.h"
#include "worker/metadata.h"

static void print_escaped(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const char *place = strchr("\t\n\r\\", text[i]);
        if (place == NULL || text[i] == '\0')
            (void)putchar(text[i]);
        else
            (void)printf("\\%c", "tnr\\"[place - "\t\n\r\\"]);
    }
}

static void print_cells(const char *file, const struct record *rec)
{
    for (size_t i = 0; i < rec->cell_count; i++) {
        const struct record_cell *cell = &rec->cells[i];
        const char *column = record_text(rec, cell->column);
        (void)printf("%s\t", file);
        print_escaped(column, strlen(column));
        (void)putchar('\t');
        print_escaped(record_text(rec, cell->value), cell->value_length);
        (void)putchar('\n');
    }
}

static double seconds_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool flatten_file(struct dicom *dcm, struct metadata *md, const char *path,
                         const struct options *options, long repeat)
{
    struct buffer elements = {0};
    struct record rec = {0};
    struct metadata_identity identity;
    struct error err = {0};
    bool ok = false;

    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    if (!dicom_read(dcm, descriptor, options, &err)) {
        (void)fprintf(stderr, "%s: %s\n", path, err.text);
        if (err.code == NULL || strcmp(err.code, CODE_NOT_DICOM) == 0)
            goto out;
    }
    dicom_append_elements(dcm, options, &elements);
    if (!wire_check_elements((const uint8_t *)elements.data, elements.length, &err)) {
        (void)fprintf(stderr, "%s: %s\n", path, err.text);
        goto out;
    }
    double start = seconds_now();
    for (long i = 0; i < repeat; i++) {
        record_reset(&rec);
        metadata_flatten(md, (const uint8_t *)elements.data, elements.length, options, &rec, &identity);
    }
    if (repeat > 1)
        (void)fprintf(stderr, "%s: %zu columns, %.2f us\n", path, identity.attribute_count,
                      (seconds_now() - start) / (double)repeat * 1e6);
    print_cells(path, &rec);
    ok = true;
out:
    record_clear(&rec);
    buffer_clear(&elements);
    (void)close(descriptor);
    return ok;
}

int main(int argc, char **argv)
{
    struct options options = {
        .public_headers_only = true,
        .max_value_bytes = 4096,
        .max_attributes = 1000000,
        .max_nesting = 1000,
        .max_items = 100000,
        .max_metadata_bytes = UINT64_C(1) << 30,
        .max_pixels = UINT64_C(1) << 32,
        .max_frames = 1000000,
    };
    long repeat = 1;
    int at = 1, failed = 0;

    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        if (strcmp(argv[at], "--niffler") == 0) {
            options.compatibility_niffler = true;
            options.value_format = VALUE_FORMAT_NIFFLER;
            options.max_value_bytes = 0;
        } else if (strcmp(argv[at], "--private") == 0) {
            options.public_headers_only = false;
        } else if (strcmp(argv[at], "--repeat") == 0 && at + 1 < argc) {
            repeat = strtol(argv[++at], NULL, 10);
        } else {
            break;
        }
    }
    if (at == argc || repeat < 1 || strncmp(argv[at], "--", 2) == 0) {
        (void)fprintf(stderr, "usage: flatten [--niffler] [--private] [--repeat N] FILE...\n");
        return 2;
    }
    struct dicom *dcm = dicom_new();
    struct metadata *md = metadata_new();
    for (; at < argc; at++)
        failed += flatten_file(dcm, md, argv[at], &options, repeat) ? 0 : 1;
    metadata_free(md);
    dicom_free(dcm);
    return failed > 0 ? 1 : 0;
}
