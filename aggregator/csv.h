/* csv.h: store to metadata.csv, mapping.csv and failures.csv, streaming.
 *
 * RFC 4180 with LF line ends (as pandas writes), UTF-8, quotes when and only when a cell holds a comma, a
 * quote, CR or LF (and around the empty cell of a table of one column, whose line would else be blank). Each
 * file is written to a temporary name, synced and renamed. The same store gives the same bytes. */
#ifndef NIFFLER_AGGREGATOR_CSV_H
#define NIFFLER_AGGREGATOR_CSV_H

#include "aggregator/store.h"
#include "common/buffer.h"

struct csv_options {
    bool compatibility_niffler;   /* Niffler's mapping header and rows   */
    bool common_headers_only;     /* only columns that fewer than 10 % of the rows lack     */
    const char *const *features;  /* NULL: all columns; else keep these, in this order, then `file`:
                                     NULL-terminated.  Under compatibility `file` is kept only when listed  */
    const char *dicom_home;       /* as given; put before each path, with one '/' between                  */
    const char *output_directory; /* as given; put before each picture under compatibility, else not used  */
};

/* Write the three tables (mapping.csv with mode 0600) below `output_dir`. Fails with ERROR_FATAL. */
MUST_CHECK bool csv_export(struct store *store, int output_dir, const struct csv_options *options,
                           struct error *err);

/* Append one cell, quoted if need be. Bytes that are not UTF-8 come out as \xNN, NUL as \x00. */
void csv_append_cell(struct buffer *out, const char *text, size_t length);

#endif
