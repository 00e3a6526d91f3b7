/* settings_table.h: the rows behind settings.h, for settings_*.c and their test only. */
#ifndef NIFFLER_COMMON_SETTINGS_TABLE_H
#define NIFFLER_COMMON_SETTINGS_TABLE_H

#include <stddef.h>

#include "common/buffer.h"
#include "common/settings.h"

#define SETTINGS_NO_FIELD ((size_t)-1)
#define SETTINGS_ENVIRONMENT_PREFIX "NIFFLER_"

enum settings_type {
    SETTINGS_BOOL,    /* true/false/yes/no/1/0, any case   → bool                            */
    SETTINGS_INTEGER, /* whole number                      → int                             */
    SETTINGS_COUNT,   /* whole number                      → uint32_t                        */
    SETTINGS_SIZE, /* whole number, K, M or G behind it → uint64_t; 0 = "unlimited" where the minimum is 0 */
    SETTINGS_SHARE,   /* 0, a fraction below 1, or a whole number → double                   */
    SETTINGS_TEXT,    /* any text; empty = not given       → char *, owned                   */
    SETTINGS_FOLDERS, /* "none", "anywhere", or folders with ':' between → char **, owned    */
    SETTINGS_CHOICE,  /* one of `choices`                  → an enum in the order of choices */
    SETTINGS_FRAMES,  /* all, first, middle or a number    → struct options                  */
    SETTINGS_WINDOW,  /* index:n, centre,width, a preset or auto → struct options            */
};

enum settings_effect {
    SETTINGS_ALTERS_NOTHING,    /* about the machine, the mail or the log             */
    SETTINGS_ALTERS_OUTPUT,     /* part of the fingerprint                            */
    SETTINGS_ALTERS_IF_NIFFLER, /* part of it under Compatibility: niffler only       */
};

struct settings_row {
    const char *section; /* heading in --help and the man page */
    const char *key;
    const char *argument; /* what --help calls the value; NULL: named after the type */
    enum settings_type type;
    size_t offset;   /* of the field in struct settings, or SETTINGS_NO_FIELD */
    int64_t minimum; /* of a number */
    int64_t maximum;
    const char *const *choices; /* NULL-terminated */
    const char *standard;       /* default; "": none */
    const char *niffler;        /* default under Compatibility: niffler; NULL: the same */
    enum settings_effect effect;
    const char *help; /* sentences; a limit gives its reason */
};

extern const struct settings_row settings_table[];
extern const size_t settings_table_count;

/* Rows that the loader itself must know. */
extern const char settings_key_compatibility[];
extern const char settings_key_flattened_to_level[];
extern const char settings_key_file_pattern[];

enum settings_origin {
    SETTINGS_FROM_DEFAULT,
    SETTINGS_FROM_COMPATIBILITY,
    SETTINGS_FROM_CONFIG,
    SETTINGS_FROM_ENVIRONMENT,
    SETTINGS_FROM_FLAG,
};

struct settings_value {
    char *text; /* owned; canonical: "true", "64M" … */
    enum settings_origin origin;
};

/* The names of Window's presets, for its help. A test holds them equal to those that are known. */
#define SETTINGS_PRESETS                                                                                    \
    "lung, bone, brain, soft-tissue, mediastinum, liver, abdomen, subdural, stroke, angio, temporal-bone, " \
    "spine"

/* What a text of SETTINGS_WINDOW stands for. settings_window.c */
bool settings_parse_window(const char *text, struct options *options);

/* Index of the row of `key`, exact; settings_table_count when there is none. */
size_t settings_find(const char *key);

/* The key nearest to `key` in edits, letters of both cases taken as equal. */
const char *settings_nearest(const char *key);

/* "NIFFLER_DICOM_HOME" of "DICOMHome". A word begins at a capital after a small letter or digit, at the last
 * capital of a run that small letters follow, and at digits that letters follow: NIFFLER_IS_16_BIT,
 * NIFFLER_INVERT_MONOCHROME1. */
void settings_environment_name(const char *key, char *name, size_t size);

/* Append what is allowed for a row: "a whole number from 1 to 64". */
void settings_describe(const struct settings_row *row, struct buffer *out);

/* Check `text` as a value of the row, and return its canonical form as new text; NULL when it is not allowed.
 */
char *settings_canonical(const struct settings_row *row, const char *text);

/* Put a canonical value into its field. */
void settings_store(struct settings *settings, const struct settings_row *row, const char *canonical);

#endif
