/* render_line.h: a window that is a line, computed and not looked up, which is more than twice as fast with
 * vectors (vectors.h). */
#ifndef NIFFLER_WORKER_DECODER_RENDER_RENDER_LINE_H
#define NIFFLER_WORKER_DECODER_RENDER_RENDER_LINE_H

#include "worker/decoder/render/render.h"
#include "worker/decoder/render/render_scale.h"
#include "worker/decoder/render/voi.h"

/* `first` and `last`, counted from the frame's lowest sample, and what is between them lie on the line; what
 * is below is black, what is above white. */
struct render_line {
    uint16_t lowest; /* of signed samples modulo 2^16 */
    uint16_t first, last;
    uint16_t base, fraction; /* of `first`: base + fraction / 2^16 */
    struct render_factor factor;
    uint16_t flip; /* all ones where black and white change places */
    bool is_16_bit;
};

/* Of a frame of 16-bit samples for which `table` holds what render_window_row() is to write, by sample less
 * the plan's lowest. Returns false where that is no rising line, or `line` would not give every entry. */
bool render_line_fit(struct render_line *line, const struct modality *modality, const struct voi *voi,
                     const struct render_plan *plan, const uint16_t *table);

/* `count` samples of 16 bits, signed or not. */
void render_line_row(const struct render_line *line, const void *in, size_t count, uint8_t *out);

#endif
