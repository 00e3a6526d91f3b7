/* overlay.h: overlay planes (groups 6000 to 60FE, PS3.3 C.9.2 and C.9.3), drawn white into pictures.
 *
 * A plane is a picture of one bit per pixel with a place in the image, for all frames or for some. Its bits
 * are OverlayData's or, in the way that PS3.3-2004 was the last to describe, one of the bits of the pixels'
 * containers that their samples leave free. Each plane is white, whether OverlayType says graphics or region
 * of interest: the standard leaves the colour open. */
#ifndef NIFFLER_WORKER_DECODER_RENDER_OVERLAY_H
#define NIFFLER_WORKER_DECODER_RENDER_OVERLAY_H

#include "worker/decoder/image/image.h"
#include "worker/decoder/image/notes.h"
#include "worker/decoder/png/pngout.h"

#define OVERLAY_GROUPS 128 /* the even ones; the standard has the first 16 of them */

struct overlay_plane {
    uint32_t group;
    uint32_t rows, columns; /* 1 to 65535 */
    int32_t top, left;      /* of its first pixel in the picture, from 0; negative: beyond its edge */
    uint32_t first_frame;   /* of the image; the one that the plane's first frame belongs to */
    uint32_t frame_count;   /* of the plane; 0: its one frame belongs to all of the image's */
    bool is_embedded;       /* in bit `bit` of the pixels' containers, not in OverlayData */
    uint32_t bit;
    const uint8_t
        *bits; /* least significant first, frame behind frame without a gap; borrowed, or `memory` */
    uint64_t bits_length; /* bytes that are there */
    bool in_words;        /* of 16 bits, big endian */
    uint8_t *memory;      /* embedded: bits of the frame at hand; new */

    /* Of the frame at hand. */
    bool is_drawn;
    uint64_t first_bit;
};

/* The planes of the file at hand. Zeroed: none. */
struct overlays {
    struct overlay_plane planes[OVERLAY_GROUPS];
    uint32_t count;
    uint32_t refused; /* planes that contradict themselves or have no bits */
};

/* Forget the planes, and free what belongs to them. */
void overlay_clear(struct overlays *overlays);

/* Find the planes of a file, once a file; whatever *overlays held is cleared. What dicom_find_bytes() lends
 * is kept: they are good until the next dicom_read(). */
void overlay_read(struct overlays *overlays, struct dicom *dcm, const struct image_facts *facts);

/* Choose the planes of frame `frame_index` (from 0), and fetch their bits where they are embedded. Says in
 * `notes` how many are drawn, which end early and how many cannot be drawn. */
void overlay_begin_frame(struct overlays *overlays, struct image *image, uint32_t frame_index,
                         const struct notes *notes);

/* Draw the chosen planes into row `row` of the picture: `out` holds a row as pngout_write() wants it. What
 * lies outside of the picture, and what is missing at the end of the bits, is not drawn. */
void overlay_draw_row(const struct overlays *overlays, const struct pngout_shape *shape, uint32_t row,
                      uint8_t *out);

#endif
