/* sample_canvas.h: pictures in integers.
 *
 * Integer arithmetic only: the same picture on every machine, whatever its compiler and rounding. Coordinates
 * and radii are in pixels, values in the unit of the picture (Hounsfield units, grey levels). */
#ifndef NIFFLER_TESTS_SAMPLES_SAMPLE_CANVAS_H
#define NIFFLER_TESTS_SAMPLES_SAMPLE_CANVAS_H

#include <stddef.h>
#include <stdint.h>

/* SplitMix64: one state word, the same sequence from the same seed. */
struct random {
    uint64_t state;
};

uint64_t random_next(struct random *rng);
int32_t random_range(struct random *rng, int32_t lowest, int32_t highest); /* both included */

/* A seed that depends on `seed` and on every character of `label`. */
uint64_t random_seed_of(uint64_t seed, const char *label);

struct canvas {
    int32_t *values; /* rows x columns, row by row */
    int32_t rows;
    int32_t columns;
};

/* Set up `canvas` filled with `value`; canvas_clear() frees and accepts a zeroed struct. */
void canvas_init(struct canvas *canvas, int32_t rows, int32_t columns, int32_t value);
void canvas_clear(struct canvas *canvas);
size_t canvas_count(const struct canvas *canvas);

/* Set the inside of an ellipse; what lies outside the canvas is cut. */
void canvas_ellipse(struct canvas *canvas, int32_t x, int32_t y, int32_t radius_x, int32_t radius_y,
                    int32_t value);

/* Set a rectangle; what lies outside the canvas is cut. */
void canvas_rectangle(struct canvas *canvas, int32_t x, int32_t y, int32_t width, int32_t height,
                      int32_t value);

/* Average every pixel with its neighbours, as a scanner's point spread does. */
void canvas_smooth(struct canvas *canvas);

/* Add noise of about this standard deviation, correlated between neighbours as a reconstructed picture's is.
 */
void canvas_noise(struct canvas *canvas, struct random *rng, int32_t deviation);

/* Bring all values into lowest..highest. */
void canvas_clip(struct canvas *canvas, int32_t lowest, int32_t highest);

#endif
