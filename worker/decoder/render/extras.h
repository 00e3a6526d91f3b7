/* extras.h: what a PNG holds besides the scaled samples: its chunks, and the overlays drawn into it.
 *
 * Nothing is read before the first picture of a file needs it, and what is the same for all its frames is
 * read once. Not for pictures under compatibility: those of Niffler hold samples only. */
#ifndef NIFFLER_WORKER_DECODER_RENDER_EXTRAS_H
#define NIFFLER_WORKER_DECODER_RENDER_EXTRAS_H

#include "worker/decoder/render/overlay.h"
#include "worker/decoder/png/pngout.h"
#include "worker/decoder/render/render.h"
#include "worker/decoder/render/spacing.h"

/* Zeroed: of no file. */
struct extras {
    bool has_profile, has_overlays; /* have been read, whatever was found */
    struct pngout_profile profile;
    struct error profile_error; /* why it is left out; kind ERROR_NONE: it is not */
    struct overlays overlays;
};

void extras_clear(struct extras *extras);

/* Another file was read, or the same one again: forget the one before. */
void extras_begin_file(struct extras *extras);

/* A frame as it was decoded and will be rendered. */
struct extras_frame {
    uint32_t index; /* from 0 */
    const struct codec_samples *samples;
    const struct render_plan *plan;
};

/* The chunks of the frame's PNG; *out borrows from *extras until the next file. What is odd about them, or
 * left out because it makes no sense, stands in `notes`. */
void extras_chunks(struct extras *extras, struct dicom *dcm, const struct functional_groups *groups,
                   const struct extras_frame *frame, struct pngout_extras *out, const struct notes *notes);

/* The overlays that are drawn into the frame's PNG, ready for overlay_draw_row(). NULL: none, because
 * `options` does not want them or the samples are `stored`. */
const struct overlays *extras_overlays(struct extras *extras, struct dicom *dcm, struct image *image,
                                       const struct extras_frame *frame, const struct options *options,
                                       const struct notes *notes);

#endif
