/* csv.h: store to metadata.csv, mapping.csv and failures.csv, streaming.
 *
 * RFC 4180 with LF line ends (as pandas writes), UTF-8, quotes when and only when a cell holds a comma, a
 * quote, CR or LF (and around the empty cell of a table of one column, whose line would else be blank);
 * control characters are shown (csv_cell.h) but under compatibility, where pandas does not. The same store
 * gives the same bytes.
 *
 *     csv_write() ─► drafts in .niffler-png/tables/, synced ─► csv_publish() ─► the tables, renamed
 *
 * The three tables belong to one state of the store, and change together: whoever notes between the two steps
 * that the drafts are whole can do the second again after a crash within it. */
#ifndef NIFFLER_AGGREGATOR_CSV_H
#define NIFFLER_AGGREGATOR_CSV_H

#include "aggregator/csv_cell.h"
#include "aggregator/store.h"

struct csv_options {
    bool compatibility_niffler; /* Niffler's mapping header and rows   */
    bool common_headers_only;   /* only columns that fewer than 10 % of the rows lack     */
    bool formula_guard; /* mark text that a spreadsheet would run: CSV_CELL_GUARDED                   */
    const char *const *features;  /* NULL: all columns; else keep these, in this order, then `file`:
                                     NULL-terminated.  Under compatibility `file` is kept only when listed  */
    const char *dicom_home;       /* as given; put before each path, with one '/' between                  */
    const char *output_directory; /* as given; put before each picture under compatibility, else not used  */
};

/* Where drafts lie, below the output folder. */
#define CSV_DRAFT_FOLDER ".niffler-png/tables"

/* Write drafts of the three tables (mapping.csv with mode 0600) into CSV_DRAFT_FOLDER below `output_dir`,
 * which is made where it is missing, and sync them. What lay there before is gone: drafts that are still to
 * be published must be by then. Fails with ERROR_RETRY or as the store does, and leaves no drafts then. */
MUST_CHECK bool csv_write(struct store *store, int output_dir, const struct csv_options *options,
                          struct error *err);

/* Put the drafts in the tables' places, and on disk. May be done again: a table whose draft is absent is in
 * its place. Fails with ERROR_RETRY; the drafts not yet renamed stay. */
MUST_CHECK bool csv_publish(int output_dir, struct error *err);

/* Remove what lies in CSV_DRAFT_FOLDER, and the folder. */
void csv_sweep(int output_dir);

/* Both steps. Fails as they do. */
MUST_CHECK bool csv_export(struct store *store, int output_dir, const struct csv_options *options,
                           struct error *err);

#endif
