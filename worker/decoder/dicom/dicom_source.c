#include "worker/decoder/dicom/dicom_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"

/* Holds the whole header of nearly every file, so that one pread() does; small beside a picture. */
#define WINDOW_BYTES ((size_t)32 << 10)

bool dicom_source_open_file(struct dicom_source *source, int descriptor, struct error *err)
{
    /* Not by fstat(): the C library makes it of a call that could look at any path, and that is forbidden
     * here. */
    off_t size = lseek(descriptor, 0, SEEK_END);
    if (size < 0)
        return error_errno(err, ERROR_INPUT, "cannot read the file");
    source->descriptor = descriptor;
    source->memory = NULL;
    source->size = (uint64_t)size;
    source->start = 0;
    source->length = 0;
    source->failed = false;
    return true;
}

void dicom_source_open_memory(struct dicom_source *source, const uint8_t *bytes, size_t length)
{
    source->descriptor = -1;
    source->memory = bytes;
    source->size = length;
    source->start = 0;
    source->length = 0;
    source->failed = false;
}

void dicom_source_clear(struct dicom_source *source)
{
    free(source->window);
    *source = (struct dicom_source){.descriptor = -1};
}

static bool read_fully(int descriptor, uint64_t offset, uint8_t *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t count = pread(descriptor, bytes + done, length - done, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        done += (size_t)count;
    }
    return true;
}

const uint8_t *dicom_source_view(struct dicom_source *source, uint64_t offset, size_t length)
{
    if (offset > source->size || length > source->size - offset)
        return NULL;
    if (source->memory != NULL || source->descriptor < 0)
        return source->memory == NULL ? NULL : source->memory + offset;
    if (offset >= source->start && offset - source->start <= source->length &&
        length <= source->length - (offset - source->start))
        return source->window + (offset - source->start);
    size_t wanted = length > WINDOW_BYTES ? length : WINDOW_BYTES;
    if (wanted > source->size - offset)
        wanted = (size_t)(source->size - offset);
    if (wanted > source->capacity) {
        source->window = xrealloc(source->window, wanted);
        source->capacity = wanted;
    }
    source->start = offset;
    source->length = 0;
    if (!read_fully(source->descriptor, offset, source->window, wanted)) {
        source->failed = true; /* the file shrank, or the disk failed: the worker tells which */
        return NULL;
    }
    source->length = wanted;
    return source->window;
}

bool dicom_source_copy(struct dicom_source *source, uint64_t offset, void *bytes, size_t length)
{
    if (offset > source->size || length > source->size - offset)
        return false;
    if (offset >= source->start && offset - source->start <= source->length &&
        length <= source->length - (offset - source->start)) {
        if (length > 0)
            memcpy(bytes, source->window + (offset - source->start), length);
        return true;
    }
    if (source->descriptor < 0) {
        if (length > 0)
            memcpy(bytes, source->memory + offset, length);
        return true;
    }
    if (read_fully(source->descriptor, offset, bytes, length))
        return true;
    source->failed = true;
    return false;
}
