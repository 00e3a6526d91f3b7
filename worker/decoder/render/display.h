/* display.h: what a file says of how its frames are to be seen, for PixelScaling: window.
 *
 *   Modality LUT       Pixel Value Transformation macro (PS3.3 C.7.6.16.2.9), else Modality LUT Sequence or
 *                      Rescale Slope and Intercept (C.11.1)
 *   VOI LUT            Frame VOI LUT macro (C.7.6.16.2.10), else Window Center and Width or VOI LUT Sequence
 *                      (C.11.2); or what the setting Window says in their place
 *   Presentation LUT   Shape INVERSE (C.11.6)
 *   padding            Pixel Padding Value and Range Limit (C.7.5.1.1.2), which are no part of the picture
 *   colour             Supplemental Palette Color Lookup Table (C.7.6.19)
 *
 * A part that is malformed counts as absent, and is noted. */
#ifndef NIFFLER_WORKER_DECODER_RENDER_DISPLAY_H
#define NIFFLER_WORKER_DECODER_RENDER_DISPLAY_H

#include "worker/decoder/image/functional_groups.h"
#include "worker/decoder/image/image.h"
#include "worker/decoder/image/notes.h"
#include "worker/decoder/image/palette.h"
#include "worker/decoder/render/voi.h"

struct display; /* of the file at hand; its buffers stay warm */

struct display *display_new(void);
void display_free(struct display *display);

/* Read what holds for all frames. `dcm`, `facts` and `groups` are borrowed until the next call. */
void display_inspect(struct display *display, struct dicom *dcm, const struct image_facts *facts,
                     const struct functional_groups *groups);

/* How one frame is shown. */
struct display_frame {
    struct modality modality;
    enum display_voi {
        DISPLAY_VOI,  /* `voi`                                                       */
        DISPLAY_ALL,  /* no window in the file: all values but the padding           */
        DISPLAY_AUTO, /* 1st to 99th percentile of the values but the padding        */
    } choice;
    struct voi voi;
    bool invert; /* what was 0 becomes white */
    bool has_padding;
    double padding_low, padding_high;   /* stored values, both included */
    const struct palette *supplemental; /* stored values from its first on are looked up; NULL: none */
};

/* The frame `frame_index`, from 0; what it points at is borrowed until the next call. */
void display_frame(struct display *display, uint32_t frame_index, const struct options *options,
                   struct display_frame *frame, const struct notes *notes);
#endif
