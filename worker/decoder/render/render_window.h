/* render_window.h: grey samples as they are to be seen (PixelScaling: window).
 *
 *     p = round(white * voi(modality(x)))      then white - p where the frame is inverted
 *
 * rounded to the nearest, half up; voi.h has both functions. Samples of up to 16 bits go through one table
 * made for the frame's own extremes, or along a line where that gives the same (render_line.h), others
 * through double arithmetic pixel by pixel. With a supplemental palette the picture is RGB: stored values
 * from the palette's first on are looked up in it, the others are grey (PS3.3 C.7.6.19). No I/O, no globals.
 */
#ifndef NIFFLER_WORKER_DECODER_RENDER_RENDER_WINDOW_H
#define NIFFLER_WORKER_DECODER_RENDER_RENDER_WINDOW_H

#include "worker/decoder/render/display.h"
#include "worker/decoder/render/render.h"

struct render_window; /* tables, reused from frame to frame; for one thread */

struct render_window *render_window_new(void);
void render_window_free(struct render_window *window);

/* Fill the plan of a frame of grey samples: `offset` and `maximum` are the values behind the Modality LUT
 * that become black and white, before inversion. Where the frame has no window of its own they are the
 * extremes of its values (0 and the value, where there is but one), or, for DISPLAY_AUTO, the lowest value
 * that 1 % and the lowest that 99 % of the values do not exceed; padding, NaN and infinities are not counted.
 * (Of samples of more than 16 bits, and of float ones, the percentiles are exact to 1/65536 of their range.)
 * `window` is borrowed by the plan, `frame` by the window, until the next call. */
void render_window_plan(struct render_window *window, const struct codec_samples *in,
                        const struct display_frame *frame, const struct options *options,
                        struct render_plan *plan);

/* As render_row(), which calls it. */
void render_window_row(const struct render_window *window, const struct codec_samples *in,
                       const struct render_plan *plan, uint32_t row, uint8_t *out);
#endif
