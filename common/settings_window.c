/* The setting Window. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/settings_table.h"

struct preset {
    const char *name;
    double center, width;
};

/* In Hounsfield units: what radiology departments commonly use. */
static const struct preset presets[] = {
    {"lung", -600, 1500},     {"bone", 400, 1800},          {"brain", 40, 80},
    {"soft-tissue", 40, 400}, {"mediastinum", 50, 350},     {"liver", 30, 150},
    {"abdomen", 50, 400},     {"subdural", 75, 215},        {"stroke", 40, 40},
    {"angio", 300, 600},      {"temporal-bone", 600, 2800}, {"spine", 50, 250},
};

/* A plain number from *text on, which moves behind it. */
static bool parse_number(const char **text, double *value)
{
    char *end;
    size_t length = strspn(*text, "+-.0123456789eE");
    if (length == 0 || length > 24)
        return false;
    *value = strtod(*text, &end);
    bool ok = end == *text + length && isfinite(*value) && fabs(*value) < 1e9;
    *text = end;
    return ok;
}

bool settings_parse_window(const char *text, struct options *options)
{
    struct options parsed = {.window = WINDOW_INDEX};
    const char *at = text;
    if (strcmp(text, "auto") == 0) {
        parsed.window = WINDOW_AUTO;
    } else if (strncmp(text, "index:", 6) == 0) {
        size_t length = strspn(text + 6, "0123456789");
        if (length == 0 || length > 5 || text[6 + length] != '\0')
            return false;
        parsed.window_index = (uint32_t)strtoul(text + 6, NULL, 10);
        if (parsed.window_index == 0)
            return false;
    } else {
        parsed.window = WINDOW_VALUES;
        bool is_preset = false;
        for (size_t i = 0; i < sizeof presets / sizeof presets[0] && !is_preset; i++)
            if (strcmp(text, presets[i].name) == 0) {
                parsed.window_center = presets[i].center;
                parsed.window_width = presets[i].width;
                is_preset = true;
            }
        if (!is_preset &&
            (!parse_number(&at, &parsed.window_center) || *at++ != ',' ||
             !parse_number(&at, &parsed.window_width) || *at != '\0' || parsed.window_width < 1))
            return false;
    }
    options->window = parsed.window;
    options->window_index = parsed.window_index;
    options->window_center = parsed.window_center;
    options->window_width = parsed.window_width;
    return true;
}
