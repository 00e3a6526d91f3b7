#include "common/typeset.h"

#include <stdbool.h>
#include <string.h>

#define COLUMNS 80

/* As typeset_wrapped(); the first line is there up to `column` already. */
static void go_on(const char *text, size_t column, size_t indent, FILE *out)
{
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        if (column > indent && column + 1 + length > COLUMNS) {
            (void)fputc('\n', out);
            column = 0;
        }
        if (column < indent) {
            (void)fprintf(out, "%*s", (int)(indent - column), "");
            column = indent;
        } else if (column > indent) {
            (void)fputc(' ', out);
            column++;
        }
        column += length;
        (void)fwrite(text, 1, length, out);
        text += length;
        text += strspn(text, " ");
    }
    (void)fputc('\n', out);
}

void typeset_wrapped(const char *text, size_t indent, FILE *out)
{
    go_on(text, 0, indent, out);
}

void typeset_item(const char *label, size_t indent, size_t width, const char *text, FILE *out)
{
    size_t column = indent + strlen(label);
    (void)fprintf(out, "%*s%s", (int)indent, "", label);
    if (column + 2 > indent + width) {
        (void)fputc('\n', out);
        column = 0;
    }
    go_on(text, column, indent + width, out);
}

void typeset_roff(const char *text, FILE *out)
{
    bool at_start = true;
    for (; *text != '\0'; text++) {
        if (at_start && (*text == '.' || *text == '\''))
            (void)fputs("\\&", out);
        at_start = false;
        if (*text == '\\') {
            (void)fputs("\\e", out);
        } else if (*text == '-') {
            (void)fputs("\\-", out);
        } else if (*text == '.' && text[1] == ' ') {
            (void)fputs(".\n", out);
            at_start = true;
            text++;
        } else {
            (void)fputc(*text, out);
        }
    }
    (void)fputc('\n', out);
}
