#include "worker/decoder/image/functional_groups.h"

#include <stdlib.h>

#include "common/alloc.h"

#define TAG_SHARED DICOM_TAG(0x5200, 0x9229)
#define TAG_PER_FRAME DICOM_TAG(0x5200, 0x9230)

void functional_groups_clear(struct functional_groups *groups)
{
    free(groups->frames);
    *groups = (struct functional_groups){0};
}

void functional_groups_read(struct functional_groups *groups, const struct dicom *dcm, uint32_t limit)
{
    struct dicom_item item;
    groups->dcm = dcm;
    groups->count = 0;
    groups->has_shared = dicom_first_item(dcm, DICOM_TOP, TAG_SHARED, &groups->shared);
    bool is_one = dicom_first_item(dcm, DICOM_TOP, TAG_PER_FRAME, &item);
    for (; is_one && groups->count < limit; is_one = dicom_next_item(dcm, &item)) {
        if (groups->count == groups->capacity) {
            groups->capacity = groups->capacity > 0 ? groups->capacity * 2 : 16;
            groups->frames = xrealloc_array(groups->frames, groups->capacity, sizeof groups->frames[0]);
        }
        groups->frames[groups->count++] = item;
    }
}

bool functional_groups_find(const struct functional_groups *groups, uint32_t frame_index, uint32_t sequence,
                            struct dicom_item *macro)
{
    if (frame_index < groups->count &&
        dicom_first_item(groups->dcm, groups->frames[frame_index], sequence, macro))
        return true;
    return groups->has_shared && dicom_first_item(groups->dcm, groups->shared, sequence, macro);
}
