#include "common/outputs.h"

#include <fcntl.h>
#include <stdio.h>

#include "common/error.h"
#include "common/files.h"
#include "common/nolink.h"

void outputs_sweep_drafts(int output_dir)
{
    files_sweep(output_dir, OUTPUTS_INCOMING, "");
    (void)nolink_unlink(output_dir, OUTPUTS_INCOMING, AT_REMOVEDIR);
    files_sweep(output_dir, ".", FILES_DRAFT_PREFIX);
    for (int category = CATEGORY_NOT_USABLE; category <= CATEGORY_TOO_MANY; category++) {
        char folder[sizeof OUTPUTS_FAILED + 12];
        (void)snprintf(folder, sizeof folder, OUTPUTS_FAILED "/%d", category);
        files_sweep(output_dir, folder, FILES_DRAFT_PREFIX);
    }
}
