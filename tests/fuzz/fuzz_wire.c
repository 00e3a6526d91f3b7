/* The decoder's answers, which the worker must not trust: any bytes as "inspected" and as "frame". */
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/fuzz.h"
#include "worker/wire.h"

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
    return 0;
}
