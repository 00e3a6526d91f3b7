#include "common/shown.h"

#include <string.h>

#include "common/utf8.h"

void shown_append(struct buffer *out, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        size_t step = utf8_step(text + at, length - at);
        if (step > 0 && !shown_is_control(text + at, step)) {
            buffer_append(out, text + at, step);
            at += step;
            continue;
        }
        for (size_t end = at + (step > 0 ? step : 1); at < end; at++)
            buffer_append_format(out, "\\x%02X", (unsigned)(unsigned char)text[at]);
    }
}

void shown_print(FILE *out, const char *text)
{
    struct buffer shown = {0};
    shown_append(&shown, text, strlen(text));
    (void)fputs(buffer_text(&shown), out);
    buffer_clear(&shown);
}
