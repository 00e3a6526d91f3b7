#include "aggregator/complete.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aggregator/csv.h"
#include "common/alloc.h"
#include "common/command.h"
#include "common/crash.h"
#include "common/features.h"
#include "common/shown.h"

/* Once the renames may have begun, the fact on disk says so, and it is taken back before drafts are written
 * again; so "written" always means three whole drafts of one state, or what is left of them to rename. */
static bool publish_tables(struct store *store, int output_dir, struct error *err)
{
    return csv_publish(output_dir, err) && store_set(store, "tables", "published", err) &&
           store_sync(store, err);
}

bool complete_finish_tables(struct store *store, int output_dir, struct error *err)
{
    char *fact = NULL;
    if (!store_get(store, "tables", &fact, err))
        return false;
    bool is_written = fact != NULL && strcmp(fact, "written") == 0;
    free(fact);
    if (is_written)
        return publish_tables(store, output_dir, err);
    csv_sweep(output_dir);
    return true;
}

static bool export_tables(struct store *store, const struct job *job, int output_dir, struct error *err)
{
    char *text = job->features != NULL ? xstrdup(job->features) : NULL;
    const char **features = text != NULL ? features_split(text, job->options.compatibility_niffler) : NULL;
    struct csv_options options = {
        .compatibility_niffler = job->options.compatibility_niffler,
        .common_headers_only = job->common_headers_only,
        .formula_guard = job->csv_formula_guard,
        .features = features,
        .dicom_home = job->dicom_home,
        .output_directory = job->output_directory,
    };
    bool ok = complete_finish_tables(store, output_dir, err) && csv_write(store, output_dir, &options, err);
    CRASH_POINT("aggregator.tables_written");
    ok = ok && store_set(store, "tables", "written", err) && store_sync(store, err);
    CRASH_POINT("aggregator.tables_noted");
    ok = ok && publish_tables(store, output_dir, err);
    free(features);
    free(text);
    return ok;
}

/* The pictures were put on disk before their records; what was renamed and deleted since then was not. */
static bool sync_outputs(const struct store *store, int output_dir, struct error *err)
{
    return !store_is_durable(store) || syncfs(output_dir) == 0 ||
           error_errno(err, ERROR_RETRY, "cannot put the output folder on disk");
}

bool complete_outputs(struct store *store, const struct job *job, int output_dir, struct store_counts *counts,
                      struct error *err)
{
    CRASH_POINT("aggregator.complete");
    /* A run for the tables alone leaves the pictures of earlier ones where they are. */
    bool named = !job->options.print_images           ? true
                 : job->options.compatibility_niffler ? store_settle_names(store, output_dir, err)
                                                      : store_sweep(store, output_dir, err);
    CRASH_POINT("aggregator.names_settled");
    if (!named || !sync_outputs(store, output_dir, err) || !store_counts(store, counts, err) ||
        !export_tables(store, job, output_dir, err))
        return false;
    CRASH_POINT("aggregator.tables_published");
    return true;
}

bool complete_state(struct store *store, const char *state, struct error *err)
{
    return store_set(store, "state", state, err) && store_sync(store, err);
}

void complete_print_counts(const struct store_counts *counts)
{
    printf("%llu files found = %llu converted + %llu without image + %llu ignored + %llu failed; %llu "
           "pictures\n",
           (unsigned long long)counts->found, (unsigned long long)counts->converted,
           (unsigned long long)counts->no_image, (unsigned long long)counts->ignored,
           (unsigned long long)counts->failed, (unsigned long long)counts->pictures);
    for (int category = CATEGORY_NOT_USABLE; category <= CATEGORY_TOO_MANY; category++)
        if (counts->failed_by_category[category] > 0)
            printf("  failed-dicom/%d: %llu\n", category,
                   (unsigned long long)counts->failed_by_category[category]);
}

void complete_print(const struct store_counts *counts, const char *output_directory)
{
    complete_print_counts(counts);
    printf("tables: ");
    shown_print(stdout, output_directory);
    printf("/metadata.csv, mapping.csv, failures.csv\n");
}

int complete_exit_status(const struct store_counts *counts, const struct job *job, struct error *err)
{
    if (counts->found == counts->ignored) {
        (void)error_set(err, ERROR_FATAL,
                        "nothing to convert: %llu files below DICOMHome '%s', none of them DICOM",
                        (unsigned long long)counts->found, job->dicom_home);
        return EXIT_STATUS_USAGE;
    }
    return counts->failed > 0 ? EXIT_STATUS_SOME_FAILED : EXIT_STATUS_DONE;
}
