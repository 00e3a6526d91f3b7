/* Any bytes as a DICOM file: the walk, its elements for the worker, their columns, and the record's JSON,
 * which must read back as it was. */
#include <stdlib.h>
#include <string.h>

#include "common/job.h"
#include "common/record.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mutators.h"
#include "worker/decoder/dicom/dicom.h"
#include "worker/metadata.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed)
{
    return mutate_image(data, size, most, seed);
}

static bool same_cell(const struct record *a, const struct record *b, size_t i)
{
    const struct record_cell *x = &a->cells[i], *y = &b->cells[i];
    return x->column_length == y->column_length && x->value_length == y->value_length &&
           memcmp(record_text(a, x->column), record_text(b, y->column), x->column_length) == 0 &&
           memcmp(record_text(a, x->value), record_text(b, y->value), x->value_length) == 0 &&
           utf8_is_valid(record_text(a, x->value), x->value_length);
}

static void check_columns(const struct buffer *elements, const struct options *options)
{
    static struct record rec, back;
    static struct metadata *md;
    struct metadata_identity identity;
    struct buffer json = {0};
    struct error err;
    if (md == NULL)
        md = metadata_new();
    record_reset(&rec);
    job_new_id(rec.job);
    rec.seq = 0;
    rec.path = record_add_text(&rec, "a", 1);
    metadata_flatten(md, (const uint8_t *)elements->data, elements->length, options, &rec, &identity);
    record_to_json(&rec, &json);
    if (!record_from_json(json.data, json.length, &back, &err) || back.cell_count != rec.cell_count)
        abort(); /* what we write we must be able to read */
    for (size_t i = 0; i < rec.cell_count; i++)
        if (!same_cell(&rec, &back, i))
            abort();
    buffer_clear(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dicom *dcm;
    struct buffer elements = {0};
    struct error err;
    struct options options = {.public_headers_only = size % 2 == 0,
                              .compatibility_niffler = size % 3 == 0,
                              .value_format = size % 6 < 3 ? VALUE_FORMAT_DICOM : VALUE_FORMAT_NIFFLER,
                              .max_value_bytes = size % 5 == 0 ? 64 : 4096,
                              .max_attributes = 10000,
                              .max_nesting = 64,
                              .max_metadata_bytes = 1u << 22};
    if (dcm == NULL)
        dcm = dicom_new();
    bool ok = dicom_read_memory(dcm, data, size, &options, &err);
    if (!ok && err.kind != ERROR_INPUT)
        abort();
    dicom_append_elements(dcm, &options, &elements);
    if (!wire_check_elements((const uint8_t *)elements.data, elements.length, &err))
        abort(); /* the worker would kill the decoder for this */
    check_columns(&elements, &options);
    buffer_clear(&elements);
    return 0;
}
