/* functional_groups.h: what an enhanced multi-frame object says of one frame (PS3.3 C.7.6.16).
 *
 *     Shared Functional Groups Sequence    (5200,9229)   one item: macros that hold for all frames
 *     Per-Frame Functional Groups Sequence (5200,9230)   an item for each frame: macros of its own
 *
 * A macro is a sequence of one item, such as Frame VOI LUT (0028,9132). */
#ifndef NIFFLER_WORKER_DECODER_IMAGE_FUNCTIONAL_GROUPS_H
#define NIFFLER_WORKER_DECODER_IMAGE_FUNCTIONAL_GROUPS_H

#include "worker/decoder/dicom/dicom.h"

/* Zeroed: none. */
struct functional_groups {
    const struct dicom *dcm; /* of the file that was read; NULL: none */
    bool has_shared;
    struct dicom_item shared;
    struct dicom_item *frames; /* owned */
    uint32_t count;            /* of the items for frames */
    uint32_t capacity;
};

void functional_groups_clear(struct functional_groups *groups);

/* Find the items of a file: valid until its dicom_read() ends. Looks at each element once; `limit` items at
 * most. */
void functional_groups_read(struct functional_groups *groups, const struct dicom *dcm, uint32_t limit);

/* The macro `sequence` of a frame (from 0): its own, else the shared one. For FUNCTIONAL_GROUPS_SHARED that
 * one alone. */
#define FUNCTIONAL_GROUPS_SHARED UINT32_MAX
bool functional_groups_find(const struct functional_groups *groups, uint32_t frame_index, uint32_t sequence,
                            struct dicom_item *macro);
#endif
