/* notes.h: the column pixel_notes of a frame: what was overruled, or left out. */
#ifndef NIFFLER_WORKER_DECODER_NOTES_H
#define NIFFLER_WORKER_DECODER_NOTES_H

#include <stddef.h>

#include "common/error.h" /* PRINTF_LIKE */

/* Where notes go; `text` is a string that grows, or NULL: nobody wants them. */
struct notes {
    char *text;
    size_t size;
};

/* Append one, behind a ';' where others are. What does not fit is cut. */
void notes_add(const struct notes *notes, const char *format, ...) PRINTF_LIKE(2, 3);
#endif
