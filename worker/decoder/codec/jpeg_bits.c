#include "worker/decoder/codec/jpeg_bits.h"

#include <stdlib.h>

#include "common/alloc.h"

#define SYMBOL_BYTES 4u     /* 16 bits of code and 15 behind it                                     */
#define LOAD_BYTES 8u       /* that a load reads, whatever it needs                                 */
#define WINDOW (16u * 1024) /* small enough to stay in the cache nearest to the core, and the tables too */

bool jpeg_coded_init(struct jpeg_coded *coded, size_t symbols, struct error *err)
{
    void *window;
    *coded = (struct jpeg_coded){.reach = symbols * SYMBOL_BYTES + 2 * LOAD_BYTES};
    coded->room = coded->reach + WINDOW;
    if (!alloc_pixels(&window, coded->room + coded->reach, 1, 0, err))
        return false;
    coded->window = window;
    return true;
}

void jpeg_coded_clear(struct jpeg_coded *coded)
{
    free(coded->window);
    *coded = (struct jpeg_coded){.window = NULL};
}

void jpeg_coded_begin(struct jpeg_coded *coded, const uint8_t *bytes, size_t length)
{
    coded->bits = (struct jpeg_bits){.at = coded->window};
    coded->end = coded->window;
    coded->next = bytes;
    coded->limit = bytes + length;
    coded->has_ended = false;
}

/* Copy up to `room` bytes of coded data; returns how many. A zero byte behind FF is no data; anything else
 * there ends the segment. */
static size_t unstuff(struct jpeg_coded *coded, uint8_t *to, size_t room)
{
    size_t done = 0;
    while (done < room && !coded->has_ended) {
        size_t there = (size_t)(coded->limit - coded->next), most = room - done;
        if (most > there)
            most = there;
        const uint8_t *found = memchr(coded->next, 0xFF, most);
        size_t run = found != NULL ? (size_t)(found - coded->next) : most;
        memcpy(to + done, coded->next, run);
        done += run;
        coded->next += run;
        if (found != NULL && coded->limit - found >= 2 && found[1] == 0) {
            to[done++] = 0xFF;
            coded->next += 2;
        } else if (found != NULL || coded->next == coded->limit) {
            coded->has_ended = true;
        }
    }
    return done;
}

/* Bits of the window that are not decoded; fewer than none behind the end of a segment. */
static int64_t bits_left(const struct jpeg_coded *coded)
{
    return (int64_t)(coded->end - coded->bits.at) * 8 + coded->bits.count;
}

bool jpeg_coded_fill(struct jpeg_coded *coded)
{
    if (coded->has_ended)
        return bits_left(coded) >= 0;
    size_t left = (size_t)(coded->end - coded->bits.at);
    if (left >= coded->reach)
        return true;
    memmove(coded->window, coded->bits.at, left);
    left += unstuff(coded, coded->window + left, coded->room - left);
    coded->bits.at = coded->window;
    coded->end = coded->window + left;
    if (coded->has_ended)
        memset(coded->window + left, 0, coded->reach);
    return true;
}

bool jpeg_coded_end(struct jpeg_coded *coded, const uint8_t **end)
{
    bool is_whole = jpeg_coded_fill(coded) && coded->has_ended && bits_left(coded) < 8;
    *end = coded->next;
    return is_whole;
}
