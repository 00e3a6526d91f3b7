/* dicom_source.h: where a reader's bytes come from: a file through a window, or memory. */
#ifndef NIFFLER_WORKER_DECODER_DICOM_DICOM_SOURCE_H
#define NIFFLER_WORKER_DECODER_DICOM_DICOM_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

struct dicom_source {
    int descriptor;        /* of a file; -1: memory              */
    const uint8_t *memory; /* the bytes, when it is memory       */
    uint64_t size;         /* of the whole                       */
    uint8_t *window;       /* bytes of the file, from `start` on */
    uint64_t start;
    size_t length, capacity;
    bool failed; /* reading failed: the end came early */
};

/* Begin with a file (borrowed), or with bytes (borrowed). The window's memory is kept. */
MUST_CHECK bool dicom_source_open_file(struct dicom_source *source, int descriptor, struct error *err);
void dicom_source_open_memory(struct dicom_source *source, const uint8_t *bytes, size_t length);
void dicom_source_clear(struct dicom_source *source);

/* The bytes from `offset`, `length` of them; borrowed until the next call. NULL where the source ends before.
 */
const uint8_t *dicom_source_view(struct dicom_source *source, uint64_t offset, size_t length);

/* Copy bytes past the window, into the caller's memory. False where the source ends before. */
MUST_CHECK bool dicom_source_copy(struct dicom_source *source, uint64_t offset, void *bytes, size_t length);

#endif
