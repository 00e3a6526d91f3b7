/* From whatever the decoder sends as elements, to cells and a record, and that record through its JSON. */
#include <stdlib.h>
#include <string.h>

#include "common/job.h"
#include "common/record.h"
#include "tests/fuzz/fuzz.h"
#include "worker/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct metadata_identity identity;
    struct record rec = {0}, back = {0};
    struct buffer json = {0};
    struct error err;
    struct options options = {
        .public_headers_only = true, .max_value_bytes = 4096, .max_metadata_bytes = 1u << 20};
    if (size == 0 || !wire_check_elements(data + 1, size - 1, &err))
        return 0;
    options.compatibility_niffler = data[0] & 1;
    options.value_format = data[0] & 2 ? VALUE_FORMAT_NIFFLER : VALUE_FORMAT_DICOM;
    options.public_headers_only = (data[0] & 4) == 0;
    struct metadata *md = metadata_new();
    record_reset(&rec);
    job_new_id(rec.job);
    rec.seq = 0;
    rec.path = record_add_text(&rec, "a", 1);
    metadata_flatten(md, data + 1, size - 1, &options, &rec, &identity);
    record_to_json(&rec, &json);
    if (!record_from_json(json.data, json.length, &back, &err) || back.cell_count != rec.cell_count)
        abort(); /* what we write we must be able to read */
    record_clear(&rec);
    record_clear(&back);
    buffer_clear(&json);
    metadata_free(md);
    return 0;
}
