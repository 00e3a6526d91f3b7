#include "producer/slice.h"

#include <stdlib.h>
#include <string.h>

#include "common/hash.h"

/* FNV's low bits depend on few of the text's. */
static uint64_t mix(uint64_t number)
{
    number = (number ^ (number >> 33)) * 0xff51afd7ed558ccdu;
    number = (number ^ (number >> 33)) * 0xc4ceb9fe1a85ec53u;
    return number ^ (number >> 33);
}

/* Digits only, up to `end`. */
static bool read_number(const char *text, const char *end, uint32_t *number)
{
    size_t length = (size_t)(end - text);
    *number = 0;
    if (length == 0 || length > 6 || strspn(text, "0123456789") < length)
        return false;
    *number = (uint32_t)strtoul(text, NULL, 10);
    return true;
}

bool slice_parse(const char *text, struct slice *slice, struct error *err)
{
    const char *bar = strchr(text, '/');
    if (bar == NULL || !read_number(text, bar, &slice->index) ||
        !read_number(bar + 1, text + strlen(text), &slice->count) || slice->index >= slice->count ||
        slice->count > SLICE_COUNT_MAX)
        return error_set(err, ERROR_FATAL,
                         "'%.40s' is no slice: 0/7 is the first of seven, 6/7 the last; there are at most %d",
                         text, SLICE_COUNT_MAX);
    return true;
}

bool slice_parse_count(const char *text, uint32_t *count, struct error *err)
{
    if (!read_number(text, text + strlen(text), count) || *count == 0 || *count > SLICE_COUNT_MAX)
        return error_set(err, ERROR_FATAL, "'%.40s' is no number of slices: 1 to %d", text, SLICE_COUNT_MAX);
    return true;
}

bool slice_has(const struct slice *slice, const char *path)
{
    return slice->count == 0 || mix(hash_text(path)) % slice->count == slice->index;
}

uint64_t slice_scan_digest(uint64_t digest, const char *path)
{
    return mix(digest ^ hash_text(path));
}
