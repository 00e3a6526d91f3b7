/* Any cells as a table, read back by a strict reader of RFC 4180: the cells must be those that were written,
 * but for control characters and bytes that are no UTF-8, which csv_cell.h shows as \xNN.
 *
 *     cells, each behind its length (1 byte); a length of 255 ends a row
 *
 * With NIFFLER_FUZZ_CSV, a folder, each table is also written there, with its cells as they must come out
 * behind their lengths, for another reader (check_csv.py). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aggregator/csv.h"
#include "common/alloc.h"
#include "common/utf8.h"
#include "tests/fuzz/csv_reader.h"
#include "tests/fuzz/fuzz.h"

#define ROW_END 255

/* What the table holds, and what must come out of it: cells behind their lengths as in the input, but of 4
 * bytes, UINT32_MAX ending a row. */
struct table {
    struct buffer text, cells;
};

static void put_length(struct buffer *out, uint32_t length)
{
    for (unsigned i = 0; i < 4; i++)
        buffer_append_char(out, (char)(unsigned char)(length >> (8 * i)));
}

/* The cell as a reader must find it. */
static void append_expected(struct buffer *out, const uint8_t *bytes, size_t length)
{
    struct buffer cell = {0};
    csv_reader_expect(&cell, bytes, length, true);
    put_length(out, (uint32_t)cell.length);
    buffer_append(out, cell.data, cell.length);
    buffer_clear(&cell);
}

/* A row of one empty cell would be a blank line: csv.c quotes it there, by itself. */
static void end_row(struct table *table, size_t columns, size_t row_start)
{
    if (columns == 1 && table->text.length == row_start)
        buffer_append_text(&table->text, "\"\"");
    buffer_append_char(&table->text, '\n');
    put_length(&table->cells, UINT32_MAX);
}

static void write_table(struct table *table, const uint8_t *data, size_t size)
{
    size_t columns = 0, row_start = 0;
    for (size_t at = 0; at < size;) {
        size_t length = data[at++];
        if (length == ROW_END && columns > 0) {
            end_row(table, columns, row_start);
            columns = 0;
            row_start = table->text.length;
            continue;
        }
        if (length > size - at)
            length = size - at;
        if (columns++ > 0)
            buffer_append_char(&table->text, ',');
        csv_append_cell(&table->text, (const char *)data + at, length);
        append_expected(&table->cells, data + at, length);
        at += length;
    }
    if (columns > 0)
        end_row(table, columns, row_start);
}

/* ---- the reader ---- */

static void read_table(const struct buffer *text, struct buffer *cells)
{
    struct buffer cell = {0};
    for (size_t at = 0; at < text->length;) {
        csv_reader_cell(text, &at, &cell);
        put_length(cells, (uint32_t)cell.length);
        buffer_append(cells, cell.data, cell.length);
        if (text->data[at++] == '\n')
            put_length(cells, UINT32_MAX);
        else if (at == text->length)
            abort();
    }
    buffer_clear(&cell);
}

/* ---- for another reader ---- */

static void save(const char *folder, unsigned number, const char *ending, const struct buffer *bytes)
{
    char *path = xasprintf("%s/%06u.%s", folder, number, ending);
    FILE *file = fopen(path, "wbe");
    if (file == NULL || fwrite(bytes->data, 1, bytes->length, file) != bytes->length || fclose(file) != 0)
        abort();
    free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned number;
    struct table table = {0};
    struct buffer back = {0};
    const char *folder = getenv("NIFFLER_FUZZ_CSV");
    write_table(&table, data, size);
    read_table(&table.text, &back);
    if (!utf8_is_valid(table.text.data, table.text.length) || back.length != table.cells.length ||
        (back.length > 0 && memcmp(back.data, table.cells.data, back.length) != 0))
        abort();
    if (folder != NULL && table.text.length > 0) {
        save(folder, number, "csv", &table.text);
        save(folder, number, "cells", &table.cells);
        number++;
    }
    buffer_clear(&table.text);
    buffer_clear(&table.cells);
    buffer_clear(&back);
    return 0;
}
