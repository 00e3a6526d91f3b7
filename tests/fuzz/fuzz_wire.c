/* Both directions of the wire: any bytes as "inspected" and as "frame", which the worker must not trust, and
 * as the two requests, which must come out again as they were read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "worker/wire.h"

/* What was read and written again is read as the same. */
static void check_again(const struct buffer *first, const struct buffer *second)
{
    if (first->length != second->length || memcmp(first->data, second->data, first->length) != 0)
        abort();
}

static void read_requests(const uint8_t *data, size_t size)
{
    struct buffer written = {0}, again = {0};
    struct wire_convert convert;
    struct wire_frame_request request;
    struct error err;
    if (wire_read_convert(data, size, &convert, &err)) {
        wire_write_convert(&written, &convert);
        if (written.length > WIRE_HEADER_BYTES + WIRE_REQUEST_BYTES_MAX ||
            !wire_read_convert((const uint8_t *)written.data + WIRE_HEADER_BYTES,
                               written.length - WIRE_HEADER_BYTES, &convert, &err))
            abort();
        wire_write_convert(&again, &convert);
        check_again(&written, &again);
    }
    buffer_truncate(&written, 0);
    buffer_truncate(&again, 0);
    if (wire_read_frame_request(data, size, &request, &err)) {
        wire_write_frame_request(&written, &request);
        if (!wire_read_frame_request((const uint8_t *)written.data + WIRE_HEADER_BYTES,
                                     written.length - WIRE_HEADER_BYTES, &request, &err))
            abort();
        wire_write_frame_request(&again, &request);
        check_again(&written, &again);
    }
    buffer_clear(&written);
    buffer_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_inspected inspected;
    struct wire_frame frame;
    struct wire_element element;
    struct error err;
    if (wire_read_inspected(data, size, &inspected, &err)) {
        size_t at = 0, sum = 0;
        while (wire_next_element(inspected.elements, inspected.elements_length, &at, &element))
            for (uint32_t i = 0; i < element.length; i++)
                sum += element.bytes[i];
        fuzz_use(sum);
    }
    if (wire_read_frame(data, size, &frame, &err))
        fuzz_use(frame.frame_index);
    read_requests(data, size);
    return 0;
}
