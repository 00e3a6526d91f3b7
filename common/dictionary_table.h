/* dictionary_table.h: the generated tables behind dictionary.h; for dictionary.c only. */
#ifndef NIFFLER_COMMON_DICTIONARY_TABLE_H
#define NIFFLER_COMMON_DICTIONARY_TABLE_H

#include "common/dictionary.h"

#define DICTIONARY_ENTRY_COUNT 4898

/* By ascending tag. */
extern const struct dictionary_entry dictionary_entries[DICTIONARY_ENTRY_COUNT];

/* Indexes into dictionary_entries by ascending keyword (byte order): rank to entry. */
extern const uint16_t dictionary_by_keyword[DICTIONARY_ENTRY_COUNT];

#endif
