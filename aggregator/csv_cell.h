/* csv_cell.h: one cell of a table (RFC 4180), and what is done to text that could do harm where it is shown.
 */
#ifndef NIFFLER_AGGREGATOR_CSV_CELL_H
#define NIFFLER_AGGREGATOR_CSV_CELL_H

#include <stddef.h>

#include "common/buffer.h"

/* How text is treated; a sum of these. */
enum csv_cell_rule {
    /* Put ' before text that a spreadsheet would run as a formula: which begins with =, +, -, @, also in
     * their full-width forms, with a tab, CR or LF. Not before a number (-1.5, +3e4), nor before several with
     * '\' between them, as DICOM writes them: no formula has a '\'. */
    CSV_CELL_GUARDED = 1,
    /* Leave control characters as they are, but NUL. */
    CSV_CELL_CONTROLS_KEPT = 2,
};

/* Append a cell, in quotes when and only when it holds a comma, a quote, CR or LF. Bytes that are not UTF-8
 * come out as \xNN, as does NUL; so do the other control characters (C0 but tab, LF and CR, DEL, and of C1
 * both bytes), which a terminal obeys, unless CSV_CELL_CONTROLS_KEPT. A '\' of the text's own stays one. */
void csv_append_cell_as(struct buffer *out, const char *text, size_t length, unsigned rules);

/* The same, without rules. */
void csv_append_cell(struct buffer *out, const char *text, size_t length);

#endif
