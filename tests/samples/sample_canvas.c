/* sample_canvas.c: drawing by plain integer formulas; quick enough for ten thousand CT slices a minute. */
#include "tests/samples/sample_canvas.h"

#include <stdlib.h>
#include <string.h>

#include "common/alloc.h"

uint64_t random_next(struct random *rng)
{
    uint64_t z = rng->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

int32_t random_range(struct random *rng, int32_t lowest, int32_t highest)
{
    uint64_t span = (uint64_t)((int64_t)highest - lowest + 1);
    return (int32_t)(lowest + (int64_t)(random_next(rng) % span));
}

uint64_t random_seed_of(uint64_t seed, const char *label)
{
    struct random rng = {seed};
    for (const char *c = label; *c != '\0'; c++)
        rng.state = random_next(&rng) ^ (unsigned char)*c;
    return random_next(&rng);
}

void canvas_init(struct canvas *canvas, int32_t rows, int32_t columns, int32_t value)
{
    canvas->rows = rows;
    canvas->columns = columns;
    canvas->values = xmalloc(canvas_count(canvas) * sizeof(*canvas->values));
    for (size_t i = 0; i < canvas_count(canvas); i++)
        canvas->values[i] = value;
}

void canvas_clear(struct canvas *canvas)
{
    free(canvas->values);
    memset(canvas, 0, sizeof(*canvas));
}

size_t canvas_count(const struct canvas *canvas)
{
    return (size_t)canvas->rows * (size_t)canvas->columns;
}

static int32_t clamp(int32_t value, int32_t lowest, int32_t highest)
{
    return value < lowest ? lowest : value > highest ? highest : value;
}

static int32_t *row_of(const struct canvas *canvas, int32_t y)
{
    return canvas->values + (size_t)y * (size_t)canvas->columns;
}

void canvas_ellipse(struct canvas *canvas, int32_t x, int32_t y, int32_t radius_x, int32_t radius_y,
                    int32_t value)
{
    int64_t limit = (int64_t)radius_x * radius_x * radius_y * radius_y;
    int32_t half = 0; /* of the chord; grows to the centre and shrinks behind it */
    for (int32_t dy = -radius_y; dy <= radius_y; dy++) {
        int64_t used = (int64_t)dy * dy * radius_x * radius_x;
        while (half < radius_x && used + (int64_t)(half + 1) * (half + 1) * radius_y * radius_y <= limit)
            half++;
        while (half > 0 && used + (int64_t)half * half * radius_y * radius_y > limit)
            half--;
        canvas_rectangle(canvas, x - half, y + dy, 2 * half + 1, 1, value);
    }
}

void canvas_rectangle(struct canvas *canvas, int32_t x, int32_t y, int32_t width, int32_t height,
                      int32_t value)
{
    int32_t left = clamp(x, 0, canvas->columns);
    int32_t right = clamp(x + width, 0, canvas->columns);
    int32_t bottom = clamp(y + height, 0, canvas->rows);
    for (int32_t at = clamp(y, 0, canvas->rows); at < bottom; at++)
        for (int32_t i = left; i < right; i++)
            row_of(canvas, at)[i] = value;
}

void canvas_smooth(struct canvas *canvas)
{
    struct canvas copy;
    canvas_init(&copy, canvas->rows, canvas->columns, 0);
    memcpy(copy.values, canvas->values, canvas_count(canvas) * sizeof(*canvas->values));
    for (int32_t y = 1; y + 1 < canvas->rows; y++) {
        const int32_t *above = row_of(&copy, y - 1);
        const int32_t *here = row_of(&copy, y);
        const int32_t *below = row_of(&copy, y + 1);
        int32_t *to = row_of(canvas, y);
        for (int32_t x = 1; x + 1 < canvas->columns; x++)
            to[x] = (4 * here[x] + here[x - 1] + here[x + 1] + above[x] + below[x]) / 8;
    }
    canvas_clear(&copy);
}

/* Nearly normal, standard deviation 148: the sum of four even numbers between 0 and 255, less its mean. */
static int32_t white_noise(uint64_t bits)
{
    return (int32_t)(bits & 255) + (int32_t)(bits >> 8 & 255) + (int32_t)(bits >> 16 & 255) +
           (int32_t)(bits >> 24 & 255) - 510;
}

void canvas_noise(struct canvas *canvas, struct random *rng, int32_t deviation)
{
    int32_t *above = xcalloc((size_t)canvas->columns, sizeof(*above));
    for (int32_t y = 0; y < canvas->rows; y++) {
        int32_t *to = row_of(canvas, y);
        int32_t left = 0;
        uint64_t bits = 0;
        for (int32_t x = 0; x < canvas->columns; x++) {
            bits = x % 2 == 0 ? random_next(rng) : bits >> 32;
            int32_t white = white_noise(bits);
            /* The weights 2, 1 and 1 raise the deviation to sqrt(6) * 148 = 362. */
            to[x] += (2 * white + left + above[x]) * deviation / 362;
            left = white;
            above[x] = white;
        }
    }
    free(above);
}

void canvas_clip(struct canvas *canvas, int32_t lowest, int32_t highest)
{
    for (size_t i = 0; i < canvas_count(canvas); i++)
        canvas->values[i] = clamp(canvas->values[i], lowest, highest);
}
