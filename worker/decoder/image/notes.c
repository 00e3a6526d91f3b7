#include "worker/decoder/image/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void note(const struct notes *notes, const char *format, ...)
{
    if (notes->text == NULL || notes->size == 0)
        return;
    size_t used = strnlen(notes->text, notes->size - 1);
    if (used > 0 && used + 1 < notes->size)
        notes->text[used++] = ';';
    va_list args;
    va_start(args, format);
    (void)vsnprintf(notes->text + used, notes->size - used, format, args);
    va_end(args);
}
