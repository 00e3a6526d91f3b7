/* notes.h: what the row of a picture says of it (pixel_notes in mapping.csv). */
#ifndef NIFFLER_WORKER_DECODER_IMAGE_NOTES_H
#define NIFFLER_WORKER_DECODER_IMAGE_NOTES_H

#include <stddef.h>

#include "common/error.h"

/* Where notes go: a C string of at most `size` bytes with its NUL. `text` may be NULL: nobody wants them. */
struct notes {
    char *text;
    size_t size;
};

/* Append one, behind a `;` where others stand before it. What finds no room is cut off. */
void note(const struct notes *notes, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
